"""Sites, access points and enrolment tokens in the database."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Engine, Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from cloud.databases.tables import agent_configs, agents, enrolment_tokens, merchants, sites
from cloud.domain.site import Site, SiteError, check_site, hours_from_json

TOKEN_LIFE_S = 24 * 3600
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
    legal_mode: str
    allows_replay: bool


class Fleet:
    """``now_ms`` is the clock."""

    def __init__(self, database: Engine, now_ms: Callable[[], int]) -> None:
        self._database = database
        self._now_ms = now_ms

    # --- sites ------------------------------------------------------------------------------------------------------

    def add_site(self, site: Site) -> None:
        """Raises SiteError for a site that cannot be or is there already."""
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
        except IntegrityError as error:
            raise SiteError(f"site {site.site!r} is there already; choose another name") from error

    def site(self, name: str) -> Site | None:
        """A site, None where there is none."""
        with self._database.connect() as connection:
            row = connection.execute(select(sites).where(sites.c.site == name)).one_or_none()
        return site_of(row) if row else None

    def sites(self) -> list[Site]:
        """All sites, by name."""
        with self._database.connect() as connection:
            return [site_of(row) for row in connection.execute(select(sites).order_by(sites.c.site))]

    # --- access points ------------------------------------------------------------------------------------------------

    def make_token(self, site: str) -> str:
        """A one-time token that enrols an access point for ``site`` within a day. Raises SiteError."""
        if self.site(site) is None:
            raise SiteError(f"site {site!r} does not exist; add it with: ivizone-cloud site add {site}")
        token = TOKEN_PREFIX + secrets.token_urlsafe(24)
        row = {"token_hash": _token_hash(token), "site": site, "expires_ms": self._now_ms() + TOKEN_LIFE_S * 1000}
        with self._database.begin() as connection:
            connection.execute(insert(enrolment_tokens), row)
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
        return agent, site_of(site)

    def agent(self, name: str) -> AgentRecord | None:
        """What ingest needs to know of an access point, None where it is unknown."""
        with self._database.connect() as connection:
            row = connection.execute(
                select(agents, sites.c.legal_mode, sites.c.allows_replay).join(sites).where(agents.c.agent == name)
            ).one_or_none()
        if row is None:
            return None
        return AgentRecord(
            row.agent, row.site, row.public_key, row.state == "revoked", row.legal_mode, row.allows_replay
        )

    def config_of(self, agent: str) -> dict[str, dict[str, float]]:
        """Section -> option -> value of the newest version of an access point's configuration; empty without one."""
        configs = agent_configs.c
        query = select(configs.content).where(configs.agent == agent).order_by(configs.version.desc()).limit(1)
        with self._database.connect() as connection:
            content = connection.execute(query).scalar_one_or_none()
        found: dict[str, dict[str, float]] = json.loads(content) if content else {}
        return found

    def agents_of(self, site: str) -> list[Row[tuple[object, ...]]]:
        """The access points of a site, by name."""
        with self._database.connect() as connection:
            return list(connection.execute(select(agents).where(agents.c.site == site).order_by(agents.c.agent)))

    def revoke(self, agent: str) -> bool:
        """Take nothing more from an access point. False where it is unknown."""
        with self._database.begin() as connection:
            return (
                connection.execute(update(agents).where(agents.c.agent == agent).values(state="revoked")).rowcount == 1
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
    )
