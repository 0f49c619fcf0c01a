"""Named groups of a merchant's stores: for offers, and for looking at some stores beside each other (shell: the database).

A group is what it is now: an offer for a group shows in the stores that the group has at that moment. When a group is dissolved, its offers
keep the stores that it had last, so that nothing changes for shoppers by a name going.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from cloud.accounts.audit import note
from cloud.accounts.secrets import new_name
from cloud.accounts.viewer import CHANGE_OFFERS, Viewer, visible_sites
from cloud.databases.base import ALONE
from cloud.databases.portal_tables import offer_groups, offer_sites
from cloud.databases.tables import sites, store_group_sites, store_groups

LONGEST, MOST = 100, 200
"""Letters of a name; groups of one merchant."""


@dataclass(frozen=True, slots=True)
class StoreGroup:
    """Some of a merchant's stores under a name."""

    group: str
    name: str
    sites: frozenset[str]


class GroupError(ValueError):
    """The group cannot be so. ``key`` is that of the text which says why."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


class Groups:
    """``now_ms`` is the clock."""

    def __init__(self, database: Engine, now_ms: Callable[[], int]) -> None:
        self._database = database
        self._alone = database.execution_options(**{ALONE: True})
        self._now_ms = now_ms

    def of(self, viewer: Viewer) -> list[StoreGroup]:
        """The groups of the viewer's merchant, by name."""
        mine = select(store_groups).where(store_groups.c.merchant == viewer.merchant).order_by(store_groups.c.name)
        members = select(store_group_sites).join(store_groups).where(store_groups.c.merchant == viewer.merchant)
        found: dict[str, set[str]] = {}
        with self._database.connect() as connection:
            for row in connection.execute(members):
                found.setdefault(row.store_group, set()).add(row.site)
            rows = connection.execute(mine)
            return [StoreGroup(row.store_group, row.name, frozenset(found.get(row.store_group, ()))) for row in rows]

    def one(self, viewer: Viewer, group: str) -> StoreGroup | None:
        """A group of the viewer's merchant; None where there is none of that name, or it is another merchant's."""
        return next((found for found in self.of(viewer) if found.group == group), None)

    def make(self, viewer: Viewer, name: str, wanted: Iterable[str]) -> StoreGroup:
        """A new group of some of the viewer's stores. Raises GroupError, NotAllowed."""
        viewer.require(CHANGE_OFFERS)
        group, checked = new_name(12), _checked(name)
        if len(self.of(viewer)) >= MOST:
            raise GroupError("groups.too_many")
        row = {"store_group": group, "merchant": viewer.merchant, "name": checked, "created_ms": self._now_ms()}
        try:
            with self._alone.begin() as connection:
                connection.execute(insert(store_groups), row)
                kept = self._set_sites(viewer, connection, group, wanted)
                note(connection, viewer.merchant, viewer.login, self._now_ms(), "store_group_made", checked)
        except IntegrityError as error:
            raise GroupError("groups.taken") from error
        return StoreGroup(group, checked, kept)

    def change(self, viewer: Viewer, group: str, name: str, wanted: Iterable[str]) -> StoreGroup | None:
        """Name a group anew and say which stores are in it. None where the viewer has none such. Raises GroupError, NotAllowed."""
        viewer.require(CHANGE_OFFERS)
        checked = _checked(name)
        try:
            with self._alone.begin() as connection:
                mine = (store_groups.c.store_group == group, store_groups.c.merchant == viewer.merchant)
                if connection.execute(update(store_groups).where(*mine).values(name=checked)).rowcount != 1:
                    return None
                kept = self._set_sites(viewer, connection, group, wanted)
                note(connection, viewer.merchant, viewer.login, self._now_ms(), "store_group_changed", checked)
        except IntegrityError as error:
            raise GroupError("groups.taken") from error
        return StoreGroup(group, checked, kept)

    def dissolve(self, viewer: Viewer, group: str) -> bool:
        """Let a group go; its offers keep its stores. False where the viewer has none such. Raises NotAllowed."""
        viewer.require(CHANGE_OFFERS)
        with self._alone.begin() as connection:
            mine = (store_groups.c.store_group == group, store_groups.c.merchant == viewer.merchant)
            name = connection.execute(select(store_groups.c.name).where(*mine)).scalar_one_or_none()
            if name is None:
                return False
            _hand_on(connection, group)
            connection.execute(delete(store_group_sites).where(store_group_sites.c.store_group == group))
            connection.execute(delete(store_groups).where(*mine))
            note(connection, viewer.merchant, viewer.login, self._now_ms(), "store_group_dissolved", name)
        return True

    def _set_sites(self, viewer: Viewer, connection: Connection, group: str, wanted: Iterable[str]) -> frozenset[str]:
        """The stores of a group, of those that are the merchant's own."""
        connection.execute(delete(store_group_sites).where(store_group_sites.c.store_group == group))
        mine = connection.execute(visible_sites(viewer).where(sites.c.site.in_(list(wanted)))).scalars()
        own = frozenset(str(site) for site in mine)
        if not own:
            raise GroupError("groups.empty")
        connection.execute(insert(store_group_sites), [{"store_group": group, "site": site} for site in sorted(own)])
        return own


def _hand_on(connection: Connection, group: str) -> None:
    """The group's stores to its offers, each by itself."""
    reached = (
        select(offer_groups.c.offer, store_group_sites.c.site)
        .join(store_group_sites, store_group_sites.c.store_group == offer_groups.c.store_group)
        .where(offer_groups.c.store_group == group)
    )
    mine = select(offer_groups.c.offer).where(offer_groups.c.store_group == group)
    named = connection.execute(select(offer_sites).where(offer_sites.c.offer.in_(mine)))
    there = {(row.offer, row.site) for row in named}
    rows = [{"offer": row.offer, "site": row.site} for row in connection.execute(reached)]
    rows = [row for row in rows if (row["offer"], row["site"]) not in there]
    if rows:
        connection.execute(insert(offer_sites), rows)
    connection.execute(delete(offer_groups).where(offer_groups.c.store_group == group))


def _checked(name: str) -> str:
    text = " ".join(name.split())
    if not 0 < len(text) <= LONGEST or not text.isprintable():
        raise GroupError("groups.name_wrong")
    return text
