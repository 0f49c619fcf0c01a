"""The store's page in real Chromium: an offer from the merchant's pen to the till and back to nothing, on a phone that keeps nothing."""

from __future__ import annotations

import re
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.accounts import People
from support.clouds import Clock, served
from support.pictures import TOLERANCE, difference, golden, look

from cloud.domain.site import Site, parse_hours
from cloud.embedded import Embedded
from cloud.portal.demo import write_demo_offer

AXE = Path(__file__).resolve().parents[2] / "build" / "browser" / "node_modules" / "axe-core" / "axe.min.js"
PHONES = {"small": (320, 568), "usual": (390, 844)}
DESK = (1440, 900)


class Street:
    """A store in mode consent and a browser; ``trouble`` is what pages complained of or asked of others."""

    def __init__(self, embedded, url, chromium):
        self.embedded, self.url, self._chromium = embedded, url, chromium
        self.people = People(embedded)
        self.trouble, self.contexts = [], []

    def window(self, size=DESK, scheme="light", login=None, language="en-GB", scripts=True):
        context = self._chromium.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, locale=language,
            base_url=self.url, java_script_enabled=scripts,
        )  # fmt: skip
        self.contexts.append(context)
        if login:
            context.add_cookies(
                [{"name": "ivizone_session", "value": self.people.sessions.begin(login), "url": self.url}]
            )
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda said: self.trouble.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.trouble.append(str(error)))
        return page


@contextmanager
def made_street(folder, chromium):
    embedded = Embedded(folder, Clock())
    hours = parse_hours("10:00-19:00")
    embedded.fleet.add_site(
        Site("cafe", "Café du Marché", "Europe/Paris", "consent", opening_hours=hours, merchant="main")
    )
    embedded.fleet.add_site(Site("quiet", "The quiet shop", "UTC", "day", merchant="main"))
    write_demo_offer(embedded.database, embedded.now_ms, "cafe")
    with served(embedded.app(works=False)) as client:
        yield Street(embedded, str(client.base_url).rstrip("/"), chromium)
    embedded.close()


@pytest.fixture(scope="module")
def open_street(tmp_path_factory, chromium):
    with made_street(tmp_path_factory.mktemp("street"), chromium) as made:
        yield made


@pytest.fixture(scope="module")
def unchanged_street(tmp_path_factory, chromium):
    """Where no test writes or stops an offer, so that its pages look the same whatever ran before."""
    with made_street(tmp_path_factory.mktemp("unchanged"), chromium) as made:
        yield made


@contextmanager
def watched(street):
    """No test passes where a page complained."""
    street.trouble.clear()
    yield street
    for context in street.contexts:
        context.close()
    street.contexts.clear()
    assert [text for text in street.trouble if "status of 4" not in text] == []


@pytest.fixture
def street(open_street):
    with watched(open_street) as made:
        yield made


@pytest.fixture
def unchanged(unchanged_street):
    with watched(unchanged_street) as made:
        yield made


def wiped(page):
    """What a captive browser keeps between two openings: nothing but what the user can retype."""
    page.context.clear_cookies()
    page.goto(page.url)


def test_an_offer_is_written_previewed_seen_drawn_redeemed_withdrawn_and_erased(street):
    owner = street.window(login="owner@main")
    owner.goto("/offers")
    owner.get_by_role("link", name="Write an offer").click()
    owner.locator("[name=title_a_en]").fill("Croissant for friends")
    owner.get_by_label("Café du Marché").check()
    owner.get_by_label("Shoppers who agreed", exact=True).check()
    owner.get_by_label("Shoppers draw a single-use code").check()
    owner.locator("[name=stock]").fill("3")
    owner.locator("[name=holdout_percent]").fill("0")
    owner.get_by_role("button", name="Save the draft").click()
    owner.get_by_role("link", name="Preview").click()
    for number in (0, 1):
        frame = owner.frame_locator("iframe").nth(number)
        frame.get_by_role("heading", name="Croissant for friends").wait_for()
    assert [owner.locator("iframe").nth(n).evaluate("frame => frame.clientWidth") for n in (0, 1)] == [320, 390]
    owner.get_by_role("link", name="Back to the offer").click()
    owner.get_by_role("button", name="Start it").click()
    owner.get_by_text("shown to shoppers who agreed and fit").wait_for()
    owner.goto("/sites/cafe/page")
    owner.get_by_label("Which till?").fill("Counter")
    owner.get_by_role("button", name="Make a token").click()
    token = owner.locator("[data-token]").inner_text()

    shopper = street.window(PHONES["usual"], scripts=False)
    shopper.goto("/p/cafe/")
    assert shopper.get_by_text("Croissant for friends").count() == 0
    shopper.get_by_role("button", name="Yes, I agree").click()
    shopper.get_by_role("heading", name="Croissant for friends").wait_for()
    wiped(shopper)
    card = shopper.locator("li", has=shopper.get_by_role("heading", name="Croissant for friends"))
    card.get_by_role("button", name="Get my code").click()
    code = shopper.locator(".code").inner_text()
    wiped(shopper)
    assert shopper.locator(".code").inner_text() == code

    till = street.window(PHONES["small"], scripts=False)
    till.goto("/p/cafe/till")
    till.get_by_label("This till's token").fill(token)
    till.get_by_label("Customer's code").fill(code.lower())
    till.get_by_role("button", name="Check").click()
    till.get_by_text("Not used yet").wait_for()
    till.get_by_role("button", name="Redeem now").click()
    till.get_by_text("Redeemed. Give the customer the offer.").wait_for()
    till.get_by_label("Next code").fill(code)
    till.get_by_role("button", name="Check").click()
    till.get_by_text("Already used").wait_for()

    wiped(shopper)
    assert shopper.locator("li.used .code").inner_text() == code
    shopper.get_by_role("link", name="My data").click()
    shopper.get_by_role("button", name="Take my agreement back").click()
    shopper.get_by_text("Your agreement is withdrawn").wait_for()
    assert shopper.get_by_role("button", name="Get my code").count() == 1, "the public offer only"
    shopper.get_by_role("link", name="My data").click()
    shopper.get_by_role("button", name="Erase everything").click()
    shopper.get_by_text("Everything about you is erased").wait_for()

    owner.goto("/offers")
    owner.get_by_role("link", name="Croissant for friends").click()
    owner.get_by_text("Codes: 1 drawn, 1 used at the till. 2 left.").wait_for()
    owner.get_by_role("button", name="Stop it").click()
    owner.get_by_text("not shown, it does not run").wait_for()


def test_an_offer_is_one_request_of_a_few_kilobytes(street):
    """Issue 6: <= 50 KB and 1 request to show an offer."""
    page = street.window(PHONES["usual"])
    sizes = []
    page.on("response", lambda response: sizes.append(len(response.body())))

    page.goto("/p/cafe/", wait_until="networkidle")

    assert page.get_by_role("button", name="Get my code").is_visible()
    assert len(sizes) == 1
    assert sizes[0] < 50_000


def test_a_form_that_is_wrong_says_where_and_keeps_what_was_written(street):
    owner = street.window(login="owner@main")
    owner.goto("/offers/new")
    owner.locator("[name=title_a_en]").fill("Kept")
    owner.locator("[name=from_clock]").fill("19:00")
    owner.locator("[name=to_clock]").fill("10:00")
    owner.get_by_role("button", name="Save the draft").click()

    assert owner.locator("[name=title_a_en]").input_value() == "Kept"
    assert owner.get_by_text("Choose a store.").is_visible()
    assert owner.locator("[name=to_clock]").get_attribute("aria-describedby") == "wrong-to_clock"
    assert owner.locator("#wrong-to_clock").inner_text().startswith("The end must lie after the beginning")


def shopper_page(street, size, scheme, path):
    page = street.window(size, scheme)
    page.goto("/p/cafe/")
    if path in ("drawn", "mine"):
        page.get_by_role("button", name="Yes, I agree").click()
        page.get_by_role("button", name="Get my code").first.click()
        page.locator(".code").first.wait_for()
    if path == "mine":
        page.get_by_role("link", name="My data").click()
        page.get_by_role("button", name="Erase everything").wait_for()
    if path in ("privacy", "sign", "till", "opt-out"):
        page.goto(f"/p/cafe/{path}")
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", PHONES)
@pytest.mark.parametrize("path", ["", "drawn", "mine", "privacy", "sign", "till", "opt-out"])
def test_nothing_runs_over_the_edge_and_axe_finds_nothing(street, path, size, scheme):
    page = shopper_page(street, PHONES[size], scheme, path)

    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert serious(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONES["usual"], DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("path", ["/offers", "/offers/new", "one", "preview", "/sites/cafe/page", "/sites/quiet/page"])
def test_the_merchants_side_is_as_clean(street, path, size, scheme):
    page = street.window(size, scheme, "owner@main")
    page.goto("/offers" if path in ("one", "preview") else path)
    if path in ("one", "preview"):
        page.locator("ul.rows a[href^='/offers/']").last.click()
        page.get_by_role("link", name="Preview").wait_for()
    if path == "preview":
        page.get_by_role("link", name="Preview").click()
        page.locator("iframe").first.wait_for()

    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert serious(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONES["usual"], DESK], ids=["390", "1440"])
@pytest.mark.parametrize("path", ["", "drawn", "privacy", "sign"])
def test_the_shoppers_page_looks_as_it_did(unchanged, path, size, scheme):
    look(shopper_page(unchanged, size, scheme, path), f"shopper-{path or 'page'}-{size[0]}-{scheme}")


def test_the_control_a_drawn_code_is_seen_and_dark_is_not_light():
    assert difference(golden("shopper-page-390-light"), golden("shopper-page-390-dark")) > TOLERANCE
    assert difference(golden("shopper-page-390-light"), golden("shopper-drawn-390-light")) > TOLERANCE


def serious(page) -> list[str]:
    """What axe finds, as WCAG A and AA and as good practice."""
    if not AXE.is_file():
        pytest.skip("axe-core is not there; npm brings it: make test-browser")
    page.evaluate(AXE.read_text())
    found = page.evaluate(
        "axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})"
    )
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:120]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical", "moderate")
    ]


@pytest.mark.parametrize("language", ["fr", "pt"])
def test_the_page_speaks_the_phones_language(street, language):
    page = street.window(PHONES["usual"], language=language)
    page.goto("/p/cafe/")

    assert page.locator("html").get_attribute("lang") == language
    assert re.search("Un café|Um café", page.locator("main").inner_text())


def test_everything_is_reached_with_the_keyboard_and_the_focus_is_seen(street):
    page = street.window(PHONES["usual"])
    page.goto("/p/cafe/")
    reached = []
    for _ in range(10):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.innerText"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineWidth") == "3px" or reached[-1] == ""

    assert [
        name for name in ("Get my code", "Yes, I agree", "No, thanks", "Privacy", "Français") if name not in reached
    ] == []
