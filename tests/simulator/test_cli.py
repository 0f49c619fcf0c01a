"""`ivizone-simulate`: what it writes and how it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from simulator.cli import main
from simulator.day import DaySettings, simulate


def test_a_day_is_written_with_its_truth_beside_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "new" / "day"

    code = main([str(out), "--shoppers", "12", "--seed", "9", "--date", "2026-03-01", "--utc-offset-min", "-60"])

    frames, truth = simulate(DaySettings(seed=9, shoppers=12, date="2026-03-01", utc_offset_min=-60))
    assert code == 0
    assert json.loads((tmp_path / "new" / "day.truth.json").read_text()) == truth
    assert (tmp_path / "new" / "day.pcap").stat().st_size == 24 + sum(16 + len(data) for _, data in frames)
    assert f"{len(frames):,} frames" in capsys.readouterr().out


def test_a_name_with_a_dot_keeps_it(tmp_path: Path):
    assert main([str(tmp_path / "store.1"), "--shoppers", "1"]) == 0

    assert sorted(path.name for path in tmp_path.iterdir()) == ["store.1.pcap", "store.1.truth.json"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param([], "OUT", id="no name"),
        pytest.param(["day", "--shoppers", "-1"], "shoppers and staff must be 0 or more", id="fewer than nobody"),
        pytest.param(["day", "--shoppers", "many"], "--shoppers", id="no number"),
        pytest.param(["day", "--visitor-share", "1.5"], "visitor-share must be 0 to 1", id="more than all"),
        pytest.param(
            ["day", "--opens-h", "20", "--closes-h", "9"],
            "opens-h must come before closes-h",
            id="closes before it opens",
        ),
        pytest.param(["day", "--closes-h", "25"], "within 0 to 24", id="a day of 25 hours"),
        pytest.param(["day", "--staff", "-2"], "staff must be 0 or more", id="staff below nobody"),
        pytest.param(
            ["day", "--printers", "300"], "printers must be 0 to 256", id="more printers than documentation addresses"
        ),
        pytest.param(["day", "--date", "2026-02-30"], "--date", id="no such day"),
        pytest.param(["day", "--utc-offset-min", "2000"], "utc-offset-min must be -720 to 840", id="no such time zone"),
        pytest.param(["."], "names no file", id="a folder for a name"),
        pytest.param(["day", "--weather", "rain"], "--weather", id="an unknown option"),
    ],
)
def test_what_cannot_be_is_refused_with_what_is_allowed(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(SystemExit, match="2"):
        main(arguments)

    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_ends_with_4_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "file").write_text("in the way")

    code = main([str(tmp_path / "file" / "day"), "--shoppers", "1"])

    assert code == 4
    assert "cannot be written" in capsys.readouterr().err
