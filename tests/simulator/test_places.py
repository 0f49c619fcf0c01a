"""Three kinds of store, and the installer's walk through each."""

from __future__ import annotations

import struct
from pathlib import Path
from random import Random
from statistics import fmean

import pytest

from simulator.cli import main
from simulator.day import DaySettings
from simulator.places import LAYOUTS, Position, level_dbm
from simulator.walk import walk

SIGNAL_AT = 14


def levels(frames: list[tuple[int, bytes]]) -> list[int]:
    return [struct.unpack_from("b", data, SIGNAL_AT)[0] for _, data in frames]


@pytest.mark.parametrize("name", LAYOUTS)
def test_inside_is_louder_than_the_street_but_not_always(name: str):
    """A place where the two never overlapped would prove nothing about telling them apart."""
    random = Random(1)
    inside = [Position(LAYOUTS[name], random).inside_dbm() for _ in range(500)]
    outside = [Position(LAYOUTS[name], random).outside_dbm(random.uniform(-20, 20)) for _ in range(500)]

    assert fmean(inside) - fmean(outside) > 6
    assert min(inside) < max(outside) + 6


def test_nobody_walks_through_a_wall():
    layout, random = LAYOUTS["corner"], Random(2)
    place = Position(layout, random)
    nearest, deepest = layout.inside_m
    quietest = level_dbm(deepest) - layout.depth_db_per_m * (deepest - 8.0)

    assert all(quietest - 1e-9 <= place.inside_dbm() <= level_dbm(nearest) for _ in range(2000))


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_walk_holds_enough_scans_of_one_phone(name: str):
    inside, outside = (walk(DaySettings(layout=name), where, 4.0) for where in ("inside", "outside"))
    seconds = (inside[-1][0] - inside[0][0]) / 1e6

    assert 200 < seconds < 240
    assert len({time_us // 4_000_000 for time_us, _ in inside}) >= 15
    assert fmean(levels(inside)) > fmean(levels(outside))


def test_the_command_writes_a_walk(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main([str(tmp_path / "walk"), "--walk", "inside", "--layout", "mall"]) == 0
    assert (tmp_path / "walk.pcap").stat().st_size > 1000
    assert not (tmp_path / "walk.truth.json").exists()
    with pytest.raises(SystemExit):
        main([str(tmp_path / "walk"), "--layout", "moon"])
    assert "layout must be one of street, mall, corner" in capsys.readouterr().err
