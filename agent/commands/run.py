"""`ivizone-agent run`: listen, and send batches to the cloud, until stopped (shell)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.commands import configured, report_troubles
from agent.config import Config, ConfigError
from agent.frugal import borrowed, frugal
from agent.service import Service, Signals
from agent.upload.enrol import needs_enrolment

if TYPE_CHECKING:
    import argparse


def run_agent(options: argparse.Namespace) -> int:
    """Listen until the source ends or a signal comes."""

    def read_config() -> Config:
        with frugal(), borrowed("yaml", "agent.plain_yaml"):
            config = configured(options)
        missing = needs_enrolment(config)
        if missing:
            raise ConfigError(missing)
        return config

    return report_troubles(Service(read_config, Signals()).run().troubles)
