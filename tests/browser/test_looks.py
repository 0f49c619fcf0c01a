"""How the merchant's pages look and read: nothing runs over the edge, axe finds nothing serious, each is near its golden picture."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.pictures import TOLERANCE, difference, golden, look

PHONE, DESK = (390, 844), (1440, 900)
AXE = Path(__file__).resolve().parents[2] / "build" / "browser" / "node_modules" / "axe-core" / "axe.min.js"
PAGES = {
    "sign-in": ("/sign-in", None),
    "day": ("/sites/store-00?date=2026-11-20", "owner@main"),
    "weeks": ("/sites/store-00/weeks?from=2026-10-24&to=2026-11-20", "owner@main"),
    "stores": ("/stores?from=2026-10-24&to=2026-11-20", "owner@main"),
    "report": ("/sites/store-00/report?week=2026-W46", "owner@main"),
    "fleet": ("/fleet", "owner@main"),
    "agent": ("/fleet/ap-store-00", "owner@main"),
    "groups": ("/stores/groups", "owner@main"),
    "setup": ("/sites/store-00/setup", "owner@main"),
    "sign": ("/p/store-00/sign?lang=fr", None),
    "account": ("/account", "owner@main"),
    "api": ("/account/api", "owner@main"),
    "silent": ("/sites/store-00?date=2020-01-01", "owner@main"),
    "not-there": ("/sites/none", "owner@main"),
}
KEPT = ("sign-in", "day", "weeks", "stores", "report", "fleet", "setup", "silent")
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
    look(opened(world, name, size, scheme), f"{name}-{size[0]}-{scheme}")


def test_the_control_another_page_is_not_near_a_golden_picture():
    assert difference(golden("day-1440-light"), golden("silent-1440-light")) > TOLERANCE
