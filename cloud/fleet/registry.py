"""Sites, access points and enrolment tokens in the database."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, Engine, Row, insert, select, union, update
from sqlalchemy.exc import IntegrityError

from cloud.accounts.audit import note
from cloud.databases.base import upsert
from cloud.databases.privacy_tables import set_aside
from cloud.databases.tables import agent_configs, agents, enrolment_tokens, merchants, sites
from cloud.domain.modes import ModeHistory, history_from_json
from cloud.domain.retention import FORMER_KEY_MS
from cloud.domain.site import LEGAL_MODES, Site, SiteError, check_site, hours_from_json

TOKEN_LIFE_S = 24 * 3600
LAST_DATE_MS = 400 * 86_400_000
"""Ahead of now; a window's start beyond it is damage, and no calendar has to have it."""
TOKEN_PREFIX = "ivz-"  # noqa: S105  a label, not a secret
NAME_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
"""Letters and digits that cannot be taken for one another when read aloud."""


class EnrolmentRefused(Exception):
    """The token is unknown, used or expired."""


@dataclass(frozen=True, slots=True)
class AgentRecord:
    """What ingest needs to know of an access point."""

    agent: str
    site: str
    public_key: bytes
    is_revoked: bool
    site_then: Site
    """Its site: which legal mode a window must have depends on its day."""
    former_key: bytes | None = None
    """The key before this one; see ``rekeyed_ms``."""
    rekeyed_ms: int = 0
    takes_former: bool = False
    """True while batches of its time are still taken under the former key."""

    @property
    def allows_replay(self) -> bool:
        """True where its site takes captures of any time."""
        return self.site_then.allows_replay

    def mode_at(self, time_ms: int) -> str:
        """The legal mode of its site at a time."""
        modes = self.site_then.modes
        return modes.only or modes.on(self.site_then.date_of(time_ms))


class Fleet:
    """``now_ms`` is the clock."""

    def __init__(self, database: Engine, now_ms: Callable[[], int]) -> None:
        self._database = database
        self._now_ms = now_ms

    # --- sites ------------------------------------------------------------------------------------------------------

    def add_site(self, site: Site, by: str = "") -> None:
        """Raises SiteError for a site that cannot be or is there already. ``by``, here and below: who does it, for the audit."""
        check_site(site)
        row = {
            "site": site.site,
            "name": site.name,
            "time_zone": site.time_zone,
            "opening_hours": site.hours_as_json(),
            "legal_mode": site.legal_mode,
            "allows_replay": site.allows_replay,
            "created_ms": self._now_ms(),
            "merchant": site.merchant,
        }
        whose = select(merchants.c.merchant).where(merchants.c.merchant == site.merchant)
        try:
            with self._database.begin() as connection:
                if connection.execute(whose).first() is None:
                    raise SiteError(
                        f"merchant {site.merchant!r} does not exist; add it with: ivizone-cloud merchant add {site.merchant}"
                    )
                connection.execute(insert(sites), row)
                self._note(connection, site.merchant, by, "site_added", site.site)
        except IntegrityError as error:
            raise SiteError(f"site {site.site!r} is there already; choose another name") from error

    def site(self, name: str) -> Site | None:
        """A site, None where there is none."""
        with self._database.connect() as connection:
            row = connection.execute(select(sites).where(sites.c.site == name)).one_or_none()
        return self._now(site_of(row)) if row else None

    def sites(self) -> list[Site]:
        """All sites, by name."""
        with self._database.connect() as connection:
            return [self._now(site_of(row)) for row in connection.execute(select(sites).order_by(sites.c.site))]

    def set_mode(self, name: str, mode: str, by: str = "") -> Site:
        """Choose a store's legal mode; ``cloud.domain.modes`` says from which day it holds. Gives the store as it is now. Raises SiteError."""
        if mode not in LEGAL_MODES:
            raise SiteError(f"legal mode {mode!r} is unknown; use {', '.join(LEGAL_MODES)}")
        site = self.site(name)
        if site is None:
            raise SiteError(f"site {name!r} does not exist; `ivizone-cloud site ls` lists them")
        history = site.modes.changed(site.date_of(self._now_ms()), mode)
        with self._database.begin() as connection:
            connection.execute(update(sites).where(sites.c.site == name).values(**self.mode_values(site, history)))
            self._note(connection, site.merchant, by, "site_mode_changed", f"{name} {mode}")
        return self._now(replace(site, history=history))

    def mode_values(self, site: Site, history: ModeHistory) -> dict[str, str]:
        """The columns of ``sites`` that say so."""
        return {"legal_mode": history.on(site.date_of(self._now_ms())), "mode_history": history.as_json()}

    def apply_modes(self) -> None:
        """Where the day has come from which another mode holds, the table says it too."""
        with self._database.begin() as connection:
            for row in connection.execute(select(sites).where(sites.c.mode_history.is_not(None))).all():
                values = self.mode_values(site_of(row), site_of(row).modes)
                if values["legal_mode"] != row.legal_mode:
                    connection.execute(update(sites).where(sites.c.site == row.site).values(**values))

    def _now(self, site: Site) -> Site:
        return replace(site, legal_mode=site.modes.on(site.date_of(self._now_ms())))

    def _note(self, connection: Connection, merchant: str, by: str, action: str, subject: str) -> None:
        if by:
            note(connection, merchant, by, self._now_ms(), action, subject)

    # --- access points ------------------------------------------------------------------------------------------------

    def make_token(self, site: str, by: str = "") -> str:
        """A one-time token that enrols an access point for ``site`` within a day. Raises SiteError."""
        known = self.site(site)
        if known is None:
            raise SiteError(f"site {site!r} does not exist; add it with: ivizone-cloud site add {site}")
        token = TOKEN_PREFIX + secrets.token_urlsafe(24)
        row = {"token_hash": _token_hash(token), "site": site, "expires_ms": self._now_ms() + TOKEN_LIFE_S * 1000}
        with self._database.begin() as connection:
            connection.execute(insert(enrolment_tokens), row)
            self._note(connection, known.merchant, by, "enrolment_token_made", site)
        return token

    def enrol(self, token: str, public_key: bytes, software: str) -> tuple[str, Site]:
        """Spend a token: a new access point with this key (32 bytes). Gives its name and its site. Raises EnrolmentRefused."""
        now_ms = self._now_ms()
        tokens = enrolment_tokens.c
        with self._database.begin() as connection:
            mine = tokens.token_hash == _token_hash(token)
            spent = connection.execute(
                update(enrolment_tokens)
                .where(mine, tokens.used_ms.is_(None), tokens.expires_ms > now_ms)
                .values(used_ms=now_ms)
            )
            if spent.rowcount != 1:
                raise EnrolmentRefused(
                    "the token is unknown, used or expired; make a new one with: ivizone-cloud agent token --site SITE"
                )
            site = connection.execute(select(sites).join(enrolment_tokens).where(mine)).one()
            agent = "ap-" + "".join(secrets.choice(NAME_ALPHABET) for _ in range(8))
            row = {
                "agent": agent,
                "site": site.site,
                "public_key": public_key,
                "state": "active",
                "created_ms": now_ms,
                "software": software,
            }
            connection.execute(insert(agents), row)
            self._note(connection, site.merchant, agent, "agent_enrolled", site.site)
        return agent, site_of(site)

    def agent(self, name: str) -> AgentRecord | None:
        """What ingest needs to know of an access point, None where it is unknown."""
        return self.agents_named([name]).get(name)

    def agents_named(self, names: Sequence[str]) -> dict[str, AgentRecord]:
        """The same of several, at most some thousands; those that are unknown are not there."""
        with self._database.connect() as connection:
            rows = connection.execute(select(agents).where(agents.c.agent.in_(names))).all()
            theirs = select(sites).where(sites.c.site.in_({row.site for row in rows}))
            by_name = {row.site: site_of(row) for row in connection.execute(theirs)} if rows else {}
        now_ms = self._now_ms()
        return {row.agent: _record(row, by_name[row.site], now_ms) for row in rows}

    def changed_since(self, since_ms: int) -> set[str]:
        """The access points of which `agent` may say something else than before ``since_ms`` (epoch ms, the system's clock)."""
        own = select(agents.c.agent).where(agents.c.changed_ms >= since_ms)
        of_site = select(agents.c.agent).join(sites).where(sites.c.changed_ms >= since_ms)
        with self._database.connect() as connection:
            return set(connection.execute(union(own, of_site)).scalars())

    def change_key(self, agent: str, old: bytes, new: bytes) -> bool:
        """Take key ``new`` (32 bytes) of an access point in the place of ``old``, which is remembered for what it signed until now.

        The same again moves that time, for until then the access point cannot have known the answer. False where ``old`` is neither.
        """
        c = agents.c
        values = {"public_key": new, "former_key": old, "rekeyed_ms": self._now_ms()}
        with self._database.begin() as connection:
            changed = connection.execute(update(agents).where(c.agent == agent, c.public_key == old).values(**values))
            if changed.rowcount != 1:
                again = (c.agent == agent, c.public_key == new, c.former_key == old)
                return connection.execute(update(agents).where(*again).values(rekeyed_ms=self._now_ms())).rowcount == 1
            merchant = select(sites.c.merchant).join(agents).where(c.agent == agent)
            self._note(connection, connection.execute(merchant).scalar_one(), agent, "agent_key_changed", agent)
        return True

    def config_of(self, agent: str) -> dict[str, dict[str, float]]:
        """Section -> option -> value of the newest version of an access point's configuration; empty without one."""
        configs = agent_configs.c
        query = select(configs.content).where(configs.agent == agent).order_by(configs.version.desc()).limit(1)
        with self._database.connect() as connection:
            content = connection.execute(query).scalar_one_or_none()
        found: dict[str, dict[str, float]] = json.loads(content) if content else {}
        return found

    def note_refused(self, record: AgentRecord, boot: bytes, batch: int, begins_ms: int, reason: str) -> None:
        """A batch of a known access point that was turned away for good: it is missing, and this is why."""
        key = {"agent": record.agent, "boot": boot.hex(), "batch": batch, "kind": "refused"}
        site = record.site_then
        values = {
            "site": site.site,
            "date": site.date_of(min(begins_ms, self._now_ms() + LAST_DATE_MS)),
            "sightings": 0,
            "reason": reason[:300],
            "object": None,
            "at_ms": self._now_ms(),
        }
        with self._database.begin() as connection:
            upsert(connection, set_aside, key, values)

    def agents_of(self, site: str) -> list[Row[tuple[object, ...]]]:
        """The access points of a site, by name."""
        with self._database.connect() as connection:
            return list(connection.execute(select(agents).where(agents.c.site == site).order_by(agents.c.agent)))

    def revoke(self, agent: str, by: str = "") -> bool:
        """Take nothing more from an access point. False where it is unknown."""
        query = select(sites.c.merchant).join(agents).where(agents.c.agent == agent)
        with self._database.begin() as connection:
            merchant = connection.execute(query).scalar_one_or_none()
            if merchant is None:
                return False
            connection.execute(update(agents).where(agents.c.agent == agent).values(state="revoked"))
            self._note(connection, merchant, by, "agent_revoked", agent)
        return True


def _record(row: Row[tuple[object, ...]], site: Site, now_ms: int) -> AgentRecord:
    r = row._mapping
    rekeyed_ms = r["rekeyed_ms"] or 0
    takes_former = r["former_key"] is not None and now_ms - rekeyed_ms < FORMER_KEY_MS
    is_revoked = r["state"] == "revoked"
    return AgentRecord(
        r["agent"], r["site"], r["public_key"], is_revoked, site, r["former_key"], rekeyed_ms, takes_former
    )


def _token_hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def site_of(row: Row[tuple[object, ...]]) -> Site:
    """The site in a row of the table ``sites``."""
    r = row._mapping
    return Site(
        r["site"],
        r["name"],
        r["time_zone"],
        r["legal_mode"],
        bool(r["allows_replay"]),
        hours_from_json(r["opening_hours"]),
        r["merchant"],
        history_from_json(r["mode_history"], r["legal_mode"]),
    )
