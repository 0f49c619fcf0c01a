"""Golden pictures of pages: compared shrunk, with a tolerance, because fonts differ a little between machines.

A missing chart, a lost colour scheme or another page does not pass. `IVIZONE_GOLDEN=write make test-browser` makes them anew; look at the
difference before committing it.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

pytest.importorskip("PIL", reason="the extra 'browser' is not installed; run: make test-browser")
from PIL import Image, ImageChops, ImageStat

GOLDEN = Path(__file__).resolve().parents[1] / "browser" / "golden"
TOLERANCE = 6.0
"""Mean difference of a pixel of the shrunk pictures, of 255."""
HEIGHT_TOLERANCE = 0.04
SHRUNK = 4


def look(page, name: str) -> None:
    """Compare the whole page with its golden picture, or write that anew where it is asked for."""
    shot = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")
    small = shot.resize((shot.width // SHRUNK, shot.height // SHRUNK), Image.Resampling.BOX)
    path = GOLDEN / f"{name}.png"
    if os.environ.get("IVIZONE_GOLDEN") == "write":
        small.quantize(64).save(path, optimize=True)
    golden = Image.open(path).convert("RGB")

    assert abs(small.height - golden.height) <= golden.height * HEIGHT_TOLERANCE, "longer or shorter than it was"
    found = difference(small, golden)
    assert found < TOLERANCE, f"differs by {found:.1f}; look at it, and if it should: IVIZONE_GOLDEN=write"


def golden(name: str) -> Image.Image:
    """A golden picture."""
    return Image.open(GOLDEN / f"{name}.png").convert("RGB")


def difference(one: Image.Image, other: Image.Image) -> float:
    """Mean difference of a pixel in the channel that differs most, over what both have."""
    box = (0, 0, other.width, min(one.height, other.height))
    return max(ImageStat.Stat(ImageChops.difference(one.crop(box), other.crop(box))).mean)
