"""Where the shared captures are, for tests that use them when they are present."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


def shared_data(name: str) -> Path:
    """Folder ``name`` of the shared data, or skip the test with the reason."""
    root = Path(os.environ.get("IVIZONE_SHARED", CHECKOUT.parent / "shared")) / "data" / name
    if not root.exists():
        pytest.skip(f"shared data '{name}' is not here; set IVIZONE_SHARED to the folder that holds data/{name}")
    return root
