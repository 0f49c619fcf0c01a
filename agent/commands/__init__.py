"""One module for each command of `ivizone-agent` (shell). This one holds what several of them need.

A command takes the parsed options and gives the exit code; ``agent.cli`` turns errors into messages. Results go to stdout, everything else to stderr.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from agent.config import DEFAULT_PATH, Config, load_config
from agent.exit_codes import INPUT, OK
from agent.log import log

if TYPE_CHECKING:
    import argparse

    from agent.tracking.tracker import DeviceEstimate


def configured(options: argparse.Namespace) -> Config:
    """The configuration named, or the usual one where it exists, or the defaults. Raises ConfigError."""
    path = options.config or (DEFAULT_PATH if DEFAULT_PATH.exists() else None)
    config = load_config(path) if path else Config()
    log.configure(config.log.level, config.log.format)
    return config


def fail(error: object, code: int) -> int:
    """Say what is wrong; gives ``code``."""
    print(f"ivizone-agent: {error}", file=sys.stderr)
    return code


def report_troubles(troubles: Sequence[str]) -> int:
    """A line for each trouble of a source; gives the exit code."""
    for trouble in troubles:
        print(f"ivizone-agent: {trouble}", file=sys.stderr)
    return INPUT if troubles else OK


def devices_of(estimate: DeviceEstimate) -> dict[str, float]:
    """The estimate as the commands print it."""
    return {
        "estimate": round(estimate.devices, 1),
        "low": round(estimate.low, 1),
        "high": round(estimate.high, 1),
        "confidence": round(estimate.confidence, 3),
    }
