"""What accounts ask of every database: limits that all processes share, people who stay in their merchant, links that are good once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from contracts.adapters import DATABASES
from sqlalchemy import select
from support.clouds import Clock

from cloud.accounts.errors import SignInLimited
from cloud.accounts.limits import KEPT_MS, LIMITS, WINDOW_MS, Attempts, SignInLimits
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
