"""`ivizone-agent run`: listen, and send batches to the cloud, until stopped (shell)."""

from __future__ import annotations

import argparse
import signal

from agent import __version__, compose
from agent.commands import configured, report_troubles
from agent.config import ConfigError
from agent.log import log
from agent.runner import run
from agent.upload.enrol import needs_enrolment


def run_agent(options: argparse.Namespace) -> int:
    """Listen until the source ends or a signal comes."""
    config = configured(options)
    missing = needs_enrolment(config)
    if missing:
        raise ConfigError(missing)
    source = compose.open_source(config)
    stop: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: stop.append(received))
    is_capture = compose.is_capture(source)
    pipeline = (
        compose.replay_pipeline(config, source, is_enrolled=True, max_age_s=config.batch.max_age_s)
        if is_capture
        else compose.live_pipeline(config)
    )
    delivery = compose.delivery(config, waits_for_room=is_capture)
    log.info(
        "agent_started", agent=config.agent.id, site=config.agent.site, source=config.source.name, version=__version__
    )
    outcome = run(
        source,
        pipeline,
        delivery,
        speed=config.source.speed if is_capture else 0.0,
        drain_s=4.0,
        should_stop=lambda: bool(stop),
    )
    log.info(
        "agent_stopped", frames=outcome.totals.frames, batches=outcome.totals.batches, waiting_batches=delivery.left
    )
    return report_troubles(outcome.troubles)
