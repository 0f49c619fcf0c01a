"""What was heard, skipped and lost, and why: every frame is accounted for (core).

The law: ``frames == probe_requests + sum(skipped.values())``, always, for every batch and so for every day. What never
reached us (kernel drops, a capture that breaks off) stands beside it under its own name, because nobody can say what
those frames were. ``close`` gives the counts since the last ``close`` and starts anew.
"""

from __future__ import annotations

from agent.dot11.reasons import SKIP_REASONS as FRAME_REASONS
from agent.wire.model import LedgerCounts

SKIP_REASONS = (*FRAME_REASONS, "unknown_link_type")
"""Why a frame that was heard yields no probe request. docs/glossary.md says what each means to an installer."""

LOSS_REASONS = ("kernel_drops", "capture_truncated")
"""What a source can lose before we see it."""

CHANNEL_UNKNOWN = 0
"""Key of ``listening_ms`` where the source does not say on which channel it listened."""


class Ledger:
    """Counts since the last batch. Attributes are plain integers because they are raised once a frame."""

    __slots__ = ("evicted_batches", "frames", "listening_ms", "losses", "probe_requests", "skipped")

    def __init__(self) -> None:
        self.frames = 0
        self.probe_requests = 0
        self.skipped: dict[str, int] = {}
        self.listening_ms: dict[int, int] = {}
        self.losses: dict[str, int] = {}
        self.evicted_batches = 0

    def skip(self, reason: str) -> None:
        """Count one frame that yielded no probe request."""
        self.skipped[reason] = self.skipped.get(reason, 0) + 1

    def listen(self, channel: int, duration_ms: int) -> None:
        """Add time during which the radio would have heard a frame on ``channel``."""
        if duration_ms > 0:
            self.listening_ms[channel] = self.listening_ms.get(channel, 0) + duration_ms

    def close(self, *, rssi_rejected: int = 0, fcs_unflagged: int = 0, evicted_tracks: int = 0) -> LedgerCounts:
        """Give the counts since the last call and start anew. Raises AssertionError if the law above is broken."""
        counts = LedgerCounts(
            frames=self.frames,
            probe_requests=self.probe_requests,
            skipped=dict(sorted(self.skipped.items())),
            kernel_drops=self.losses.get("kernel_drops", 0),
            rssi_rejected=rssi_rejected,
            fcs_unflagged=fcs_unflagged,
            listening_ms=dict(sorted(self.listening_ms.items())),
            evicted_batches=self.evicted_batches,
            evicted_tracks=evicted_tracks,
        )
        if counts.frames != counts.probe_requests + sum(counts.skipped.values()):
            raise AssertionError(
                f"the ledger does not close: {counts.frames} frames, {counts.probe_requests} probe requests, {sum(counts.skipped.values())} skipped"
            )
        self.__init__()  # type: ignore[misc]
        return counts
