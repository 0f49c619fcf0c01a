"""What the merchant's pages and the API ask of every database: the same answers, and nothing of another merchant's."""

from __future__ import annotations

from datetime import date, timedelta

import httpx
import pytest
from contracts.adapters import DATABASES
from sqlalchemy import insert
from starlette.applications import Starlette
from support.accounts import QUICK, People
from support.clouds import DATE, NOON_MS, Clock, served

from cloud.accounts.viewer import of_role
from cloud.dashboard.app import Dashboard
from cloud.dashboard.headers import SafeHeaders
from cloud.dashboard.queries import Queries
from cloud.databases.base import migrate
from cloud.databases.tables import agents, day_figures, dwell_buckets, ledger_days, quarter_figures
from cloud.domain.site import Site, parse_hours
from cloud.fleet.registry import Fleet
from cloud.portal.app import StorePage

OWNER, STRANGER = of_role("main", "owner@main", "owner"), of_role("other", "owner@other", "owner")
HOUR_MS, QUARTER_MS = 3_600_000, 900_000
DATES = [(date.fromisoformat(DATE) - timedelta(days=n)).isoformat() for n in range(15)]
PATHS = ("/", "/stores", "/stores/groups", "/sites/{site}", "/sites/{site}/figures.json", "/sites/{site}/weeks", "/sites/{site}/report",
         "/sites/{site}/setup", "/sites/{site}/page", "/fleet", "/account", "/offers", "/offers/new", "/api/v1/sites", "/api/v1/sites/{site}/days",
         "/api/v1/sites/{site}/quarters", "/api/v1/sites/{site}/dwell", "/api/v1/sites/{site}/export?table=quarters", "/api/v1/agents", "/api/v1/groups",
         "/p/{site}/", "/p/{site}/privacy", "/p/{site}/api")  # fmt: skip


class House:
    """Two merchants on one database: `shop` and `quiet` of `main`, `theirs` of `other`; fifteen days of figures in the first and the last."""

    def __init__(self, database):
        self.database, self.clock = database, Clock(NOON_MS + 9 * HOUR_MS)
        self.fleet = Fleet(database, self.clock)
        self.queries = Queries(database)
        self.now_ms = self.clock
        self.people = People(self)
        hours = parse_hours("10:00-19:00")
        for name, merchant in (("shop", "main"), ("quiet", "main"), ("theirs", "other")):
            self.fleet.add_site(Site(name, f"Store {name}", "UTC", "day", True, hours, merchant))
        for name in ("shop", "theirs"):
            self._fill(name)

    def _fill(self, site):
        with self.database.begin() as connection:
            for table, rows in rows_of(site).items():
                connection.execute(insert(table), rows)

    def app(self):
        dashboard = Dashboard(self.database, self.fleet, self.clock, passwords=QUICK)
        store_page = StorePage(self.database, self.fleet, self.clock)
        routes = [*dashboard.routes(), *store_page.merchant_routes(dashboard.gate), *store_page.routes()]
        return SafeHeaders(Starlette(routes=routes, exception_handlers={404: dashboard.not_there}))


def rows_of(site):
    """Each day twelve visitors come in every quarter-hour from eleven to twelve and forty pass; the newest day one quarter is small."""
    rows = {agents: [{"agent": f"ap-{site}", "site": site, "public_key": bytes(32), "state": "active", "created_ms": 1, "software": "0.1.0",
                      "last_received_ms": NOON_MS, "clock": "synced"}], day_figures: [], quarter_figures: [], dwell_buckets: [], ledger_days: []}  # fmt: skip
    for day in DATES:
        begin_ms = NOON_MS - HOUR_MS - 86_400_000 * DATES.index(day)
        key = {"site": site, "date": day, "preset": "ivizone"}
        figures = {"visitors": 48, "passers_by": 160, "engaged": 20, "bounced": 30, "residents": 6}
        rows[day_figures] += [
            {**key, "metric": metric, "computed_ms": 1, **around(value)} for metric, value in figures.items()
        ]
        rows[quarter_figures] += [
            {**key, "start_ms": begin_ms + n * QUARTER_MS, "metric": metric, **around(value)}
            for n in range(4)
            for metric, value in (("visitors", 12), ("passers_by", 40), ("occupancy", 9))
        ]
        rows[dwell_buckets] += [
            {**key, "from_s": 300, "to_s": 900, "visits": 28},
            {**key, "from_s": 900, "to_s": None, "visits": 20},
        ]
        rows[ledger_days].append({"site": site, "date": day, "agent": f"ap-{site}", "batches": 9, "frames": 10**10, "probe_requests": 10**10 - 1, "skipped": 1,
                                  "kernel_drops": 0, "evicted_batches": 0, "listening_ms": 9 * HOUR_MS, "last_window_end_ms": NOON_MS})  # fmt: skip
    return rows


def around(value):
    return {"value": float(value), "low": value * 0.9, "high": value * 1.1, "devices": value, "coverage": 1.0}


@pytest.fixture(params=sorted(DATABASES))
def house(request, tmp_path):
    database = DATABASES[request.param](tmp_path)
    migrate(database)
    yield House(database)
    database.dispose()


def test_the_questions_have_the_same_answers(house):
    asked = house.queries
    day, quarters = asked.day(OWNER, "shop", DATE, "ivizone"), asked.quarters(OWNER, "shop", DATE, "ivizone")

    assert (day["visitors"].value, day["visitors"].low, day["passers_by"].value) == (48.0, pytest.approx(43.2), 160.0)
    assert [figure.value for figure in quarters["visitors"]] == [12.0] * 4
    assert [bucket.visits for bucket in asked.dwell(OWNER, "shop", DATE, "ivizone")] == [28, 20]
    assert asked.dates(OWNER, "shop") == DATES and asked.newest_date(OWNER, "shop") == DATE
    assert sorted(asked.days(OWNER, ["shop", "quiet"], DATES, "ivizone")["shop"]) == sorted(DATES)
    assert asked.ledger(OWNER, "shop", DATE)[0]["frames"] == 10**10
    assert [agent["agent"] for agent in asked.agents(OWNER, "shop")] == ["ap-shop"]
    heat = asked.heat(OWNER, asked.site(OWNER, "shop"), DATES, "ivizone", "visitors")
    assert {place: (cell.value, cell.days) for place, cell in heat.items() if cell.value} == {
        (n, 11): (48, 3 if n == 4 else 2) for n in range(7)
    }
    assert asked.version(OWNER, "shop", DATE) != asked.version(OWNER, "quiet", DATE)


def test_none_of_them_tells_a_stranger_anything(house):
    asked, shop = house.queries, Site("shop", "Store shop", "UTC", merchant="other")

    assert [site.site for site in asked.sites(STRANGER)] == ["theirs"] and asked.site(STRANGER, "shop") is None
    assert asked.days(STRANGER, ["shop"], DATES, "ivizone") == {} and asked.day(STRANGER, "shop", DATE, "ivizone") == {}
    assert (
        asked.quarters(STRANGER, "shop", DATE, "ivizone") == {} and asked.dwell(STRANGER, "shop", DATE, "ivizone") == []
    )
    assert asked.ledger(STRANGER, "shop", DATE) == asked.dates(STRANGER, "shop") == asked.agents(STRANGER, "shop") == []
    assert (
        asked.newest_date(STRANGER, "shop") is None and asked.heat(STRANGER, shop, DATES, "ivizone", "visitors") == {}
    )
    assert asked.arrivals_until(STRANGER, "shop", {DATE: NOON_MS}, "ivizone") == {}


def test_every_page_and_every_answer_of_the_api_is_there_and_a_strangers_is_not(house):
    with served(house.app()) as client:
        owner, stranger = house.people.browser(client, "owner@main"), house.people.browser(client, "owner@other")
        answers = {path: owner.get(path.format(site="shop"), follow_redirects=True) for path in PATHS}
        assert {path: answer.status_code for path, answer in answers.items() if answer.status_code != 200} == {}
        assert "Store shop" in answers["/stores"].text and ">48<" in answers["/sites/{site}"].text
        told = answers["/api/v1/sites/{site}/quarters"].json()["quarters"]
        assert [cell["value"] for cell in told if cell["metric"] == "visitors"] == [12.0] * 4
        assert_strangers(stranger)


def assert_strangers(stranger: httpx.Client) -> None:
    for path in PATHS:
        answer = stranger.get(path.format(site="shop"))
        if "{site}" in path and not path.startswith("/p/"):
            assert answer.status_code == 404, path
        if not path.startswith("/p/"):
            assert "Store shop" not in answer.text and "ap-shop" not in answer.text, path
