"""`ivizone-agent replay`: captures through the whole agent (shell; docs/adr/0009-replay.md)."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import replace as replaced

from agent import compose
from agent.commands import configured, devices_of, report_troubles
from agent.config import ConfigError
from agent.delivery import Delivery, DryDelivery
from agent.exit_codes import CLOUD
from agent.pipeline import Totals
from agent.runner import Outcome, run
from agent.tracking.tracker import DeviceEstimate
from agent.upload.enrol import needs_enrolment

DRAIN_S = 60.0
"""How long a replay waits for the cloud after its last frame."""


def replay(options: argparse.Namespace) -> int:
    """Captures through the whole pipeline, and to a cloud if one is named."""
    config = configured(options)
    is_enrolled = not needs_enrolment(config)
    delivery: Delivery = DryDelivery()
    if options.cloud:
        if not is_enrolled:
            raise ConfigError(needs_enrolment(config))
        config = replaced(config, cloud=replaced(config.cloud, url=options.cloud))
        delivery = compose.delivery(config, waits_for_room=True)
    source = compose.open_source(config, tuple(options.captures), options.onto_day)
    pipeline = compose.replay_pipeline(config, source, is_enrolled=is_enrolled)
    outcome = run(source, pipeline, delivery, speed=options.speed, drain_s=DRAIN_S, progress=_progress())
    _end_progress()
    estimate = pipeline.estimate()
    _print_replay(options.json, outcome, estimate)
    if delivery.left:
        print(
            f"ivizone-agent: {delivery.left} batches wait in the spool {config.spool.directory}: {delivery.trouble}; "
            "run the same replay again when the cloud is back, nothing is counted twice",
            file=sys.stderr,
        )
        return CLOUD
    return report_troubles(outcome.troubles)


def _print_replay(as_json: bool, outcome: Outcome, estimate: DeviceEstimate) -> None:
    totals = outcome.totals
    if as_json:
        summary = {
            "frames": totals.frames,
            "probe_requests": totals.probe_requests,
            "skipped": dict(sorted(totals.skipped.items())),
            "devices": devices_of(estimate),
            "sightings": totals.sightings,
            "batches": totals.batches,
            "bytes": totals.bytes,
            "seconds": round(outcome.seconds, 3),
            "frames_per_second": round(totals.frames / max(outcome.seconds, 1e-9)),
        }
        print(json.dumps(summary))
        return
    print(f"frames            {totals.frames:,}")
    print(f"  probe requests  {totals.probe_requests:,}")
    for reason, count in sorted(totals.skipped.items()):
        print(f"  skipped         {count:,}  {reason}")
    print(f"devices           {estimate.devices:.0f} ({estimate.low:.0f} to {estimate.high:.0f})")
    print(f"sightings         {totals.sightings:,}")
    print(f"batches           {totals.batches:,}  ({totals.bytes:,} bytes)")
    print(f"took              {outcome.seconds:.1f} s")


def _progress() -> Callable[[Totals, float], None] | None:
    """A line on a terminal, rewritten once a second; nothing where stderr is a file."""
    if not sys.stderr.isatty():
        return None
    shown = [0.0]

    def show(totals: Totals, seconds: float) -> None:
        if seconds - shown[0] >= 1.0:
            shown[0] = seconds
            print(
                f"\r{totals.frames:,} frames, {totals.batches:,} batches, {seconds:.0f} s ",
                end="",
                file=sys.stderr,
                flush=True,
            )

    return show


def _end_progress() -> None:
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
