"""`python -m firmware_hooks`: what scripts and people get."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time

import pytest
from support.radios import StandInKernel, Vif, golden_iw

from firmware_hooks.cli import main
from firmware_hooks.system import System


@pytest.fixture
def kernel(tmp_path):
    return StandInKernel(
        {"phy0": golden_iw("ath9k-phy.txt"), "phy1": golden_iw("ath10k-phy.txt")},
        {"wlan0": Vif("phy0", "AP", True, 2437), "wlan1": Vif("phy1", "managed", False)},
    )


@pytest.fixture
def machine(kernel, tmp_path):
    class Live(System):
        def interfaces(self):
            kernel.sys_root(tmp_path)
            return super().interfaces()

    return Live(kernel, tmp_path)


def test_report_says_it_in_words_and_in_json(machine, capsys):
    assert main(["report"], machine) == 0
    said = capsys.readouterr().out
    assert main(["report", "--json"], machine) == 0
    radios = json.loads(capsys.readouterr().out)["radios"]

    assert "phy0 can listen while it serves, on channel 6 only" in said
    assert [(r["radio"], r["may_hop"], r["home_channel"], r["serving"]) for r in radios] == [
        ("phy0", False, 6, ["wlan0"]),
        ("phy1", True, None, []),
    ]
    assert radios[1]["channels"][4] == {"channel": 52, "frequency_mhz": 5260, "passive": True}
    assert "02:00" not in said


def test_plan_prints_and_changes_nothing(machine, kernel, capsys):
    assert main(["plan", "--radio", "phy0"], machine) == 0

    assert "iw phy phy0 interface add mon0 type monitor flags otherbss" in capsys.readouterr().out
    assert kernel.changes() == []


def test_apply_and_remove_do_and_undo(machine, kernel, capsys):
    assert main(["apply", "--json"], machine) == 0
    assert json.loads(capsys.readouterr().out) == {
        "interface": "mon0",
        "radio": "phy1",
        "commands": 2,
        "may_hop": True,
        "home_channel": None,
    }
    assert main(["remove"], machine) == 0
    assert "mon0" not in kernel.vifs


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param(["apply", "--radio", "phy9"], 4, id="no such radio"),
        pytest.param(["apply", "--interface", "wlan0"], 3, id="the name is taken"),
        pytest.param(["remove", "--interface", "wlan0"], 3, id="no monitor"),
        pytest.param(["hop", "--once", "--interface", "mon7"], 4, id="no such interface"),
        pytest.param(["hop", "--once", "--interface", "wlan1", "--channels", "six"], 4, id="no channels"),
    ],
)
def test_an_error_is_one_sentence_and_a_code(machine, capsys, arguments, code):
    assert main(arguments, machine) == code
    said = capsys.readouterr()
    assert said.err.startswith("firmware_hooks: ")
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_without_root_the_code_is_5(machine, kernel, capsys):
    kernel.is_root = False

    assert main(["apply"], machine) == 5
    assert "CAP_NET_ADMIN" in capsys.readouterr().err


def test_a_schedule_is_shown_without_setting_a_channel(machine, kernel, tmp_path, capsys):
    main(["apply"], machine)
    heard = tmp_path / "heard.json"
    heard.write_text('{"36": 90, "40": 10}')
    capsys.readouterr()
    changes = len(kernel.changes())

    assert main(["hop", "--once", "--channels", "36,40,52", "--heard-file", str(heard)], machine) == 0

    cycle = json.loads(capsys.readouterr().out)
    assert [(d["channel"], d["dwell_ms"], d["is_passive"]) for d in cycle] == [
        (36, 10_600, False),
        (40, 3_400, False),
        (52, 1_000, True),
    ]
    assert len(kernel.changes()) == changes


def test_hopping_runs_until_it_is_stopped_and_reports_each_stay(tmp_path):
    """The real process, with programs `iw` and `ip` in front of it that keep their own log."""
    log = tmp_path / "log"
    (tmp_path / "bin").mkdir()
    phy, dev = tmp_path / "phy.txt", tmp_path / "dev.txt"
    phy.write_text(golden_iw("ath9k-phy.txt"))
    dev.write_text("phy#0\n\tInterface mon0\n\t\ttype monitor\n")
    script = f'#!/bin/sh\necho "$@" >>{log}\ncase "$*" in phy) cat {phy};; dev) cat {dev};; esac\n'
    (tmp_path / "bin/iw").write_text(script)
    (tmp_path / "bin/iw").chmod(0o755)
    stay = tmp_path / "run" / "channel.json"
    command = [sys.executable, "-m", "firmware_hooks", "hop", "--cycle-ms", "300", "--min-dwell-ms", "100"]
    process = subprocess.Popen(
        [*command, "--stay-file", str(stay)], env={"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 20
    while (not log.exists() or log.read_text().count("set freq") < 4) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.terminate()
    process.communicate(timeout=10)

    hops = [line for line in log.read_text().splitlines() if "set freq" in line]
    assert [hop.split()[-1] for hop in hops[:4]] == ["2412", "2437", "2462", "2412"]
    assert json.loads(stay.read_text())["is_hopping"] is True


def test_a_visitor_token_is_made_of_standard_input(tmp_path, monkeypatch, capsys):
    arguments = ["visitor", "visitor", "--mode", "consent", "--key-file", str(tmp_path / "k")]
    monkeypatch.setattr(sys, "stdin", io.StringIO("02:00:5e:00:53:01\n"))
    assert main(arguments) == 0
    first = capsys.readouterr().out
    monkeypatch.setattr(sys, "stdin", io.StringIO("02:00:5E:00:53:01\n"))
    assert main(arguments) == 0

    assert capsys.readouterr().out == first
    assert len(first.strip()) == 24


@pytest.mark.parametrize(("mode", "line", "code"), [("day", "02:00:5e:00:53:01", 3), ("consent", "02:00:5e:53:01", 4)])
def test_no_token_comes_out_where_none_may(tmp_path, monkeypatch, capsys, mode, line, code):
    monkeypatch.setattr(sys, "stdin", io.StringIO(line + "\n"))

    assert main(["visitor", "visit", "--mode", mode, "--key-file", str(tmp_path / "k")]) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert line not in said.err


def test_an_access_point_that_starts_gives_its_channel_to_the_report_and_ends_the_hopping(machine, kernel, tmp_path):
    """The plan is made anew after EBUSY, so the listening time is booked on the channel where the radio serves."""
    main(["apply", "--radio", "phy1"], machine)
    stay = tmp_path / "channel.json"
    told = []

    class Enough(Exception):
        pass

    def sleep(_seconds: float) -> None:
        told.append(json.loads(stay.read_text()))
        if len(told) == 1:
            kernel.vifs["wlan1"] = Vif("phy1", "AP", True, 5200)
        if len(told) == 3:
            raise Enough

    clock = iter(range(0, 1_000_000, 100))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("firmware_hooks.cli.time.sleep", sleep)
        patched.setattr("firmware_hooks.cli.time.monotonic", lambda: float(next(clock)))
        with pytest.raises(Enough):
            main(["hop", "--stay-file", str(stay), "--heard-file", str(tmp_path / "none")], machine)

    assert [(s["channel"], s["is_hopping"]) for s in told] == [(36, True), (None, False), (40, False)]
    assert "EBUSY" in told[1]["trouble"]
    assert told[2]["trouble"] == ""
