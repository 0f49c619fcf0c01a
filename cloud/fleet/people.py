"""A store's factors from devices to people in the database: fitted, kept with their history, shown only where somebody asked for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, func, insert, select

from cloud.accounts.audit import note
from cloud.databases.base import ALONE
from cloud.databases.people_tables import people_factors, people_shown
from cloud.databases.tables import quarter_figures, sites
from cloud.domain.people import CountsError, Factor, HandCount, fit_factor
from cloud.domain.preset import OWN
from cloud.domain.site import QUARTER_S, Site, SiteError

HEARD_ENOUGH = 0.8
"""Coverage below which a quarter-hour says nothing about the factor."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A hand count beside what was heard meanwhile; ``devices`` is None where too little was heard to compare."""

    count: HandCount
    devices: float | None


@dataclass(frozen=True, slots=True)
class Kept:
    """A factor as it lies in the database."""

    version: int
    factor: Factor
    made_ms: int
    made_by: str


class PeopleFactors:
    """Factors over a database. ``now_ms`` is the clock."""

    def __init__(self, database: Engine, now_ms: Callable[[], int]) -> None:
        self._database = database
        self._now_ms = now_ms

    def compare(self, site: Site, counts: Sequence[HandCount]) -> list[Compared]:
        """Each count beside the visitors' devices that arrived meanwhile, by the own definition. Raises CountsError for what is to come."""
        for count in counts:
            if count.end_ms > self._now_ms():
                ends = datetime.fromtimestamp(count.end_ms / 1000, site.zone())
                raise CountsError(f"a count ends at {ends:%Y-%m-%d %H:%M}, which is still to come; look at its date")
        return [Compared(count, self._devices(site, count)) for count in counts]

    def calibrate(self, site: Site, compared: Sequence[Compared], by: str) -> Kept:
        """Fit a factor and keep it. It is shown nowhere until `show`. Raises CountsError."""
        factor = fit_factor([(one.count.people, one.devices) for one in compared if one.devices is not None])
        with self._database.execution_options(**{ALONE: True}).begin() as connection:
            newest = connection.execute(
                select(func.max(people_factors.c.version)).where(people_factors.c.site == site.site)
            ).scalar_one()
            kept = Kept((newest or 0) + 1, factor, self._now_ms(), by)
            connection.execute(insert(people_factors), {"site": site.site, **_row(kept)})
            note(connection, self._merchant(connection, site), by, kept.made_ms, "site_calibrated", site.site)
        return kept

    def show(self, site: Site, version: int | None, by: str) -> None:
        """Show people by that factor on the store's page from now on; None: none. Raises SiteError."""
        if version is not None and all(kept.version != version for kept in self.history(site)):
            raise SiteError(
                f"{site.site} has no factor {version}; fit one with: ivizone-cloud site calibrate {site.site} --counts FILE"
            )
        now_ms, action = self._now_ms(), "people_hidden" if version is None else "people_shown"
        with self._database.execution_options(**{ALONE: True}).begin() as connection:
            newest = connection.execute(
                select(func.max(people_shown.c.since_ms)).where(people_shown.c.site == site.site)
            ).scalar_one()
            since_ms = max(now_ms, (newest or 0) + 1)
            row = {"site": site.site, "since_ms": since_ms, "version": version, "made_by": by}
            connection.execute(insert(people_shown), row)
            note(connection, self._merchant(connection, site), by, now_ms, action, site.site)

    def history(self, site: Site) -> list[Kept]:
        """Every factor that was fitted, oldest first."""
        query = select(people_factors).where(people_factors.c.site == site.site).order_by(people_factors.c.version)
        with self._database.connect() as connection:
            return [_kept(row._mapping) for row in connection.execute(query)]

    def shown(self, site: Site) -> int | None:
        """Version of the factor that is shown."""
        c = people_shown.c
        query = select(c.version).where(c.site == site.site).order_by(c.since_ms.desc()).limit(1)
        with self._database.connect() as connection:
            version: int | None = connection.execute(query).scalar_one_or_none()
        return version

    def _devices(self, site: Site, count: HandCount) -> float | None:
        c = quarter_figures.c
        query = select(c.value, c.coverage).where(
            c.site == site.site, c.preset == OWN, c.metric == "visitors", c.start_ms >= count.start_ms, c.start_ms < count.end_ms
        )  # fmt: skip
        with self._database.connect() as connection:
            rows = connection.execute(query).all()
        is_whole = len(rows) == (count.end_ms - count.start_ms) // (QUARTER_S * 1000)
        if not is_whole or any((row.coverage or 0.0) < HEARD_ENOUGH for row in rows):
            return None
        return float(sum(row.value for row in rows))

    @staticmethod
    def _merchant(connection: Any, site: Site) -> str:
        return str(connection.execute(select(sites.c.merchant).where(sites.c.site == site.site)).scalar_one())


def _row(kept: Kept) -> dict[str, Any]:
    f = kept.factor
    return {
        "version": kept.version, "factor": f.value, "low": f.low, "high": f.high, "counts": f.counts, "people": f.people,
        "devices": f.devices, "scatter": f.scatter, "made_ms": kept.made_ms, "made_by": kept.made_by,
    }  # fmt: skip


def _kept(row: Any) -> Kept:
    return Kept(row["version"], factor_of(row), row["made_ms"], row["made_by"])


def factor_of(row: Any) -> Factor:
    """The factor in a row of ``people_factors``."""
    return Factor(row["factor"], row["low"], row["high"], row["counts"], row["people"], row["devices"], row["scatter"])
