"""A store in mode consent, with its page over HTTP."""

from __future__ import annotations

import pytest
from support.portal import Store


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path)
    yield made
    made.close()
