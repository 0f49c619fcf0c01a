"""What the page asks of the database. Reads only."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, Table, func, select

from cloud.databases.tables import agents, day_figures, dwell_buckets, ledger_days, quarter_figures


class Queries:
    """Reads over a database, as plain dictionaries."""

    def __init__(self, database: Engine) -> None:
        self._database = database

    def day(self, site: str, date: str, preset: str) -> dict[str, dict[str, Any]]:
        """Metric -> figure of the day."""
        rows = self._rows(day_figures, site=site, date=date, preset=preset)
        return {row["metric"]: row for row in rows}

    def quarters(self, site: str, date: str, preset: str) -> dict[str, list[dict[str, Any]]]:
        """Metric -> its quarter-hours in order of time."""
        found: dict[str, list[dict[str, Any]]] = {}
        for row in self._rows(quarter_figures, site=site, date=date, preset=preset):
            found.setdefault(row["metric"], []).append(row)
        return {metric: sorted(rows, key=lambda row: row["start_ms"]) for metric, rows in found.items()}

    def dwell(self, site: str, date: str, preset: str) -> list[dict[str, Any]]:
        """The buckets of the dwell chart, shortest first."""
        return sorted(
            self._rows(dwell_buckets, site=site, date=date, preset=preset), key=lambda row: int(row["from_s"])
        )

    def ledger(self, site: str, date: str) -> list[dict[str, Any]]:
        """What each access point heard that day."""
        return sorted(self._rows(ledger_days, site=site, date=date), key=lambda row: str(row["agent"]))

    def agents(self, site: str) -> int:
        """How many access points may send for the site."""
        with self._database.connect() as connection:
            query = select(func.count()).where(agents.c.site == site, agents.c.state == "active")
            return int(connection.execute(query).scalar_one())

    def dates(self, site: str) -> list[str]:
        """Days with anything heard, newest first."""
        with self._database.connect() as connection:
            dates = connection.execute(
                select(ledger_days.c.date)
                .where(ledger_days.c.site == site)
                .distinct()
                .order_by(ledger_days.c.date.desc())
            )
            return list(dates.scalars())

    def _rows(self, table: Table, **where: str) -> list[dict[str, Any]]:
        query = select(table).where(*(table.c[name] == value for name, value in where.items()))
        with self._database.connect() as connection:
            return [dict(row._mapping) for row in connection.execute(query)]
