"""What a running agent costs on this machine: `ivizone-agent run` on a virtual interface that passes for a monitor, a cloud that answers over TLS.

    .venv/bin/python tests/radio/cost.py                                        idle: 20 probe requests a second by 40 phones
    .venv/bin/python tests/radio/cost.py --addresses 1000000 --rate 4000        a million phones, each with one probe request
    .venv/bin/python tests/radio/cost.py --python OTHER/bin/python              the agent under another Python (its packages are what counts)
    .venv/bin/python tests/radio/cost.py --floor                                what Python, TLS and a signature take before any code of ours

Prints resident memory while it runs and where it is, the processor, what the process gave to the disks, the first frame, how long it took to
stop after SIGTERM, once with the cloud there and once with it away (`--cloud away`), and of every probe request sent what became of it.
Few phones send from before the agent starts, so that the first frame is one; a crowd sends from when it listens, one frame each. Needs root
for the interface; judges nothing.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from array import array
from bisect import bisect_left
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from threading import Event, Thread
from typing import Any, Self

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))  # in front: tests/ has a folder "agent" too

from support.certificates import self_signed
from support.frames import ELEMENTS, heard, local
from support.stand_in_cloud import stand_in_cloud
from support.veth import FakeMonitor

from agent.own_key import load_or_make_key
from agent.wire.codec import decode_batch
from agent.wire.cose import ENVELOPE, open_message

CHECKOUT = Path(__file__).parents[2]
RUN = """
import sys
from agent.frugal import frugal
with frugal():
    import agent.sources.monitor as monitor
monitor.SYSFS = monitor.Path(sys.argv.pop(1))
from agent.cli import main
sys.exit(main())
"""
"""The agent, to which a virtual interface passes for a monitor."""
FLOOR = """
import re
def show(what):
    text = open("/proc/self/status").read()
    resident, own = (int(re.search(name + r":\\s+(\\d+)", text)[1]) * 1024 / 1e6 for name in ("VmRSS", "RssAnon"))
    print(f"{what:<44}  resident {resident:5.1f} MB, its own {own:5.1f} MB")
show("Python and a regular expression")
import ssl
ssl.create_default_context()
show("and TLS with the system's certificates")
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
Ed25519PrivateKey.from_private_bytes(bytes(32)).sign(b"")
show("and one signature by cryptography")
"""
"""What an agent cannot do without, whoever writes it."""
LOOKS = 10
CROWD = 1000
OPENS_WITHIN_S = 30.0
DAY_S = 86_400


def probe_request(phone: int, number: int) -> bytes:
    """One of a phone of its own kind, level and counter: of a hundred kinds, so that a crowd is no single phone that changes its address."""
    kind = b"\xdd\x05\x02\0\0" + (phone % 100).to_bytes(2, "big")
    sequence = (phone * 1103 + number % 4) % 4096
    return heard(local(phone), rssi=-40 - phone * 7 % 50, sequence=sequence, elements=ELEMENTS + kind)


class Phones:
    """They send for as long as the block runs: few phones take turns with four probe requests each, a crowd has one each."""

    def __init__(self, folder: Path, rate: float, addresses: int) -> None:
        self.monitor = FakeMonitor(folder / "net")
        self.is_crowd = addresses > CROWD
        self.sent_s = array("d")
        """When each was sent, in seconds since the epoch."""
        self._rate, self._addresses = rate, addresses
        self._is_over = Event()
        self._sender = Thread(target=self._send)
        self._at_first = self.delivered()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.monitor.close()

    def begin(self) -> None:
        self._sender.start()

    def stop(self) -> None:
        self._is_over.set()
        if self._sender.ident:
            self._sender.join()

    def delivered(self) -> int:
        """Frames that came out at the agent's end, by the interface's own counter."""
        return int((self.monitor.sysfs / self.monitor.name / "statistics" / "rx_packets").read_text())

    def _send(self) -> None:
        number, began, repeats = 0, time.monotonic(), 1 if self.is_crowd else 4
        while not self._is_over.is_set() and (number < self._addresses or not self.is_crowd):
            frame = probe_request(number // repeats % self._addresses, number)
            self.sent_s.append(time.time())
            self.monitor.send(frame)
            number += 1
            ahead_s = began + number / self._rate - time.monotonic()
            if ahead_s > 0.002:
                self._is_over.wait(ahead_s)


def configured(folder: Path, interface: str, url: str, ca_file: Path | None) -> Path:
    """An enrolled agent as an owner has it: windows and batches of 30 s, batches in RAM while the cloud answers, keys on the disk."""
    load_or_make_key(folder / "disk" / "agent.key")
    path = folder / "agent.yaml"
    path.write_text(f"""
agent: {{id: ap-cost, site: shop, key_file: {folder}/disk/agent.key}}
source: {{name: monitor, interface: {interface}}}
cloud: {{url: "{url}", ca_file: "{ca_file or ""}"}}
privacy: {{mode: day, site_key_file: {folder}/disk/site.key}}
spool: {{directory: {folder}/disk/spool, ram_directory: {folder}/ram/spool}}
state: {{status_file: {folder}/ram/status.json}}
log: {{format: json}}
""")
    words = [sys.executable, "-m", "agent", "site-key", "new", "--config", str(path)]
    subprocess.run(words, cwd=CHECKOUT, check=True, capture_output=True, timeout=60)
    return path


def of_process(pid: int, file: str, *names: str) -> list[int]:
    """Numbers of a file in /proc."""
    text = Path(f"/proc/{pid}/{file}").read_text()
    return [int(found[1]) if (found := re.search(rf"^{name}:\s+(\d+)", text, re.M)) else 0 for name in names]


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def mappings(pid: int) -> list[tuple[str, int, int]]:
    """(what, resident KiB, of these its own) of everything that is mapped, the largest first. Source: proc_pid_smaps(5)."""
    found: dict[str, list[int]] = {}
    for block in re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", Path(f"/proc/{pid}/smaps").read_text()):
        head = block.split("\n", 1)[0].split(None, 5)
        sums = found.setdefault(Path(head[5]).name if len(head) > 5 else "Python's objects", [0, 0])
        for place, name in enumerate(("Rss", "Anonymous")):
            match = re.search(rf"^{name}:\s+(\d+)", block, re.M)
            sums[place] += int(match[1]) if match else 0
    return sorted(((name, *kib) for name, kib in found.items()), key=lambda row: -row[1])


def show(pid: int, passed_s: float) -> None:
    resident, own = of_process(pid, "status", "VmRSS", "RssAnon")
    print(
        f"{passed_s:6.0f} s  resident {resident * 1024 / 1e6:5.1f} MB, its own {own * 1024 / 1e6:5.1f} MB", flush=True
    )


def measure(
    options: argparse.Namespace, folder: Path, url: str, ca_file: Path | None, bodies: Callable[[], list[bytes]]
) -> None:
    seconds = options.seconds or (options.addresses / options.rate + 35 if options.addresses > CROWD else 120)
    with Phones(folder, options.rate, options.addresses) as phones:
        config = configured(folder, phones.monitor.name, url, ca_file)
        words = [options.python, "-c", RUN, str(phones.monitor.sysfs), "run", "--config", str(config)]
        # As the services start it (deploy/): bytecode is there, or is written once.
        env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        if not phones.is_crowd:
            phones.begin()
        started = time.time()
        log = folder / "ram" / "log"
        with log.open("w") as out:
            agent = subprocess.Popen(words, env={**env, "PYTHONPATH": str(CHECKOUT)}, stderr=out, stdout=out)
            try:
                if phones.is_crowd:
                    wait_until_open(agent, log)
                    phones.begin()
                at_start = watch(agent, seconds)
                tell(agent.pid, seconds, at_start)
                phones.stop()
                stop(agent)
            finally:
                agent.kill()
        delivered = phones.delivered()
    made = [decode_batch(open_message(body).payload) for body in bodies() if body.startswith(ENVELOPE)]
    print(f"{len(phones.sent_s):,} probe requests sent, {delivered:,} delivered to the interface (its own counter)")
    if made:
        account(made, started, phones.sent_s, 0.5 / options.rate)


def wait_until_open(agent: subprocess.Popen[Any], log: Path) -> None:
    """Until the agent's log says that the capture is open."""
    until_s = time.monotonic() + OPENS_WITHIN_S
    while '"monitor_opened"' not in log.read_text():
        if agent.poll() is not None or time.monotonic() > until_s:
            raise SystemExit(f"the agent does not listen (exit code {agent.poll()}):\n{log.read_text()[-2000:]}")
        time.sleep(0.01)


def watch(agent: subprocess.Popen[Any], seconds: float) -> int:
    """Say every now and then how much memory it has. Gives the bytes that it had written to disks at the first look."""
    for look in range(1, LOOKS + 1):
        time.sleep(seconds / LOOKS)
        if agent.poll() is not None:
            raise SystemExit(f"the agent ended with {agent.returncode}")
        show(agent.pid, seconds * look / LOOKS)
        if look == 1:
            (written,) = of_process(agent.pid, "io", "write_bytes")
    return written


def tell(pid: int, seconds: float, at_start: int) -> None:
    """Where its memory is, and what it cost beside that."""
    print("\nwhere                                          resident KiB    its own KiB")
    for name, resident, own in mappings(pid)[:10]:
        print(f"{name[:44]:<44}  {resident:12,}  {own:13,}")
    (written,) = of_process(pid, "io", "write_bytes")
    rest_s = seconds * (LOOKS - 1) / LOOKS
    a_day = (written - at_start) * DAY_S / rest_s
    print(f"\nprocessor: {100 * cpu_s(pid) / seconds:.2f} % of a core, the start included")
    print(
        f"given to disks: {at_start:,} bytes by the first look, {written - at_start:,} in the {rest_s:.0f} s after it ({a_day:,.0f} a day)"
    )


def stop(agent: subprocess.Popen[Any]) -> None:
    asked = time.monotonic()
    agent.send_signal(signal.SIGTERM)
    code = agent.wait(timeout=60)
    print(f"stopped {time.monotonic() - asked:.1f} s after SIGTERM, exit code {code}")


def account(made: list[Any], started: float, sent_s: array[float], half_s: float) -> None:
    """What became of every probe request sent. Those before the first that the agent has were sent while it started."""
    first_s = min(sighting.first_ms for batch in made for sighting in batch.sightings) / 1000
    frames, dropped = (sum(getattr(batch.ledger, name) for batch in made) for name in ("frames", "kernel_drops"))
    early = bisect_left(sent_s, first_s - half_s)
    print(f"first frame {first_s - started:.2f} s after the start of the process")
    print(f"{len(made)} batches arrived, {sum(len(batch.sightings) for batch in made):,} sightings")
    print(
        f"of those sent: {frames:,} frames in the ledgers, {dropped:,} dropped by the kernel, {early:,} sent before the first that was heard, "
        f"{len(sent_s) - frames - dropped - early:,} unexplained"
    )


def main() -> None:
    words = argparse.ArgumentParser(description="what a running agent costs on this machine")
    words.add_argument("--rate", type=float, default=20.0, help="probe requests a second (20)")
    words.add_argument("--addresses", type=int, default=40, help="phones (40)")
    words.add_argument("--seconds", type=float, help="how long (120, or until every phone was heard)")
    words.add_argument("--cloud", choices=("there", "away"), default="there")
    words.add_argument("--python", default=sys.executable, help="the Python that runs the agent")
    words.add_argument("--floor", action="store_true", help="only what it cannot do without")
    words.add_argument(
        "--disk",
        type=Path,
        help="a folder on a disk, not in RAM, for what must last (default: the system's for temporary files)",
    )
    options = words.parse_args()
    if options.floor:
        subprocess.run([options.python, "-c", FLOOR], check=True)
        return
    with (
        tempfile.TemporaryDirectory(dir=options.disk, prefix="ivizone-cost-") as made,
        tempfile.TemporaryDirectory(dir="/dev/shm") as ram,
    ):
        folder = Path(made)
        (folder / "ram").symlink_to(ram)
        ca_file, context = self_signed(folder) if options.cloud == "there" else (None, None)
        with stand_in_cloud(context=context) if context else nullcontext() as cloud:
            measure(
                options,
                folder,
                cloud.url if cloud else "http://127.0.0.1:9",
                ca_file,
                lambda: cloud.bodies if cloud else [],
            )


if __name__ == "__main__":
    main()
