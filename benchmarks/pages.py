"""Pages in the system's Chromium over a year of fifty stores: bytes, requests, time to the first chart, beside an empty page in one run.

    python -m benchmarks.pages [--stores 50] [--days 365] [--rounds 10]

The empty page is a static file of the same server with the same styles: what is left is our work. Loads alternate, each in a fresh
context, so that no cache of the browser helps and whatever else the machine does falls on both alike. Needs the extra ``browser``.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from playwright.sync_api import Browser, sync_playwright
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from benchmarks.year import make_year
from cloud.embedded import Embedded
from cloud.server import ServerThread, listen

ARGUMENTS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync")  # fmt: skip
LAST = date(2026, 11, 20)
EMPTY = '<!doctype html><html lang="en"><title>Empty</title><link rel="stylesheet" href="/static/page.css"><h1>Empty</h1></html>'
CHART_JS = "() => performance.getEntriesByName('ivizone-chart')[0]?.startTime ?? null"
PAINT_JS = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"
BOUND_MS = 1000.0


@dataclass
class Loads:
    """What the loads of one page took."""

    paint_ms: list[float] = field(default_factory=list)
    chart_ms: list[float] = field(default_factory=list)
    bytes: int = 0
    requests: int = 0


def measure(folder: Path, rounds: int) -> dict[str, Loads]:
    """Load every page ``rounds`` times."""
    first = LAST - timedelta(days=364)
    pages = {
        "empty page": "/empty",
        "day": f"/sites/store-07?date={LAST}",
        "weeks, 4 weeks": f"/sites/store-07/weeks?from={LAST - timedelta(days=27)}&to={LAST}",
        "weeks, a year": f"/sites/store-07/weeks?from={first}&to={LAST}",
        "stores, 4 weeks": f"/stores?from={LAST - timedelta(days=27)}&to={LAST}",
        "stores, a year": f"/stores?from={first}&to={LAST}",
        "report": "/sites/store-07/report?week=2026-W46",
        "fleet": "/fleet",
    }
    embedded = Embedded(folder)
    app = embedded.app(works=False, is_open=True)
    app.router.routes.append(Route("/empty", _empty))
    socket = listen("127.0.0.1", 0)
    if socket is None:
        raise SystemExit("no port on 127.0.0.1 is free")
    found = {name: Loads() for name in pages}
    with ServerThread(app, socket) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(ARGUMENTS))
        for _ in range(rounds):
            for name, path in pages.items():
                _load(browser, server.url + path, found[name])
        browser.close()
    return found


async def _empty(_request: Request) -> Response:
    return HTMLResponse(EMPTY)


def _load(browser: Browser, url: str, loads: Loads) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    client = context.new_cdp_session(page)
    client.send("Network.enable")
    sizes: list[float] = []
    requests: list[str] = []
    client.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    client.on("Network.requestWillBeSent", lambda event: requests.append(event["request"]["url"]))
    page.goto(url, wait_until="load")
    charts = page.locator("[data-chart]").count()
    if charts:
        page.locator(".uplot canvas").nth(charts - 1).wait_for()
    page.wait_for_timeout(50)
    _note(loads.paint_ms, page.evaluate(PAINT_JS))
    _note(loads.chart_ms, page.evaluate(CHART_JS))
    loads.bytes, loads.requests = int(sum(sizes)), len(requests)
    context.close()


def _note(times: list[float], time_ms: Any) -> None:
    if time_ms is not None:
        times.append(float(time_ms))


def report(found: dict[str, Loads]) -> str:
    """A table; times in milliseconds from the start of the navigation."""
    lines = [
        "| page | requests | KB | first paint, median | first chart, median | worst |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, loads in found.items():
        paint = f"{median(loads.paint_ms):.0f}" if loads.paint_ms else "-"
        chart = f"{median(loads.chart_ms):.0f}" if loads.chart_ms else "-"
        worst = f"{max(loads.chart_ms or loads.paint_ms):.0f}" if loads.chart_ms or loads.paint_ms else "-"
        lines.append(f"| {name} | {loads.requests} | {loads.bytes / 1000:.1f} | {paint} | {chart} | {worst} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the year where it is not there, measure, print. 1 where the day's first chart takes longer than a second in the median."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stores", type=int, default=50)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--folder", type=Path, help="where the year lies or shall lie (default: a temporary folder)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        if not (folder / "ivizone.sqlite").exists():
            print(f"making {options.days} days of {options.stores} stores", file=sys.stderr, flush=True)
            make_year(folder, options.stores, LAST, options.days).dispose()
        size_mb = (folder / "ivizone.sqlite").stat().st_size / 1e6
        found = measure(folder, options.rounds)
    print(
        f"{options.stores} stores, {options.days} days, {size_mb:.0f} MB, {options.rounds} loads of each page, 390 px wide\n"
    )
    print(report(found))
    return 0 if median(found["day"].chart_ms) <= BOUND_MS else 1


if __name__ == "__main__":
    sys.exit(main())
