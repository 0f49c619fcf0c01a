"""The real processes, as people start them: `ivizone-cloud serve`, `ivizone-agent enrol` and `replay`, on free ports of this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

CHECKOUT = Path(__file__).resolve().parents[2]
STOP_S = 20.0


def run(module: str, *words: object, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
    """One command to its end."""
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, words)], cwd=CHECKOUT, capture_output=True, text=True, timeout=timeout_s, check=False
    )  # fmt: skip


class CloudProcess:
    """`ivizone-cloud serve` over a folder; started again it takes the same port, so that agents find it. Use as a context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self._log = (folder.parent / f"{folder.name}.log").open("a")

    def __enter__(self) -> CloudProcess:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._log.close()

    def start(self) -> None:
        """Begin to serve; returns when it is ready."""
        words = ["serve", "--open", "--data", str(self.folder), "--port", str(self.port)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cloud", *words], cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=self._log, text=True
        )
        address = self.process.stdout.readline().strip()
        assert address, (self.folder.parent / f"{self.folder.name}.log").read_text()[-2000:]
        self.url = address.rstrip("/")
        self.port = int(self.url.rpartition(":")[2])
        wait(lambda: _is_ready(self.url), 30.0)

    def kill(self) -> None:
        """As a power cut would, but for the disk's cache."""
        self.process.kill()
        self.process.wait()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to stop; gives its exit code."""
        self.process.send_signal(number)
        return self.process.wait(STOP_S)

    def command(self, *words: object) -> str:
        """Another command over the same folder; gives what it printed."""
        done = run("cloud", *words, "--data", self.folder)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def figures(self, site: str, date: str, **query: str) -> dict[str, Any]:
        """What the page shows, as data."""
        answer = httpx.get(f"{self.url}/sites/{site}/figures.json", params={"date": date, **query}, timeout=20)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def waiting(self) -> int:
        """Records that the consumer has not dealt with."""
        for line in httpx.get(f"{self.url}/metrics", timeout=20).text.splitlines():
            if line.startswith("ivizone_stream_waiting "):
                return int(line.split()[1])
        raise AssertionError("no such metric")


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def wait(is_so, within_s: float = 60.0, every_s: float = 0.05) -> None:
    """Until it is so."""
    deadline = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(every_s)


@dataclass
class AgentProcess:
    """An agent with its own folder: configuration, keys, spool."""

    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config = self.folder / "agent.yaml"
        if not self.config.exists():
            settings = {
                "agent": {"key_file": str(self.folder / "agent.key")},
                "privacy": {"site_key_file": str(self.folder / "site.key")},
                "spool": {"directory": str(self.folder / "spool")},
                "upload": {"first_retry_s": 0.05, "last_retry_s": 1},
                "batch": {"replay_max_age_s": 600},
            }
            self.config.write_text(yaml.safe_dump(settings))

    def enrol(self, cloud: CloudProcess, site: str) -> None:
        """With a token of that site."""
        token = cloud.command("agent", "token", "--site", site).strip()
        done = run("agent", "enrol", cloud.url, "--token", token, "--config", self.config)
        assert done.returncode == 0, done.stderr

    def replay(self, url: str, *captures: Path, timeout_s: float = 120.0) -> tuple[int, dict[str, Any], str]:
        """Gives exit code, summary and stderr."""
        done = run("agent", "replay", *captures, "--cloud", url, "--json", "--config", self.config, timeout_s=timeout_s)
        return done.returncode, json.loads(done.stdout.splitlines()[-1]) if done.stdout.strip() else {}, done.stderr

    def spooled(self) -> int:
        """Batches that wait on the disk."""
        return len(list((self.folder / "spool").glob("*.cose")))


def simulate(folder: Path, date: str, shoppers: int = 60, seed: int = 5) -> tuple[Path, dict[str, Any]]:
    """A simulated day in UTC; gives the capture and the truth."""
    done = run("simulator", folder / "day", "--date", date, "--shoppers", shoppers, "--seed", seed)
    assert done.returncode == 0, done.stderr
    return folder / "day.pcap", json.loads((folder / "day.truth.json").read_text())


def environment() -> dict[str, str]:
    """For a process that people start in a terminal."""
    return {**os.environ, "PYTHONUNBUFFERED": "1"}
