"""What the pages and the API ask of the database. Reads only; every question begins with who asks.

``_rows`` is the one way to a table of figures, and it sees the viewer's stores only. What comes out is published already
(``cloud.domain.publish``): a caller never holds a cell that may not be shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import ColumnElement, Engine, Select, Table, func, select

from cloud.accounts.viewer import Viewer, visible_sites
from cloud.dashboard.ranges import HeardQuarter, HeatCell, heat
from cloud.databases.people_tables import people_factors, people_shown
from cloud.databases.tables import agents, day_figures, dwell_buckets, ledger_days, quarter_figures, sites
from cloud.domain.people import Factor
from cloud.domain.publish import (
    ADDITIVE,
    PARTS_OF,
    PUBLISHED,
    Bucket,
    Figure,
    K,
    publish_buckets,
    publish_day,
    publish_quarters,
)
from cloud.domain.site import Site
from cloud.fleet.people import factor_of
from cloud.fleet.registry import site_of

Row = Mapping[str, Any]


class Queries:
    """Reads over a database, for a viewer."""

    def __init__(self, database: Engine) -> None:
        self._database = database

    # --- stores -----------------------------------------------------------------------------------------------------

    def sites(self, viewer: Viewer) -> list[Site]:
        """The viewer's stores, by name."""
        with self._database.connect() as connection:
            rows = connection.execute(select(sites).where(_visible(viewer, sites)).order_by(sites.c.name, sites.c.site))
            return [site_of(row) for row in rows]

    def site(self, viewer: Viewer, name: str) -> Site | None:
        """A store; None where there is none of that name, or it is another merchant's: nobody can tell which."""
        with self._database.connect() as connection:
            query = select(sites).where(_visible(viewer, sites), sites.c.site == name)
            row = connection.execute(query).one_or_none()
        return site_of(row) if row else None

    # --- one day ----------------------------------------------------------------------------------------------------

    def day(self, viewer: Viewer, site: str, date: str, preset: str) -> dict[str, Figure]:
        """Metric -> figure of the day."""
        return publish_day(self._rows(viewer, day_figures, site=site, date=date, preset=preset))

    def people_factor(self, viewer: Viewer, site: str) -> Factor | None:
        """The factor by which the store's page shows people; None where nobody asked for it."""
        choices = self._rows(viewer, people_shown, site=site)
        version = max(choices, key=lambda row: int(row["since_ms"]))["version"] if choices else None
        if version is None:
            return None
        (row,) = self._rows(viewer, people_factors, people_factors.c.version == version, site=site)
        return factor_of(row)

    def quarters(self, viewer: Viewer, site: str, date: str, preset: str) -> dict[str, list[Figure]]:
        """Metric -> its quarter-hours in order of time."""
        return self.quarters_of_days(viewer, site, [date], preset).get(date, {})

    def quarters_of_days(
        self, viewer: Viewer, site: str, dates: Sequence[str], preset: str
    ) -> dict[str, dict[str, list[Figure]]]:
        """Date -> metric -> its quarter-hours in order of time."""
        found: dict[str, dict[str, list[Row]]] = {}
        columns = quarter_figures.c
        for row in self._rows(viewer, quarter_figures, columns.date.in_(dates), site=site, preset=preset):
            found.setdefault(row["date"], {}).setdefault(row["metric"], []).append(row)
        return {
            date: {
                metric: publish_quarters(sorted(rows, key=lambda row: int(row["start_ms"])))
                for metric, rows in metrics.items()
            }
            for date, metrics in found.items()
        }

    def dwell(self, viewer: Viewer, site: str, date: str, preset: str) -> list[Bucket]:
        """The buckets of the dwell chart, shortest first."""
        rows = self._rows(viewer, dwell_buckets, site=site, date=date, preset=preset)
        return publish_buckets(sorted(rows, key=lambda row: int(row["from_s"])))

    def ledger(self, viewer: Viewer, site: str, date: str) -> list[Row]:
        """What each access point heard that day. Counts of frames, not of devices."""
        return sorted(self._rows(viewer, ledger_days, site=site, date=date), key=lambda row: str(row["agent"]))

    def version(self, viewer: Viewer, site: str, date: str) -> str:
        """Another text whenever the day was computed with anything new: what a live page waits for."""
        heard = select(func.sum(ledger_days.c.batches), func.max(ledger_days.c.last_window_end_ms))
        computed = select(func.max(day_figures.c.computed_ms))
        with self._database.connect() as connection:
            parts = [
                connection.execute(
                    query.where(_visible(viewer, table), table.c.site == site, table.c.date == date)
                ).one()
                for query, table in ((computed, day_figures), (heard, ledger_days))
            ]
        return "-".join(str(value or 0) for part in parts for value in part)

    def arrivals_until(
        self, viewer: Viewer, site: str, until_ms: dict[str, int], preset: str
    ) -> dict[str, dict[str, float]]:
        """Date -> metric -> arrivals in the quarter-hours that begin before a time of each date. Sums of fewer than K are left out."""
        columns, sums = quarter_figures.c, dict[tuple[str, str], float]()
        where = (columns.date.in_(list(until_ms)), columns.metric.in_(ADDITIVE))
        for row in self._rows(viewer, quarter_figures, *where, site=site, preset=preset):
            if row["start_ms"] < until_ms[row["date"]]:
                key = (row["date"], row["metric"])
                sums[key] = sums.get(key, 0.0) + (row["value"] or 0.0)
        found: dict[str, dict[str, float]] = {}
        for (date, metric), total in sums.items():
            if total >= K:
                found.setdefault(date, {})[metric] = total
        return found

    # --- several days -----------------------------------------------------------------------------------------------

    def days(
        self,
        viewer: Viewer,
        names: Sequence[str],
        dates: Sequence[str],
        preset: str,
        metrics: Sequence[str] = PUBLISHED,
    ) -> dict[str, dict[str, dict[str, Figure]]]:
        """Store -> date -> metric -> figure. A part asked for without its whole (``PARTS_OF``) would be published blindly: both, or neither."""
        if any(PARTS_OF.get(metric, metric) not in metrics for metric in metrics):
            raise AssertionError("cannot happen: no page asks for a part without its whole")
        found: dict[str, dict[str, list[Row]]] = {}
        columns = day_figures.c
        where = (columns.site.in_(names), columns.date.in_(dates), columns.metric.in_(metrics))
        for row in self._rows(viewer, day_figures, *where, preset=preset):
            found.setdefault(row["site"], {}).setdefault(row["date"], []).append(row)
        return {name: {date: publish_day(rows) for date, rows in sorted(days.items())} for name, days in found.items()}

    def heat(
        self, viewer: Viewer, site: Site, dates: Sequence[str], preset: str, metric: str
    ) -> dict[tuple[int, int], HeatCell]:
        """(weekday, hour of the store) -> mean of a quarter-hour metric over the days."""
        columns = quarter_figures.c
        names = (columns.date, columns.start_ms, columns.value, columns.devices)
        query = select(*names).where(
            columns.site == site.site,
            columns.date.between(min(dates), max(dates)),
            columns.preset == preset,
            columns.metric == metric,
            _visible(viewer, quarter_figures),
        )
        zone = site.zone()
        with self._database.connect() as connection:
            quarters = [HeardQuarter(*row) for row in connection.execute(query) if row.value is not None]
        return heat(quarters, lambda ms: datetime.fromtimestamp(ms / 1000, zone).hour, is_sum=metric in ADDITIVE)

    def dates(self, viewer: Viewer, site: str) -> list[str]:
        """Days with anything heard, newest first."""
        with self._database.connect() as connection:
            query = select(ledger_days.c.date).where(_visible(viewer, ledger_days), ledger_days.c.site == site)
            return list(connection.execute(query.distinct().order_by(ledger_days.c.date.desc())).scalars())

    def newest_date(self, viewer: Viewer, site: str) -> str | None:
        """The last day with anything heard."""
        with self._database.connect() as connection:
            query = select(func.max(ledger_days.c.date)).where(
                _visible(viewer, ledger_days), ledger_days.c.site == site
            )
            newest: str | None = connection.execute(query).scalar_one()
        return newest

    # --- access points ----------------------------------------------------------------------------------------------

    def agents(self, viewer: Viewer, site: str) -> list[Row]:
        """The active access points of a store: name, state, when heard last."""
        names = ("agent", "state", "software", "created_ms", "last_batch_ms", "last_received_ms", "clock")
        rows = self._rows(viewer, agents, agents.c.state == "active", site=site)
        return [{name: row[name] for name in names} for row in sorted(rows, key=lambda row: str(row["agent"]))]

    def _rows(self, viewer: Viewer, table: Table, *conditions: ColumnElement[bool], **where: str) -> list[Row]:
        equal = [table.c[name] == value for name, value in where.items()]
        query: Select[Any] = select(table).where(*equal, *conditions, _visible(viewer, table))
        with self._database.connect() as connection:
            return cast(list[Row], connection.execute(query).mappings().all())


def _visible(viewer: Viewer, table: Table) -> ColumnElement[bool]:
    """What of a table with a column ``site`` the viewer may see."""
    return table.c.site.in_(visible_sites(viewer))
