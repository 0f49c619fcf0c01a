"""How the pages look and read: nothing runs over the edge, axe finds nothing serious, and each is near its golden picture.

The pictures are compared shrunk, with a tolerance: fonts differ a little between machines, a missing chart or a lost colour scheme does
not pass. `IVIZONE_GOLDEN=write make test-browser` makes them anew; look at the difference before committing it.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

pytest.importorskip("PIL", reason="the extra 'browser' is not installed; run: make test-browser")
from PIL import Image, ImageChops, ImageStat

PHONE, DESK = (390, 844), (1440, 900)
GOLDEN = Path(__file__).parent / "golden"
AXE = Path(__file__).resolve().parents[2] / "build" / "browser" / "node_modules" / "axe-core" / "axe.min.js"
TOLERANCE = 6.0
"""Mean difference of a pixel of the shrunk pictures, of 255."""
SHRUNK = 4
PAGES = {
    "sign-in": ("/sign-in", None),
    "day": ("/sites/store-00?date=2026-11-20", "owner@main"),
    "weeks": ("/sites/store-00/weeks?from=2026-10-24&to=2026-11-20", "owner@main"),
    "stores": ("/stores?from=2026-10-24&to=2026-11-20", "owner@main"),
    "report": ("/sites/store-00/report?week=2026-W46", "owner@main"),
    "fleet": ("/fleet", "owner@main"),
    "agent": ("/fleet/ap-store-00", "owner@main"),
    "setup": ("/sites/store-00/setup", "owner@main"),
    "sign": ("/p/store-00/sign?lang=fr", None),
    "account": ("/account", "owner@main"),
    "silent": ("/sites/store-00?date=2020-01-01", "owner@main"),
    "not-there": ("/sites/none", "owner@main"),
}
KEPT = ("sign-in", "day", "weeks", "stores", "setup", "silent")
"""Pages that have golden pictures."""


def opened(world, name, size, scheme):
    path, login = PAGES[name]
    page = world.window(login, size, scheme)
    page.goto(path)
    charts = page.locator("[data-chart]").count()
    if charts:
        page.locator(".uplot canvas").nth(charts - 1).wait_for()
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("name", PAGES)
def test_nothing_runs_over_the_edge_and_axe_finds_nothing_serious(world, name, size, scheme):
    page = opened(world, name, size, scheme)

    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    if not AXE.is_file():
        pytest.skip("axe-core is not there; npm brings it: make test-browser")
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']})")[
        "violations"
    ]
    serious = [
        (one["id"], [node["html"][:120] for node in one["nodes"][:3]])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []


@pytest.mark.parametrize(
    ("size", "scheme"),
    [(PHONE, "light"), (PHONE, "dark"), (DESK, "light"), (DESK, "dark")],
    ids=["390-light", "390-dark", "1440-light", "1440-dark"],
)
@pytest.mark.parametrize("name", KEPT)
def test_a_page_looks_as_it_did(world, name, size, scheme):
    page = opened(world, name, size, scheme)
    shot = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")
    small = shot.resize((shot.width // SHRUNK, shot.height // SHRUNK), Image.Resampling.BOX)
    path = GOLDEN / f"{name}-{size[0]}-{scheme}.png"
    if os.environ.get("IVIZONE_GOLDEN") == "write":
        small.quantize(64).save(path, optimize=True)
    golden = Image.open(path).convert("RGB")

    assert abs(small.height - golden.height) <= golden.height * 0.04, "longer or shorter than it was"
    height = min(small.height, golden.height)
    box = (0, 0, golden.width, height)
    difference = ImageStat.Stat(ImageChops.difference(small.crop(box), golden.crop(box))).mean
    assert max(difference) < TOLERANCE, f"differs by {difference}; look at it, and if it should: IVIZONE_GOLDEN=write"


def test_the_control_another_page_is_not_near_a_golden_picture():
    day, silent = (Image.open(GOLDEN / f"{name}-1440-light.png").convert("RGB") for name in ("day", "silent"))
    box = (0, 0, day.width, min(day.height, silent.height))

    assert max(ImageStat.Stat(ImageChops.difference(day.crop(box), silent.crop(box))).mean) > TOLERANCE
