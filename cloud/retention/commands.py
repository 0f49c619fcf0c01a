"""`ivizone-cloud retention`, `receipts`, `ledger`, `audit` and `site mode`: what an operator, and an auditor, do about what is kept."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, select

from agent.wire.receipts import KEY_BYTES, Head, ReceiptError, verify_chain
from cloud.accounts.audit import note
from cloud.accounts.viewer import MAIN
from cloud.aws_commands import aws_of
from cloud.databases.privacy_tables import held_days
from cloud.databases.tables import audit
from cloud.domain.modes import LEGAL_MODES, keeps_devices
from cloud.domain.retention import DEVICE_TABLES, RULES
from cloud.domain.site import Site, SiteError
from cloud.fleet.registry import Fleet
from cloud.retention.ledger import AgentLedger, day_ledger
from cloud.retention.retention import Erased
from cloud.signatures import is_signature
from cloud.stores.base import ObjectStore
from cloud.stores.lake import partition

if TYPE_CHECKING:
    from cloud.aws import Aws

OK, INPUT = 0, 4
SHOWN = 200
Command = Callable[..., argparse.ArgumentParser]
OpenDatabase = Callable[[argparse.Namespace], tuple[Engine, Callable[[], int]]]
OpenStore = Callable[[argparse.Namespace], ObjectStore]
PROVES = (
    "It proves that the holder of the key said, in this order, that these things were erased, and that no line was altered, removed or",
    "moved since. It does not prove that no copy was made before, nor that the clock was right. Lines cut off at the end show only",
    "against a head that you kept: note the one below, and give it next time with --head.",
)


def operator() -> str:
    """Who acts, for the audit: the account on this machine."""
    try:
        return f"operator:{getpass.getuser()}"
    except (KeyError, OSError):
        return "operator"


def add_commands(
    commands: Any,
    sites: Any,
    command: Command,
    open_database: OpenDatabase,
    open_store: OpenStore,
    day: Callable[[str], Any],
) -> None:
    """Add them to the parser; ``sites`` is the group `site`. ``day`` reads a date."""

    def runs(action: Callable[..., int]) -> Callable[[argparse.Namespace], int]:
        return lambda options: action(options, *open_database(options))

    mode = command(
        sites, "mode", runs(_site_mode), "choose a store's legal mode; no day is read in another than its own"
    )
    mode.add_argument("site")
    mode.add_argument("mode", choices=LEGAL_MODES)

    group = commands.add_parser("retention", help="what is kept for how long").add_subparsers(
        required=True, metavar="COMMAND"
    )
    command(group, "run", _retention_run, "erase everything whose time has come, now; `serve` does it by itself")
    command(group, "ls", _retention_ls, "list what is kept where, until when")

    group = commands.add_parser("receipts", help="proof of deletion").add_subparsers(required=True, metavar="COMMAND")
    export = command(group, "export", runs(_export), "print the chain of receipts, a line each")
    export.add_argument("--output", type=Path, metavar="FILE", help="write it there")
    verify = command(
        group, "verify", lambda options: _verify(options, open_database, open_store), "check a chain of receipts"
    )
    verify.add_argument(
        "file",
        nargs="?",
        type=Path,
        help="as exported, by cloud or access point (default: the data folder's, and its lake)",
    )
    verify.add_argument("--key", metavar="BASE64", help="the public key that you know, instead of the first line's")
    verify.add_argument(
        "--head", metavar="NUMBER:HASH", help="the head that you kept: nothing before it may be missing"
    )

    def run_ledger(options: argparse.Namespace) -> int:
        return _ledger(options, *open_database(options), open_store(options))

    ledger = command(commands, "ledger", run_ledger, "say where every frame, batch and sighting of a day went")
    ledger.add_argument("--site", required=True)
    ledger.add_argument("--date", required=True, type=day, metavar="YYYY-MM-DD")
    ledger.add_argument("--json", action="store_true", help="one JSON object a line, one for each access point")

    made = command(commands, "audit", runs(_audit), "list who did what")
    made.add_argument("--merchant", help="only of this merchant")
    made.add_argument("--limit", type=int, default=SHOWN, help=f"newest entries (default {SHOWN})")


def _site(fleet: Fleet, name: str) -> Site:
    site = fleet.site(name)
    if site is None:
        raise SiteError(f"site {name!r} does not exist; `ivizone-cloud site ls` lists them")
    return site


def _site_mode(options: argparse.Namespace, database: Engine, now_ms: Callable[[], int]) -> int:
    fleet = Fleet(database, now_ms)
    before = _site(fleet, options.site)
    after = fleet.set_mode(options.site, options.mode, operator())
    first, _ = after.modes.changes[-1]
    if after.modes == before.modes:
        print(f"{options.site} is in mode {options.mode} already")
    elif after.legal_mode != options.mode:
        print(f"{options.site}: mode {options.mode} from {first}; today stays {after.legal_mode}, whole")
    else:
        print(f"{options.site}: mode {options.mode} from {first}")
        if not keeps_devices(options.mode):
            print(
                "what today has of single devices is erased by the next run of retention: ivizone-cloud retention run"
            )
    print(
        f"set privacy.mode of its access points to {options.mode!r}: batches of a mode that the day does not allow are refused"
    )
    return OK


# --- retention ------------------------------------------------------------------------------------------------------------


def _retention_run(options: argparse.Namespace) -> int:
    erased = _erase_on_aws(aws) if (aws := aws_of(options)) else _erase_here(options)
    if erased is None:
        return 3
    print(
        f"{erased.days} days, {erased.objects} objects with {erased.rows} rows, {erased.names} names of batches, "
        f"{erased.figures} old figures erased; receipts: ivizone-cloud receipts verify"
    )
    return OK


def _erase_here(options: argparse.Namespace) -> Erased | None:
    """None where another process has the folder."""
    from cloud.embedded import Embedded, FolderTaken

    embedded = Embedded(options.data)
    try:
        embedded.claim()
        _note_run(embedded.database, embedded.now_ms())
        return embedded.retention.run()
    except FolderTaken as error:
        print(f"ivizone-cloud: {error}; a running `serve` erases by itself", file=sys.stderr)
        return None
    finally:
        embedded.close()


def _erase_on_aws(aws: Aws) -> Erased | None:
    """None where an analyst erases just now."""
    from cloud.databases.postgres import house_lock

    retention = aws.retention(aws.analyst())
    with house_lock(aws.database) as is_mine:
        if not is_mine:
            print("ivizone-cloud: an analyst erases just now; come back when it is done", file=sys.stderr)
            return None
        _note_run(aws.database, aws.now_ms())
        return retention.run()


def _note_run(database: Engine, now_ms: int) -> None:
    with database.begin() as connection:
        note(connection, MAIN, operator(), now_ms, "retention_run", "all stores")


def _retention_ls(_options: argparse.Namespace) -> int:
    for rule in RULES:
        print(f"{rule.where:22} {rule.what:62} until {rule.until}")
    return OK


# --- receipts -------------------------------------------------------------------------------------------------------------


def _lines(database: Engine) -> list[str]:
    from cloud.databases.privacy_tables import receipts

    with database.connect() as connection:
        return list(connection.execute(select(receipts.c.line).order_by(receipts.c.receipt)).scalars())


def _export(options: argparse.Namespace, database: Engine, _now_ms: Callable[[], int]) -> int:
    text = "".join(line + "\n" for line in _lines(database))
    if options.output:
        options.output.write_text(text)
    else:
        sys.stdout.write(text)
    return OK


def _verify(options: argparse.Namespace, open_database: OpenDatabase, open_store: OpenStore) -> int:
    """The chain of a file, or the data folder's together with what lies in its lake."""
    try:
        trusted = frozenset[bytes]() if options.key is None else frozenset({_public_key(options.key)})
        if options.file:
            lines = options.file.read_text().splitlines()
        else:
            database, _ = open_database(options)
            lines = _lines(database)
        found = verify_chain(lines, is_signature, trusted=trusted)
        lines = [line for line in lines if line.strip()]
        _check_head(options.head, lines)
        if not options.file:
            _check_lake(database, open_store(options), found)
    except (ReceiptError, ValueError) as error:
        print(f"ivizone-cloud: receipts do not hold: {error}", file=sys.stderr)
        return INPUT
    for receipt in found:
        print(
            f"{receipt['number']:6} {_time(receipt['at_ms'])} {receipt['by']} {receipt['what']} {json.dumps(receipt['about'], sort_keys=True)}"
        )
    print(f"{len(found)} receipts hold together." if found else "There are no receipts: nothing was erased yet.")
    if found:
        head = Head.of(lines[-1])
        # The first key, not the last: it is the one that --key asks for, whatever it handed over to since.
        print("\n".join(PROVES), f"\nkey  {found[0]['key']}\nhead {head.number}:{head.line_hash}", sep="")
    return OK


def _public_key(text: str) -> bytes:
    """Raises ReceiptError for what is none: an empty one must not mean that any key will do."""
    key = b64decode(text, validate=True)
    if len(key) != KEY_BYTES:
        raise ReceiptError(f"--key is {len(key)} bytes in base64, and a key has {KEY_BYTES}")
    return key


def _check_head(kept: str | None, lines: list[str]) -> None:
    """Raises ReceiptError where the chain does not go through the head that the auditor kept."""
    if kept is None:
        return
    number, _, known = kept.partition(":")
    place = int(number) if number.isdecimal() else 0
    if not 0 < place <= len(lines) or Head.of(lines[place - 1]).line_hash != known:
        raise ReceiptError(
            f"the chain does not go through the head {kept}: receipts were cut off, or it was written anew"
        )


def _check_lake(database: Engine, store: ObjectStore, found: list[dict[str, Any]]) -> None:
    """Raises ReceiptError where a closed day has no receipt, or an erased one still lies in the lake."""
    said = {(r["about"]["site"], r["about"]["date"]): r for r in found if r["what"] == "day_erased"}
    with database.connect() as connection:
        closed = list(connection.execute(select(held_days).where(held_days.c.closed_ms.is_not(None))))
    for row in closed:
        if (row.site, row.date) not in said:
            raise ReceiptError(f"{row.site} {row.date} was closed and has no receipt; run: ivizone-cloud retention run")
    for (site, date), receipt in said.items():
        tables = DEVICE_TABLES if keeps_devices(receipt["about"]["mode"]) else ("sightings",)
        left = [name for table in tables for name in store.names(partition(table, site, date))]
        if left:
            raise ReceiptError(
                f"receipt {receipt['number']} says that {site} {date} was erased, and {left[0]} is there"
            )


def public_key_text(public_key: bytes) -> str:
    """As it is printed on papers and compared by auditors."""
    return b64encode(public_key).decode()


# --- ledger, audit --------------------------------------------------------------------------------------------------------


def _ledger(options: argparse.Namespace, database: Engine, now_ms: Callable[[], int], store: ObjectStore) -> int:
    site = _site(Fleet(database, now_ms), options.site)
    found = day_ledger(store, database, site, options.date.isoformat())
    for ledger in found:
        print(json.dumps(ledger.as_dict(), sort_keys=True) if options.json else _as_text(ledger))
    if not found and not options.json:
        print(f"{options.site} {options.date}: no access point was heard")
    return OK


def _as_text(ledger: AgentLedger) -> str:
    frames, batches, sightings = ledger.remainders()
    skipped = " + ".join(f"{count} {reason}" for reason, count in ledger.skipped.items()) or "0 skipped"
    return "\n".join(
        (
            ledger.agent,
            f"  frames     {ledger.frames} heard = {ledger.probe_requests} probe requests + {skipped}; remainder {frames}",
            f"  batches    {ledger.made} made = {ledger.stored} stored + {ledger.refused} refused + {ledger.quarantined} quarantined"
            f" + {ledger.evicted} evicted; remainder {batches}",
            f"  sightings  {ledger.sightings_in} in = {ledger.rows} rows + {ledger.duplicates} duplicates + {ledger.withheld} withheld;"
            f" remainder {sightings}",
        )
    )


def _audit(options: argparse.Namespace, database: Engine, _now_ms: Callable[[], int]) -> int:
    query = select(audit).order_by(audit.c.entry.desc()).limit(options.limit)
    if options.merchant:
        query = query.where(audit.c.merchant == options.merchant)
    with database.connect() as connection:
        for row in reversed(list(connection.execute(query))):
            print(f"{_time(row.at_ms)} {row.merchant:12} {row.login:24} {row.action:24} {row.subject}")
    return OK


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
