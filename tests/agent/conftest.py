"""What every test of the agent begins with."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from agent.log import log


@pytest.fixture(autouse=True)
def a_fresh_log() -> None:
    """The log writes to the stderr of the test that runs, at the usual level."""
    log.configure("info", "console")


@pytest.fixture(autouse=True)
def the_signals_of_the_test_runner() -> Iterator[None]:
    """`run` takes signals for itself; after the test they are the test runner's again."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)
