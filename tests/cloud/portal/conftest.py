"""A store in mode consent, with its page over HTTP."""

from __future__ import annotations

import pytest
from support.portal import Store, switched


@pytest.fixture(scope="session")
def host():
    """One server for all of them."""
    with switched() as made:
        yield made


@pytest.fixture
def store(tmp_path, host):
    made = Store(tmp_path, *host)
    yield made
    made.close()
