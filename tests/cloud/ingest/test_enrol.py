"""Enrolment, configuration, health and metrics over real HTTP."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from support.batches import KEY, signed
from support.clouds import HOUR_MS, NOON_MS, PUBLIC_KEY, Clock, Cloud, heard, served, stay

from cloud.accounts.viewer import of_role
from cloud.databases.tables import audit
from cloud.domain.site import Site
from cloud.fleet.desk import Desk

DAY_MS = 24 * HOUR_MS
PATH = "/v1/agents/self/config"
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(32))


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    made = Cloud(tmp_path_factory.mktemp("enrol"), time_zone="Europe/Paris", clock=Clock())
    made.embedded.fleet.add_site(Site("counting", "Counting", "UTC", "count"))
    made.add_agent("ap-gone", state="revoked")
    yield made
    made.close()


@pytest.fixture(scope="module")
def http(cloud):
    with served(cloud.embedded.app(works=False)) as client:
        yield client


@pytest.fixture(autouse=True)
def _clock_at_noon(cloud):
    cloud.clock.ms = NOON_MS


def request(token: object, **changes: object) -> dict[str, object]:
    return {"token": token, "public_key": b64encode(PUBLIC_KEY).decode(), "software": "0.1.0", **changes}


# --- enrolment --------------------------------------------------------------------------------------------------------


def test_an_enrolled_agent_may_send(cloud, http):
    answer = http.post("/v1/enrol", json=request(cloud.embedded.fleet.make_token("shop")))

    assert answer.status_code == 201
    assert answer.json() == {
        "agent": answer.json()["agent"],
        "site": "shop",
        "config": {"privacy": {"mode": "day", "day_offset_min": -60, "access_points": "several"}},
    }
    content = heard(0, stay(1, NOON_MS - HOUR_MS, 6), agent=answer.json()["agent"])
    assert http.post("/v1/batches", content=signed(content)).status_code == 202


def test_the_second_access_point_of_a_store_is_told_that_it_is_not_alone(cloud, http):
    cloud.embedded.fleet.add_site(Site("pair", "Two", "UTC"))
    first, second = (
        http.post("/v1/enrol", json=request(cloud.embedded.fleet.make_token("pair"))).json() for _ in range(2)
    )

    assert "access_points" not in first["config"]["privacy"]
    assert second["config"]["privacy"]["access_points"] == "several"


def test_an_agent_of_a_site_that_counts_is_told_to_count(cloud, http):
    answer = http.post("/v1/enrol", json=request(cloud.embedded.fleet.make_token("counting"))).json()

    assert answer["config"]["privacy"]["mode"] == "count"


def test_a_token_is_good_for_one_enrolment(cloud, http):
    token = cloud.embedded.fleet.make_token("shop")

    answers = [http.post("/v1/enrol", json=request(token)) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [201, 401]
    assert "ivizone-cloud agent token" in answers[1].text
    assert token not in answers[1].text


def test_a_token_spent_by_many_at_once_is_spent_once(cloud, http):
    body = request(cloud.embedded.fleet.make_token("shop"))

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: http.post("/v1/enrol", json=body).status_code, range(8)))

    assert sorted(statuses) == [201] + [401] * 7


def test_an_enrolment_is_in_the_audit(cloud, http):
    answer = http.post("/v1/enrol", json=request(cloud.embedded.fleet.make_token("shop")))
    name = answer.json()["agent"]
    with cloud.embedded.database.connect() as connection:
        row = connection.execute(select(audit.c.action, audit.c.subject).where(audit.c.login == name)).one()
    assert tuple(row) == ("agent_enrolled", "shop")


@pytest.mark.parametrize(("after_ms", "status"), [(DAY_MS - 1, 201), (DAY_MS, 401)])
def test_a_token_dies_after_a_day(cloud, http, after_ms, status):
    token = cloud.embedded.fleet.make_token("shop")
    cloud.clock.ms += after_ms

    assert http.post("/v1/enrol", json=request(token)).status_code == status


def test_the_token_itself_is_kept_nowhere(cloud, http):
    token = cloud.embedded.fleet.make_token("shop")

    for path in cloud.folder.rglob("*"):
        assert not path.is_file() or token.encode() not in path.read_bytes()


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b'"text"', b"[" * 4000, b"{}" * 2100, b"\xff\xfe",
        *(json.dumps(request(**{"token": "t", **changes})).encode() for changes in (
            {"token": 1}, {"token": None}, {"token": "\ud800"}, {"public_key": ""}, {"public_key": 5}, {"public_key": "é"},
            {"public_key": "AAAA"}, {"public_key": "A" * 44}, {"software": ""}, {"software": "x" * 129}, {"software": ["1"]}, {"software": "\ud800"},
            {"software": "a\nb"}, {"software": "a\0b"},
        )),
    ],
)  # fmt: skip
def test_a_malformed_request_to_enrol_is_400(http, body):
    assert http.post("/v1/enrol", content=body).status_code == 400


asked = st.dictionaries(st.sampled_from(["token", "public_key", "software"]), st.text(max_size=50))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200) | asked.map(lambda fields: json.dumps(fields).encode()))
def test_any_request_to_enrol_without_a_token_is_400_or_401(http, body):
    assert http.post("/v1/enrol", content=body).status_code in (400, 401)


# --- configuration ----------------------------------------------------------------------------------------------------


def authorization(
    agent: str = "ap-test",
    time_s: int = NOON_MS // 1000,
    key: Ed25519PrivateKey = KEY,
    path: str = PATH,
    method: str = "GET",
) -> dict[str, str]:
    signature = key.sign(f"ivizone-request\n{method}\n{path}\n{time_s}".encode())
    return {"Authorization": f'Ivizone agent="{agent}", time="{time_s}", signature="{b64encode(signature).decode()}"'}


def test_an_agent_reads_its_configuration_and_hears_when_it_is_the_same(http):
    first = http.get(PATH, headers=authorization())
    again = http.get(PATH, headers={**authorization(), "If-None-Match": first.headers["ETag"]})

    told = first.json()["privacy"]
    assert (first.status_code, told["mode"], told["day_offset_min"]) == (200, "day", -60)
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", first.headers["ETag"])


def test_when_the_clocks_change_the_configuration_does_too(cloud, http):
    winter = http.get(PATH, headers=authorization())
    cloud.clock.ms += 200 * DAY_MS
    headers = authorization(time_s=cloud.clock.ms // 1000)

    summer = http.get(PATH, headers={**headers, "If-None-Match": winter.headers["ETag"]})

    assert (summer.status_code, summer.json()["privacy"]["day_offset_min"]) == (200, -120)


@pytest.mark.parametrize(("seconds", "status"), [(300, 200), (-300, 200), (301, 401), (-301, 401), (-10 * 86_400, 401)])
def test_a_signed_request_is_good_for_five_minutes_to_both_sides(http, seconds, status):
    assert http.get(PATH, headers=authorization(time_s=NOON_MS // 1000 + seconds)).status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        (authorization(agent="ap-nobody"), 401),
        (authorization(key=STRANGER), 401),
        (authorization(path="/v1/other"), 401),
        (authorization(method="POST"), 401),
        (authorization("ap-gone"), 403),
        (authorization("ap-gone", key=STRANGER), 401),
        ({"Authorization": "Bearer x"}, 401),
        *(({"Authorization": f'Ivizone agent="ap-test", time="{NOON_MS // 1000}", signature="{text}"'}, 401)
          for text in ("", "=" * 88, "A" * 85 + "===", "A" * 88, "A=" * 44, "A" * 86 + "==")),
        ({"Authorization": f'Ivizone agent="ap-test", time="999999999999", signature="{"A" * 86}=="'}, 401),
    ],
)  # fmt: skip
def test_who_does_not_sign_as_a_known_agent_reads_nothing(http, headers, status):
    assert http.get(PATH, headers=headers).status_code == status


# --- health and metrics -----------------------------------------------------------------------------------------------


def test_health_and_readiness(http):
    assert [http.get(path).status_code for path in ("/healthz", "/readyz")] == [200, 200]


LABELS = r'\{[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"(?:,[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*")*\}'
SAMPLE = re.compile(rf"([a-zA-Z_:][a-zA-Z0-9_:]*)({LABELS})? (-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)")
SUFFIXES = {"counter": ("_total", "_created"), "gauge": ("",)}


def parse_openmetrics(text: str) -> dict[str, float]:
    """Sample with its labels -> value, by the rules of OpenMetrics 1.0.0: metadata first, one block a family, suffixes by type, units
    as endings of names, and an end."""
    lines = text.split("\n")
    assert lines[-2:] == ["# EOF", ""]
    kinds: dict[str, str] = {}
    samples: dict[str, float] = {}
    for line in lines[:-2]:
        if line.startswith("# "):
            _, word, name, said = line.split(" ", 3)
            assert word in ("TYPE", "HELP", "UNIT")
            if word == "TYPE":
                assert name not in kinds and said in SUFFIXES
                kinds[name] = said
            assert name == list(kinds)[-1], "metadata of a family stands together, its type first"
            assert word != "UNIT" or name.endswith("_" + said)
            continue
        match = SAMPLE.fullmatch(line)
        assert match, line
        family = list(kinds)[-1]
        assert match[1] in [family + suffix for suffix in SUFFIXES[kinds[family]]]
        assert match[1] + (match[2] or "") not in samples
        samples[match[1] + (match[2] or "")] = float(match[3])
    return samples


def test_metrics_are_openmetrics_and_count_what_ingest_did(cloud, http):
    before = parse_openmetrics(http.get("/metrics").text)
    message = signed(heard(77, stay(1, NOON_MS - HOUR_MS, 6)))
    for body in (message, message, b"junk"):
        http.post("/v1/batches", content=body)

    answer = http.get("/metrics")
    after = parse_openmetrics(answer.text)

    assert answer.headers["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    counted = {
        status: after[name] - before.get(name, 0)
        for status in (202, 200, 400)
        for name in [f'ivizone_batches_total{{status="{status}"}}']
    }
    assert counted == {202: 1, 200: 1, 400: 1}
    assert after["ivizone_batch_bytes_total"] - before["ivizone_batch_bytes_total"] == 2 * len(message) + 4
    assert after["ivizone_stream_waiting"] - before["ivizone_stream_waiting"] == 1


def test_metrics_name_no_agent_and_no_site(http):
    text = http.get("/metrics").text

    assert "ap-" not in text and "shop" not in text


def test_an_agent_reads_the_newest_version_of_what_was_set_for_it(cloud, http):
    desk = Desk(cloud.embedded.database, cloud.embedded.fleet, cloud.clock)
    owner = of_role("main", "anna", "owner")
    before = http.get(PATH, headers=authorization())
    desk.set_config(owner, "ap-test", {"batch.window_s": "60"})
    desk.set_config(owner, "ap-test", {"proximity.threshold_dbm": "-70,5", "batch.window_s": "20"})
    after = http.get(PATH, headers={**authorization(), "If-None-Match": before.headers["ETag"]})

    assert after.status_code == 200
    assert after.json() == {**before.json(), "batch": {"window_s": 20}, "proximity": {"threshold_dbm": -70.5}}
