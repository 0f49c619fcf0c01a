"""`ivizone-cloud`: what operators call. Exit codes: 0 ok, 2 usage, 3 configuration, 4 input, 5 a part does not answer.

Results go to stdout, progress and logs to stderr. Everything lives in one data folder (default ./ivizone-data); with `--config FILE`, or where
IVIZONE_DATABASE_URL is set and no folder named, in the database and the bucket of the AWS composition.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from cloud.accounts.commands import add_commands
from cloud.accounts.errors import AccountError
from cloud.accounts.viewer import MAIN
from cloud.aws_commands import DEFAULT_DATA, add_deployment, add_processes, aws_of
from cloud.config import CloudConfigError
from cloud.databases.base import DatabaseError, migrate, require_schema
from cloud.databases.sqlite import sqlite_database
from cloud.domain.site import LEGAL_MODES, Site, SiteError, parse_hours
from cloud.fleet.people_commands import add_people_commands
from cloud.fleet.registry import Fleet
from cloud.jobs.commands import add_commands as add_emr_commands
from cloud.log import LEVELS, configure
from cloud.privacy.commands import add_commands as add_papers
from cloud.retention.commands import add_commands as add_retention_commands
from cloud.retention.commands import operator
from cloud.stores.base import ObjectStore, StoreError
from cloud.stores.local_dir import LocalDirStore
from cloud.streams.base import StreamError
from cloud.warehouse.analyse import DayReport
from cloud.warehouse.base import EngineError

OK, USAGE, CONFIGURATION, INPUT, AWAY = 0, 2, 3, 4, 5
INTERRUPTED = 130
DEFAULT_PORT = 8080
MAX_DAYS = 3660


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit code. Every error is one clear message on stderr."""
    options = _parser().parse_args(arguments)
    configure(options.log_level, as_json=options.log_json)
    try:
        return int(options.run(options))
    except (SiteError, AccountError, DatabaseError, CloudConfigError) as error:
        return _fail(error, CONFIGURATION)
    except (StoreError, StreamError, EngineError) as error:
        return _fail(error, AWAY)
    except SQLAlchemyError as error:
        return _fail(f"the database does not answer: {getattr(error, 'orig', None) or type(error).__name__}", AWAY)
    except OSError as error:
        other = "; name another folder with --data" if options.data else ""
        return _fail(f"{error.filename or options.data or type(error).__name__}: {error.strerror}{other}", AWAY)
    except KeyboardInterrupt:
        return _fail("stopped", INTERRUPTED)


def _fail(error: object, code: int) -> int:
    print(f"ivizone-cloud: {error}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ivizone-cloud", description="Takes in batches, computes figures, serves the merchant's page."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(
        group: argparse._SubParsersAction[argparse.ArgumentParser],
        name: str,
        run: Callable[[argparse.Namespace], int],
        text: str,
    ) -> argparse.ArgumentParser:
        made = group.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        made.add_argument(
            "--data", type=Path, default=DEFAULT_DATA, metavar="DIR", help=f"data folder (default ./{DEFAULT_DATA})"
        )
        if name not in ("serve", "demo"):
            made.add_argument(
                "--config", type=Path, metavar="FILE", help="of the AWS composition, in the place of a data folder"
            )
        made.add_argument("--log-level", choices=LEVELS, default="info" if name == "serve" else "warning")
        made.add_argument("--log-json", action="store_true", help="log JSON")
        made.set_defaults(run=run)
        return made

    def served(made: argparse.ArgumentParser) -> None:
        made.add_argument(
            "--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1: this machine only)"
        )
        made.add_argument(
            "--port", type=_port, default=DEFAULT_PORT, help=f"0 takes a free one (default {DEFAULT_PORT})"
        )

    made = command(commands, "serve", serve, "serve ingest and the merchant's pages, until stopped")
    served(made)
    made.add_argument(
        "--open", action="store_true", help="no sign-in: everybody on this machine is the owner; on 127.0.0.1 only"
    )
    demo = command(commands, "demo", run_demo, "a simulated day, and your captures, from the air to the page")
    demo.add_argument("--port", type=_port, default=DEFAULT_PORT, help="of the page; another where it is taken")
    demo.add_argument("--captures", nargs="+", metavar="CAPTURE", type=Path, default=[], help="also replay these")
    demo.add_argument("--shoppers", type=_shoppers, default=2000, help="of the simulated day (default 2000)")
    demo.add_argument("--seed", type=int, default=1, help="another seed, another day")
    demo.add_argument("--once", action="store_true", help="stop after the summary instead of serving the page")
    command(commands, "migrate", run_migrate, "bring the database to the newest schema")
    analyse = command(commands, "analyse", run_analyse, "compute the figures of days again, from the lake")
    analyse.add_argument("--site", required=True)
    analyse.add_argument("--date", required=True, type=_day, metavar="YYYY-MM-DD")
    analyse.add_argument("--to", type=_day, metavar="YYYY-MM-DD", help="last day (default: one day)")
    sites = commands.add_parser("site", help="stores").add_subparsers(required=True, metavar="COMMAND")
    add = command(sites, "add", site_add, "add a store")
    add.add_argument("site", help="short name: a-z, 0-9 and -")
    add.add_argument("--name", help="what people call it (default: the short name)")
    add.add_argument("--time-zone", default="UTC", help="such as Europe/Paris (default UTC)")
    add.add_argument("--hours", default="", help="'mon-sat 10:00-19:00, sun 12:00-18:00' (default: none are known)")
    add.add_argument("--mode", choices=LEGAL_MODES, default="day", help="legal mode (default day)")
    add.add_argument(
        "--allow-replay", action="store_true", help="take captures of any time too, for tests and demonstrations"
    )
    add.add_argument("--merchant", default=MAIN, help=f"whose store it is (default {MAIN})")
    command(sites, "ls", site_ls, "list the stores")
    agents = commands.add_parser("agent", help="access points").add_subparsers(required=True, metavar="COMMAND")
    token = command(agents, "token", agent_token, "print a one-time token that enrols an access point within a day")
    token.add_argument("--site", required=True)
    ls = command(agents, "ls", agent_ls, "list the access points of a store")
    ls.add_argument("--site", required=True)
    revoke = command(agents, "revoke", agent_revoke, "take nothing more from an access point")
    revoke.add_argument("agent")
    add_commands(commands, command, _existing_database)
    add_retention_commands(commands, sites, command, _existing_database, _store, _day)
    add_papers(commands, command, _existing_database)
    add_people_commands(sites, command, _existing_database, operator)
    aws = commands.add_parser("aws", help="the parts on AWS, a process each, and their deployment").add_subparsers(
        required=True, metavar="COMMAND"
    )
    add_processes(aws)
    add_deployment(aws)
    add_emr_commands(commands)
    return parser


def _number(text: str, low: int, high: int) -> int:
    if not text.isdecimal() or not low <= int(text) <= high:
        raise argparse.ArgumentTypeError(f"{text!r} is none; use {low} to {high}")
    return int(text)


def _port(text: str) -> int:
    return _number(text, 0, 65_535)


def _shoppers(text: str) -> int:
    return _number(text, 0, 1_000_000)


def _day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = date.min
    if not 1969 <= day.year < 3000:
        raise argparse.ArgumentTypeError(f"{text!r} is no day; write it as 2026-11-20, from 1970 on")
    return day


# --- serve, demo ------------------------------------------------------------------------------------------------------


def serve(options: argparse.Namespace) -> int:
    """Serve until a signal comes."""
    from cloud.accounts.accounts import has_users
    from cloud.embedded import Embedded, FolderTaken
    from cloud.server import is_loopback, listen, run_server

    if options.open and not is_loopback(options.host):
        return _fail(
            f"--open lets everybody in who reaches --host {options.host}; use it with 127.0.0.1 only", CONFIGURATION
        )
    socket = listen(options.host, options.port)
    if socket is None:
        return _fail(
            f"port {options.port} on {options.host} cannot be had; choose others with --port and --host", CONFIGURATION
        )
    embedded = Embedded(options.data)
    try:
        embedded.claim()
    except FolderTaken as error:
        embedded.close()
        return _fail(error, CONFIGURATION)
    host, port = socket.getsockname()[:2]
    print(f"http://{host}:{port}/", flush=True)
    if not options.open and not has_users(embedded.database):
        print(
            "nobody can sign in yet; in another window: ivizone-cloud user add NAME (with --open nobody needs to)",
            file=sys.stderr,
        )
    run_server(embedded.app(is_open=options.open), socket)
    return OK


def run_demo(options: argparse.Namespace) -> int:
    """The whole path on this machine."""
    from cloud.demo import Demo, DemoError
    from cloud.embedded import FolderTaken

    missing = [path for path in options.captures if str(path) != "-" and not path.is_file()]
    if missing:
        return _fail(f'capture {missing[0]} is not there; name files: make demo CAPTURES="a.pcap b.pcap"', INPUT)
    try:
        Demo(options.data / "demo", options.port).run(
            options.captures, options.shoppers, options.seed, once=options.once
        )
    except DemoError as error:
        return _fail(error, AWAY)
    except FolderTaken as error:
        return _fail(error, CONFIGURATION)
    return OK


# --- database and figures ---------------------------------------------------------------------------------------------


def run_migrate(options: argparse.Namespace) -> int:
    """Bring the schema up to date."""
    if aws := aws_of(options):
        from cloud.aws import migrated

        print(migrated(aws.database))
        return OK
    before, after = migrate(sqlite_database(options.data / "ivizone.sqlite"))
    print(f"schema {after}, nothing to do" if before == after else f"schema {before or 'empty'} -> {after}")
    return OK


def run_analyse(options: argparse.Namespace) -> int:
    """Compute days again."""
    last = options.to or options.date
    if not 0 <= (last - options.date).days < MAX_DAYS:
        return _fail(f"--to {last} must lie within {MAX_DAYS} days after --date {options.date}", USAGE)
    database, now_ms = _existing_database(options)
    if Fleet(database, now_ms).site(options.site) is None:
        raise SiteError(f"site {options.site!r} does not exist; `ivizone-cloud site ls` lists them")
    with _analysing(options) as analyse:
        day = options.date
        while day <= last:
            report = analyse(options.site, day.isoformat())
            print(f"{report.site} {report.date}: {report.figures} figures from {report.sightings} objects of sightings")
            day += timedelta(days=1)
    return OK


@contextmanager
def _analysing(options: argparse.Namespace) -> Iterator[Callable[[str, str], DayReport]]:
    """What computes a day of a store."""
    if aws := aws_of(options):
        yield aws.analyst().analyse
        return
    from cloud.embedded import Embedded

    embedded = Embedded(options.data)
    try:
        yield embedded.analyse
    finally:
        embedded.close()


# --- stores and access points -------------------------------------------------------------------------------------------


def _fleet(options: argparse.Namespace) -> Fleet:
    from cloud.embedded import open_database, wall_clock_ms

    if aws_of(options):
        return _existing_fleet(options)
    return Fleet(open_database(options.data), wall_clock_ms)


def _existing_fleet(options: argparse.Namespace) -> Fleet:
    return Fleet(*_existing_database(options))


def _existing_database(options: argparse.Namespace) -> tuple[Engine, Callable[[], int]]:
    from cloud.embedded import wall_clock_ms

    aws = aws_of(options)
    database = aws.database if aws else sqlite_database(options.data / "ivizone.sqlite")
    require_schema(database)
    return database, wall_clock_ms


def _store(options: argparse.Namespace) -> ObjectStore:
    aws = aws_of(options)
    return aws.store if aws else LocalDirStore(options.data / "lake")


def site_add(options: argparse.Namespace) -> int:
    """Add a store; the database is made where there is none."""
    hours = parse_hours(options.hours) if options.hours else {}
    site = Site(
        options.site,
        options.name or options.site,
        options.time_zone,
        options.mode,
        options.allow_replay,
        hours,
        options.merchant,
    )
    _fleet(options).add_site(site, operator())
    print(
        f"site {site.site} added; enrol its access points with the token of: ivizone-cloud agent token --site {site.site}"
    )
    return OK


def site_ls(options: argparse.Namespace) -> int:
    """List the stores."""
    for site in _existing_fleet(options).sites():
        print(f"{site.site:24} {site.time_zone:20} {site.legal_mode:8} {site.name}")
    return OK


def agent_token(options: argparse.Namespace) -> int:
    """Print a token."""
    print(_existing_fleet(options).make_token(options.site, operator()))
    return OK


def agent_ls(options: argparse.Namespace) -> int:
    """List access points."""
    fleet = _existing_fleet(options)
    if fleet.site(options.site) is None:
        raise SiteError(f"site {options.site!r} does not exist; `ivizone-cloud site ls` lists them")
    for row in fleet.agents_of(options.site):
        found = row._mapping
        heard = f"last heard {_minutes_ago(found['last_received_ms'])}" if found["last_received_ms"] else "never heard"
        print(f"{found['agent']:16} {found['state']:8} {found['software']:28} {heard}")
    return OK


def _minutes_ago(time_ms: int) -> str:
    from cloud.embedded import wall_clock_ms

    minutes = (wall_clock_ms() - time_ms) // 60_000
    return f"{minutes} min ago" if minutes < 180 else f"{minutes // 60} h ago"


def agent_revoke(options: argparse.Namespace) -> int:
    """Take nothing more from an access point."""
    if not _existing_fleet(options).revoke(options.agent, operator()):
        return _fail(
            f"agent {options.agent!r} is unknown; `ivizone-cloud agent ls --site SITE` lists them", CONFIGURATION
        )
    print(f"{options.agent} revoked; ingest turns it away within seconds")
    return OK


if __name__ == "__main__":
    sys.exit(main())
