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

    def lose(self, reason: str, frames: int) -> None:
        """Count frames that never reached us."""
        if frames > 0:
            self.losses[reason] = self.losses.get(reason, 0) + frames

    def close(
        self, *, rssi_rejected: int = 0, fcs_unflagged: int = 0, evicted_tracks: int = 0, window_ms: int | None = None
    ) -> LedgerCounts:
        """Give the counts since the last call and start anew. Raises AssertionError if the law above is broken.

        A source tells once a second how long it listened, so up to a second of it may belong to the next window: what is
        more than ``window_ms`` stays for the next call, and no batch listened longer than it lasted.
        """
        listened, left = _split(self.listening_ms, window_ms)
        counts = LedgerCounts(
            frames=self.frames,
            probe_requests=self.probe_requests,
            skipped=dict(sorted(self.skipped.items())),
            kernel_drops=self.losses.get("kernel_drops", 0),
            rssi_rejected=rssi_rejected,
            fcs_unflagged=fcs_unflagged,
            listening_ms=listened,
            evicted_batches=self.evicted_batches,
            evicted_tracks=evicted_tracks,
        )
        if counts.frames != counts.probe_requests + sum(counts.skipped.values()):
            raise AssertionError(
                f"the ledger does not close: {counts.frames} frames, {counts.probe_requests} probe requests, {sum(counts.skipped.values())} skipped"
            )
        self.__init__()  # type: ignore[misc]
        self.listening_ms = left
        return counts


def _split(listening_ms: dict[int, int], window_ms: int | None) -> tuple[dict[int, int], dict[int, int]]:
    """Listening time as (what fits into the window, what is left): the channel that was booked first goes first."""
    fits: dict[int, int] = {}
    left: dict[int, int] = {}
    room_ms = sum(listening_ms.values()) if window_ms is None else max(0, window_ms)
    for channel, ms in listening_ms.items():
        if taken_ms := min(ms, room_ms):
            fits[channel] = taken_ms
        if ms > taken_ms:
            left[channel] = ms - taken_ms
        room_ms -= taken_ms
    return dict(sorted(fits.items())), left
