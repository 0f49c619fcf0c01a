"""The portal knows nothing of the radio: no address gets in, no sighting can be read, no code can be laid beside either."""

from __future__ import annotations

import ast
import inspect
import re
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import Table, event
from starlette.routing import Mount, Route
from support.clouds import DAY_MS
from support.portal import OWNER, VISIT
from support.spellings import spellings

from cloud.databases import portal_tables
from cloud.databases.portal_tables import codes
from cloud.databases.tables import metadata
from cloud.portal.offers import CodeRule
from cloud.portal.targeting import Known, due_offers

PORTAL = Path(portal_tables.__file__).parents[1] / "portal"
PHONE = bytes.fromhex("02005e005301")
OWN = {table.name for table in vars(portal_tables).values() if isinstance(table, Table)}
SHARED = {"sites", "merchants", "audit", "opt_outs", "attempts", "attempt_keys", "store_groups", "store_group_sites"}
"""Stores, their groups and who answers for them; what tills tried in vain; the merchant's own deeds; and the bits that an opt-out sets,
which no access point reports."""
BEYOND = set(metadata.tables) - OWN - SHARED
PARAMETERS = (
    "visit",
    "visitor",
    "ticket",
    "lang",
    "said",
    "offer",
    "number",
    "token",
    "code",
    "act",
    "zone",
    "site",
    "x",
    "next",
    "device",
)


def paths(store) -> list[tuple[str, str]]:
    """(method, path) of every route of the page, the till and the API, for the store `shop`."""
    (mount,) = store.page.routes()
    assert isinstance(mount, Mount)
    found = []
    for route in mount.routes:
        assert isinstance(route, Route)
        found += [(method, "/p" + route.path.replace("{site}", "shop")) for method in route.methods - {"HEAD"}]
    return sorted(found)


def walk(store, values: dict[str, str]) -> str:
    """Every route with these parameters in query and form; gives all that was answered."""
    told = []
    for method, path in paths(store):
        answer = store.client.request(method, path, params=values, data=values if method == "POST" else None)
        told.append(f"{answer.text} {answer.headers} {answer.url.copy_with(query=None)}")
    return "\n".join(told)


def test_there_are_routes_to_walk(store):
    assert len(paths(store)) >= 18


@pytest.mark.parametrize("name", spellings(PHONE))
def test_an_address_in_any_parameter_of_any_route_is_kept_nowhere(store, name):
    """As a token, a language, a code, a number, whatever: it is neither stored nor said again."""
    text = spellings(PHONE)[name]
    store.offer()

    told = walk(store, dict.fromkeys(PARAMETERS, text)) + store.dump()

    # The till shows the clerk what they typed, so that they see their slip; it goes no further than that page.
    shown = [
        line for line in told.splitlines() if text in line and 'class="code"' not in line and 'name="code"' not in line
    ]
    assert shown == []


def test_no_route_has_an_address_in_its_path(store):
    assert {name for _, path in paths(store) for name in re.findall(r"{(\w+)", path)} == set()


def test_no_column_is_made_for_an_address_or_a_pseudonym():
    names = {f"{table}.{column.name}" for table in OWN for column in metadata.tables[table].columns}

    assert [
        name for name in names if re.search(r"mac|addr|bssid|ssid|pseudonym|sighting|track|phone|agent", name)
    ] == []
    assert len(names) > 40


def journey(store) -> None:
    """All that a shopper and a till can do."""
    token = store.till.make_token(OWNER, store.site, "Counter")
    store.measured(codes=None)
    store.offer("For friends", audience="agreed", codes=CodeRule(stock=9))
    store.offer("Public")
    shopper = store.shopper(visit=VISIT)
    shopper.send("code")
    shopper.send("agree")
    shopper.open(visit=VISIT, visitor="b" * 24)
    store.clock.ms += DAY_MS
    shopper.reload()
    shopper.send("code")
    store.client.post(
        "/p/shop/till/redeem", json={"code": shopper.codes()[0]}, headers={"authorization": f"Bearer {token}"}
    )
    shopper.follow("My data")
    shopper.send("withdraw")
    shopper.follow("My data")
    shopper.send("erase")
    store.shoppers.purge()
    walk(store, {"visit": VISIT})


def test_the_portal_works_where_it_cannot_read_what_was_sensed(store):
    """SQLite refuses every table but the portal's own: the whole journey goes through, and reads no figure and no access point."""
    touched = set()

    def allow(action: int, first: str | None, _second: str | None, _database: str | None, _trigger: str | None) -> int:
        if action in (sqlite3.SQLITE_READ, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_INSERT, sqlite3.SQLITE_DELETE):
            touched.add(first)
            return sqlite3.SQLITE_DENY if first in BEYOND else sqlite3.SQLITE_OK
        return sqlite3.SQLITE_OK

    @event.listens_for(store.database, "connect")
    def guard(connection, _record):
        connection.set_authorizer(allow)

    store.database.dispose()
    journey(store)

    assert touched & BEYOND == set()
    assert touched >= OWN - {"till_tokens"}


def test_the_guard_of_that_test_does_guard(store):
    """The control: with it, a question about figures fails."""

    @event.listens_for(store.database, "connect")
    def guard(connection, _record):
        connection.set_authorizer(lambda action, first, *_: 1 if first in BEYOND else 0)

    store.database.dispose()
    with store.database.connect() as connection, pytest.raises(Exception, match="prohibited"):
        connection.exec_driver_sql("SELECT * FROM day_figures")


def imports(path: Path) -> set[str]:
    """module.name of everything that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def test_the_portals_code_names_no_table_beyond_its_own():
    """Targeting and the page have no way to a sighting: neither the lake, nor a figure, nor the consumer is imported."""
    named = {(path.name, name) for path in PORTAL.rglob("*.py") for name in imports(path)}
    tables = {f"cloud.databases.tables.{name}" for name in BEYOND}
    far = (
        "cloud.warehouse",
        "cloud.stores",
        "cloud.streams",
        "cloud.consumer",
        "cloud.ingest",
        "agent.",
        "duckdb",
        "pyarrow",
    )

    assert len(named) > 100
    assert [(path, name) for path, name in named if name in tables or name.startswith(far)] == []


def test_all_that_targeting_takes_is_what_the_shopper_carries():
    assert list(inspect.signature(due_offers).parameters) == ["offers", "site", "now_ms", "known"]
    assert set(Known.__dataclass_fields__) == {"shopper", "earlier_days", "opened_ms"}


# --- codes --------------------------------------------------------------------------------------------------------------


def test_a_code_names_no_shopper_and_no_time_of_day(store):
    """What is kept of a code: a hash, the offer, the wording, two days and a store. Nothing to lay beside a sighting or a visit."""
    assert set(codes.columns.keys()) == {"code_hash", "offer", "variant", "last_date", "used_date", "used_site"}
    store.offer(audience="agreed")
    for _ in range(3):
        shopper = store.shopper()
        shopper.send("agree")
        store.clock.ms += 61_000
        shopper.send("code")

    rows = store.rows(codes)

    assert len({row["last_date"] for row in rows}) == 1
    assert {key for row in rows for key, value in row.items() if value is not None} == {
        "code_hash", "offer", "variant", "last_date",
    }  # fmt: skip


def test_the_order_in_which_codes_were_drawn_is_not_kept(store):
    """A rowid would count them: the table has none, so rows lie in the order of their hashes."""
    store.offer(codes=CodeRule(cap=1))
    drawn = []
    for _ in range(8):
        shopper = store.shopper()
        shopper.send("code")
        drawn.append(shopper.codes()[0])

    with store.database.connect() as connection, pytest.raises(Exception, match="no such column: rowid"):
        connection.exec_driver_sql("SELECT rowid FROM codes")
    with store.database.connect() as connection:
        lying = [row[0] for row in connection.exec_driver_sql("SELECT code_hash FROM codes")]
    assert lying == sorted(lying)
    assert len(lying) == len(drawn)


def test_the_database_alone_cannot_tell_whose_a_code_is(store):
    """Somebody with the whole database tries every token hash, seal and name of it as token and as seed: no code comes out. With the
    shopper's link it does (the control)."""
    from cloud.portal.tokens import code_of, hash_of, open_seal

    offer = store.offer(audience="agreed")
    shopper = store.shopper()
    shopper.send("agree")
    shopper.send("code")
    (row,) = store.rows(codes)
    words = set(re.findall(r"[0-9a-z]{8,32}", store.dump()))
    seeds = {bytes.fromhex(word) for word in words if re.fullmatch(r"[0-9a-f]{32}", word)}
    seeds |= {seed for word in words for sealed in sealed_texts(store) for seed in open_seal(sealed, word)}

    tried = {hash_of(code_of(seed, offer.offer, number)) for seed in seeds for number in range(3)}
    assert len(tried) > 20
    assert row["code_hash"] not in tried

    (sealed,) = sealed_texts(store)
    seed = open_seal(sealed, shopper.carried()["visitor"])[0]
    assert hash_of(code_of(seed, offer.offer, 0)) == row["code_hash"]


def sealed_texts(store) -> list[str]:
    from cloud.databases.portal_tables import shopper_tokens

    return [row["sealed"] for row in store.rows(shopper_tokens)]
