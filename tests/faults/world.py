"""One small shop in a folder, whose agent and cloud live as processes and die as a plan says.

Every process is forked from one that has imported everything and runs nothing: no threads, no connections. The agent is the real one
(configuration, pipeline, spool, delivery over HTTP), the cloud is the embedded one behind uvicorn; only waits are shorter than in a shop.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from faults import disk
from faults.plan import Life, Plan
from support.agent_state import enrolled
from support.batches import KEY
from support.clouds import DAY_MS, NOON_MS, Clock, Cloud
from support.frames import pcap

from agent import compose
from agent.config import Config, load_config
from agent.delivery import SpoolDelivery
from agent.dot11.captured import CapturedFrame, Heard, Tick
from agent.pipeline import Pipeline, SignedBatch
from agent.runner import run
from agent.spool import Spool, TieredSpool
from agent.upload.backoff import Backoff
from agent.upload.https import Connection
from agent.upload.own_signature import is_signed_by
from agent.upload.uploader import Uploader
from agent.wire.codec import batch_of, inflate
from agent.wire.cose import open_message
from agent.wire.model import ClockState
from cloud import embedded as embedded_module
from cloud import web  # noqa: F401  read here, and not by each cloud at its begin
from cloud.accounts.passwords import Passwords
from cloud.embedded import Embedded
from cloud.server import listen, run_server
from simulator.day import DaySettings, simulate

Passwords()  # makes what every application needs, once for all processes that are forked from this one
PHASES = {"before": 0, "half": 1, "after": 2}
KINDS = {"full": 1, "read_only": 2, "broken": 3}
ANSWER_S = 0.3
"""How long an agent of a schedule waits for the cloud."""
DRAIN_S = 1.5
CALM_DRAIN_S = 40.0
LIFE_S = 60.0
"""No process of a schedule lives longer: what hangs is a failure."""
WATCHDOG_S = 8.0
"""But where memory is short, a thread may never begin, and who waits for it stands still: a supervisor's watchdog ends that."""
CLOUD_MS = NOON_MS + DAY_MS
"""The cloud's clock: a day after the shop's noon, so the whole day is over."""
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def arm(folder: Path, record: Path, life: Life) -> None:
    """Put the disk of shim.c under ``folder`` in this process."""
    shim = ctypes.CDLL(None)
    at, (kind, begin, end) = life.kill_at, life.disk_fault or ("", -1, -1)
    shim.ivizone_shim_arm(
        os.fsencode(folder), os.fsencode(record), ctypes.c_long(-1 if at is None else at), PHASES[life.phase],
        KINDS.get(kind, 0), ctypes.c_long(begin), ctypes.c_long(end),
    )  # fmt: skip


def limit_memory(life: Life) -> None:
    """So many MiB more than it has now, and not one more."""
    if life.memory_mib is not None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * os.sysconf("SC_PAGE_SIZE") + life.memory_mib * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def forked(work: Callable[[], int], log: Path, most_s: float = LIFE_S) -> int:
    """A process that does ``work`` and ends, after ``most_s`` at the latest; gives its number."""
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        with log.open("a") as out:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
            signal.alarm(int(most_s))
            code = work()
    except BaseException:
        with suppress(BaseException):
            traceback.print_exc()
            sys.stderr.flush()
    finally:
        os._exit(code)


# --- the shop -----------------------------------------------------------------------------------------------------------------------


def make_base(folder: Path) -> None:
    """What every schedule begins with: an enrolled agent, its cloud, a capture of three hours."""
    day = DaySettings(seed=11, shoppers=14, visitor_share=0.6, opens_h=10.0, closes_h=12.0, staff=1, printers=1)
    frames = [frame for frame in simulate(day)[0] if abs(frame[0] - NOON_MS * 1000 + 3_600_000_000) < 5_400_000_000]
    (folder / "agent").mkdir(parents=True)
    (folder / "agent" / "agent.key").write_bytes(PEM)
    enrolled(folder / "agent", batch={"replay_max_age_s": 300, "max_age_s": 300}, log={"level": "error"})
    (folder / "day.pcap").write_bytes(pcap(frames))
    cloud = Cloud(folder / "cloud", clock=Clock(CLOUD_MS))
    cloud.close()


class Shop:
    """A copy of the base in ``folder``, and the two ports."""

    def __init__(self, base: Path, folder: Path, frames: list[tuple[int, bytes]], plan: Plan) -> None:
        self.base, self.folder, self.frames, self.plan = base, folder, frames, plan
        shutil.copytree(base / "agent", folder / "agent")
        shutil.copytree(base / "cloud", folder / "cloud")
        (folder / "ram").mkdir()
        self.journal = folder / "journal"
        self.cloud_port, self.line_port = free_port(), free_port()
        self.lost_in_ram: set[tuple[str, int]] = set()
        config = self.folder / "agent" / "agent.yaml"
        config.write_text(
            config.read_text().replace(str(base), str(folder)).replace("url: ''", f"url: {self.line_url}")
        )

    @property
    def line_url(self) -> str:
        return f"http://127.0.0.1:{self.line_port}"

    # --- the agent's process --------------------------------------------------------------------------------------------------

    def agent_life(self, number: int, life: Life) -> int:
        """Hear what there is to hear, send it, end."""
        limit_memory(life)
        arm(self.folder / "agent", self.folder / "agent.record", life)
        config = load_config(self.folder / "agent" / "agent.yaml")
        delivery = self._delivery(config)
        is_last = number == len(self.plan.agents) - 1
        if self.plan.is_live:
            clock = compose.wall_clock(config)
            clock.state = ClockState.SYNCED
            pipeline = compose.live_pipeline(config, clock)
            source: Any = Listed(self._segment(number))
        else:
            source = compose.open_source(config, (str(self.base / "day.pcap"),))
            pipeline = compose.replay_pipeline(config, source, is_enrolled=True)
        journalled = Journalled(delivery, self.journal, number)
        journalled.watch(delivery._spool)
        outcome = run(source, pipeline, journalled, drain_s=CALM_DRAIN_S if is_last else DRAIN_S)
        journalled.say(kind="end", frames=outcome.totals.frames, left=delivery.left, calls=calls())
        return 0

    def _delivery(self, config: Config) -> SpoolDelivery:
        spool: Spool | TieredSpool = Spool(self.folder / "agent" / "spool", self.plan.spool_bytes)
        if self.plan.ram_bytes:
            spool = TieredSpool(Spool(self.folder / "ram", self.plan.ram_bytes), spool, self.plan.flash_after_s)
        uploader = Uploader(
            Connection(self.line_url, timeout_s=ANSWER_S), partial(is_signed_by, "ap-test", Path(config.agent.key_file))
        )
        backoff = Backoff(0.005, 0.05, random.Random(self.plan.seed).random)
        return SpoolDelivery(spool, uploader, backoff, waits_for_room=not self.plan.is_live)

    def _segment(self, number: int) -> Iterator[Heard]:
        """The part of the day that falls into one life, with the clock's jumps."""
        size = len(self.frames) // len(self.plan.agents) + 1
        shift_us = 0
        jumps = dict(self.plan.jumps)
        for index, (time_us, data) in enumerate(self.frames[number * size : (number + 1) * size], number * size):
            shift_us += jumps.get(index * 100 // len(self.frames), 0) * 1_000_000
            jumps.pop(index * 100 // len(self.frames), None)
            yield CapturedFrame(data, time_us + shift_us, 127, 0, False)
            if self.plan.pace_s and index % 20 == 0:
                time.sleep(self.plan.pace_s)

    # --- the cloud's process ----------------------------------------------------------------------------------------------------

    def cloud_life(self, life: Life) -> int:
        """Take in, consume, analyse, until somebody ends it."""
        limit_memory(life)
        embedded_module.RETRY_S, embedded_module.GATHER_S = 0.1, self.plan.gather_s
        arm(self.folder / "cloud", self.folder / "cloud.record", life)
        embedded = Embedded(self.folder / "cloud", Clock(CLOUD_MS))
        listening = listen("127.0.0.1", self.cloud_port)
        if listening is None:
            return 71
        run_server(embedded.app(is_open=True), listening)
        return 0

    # --- what dies, and comes back ------------------------------------------------------------------------------------------------

    def begin(self, who: str) -> disk.Disk | None:
        """Before a life that a power cut will end: the disk as it is now counts as durable."""
        (self.folder / f"{who}.record").unlink(missing_ok=True)
        return disk.Disk(self.folder / who)

    def cut_power(self, who: str, before: disk.Disk, chance: random.Random) -> None:
        """What the page cache had not given to the disk may be gone, and all that lay in RAM is."""
        before.replay(self.folder / f"{who}.record")
        before.cut(chance)
        before.lay()
        if who == "agent":
            self.lost_in_ram |= set(names_in(self.folder / "ram"))
            shutil.rmtree(self.folder / "ram")
            (self.folder / "ram").mkdir()

    def flip_spooled(self, chance: random.Random) -> set[tuple[str, int]]:
        """Bits flip in some of the files that wait; gives their names."""
        waiting = sorted((self.folder / "agent" / "spool").glob("*.cose"))
        hit = chance.sample(waiting, min(self.plan.flips, len(waiting)))
        for path in hit:
            disk.flip_bits(path, chance)
        return {name_of(path) for path in hit}


def calls() -> int:
    """Calls that changed something on the disk of this process."""
    return int(ctypes.CDLL(None).ivizone_shim_calls())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def name_of(path: Path) -> tuple[str, int]:
    """(boot, number) of a spooled file."""
    parts = path.name.split(".")[0].split("-")
    return parts[1], int(parts[2])


def names_in(folder: Path) -> Iterable[tuple[str, int]]:
    return [name_of(path) for path in sorted(folder.glob("*.cose"))]


class Listed:
    """A live source that hears what it is given, and ends."""

    def __init__(self, frames: Iterator[Heard]) -> None:
        self._frames = frames
        self._last_us = 0

    def __iter__(self) -> Iterator[Heard]:
        for frame in self._frames:
            if frame.time_us - self._last_us >= 1_000_000:
                yield Tick(
                    frame.time_us, ((6, min(1000, (frame.time_us - self._last_us) // 1000)),) if self._last_us else ()
                )
                self._last_us = frame.time_us
            yield frame

    def losses(self) -> dict[str, int]:
        return {}

    def close(self) -> None:
        """Nothing to close."""


class Journalled:
    """A delivery whose batches are written down by somebody whom no fault reaches, before and after it takes them."""

    trouble = ""

    def __init__(self, delivery: SpoolDelivery, path: Path, life: int) -> None:
        self._delivery = delivery
        self._life = life
        self._journal = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._delivery, name)

    @property
    def left(self) -> int:
        return self._delivery.left

    @property
    def untold(self) -> int:
        return self._delivery.untold

    def put(self, batch: SignedBatch) -> int:
        ledger = read(batch.message).ledger
        name = {"boot": batch.boot.hex(), "number": batch.number}
        self.say(
            kind="made", **name, sha=hashlib.sha256(batch.message).hexdigest(), sightings=batch.sightings, frames=ledger.frames,
            probe_requests=ledger.probe_requests, skipped=sum(ledger.skipped.values()), told=ledger.evicted_batches,
        )  # fmt: skip
        given_up = self._delivery.put(batch)
        with self._delivery._changed:
            in_memory = [(waiting.boot.hex(), waiting.number) for waiting in self._delivery._memory]
        self.say(kind="kept", **name, given_up=given_up, in_memory=in_memory)
        return given_up

    def finish(self, within_s: float) -> None:
        self._delivery.finish(within_s)
        with self._delivery._changed:
            in_memory = [(waiting.boot.hex(), waiting.number) for waiting in self._delivery._memory]
        self.say(kind="finished", in_memory=in_memory)

    def watch(self, spool: Spool | TieredSpool) -> None:
        """Write down also what makes room, before it does."""
        for tier in (spool._ram, spool._flash) if isinstance(spool, TieredSpool) else (spool,):
            note = tier._evictions.note

            def noted(path: Path, told: int, note: Callable[..., None] = note, **how: bool) -> None:
                boot, number = name_of(path)
                self.say(kind="evicted", boot=boot, number=number)
                note(path, told, **how)

            tier._evictions.note = noted

    def say(self, **words: Any) -> None:
        os.write(self._journal, (json.dumps({"life": self._life, **words}) + "\n").encode())


def read(message: bytes) -> Any:
    """The batch in a message."""
    import cbor2

    return batch_of(cbor2.loads(inflate(open_message(message).payload)))


__all__ = ["Journalled", "Pipeline", "Shop", "forked", "make_base"]
