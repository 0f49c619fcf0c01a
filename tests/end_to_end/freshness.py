"""How long it takes from an acknowledged upload to the figure on the page. Used by the tests and by `make bench`.

One agent uploads a batch with one more device, and the page's data are asked until they show it, as its script does; then the
next one. The times are those of a merchant who is looking: ingest, stream, lake, analysis, database, page.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx

POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Freshness:
    """Seconds from acknowledged to shown, one for each upload."""

    seconds: tuple[float, ...]

    def quantile(self, share: float) -> float:
        """The time that this share of the uploads does not exceed, by rank."""
        ranked = sorted(self.seconds)
        return ranked[min(len(ranked) - 1, int(share * len(ranked)))]


def measure_freshness(
    url: str,
    page: str,
    message_of: Callable[[int], bytes],
    shown: Callable[[dict[str, object]], int],
    uploads: int,
    within_s: float = 30.0,
) -> Freshness:
    """Upload ``message_of(0)``, ``message_of(1)``, ... and wait for each until ``shown`` of the page's data is one more than before.

    ``page`` is the path of the data. Raises TimeoutError where a figure does not come within ``within_s``.
    """
    seconds = []
    with httpx.Client(base_url=url, timeout=20) as client:
        for number in range(uploads):
            before = shown(client.get(page).json())
            answer = client.post(
                "/v1/batches", content=message_of(number), headers={"Content-Type": "application/cose"}
            )
            if answer.status_code != 202:
                raise AssertionError(f"upload {number} was answered {answer.status_code}: {answer.text}")
            acknowledged = time.monotonic()
            while shown(client.get(page).json()) <= before:
                if time.monotonic() - acknowledged > within_s:
                    raise TimeoutError(f"upload {number} was not on the page after {within_s:.0f} s")
                time.sleep(POLL_S)
            seconds.append(time.monotonic() - acknowledged)
    return Freshness(tuple(seconds))
