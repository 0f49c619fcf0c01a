"""Does the account of a schedule close? Every batch and every row in one place, and the figures those of a run without faults."""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from faults.world import CLOUD_MS, Shop, names_in
from support.clouds import Clock, Cloud

from agent.spool import Spool
from cloud.retention.ledger import day_ledger
from cloud.stores.lake import QUERIED, quarantine_name

Name = tuple[str, int]
WORDS = ("frames", "probe_requests", "skipped", "told")


@dataclass
class Made:
    """What the agents say of themselves."""

    batches: dict[Name, dict[str, Any]] = field(default_factory=dict)
    gone_with_process: set[Name] = field(default_factory=set)
    """On their way to the disk, or in memory because the disk took nothing, when a process ended."""
    evicted: set[Name] = field(default_factory=set)
    """Made room."""
    given_up: int = 0
    frames: dict[int, int] = field(default_factory=dict)
    """Life -> frames heard, of lives that came to their end."""


def read_journal(path: Path) -> Made:
    """The journal as an account."""
    made = Made()
    open_batch: dict[int, Name] = {}
    in_memory: dict[int, set[Name]] = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        said = json.loads(line)
        life = said["life"]
        if said["kind"] == "made":
            name = (said["boot"], said["number"])
            made.batches.setdefault(name, said)
            open_batch[life] = name
        elif said["kind"] in ("kept", "finished"):
            in_memory[life] = {(boot, number) for boot, number in said["in_memory"]}
            if said["kind"] == "kept":
                made.given_up += said["given_up"]
                open_batch.pop(life, None)
        elif said["kind"] == "evicted":
            made.evicted.add((said["boot"], said["number"]))
        else:
            made.frames[life] = said["frames"]
    made.gone_with_process = set(open_batch.values()).union(*in_memory.values())
    return made


def look_into(folder: Path) -> dict[str, Any]:
    """What a cloud that is left in peace makes of its folder: rows of the lake, quarantine, figures. For a process of its own."""
    cloud = Cloud(folder, clock=Clock(CLOUD_MS), is_new=False)
    embedded = cloud.embedded
    embedded.consumer.drain()
    embedded.analyse_dirty()
    tables: dict[str, Any] = {}
    for table in (*QUERIED, "messages"):
        rows: list[dict[str, Any]] = []
        for name in embedded.store.names(f"{table}/"):
            rows += pq.read_table(io.BytesIO(embedded.store.get(name))).to_pylist()
        tables[table] = rows
    dates = sorted({name.split("date=")[1][:10] for name in embedded.store.names("ledger/")})
    ledgers = [one for date in dates for one in day_ledger(embedded.store, embedded.database, cloud.site, date)]
    keys = [(row["boot"], row["batch"], row["row_no"]) for row in tables["sightings"]]
    seen = {
        "messages": sorted({(r["boot"], r["batch"], hashlib.sha256(r["message"]).hexdigest()) for r in tables["messages"]}),
        "ledger": sorted({(r["boot"], r["batch"], r["frames"], r["probe_requests"], r["skipped_total"], r["evicted_batches"]) for r in tables["ledger"]}),
        "rows": len(keys), "distinct_rows": sorted(Counter((boot, batch) for boot, batch, _ in set(keys)).items()),
        "quarantined": len([n for n in embedded.store.names(quarantine_name("", 0).split("/")[0] + "/") if n.endswith(".cose")]),
        "remainders": [sum(counts) for counts in zip(*(one.remainders() for one in ledgers), strict=True)] or [0, 0, 0],
        "waiting": embedded.stream.waiting(), "is_idle": embedded.is_idle(), "figures": cloud.figures(),
    }  # fmt: skip
    for rows in seen["figures"].values():
        for row in rows:
            row.pop("computed_ms", None)
    cloud.close()
    return json.loads(json.dumps(seen))


def unexplained(shop: Shop, flipped: set[Name], seen: dict[str, Any], truth: dict[str, Any] | None) -> list[str]:
    """What does not add up, in words; empty where everything does."""
    made = read_journal(shop.journal)
    plan = shop.plan
    wrong: list[str] = []

    def check(is_so: object, words: str) -> None:
        if not is_so:
            wrong.append(words)

    stored = {(boot, number) for boot, number, _ in seen["messages"]}
    waiting = set(names_in(shop.folder / "agent" / "spool")) | set(names_in(shop.folder / "ram"))
    refused = set(names_in(shop.folder / "agent" / "spool" / "refused")) | set(
        names_in(shop.folder / "ram" / "refused")
    )
    names = set(made.batches)

    # Frames heard = probe requests + skipped, batch by batch and in the lake.
    for said in made.batches.values():
        check(said["frames"] == said["probe_requests"] + said["skipped"], f"the ledger of {said} does not close")
    for boot, number, frames, probes, skipped, told in seen["ledger"]:
        said = made.batches.get((boot, number))
        is_said = said and (frames, probes, skipped, told) == tuple(said[word] for word in WORDS)
        check(is_said, f"ledger row {boot} {number} is not what the agent said")
    check(
        sorted((b, n) for b, n, *_ in seen["ledger"]) == sorted(stored),
        "ledger rows are not those of the stored batches, each once",
    )

    # Batches made = stored + in the spool + refused + evicted; what was in memory or in RAM went with the process or the power.
    check(not waiting, f"{len(waiting)} batches still wait after a calm life")
    check(stored <= names, f"stored, and never made: {sorted(stored - names)[:3]}")
    for boot, number, sha in seen["messages"]:
        check(
            made.batches[boot, number]["sha"] == sha or not plan.is_live,
            f"batch {boot} {number} was stored with other bytes",
        )
    check(len({(b, n) for b, n, _ in seen["messages"]}) == len(seen["messages"]), "a name was stored with two contents")
    may_refuse = flipped if not plan.jumps else names
    check(refused <= may_refuse, f"refused for no reason: {sorted(refused - may_refuse)[:3]}")
    check(
        (flipped & names) - stored <= refused,
        f"flipped, and neither refused nor stored: {sorted(flipped - stored - refused)}",
    )
    unclear = (made.gone_with_process | shop.lost_in_ram) & (names - stored - waiting - refused)
    lost = names - stored - waiting - refused - unclear
    untold = Spool(shop.folder / "agent" / "spool", 1).untold_batches
    if plan.is_live:
        told = sum(row[5] for row in seen["ledger"]) + untold
        # A batch on its way to the disk when the process died may have come there, and have made room later.
        # Where the power or the disk failed, acknowledged ones may have come back. One that then made room is told of although it is not
        # lost; what it told is told again.
        returned = stored & made.evicted
        may_return = any(life.loses_power or life.disk_fault for life in plan.agents)
        check(may_return or not returned, f"stored, and told as evicted: {sorted(returned)[:3]}")
        told_twice = sum(row[5] for row in seen["ledger"] if (row[0], row[1]) in returned)
        is_told = len(lost) <= told <= len(lost | unclear | returned) + told_twice
        check(is_told, f"{len(lost)} batches were given up, ledgers and notes tell of {told}: {sorted(lost)[:3]}")
        check(lost <= made.evicted, f"nowhere, and not evicted: {sorted(lost - made.evicted)[:5]}")
        if plan.story != "evicted":
            check(not lost, f"{len(lost)} batches are nowhere: {sorted(lost)[:5]}")
    else:
        check(
            stored == {(b, n) for b, n, _ in truth["messages"]} if truth else True,
            "not every batch of the capture was stored",
        )

    # Sightings in = rows out + duplicates + quarantined.
    rows = {(boot, number): count for (boot, number), count in seen["distinct_rows"]}
    for name in stored:
        check(rows.get(name, 0) == made.batches[name]["sightings"], f"rows of batch {name} are not its sightings")
    check(not set(rows) - stored, "rows of a batch that was not stored")

    # The merchant's ledger says the same: a number that is missing there is one of those that are named above.
    frames, batches, sightings = seen["remainders"]
    check((frames, sightings) == (0, 0), f"the ledger leaves {frames} frames and {sightings} sightings unexplained")
    named = len(unclear) + len(refused) + untold
    check(0 <= batches <= named, f"the ledger leaves {batches} batches unexplained, of which {named} are named")
    check(seen["quarantined"] == 0, f"{seen['quarantined']} in quarantine, of batches that were all well made")
    check(seen["waiting"] == 0 and seen["is_idle"], "the cloud is not done")
    if truth and not plan.is_live:
        check(seen["figures"] == truth["figures"], "the figures are not those of a run without faults")
        check(seen["ledger"] == truth["ledger"], "the ledgers are not those of a run without faults")
    return wrong
