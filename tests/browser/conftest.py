"""Real Chromium, the system's own, on a server of ours with two merchants and sixty days of figures. `make test-browser` runs it."""

from __future__ import annotations

import os
import shutil
from datetime import date
from pathlib import Path

import pytest
from support.accounts import People
from support.clouds import Clock, served

from benchmarks.year import make_year
from cloud.embedded import Embedded

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--font-render-hinting=none")  # fmt: skip
LAST = date(2026, 11, 20)
DESK = (1440, 900)


def pytest_collection_modifyitems(items):
    reason = ""
    if not os.environ.get("IVIZONE_BROWSER"):
        reason = "Chromium is not asked for; run: make test-browser"
    elif CHROMIUM is None:
        reason = "there is no chromium; on Debian: apt-get install chromium"
    for item in items:
        if reason and Path(item.fspath).is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.skip(reason=reason))


class World:
    """A served cloud, its people, and what a test needs to open windows on it."""

    def __init__(self, embedded, people, url, chromium):
        self.embedded, self.people, self.url, self._chromium = embedded, people, url, chromium
        self.trouble = []
        self._contexts = []

    def window(self, login=None, size=DESK, scheme="light", language="en-GB", url=None):
        """A page of a browser of its own, signed in as ``login``. What goes wrong in it is kept in ``trouble``."""
        context = self._chromium.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,
            locale=language,
            base_url=url or self.url,
            reduced_motion="reduce",
        )
        self._contexts.append(context)
        if login:
            secret = self.people.sessions.begin(login)
            context.add_cookies([{"name": "ivizone_session", "value": secret, "url": self.url}])
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on(
            "console",
            lambda message: self.trouble.append(message.text) if message.type in ("error", "warning") else None,
        )
        page.on("pageerror", lambda error: self.trouble.append(str(error)))
        page.on(
            "request",
            lambda request: (
                self.trouble.append(f"asked elsewhere: {request.url}")
                if not request.url.startswith(url or self.url)
                else None
            ),
        )
        return page

    def close_windows(self):
        for context in self._contexts:
            context.close()
        self._contexts.clear()


@pytest.fixture(scope="session")
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def served_world(tmp_path_factory, chromium):
    folder = tmp_path_factory.mktemp("browser")
    make_year(folder, 2, LAST, 60).dispose()
    clock = Clock()
    clock.ms += 9 * 3_600_000  # nine in the evening, the day is over
    embedded = Embedded(folder, clock)
    people = People(embedded)
    for login in ("owner@main", "owner@other"):
        people.with_password(login)
    make_year(folder, 1, LAST, 40, seed=9, merchant="other", prefix="theirs").dispose()
    with served(embedded.app(works=False)) as client:
        yield World(embedded, people, str(client.base_url).rstrip("/"), chromium)


@pytest.fixture
def world(served_world):
    """No test leaves a window open, nor passes where a page complained."""
    served_world.trouble.clear()
    yield served_world
    served_world.close_windows()
    expected = (
        "status of 404",
        "status of 401",
        "status of 422",
        "status of 403",
    )  # Chromium reports answers that a test asked for
    assert [text for text in served_world.trouble if not any(words in text for words in expected)] == []
