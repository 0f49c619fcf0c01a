"""What people do with stores and access points on the pages: every act and every question begins with who asks.

``registry`` is for ingest and for the operator's commands, who may touch everything; the pages never use it.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sqlalchemy import Engine, insert, select, update

from cloud.accounts.audit import note
from cloud.accounts.secrets import new_name
from cloud.accounts.viewer import CHANGE_FLEET, CHANGE_SITES, READ_FLEET, Viewer, visible_sites
from cloud.databases.tables import agent_configs, agents, ledger_days, sites
from cloud.domain.site import Site, SiteError, check_site
from cloud.fleet.options import checked_options
from cloud.fleet.registry import Fleet, site_of

Row = dict[str, Any]
AGENT_COLUMNS = (
    "agent",
    "site",
    "state",
    "created_ms",
    "software",
    "last_batch_ms",
    "last_received_ms",
    "config_hash",
    "clock",
)


class Desk:
    """``now_ms`` is the clock."""

    def __init__(self, database: Engine, fleet: Fleet, now_ms: Callable[[], int]) -> None:
        self._database = database
        self._fleet = fleet
        self._now_ms = now_ms

    # --- stores -----------------------------------------------------------------------------------------------------

    def add_site(self, viewer: Viewer, name: str, time_zone: str) -> Site:
        """A new store of the viewer's merchant; its short name is drawn, for they are unique over all merchants. Raises SiteError."""
        viewer.require(CHANGE_SITES)
        site = Site(f"{_short(name)}-{new_name(4)}", name.strip(), time_zone.strip(), merchant=viewer.merchant)
        self._fleet.add_site(site)
        with self._database.begin() as connection:
            note(connection, viewer.merchant, viewer.login, self._now_ms(), "site_added", site.site)
        return site

    def change_site(self, viewer: Viewer, site: str, **changes: Any) -> Site:
        """Change name, time_zone, legal_mode or opening_hours of a store. Raises SiteError, also where there is none."""
        viewer.require(CHANGE_SITES)
        mine = (sites.c.site == site, sites.c.site.in_(visible_sites(viewer)))
        with self._database.begin() as connection:
            row = connection.execute(select(sites).where(*mine)).one_or_none()
            if row is None:
                raise SiteError("there is no store of that name")
            before = site_of(row)
            changed = replace(before, **changes)
            check_site(changed)
            history = before.modes.changed(changed.date_of(self._now_ms()), changed.legal_mode)
            values = {
                "name": changed.name,
                "time_zone": changed.time_zone,
                "opening_hours": changed.hours_as_json(),
                **(self._fleet.mode_values(changed, history) if "legal_mode" in changes else {}),
            }
            connection.execute(update(sites).where(*mine).values(**values))
            for what in changes:
                note(connection, viewer.merchant, viewer.login, self._now_ms(), f"site_{what}_changed", site)
        return changed

    # --- access points ----------------------------------------------------------------------------------------------

    def agents(self, viewer: Viewer) -> list[Row]:
        """Every access point of the viewer's stores, by store and name."""
        viewer.require(READ_FLEET)
        query = select(*(agents.c[name] for name in AGENT_COLUMNS)).where(agents.c.site.in_(visible_sites(viewer)))
        with self._database.connect() as connection:
            rows = connection.execute(query.order_by(agents.c.site, agents.c.agent))
            return [dict(row._mapping) for row in rows]

    def agent(self, viewer: Viewer, agent: str) -> Row | None:
        """One of them, None where there is none of that name, or it is another merchant's."""
        return next((row for row in self.agents(viewer) if row["agent"] == agent), None)

    def ledgers(self, viewer: Viewer, dates: list[str]) -> list[Row]:
        """What every access point heard on some dates."""
        viewer.require(READ_FLEET)
        where = (ledger_days.c.site.in_(visible_sites(viewer)), ledger_days.c.date.in_(dates))
        with self._database.connect() as connection:
            return [dict(row._mapping) for row in connection.execute(select(ledger_days).where(*where))]

    def make_token(self, viewer: Viewer, site: str) -> str:
        """A one-time code that enrols an access point for a store within a day. Raises SiteError."""
        viewer.require(CHANGE_FLEET)
        with self._database.begin() as connection:
            if connection.execute(visible_sites(viewer).where(sites.c.site == site)).first() is None:
                raise SiteError("there is no store of that name")
            note(connection, viewer.merchant, viewer.login, self._now_ms(), "enrolment_code_made", site)
        return self._fleet.make_token(site)

    def revoke(self, viewer: Viewer, agent: str) -> bool:
        """Take nothing more from an access point. False where the viewer has none of that name."""
        viewer.require(CHANGE_FLEET)
        mine = (agents.c.agent == agent, agents.c.site.in_(visible_sites(viewer)))
        with self._database.begin() as connection:
            is_done = connection.execute(update(agents).where(*mine).values(state="revoked")).rowcount == 1
            if is_done:
                note(connection, viewer.merchant, viewer.login, self._now_ms(), "agent_revoked", agent)
        return is_done

    # --- configuration ----------------------------------------------------------------------------------------------

    def configs(self, viewer: Viewer, agent: str) -> list[Row]:
        """The versions of an access point's configuration, newest first, their content read."""
        viewer.require(READ_FLEET)
        query = (
            select(agent_configs)
            .join(agents)
            .where(agent_configs.c.agent == agent, agents.c.site.in_(visible_sites(viewer)))
            .order_by(agent_configs.c.version.desc())
        )
        with self._database.connect() as connection:
            rows = [dict(row._mapping) for row in connection.execute(query)]
        return [{**row, "content": json.loads(row["content"])} for row in rows]

    def set_config(self, viewer: Viewer, agent: str, texts: dict[str, str]) -> int:
        """A new version from what a form says ("section.option" -> text, empty for the default). Gives its number. Raises OptionError,
        SiteError."""
        viewer.require(CHANGE_FLEET)
        content = checked_options(texts)
        if self.agent(viewer, agent) is None:
            raise SiteError("there is no access point of that name")
        earlier = self.configs(viewer, agent)
        if earlier and earlier[0]["content"] == content:
            return int(earlier[0]["version"])
        version = int(earlier[0]["version"]) + 1 if earlier else 1
        row = {
            "agent": agent,
            "version": version,
            "content": json.dumps(content, sort_keys=True),
            "made_ms": self._now_ms(),
            "made_by": viewer.login,
        }
        with self._database.begin() as connection:
            connection.execute(insert(agent_configs), row)
            note(
                connection,
                viewer.merchant,
                viewer.login,
                self._now_ms(),
                "agent_configured",
                f"{agent} version {version}",
            )
        return version


def _short(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40].strip("-") or "store"
