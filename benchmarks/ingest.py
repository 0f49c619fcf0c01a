"""Case 5: requests per second of ingest, beside the same server with an empty handler."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count, islice
from pathlib import Path
from statistics import median
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks.batches import batches_of, day_frames
from benchmarks.inputs import FIRST_DAY
from benchmarks.load import write_bodies
from benchmarks.processes import PYTHON, BenchError, run
from benchmarks.report import Row, Section, at_least, show
from benchmarks.rounds import alternate, ratio
from benchmarks.servers import EMPTY, INGEST, WHOLE, command, serving
from cloud.domain.site import Site
from cloud.embedded import open_database
from cloud.fleet.registry import Fleet

SHARE_PERCENT = 25
"""Promised: ingest answers at least this share of what the same server answers with nothing to do."""
SITE = Site("bench", "Bench", "UTC", "day", True)
CONNECTIONS = 32
METHOD = """\
Every batch is a real one (30 s of a simulated day), pre-signed and sent once, by {agents} access points over {connections} kept
connections from a load generator in another process, one request under way on each. *Ingest*: parsed, signature checked, header decided, written to
the SQLite stream with `synchronous = FULL` and group commit before the 202. *Empty*: the same uvicorn (uvloop, httptools, same settings) whose
handler answers 202 and does nothing; it is sent the same bodies. {requests:,} requests a round, {rounds} rounds, the two servers in
turn; requests per second on the clock, with generator and server sharing this machine's cores. Bodies: {size:.0f} bytes in the median."""


class Fleetful:
    """Access points enrolled in a data folder, and the batches that they have not sent yet."""

    def __init__(self, folder: Path, shoppers: int, agents: int) -> None:
        database = open_database(folder)
        fleet = Fleet(database, lambda: time.time_ns() // 1_000_000)
        fleet.add_site(SITE)
        self._keys: dict[str, Ed25519PrivateKey] = {}
        for _ in range(agents):
            key = Ed25519PrivateKey.generate()
            name, _site = fleet.enrol(fleet.make_token(SITE.site), key.public_key().public_bytes_raw(), "bench")
            self._keys[name] = key
        database.dispose()
        self._frames = day_frames(FIRST_DAY, shoppers)
        self._batches = self._endless()

    def take(self, many: int) -> list[bytes]:
        """The next messages, each new to the cloud."""
        return list(islice(self._batches, many))

    def _endless(self) -> Iterator[bytes]:
        """Access point after access point relives the day, each time under another boot id."""
        for boot in count():
            for name, key in self._keys.items():
                made = batches_of(self._frames, agent=name, site=SITE.site, boot=boot.to_bytes(8, "big"), key=key)
                yield from (batch.message for batch in made)


def drive(address: str, bodies: list[bytes], file: Path, expected: int = 202) -> dict[str, Any]:
    """Send them all; every answer must be ``expected``. Raises BenchError."""
    write_bodies(file, bodies)
    result: dict[str, Any] = json.loads(
        run((PYTHON, "-m", "benchmarks.load", address, str(file), str(CONNECTIONS))).output
    )
    if result["answers"] != {str(expected): len(bodies)}:
        raise BenchError(f"{len(bodies)} batches were answered with {result['answers']}, all should be {expected}")
    return result


def section(folder: Path, requests: int, rounds: int, shoppers: int, agents: int) -> Section:
    """Both servers in turn, then the whole product."""
    fleets = {kind: Fleetful(folder / kind, shoppers, agents) for kind in (INGEST, WHOLE)}
    file = folder / "bodies"
    bodies: list[bytes] = []
    latencies: list[dict[str, Any]] = []
    with ExitStack() as stack:
        addresses = {kind: stack.enter_context(serving(command(kind, folder / kind))) for kind in (EMPTY, INGEST)}

        def empty() -> float:
            bodies[:] = fleets[INGEST].take(requests)
            return requests / drive(addresses[EMPTY], bodies, file)["seconds"]

        def ingest() -> float:
            latencies.append(drive(addresses[INGEST], bodies, file))
            return requests / latencies[-1]["seconds"]

        alternate({EMPTY: empty, INGEST: ingest}, 1)  # both servers warm
        latencies.clear()
        found = alternate({EMPTY: empty, INGEST: ingest}, rounds)
    with serving(command(WHOLE, folder / WHOLE)) as address:
        drive(address, fleets[WHOLE].take(requests), file)
        whole = drive(address, fleets[WHOLE].take(requests), file)
    rows = [
        Row("empty handler", show(median(found[EMPTY]), "requests/s")),
        Row("ingest, signature checked, durable", show(median(found[INGEST]), "requests/s")),
        at_least("ingest / empty handler", 100 * ratio(found[INGEST], found[EMPTY]), SHARE_PERCENT, "%"),
        Row("time to the answer under this load, p50", show(median(a["p50_ms"] for a in latencies), "ms")),
        Row("time to the answer under this load, p95", show(median(a["p95_ms"] for a in latencies), "ms")),
        Row("ingest while consumer and analytics work beside it", show(requests / whole["seconds"], "requests/s")),
    ]
    method = METHOD.format(
        agents=agents, connections=CONNECTIONS, requests=requests, rounds=rounds, size=median(map(len, bodies))
    )
    return Section("Ingest", method, rows)
