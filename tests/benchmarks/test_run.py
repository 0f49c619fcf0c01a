"""The benchmarks run to their end and report every case; how fast anything is, is never asserted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.load import read_bodies, write_bodies
from benchmarks.processes import PYTHON, BenchError, run
from benchmarks.report import Row, Section, at_least, at_most, markdown, missed, show
from benchmarks.rounds import alternate, percentile, ratio
from benchmarks.run import CASES, main

ROWS = {
    "Frames per second: simulated day": (
        "whole agent",
        "scapy",
        "dpkt",
        "agent / scapy",
        "agent / dpkt",
        "agent / tshark",
        "count / scapy",
    ),
    "Peak memory of a replay": ("a simulated day", "such days in one capture", "the longer one / the shorter one"),
    "Memory of tracking": ("live, 2,000 addresses", "live and the resolver of `count`, 500 addresses"),
    "Bytes per sighting": ("batches of 200 sightings", "batches of 300 sightings"),
    "Start-up": ("`python -c pass`", "`ivizone-agent version`", "`ivizone-agent replay` of one frame"),
    "Ingest": (
        "empty handler",
        "ingest, signature checked, durable",
        "ingest / empty handler",
        "consumer and analytics",
    ),
    "From upload to page": ("uploads, p50", "uploads, p95"),
    "The simulator": ("a whole day", "frames written"),
}
"""Section -> what its rows must speak of."""


def test_a_quick_run_reports_every_case_with_all_its_rows(tmp_path: Path):
    """All real: child processes, servers, uploads; only the inputs are tiny."""
    report = tmp_path / "benchmarks.md"

    code = main(["--quick", "--write", str(report)])

    written = report.read_text()
    assert code == 0
    sections = {part.splitlines()[0]: part for part in written.split("\n## ")[1:]}
    for title, rows in ROWS.items():
        table = next((part for name, part in sections.items() if name.startswith(title)), "")
        assert [row for row in rows if not re.search(rf"^\| [^|]*{re.escape(row)}", table, re.M)] == [], title
    assert "figures mean nothing" in written


def test_cases_can_be_chosen_one_by_one(capsys: pytest.CaptureFixture[str]):
    assert main(["--quick", "--only", "simulator"]) == 0

    assert re.findall(r"^## (.*)", capsys.readouterr().out, re.M) == ["The simulator: a day of 40 shoppers"]


def test_an_unknown_case_is_answered_with_those_there_are(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match="2"):
        main(["--only", "weather"])

    said = capsys.readouterr().err
    assert [name for name in CASES if name not in said] == []


def test_a_missed_target_is_said_in_the_table_and_by_itself():
    section = Section(
        "Case", "How.", [at_least("speed", 4.0, 5, "times"), at_most("memory", 39.9, 40, "MB"), Row("plain", "7")]
    )

    assert "| speed | 4.00 times | at least 5 times | **no** |" in markdown("Intro.", [section])
    assert "| memory | 39.9 MB | at most 40 MB | yes |" in markdown("Intro.", [section])
    assert "| plain | 7 | – | – |" in markdown("Intro.", [section])
    assert missed([section]) == ["Case: speed: 4.00 times, target at least 5 times"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.1234, "0.12"), (7.526, "7.53"), (36.74, "36.7"), (177.4, "177"), (205_432.0, "205,000"), (1234.0, "1,230")],
)
def test_figures_have_three_digits_that_count(value: float, expected: str):
    assert show(value) == expected


def test_rounds_alternate_and_ratios_are_of_one_round():
    calls: list[str] = []

    def measure(name: str, values: list[float]):
        return lambda: calls.append(name) or values.pop(0)

    found = alternate({"a": measure("a", [10.0, 40.0, 90.0]), "b": measure("b", [10.0, 20.0, 30.0])}, 3)

    assert calls == ["a", "b"] * 3
    assert ratio(found["a"], found["b"]) == 2.0


@pytest.mark.parametrize(("percent", "expected"), [(50, 10), (95, 19), (100, 20)])
def test_percentiles_are_values_that_were_measured(percent: int, expected: int):
    assert percentile([float(n) for n in range(20, 0, -1)], percent) == expected


def test_bodies_come_back_as_they_were_written(tmp_path: Path):
    bodies = [b"", b"a", bytes(range(256)) * 300]
    write_bodies(tmp_path / "bodies", bodies)

    assert list(read_bodies(tmp_path / "bodies")) == bodies


def test_a_measured_process_is_seen_alone_and_not_with_its_parent():
    """The memory of this test process, which holds much more, does not show in the child's peak."""
    ballast = bytearray(150_000_000)
    small = run((PYTHON, "-I", "-S", "-c", "pass"))
    large = run((PYTHON, "-I", "-S", "-c", "x = b'1' * 60_000_000"))

    assert len(ballast) / 1e6 > large.peak_mb > 60 > small.peak_mb
    assert small.wall_s > 0 and small.cpu_s > 0


def test_a_command_that_fails_is_named_with_what_it_said():
    with pytest.raises(BenchError, match="ended with 3: so it went"):
        run((PYTHON, "-c", "import sys; sys.stderr.write('so it went'); sys.exit(3)"))
