"""Named groups of stores on every database: an offer for a group follows it, and codes are good where it reaches."""

from __future__ import annotations

import pytest
from contracts.adapters import DATABASES
from support.clouds import Clock

from cloud.accounts.accounts import Accounts, Merchant
from cloud.accounts.errors import NotAllowed
from cloud.accounts.passwords import Passwords
from cloud.accounts.viewer import of_role
from cloud.databases.base import migrate
from cloud.domain.site import Site
from cloud.fleet.groups import GroupError, Groups
from cloud.fleet.registry import Fleet
from cloud.portal.consent import consent_text
from cloud.portal.offer_store import GONE, TAKEN, OfferStore
from cloud.portal.offers import CodeRule, Offer, Words
from cloud.portal.shoppers import Carried, Shoppers
from cloud.portal.till import Till
from cloud.portal.tokens import code_of
from cloud.portal.words import language

OWNER, STRANGER = of_role("main", "owner@main", "owner"), of_role("other", "owner@other", "owner")
NORTH, SOUTH, WEST = (
    Site(name, name.title(), "UTC", "consent", merchant="main") for name in ("north", "south", "west")
)
THEIRS = Site("theirs", "Theirs", "UTC", "day", merchant="other")
SEED = bytes(16)


class Town:
    """Three stores of `main`, one of `other`, on one database."""

    def __init__(self, database):
        self.clock = Clock()
        Accounts(database, Passwords(), self.clock).add_merchant(Merchant("other", "The other merchant"))
        fleet = Fleet(database, self.clock)
        for site in (NORTH, SOUTH, WEST, THEIRS):
            fleet.add_site(site)
        self.groups, self.offers = Groups(database, self.clock), OfferStore(database, self.clock)
        self.till, self.shoppers = Till(database, self.clock), Shoppers(database, self.clock)

    def offer(self, *groups, sites=()):
        texts = {"a": {"en": Words("Coffee")}}
        written = Offer("", "main", texts, frozenset(sites), codes=CodeRule(), groups=frozenset(groups))
        kept = self.offers.save(OWNER, written)
        assert self.offers.start(OWNER, kept.offer)
        return kept.offer

    def shown_at(self):
        """The stores whose page has any offer."""
        return [site.site for site in (NORTH, SOUTH, WEST, THEIRS) if self.offers.running(site)]


@pytest.fixture(params=sorted(DATABASES))
def town(request, tmp_path):
    database = DATABASES[request.param](tmp_path)
    migrate(database)
    yield Town(database)
    database.dispose()


def test_an_offer_for_a_group_shows_in_the_stores_that_the_group_has_now(town):
    group = town.groups.make(OWNER, "By the sea", ["north", "south"]).group
    town.offer(group)

    assert town.shown_at() == ["north", "south"]
    town.groups.change(OWNER, group, "By the sea", ["south", "west"])
    assert town.shown_at() == ["south", "west"]


def test_stores_named_one_by_one_come_on_top_of_a_group(town):
    group = town.groups.make(OWNER, "By the sea", ["north"]).group
    (offer,) = [town.offers.one(OWNER, town.offer(group, sites=["west", "north"]))]

    assert (offer.sites, offer.groups, offer.reach()) == ({"west", "north"}, {group}, {"north", "west"})
    town.groups.change(OWNER, group, "By the sea", ["south"])
    assert town.shown_at() == ["north", "south", "west"]


def test_a_dissolved_group_leaves_its_offers_the_stores_it_had(town):
    group = town.groups.make(OWNER, "By the sea", ["north", "south"]).group
    name = town.offer(group, sites=["north"])

    assert town.groups.dissolve(OWNER, group) and not town.groups.dissolve(OWNER, group)
    assert town.shown_at() == ["north", "south"]
    assert (town.offers.one(OWNER, name).sites, town.offers.one(OWNER, name).groups) == ({"north", "south"}, set())


def test_a_code_is_drawn_and_taken_where_the_group_reaches_and_nowhere_else(town):
    group = town.groups.make(OWNER, "By the sea", ["north", "south"]).group
    name = town.offer(group)
    code = code_of(SEED, name, 0)

    assert town.offers.draw(WEST, name, None, (SEED,), 0) == GONE
    assert town.offers.draw(NORTH, name, None, (SEED,), 0) == TAKEN
    assert [town.till.check(site, code).outcome for site in (NORTH, SOUTH, WEST)] == ["good", "good", "unknown"]
    town.groups.change(OWNER, group, "By the sea", ["north"])
    assert [town.till.redeem(site, code).outcome for site in (SOUTH, NORTH)] == ["unknown", "redeemed"]


def test_who_is_erased_in_a_store_that_left_the_group_loses_their_codes_too(town):
    group = town.groups.make(OWNER, "By the sea", ["north"]).group
    name = town.offer(group)
    town.shoppers.agree(NORTH, Carried(visit="a" * 24), consent_text(language("en"), "Ivizone"))
    shopper = town.shoppers.recognise(NORTH, Carried(visit="a" * 24))
    assert town.offers.draw(NORTH, name, town.shoppers.arrive(NORTH, shopper), shopper.seeds, 0) == TAKEN
    town.groups.change(OWNER, group, "By the sea", ["south"])

    assert [code["offer"] for code in town.shoppers.export(NORTH, shopper)["codes"]] == [name]
    town.shoppers.erase(shopper)
    assert town.till.check(SOUTH, code_of(shopper.seeds[0], name, 0)).outcome == "unknown"


def test_no_group_reaches_into_another_merchants_stores(town):
    group = town.groups.make(OWNER, "All", ["north", "theirs"]).group
    town.offer(group)

    assert town.groups.of(OWNER)[0].sites == {"north"} and town.groups.of(STRANGER) == []
    assert town.groups.one(STRANGER, group) is None
    assert town.groups.change(STRANGER, group, "Mine", ["theirs"]) is None
    assert not town.groups.dissolve(STRANGER, group)
    stolen = town.offers.save(
        STRANGER, Offer("", "other", {"a": {"en": Words("X")}}, frozenset(), groups=frozenset({group}))
    )
    assert stolen.reach() == frozenset()
    assert town.shown_at() == ["north"]


@pytest.mark.parametrize(
    ("name", "stores", "key"),
    [("By the sea", ["north"], "groups.taken"), ("", ["north"], "groups.name_wrong"), ("x" * 101, ["north"], "groups.name_wrong"),
     ("New", [], "groups.empty"), ("New", ["theirs"], "groups.empty")],
)  # fmt: skip
def test_a_group_that_cannot_be_is_refused_and_leaves_nothing(town, name, stores, key):
    town.groups.make(OWNER, "By the sea", ["south"])
    with pytest.raises(GroupError, match=key):
        town.groups.make(OWNER, name, stores)

    assert [group.name for group in town.groups.of(OWNER)] == ["By the sea"]
    assert town.groups.make(STRANGER, "By the sea", ["theirs"]).name == "By the sea"


@pytest.mark.parametrize("role", ["analyst", "installer"])
def test_only_who_may_write_offers_changes_groups(town, role):
    group = town.groups.make(OWNER, "By the sea", ["south"]).group
    other = of_role("main", f"{role}@main", role)
    acts = (
        lambda: town.groups.make(other, "x", ["north"]),
        lambda: town.groups.change(other, group, "x", ["north"]),
        lambda: town.groups.dissolve(other, group),
    )
    for act in acts:
        with pytest.raises(NotAllowed):
            act()
