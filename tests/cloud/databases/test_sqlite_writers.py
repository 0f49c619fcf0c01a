"""Two writers of one SQLite database: the second waits, also where it reads before it writes."""

from __future__ import annotations

import threading

from cloud.databases.base import migrate
from cloud.databases.sqlite import sqlite_database
from cloud.domain.site import Site
from cloud.fleet.registry import Fleet


def test_writers_that_read_first_wait_for_each_other(tmp_path):
    """A site is added while the worker notes what it did; SQLite refuses to raise a reader to a writer once another has written."""
    database = sqlite_database(tmp_path / "figures.sqlite")
    migrate(database)
    troubles = []

    def add(part: int) -> None:
        fleet = Fleet(database, lambda: 1)
        try:
            for number in range(25):
                fleet.add_site(Site(f"site-{part}-{number}", "Shop", "UTC"))
        except Exception as error:
            troubles.append(error)

    threads = [threading.Thread(target=add, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert troubles == []
    assert len(Fleet(database, lambda: 1).sites()) == 100
