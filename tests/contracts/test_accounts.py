"""What accounts ask of every database: limits that all processes share, people who stay in their merchant, links that are good once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from contracts.adapters import DATABASES
from sqlalchemy import select
from support.accounts import PASSWORD, QUICK
from support.clouds import Clock

from cloud.accounts.accounts import Accounts, Merchant
from cloud.accounts.audit import entries
from cloud.accounts.colleagues import INVITES_AN_HOUR, ColleagueRefused, Colleagues
from cloud.accounts.errors import NotAllowed, SignInLimited
from cloud.accounts.limits import KEPT_MS, LIMITS, WINDOW_MS, Attempts, SignInLimits
from cloud.accounts.sessions import Sessions
from cloud.accounts.tokens import ApiTokens
from cloud.accounts.viewer import ROLES, of_role
from cloud.databases.base import migrate
from cloud.databases.tables import attempts


@pytest.fixture(params=sorted(DATABASES))
def database(request, tmp_path):
    made = DATABASES[request.param](tmp_path)
    migrate(made)
    yield made
    made.dispose()


def rows(database, table):
    with database.connect() as connection:
        return [dict(row._mapping) for row in connection.execute(select(table))]


def taken(limits, login, address, count):
    """How many of ``count`` attempts are taken."""
    found = 0
    for _ in range(count):
        with suppress(SignInLimited):
            limits.begin(login, address)
            found += 1
    return found


# --- limits -------------------------------------------------------------------------------------------------------------


def test_an_account_takes_ten_failures_from_wherever_and_then_waits(database):
    clock = Clock()
    limits = SignInLimits(database, clock)

    assert sum(taken(limits, "anna", f"198.51.{n}.1", 3) for n in range(6)) == LIMITS["account"]
    assert limits.refused["account"] == 18 - LIMITS["account"]
    with pytest.raises(SignInLimited) as refused:
        limits.begin("anna", "198.51.1.1")
    assert refused.value.wait_s == WINDOW_MS // 1000
    clock.ms += WINDOW_MS
    assert taken(limits, "anna", "198.51.1.1", 1) == 1


def test_a_neighbourhood_takes_fifty_whoever_it_asks_for(database):
    limits = SignInLimits(database, Clock())

    assert sum(taken(limits, f"user{n}", f"203.0.113.{n}", 1) for n in range(60)) == LIMITS["address"]


def test_who_signs_in_begins_anew(database):
    limits = SignInLimits(database, Clock())
    for _ in range(12):
        limits.begin("anna", "203.0.113.1")
        limits.succeeded("anna", "203.0.113.1")

    assert taken(limits, "anna", "203.0.113.1", 12) == LIMITS["account"]


def test_several_processes_behind_a_balancer_count_together(database):
    """Eight of them at once, each with limits of its own over the same database, take no more than one would."""
    clock = Clock()
    instances = [SignInLimits(database, clock) for _ in range(8)]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda limits: taken(limits, "anna", "203.0.113.1", 3), instances))

    assert sum(found) == LIMITS["account"]
    assert taken(SignInLimits(database, clock), "anna", "203.0.113.1", 1) == 0, (
        "one that was started just now knows too"
    )


def test_a_refused_attempt_counts_against_nobody_else(database):
    """Whoever tries one account a hundred times does not use up the neighbourhood of a whole store."""
    limits = SignInLimits(database, Clock())
    taken(limits, "anna", "203.0.113.1", 30)

    assert {row["kind"]: row["tries"] for row in rows(database, attempts)} == {"account": 10, "address": 10}


def test_the_counters_tell_neither_names_nor_addresses_and_go_within_the_hour(database):
    clock = Clock()
    limits = SignInLimits(database, clock)
    limits.begin("anna@example.org", "203.0.113.1")
    kept = rows(database, attempts)

    assert len(kept) == 2 and not any(word in repr(kept) for word in ("anna", "203.0.113"))
    clock.ms += KEPT_MS
    limits.begin("berta@example.org", "198.51.100.1")
    assert {row["name_hash"] for row in rows(database, attempts)}.isdisjoint(row["name_hash"] for row in kept)


def test_looking_at_a_limit_counts_nothing(database):
    clock = Clock()
    counters = Attempts(database, clock)
    assert [counters.wait_s(2, WINDOW_MS, "till_code", "x") for _ in range(5)] == [0] * 5
    assert [counters.take(2, WINDOW_MS, "till_code", "x") > 0 for _ in range(3)] == [False, False, True]
    assert counters.wait_s(2, WINDOW_MS, "till_code", "x") == WINDOW_MS // 1000
    assert counters.wait_s(2, WINDOW_MS, "till_code", "y") == 0


# --- people -------------------------------------------------------------------------------------------------------------


class House:
    """Two merchants with an owner each, on one database."""

    def __init__(self, database):
        self.database, self.clock = database, Clock()
        self.accounts = Accounts(database, QUICK, self.clock)
        self.sessions, self.tokens = Sessions(database, self.clock), ApiTokens(database, self.clock)
        self.colleagues = Colleagues(database, self.clock)
        self.accounts.add_merchant(Merchant("other", "The other merchant"))
        for merchant in ("main", "other"):
            self.accounts.add_user(f"owner@{merchant}", merchant, "owner")
        self.owner, self.stranger = (of_role(name, f"owner@{name}", "owner") for name in ("main", "other"))

    def people(self, merchant="main"):
        return {user.login: user.role for user in self.accounts.users(merchant)}


@pytest.fixture
def house(database):
    return House(database)


def test_an_invited_person_chooses_a_password_once_and_has_their_role(house):
    secret = house.colleagues.invite(house.owner, " Anna@Main ", "analyst")
    assert house.accounts.spend_link(secret, PASSWORD) == "anna@main"
    viewer = house.sessions.viewer(house.sessions.begin("anna@main"))

    assert (viewer.merchant, viewer.rights) == ("main", ROLES["analyst"])
    assert house.accounts.link_login(secret) is None


def test_another_role_holds_from_the_next_click_on_and_takes_the_tokens_that_reach_further(house):
    house.colleagues.invite(house.owner, "anna@main", "analyst")
    session = house.sessions.begin("anna@main")
    figures = house.tokens.make(house.sessions.viewer(session), "till", ["figures:read"])
    fleet = house.tokens.make(house.sessions.viewer(session), "lamp", ["fleet:read"])
    house.colleagues.change_role(house.owner, "anna@main", "installer")

    assert house.sessions.viewer(session).rights == ROLES["installer"]
    assert house.tokens.viewer(figures) is None and house.tokens.viewer(fleet)


def test_a_removed_person_is_out_at_once_with_all_that_they_held(house):
    link = house.colleagues.invite(house.owner, "anna@main", "analyst")
    session = house.sessions.begin("anna@main")
    token = house.tokens.make(house.sessions.viewer(session), "till", ["figures:read"])
    house.colleagues.remove(house.owner, "anna@main")

    assert (house.sessions.viewer(session), house.tokens.viewer(token), house.accounts.link_login(link)) == (None,) * 3
    assert house.people() == {"owner@main": "owner"}


def test_a_new_link_ends_the_one_before(house):
    first = house.colleagues.invite(house.owner, "anna@main", "analyst")
    second = house.colleagues.link(house.owner, "anna@main")

    assert (house.accounts.link_login(first), house.accounts.link_login(second)) == (None, "anna@main")


def test_what_an_owner_does_with_people_is_written_down(house):
    house.colleagues.invite(house.owner, "anna@main", "analyst")
    house.colleagues.change_role(house.owner, "anna@main", "owner")
    house.colleagues.remove(house.owner, "anna@main")
    done = [(entry["login"], entry["action"], entry["subject"]) for entry in entries(house.database, house.owner)]

    actions = ("user_removed", "user_made_owner", "user_added")
    assert done[:3] == [("owner@main", action, "anna@main") for action in actions]
    assert not any("anna" in entry["subject"] for entry in entries(house.database, house.stranger))


def test_no_owner_reaches_the_people_of_another_merchant(house):
    """The answer is that of a name which nobody bears; nor does a name that is taken there say whose it is."""
    acts = {
        "link": lambda login: house.colleagues.link(house.stranger, login),
        "role": lambda login: house.colleagues.change_role(house.stranger, login, "installer"),
        "remove": lambda login: house.colleagues.remove(house.stranger, login),
    }
    for act in acts.values():
        for login in ("owner@main", "nobody@main"):
            with pytest.raises(ColleagueRefused, match=r"people\.not_there"):
                act(login)
    for taken_login in ("owner@main", "owner@other"):
        with pytest.raises(ColleagueRefused, match=r"people\.taken"):
            house.colleagues.invite(house.stranger, taken_login, "analyst")
    assert (house.people(), house.people("other")) == ({"owner@main": "owner"}, {"owner@other": "owner"})


def test_a_merchant_always_keeps_an_owner_even_when_two_remove_each_other(house):
    house.colleagues.invite(house.owner, "anna@main", "owner")
    anna = of_role("main", "anna@main", "owner")
    with pytest.raises(ColleagueRefused, match="yourself"):
        house.colleagues.remove(anna, "anna@main")

    def remove(pair):
        with suppress(NotAllowed, ColleagueRefused):
            house.colleagues.remove(*pair)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(remove, [(house.owner, "anna@main"), (anna, "owner@main")]))

    assert list(house.people().values()) == ["owner"]


def test_names_cannot_be_tried_out_by_inviting(house):
    for number in range(INVITES_AN_HOUR):
        house.colleagues.invite(house.stranger, f"person-{number}", "analyst")
    with pytest.raises(SignInLimited):
        house.colleagues.invite(house.stranger, "owner@main", "analyst")

    assert house.colleagues.invite(house.owner, "anna@main", "analyst"), "another merchant has invitations of its own"


@pytest.mark.parametrize("role", ["analyst", "installer"])
def test_only_an_owner_manages_people(house, role):
    other = of_role("main", f"{role}@main", role)
    with pytest.raises(NotAllowed):
        house.colleagues.invite(other, "anna@main", "owner")
    with pytest.raises(NotAllowed):
        house.colleagues.change_role(other, "owner@main", "installer")
    assert house.people() == {"owner@main": "owner"}
