"""How many batches a second one ingest process takes into Kinesis while 99 of 100 answers come within 250 ms.

    PYTHONPATH=.:tests IVIZONE_TEST_AWS=1 build/aws/venv/bin/python -m benchmarks.aws_ingest

The process is `ivizone-cloud aws serve`, with PostgreSQL and kinesalite (the emulator, on the same cores) behind it. The generator asks at a fixed rate,
whatever the answers do, and a time counts from when a request was due: a server that falls behind cannot hide it. Every batch is a real one, signed,
new, of one of many access points; each rate lasts SECONDS. The rate grows until p99 is over the limit or something else than 202 comes. Beside it
stands the server's processor time for each batch, which other programs on the machine hardly move.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.batches import batches_of, day_frames
from benchmarks.inputs import FIRST_DAY
from benchmarks.rounds import percentile

LIMIT_MS = 250.0
SECONDS = 8.0
RATES = (50, 100, 150, 200, 300, 400, 500, 600, 800, 1000, 1200, 1500)
SITES, PER_SITE = 600, 5
"""So many access points send 100 batches a second, one each in 30 s: no access point comes again so soon that ingest still knew it by chance."""
START_RATE = 200
BUSY_AFTER_S, BUSY_S = 50_000, 600
ACCESS_POINTS, EVERY_S = 100_000, 30
HEAD = "POST /v1/batches HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/cose\r\nContent-Length: {length}\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Round:
    """One rate."""

    rate: int
    p50_ms: float
    p99_ms: float
    answers: dict[int, int]
    cpu_ms: float
    """Of the server, for each batch."""

    def holds(self, requests: int) -> bool:
        """True where all were taken and 99 of 100 in time."""
        return self.answers == {202: requests} and self.p99_ms <= LIMIT_MS


def names() -> list[tuple[str, str]]:
    """(access point, site) of all that send, neighbours in different sites."""
    return [(f"ap-{site}-{ap}", f"shop-{site}") for ap in range(PER_SITE) for site in range(SITES)]


def messages() -> Iterator[bytes]:
    """Signed batches without end, each new: in turn one of every access point, as they come from stores that know nothing of each other."""
    from support.batches import KEY

    frames = day_frames(FIRST_DAY, 300)
    begin_us = frames[0][0] + BUSY_AFTER_S * 1_000_000
    busy = [frame for frame in frames if begin_us <= frame[0] < begin_us + BUSY_S * 1_000_000]
    for boot in count():
        made = [
            batches_of(busy, agent=agent, site=site, boot=boot.to_bytes(8, "big"), key=KEY) for agent, site in names()
        ]
        for turn in zip(*made, strict=True):
            yield from (batch.message for batch in turn)


class Connections:
    """Kept connections, as access points and the balancer have them; more are opened while all are busy."""

    def __init__(self, address: str) -> None:
        self._host, self._port = urlsplit(address).hostname, urlsplit(address).port
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self, body: bytes) -> int:
        """The status of the answer."""
        reader, writer = self._free.pop() if self._free else await asyncio.open_connection(self._host, self._port)
        writer.write(HEAD.format(host=self._host, length=len(body)).encode() + body)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")), 0
        )
        if length:
            await reader.readexactly(length)
        self._free.append((reader, writer))
        return int(head[9:12])


def cpu_s(pid: int) -> float:
    """Processor time of a process and its threads. Source: proc(5), /proc/pid/stat, fields 14 and 15."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def play(address: str, rate: int, bodies: list[bytes], pid: int) -> Round:
    """Send the bodies at a rate to the server ``pid``."""
    before_s = cpu_s(pid)
    connections, took_ms, answers = Connections(address), list[float](), Counter[int]()
    begun = time.perf_counter() + 0.2

    async def one(number: int, body: bytes) -> None:
        due = begun + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        answers[await connections.post(body)] += 1
        took_ms.append(1000 * (time.perf_counter() - due))

    await asyncio.gather(*(one(number, body) for number, body in enumerate(bodies)))
    took_ms.sort()
    return Round(
        rate,
        percentile(took_ms, 50),
        percentile(took_ms, 99),
        dict(answers),
        1000 * (cpu_s(pid) - before_s) / len(bodies),
    )


def measure(seconds: float) -> list[Round]:
    """Every rate up to the first that does not hold."""
    import uvloop
    from support.aws import parts
    from support.aws.composition import AwsCloud, Process, Sent

    from cloud.streams.base import BatchName

    known = tuple(Sent(BatchName(agent, bytes(8), 0), site, b"") for agent, site in names())
    rounds, source = list[Round](), messages()
    with tempfile.TemporaryDirectory() as folder:
        cloud = AwsCloud(Path(folder), known, shards=4)
        cloud.file.write_text(
            cloud.file.read_text().replace(cloud.kinesis_proxy.url, parts.node_emulator("kinesalite"))
        )
        server = Process(cloud, "serve", "--port", "0")
        address, pid = server.url(), server.process.pid
        after_start = list(islice(source, SITES * PER_SITE))  # each is known from here on
        print(f"{told(uvloop.run(play(address, START_RATE, after_start, pid)))}, each access point for the first time")
        for rate in RATES:
            bodies = list(islice(source, round(rate * seconds)))
            rounds.append(uvloop.run(play(address, rate, bodies, pid)))
            print(told(rounds[-1]), flush=True)
            if not rounds[-1].holds(len(bodies)):
                break
        server.kill()
        cloud.close()
    return rounds


def told(made: Round) -> str:
    """A line for a person; the load tells how much of the machine was others'."""
    times = f"p50 {made.p50_ms:7.1f} ms  p99 {made.p99_ms:7.1f} ms  processor {made.cpu_ms:5.2f} ms a batch"
    return f"{made.rate:6} batches/s  {times}  load {os.getloadavg()[0]:4.1f}  {made.answers}"


def main() -> int:
    """Print each rate, and the arithmetic."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"of each rate (default {SECONDS:g})")
    options = parser.parse_args()
    rounds = measure(options.seconds)
    held = [made.rate for made in rounds if made.holds(round(made.rate * options.seconds))]
    if not held:
        print("not even the lowest rate held")
        return 1
    wanted = ACCESS_POINTS / EVERY_S
    print(f"one process takes {max(held)} batches/s with p99 at most {LIMIT_MS:g} ms")
    print(
        f"{ACCESS_POINTS:,} access points at one batch in {EVERY_S} s are {wanted:,.0f} batches/s: {math.ceil(wanted / max(held))} processes"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
