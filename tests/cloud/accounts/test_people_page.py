"""An owner and the people of their merchant, on the page: invited, changed, removed; and what a forged form or a stranger gets."""

from __future__ import annotations

import re

import pytest
from support.accounts import PASSWORD, People, form_key, sign_in
from support.clouds import Cloud, served


@pytest.fixture
def world(tmp_path):
    made = Cloud(tmp_path)
    people = People(made.embedded)
    with served(made.embedded.app(works=False)) as client:
        yield client, people
    made.close()


def post(browser, path, **fields):
    return browser.post(path, data={"form_key": form_key(browser.get("/account").text), **fields})


def roles(people, merchant="main"):
    return {user.login: user.role for user in people.accounts.users(merchant)}


def test_an_invitation_is_a_link_that_is_shown_once_and_leads_in(world):
    client, people = world
    owner = people.browser(client, "owner@main")
    shown = post(owner, "/account/people", login="anna@main", role="installer")
    link = re.search(r"data-link[^>]*>(http://[^<]+)<", shown.text)[1]

    assert link not in owner.get("/account").text and "no password yet" in owner.get("/account").text
    form = client.get(link)
    assert client.post(link, data={"form_key": form_key(form.text), "password": PASSWORD}).status_code == 303
    assert "anna@main" in client.get("/account").text
    assert sign_in(client, "anna@main", PASSWORD).status_code == 303


def test_roles_change_and_people_go_on_the_page(world):
    client, people = world
    owner, analyst = people.browser(client, "owner@main"), people.browser(client, "analyst@main")
    assert post(owner, "/account/people/role", login="analyst@main", role="installer").status_code == 303
    assert analyst.get("/sites/shop").status_code == 403
    assert post(owner, "/account/people/remove", login="analyst@main").status_code == 303

    assert analyst.get("/account").status_code == 303, "led to the sign-in"
    assert roles(people) == {"installer@main": "installer", "owner@main": "owner"}


@pytest.mark.parametrize(
    "path", ["/account/people", "/account/people/role", "/account/people/link", "/account/people/remove"]
)
def test_a_form_that_another_site_made_changes_nobody(world, path):
    client, people = world
    owner, before = people.browser(client, "owner@main"), roles(people)
    key = form_key(owner.get("/account").text)
    fields = {"login": "analyst@main", "role": "owner"}

    assert owner.post(path, data=fields).status_code == 403
    assert (
        owner.post(path, data={**fields, "form_key": key}, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    )
    assert roles(people) == before


@pytest.mark.parametrize("path", ["role", "link", "remove"])
def test_a_stranger_is_told_the_same_of_ours_as_of_nobody(world, path):
    client, people = world
    stranger, before = people.browser(client, "owner@other"), roles(people)
    ours = post(stranger, f"/account/people/{path}", login="analyst@main", role="owner")
    nobody = post(stranger, f"/account/people/{path}", login="nobody@main", role="owner")

    assert (ours.status_code, ours.text) == (404, nobody.text)
    assert roles(people) == before


def test_who_is_no_owner_neither_sees_the_others_nor_a_form(world):
    client, people = world
    analyst = people.browser(client, "analyst@main")

    assert "owner@main" not in analyst.get("/account").text
    assert post(analyst, "/account/people", login="eve@main", role="owner").status_code == 403
    assert "eve@main" not in roles(people)


@pytest.mark.parametrize(
    ("login", "role", "words"),
    [("a b", "owner", "no space"), ("anna", "boss", "no space"), ("owner@other", "owner", "cannot be had"), ("analyst@main", "owner", "cannot be had")],
)  # fmt: skip
def test_an_invitation_that_cannot_be_is_said_in_words(world, login, role, words):
    client, people = world
    answer = post(people.browser(client, "owner@main"), "/account/people", login=login, role=role)

    assert answer.status_code == 422 and words in answer.text
