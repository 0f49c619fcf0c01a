"""One merchant never sees another's: every question takes who asks, and every route is tried with every role of a stranger."""

from __future__ import annotations

import inspect
import re

import httpx
import pytest
from starlette.routing import Mount, Route
from support.accounts import People, form_key
from support.clouds import DATE, Cloud, busy_hour, heard, served

from cloud.accounts.viewer import ROLES, of_role
from cloud.dashboard.queries import Queries
from cloud.databases.portal_tables import offer_groups, offer_sites, offers
from cloud.databases.tables import store_group_sites, store_groups
from cloud.domain.site import Site
from cloud.fleet.desk import Desk
from cloud.fleet.groups import Groups
from cloud.portal.offers import Offer, Words

PARAMETERS = {
    "site": "shop",
    "agent": "ap-test",
    "secret": "none",
    "path": "page.css",
    "step": "mode",
    "offer": "offer-of-main",
    "group": "group-of-main",
}
"""Path parameter -> what the merchant `main` has of it. A route with another parameter fails here until it is listed."""
MARKS = ("The shop of main", "ap-test", "contact@main.example", "Half price at main", "Group of main")
"""Words that only what belongs to `main` can bear."""
NO_GATE = {
    "/sign-in": "nobody is signed in there yet",
    "/welcome/{secret}": "the link itself is the proof",
    "/language": "nothing but a language can come of it",
    "/static": "styles and scripts, the same for everybody",
    "/p": "the shopper's page and the till's, for whoever is in the store (tests/cloud/portal)",
    "/api/v1/openapi.json": "the description of the API, the same for everybody",
    "/v1/batches": "signed by the access point",
    "/v1/enrol": "a one-time token is the proof",
    "/v1/agents/self/config": "signed by the access point",
    "/v1/agents/self/key": "signed by the access point",
    "/healthz": "says only that the process answers",
    "/readyz": "says only that its parts answer",
    "/metrics": "counts answers; names nobody",
}
QUERY = f"date={DATE}&from={DATE}&to={DATE}&week=2026-W47&preset=ivizone&format=csv&table=days&store=shop&site=shop&group=group-of-main"
FIELDS = {"site": "shop", "agent": "ap-test", "token": "x", "label": "x", "scopes": "figures:read", "name": "Taken over", "version": "1",
          "time_zone": "UTC", "hours": "", "mode": "count", "contact": "evil", "login": "analyst@main", "role": "owner",
          "sites": "shop", "groups": "group-of-main", "group": "group-of-main", "offer": "offer-of-main", "title_a_en": "Taken over",
          "audience": "everyone", "from_clock": "00:00", "to_clock": "24:00", "weekdays": "4", "holdout_percent": "10", "return_days": "14"}  # fmt: skip
"""What forms take, with names of `main` wherever one can be named: the walk must not reach it by a form of the stranger's own either."""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A cloud with figures of `main`, and people of both merchants."""
    made = Cloud(tmp_path_factory.mktemp("tenants"), name="The shop of main", time_zone="Pacific/Chatham")
    made.take(heard(0, *busy_hour()))
    people = People(made.embedded)
    people.accounts.change_merchant(
        people.sessions.viewer(people.sessions.begin("owner@main")), "The shop of main", "contact@main.example"
    )
    people.add_other_store()
    write_offer(made)
    write_group(made)
    app = made.embedded.app(works=False)
    with served(app) as client:
        yield app, client, people, made
    made.close()


def write_offer(cloud: Cloud) -> None:
    """An offer of `main`, under a name that is not drawn."""
    offer = Offer(
        "offer-of-main", "main", {"a": {"en": Words("Half price at main", "Group of main")}}, frozenset({"shop"})
    )
    row = {"offer": offer.offer, "merchant": "main", "state": "running", "texts": offer.texts_as_json(),
           "rules": offer.rules_as_json(), "made_by": "owner@main", "created_ms": 1}  # fmt: skip
    with cloud.embedded.database.begin() as connection:
        connection.execute(offers.insert(), row)
        connection.execute(offer_sites.insert(), {"offer": offer.offer, "site": "shop"})


def write_group(cloud: Cloud) -> None:
    """A group of `main`, under a name that is not drawn."""
    row = {"store_group": "group-of-main", "merchant": "main", "name": "Group of main", "created_ms": 1}
    with cloud.embedded.database.begin() as connection:
        connection.execute(store_groups.insert(), row)
        connection.execute(store_group_sites.insert(), {"store_group": "group-of-main", "site": "shop"})


def routes(app) -> list[tuple[str, str]]:
    """(method, path pattern) of everything that is mounted."""
    found = []
    for route in app.routes:
        if isinstance(route, Mount):
            found.append(("GET", route.path))
        elif isinstance(route, Route):
            found += [(method, route.path) for method in sorted(route.methods - {"HEAD"})]
        else:
            raise AssertionError(f"what is {route}?")
    return found


def send(client: httpx.Client, method: str, path: str, key: str = "") -> httpx.Response:
    filled = path.format(**PARAMETERS) + ("/page.css" if path == "/static" else "")
    data = {**FIELDS, "form_key": key} if method == "POST" else None
    if path.endswith("/events"):
        with client.stream(method, f"{filled}?{QUERY}") as answer:
            if answer.status_code == 200:
                return answer
            answer.read()
            return answer
    return client.request(method, f"{filled}?{QUERY}", data=data)


def leaks(answer: httpx.Response) -> list[str]:
    """Words of `main` in an answer; of an event stream that stays open, in its head. What the stranger asked for is no answer."""
    text = re.sub(r'name="next" value="[^"]*"', "", answer.text) if answer.is_stream_consumed else ""
    return [mark for mark in MARKS if mark in text + repr(answer.headers)]


@pytest.mark.parametrize("role", ROLES)
def test_no_route_shows_a_stranger_anything_of_main(world, role):
    """0 cross-tenant reads: every method of every route, with main's own names in path, query and form."""
    app, client, people, made = world
    before = made.figures()
    with people.browser(client, f"{role}@other") as stranger:
        key = form_key(stranger.get("/account").text)
        tried = 0
        for method, path in routes(app):
            if path in ("/sign-out",):
                continue
            answer = send(stranger, method, path, key)
            tried += 1
            assert leaks(answer) == [], (method, path)
            if any(name in path for name in ("{site}", "{agent}", "{offer}", "{group}")):
                assert answer.status_code in (403, 404), (method, path, answer.status_code)
        assert tried == len(routes(app)) - 1
    assert made.figures() == before
    with made.embedded.database.connect() as connection:
        for table, owned in ((offer_sites, {"offer-of-main"}), (store_group_sites, {"group-of-main"})):
            rows = connection.execute(table.select().where(table.c.site == "shop"))
            assert {row[0] for row in rows} == owned, "nothing of the stranger's reaches the store of main"
        assert list(connection.execute(offer_groups.select())) == []
        assert [row.state for row in connection.execute(offers.select().where(offers.c.merchant == "main"))] == [
            "running"
        ]
    assert {user.login: user.role for user in people.accounts.users("main")} == {f"{one}@main": one for one in ROLES}
    groups = Groups(made.embedded.database, made.clock).of(of_role("main", "owner@main", "owner"))
    assert [(group.name, group.sites) for group in groups] == [("Group of main", {"shop"})]
    site = made.embedded.fleet.site("shop")
    assert (site.name, site.legal_mode, site.merchant) == ("The shop of main", "day", "main")


def test_the_owner_of_main_does_see_it_on_every_such_route(world):
    """The control: the walk reads pages that would show the words if the wall were not there."""
    app, client, people, _ = world
    with people.browser(client, "owner@main") as owner:
        seen = {
            path: send(owner, "GET", path)
            for method, path in routes(app)
            if method == "GET" and ("{site}" in path or path in ("/offers/{offer}", "/stores/groups"))
        }

    assert len(seen) >= 3
    assert {path: answer.status_code for path, answer in seen.items() if answer.status_code != 200} == {}
    found = [mark for mark in MARKS if any(mark in leaks(answer) for answer in seen.values())]
    assert {"The shop of main", "Group of main"} <= set(found)


def test_every_route_has_a_gate_or_a_reason_to_have_none(world):
    app, client, _, _ = world
    for method, path in routes(app):
        if path in NO_GATE:
            continue
        answer = send(httpx.Client(base_url=client.base_url, timeout=20), method, path)
        assert answer.status_code in (303, 401), (method, path, answer.status_code)


def test_a_session_that_is_made_up_opens_nothing(world):
    app, client, _, _ = world
    with httpx.Client(base_url=client.base_url, cookies={"ivizone_session": "x" * 43}, timeout=20) as nobody:
        for method, path in routes(app):
            if path not in NO_GATE:
                assert send(nobody, method, path).status_code in (303, 401), path


@pytest.mark.parametrize("kind", [Queries, Desk, Groups])
def test_every_question_begins_with_who_asks(kind):
    for name, method in inspect.getmembers(kind, inspect.isfunction):
        if name.startswith("__"):
            continue
        parameters = list(inspect.signature(method).parameters.values())
        assert len(parameters) > 1 and (parameters[1].name, parameters[1].annotation) == ("viewer", "Viewer"), (
            f"{kind.__name__}.{name}"
        )


@pytest.mark.parametrize("role", ROLES)
def test_a_role_reaches_what_its_rights_say_and_no_further(world, role):
    _, client, people, _ = world
    with people.browser(client, f"{role}@main") as browser:
        may_read = browser.get("/sites/shop").status_code == 200
        key = form_key(browser.get("/account").text)
        made = browser.post("/account/tokens", data={"form_key": key, "label": "x", "scopes": "figures:read"})

    assert may_read == (role != "installer")
    assert (made.status_code == 200) == (role != "installer")


def test_a_store_of_a_merchant_that_is_none_cannot_be(world):
    from cloud.domain.site import SiteError

    with pytest.raises(SiteError, match="merchant add nobody"):
        world[3].embedded.fleet.add_site(Site("lost", "Lost", "UTC", merchant="nobody"))


def test_the_forms_of_that_walk_are_taken_from_whoever_owns_the_store(world):
    """The control: what a stranger sent in vain is right in form. Last, because it leaves an offer and a group behind."""
    _, client, people, made = world
    with people.browser(client, "owner@main") as owner:
        key = form_key(owner.get("/account").text)
        assert [send(owner, "POST", path, key).status_code for path in ("/offers", "/stores/groups")] == [303, 303]
    with made.embedded.database.connect() as connection:
        reached = [len(list(connection.execute(table.select()))) for table in (offer_sites, offer_groups)]
        assert reached == [2, 1] and len(list(connection.execute(store_group_sites.select()))) == 2
