"""What people do with access points: versions of a configuration, its bounds, alerts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.accounts import People
from support.clouds import HOUR_MS, MIN_MS, NOON_MS, Cloud

from agent.config import Config
from cloud.accounts.errors import NotAllowed
from cloud.accounts.viewer import of_role
from cloud.domain.site import SiteError
from cloud.fleet.alerts import AgentDay, alerts_of, coverage_of
from cloud.fleet.desk import Desk
from cloud.fleet.options import OPTIONS, OptionError, checked_options

OWNER, INSTALLER = of_role("main", "anna", "owner"), of_role("main", "ivo", "installer")
ANALYST, STRANGER = of_role("main", "ana", "analyst"), of_role("other", "sam", "owner")


@pytest.fixture
def cloud(tmp_path):
    made = Cloud(tmp_path)
    People(made.embedded)
    yield made
    made.close()


@pytest.fixture
def desk(cloud):
    return Desk(cloud.embedded.database, cloud.embedded.fleet, cloud.clock)


# --- options --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_what_can_be_set_from_afar_has_the_agents_own_default_and_bounds(option):
    section, _, name = option.name.partition(".")
    field = type(getattr(Config(), section)).__dataclass_fields__[name]
    default = getattr(getattr(Config(), section), name)

    assert default == option.default
    assert (field.metadata["low"], field.metadata["high"]) == (option.low, option.high)
    assert isinstance(default, int) == option.is_whole


@pytest.mark.parametrize(
    "texts",
    [{"batch.window_s": "4"}, {"batch.window_s": "301"}, {"batch.window_s": "30.5"}, {"proximity.slope_db": "nan"}, {"proximity.slope_db": "six"},
     {"proximity.slope_db": "inf"}],
)  # fmt: skip
def test_a_value_that_the_agent_would_refuse_is_refused_with_what_is_allowed(texts):
    with pytest.raises(OptionError, match=r"use .*to") as refused:
        checked_options(texts)

    assert refused.value.option in texts


def test_an_empty_field_and_an_unknown_name_set_nothing():
    assert checked_options({"batch.window_s": " ", "cloud.url": "https://evil.example", "form_key": "x"}) == {}


# --- versions -------------------------------------------------------------------------------------------------------------


def test_each_change_is_a_version_and_none_is_lost(desk):
    versions = [desk.set_config(OWNER, "ap-test", {"batch.window_s": text}) for text in ("60", "60", "20", "")]

    assert versions == [1, 1, 2, 3], "the same again is no change"
    assert [config["content"] for config in desk.configs(OWNER, "ap-test")] == [
        {},
        {"batch": {"window_s": 20}},
        {"batch": {"window_s": 60}},
    ]


def test_who_may_not_does_not(desk):
    for act in (
        lambda: desk.set_config(ANALYST, "ap-test", {}),
        lambda: desk.revoke(ANALYST, "ap-test"),
        lambda: desk.make_token(ANALYST, "shop"),
        lambda: desk.add_site(ANALYST, "Shop", "UTC"),
        lambda: desk.change_site(ANALYST, "shop", name="Mine"),
    ):
        with pytest.raises(NotAllowed):
            act()


def test_a_stranger_does_not_find_what_is_not_theirs(cloud, desk):
    for act in (
        lambda: desk.set_config(STRANGER, "ap-test", {"batch.window_s": "60"}),
        lambda: desk.make_token(STRANGER, "shop"),
        lambda: desk.change_site(STRANGER, "shop", name="Mine"),
    ):
        with pytest.raises(SiteError):
            act()
    assert not desk.revoke(STRANGER, "ap-test")
    assert (desk.agents(STRANGER), desk.agent(STRANGER, "ap-test"), desk.configs(STRANGER, "ap-test")) == ([], None, [])
    assert cloud.embedded.fleet.agent("ap-test").is_revoked is False


def test_a_store_gets_a_short_name_that_nobody_has(desk):
    names = {desk.add_site(INSTALLER, "Café São João", "Europe/Lisbon").site for _ in range(3)}

    assert len(names) == 3 and all(name.startswith("cafe-sao-joao-") for name in names)
    assert desk.add_site(INSTALLER, "店", "UTC").site.startswith("store-")


# --- alerts ---------------------------------------------------------------------------------------------------------------

NOW_MS = NOON_MS
LEDGER = {"listening_ms": 12 * HOUR_MS, "frames": 1000, "kernel_drops": 0, "evicted_batches": 0}
WELL = AgentDay("ap", NOW_MS - 48 * HOUR_MS, NOW_MS - MIN_MS, "synced", False, LEDGER, NOW_MS - 12 * HOUR_MS)


def kinds(**changes):
    return [alert.kind for alert in alerts_of(replace(WELL, **changes), NOW_MS)]


def test_an_access_point_that_is_well_raises_no_alert():
    assert kinds() == [] and coverage_of(WELL, NOW_MS) == 1.0


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"last_received_ms": NOW_MS - 15 * MIN_MS}, []),
        ({"last_received_ms": NOW_MS - 15 * MIN_MS - 1}, ["silent"]),
        ({"last_received_ms": None, "created_ms": NOW_MS - HOUR_MS}, []),
        ({"last_received_ms": None, "created_ms": NOW_MS - HOUR_MS - 1}, ["never"]),
        ({"ledger": {**LEDGER, "listening_ms": 9.6 * HOUR_MS}}, []),
        ({"ledger": {**LEDGER, "listening_ms": 9.5 * HOUR_MS}}, ["coverage"]),
        ({"ledger": {**LEDGER, "listening_ms": 0}, "begun_ms": NOW_MS - 59 * MIN_MS}, []),
        ({"ledger": None}, []),
        ({"clock": "unsynced"}, ["clock"]),
        ({"clock": None}, []),
        ({"ledger": {**LEDGER, "evicted_batches": 3}}, ["evicted"]),
        ({"ledger": {**LEDGER, "kernel_drops": 10}}, []),
        ({"ledger": {**LEDGER, "kernel_drops": 11}}, ["drops"]),
    ],
)
def test_what_is_wrong_is_an_alert_from_its_bound_on(changes, expected):
    assert kinds(**changes) == expected
