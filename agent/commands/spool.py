"""`ivizone-agent spool`: the batches that wait for the cloud (shell)."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from agent.commands import configured, fail
from agent.compose import open_spool
from agent.exit_codes import INPUT, OK, USAGE
from agent.wire.codec import decode_batch
from agent.wire.cose import open_message
from agent.wire.model import plain


def spool(options: argparse.Namespace) -> int:
    """List, show or copy what waits."""
    config = configured(options)
    kept = open_spool(config, is_ours=False)
    if options.action == "ls":
        for entry in kept.entries():
            facts = {
                "number": entry.sequence,
                "boot": entry.boot.hex(),
                "batch": entry.number,
                "bytes": entry.size_bytes,
            }
            print(
                json.dumps(facts)
                if options.json
                else f"{entry.sequence:>8}  boot {facts['boot']}  batch {entry.number:<8} {entry.size_bytes:>7} bytes"
            )
        if not options.json:
            print(f"{len(kept.entries())} batches wait, {kept.pending_bytes:,} of {kept.limit_bytes:,} bytes")
        return OK
    if not options.target:
        return fail(
            f"spool {options.action} needs {'the number of a batch' if options.action == 'show' else 'a directory'}",
            USAGE,
        )
    if options.action == "export":
        target = Path(options.target)
        try:
            target.mkdir(parents=True, exist_ok=True)
            for entry in kept.entries():
                shutil.copy2(entry.path, target / entry.path.name)
        except OSError as error:
            return fail(f"{target}: cannot be written ({error.strerror}); name another directory", INPUT)
        print(f"{len(kept.entries())} batches copied to {target}")
        return OK
    found = [entry for entry in kept.entries() if str(entry.sequence) == options.target.lstrip("0").rjust(1, "0")]
    if not found:
        return fail(f"no batch {options.target} waits; `ivizone-agent spool ls` prints the numbers", USAGE)
    batch = decode_batch(open_message(kept.read(found[0])).payload)
    print(json.dumps(plain(batch), indent=2))
    return OK
