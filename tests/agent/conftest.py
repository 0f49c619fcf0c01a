"""What every test of the agent begins with."""

from __future__ import annotations

import pytest

from agent.log import log


@pytest.fixture(autouse=True)
def a_fresh_log() -> None:
    """The log writes to the stderr of the test that runs, at the usual level."""
    log.configure("info", "console")
