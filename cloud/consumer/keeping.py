"""What of a batch may be kept: nothing of single devices for a day that was erased or that only counts (shell: it asks the database)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2s

from sqlalchemy import Connection, Engine, select

from agent.wire.codec import peek_header
from agent.wire.cose import open_message
from agent.wire.errors import WireError
from agent.wire.model import Batch, ClockState, Header, LegalMode
from cloud.consumer.transform import Rows
from cloud.databases.base import upsert
from cloud.databases.privacy_tables import held_days, set_aside
from cloud.domain.modes import keeps_devices
from cloud.domain.retention import DEVICE_TABLES, erase_at_ms
from cloud.domain.site import Site
from cloud.streams.base import StreamRecord

NAMELESS = "?"
"""In the place of an access point's name."""
UNKNOWN_SIGHTINGS = 0
"""Of a message that cannot be read: how many it held nobody knows."""


class Keeping:
    """``now_ms`` is the clock."""

    def __init__(self, database: Engine, now_ms: Callable[[], int]) -> None:
        self._database = database
        self._now_ms = now_ms

    def may_keep(self, site: Site, date: str, received_ms: int) -> bool:
        """True where single devices of a local day may be kept."""
        if not keeps_devices(site.modes.on(date)):
            return False
        c = held_days.c
        with self._database.connect() as connection:
            row = connection.execute(select(c.closed_ms).where(c.site == site.site, c.date == date)).one_or_none()
        return (row is None or row.closed_ms is None) and self._now_ms() < erase_at_ms(site, date, received_ms)

    def withhold(self, site: Site, rows: Rows, batch: Batch, received_ms: int) -> int:
        """Take out of ``rows`` what may not be kept, and note it. Gives how many sightings that was."""
        if not batch.sightings:
            return 0  # its message speaks of nobody either
        dates = {date for table, date in rows if table in DEVICE_TABLES}
        late = {date for date in dates if not self.may_keep(site, date, received_ms)}
        sightings = sum(len(rows.get(("sightings", date), ())) for date in late)
        for place in [place for place in rows if place[0] in DEVICE_TABLES and place[1] in late]:
            del rows[place]
        if sightings:
            reason = "its day only counts" if self._counts(site, late) else "its day was over for more than 24 h"
            with self._database.begin() as connection:
                note(connection, batch.header, "withheld", site, sightings, reason, None, self._now_ms())
        return sightings

    @staticmethod
    def _counts(site: Site, dates: Iterable[str]) -> bool:
        return any(not keeps_devices(site.modes.on(date)) for date in dates)

    def hold(self, days: Iterable[tuple[str, str]]) -> None:
        """Before objects are put: these (site, local date) get something of single devices, to be erased one day."""
        with self._database.begin() as connection:
            for site, date in sorted(days):
                upsert(connection, held_days, {"site": site, "date": date}, {"received_ms": self._now_ms()})

    def quarantine(self, record: StreamRecord, site: Site | None, reason: str, name: str) -> None:
        """Note a message that could not be read, and where it lies until it is erased; whose batch it was, where its header tells."""
        header = _header_of(record.message)
        if header is None or site is None:
            header, site = _nameless(record), site or Site(record.site, record.site, "UTC")
        with self._database.begin() as connection:
            note(connection, header, "quarantined", site, UNKNOWN_SIGHTINGS, reason, name, self._now_ms())


def note(
    connection: Connection,
    header: Header,
    kind: str,
    site: Site,
    sightings: int,
    reason: str,
    name: str | None,
    now_ms: int,
) -> None:
    """Write down a batch that was not taken, or not whole. The same again changes nothing but the time."""
    key = {"agent": header.agent, "boot": header.boot.hex(), "batch": header.batch, "kind": kind}
    values = {
        "site": site.site,
        "date": site.date_of(header.window_start_ms),
        "sightings": sightings,
        "reason": reason[:300],
        "object": name,
        "at_ms": now_ms,
    }
    upsert(connection, set_aside, key, values)


def _header_of(message: bytes) -> Header | None:
    try:
        return peek_header(open_message(message).payload)
    except WireError:
        return None


def _nameless(record: StreamRecord) -> Header:
    """Stands for the header of a message that has none: its place in the stream is its name."""
    place = blake2s(f"{record.shard} {record.sequence}".encode(), digest_size=15).digest()
    times = (record.received_ms, record.received_ms)
    number = int.from_bytes(place[8:])
    return Header(0, NAMELESS, record.site, place[:8], number, *times, ClockState.UNSYNCED, LegalMode.DAY, -1, b"", "")
