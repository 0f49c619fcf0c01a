"""What the papers say of a store, gathered from the running configuration (shell: it asks the database). No number stands in a text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date as Date
from datetime import timedelta
from typing import Any

from sqlalchemy import Engine, select

from cloud.databases.privacy_tables import opt_outs, receipts
from cloud.databases.tables import agents, day_figures, merchants
from cloud.domain.opt_out import SECTION_BYTES
from cloud.domain.preset import OWN
from cloud.domain.publish import publish_day
from cloud.domain.site import Site
from cloud.fleet.options import OPTIONS
from cloud.fleet.registry import Fleet
from cloud.portal.notice import Controller

DAYS = 28
"""How far back the scale of the counting is looked at."""


@dataclass(frozen=True, slots=True)
class AccessPoint:
    """One access point: its name, version, and the options that the cloud set (all others have their defaults)."""

    agent: str
    software: str
    options: dict[str, float]


@dataclass(frozen=True, slots=True)
class Scale:
    """Means of the published figures of the last ``DAYS`` days; None where no day has one to show."""

    days: int
    visitors: float | None
    passers_by: float | None
    coverage: float | None


@dataclass(frozen=True, slots=True)
class Facts:
    """A store as it runs on ``date`` (its own)."""

    site: Site
    controller: Controller
    date: str
    access_points: tuple[AccessPoint, ...]
    scale: Scale
    opt_out_sections: int
    receipts: int


def gather(database: Engine, site: Site, now_ms: Callable[[], int]) -> Facts:
    """Everything of one store. Raises SQLAlchemyError."""
    fleet, today = Fleet(database, now_ms), site.date_of(now_ms())
    active = select(agents.c.agent, agents.c.software).where(agents.c.site == site.site, agents.c.state == "active")
    with database.connect() as connection:
        merchant = connection.execute(select(merchants).where(merchants.c.merchant == site.merchant)).one()
        names = list(connection.execute(active.order_by(agents.c.agent)))
        bits = connection.execute(select(opt_outs.c.filter).where(opt_outs.c.site == site.site)).scalar_one_or_none()
        last = connection.execute(select(receipts.c.receipt).order_by(receipts.c.receipt.desc()).limit(1)).scalar()
    return Facts(
        site,
        Controller(merchant.name, merchant.contact),
        today,
        tuple(AccessPoint(row.agent, row.software, options_of(fleet.config_of(row.agent))) for row in names),
        _scale(database, site, today),
        len(bits or b"") // SECTION_BYTES,
        last or 0,
    )


def options_of(set_there: dict[str, dict[str, float]]) -> dict[str, float]:
    """Option -> value in force: what the merchant set, else the default."""
    found = {}
    for option in OPTIONS:
        section, _, name = option.name.partition(".")
        found[option.name] = set_there.get(section, {}).get(name, option.default)
    return found


def _scale(database: Engine, site: Site, today: str) -> Scale:
    first = (Date.fromisoformat(today) - timedelta(days=DAYS)).isoformat()
    c = day_figures.c
    query = select(day_figures).where(c.site == site.site, c.preset == OWN, c.date >= first, c.date < today)
    by_date: dict[str, list[Any]] = {}
    with database.connect() as connection:
        for row in connection.execute(query).mappings():
            by_date.setdefault(row["date"], []).append(row)
    days = [publish_day(rows) for rows in by_date.values()]

    def mean(values: list[float]) -> float | None:
        return sum(values) / len(values) if values else None

    def of(metric: str) -> list[float]:
        return [value for day in days if metric in day and (value := day[metric].value) is not None]

    coverage = [day["visitors"].coverage for day in days if "visitors" in day]
    return Scale(len(days), mean(of("visitors")), mean(of("passers_by")), mean([c for c in coverage if c is not None]))
