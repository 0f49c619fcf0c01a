"""What every test begins with."""

from __future__ import annotations

import functools

import pytest
import structlog
from hypothesis import settings

settings.register_profile("house", deadline=None)
settings.load_profile("house")  # no test hangs on the wall clock: two cores are shared with whatever else runs


@pytest.fixture(autouse=True)
def _logs_of_its_own(monkeypatch):
    """A command that a test runs in this process sets how the whole process logs, to a stream that is closed with the test."""
    monkeypatch.setattr(structlog, "configure", functools.partial(_configure, structlog.configure))
    yield
    structlog.reset_defaults()


def _configure(configure, **options):
    configure(**{**options, "cache_logger_on_first_use": False})
