"""What the scenarios of the rig told (tests/radio/rig/scenarios.py), as the tests on this side ask for it."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

Result = dict[str, Any]
Results = dict[str, Result]
"""By the name of the scenario."""


def total(result: Result, name: str) -> int:
    """A count of the ledger over all batches of a run."""
    return sum(batch[name] for batch in result["batches"])


def listened_s(batch: dict[str, Any]) -> float:
    """What a batch's ledger says was listened, on all channels."""
    return sum(batch["listening_ms"].values()) / 1000


def events(result: Result, name: str) -> list[dict[str, Any]]:
    """The log's events of that name, each with ``at``: seconds since the epoch."""
    found = [event for event in result["events"] if event["event"] == name]
    return [{**event, "at": datetime.fromisoformat(event["timestamp"]).timestamp()} for event in found]


def said_again(result: Result) -> dict[str, Any]:
    """What the agent's log says when it listens again: the first such event since a fault began."""
    return next(event for event in events(result, "monitor_listened_again") if event["at"] > result["began"])


def keep(results: list[Result]) -> None:
    """Add the results to the file that IVIZONE_RADIO_RESULTS names: docs/field-tests.md is made of it."""
    if path := os.environ.get("IVIZONE_RADIO_RESULTS"):
        with Path(path).open("a") as file:
            file.writelines(json.dumps(result) + "\n" for result in results)
