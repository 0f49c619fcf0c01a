"""Scenarios of `make test-radio`, run inside the guest: an access point, the real agent on a monitor interface beside it, phones, and a fault.

    scenarios.py NAME...

Prints one JSON object a line for each: what was sent, the ledger of every batch that the agent made, its log's events with their times,
and what its process cost. It judges nothing; the tests on the host do. Addresses are locally administered and made here.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

RIG = Path(__file__).resolve().parent
CHECKOUT = Path(os.environ.get("IVIZONE_CHECKOUT", "/host"))
HOME = Path(os.environ.get("IVIZONE_RIG_HOME", "/run/ivizone"))
CODE = HOME / "code"
INTERFACE = os.environ.get("IVIZONE_RIG_INTERFACE", "mon0")
AGENT = [sys.executable, "-m", "agent"]
if sysfs := os.environ.get("IVIZONE_RIG_SYSFS"):  # where another interface passes for a monitor (tests/support/veth.py)
    passing = """
import sys
from agent.frugal import frugal
with frugal():
    import agent.sources.monitor as monitor
monitor.SYSFS = monitor.Path(sys.argv.pop(1))
from agent.cli import main
sys.exit(main())
"""
    AGENT[1:] = ["-c", passing, sysfs]
CHANNEL = 6
OTHER_CHANNEL = 11
WINDOW_S = 5
HEALTHY_S, FAULT_S, AFTER_S = 13.0, 13.0, 15.0
"""After a fault so long that a whole window lies in it, if the agent hears again within ten seconds."""
HEARS_WITHIN_S = 30.0
AS_LONG_AS_IT_TAKES_S = 600.0
"""Phones do not stop because a fault takes longer than usual; they are stopped."""
CONFIG = f"""
agent: {{id: ap-rig, site: rig, key_file: {HOME}/agent.key}}
source: {{name: monitor, interface: {INTERFACE}}}
cloud: {{url: "http://127.0.0.1:9"}}
privacy: {{mode: day, site_key_file: {HOME}/site.key}}
batch: {{window_s: {WINDOW_S}, max_age_s: {WINDOW_S}}}
spool: {{directory: {HOME}/spool}}
state: {{status_file: {HOME}/status.json, every_s: 1}}
log: {{format: json}}
"""


def sh(command: str) -> str:
    """Run a shell command with the helpers of lab.sh. Raises CalledProcessError."""
    done = subprocess.run(
        ["sh", "-c", f". {RIG}/lab.sh; {command}"], check=False, capture_output=True, text=True, timeout=60
    )
    if done.returncode:
        raise SystemExit(f"{command}: status {done.returncode}: {done.stderr or done.stdout}")
    return done.stdout


def prepare_agent() -> None:
    """The agent's code out of the checkout, as bytecode like in its package, and its keys.

    structlog and cryptography are those of the checkout's virtual environment, because Debian's are older than we need.
    """
    CODE.mkdir(parents=True)
    packages = next(CHECKOUT.glob(".venv/lib/python3*/site-packages"))
    for package in (CHECKOUT / "agent", packages / "structlog", packages / "cryptography"):
        shutil.copytree(package, CODE / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(CODE)], check=True, timeout=300)
    sys.path.insert(0, str(CODE))
    os.environ["PYTHONPATH"] = str(CODE)
    (HOME / "agent.yaml").write_text(CONFIG)
    from agent.own_key import load_or_make_key

    load_or_make_key(HOME / "agent.key")
    agent("site-key", "new")


def prepare_air() -> None:
    """An access point, a monitor beside it, and a radio that sends."""
    sh(
        f"lab_ap wlan0 {CHANNEL} IvizoneRig; lab_monitor_beside wlan0 mon0; lab_monitor wlan1 {CHANNEL}; lab_signal wlan1 -55"
    )


def agent(*words: str) -> str:
    """Run a command of the agent to its end."""
    done = subprocess.run(
        [*AGENT, *words, "--config", str(HOME / "agent.yaml")],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    return done.stdout


class Run:
    """One run of the agent, from start to SIGTERM."""

    def __init__(self) -> None:
        shutil.rmtree(HOME / "spool", ignore_errors=True)
        (HOME / "status.json").unlink(missing_ok=True)
        self._log = (HOME / "log").open("w+")
        self.started = time.time()
        self.process = subprocess.Popen(
            [*AGENT, "run", "--config", str(HOME / "agent.yaml")],
            stderr=self._log,
            stdout=self._log,
        )

    def wait_until_listening(self) -> None:
        """Until the status file says so."""
        for _ in range(300):
            self._must_live()
            if self.source().get("condition") == "listening":
                return
            time.sleep(0.1)
        raise SystemExit(f"the agent does not listen; its state: {self.source()}")

    def _must_live(self) -> None:
        if self.process.poll() is not None:
            self._log.seek(0)
            raise SystemExit(f"the agent ended with {self.process.returncode}: {self._log.read()[-4000:]}")

    def source(self) -> dict[str, Any]:
        """What the source says of itself in the status file."""
        try:
            return dict(json.loads((HOME / "status.json").read_text())["source"])
        except (OSError, ValueError, KeyError):
            return {}

    def heard_again_s(self) -> float | None:
        """Seconds from now until the agent has probe requests that it had not before, by its own count; None if too many pass.

        Never too few: what it has is taken from the first status file that is written from now on.
        """
        began, at_first = time.time(), None
        while time.time() < began + HEARS_WITHIN_S:
            self._must_live()
            if (HOME / "status.json").stat().st_mtime > began:
                frames = self.source().get("probe_frames")
                if at_first is None:
                    at_first = frames
                elif frames is not None and frames > at_first:
                    return round(time.time() - began, 1)
            time.sleep(0.1)
        return None

    def cost(self) -> dict[str, float]:
        """Seconds of processor so far, and KiB of memory now and at most."""
        self._must_live()
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        status = dict(
            line.split(":\t", 1)
            for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
            if ":\t" in line
        )
        ticks = int(fields[11]) + int(fields[12])
        kib = {name: int(status[name].split()[0]) for name in ("VmRSS", "VmHWM", "RssAnon", "RssFile", "RssShmem")}
        return {"cpu_s": ticks / os.sysconf("SC_CLK_TCK"), **kib}

    def stop(self) -> dict[str, Any]:
        """End the run; gives its batches, its log and how it ended."""
        asked = time.time()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=60)
        ended = time.time()
        self._log.seek(0)
        events = [json.loads(line) for line in self._log if line.startswith("{")]
        return {
            "batches": batches(),
            "events": events,
            "exit": code,
            "stop_s": round(ended - asked, 2),
            "started": self.started,
        }


def batches() -> list[dict[str, Any]]:
    """The ledgers of the batches in the spool, with their times in epoch seconds."""
    from agent.spool import Spool
    from agent.wire.codec import decode_batch
    from agent.wire.cose import open_message
    from agent.wire.model import plain

    found = []
    spool = Spool(HOME / "spool", 1 << 30)
    for entry in spool.entries():
        batch = decode_batch(open_message(spool.read(entry)).payload)
        first_ms = min((sighting.first_ms for sighting in batch.sightings), default=None)
        found.append(
            {
                "start": batch.header.window_start_ms / 1000,
                "end": batch.header.window_end_ms / 1000,
                "sightings": len(batch.sightings),
                "first": first_ms and first_ms / 1000,
                **plain(batch.ledger),
            }
        )
    return found


def inject(rate: float, seconds: float, *more: str) -> subprocess.Popen[str]:
    """Begin to send probe requests from wlan1."""
    words = ["wlan1", "02:00:00:00:00:01", "--rate", str(rate), "--seconds", str(seconds), *more]
    return subprocess.Popen([sys.executable, str(RIG / "inject.py"), *words], stdout=subprocess.PIPE, text=True)


def received(interface: str = "mon0") -> int:
    """Frames of others that the interface has delivered since it was made."""
    return int(Path(f"/sys/class/net/{interface}/statistics/rx_packets").read_text())


def rate(per_second: float, seconds: float) -> dict[str, Any]:
    """Probe requests at a rate, by 400 phones that change now and then."""
    run = Run()
    run.wait_until_listening()
    before, cost = received(), run.cost()
    said, _ = inject(per_second, seconds, "--addresses", "400").communicate(timeout=seconds * 5 + 60)
    delivered = received() - before
    time.sleep(2)
    after = run.cost()
    return {
        "sent": round(per_second * seconds),
        "said": said.strip(),
        "delivered": delivered,
        "cpu_s": round(after["cpu_s"] - cost["cpu_s"], 2),
        "VmHWM": after["VmHWM"],
        **run.stop(),
    }


def fault(begin: str, end: str, fault_s: float = FAULT_S) -> dict[str, Any]:
    """Phones at 20 frames a second all the time; a fault begins and ends while the agent runs."""
    run = Run()
    run.wait_until_listening()
    sending = inject(20, AS_LONG_AS_IT_TAKES_S, "--addresses", "40")
    time.sleep(HEALTHY_S)
    began = time.time()
    sh(begin)
    time.sleep(fault_s)
    during = run.source()
    sh(end)
    ended = time.time()
    heard_again_s = run.heard_again_s()
    time.sleep(max(0.0, ended + AFTER_S - time.time()))
    after = run.source()
    sending.kill()
    sending.communicate()
    told = {"begin": begin, "end": end, "began": began, "ended": ended, "heard_again_s": heard_again_s}
    return {**told, "during": during, "after": after, **run.stop()}


def idle(seconds: float) -> dict[str, Any]:
    """What the agent costs at 20 probe requests a second, and how soon it hears the first."""
    sending = inject(20, AS_LONG_AS_IT_TAKES_S, "--addresses", "40")
    time.sleep(1)
    told = attend(seconds)
    sending.kill()
    sending.communicate()
    return told


def attend(seconds: float) -> dict[str, Any]:
    """What the agent costs while somebody sends."""
    run = Run()
    run.wait_until_listening()
    time.sleep(5)
    before, began = run.cost(), time.monotonic()
    time.sleep(seconds)
    after, passed = run.cost(), time.monotonic() - began
    cpu_s = round(after["cpu_s"] - before["cpu_s"], 2)
    return {"seconds": round(passed, 1), "cpu_s": cpu_s, "memory_kib": after, **run.stop()}


SCENARIOS: dict[str, Callable[[], dict[str, Any]]] = {
    "rate_300": lambda: rate(300, 60),
    "rate_1000": lambda: rate(1000, 60),
    "down": lambda: fault("ip link set mon0 down", "ip link set mon0 up"),
    "deleted": lambda: fault("iw dev mon0 del", "lab_monitor_beside wlan0 mon0"),
    "replaced": lambda: fault("iw dev mon0 del; lab_monitor_beside wlan0 mon0", "true", 2.0),
    "managed": lambda: fault(
        "ip link set mon0 down; iw dev mon0 set type managed",
        "iw dev mon0 set type monitor; ip link set mon0 up",
    ),
    "hostapd_stop": lambda: fault("lab_ap_stop wlan0", f"lab_ap wlan0 {CHANNEL} IvizoneRig"),
    "hostapd_restart": lambda: fault(f"lab_ap_stop wlan0; sleep 1; lab_ap wlan0 {CHANNEL} IvizoneRig", "true", 2.0),
    "hostapd_moves": lambda: fault(
        f"lab_ap_stop wlan0; sleep 1; lab_ap wlan0 {OTHER_CHANNEL} IvizoneRig; iw dev wlan1 set channel {OTHER_CHANNEL}",
        f"lab_ap_stop wlan0; sleep 1; lab_ap wlan0 {CHANNEL} IvizoneRig; iw dev wlan1 set channel {CHANNEL}",
    ),
    "idle": lambda: idle(60),
    "here": lambda: attend(60),
}  # fmt: skip
"""hostapd_moves: the channel on which the agent says that it listened must follow. here: outside the guest, where the test sends."""


def main() -> None:
    prepare_agent()
    if sys.argv[1:] != ["here"]:
        prepare_air()
    for name in sys.argv[1:]:
        began = time.monotonic()
        result = SCENARIOS[name]()
        print(json.dumps({"scenario": name, "took_s": round(time.monotonic() - began, 1), **result}), flush=True)


if __name__ == "__main__":
    main()
