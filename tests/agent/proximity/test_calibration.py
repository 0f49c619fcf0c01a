"""A walk inside and outside gives the curve that divides them, and says how well."""

from __future__ import annotations

import io
import json
from math import exp
from pathlib import Path
from random import Random
from statistics import fmean

import pytest
from support.frames import T0_US, heard, local, pcap, write

from agent.cli import main
from agent.commands.calibrate import phone_of
from agent.compose import proximity_settings
from agent.config import load_config, parse_config
from agent.proximity import ProximitySettings, p_inside
from agent.proximity.calibration import PHONE_SPREAD_DB, TooFewBursts, calibrate, for_any_phone
from agent.tracking.bursts import Burst


def walk(random: Random, middle_dbm: float, spread_db: float, bursts: int) -> list[int]:
    return [round(random.gauss(middle_dbm, spread_db)) for _ in range(bursts)]


@pytest.mark.parametrize("threshold", [-52, -65, -79])
def test_the_threshold_lies_between_the_two_walks(threshold: int):
    """The best thresholds of places measured in the field run over this range."""
    random = Random(threshold)
    found = calibrate(walk(random, threshold + 10, 4, 60), walk(random, threshold - 10, 4, 60))

    assert abs(found.threshold_dbm - threshold) <= 3
    assert found.right_share > 0.95
    assert found.verdict() == "Inside and outside are told apart well."


def test_the_curve_is_the_one_that_made_the_walk():
    """Bursts drawn from a logistic curve of -63 dBm and 5 dB give it back, flatter by what phones differ in."""
    random = Random(1)
    inside, outside = [], []
    for _ in range(2000):
        level = random.uniform(-90, -40)
        (inside if random.random() < 1 / (1 + exp(-(level + 63) / 5)) else outside).append(round(level))
    found = calibrate(inside, outside)

    assert abs(found.threshold_dbm + 63) <= 2
    assert abs(found.slope_db - for_any_phone(5.0, fmean(inside) - fmean(outside))) <= 0.8


def test_a_probability_holds_for_phones_that_did_not_walk():
    """One phone walks; a thousand others, each louder or softer, are then placed: of those given 60 to 80 % about 70 % are inside."""
    random = Random(5)
    places = [(-55, True), (-60, True), (-64, True), (-62, False), (-67, False), (-72, False)]

    def levels(offset_db: float, wanted: bool, bursts: int) -> list[int]:
        middles = [middle for middle, is_inside in places if is_inside is wanted]
        return [round(random.gauss(random.choice(middles) + offset_db, 2.5)) for _ in range(bursts)]

    given, right = 0, 0
    for _ in range(40):  # installers
        offset = random.gauss(0.0, PHONE_SPREAD_DB)
        found = calibrate(levels(offset, True, 25), levels(offset, False, 25))
        curve = ProximitySettings(found.threshold_dbm, found.slope_db)
        for _ in range(200):
            is_inside, other = random.random() < 0.5, random.gauss(0.0, PHONE_SPREAD_DB)
            share = p_inside(levels(other, is_inside, 1), curve)
            if 0.6 <= share <= 0.8:
                given, right = given + 1, right + is_inside

    assert given > 500
    assert abs(right / given - 0.7) < 0.05


def test_no_walk_gives_the_curve_that_ships_which_would_pass_for_none():
    """One walk of some hundred would."""
    inside = [-57, -72, -62, -64, -60, -62, -64, -61, -57, -56]
    outside = [-75, -69, -75, -71, -76, -69, -64, -74, -68, -79]

    found = calibrate(inside, outside)
    written = f"proximity: {{threshold_dbm: {found.threshold_dbm}, slope_db: {found.slope_db}}}"

    assert (found.threshold_dbm, found.slope_db) == (-67.0, 6.1)
    assert proximity_settings(parse_config(written, "agent.yaml")).is_calibrated


def test_walks_that_cannot_be_told_apart_say_so():
    random = Random(2)
    found = calibrate(walk(random, -62, 6, 80), walk(random, -63, 6, 80))

    assert found.right_share < 0.65
    assert abs(found.brier - 0.25) < 0.05
    assert "Move the access point" in found.verdict()


def test_the_length_of_a_walk_does_not_move_the_threshold():
    random = Random(3)
    inside, outside = walk(random, -55, 5, 40), walk(random, -70, 5, 40)

    assert abs(calibrate(inside * 5, outside).threshold_dbm - calibrate(inside, outside).threshold_dbm) <= 1


def test_too_short_a_walk_is_refused():
    with pytest.raises(TooFewBursts, match="3 bursts with a level outside; at least 8"):
        calibrate([-50] * 20, [-70] * 3)


def capture(tmp_path: Path, name: str, middle_dbm: int) -> str:
    random = Random(name)
    frames = [
        (T0_US + scan * 20_000_000 + copy * 10_000, heard(local(scan), rssi=middle_dbm + random.randint(-3, 3)))
        for scan in range(20)
        for copy in range(4)
    ]
    return str(write(tmp_path / name, pcap(frames)))


def test_the_command_fits_two_captures_and_writes_the_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    config = tmp_path / "agent.yaml"
    config.write_text("batch: {window_s: 60}\n")
    walks = ["--inside", capture(tmp_path, "in", -50), "--outside", capture(tmp_path, "out", -72)]

    assert main(["calibrate", *walks, "--config", str(config), "--write", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    written = load_config(config)

    assert -66 < told["threshold_dbm"] < -56
    assert (told["inside_bursts"], told["outside_bursts"]) == (20, 20)
    assert (written.proximity.threshold_dbm, written.batch.window_s) == (told["threshold_dbm"], 60)


@pytest.mark.parametrize(("outside_dbm", "words"), [(-30, "walks exchanged"), (-50, "hardly be told apart")])
def test_a_curve_no_better_than_a_coin_is_not_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], outside_dbm: int, words: str
):
    """It would count as a walk, and all bursts of phones heard twice would be taken for inside."""
    config = tmp_path / "agent.yaml"
    config.write_text("batch: {window_s: 60}\n")
    walks = ["--inside", capture(tmp_path, "in", -50), "--outside", capture(tmp_path, "out", outside_dbm)]

    assert main(["calibrate", *walks, "--config", str(config), "--write"]) == 4
    told = capsys.readouterr()
    assert words in told.out and "nothing was written" in told.err
    assert config.read_text() == "batch: {window_s: 60}\n"


def test_one_walk_alone_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["calibrate", "--inside", capture(tmp_path, "in", -50)]) == 2
    assert "both walks" in capsys.readouterr().err


@pytest.mark.parametrize("has_captures", [False, True])
def test_a_live_walk_needs_a_radio(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], has_captures: bool
):
    config = tmp_path / "agent.yaml"
    config.write_text(f"source: {{paths: [{capture(tmp_path, 'in', -50) if has_captures else ''}]}}\n")
    monkeypatch.setattr("sys.stdin", io.StringIO("\n\n\n"))

    assert main(["calibrate", "--config", str(config)]) == 4
    assert "hears no walk" in capsys.readouterr().err


def test_a_live_walk_needs_elements(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Through hostapd every phone looks the same: "hold it closer" would be no help."""
    (tmp_path / "agent.yaml").write_text("source: {name: hostapd}\n")

    assert main(["calibrate", "--config", str(tmp_path / "agent.yaml")]) == 4
    assert "tells no elements" in capsys.readouterr().err


def burst(fingerprint: int, *levels: int) -> Burst:
    made = Burst(local(fingerprint), 0, None)
    made.fingerprint, made.rssi = fingerprint, list(levels)
    return made


def test_the_phone_that_was_held_against_the_access_point_is_the_loudest():
    bursts = [burst(1, -60), burst(1, -61), burst(2, -30), burst(2, -33), burst(3, -20)]

    assert phone_of(bursts) == 2  # once is no proof: somebody walked past
    with pytest.raises(TooFewBursts, match="hold it closer"):
        phone_of(bursts[:2])
