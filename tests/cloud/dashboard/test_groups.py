"""The page of groups, and what a group narrows, over real HTTP."""

from __future__ import annotations

import pytest
from support.accounts import People, form_key
from support.clouds import Cloud, served

from cloud.accounts.viewer import of_role
from cloud.domain.site import Site
from cloud.fleet.groups import Groups

OWNER = of_role("main", "owner@main", "owner")


@pytest.fixture
def world(tmp_path):
    made = Cloud(tmp_path, name="Quay street")
    made.embedded.fleet.add_site(Site("hill", "Hill road", "UTC"))
    made.embedded.fleet.add_site(Site("park", "Park lane", "UTC"))
    people = People(made.embedded)
    with served(made.embedded.app(works=False)) as client:
        yield made, people.browser(client, "owner@main"), people
    made.close()


def made_group(world, name="Up the hill", sites=("hill", "park")):
    made, browser, _ = world
    key = form_key(browser.get("/stores/groups").text)
    answer = browser.post("/stores/groups", data={"form_key": key, "name": name, "sites": list(sites)})
    assert answer.status_code == 303
    return Groups(made.embedded.database, made.clock).of(OWNER)[0].group


def test_a_group_narrows_the_stores_that_are_compared_and_is_kept_from_stretch_to_stretch(world):
    group, browser = made_group(world), world[1]
    page = browser.get(f"/stores?group={group}").text

    assert "<h1>Up the hill</h1>" in page and f"&amp;group={group}" in page
    assert 'href="/sites/hill"' in page and 'href="/sites/shop"' not in page
    assert 'href="/sites/shop"' in browser.get("/stores?group=").text
    assert browser.get("/stores?group=none").status_code == 404


def test_a_group_is_changed_and_dissolved(world):
    group, browser = made_group(world), world[1]
    key = form_key(browser.get("/stores/groups").text)
    changed = browser.post(f"/stores/groups/{group}", data={"form_key": key, "name": "Below", "sites": "shop"})

    assert changed.status_code == 303 and "<h2>Below</h2>" in browser.get("/stores/groups").text
    assert browser.get("/api/v1/groups").json() == [{"group": group, "name": "Below", "sites": ["shop"]}]
    assert browser.post(f"/stores/groups/{group}/dissolve", data={"form_key": key}).status_code == 303
    assert browser.post(f"/stores/groups/{group}/dissolve", data={"form_key": key}).status_code == 404
    assert browser.get("/api/v1/groups").json() == []


def test_what_cannot_be_is_said_with_what_was_typed(world):
    made_group(world)
    browser = world[1]
    key = form_key(browser.get("/stores/groups").text)
    twice = browser.post("/stores/groups", data={"form_key": key, "name": "Up the hill", "sites": "park"})
    empty = browser.post("/stores/groups", data={"form_key": key, "name": "Nowhere"})

    assert (twice.status_code, empty.status_code) == (422, 422)
    assert (
        "choose another name" in twice.text and "at least one store" in empty.text and 'value="Nowhere"' in empty.text
    )


def test_an_offer_is_written_for_a_group_on_the_page(world):
    group, browser = made_group(world), world[1]
    key = form_key(browser.get("/offers/new").text)
    form = {
        "form_key": key,
        "title_a_en": "Half price",
        "groups": group,
        "weekdays": "0 1 2 3 4 5 6",
        "audience": "everyone",
    }
    written = browser.post("/offers", data=form)
    page = browser.get(written.headers["Location"]).text

    assert "Up the hill (Hill road, Park lane)" in page
    assert f'name="groups" value="{group}" checked' in browser.get(f"{written.headers['Location']}/edit").text


def test_who_may_only_read_finds_no_form(world):
    made_group(world)
    page = world[2].browser(world[1], "analyst@main").get("/stores/groups").text

    assert "<h2>Up the hill</h2>" in page and "form_key" not in page
