"""Counters for operators in the OpenMetrics text format. Source: OpenMetrics 1.0.0. No label names an access point or a site."""

from __future__ import annotations

from collections import Counter


class Metrics:
    """What ingest did since the start."""

    def __init__(self) -> None:
        self.answers: Counter[int] = Counter()
        self.bytes = 0

    def count(self, status: int, size_bytes: int) -> None:
        """One answered batch."""
        self.answers[status] += 1
        self.bytes += size_bytes

    def text(self, waiting: int) -> str:
        """All metrics; ``waiting`` is how many records the consumer has not dealt with."""
        lines = ["# TYPE ivizone_batches counter", "# HELP ivizone_batches Answers to POST /v1/batches, by status."]
        lines += [
            f'ivizone_batches_total{{status="{status}"}} {count}' for status, count in sorted(self.answers.items())
        ]
        lines += [
            "# TYPE ivizone_batch_bytes counter",
            "# UNIT ivizone_batch_bytes bytes",
            f"ivizone_batch_bytes_total {self.bytes}",
        ]
        lines += ["# TYPE ivizone_stream_waiting gauge", f"ivizone_stream_waiting {waiting}", "# EOF", ""]
        return "\n".join(lines)
