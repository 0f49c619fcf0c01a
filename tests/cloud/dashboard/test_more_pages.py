"""Weeks, stores, report, access points and the set-up guide over real HTTP, in their states."""

from __future__ import annotations

import re

import pytest
from support.accounts import form_key
from support.clouds import DATE, HOUR_MS, NOON_MS, Cloud, busy_hour, counted, heard, served

from cloud.dashboard.setup import hours_as_text
from cloud.domain.site import Site, parse_hours

WEEK_MS = 7 * 24 * HOUR_MS


@pytest.fixture
def opened(tmp_path):
    """Makes a cloud behind its server, with sign-in off; gives the cloud and a client."""
    contexts, clouds = [], []

    def make(**options):
        clouds.append(Cloud(tmp_path / str(len(clouds)), **options))
        contexts.append(served(clouds[-1].embedded.app(works=False, is_open=True)))
        return clouds[-1], contexts[-1].__enter__()

    yield make
    for context in contexts:
        context.__exit__(None, None, None)
    for made in clouds:
        made.close()


def take_weeks(made, *visitors):
    """An hour of this Friday and of the Fridays before, with so many visitors and forty who pass."""
    for week, count in enumerate(visitors):
        start_ms = NOON_MS - HOUR_MS - week * WEEK_MS
        hour = busy_hour(first=3000 * week, visitors=count, passers_by=40, start_ms=start_ms)
        made.take(heard(week, *hour, start_ms=start_ms, end_ms=start_ms + HOUR_MS))


def send(client, page, path, **fields):
    return client.post(path, data={"form_key": form_key(client.get(page).text), **fields})


# --- several days ---------------------------------------------------------------------------------------------------------


def test_a_day_is_compared_in_words_with_the_same_weekday_before(opened):
    made, client = opened(hours="11:00-12:00")
    take_weeks(made, 30, 10, 10)
    text = client.get(f"/sites/shop?date={DATE}").text

    assert "200\u00a0% more than the last 2 Fridays by this time (10)" in text


def test_a_day_that_is_over_is_compared_whole(opened):
    made, client = opened(hours="11:00-12:00")
    take_weeks(made, 30, 10, 10)
    made.clock.ms += 24 * HOUR_MS
    tiles = client.get(f"/sites/shop/figures.json?date={DATE}").json()["tiles"]

    assert tiles["visitors"]["compared"] == "200\u00a0% more than the last 2 Fridays (10)"
    assert tiles["passers_by"]["compared"] == "about the same as the last 2 Fridays (40)"
    assert tiles["residents"]["compared"] == "", "they are no figure to compare"


def test_the_first_day_and_a_day_heard_in_part_say_so(opened):
    made, client = opened(hours="11:00-12:00")
    made.take(heard(0, *busy_hour(), listened=0.5))
    text = client.get(f"/sites/shop?date={DATE}").text

    assert "the store&#39;s first day" in text and "Only 50\u00a0% of the time was listened to" in text


def test_a_silent_access_point_is_named_on_todays_page(opened):
    made, client = opened(hours="11:00-12:00", allows_replay=False)
    made.take(heard(0, *busy_hour()))
    assert "was last heard" not in client.get("/sites/shop").text
    made.clock.ms += 2 * HOUR_MS
    assert (
        "ap-test was last heard 2 h ago" in client.get("/sites/shop").text
        or "120 min ago" in client.get("/sites/shop").text
    )


def test_weeks_stores_and_report_show_the_days_there_are(opened):
    made, client = opened(hours="11:00-12:00")
    made.take(heard(0, *busy_hour(visitors=12, passers_by=20)))
    made.embedded.fleet.add_site(Site("empty", "Empty", "UTC"))
    weeks, stores = (
        client.get(f"/sites/shop/weeks?from=2026-11-16&to={DATE}"),
        client.get(f"/stores?from=2026-11-16&to={DATE}"),
    )
    report = client.get("/sites/shop/report?week=2026-W47")

    for answer in (weeks, stores, report):
        assert answer.status_code == 200 and ">12<" in answer.text, answer.url
    assert "When visitors come in" in weeks.text and "2026-W47" in weeks.text
    assert stores.text.index("The shop") < stores.text.index("Empty")


def test_a_store_of_mode_count_has_weeks_without_day_totals(opened):
    made, client = opened(mode="count")
    made.take(counted(0, ("inside", 12.0), ("outside", 30.0)))
    text = client.get(f"/sites/shop/weeks?from={DATE}&to={DATE}").text

    assert "no day totals exist" in text and 'data-metric="visitors"' not in text


@pytest.mark.parametrize("path", ["weeks?from=2026-11-21&to=2026-11-20", "weeks?from=1990-01-01", "weeks?to=x",
                                  "report?week=2026-W60", "report?week=W", "report?week=0001-W01"])  # fmt: skip
def test_days_that_cannot_be_are_not_there(opened, path):
    assert opened()[1].get(f"/sites/shop/{path}").status_code == 404


# --- events ---------------------------------------------------------------------------------------------------------------


def test_a_live_page_is_told_of_new_figures(opened):
    made, client = opened(hours="11:00-12:00")
    made.take(heard(0, *busy_hour()))
    told = []
    with client.stream("GET", f"/sites/shop/events?date={DATE}") as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line.startswith("data: "):
                told.append(line)
                if len(told) == 2:
                    break
                made.take(heard(1, *busy_hour(first=5000)))

    assert told[0] != told[1]


# --- access points --------------------------------------------------------------------------------------------------------


def test_the_fleet_shows_how_each_access_point_is_and_why_it_skipped_frames(opened):
    made, client = opened(hours="11:00-12:00", allows_replay=False)
    made.take(heard(0, *busy_hour()))
    fleet, one = client.get("/fleet").text, client.get("/fleet/ap-test").text

    assert "ap-test" in fleet and "evicted from the spool" in fleet
    assert "damaged on the air 10" in one and "right" in one and "spool was full: 1" in one


def test_a_code_enrols_an_access_point_once(opened):
    _, client = opened()
    made = send(client, "/fleet", "/fleet/enrol", site="shop").text
    token = re.search(r"--token (ivz-[\w-]+)", made)[1]
    asked = {"token": token, "public_key": "A" * 43 + "=", "software": "0.1.0"}

    assert "<svg" in made and "style=" not in made
    assert client.post("/v1/enrol", json=asked).status_code == 201
    assert client.post("/v1/enrol", json=asked).status_code == 401
    assert token not in client.get("/fleet").text


def test_a_configuration_is_set_refused_and_taken_back(opened):
    _, client = opened()
    done = send(client, "/fleet/ap-test", "/fleet/ap-test/config", **{"batch.window_s": "60"})
    wrong = send(client, "/fleet/ap-test", "/fleet/ap-test/config", **{"batch.window_s": "6000"})
    send(client, "/fleet/ap-test", "/fleet/ap-test/config", **{"batch.window_s": ""})
    text = client.get("/fleet/ap-test").text

    assert done.status_code == 303
    assert wrong.status_code == 422 and "use a whole number 5 to 300" in wrong.text and 'value="6000"' in wrong.text
    assert "Version 2" in text and "batch.window_s 60" in text and "Use again" in text


def test_a_revoked_access_point_is_shown_as_one(opened):
    made, client = opened()
    assert send(client, "/fleet/ap-test", "/fleet/ap-test/revoke").status_code == 303
    assert "revoked" in client.get("/fleet").text and made.embedded.fleet.agent("ap-test").is_revoked


# --- the guide ------------------------------------------------------------------------------------------------------------


def test_the_guide_leads_from_nothing_to_a_store(opened):
    made, client = opened()
    added = send(client, "/setup", "/setup", name="Fleuriste d'Étoile", time_zone="Europe/Paris")
    guide = added.headers["Location"]
    name = guide.split("/")[2]
    steps = [
        send(client, guide, f"/sites/{name}/setup/hours", hours="mon-sat 10:00-13:00, mon-sat 14:00-19:00"),
        send(client, guide, f"/sites/{name}/setup/mode", mode="count"),
        send(client, guide, f"/sites/{name}/setup/contact", name="Fleurs SARL", contact="vie.privee@fleurs.example"),
        send(client, guide, f"/sites/{name}/setup/store", name="Fleuriste", time_zone="Europe/Lisbon"),
    ]
    site = made.embedded.fleet.site(name)

    assert [step.status_code for step in steps] == [303] * 4
    assert (site.name, site.legal_mode, site.time_zone, len(site.opening_hours)) == (
        "Fleuriste",
        "count",
        "Europe/Lisbon",
        6,
    )
    assert "Nothing was heard yet" in client.get(guide).text
    assert f'href="/p/{name}/sign?lang=fr"' in client.get(guide).text
    sign = client.get(f"/p/{name}/sign?lang=fr").text
    assert "Fleurs SARL" in sign and "vie.privee@fleurs.example" in sign and "oublié en cinq minutes" in sign


def test_the_guide_warns_of_a_sign_that_says_nobody_to_write_to(opened):
    _, client = opened()

    assert "Enter where people write to" in client.get("/sites/shop/setup").text
    send(client, "/sites/shop/setup", "/sites/shop/setup/contact", name="Shop & Co", contact="privacy@shop.example")
    assert "Enter where people write to" not in client.get("/sites/shop/setup").text


@pytest.mark.parametrize(
    ("step", "fields", "said"),
    [("hours", {"hours": "10-19"}, "10:00-19:00"), ("mode", {"mode": "all"}, "count, day, consent"), ("store", {"name": "", "time_zone": "UTC"}, "1 to 200"),
     ("store", {"name": "x", "time_zone": "Paris"}, "Europe/Paris"), ("contact", {"name": "", "contact": ""}, "1 to 200")],
)  # fmt: skip
def test_a_step_that_cannot_be_says_what_can(opened, step, fields, said):
    made, client = opened()
    answer = send(client, "/sites/shop/setup", f"/sites/shop/setup/{step}", **fields)

    assert answer.status_code == 422 and said in answer.text
    assert made.embedded.fleet.site("shop").legal_mode == "day"


def test_a_step_that_is_none_is_not_there(opened):
    _, client = opened()
    assert send(client, "/sites/shop/setup", "/sites/shop/setup/fly").status_code == 404


@pytest.mark.parametrize(
    "text",
    ["mon-fri 09:30-18:00", "mon-sat 10:00-13:00, mon-sat 14:00-19:00", "mon 09:00-24:00, wed-thu 10:00-11:00", ""],
)
def test_opening_hours_are_written_as_they_are_read(text):
    hours = parse_hours(text) if text else {}
    written = hours_as_text(hours)

    assert (parse_hours(written) if written else {}) == hours
