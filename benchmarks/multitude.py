"""What the trackers hold in memory while a multitude of addresses goes by, in a process of its own.

``python -m benchmarks.multitude live|resolver ADDRESSES`` prints one JSON object: bytes held at most. Every address is heard once, as of
phones that change it at every scan; the models are as many as the live tracker remembers bodies.
"""

from __future__ import annotations

import json
import sys
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from random import Random

from agent.dot11.probe_request import ProbeRequest
from agent.tracking.bursts import Burst
from agent.tracking.resolver import Resolver
from agent.tracking.tracker import Tracker, TrackingSettings

SECOND_US = 1_000_000
WINDOW_US = 30 * SECOND_US
A_SECOND = 50
"""Addresses: a station concourse at its busiest."""
HT_CAPABILITIES = bytes.fromhex("2d1a")


def requests(addresses: int, models: int) -> Iterator[tuple[int, ProbeRequest]]:
    """Time in microseconds and one probe request for each address."""
    random = Random(1)
    bodies = [b"\0\0" + HT_CAPABILITIES + model.to_bytes(2, "big") + bytes(24) for model in range(models)]
    for n in range(addresses):
        address = (2 << 40 | n).to_bytes(6, "big")
        level = random.randint(-95, -30)
        yield (
            n * SECOND_US // A_SECOND,
            ProbeRequest(address, random.randrange(4096), level, 6, random.choice(bodies)),
        )


def most_held(addresses: int, take: Callable[[Sequence[Burst]], None], done: Callable[[], object]) -> int:
    """Bytes that tracker and ``take`` held at most, together."""
    settings = TrackingSettings()
    heard = requests(addresses, settings.max_bodies)
    tracemalloc.start()
    tracker = Tracker(settings)
    next_us = 0
    for time_us, request in heard:
        if time_us >= next_us:
            take(tracker.advance(time_us))
            if time_us % WINDOW_US == 0:
                tracker.window_estimate()  # as the pipeline does when a window closes
            next_us = time_us + SECOND_US
        tracker.observe(request, time_us)
    take(tracker.flush())
    done()
    return tracemalloc.get_traced_memory()[1]


def main(what: str, addresses: int) -> None:
    """Measure the live tracker alone, or with the resolver of `count` behind it."""
    resolver = Resolver()
    held = (
        most_held(addresses, resolver.take, resolver.resolve)
        if what == "resolver"
        else most_held(addresses, lambda _: None, lambda: None)
    )
    print(json.dumps({"bytes": held}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
