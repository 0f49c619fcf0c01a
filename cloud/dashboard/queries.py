"""What the pages and the API ask of the database. Reads only; every question begins with who asks.

``_rows`` is the one way to a table of figures, and it sees the viewer's stores only. What comes out is published already
(``cloud.domain.publish``): a caller never holds a cell that may not be shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, Select, Table, and_, func, or_, select
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from cloud.accounts.viewer import Viewer, visible_sites
from cloud.dashboard.ranges import HeardQuarter, HeatCell, heat
from cloud.databases.people_tables import people_factors, people_shown
from cloud.databases.tables import agents, day_figures, dwell_buckets, ledger_days, quarter_figures, sites
from cloud.domain.differences import COUNTED, publish_buckets_as, publish_day_as, publish_quarters_as, shown_presets
from cloud.domain.people import Factor
from cloud.domain.preset import OWN
from cloud.domain.publish import ADDITIVE, HIDDEN_MIDDLE, PARTS_OF, PUBLISHED, Bucket, Figure, K
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
        return self.days(viewer, [site], [date], preset).get(site, {}).get(date, {})

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
        self, viewer: Viewer, site: str, dates: Sequence[str], preset: str, metric: str | None = None
    ) -> dict[str, dict[str, list[Figure]]]:
        """Date -> metric (all, or the one) -> its quarter-hours in order of time."""
        found: dict[str, dict[str, dict[str, list[Row]]]] = {}
        columns = quarter_figures.c
        where = (columns.date.in_(dates), *_beside(columns, preset), *((columns.metric == metric,) if metric else ()))
        for row in sorted(self._rows(viewer, quarter_figures, *where, site=site), key=lambda row: int(row["start_ms"])):
            by_metric = found.setdefault(row["date"], {})
            by_metric.setdefault(row["metric"], {}).setdefault(row["preset"], []).append(row)
        shown = self._shown_presets(viewer, site, dates, preset)
        return {
            date: {
                metric: publish_quarters_as(preset, by_preset, shown.get(date, (OWN,)))
                for metric, by_preset in metrics.items()
                if preset in by_preset
            }
            for date, metrics in found.items()
        }

    def dwell(self, viewer: Viewer, site: str, date: str, preset: str) -> list[Bucket]:
        """The buckets of the dwell chart, shortest first."""
        by_preset: dict[str, list[Row]] = {}
        rows = self._rows(viewer, dwell_buckets, *_beside(dwell_buckets.c, preset), site=site, date=date)
        for row in sorted(rows, key=lambda row: int(row["from_s"])):
            by_preset.setdefault(row["preset"], []).append(row)
        shown = self._shown_presets(viewer, site, [date], preset)
        return publish_buckets_as(preset, by_preset, shown.get(date, (OWN,)))

    def _shown_presets(self, viewer: Viewer, site: str, dates: Sequence[str], preset: str) -> dict[str, list[str]]:
        """Date -> the definitions that a day may be shown under; nothing where our own is asked for, which always is."""
        if preset == OWN:
            return {}
        by_date: dict[str, dict[str, list[Row]]] = {}
        for row in self._rows(viewer, day_figures, day_figures.c.date.in_(dates), site=site):
            by_date.setdefault(row["date"], {}).setdefault(row["preset"], []).append(row)
        return {date: shown_presets(by_preset) for date, by_preset in by_date.items()}

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
        """Date -> metric -> arrivals in the quarter-hours that begin before a time of each date; sums of fewer than K are left out.

        Made of what may be shown of each quarter-hour, else two times of asking would tell a hidden one. Each such counts as the middle of what
        a small one can be; where a larger one is hidden with it, the sum is too little by about that one.
        """
        found: dict[str, dict[str, float]] = {}
        for date, metrics in self.quarters_of_days(viewer, site, list(until_ms), preset).items():
            for metric in ADDITIVE:
                before = [f for f in metrics.get(metric, ()) if (f.start_ms or 0) < until_ms[date]]
                if preset != OWN and any(figure.is_hidden for figure in before):
                    continue  # there it may hold any number
                total = sum(HIDDEN_MIDDLE if figure.is_hidden else figure.value or 0.0 for figure in before)
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
        found: dict[str, dict[str, dict[str, list[Row]]]] = {}
        columns = day_figures.c
        wanted: ColumnElement[bool] = columns.metric.in_(metrics)
        if preset != OWN:  # beside it the counts of all others must be compared
            wanted = or_(columns.metric.in_(COUNTED), and_(columns.preset == preset, wanted))
        where = (columns.site.in_(names), columns.date.in_(dates), wanted, *_beside(columns, preset))
        for row in self._rows(viewer, day_figures, *where):
            by_preset = found.setdefault(row["site"], {}).setdefault(row["date"], {})
            by_preset.setdefault(row["preset"], []).append(row)
        return {
            name: {
                date: {m: figure for m, figure in publish_day_as(preset, by_preset).items() if m in metrics}
                for date, by_preset in sorted(days.items())
                if preset in by_preset
            }
            for name, days in found.items()
        }

    def heat(
        self, viewer: Viewer, site: Site, dates: Sequence[str], preset: str, metric: str
    ) -> dict[tuple[int, int], HeatCell]:
        """(weekday, hour of the store) -> mean of a quarter-hour metric over the days."""
        if preset != OWN:
            return self._heat_beside(viewer, site, dates, preset, metric)
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

    def _heat_beside(
        self, viewer: Viewer, site: Site, dates: Sequence[str], preset: str, metric: str
    ) -> dict[tuple[int, int], HeatCell]:
        """The same of another definition, from what of each quarter-hour may be shown; an hour with a hidden one is hidden."""
        zone, hidden, quarters = site.zone(), set(), list[HeardQuarter]()
        days = self.quarters_of_days(viewer, site.site, dates, preset, metric)
        figures = [(date, figure) for date, metrics in days.items() for figure in metrics.get(metric, ())]
        for date, figure in figures:
            start = datetime.fromtimestamp((figure.start_ms or 0) / 1000, zone)
            if figure.is_hidden:
                hidden.add((start.weekday(), start.hour))
            if figure.is_hidden or figure.value is not None:
                quarters.append(HeardQuarter(date, figure.start_ms or 0, figure.value or 0.0, K))
        cells = heat(quarters, lambda ms: datetime.fromtimestamp(ms / 1000, zone).hour, is_sum=metric in ADDITIVE)
        return {
            place: HeatCell(None, cell.days, is_hidden=True) if place in hidden else cell
            for place, cell in cells.items()
        }

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
            answer = connection.execute(query)
            names = tuple(answer.keys())
            return [dict(zip(names, row, strict=True)) for row in answer.all()]


def _beside(columns: ReadOnlyColumnCollection[str, Any], preset: str) -> tuple[ColumnElement[bool], ...]:
    """Our own definition's rows alone; for another all are needed, because what it may show depends on the others."""
    return (columns.preset == OWN,) if preset == OWN else ()


def _visible(viewer: Viewer, table: Table) -> ColumnElement[bool]:
    """What of a table with a column ``site`` the viewer may see."""
    return table.c.site.in_(visible_sites(viewer))
