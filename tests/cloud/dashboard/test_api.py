"""The API: what it answers is what it describes, whoever asks and whatever they send; the export is the same as a file."""

from __future__ import annotations

import csv
import io

import httpx
import pyarrow.parquet as pq
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from support.accounts import People
from support.clouds import DATE, Cloud, busy_hour, heard, served

from cloud.accounts.sessions import Sessions
from cloud.accounts.tokens import ApiTokens
from cloud.accounts.viewer import of_role
from cloud.dashboard.api import SCHEMA
from cloud.domain.preset import presets

OWNER = of_role("main", "anna", "owner")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A cloud with a day of figures, and tokens."""
    made = Cloud(tmp_path_factory.mktemp("api"), hours="11:00-12:00")
    made.take(heard(0, *busy_hour(visitors=14, passers_by=25)))
    People(made.embedded)
    tokens = ApiTokens(made.embedded.database, made.clock)
    secrets = {
        "figures": tokens.make(OWNER, "figures", ["figures:read"]),
        "fleet": tokens.make(OWNER, "fleet", ["fleet:read"]),
        "both": tokens.make(OWNER, "both", ["figures:read", "fleet:read"]),
        "other": tokens.make(of_role("other", "otto", "owner"), "other", ["figures:read", "fleet:read"]),
    }
    with served(made.embedded.app(works=False)) as client:
        yield made, client, secrets
    made.close()


def ask(world, path, who="both", **query):
    _, client, secrets = world
    return client.get(f"/api/v1/{path}", params=query, headers={"Authorization": f"Bearer {secrets[who]}"})


# --- the description ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def described(world):
    _, client, _ = world
    return schemathesis.openapi.from_dict(client.get("/api/v1/openapi.json").json())


def test_the_description_is_openapi_3_1_and_names_every_route(world):
    made, client, _ = world
    described = client.get("/api/v1/openapi.json").json()
    mounted = {
        route.path.removeprefix("/api/v1")
        for route in made.embedded.app(works=False).routes
        if getattr(route, "path", "").startswith("/api/v1")
    }

    assert described["openapi"] == "3.1.0"
    assert set(described["paths"]) == mounted - {"/openapi.json"}


OPERATIONS = ["/metrics", "/presets", "/groups", "/sites", "/sites/{site}", "/sites/{site}/days", "/sites/{site}/quarters",
              "/sites/{site}/dwell", "/sites/{site}/export", "/agents"]  # fmt: skip


def test_no_route_of_the_description_is_left_out_of_what_follows(world):
    described = world[1].get("/api/v1/openapi.json").json()

    assert sorted(described["paths"]) == sorted(OPERATIONS)
    answers = described["components"]["responses"].values()
    assert [set(answer) - {"description", "content"} for answer in answers] == [set()] * len(answers)


@pytest.mark.parametrize("path", OPERATIONS)
def test_every_answer_to_anything_is_one_that_is_described(world, described, path):
    """Schemathesis makes requests from the description, with values that are right, odd and wrong."""
    _, client, secrets = world
    operation = described[path]["GET"]

    @settings(max_examples=25, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy())
    def holds(case):
        case.path_parameters = {
            **(case.path_parameters or {}),
            **({"site": "shop"} if "{site}" in path and len(str(case.query)) % 2 else {}),
        }
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {secrets['both']}"}
        answer = case.call(base_url=f"{client.base_url}/api/v1")
        assert answer.status_code < 500
        case.validate_response(
            answer, checks=[status_code_conformance, content_type_conformance, response_schema_conformance]
        )

    holds()


# --- who may --------------------------------------------------------------------------------------------------------------


def test_without_a_token_it_says_how_to_get_one(world):
    answer = world[1].get("/api/v1/sites")

    assert (
        answer.status_code == 401
        and "Account" in answer.json()["error"]
        and answer.headers["WWW-Authenticate"] == "Bearer"
    )


@pytest.mark.parametrize("value", ["Bearer", "Bearer x", "Basic eA==", "Bearer ivzapi-" + "x" * 43])
def test_a_token_that_is_none_opens_nothing(world, value):
    assert world[1].get("/api/v1/sites", headers={"Authorization": value}).status_code == 401


def test_a_token_reaches_its_scopes_and_no_further(world):
    assert (ask(world, "sites", "figures").status_code, ask(world, "agents", "figures").status_code) == (200, 403)
    assert (ask(world, "sites", "fleet").status_code, ask(world, "agents", "fleet").status_code) == (403, 200)


def test_another_merchants_token_finds_nothing_of_ours(world):
    assert ask(world, "sites", "other").json() == [] and ask(world, "agents", "other").json() == []
    for part in ("", "/days", "/quarters", "/dwell", "/export"):
        missing, there = ask(world, f"sites/none{part}", "other"), ask(world, f"sites/shop{part}", "other")
        assert (there.status_code, there.content) == (missing.status_code, missing.content) == (404, missing.content)


def test_a_revoked_token_is_none(world):
    made, client, _ = world
    tokens = ApiTokens(made.embedded.database, made.clock)
    secret = tokens.make(OWNER, "gone", ["figures:read"])
    tokens.revoke(OWNER, next(token["token"] for token in tokens.of(OWNER) if token["label"] == "gone"))

    assert client.get("/api/v1/sites", headers={"Authorization": f"Bearer {secret}"}).status_code == 401


def test_nothing_can_be_changed_through_it(world):
    _, client, secrets = world
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert (
            client.request(method, "/api/v1/sites", headers={"Authorization": f"Bearer {secrets['both']}"}).status_code
            == 405
        )


# --- what it says ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", presets())
def test_the_days_are_what_the_database_holds(world, preset):
    made = world[0]
    (day,) = ask(world, "sites/shop/days", to=DATE, preset=preset, **{"from": DATE}).json()["days"]
    held = made.day(preset=preset)

    for figure in day["figures"]:
        row = held[figure["metric"]]
        assert figure["hidden"] or (figure["value"], figure["low"], figure["high"], figure["coverage"]) == (
            row["value"],
            row["low"],
            row["high"],
            row["coverage"],
        )


@pytest.mark.parametrize("table", ["days", "quarters"])
def test_the_export_says_the_same_as_csv_and_as_parquet(world, table):
    query = {"from": DATE, "to": DATE, "table": table}
    text, binary = ask(world, "sites/shop/export", **query), ask(world, "sites/shop/export", format="parquet", **query)
    rows = list(csv.DictReader(io.StringIO(text.text)))
    parquet = pq.read_table(io.BytesIO(binary.content))

    assert parquet.schema.equals(SCHEMA) and len(rows) == parquet.num_rows > 6
    for row, same in zip(rows, parquet.to_pylist(), strict=True):
        assert row == {
            name: "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
            for name, value in same.items()
        }
    assert text.headers["Content-Disposition"] == f'attachment; filename="shop-{table}-{DATE}-{DATE}-ivizone.csv"'


@pytest.mark.parametrize(
    "query",
    [{"from": "2026-11-21", "to": DATE}, {"from": "2020-01-01", "to": DATE}, {"from": "x"}, {"preset": "x"}, {"format": "xls"}, {"table": "visits"},
     {"table": "quarters", "from": "2026-01-01", "to": DATE}],
)  # fmt: skip
def test_a_question_that_cannot_be_answered_says_what_can(world, query):
    answer = ask(world, "sites/shop/export", **query)

    assert answer.status_code == 404 and len(answer.json()["error"]) > 10


# --- fewer than five, in every output -----------------------------------------------------------------------------------------

OUTPUTS = ("sites/shop?date={d}", "sites/shop/figures.json?date={d}", "sites/shop/weeks?from={d}&to={d}",
           "sites/shop/report?week=2026-W47", "stores?from={d}&to={d}",
           "api/v1/sites/shop/days?from={d}&to={d}", "api/v1/sites/shop/quarters?date={d}", "api/v1/sites/shop/dwell?date={d}",
           "api/v1/sites/shop/export?from={d}&to={d}", "api/v1/sites/shop/export?from={d}&to={d}&table=quarters")  # fmt: skip


def test_four_visitors_are_told_by_no_output(tmp_path):
    """The day is built so that every figure of its four visitors is a number that nothing else has; none of them is anywhere."""
    made = Cloud(tmp_path, hours="11:00-12:00")
    made.take(heard(0, *busy_hour(visitors=4, passers_by=30), error=0.0371))
    held = made.day()
    secret = [held["visitors"], held["dwell_median_s"], held["capture_rate"]]
    assert all(0 < row["devices"] < 5 for row in secret)
    words = {repr(row[name]) for row in secret for name in ("low", "high")} | {
        repr(held["dwell_median_s"]["value"]),
        repr(held["capture_rate"]["value"]),
    }
    words |= {repr(round(row[name], 2)) for row in secret for name in ("low", "high") if row[name] > 5}
    with served(made.embedded.app(works=False, is_open=True)) as client:
        for path in OUTPUTS:
            answer = client.get("/" + path.format(d=DATE))
            assert answer.status_code == 200, path
            assert [word for word in words if word in answer.text] == [], path
    made.close()


def test_the_control_five_visitors_are_told(tmp_path):
    made = Cloud(tmp_path, hours="11:00-12:00")
    made.take(heard(0, *busy_hour(visitors=12, passers_by=30), error=0.0371))
    low = repr(made.day()["visitors"]["low"])
    with served(made.embedded.app(works=False, is_open=True)) as client:
        assert low in client.get(f"/api/v1/sites/shop/days?from={DATE}&to={DATE}").text
    made.close()


def test_the_api_is_open_to_a_signed_in_browser_too(world):
    made, client, _ = world
    cookies = {"ivizone_session": Sessions(made.embedded.database, made.clock).begin("analyst@main")}
    assert httpx.get(f"{client.base_url}/api/v1/sites", cookies=cookies).json()[0]["site"] == "shop"
