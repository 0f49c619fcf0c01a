"""`ivizone-cloud demo`: a simulated day, and captures, through the real agent process and real HTTP to the page.

What the agent makes of the air is printed beside the simulator's truth. Everything lives in one folder that each demo begins anew.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import yaml

from cloud.accounts.viewer import MAIN, of_role
from cloud.dashboard import view
from cloud.dashboard.queries import Queries
from cloud.dashboard.view import metrics, show, show_interval
from cloud.domain.preset import OWN
from cloud.domain.site import Site, parse_hours
from cloud.embedded import Embedded, claim
from cloud.portal.demo import write_demo_offer
from cloud.server import ServerThread, listen

STORE = Site("demo-store", "Demo store", "Europe/Paris", "day", True, parse_hours("10:00-19:00"))
CAPTURES = Site("captures", "Your captures", "UTC", "day", True)
OPERATOR = of_role(MAIN, "demo", "owner")
WAIT_S = 120.0
TRUTH = {
    "visitors": ("visitors", "visitors_heard"),
    "passers_by": ("passers_by", "passers_by_heard"),
    "capture_rate": ("capture_rate", None),
    "dwell_median_s": ("dwell_median_s", None),
    "engaged": ("engaged", None),
    "residents": ("residents", None),
}
"""Metric -> the simulator's truth, and the part of it of which any frame was heard."""


class DemoError(Exception):
    """A step failed; the message says which and why."""


class Demo:
    """One demo in ``folder``; the page on ``port``, or on a free one where it is taken."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self._port = port
        self._steps = 0

    def run(self, captures: Sequence[Path], shoppers: int, seed: int, *, once: bool) -> None:
        """Everything, then serve until Ctrl-C unless ``once``. Raises DemoError, FolderTaken."""
        with claim(self._folder.with_name("demo.lock")):
            self._run(captures, shoppers, seed, once=once)

    def _run(self, captures: Sequence[Path], shoppers: int, seed: int, *, once: bool) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        socket = listen("127.0.0.1", self._port) or listen("127.0.0.1", 0)
        if socket is None:
            raise DemoError("no port on 127.0.0.1 is free")
        embedded = Embedded(self._folder / "cloud")
        with ServerThread(embedded.app(is_open=True), socket) as server:
            self._say(f"the embedded cloud answers on {server.url}")
            day = (date.today() - timedelta(days=1)).isoformat()
            truth = self._simulate(day, shoppers, seed)
            summary = self._send(embedded, server.url, STORE, [self._folder / "day.pcap"])
            self._wait(embedded)
            self._compare(embedded, day, truth, summary)
            pages = [f"{server.url}/sites/{STORE.site}?date={day}"]
            if captures:
                summary = self._send(embedded, server.url, CAPTURES, captures, "--onto-day", day)
                self._wait(embedded)
                pages.append(self._report_captures(embedded, server.url, day, summary))
            write_demo_offer(embedded.database, embedded.now_ms, STORE.site)
            print("\nThe merchant's page:", *(f"  {page}" for page in pages), sep="\n", flush=True)
            print("What a shopper sees:", f"  {server.url}/p/{STORE.site}/", sep="\n", flush=True)
            if not once:
                self._serve()

    def _serve(self) -> None:
        """Wait for SIGINT or SIGTERM; the server in its thread does the work."""
        stop: list[int] = []
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda received, _frame: stop.append(received))
        print("Ctrl-C stops.", flush=True)
        while not stop:
            time.sleep(0.2)
        print("\nstopping", file=sys.stderr)

    def _say(self, text: str) -> None:
        self._steps += 1
        print(f"[{self._steps}] {text}", file=sys.stderr, flush=True)

    # --- steps --------------------------------------------------------------------------------------------------------

    def _simulate(self, day: str, shoppers: int, seed: int) -> dict[str, Any]:
        self._say(f"simulating {day} with {shoppers:,} shoppers (seed {seed})")
        offset_min = -STORE.key_day_offset_min(STORE.day_bounds_ms(day)[0])
        out = self._folder / "day"
        self._call(
            "simulator",
            str(out),
            "--seed",
            str(seed),
            "--date",
            day,
            "--shoppers",
            str(shoppers),
            f"--utc-offset-min={offset_min}",
        )
        truth: dict[str, Any] = json.loads(out.with_name("day.truth.json").read_text())
        return truth

    def _send(self, embedded: Embedded, url: str, site: Site, captures: Sequence[Path], *how: str) -> dict[str, Any]:
        """Enrol an agent and let it replay; gives what `replay --json` printed."""
        folder = self._folder / f"agent-{site.site}"
        folder.mkdir()
        config = folder / "agent.yaml"
        paths = {
            "agent": {"key_file": str(folder / "agent.key")},
            "privacy": {"site_key_file": str(folder / "site.key")},
            "spool": {"directory": str(folder / "spool")},
        }
        config.write_text(yaml.safe_dump(paths))
        embedded.fleet.add_site(site)
        token = embedded.fleet.make_token(site.site)
        self._say(f"enrolling an agent for {site.name}")
        self._call("agent", "enrol", url, "--token", token, "--config", str(config))
        frames = f"{len(captures)} captures" if len(captures) > 1 else captures[0].name
        self._say(f"replaying {frames} through the agent, over HTTP")
        names = [str(path) for path in captures]
        answer = self._call(
            "agent", "replay", *names, *how, "--cloud", url, "--json", "--config", str(config), may_fail=(4,)
        )
        summary: dict[str, Any] = json.loads(answer.splitlines()[-1]) if answer.strip() else {}
        if not summary:
            raise DemoError("the captures hold nothing that the agent can read (see its message above)")
        self._say(
            f"{summary['frames']:,} frames -> {summary['sightings']:,} sightings -> {summary['batches']:,} batches "
            f"({summary['bytes']:,} bytes) in {summary['seconds']:.1f} s"
        )
        return summary

    def _call(self, module: str, *arguments: str, may_fail: tuple[int, ...] = ()) -> str:
        """Run one of our commands as a process of its own; its stderr goes to ours."""
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, text=True, check=False
        )
        if done.returncode and done.returncode not in may_fail:
            raise DemoError(f"{module} {arguments[0]} ended with {done.returncode}; its message stands above")
        return done.stdout

    def _wait(self, embedded: Embedded) -> None:
        """Until everything sent is in the figures."""
        self._say("waiting for the figures")
        until = time.monotonic() + WAIT_S
        while not embedded.is_idle():
            if time.monotonic() > until:
                raise DemoError(f"the figures were not ready after {WAIT_S:.0f} s; the log above says why")
            time.sleep(0.1)

    # --- what is printed ------------------------------------------------------------------------------------------------

    def _compare(self, embedded: Embedded, day: str, truth: dict[str, Any], summary: dict[str, Any]) -> None:
        figures = Queries(embedded.database).day(OPERATOR, STORE.site, day, OWN)
        so = truth["summary"]
        print(f"\n{STORE.name}, {day}: what the page shows beside the simulator's truth")
        print(f"  {'':16}{'page':>10}  {'90 % interval':18}{'coverage':>9}{'truth':>10}  of which heard at all")
        for metric, (name, heard) in TRUTH.items():
            figure, unit = figures.get(metric), metrics()[metric]["unit"]
            if figure is None or figure.value is None or so[name] is None:
                continue
            value, interval = (
                show(unit, figure.value),
                show_interval(unit, figure.low or 0.0, figure.high or 0.0).removeprefix("likely "),
            )
            coverage = f"{100 * (figure.coverage or 0):.1f} %"
            of = show("devices", so[heard]) if heard else ""
            title = metrics()[metric]["title"]
            print(f"  {title:16}{value:>10}  {interval:18}{coverage:>9}{show(unit, so[name]):>10}  {of}")
        devices = summary["devices"]
        print(
            f"  {'Devices (agent)':16}{devices['estimate']:>10.0f}  {devices['low']:.0f} to {devices['high']:.0f}"
            f"{'':17}{so['devices']:>10}  {so['devices_heard']}"
        )

    def _report_captures(self, embedded: Embedded, url: str, day: str, summary: dict[str, Any]) -> str:
        devices = summary["devices"]
        print(
            f"\n{CAPTURES.name}: {devices['estimate']:.0f} devices ({devices['low']:.0f} to {devices['high']:.0f}) "
            f"from {summary['probe_requests']:,} probe requests in {summary['frames']:,} frames, "
            f"laid onto {day}, each capture at its own time of day"
        )
        figures = Queries(embedded.database).day(OPERATOR, CAPTURES.site, day, OWN)
        for metric in TRUTH:
            tile = view.tile(metric, figures.get(metric))
            print(f"  {tile.title:16}{tile.value:>10}  {tile.interval or tile.note:28}{tile.coverage}")
        return f"{url}/sites/{CAPTURES.site}?date={day}"
