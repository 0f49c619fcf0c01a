"""Merchants, people, links, passwords, sessions, tokens and limits, on the database they live in."""

from __future__ import annotations

import pytest
from sqlalchemy import select
from support.accounts import PASSWORD, QUICK, People
from support.clouds import Cloud

from cloud.accounts.accounts import LINK_LIFE_MS, Merchant
from cloud.accounts.audit import entries
from cloud.accounts.errors import AccountRefused, NotAllowed
from cloud.accounts.limits import neighbourhood
from cloud.accounts.passwords import Passwords
from cloud.accounts.sessions import IDLE_MS, WHOLE_MS
from cloud.accounts.tokens import ApiTokens
from cloud.accounts.viewer import ROLES, of_role
from cloud.databases.tables import api_tokens, sessions, sign_in_links, users


@pytest.fixture
def cloud(tmp_path):
    made = Cloud(tmp_path)
    yield made
    made.close()


@pytest.fixture
def people(cloud):
    return People(cloud.embedded)


def rows(cloud, table):
    with cloud.embedded.database.connect() as connection:
        return [dict(row._mapping) for row in connection.execute(select(table))]


# --- merchants and people -------------------------------------------------------------------------------------------------


def test_every_installation_begins_with_the_merchant_main_and_its_stores_are_his(cloud, people):
    assert [merchant.merchant for merchant in people.accounts.merchants()] == ["main", "other"]
    assert cloud.embedded.fleet.site("shop").merchant == "main"


@pytest.mark.parametrize("name", ["", "Big Shop", "x" * 64, "main", "-x"])
def test_a_merchant_that_cannot_be_is_refused(people, name):
    with pytest.raises(AccountRefused):
        people.accounts.add_merchant(Merchant(name, "Name"))


@pytest.mark.parametrize(
    ("login", "merchant", "role", "said"),
    [
        ("an", "main", "owner", "3 to 200"),
        ("anna b", "main", "owner", "no space"),
        ("anna", "none", "owner", "merchant ls"),
        ("anna", "main", "boss", "owner, analyst, installer"),
        ("OWNER@main", "main", "owner", "there already"),
    ],
)
def test_a_person_that_cannot_be_is_refused_with_what_can(people, login, merchant, role, said):
    with pytest.raises(AccountRefused, match=said):
        people.accounts.add_user(login, merchant, role)


def test_capitals_and_spaces_do_not_make_another_person(people):
    people.with_password("owner@main")

    assert people.accounts.has_signed_in_with(" Owner@Main ", PASSWORD)


# --- passwords and links --------------------------------------------------------------------------------------------------


def test_a_password_is_kept_as_argon2id_at_the_price_that_rfc_9106_names():
    kept = Passwords().hash(PASSWORD, "anna")

    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$") and PASSWORD not in kept


def test_nobody_signs_in_before_they_chose_a_password_nor_a_stranger(people):
    assert not people.accounts.has_signed_in_with("owner@main", "")
    assert not people.accounts.has_signed_in_with("owner@main", "nobody's password")
    assert not people.accounts.has_signed_in_with("stranger", "nobody's password")


@pytest.mark.parametrize("password", ["", "short", "x" * 11, "x" * 201, "owner@main   "])
def test_a_password_that_is_none_is_refused_and_the_link_stays_good(people, password):
    secret = people.accounts.reset("owner@main")
    with pytest.raises(AccountRefused):
        people.accounts.spend_link(secret, password)

    assert people.accounts.spend_link(secret, PASSWORD) == "owner@main"


def test_a_link_is_good_once_and_for_a_day_and_a_new_one_ends_it(cloud, people):
    first = people.accounts.reset("owner@main")
    second = people.accounts.reset("owner@main")
    assert people.accounts.link_login(first) is None
    people.accounts.spend_link(second, PASSWORD)
    with pytest.raises(AccountRefused, match="new one"):
        people.accounts.spend_link(second, PASSWORD)
    third = people.accounts.reset("owner@main")
    cloud.clock.ms += LINK_LIFE_MS
    assert people.accounts.link_login(third) is None


def test_a_new_password_ends_every_session(people):
    secret = people.sessions.begin(people.with_password("owner@main"))
    people.with_password("owner@main", "another sentence altogether")

    assert people.sessions.viewer(secret) is None
    assert not people.accounts.has_signed_in_with("owner@main", PASSWORD)


def test_a_removed_person_has_no_session_no_link_and_no_password(people):
    secret, link = people.sessions.begin("owner@main"), people.accounts.reset("owner@main")
    people.accounts.remove_user("owner@main")

    assert people.sessions.viewer(secret) is None and people.accounts.link_login(link) is None
    with pytest.raises(AccountRefused, match="user ls"):
        people.accounts.reset("owner@main")


def test_no_secret_is_in_the_database(cloud, people):
    tokens = ApiTokens(cloud.embedded.database, cloud.clock)
    owner = of_role("main", "owner@main", "owner")
    secrets = [
        people.sessions.begin("owner@main"),
        people.accounts.reset("owner@main"),
        tokens.make(owner, "till", ["figures:read"]),
    ]
    text = repr([rows(cloud, table) for table in (users, sessions, sign_in_links, api_tokens)])

    assert not any(secret in text or secret.removeprefix("ivzapi-") in text for secret in secrets)


# --- sessions -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ROLES)
def test_a_session_is_its_persons_with_the_rights_of_their_role(people, role):
    viewer = people.sessions.viewer(people.sessions.begin(f"{role}@other"))

    assert (viewer.merchant, viewer.login, viewer.rights) == ("other", f"{role}@other", ROLES[role])


def test_a_session_ends_when_nobody_uses_it(cloud, people):
    secret = people.sessions.begin("owner@main")
    for _ in range(3):
        cloud.clock.ms += IDLE_MS - 120_000
        assert people.sessions.viewer(secret)
    cloud.clock.ms += IDLE_MS
    assert people.sessions.viewer(secret) is None


def test_a_session_ends_after_two_weeks_however_much_it_is_used(cloud, people):
    secret = people.sessions.begin("owner@main")
    for _ in range(WHOLE_MS // (IDLE_MS // 2) - 1):
        cloud.clock.ms += IDLE_MS // 2
        assert people.sessions.viewer(secret)
    cloud.clock.ms += IDLE_MS // 2
    assert people.sessions.viewer(secret) is None


def test_sessions_that_are_over_are_cleared_away(cloud, people):
    people.sessions.begin("owner@main")
    cloud.clock.ms += IDLE_MS
    people.sessions.begin("owner@main")

    assert len(rows(cloud, sessions)) == 1


def test_signing_out_ends_one_session_only(people):
    first, second = people.sessions.begin("owner@main"), people.sessions.begin("owner@main")
    people.sessions.end(first)

    assert people.sessions.viewer(first) is None and people.sessions.viewer(second)


@pytest.mark.parametrize("secret", ["", "x", "é", "\x00", "a" * 10_000])
def test_what_was_never_a_session_is_none(people, secret):
    assert people.sessions.viewer(secret) is None


# --- tokens ---------------------------------------------------------------------------------------------------------------


def test_a_token_has_its_scopes_and_nothing_else_until_it_is_revoked(cloud, people):
    tokens, owner = ApiTokens(cloud.embedded.database, cloud.clock), of_role("main", "owner@main", "owner")
    secret = tokens.make(owner, "the till", ["fleet:read", "fleet:change"])
    viewer, (kept,) = tokens.viewer(secret), tokens.of(owner)

    assert viewer.merchant == "main" and viewer.rights == {"fleet:read"}
    assert "token_hash" not in kept
    assert not tokens.revoke(of_role("other", "x", "owner"), kept["token"])
    assert tokens.revoke(owner, kept["token"]) and tokens.viewer(secret) is None


def test_nobody_hands_on_a_scope_that_they_do_not_have(cloud, people):
    tokens = ApiTokens(cloud.embedded.database, cloud.clock)
    with pytest.raises(NotAllowed):
        tokens.make(of_role("main", "i", "installer"), "x", ["figures:read"])
    for scopes, label in (([], "x"), (["all"], "x"), (["figures:read"], ""), (["figures:read"], "x" * 101)):
        with pytest.raises(AccountRefused):
            tokens.make(of_role("main", "o", "owner"), label, scopes)


# --- limits: on every database in tests/contracts/test_accounts.py ---------------------------------------------------------


def test_an_address_is_counted_with_its_network():
    assert neighbourhood("203.0.113.77") == "203.0.113.0/24"
    assert neighbourhood("2001:db8:1:ff::5") == "2001:db8:1::/56"
    assert neighbourhood("somewhere") == "somewhere"


# --- audit ----------------------------------------------------------------------------------------------------------------


def test_what_is_done_is_written_down_for_the_merchant_it_concerns(cloud, people):
    people.with_password("owner@other")
    people.sessions.begin("owner@other")
    read = [
        (entry["login"], entry["action"]) for entry in entries(cloud.embedded.database, of_role("other", "o", "owner"))
    ]

    assert read[:3] == [
        ("owner@other", "signed_in"),
        ("owner@other", "password_chosen"),
        ("operator", "password_reset_begun"),
    ]
    assert not any(
        "other" in entry["subject"] for entry in entries(cloud.embedded.database, of_role("main", "o", "owner"))
    )


def test_the_tests_passwords_are_argon2_too():
    assert QUICK.hash(PASSWORD, "anna").startswith("$argon2id$")
