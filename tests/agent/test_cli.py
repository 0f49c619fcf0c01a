"""The commands as people and checks call them: results on stdout, everything else on stderr, and an exit code that says whose turn it is."""

from __future__ import annotations

import gzip
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.agent_state import SITE_KEY, enrolled
from support.frames import GLOBAL, LOCAL, T0_US, heard, local, pcap, pcapng, probe, radiotap, scans, with_fcs, write
from support.stand_in_cloud import Answer, stand_in_cloud

import agent.commands.replay
from agent import __version__
from agent.cli import main
from agent.config import load_config
from agent.privacy.ratchet import SiteKey
from agent.wire.codec import decode_batch
from agent.wire.cose import open_message
from agent.wire.limits import SPEC_VERSION

CHECKOUT = Path(__file__).parents[2]
BEACON = radiotap() + with_fcs(probe(first=0x80))
FRAMES = [
    (T0_US, heard(GLOBAL, rssi=-50)),
    (T0_US + 20_000, BEACON),
    (T0_US + 40_000, heard(GLOBAL, rssi=-50)),
    (T0_US + 60_000, heard(local(7), rssi=-85, mhz=2462)),
    (T0_US + 80_000, heard()[:-1] + b"\0"),
    (T0_US + 2_000_000, heard(GLOBAL, rssi=None)),
]
ROW_KEYS = [
    "capture", "frame", "time", "outcome", "reason", "device", "randomised", "rssi_dbm", "channel", "p_inside"
]  # fmt: skip


class Ran:
    """What a command said and how it ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The JSON objects, one a line."""
        return [json.loads(line) for line in self.out.splitlines() if line.startswith("{")]


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    """Run a command in this process, with a configuration whose files lie in a folder of their own."""
    nothing = tmp_path / "defaults.yaml"
    nothing.write_text(f"privacy: {{site_key_file: {tmp_path}/none}}\nagent: {{key_file: {tmp_path}/none}}\n")

    def run(command: str, *arguments: object, config: Path = nothing) -> Ran:
        try:
            code = main([command, *map(str, arguments), "--config", str(config)])
        except SystemExit as stopped:
            code = int(stopped.code or 0)
        return Ran(code, *capfd.readouterr())

    return run


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    return write(tmp_path / "air.pcap", pcap(FRAMES))


def process(*arguments: object, **options: Any) -> subprocess.Popen[bytes]:
    """A command as a process of its own."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-m", "agent", *map(str, arguments)], cwd=CHECKOUT, **(pipes | options))


# --- replay ---------------------------------------------------------------------------------------------------------


def test_replay_ends_with_one_json_object(cli: Any, capture: Path):
    """DESIGN section 5: these keys."""
    ran = cli("replay", capture, "--json")

    assert (ran.code, ran.err) == (0, "")
    summary = json.loads(ran.out.splitlines()[-1])
    assert list(summary) == [
        "frames",
        "probe_requests",
        "skipped",
        "devices",
        "sightings",
        "batches",
        "bytes",
        "seconds",
        "frames_per_second",
    ]
    assert list(summary["devices"]) == ["estimate", "low", "high", "confidence"]
    assert (summary["frames"], summary["probe_requests"]) == (6, 4)
    assert summary["skipped"] == {"bad_fcs": 1, "not_probe_request": 1}
    assert summary["devices"]["estimate"] == 2
    assert summary["devices"]["low"] <= 2 <= summary["devices"]["high"]
    assert (summary["sightings"], summary["batches"]) == (2, 1)
    assert 0 < summary["bytes"] < 500


def test_replay_for_people_says_the_same(cli: Any, capture: Path):
    out = cli("replay", capture).out

    for line in (
        "frames            6",
        "probe requests  4",
        "skipped         1  bad_fcs",
        "devices           2 (",
        "batches           1",
    ):
        assert line in out


def test_replay_sends_to_a_cloud_and_a_second_time_sends_the_same(cli: Any, capture: Path, tmp_path: Path):
    """So that the cloud can tell that it has them: nothing is counted twice."""
    with stand_in_cloud() as cloud:
        config = enrolled(tmp_path / "state")
        assert cli("replay", capture, "--cloud", cloud.url, "--json", config=config).code == 0
        assert cli("replay", capture, "--cloud", cloud.url, config=config).code == 0

    first, second = cloud.bodies
    assert first == second
    batch = decode_batch(open_message(first).payload)
    assert (batch.header.agent, batch.header.site, batch.header.mode.name) == ("ap-test", "shop", "DAY")
    assert list((tmp_path / "state" / "spool").glob("*.cose")) == []


def test_replay_without_the_cloud_leaves_the_batches_in_the_spool_and_says_what_to_do(
    cli: Any, capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(agent.commands.replay, "DRAIN_S", 0.1)
    ran = cli("replay", capture, "--cloud", "http://127.0.0.1:9", "--json", config=enrolled(tmp_path / "state"))

    assert ran.code == 5
    assert ran.rows[-1]["batches"] == 1
    last = ran.err.splitlines()[-1]
    assert last.startswith(
        f"ivizone-agent: 1 batches wait in the spool {tmp_path}/state/spool: cloud http://127.0.0.1:9 did not answer"
    )
    assert last.endswith("run the same replay again when the cloud is back, nothing is counted twice")


@pytest.mark.parametrize("speed", ["realtime", "20"])
def test_replay_at_a_speed_gives_the_same_figures(cli: Any, tmp_path: Path, speed: str):
    capture = write(tmp_path / "short.pcap", pcap([*scans(LOCAL, T0_US, 1), (T0_US + 700_000, heard(GLOBAL))]))

    fast, paced = (cli("replay", capture, "--json", "--speed", s).rows[-1] for s in ("max", speed))

    same = ("frames", "probe_requests", "devices", "sightings", "batches")
    assert {key: paced[key] for key in same} == {key: fast[key] for key in same}
    assert paced["seconds"] >= 0.03


# --- explain --------------------------------------------------------------------------------------------------------


def test_explain_says_of_every_frame_in_order_what_became_of_it(cli: Any, capture: Path):
    ran = cli("explain", capture, "--format", "ndjson")

    assert (ran.code, len(ran.rows)) == (0, len(FRAMES))
    assert all(list(row) == ROW_KEYS for row in ran.rows)
    assert [row["frame"] for row in ran.rows] == list(range(6))
    assert [row["time"] for row in ran.rows] == pytest.approx([t / 1e6 for t, _ in FRAMES], abs=1e-6)
    assert [row["outcome"] for row in ran.rows] == [
        "probe_request",
        "skipped",
        "probe_request",
        "probe_request",
        "skipped",
        "probe_request",
    ]
    assert [row["reason"] for row in ran.rows] == [None, "not_probe_request", None, None, "bad_fcs", None]
    probes = [row for row in ran.rows if row["outcome"] == "probe_request"]
    assert [row["rssi_dbm"] for row in probes] == [-50, -50, -85, None]
    assert [row["channel"] for row in probes] == [6, 6, 11, 6]
    assert [row["randomised"] for row in probes] == [False, False, True, False]
    near, again, far, silent = probes
    assert near["device"] == again["device"] == silent["device"] != far["device"]
    assert near["p_inside"] > 0.9 > 0.1 > far["p_inside"]
    assert silent["p_inside"] is None
    for row in (ran.rows[1], ran.rows[4]):
        assert all(row[key] is None for key in ("device", "randomised", "rssi_dbm", "channel", "p_inside"))


def test_several_captures_are_one_air_and_are_explained_one_by_one(cli: Any, tmp_path: Path):
    """One phone in three captures, given in any order: each row has its capture and its own frame number."""
    air = scans(GLOBAL, T0_US, 3, every_s=30)
    paths = [
        write(tmp_path / f"{n}.pcap", pcap(part))
        for n, part in enumerate((air[8:], air[:4], [*air[4:8], (air[8][0], BEACON)]))
    ]

    rows = cli("explain", *paths, "--format", "ndjson").rows

    assert [(row["capture"], row["frame"]) for row in rows] == [
        *((0, n) for n in range(4)),
        *((1, n) for n in range(4)),
        *((2, n) for n in range(5)),
    ]
    assert {row["device"] for row in rows if row["outcome"] == "probe_request"} == {rows[0]["device"]}
    assert rows[-1]["reason"] == "not_probe_request"


def test_explain_for_people_is_one_line_a_frame(cli: Any, capture: Path):
    lines = cli("explain", capture).out.splitlines()

    assert len(lines) == 6
    assert "skipped  not_probe_request" in lines[1]
    assert "global" in lines[0] and "-50 dBm" in lines[0] and "channel 6" in lines[0]
    assert "? dBm" in lines[5] and "p_inside ?" in lines[5]


def test_a_device_is_an_opaque_name(cli: Any, capture: Path):
    out = cli("explain", capture, "--format", "ndjson").out.lower()

    assert GLOBAL.hex() not in out.replace(":", "")
    assert local(7).hex() not in out.replace(":", "")


# --- count ----------------------------------------------------------------------------------------------------------


def test_count_says_how_many_devices(cli: Any, capture: Path):
    ran = cli("count", capture, "--json")

    (summary,) = ran.rows
    assert ran.code == 0
    assert list(summary) == ["devices", "low", "high", "confidence", "frames", "probe_requests", "seconds"]
    assert (summary["devices"], summary["frames"], summary["probe_requests"]) == (2, 6, 4)
    assert summary["low"] <= 2 <= summary["high"]
    assert 0 <= summary["confidence"] <= 1


def test_count_for_people(cli: Any, capture: Path):
    assert "2 devices (" in cli("count", capture).out


@pytest.mark.parametrize(("order", "times"), [(1, None), (-1, 3)])
def test_frames_out_of_order_are_said(cli: Any, tmp_path: Path, order: int, times: int | None):
    """A clock that is set is one step back; a capture that lies backwards is many, and counted wrongly."""
    air = [(T0_US + minute * 120_000_000, heard(LOCAL)) for minute in range(4)][::order]
    ran = cli("count", write(tmp_path / "air.pcap", pcap(air)))

    assert ran.code == 0
    assert (f"went back by more than a minute {times} times" in ran.err) if times else ran.err == ""


def test_a_capture_without_frames_holds_no_device(cli: Any, tmp_path: Path):
    empty = write(tmp_path / "quiet.pcap", pcap([]))

    assert cli("count", empty, "--json").rows[0]["devices"] == 0
    assert cli("replay", empty, "--json").rows[0]["batches"] == 0
    assert cli("explain", empty).out == ""


def test_standard_input_is_a_capture():
    with process("count", "-", "--json", stdin=subprocess.PIPE) as command:
        out, err = command.communicate(gzip.compress(pcapng(FRAMES)), timeout=60)

    assert (command.returncode, err) == (0, b"")
    assert json.loads(out)["frames"] == 6


# --- captures that are none -----------------------------------------------------------------------------------------


def truncated(folder: Path) -> Path:
    return write(folder / "cut.pcap", pcap(FRAMES)[:-5])


def broken_gzip(folder: Path) -> Path:
    path = write(folder / "cut.pcap.gz", pcap(FRAMES * 200), zipped=True)
    path.write_bytes(path.read_bytes()[:-30])
    return path


@pytest.mark.parametrize("command", ["replay", "count", "explain"])
@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param(
            lambda f: f / "absent.pcap", "absent.pcap: cannot be read (No such file or directory)", id="missing"
        ),
        pytest.param(lambda f: f, "cannot be read (Is a directory)", id="a folder"),
        pytest.param(lambda f: write(f / "x", b""), "is empty (0 bytes)", id="an empty file"),
        pytest.param(lambda f: write(f / "x", b"hello, this is text"), "is no capture", id="text"),
        pytest.param(lambda f: write(f / "x", pcap(FRAMES)[:10]), "ends inside the file header", id="half a header"),
        pytest.param(
            lambda f: write(f / "x", pcap(FRAMES, link_type=1)), "link type 1 holds no 802.11 frames", id="Ethernet"
        ),
        pytest.param(
            lambda f: write(f / "x", pcapng(FRAMES, link_type=1)),
            "link type 1 holds no 802.11 frames",
            id="Ethernet in pcapng",
        ),
        pytest.param(lambda f: write(f / "x", b"\x1f\x8b\x08broken"), "is no capture", id="gzip that is none"),
    ],
)
def test_a_capture_that_cannot_be_used_is_one_clear_line_and_exit_4(
    cli: Any, tmp_path: Path, command: str, make: Any, words: str
):
    ran = cli(command, make(tmp_path))

    assert (ran.code, ran.out) == (4, "")
    assert ran.err.startswith("ivizone-agent: ") and words in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(("make", "frames"), [(truncated, 5), (broken_gzip, None)], ids=["truncated", "gzip cut short"])
def test_of_a_capture_that_breaks_off_all_whole_frames_are_used(
    cli: Any, tmp_path: Path, make: Any, frames: int | None
):
    """One line says where it broke, and the exit code that the figures are not of a whole capture."""
    path = make(tmp_path)

    replay, count, explain = (
        cli("replay", path, "--json"),
        cli("count", path, "--json"),
        cli("explain", path, "--format", "ndjson"),
    )

    seen = replay.rows[-1]["frames"]
    assert seen == (frames or seen) > 0
    assert count.rows[-1]["frames"] == len(explain.rows) == seen
    for ran in (replay, count, explain):
        assert ran.code == 4
        assert f"ivizone-agent: {path}: breaks off at byte" in ran.err and ran.err.count("\n") == 1


def test_one_broken_capture_of_several_does_not_spoil_the_others(cli: Any, tmp_path: Path, capture: Path):
    ran = cli("count", capture, truncated(tmp_path), "--json")

    assert (ran.code, ran.rows[0]["frames"]) == (4, 11)


# --- usage and configuration ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["replay"], "CAPTURE", id="no capture"),
        pytest.param(["count"], "CAPTURE", id="no capture to count"),
        pytest.param(["conut", "x.pcap"], "invalid choice: 'conut'", id="no such command"),
        pytest.param(
            ["replay", "x.pcap", "--speed", "fast"],
            "'fast' is no speed; use max, realtime or a number above 0",
            id="no speed",
        ),
        pytest.param(["replay", "x.pcap", "--speed", "-1"], "'-1' is no speed", id="backwards"),
        pytest.param(["replay", "x.pcap", "--speed", "nan"], "'nan' is no speed", id="not a number"),
        pytest.param(["explain", "x.pcap", "--format", "xml"], "invalid choice: 'xml'", id="no such format"),
        pytest.param(["enrol", "https://cloud.example"], "--token", id="no token"),
        pytest.param(["spool", "show"], "needs the number of a batch", id="show what"),
        pytest.param(["spool", "export"], "needs a directory", id="export where"),
        pytest.param(["spool", "show", "7"], "no batch 7 waits", id="no such batch"),
    ],
)
def test_a_wrong_call_is_exit_2_and_says_what_is_allowed(cli: Any, tmp_path: Path, arguments: list[str], words: str):
    ran = cli(*arguments, config=enrolled(tmp_path / "state"))

    assert (ran.code, ran.out) == (2, "")
    assert words in ran.err and "Traceback" not in ran.err


@pytest.mark.parametrize("arguments", [["run"], ["replay", "CAPTURE", "--cloud", "http://127.0.0.1:9"]])
def test_what_sends_needs_an_enrolled_agent(cli: Any, capture: Path, arguments: list[str]):
    ran = cli(*[capture if a == "CAPTURE" else a for a in arguments])

    assert (ran.code, ran.out) == (3, "")
    assert ran.err == (
        "ivizone-agent: this agent is not enrolled; run: ivizone-agent enrol URL --token T "
        "(the token comes from: ivizone-cloud agent token --site SITE)\n"
    )


@pytest.mark.parametrize(
    ("sections", "code", "words"),
    [
        pytest.param(
            {"source": {"name": "telepathy"}}, 4, "source 'telepathy' does not exist; there are", id="no such source"
        ),
        pytest.param({"source": {"name": "pcap", "paths": []}}, 4, "no capture was given", id="nothing to play"),
        pytest.param({"agent": {"key_file": "/nonexistent/key"}}, 3, "agent.key_file /nonexistent/key", id="no key"),
        pytest.param({"cloud": {"url": "http://cloud.example"}}, 5, "is not encrypted", id="a cloud in the clear"),
        pytest.param(
            {"spool": {"directory": "/dev/null/spool"}}, 5, "a batch cannot be opened", id="no room for a spool"
        ),
    ],
)
def test_run_says_what_keeps_it_from_running(
    cli: Any, capture: Path, tmp_path: Path, sections: dict[str, Any], code: int, words: str
):
    sections = {"source": {"name": "pcap", "paths": [str(capture)]}, **sections}
    ran = cli("run", config=enrolled(tmp_path / "state", url="http://127.0.0.1:9", **sections))

    assert ran.code == code
    assert words in ran.err.splitlines()[-1] and "Traceback" not in ran.err


def test_version_names_the_program_and_the_wire(capsys: pytest.CaptureFixture[str]):
    assert main(["version"]) == 0
    assert capsys.readouterr().out == f"ivizone-agent {__version__} (wire {SPEC_VERSION})\n"


# --- the spool ------------------------------------------------------------------------------------------------------


@pytest.fixture
def spooled(cli: Any, capture: Path, tmp_path: Path) -> Path:
    """The configuration of an agent whose spool holds three batches."""
    config = enrolled(tmp_path / "state", batch={"replay_max_age_s": 30, "window_s": 30})
    write(capture, pcap(scans(GLOBAL, T0_US, 3, every_s=40)))
    with stand_in_cloud(Answer(401)) as cloud:
        assert cli("replay", capture, "--cloud", cloud.url, config=config).code == 5
    return config


def test_spool_ls_lists_what_waits(cli: Any, spooled: Path):
    machine, people = cli("spool", "ls", "--json", config=spooled), cli("spool", "ls", config=spooled)

    assert [list(row) for row in machine.rows] == [["number", "boot", "batch", "bytes"]] * 3
    assert [(row["number"], row["batch"]) for row in machine.rows] == [(0, 0), (1, 1), (2, 2)]
    assert people.out.splitlines()[-1].startswith("3 batches wait, ")
    assert machine.rows[0]["boot"] in people.out


def test_spool_show_prints_a_batch(cli: Any, spooled: Path):
    ran = cli("spool", "show", "0001", config=spooled)

    batch = json.loads(ran.out)
    assert ran.code == 0
    assert (batch["header"]["batch"], batch["header"]["mode"], batch["header"]["clock"]) == (1, "day", "replay")
    assert batch["sightings"][0]["address_kind"] == "global"
    assert GLOBAL.hex() not in ran.out


def test_spool_export_copies_what_waits_and_takes_nothing_away(cli: Any, spooled: Path, tmp_path: Path):
    ran = cli("spool", "export", tmp_path / "out" / "here", config=spooled)

    copies = sorted((tmp_path / "out" / "here").iterdir())
    kept = sorted((tmp_path / "state" / "spool").glob("*.cose"))
    assert ran.out.startswith("3 batches copied")
    assert [p.read_bytes() for p in copies] == [p.read_bytes() for p in kept] and len(copies) == 3


def test_spool_export_to_a_place_that_is_none_is_exit_4(cli: Any, spooled: Path, tmp_path: Path):
    ran = cli("spool", "export", tmp_path / "defaults.yaml" / "x", config=spooled)

    assert ran.code == 4
    assert "cannot be written" in ran.err


# --- the site key ---------------------------------------------------------------------------------------------------


def test_a_site_key_is_made_shown_and_taken_over(cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    one, other = tmp_path / "one.yaml", tmp_path / "other.yaml"
    one.write_text(f"privacy: {{site_key_file: {tmp_path}/a/site.key}}")
    other.write_text(f"privacy: {{site_key_file: {tmp_path}/b/site.key}}")
    made = cli("site-key", "new", config=one)
    text = cli("site-key", "export", config=one).out
    with open(write(tmp_path / "text", text.encode())) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        taken = cli("site-key", "import", config=other)

    assert (made.code, taken.code) == (0, 0)
    assert made.out == f"site key written to {tmp_path}/a/site.key\n"
    assert (tmp_path / "a" / "site.key").read_text() == (tmp_path / "b" / "site.key").read_text() == text
    assert (tmp_path / "b" / "site.key").stat().st_mode & 0o777 == 0o600
    assert SiteKey.from_text(text).day in (time.time() // 86_400 - 1, time.time() // 86_400 - 2)


@pytest.mark.parametrize("action", ["new", "import"])
def test_a_site_key_that_is_there_is_not_replaced(cli: Any, tmp_path: Path, action: str):
    config = enrolled(tmp_path / "state")
    ran = cli("site-key", action, config=config)

    assert ran.code == 3
    assert "holds a site key; remove it first" in ran.err
    assert SiteKey.from_text(Path(load_config(config).privacy.site_key_file).read_text()) == SITE_KEY


def test_a_site_key_that_was_mistyped_is_refused(cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    wrong = SITE_KEY.to_text()[:-1] + ("A" if SITE_KEY.to_text()[-1] != "A" else "B")
    with open(write(tmp_path / "text", wrong.encode())) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        ran = cli("site-key", "import")

    assert ran.code == 3
    assert "check sum" in ran.err and wrong[-20:] not in ran.err


def test_no_site_key_says_how_to_make_one(cli: Any):
    ran = cli("site-key", "export")

    assert ran.code == 3
    assert "make one with: ivizone-agent site-key new" in ran.err


# --- processes ------------------------------------------------------------------------------------------------------


def test_run_plays_a_capture_to_its_end_and_leaves_nothing(cli: Any, capture: Path, tmp_path: Path):
    with stand_in_cloud() as cloud:
        config = enrolled(tmp_path / "state", cloud.url, source={"name": "pcap", "paths": [str(capture)], "speed": 0})
        ran = cli("run", config=config)

    assert (ran.code, ran.out) == (0, "")
    assert "agent_started" in ran.err and "waiting_batches=0" in ran.err
    assert sum(decode_batch(open_message(body).payload).ledger.frames for body in cloud.bodies) == 6


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
def test_a_signal_closes_the_batch_sends_it_and_ends_with_0(tmp_path: Path, number: int):
    """An hour of capture in real time is stopped as soon as it has begun; what was heard reaches the cloud."""
    capture = write(tmp_path / "long.pcap", pcap([*FRAMES[:4], (T0_US + 3_600_000_000, heard())]))
    with stand_in_cloud() as cloud:
        config = enrolled(
            tmp_path / "state",
            cloud.url,
            source={"name": "pcap", "paths": [str(capture)], "speed": 1.0},
            log={"format": "json"},
        )
        with process("run", "--config", config) as command:
            assert command.stderr is not None
            assert b"agent_started" in command.stderr.readline()
            time.sleep(0.7)
            command.send_signal(number)
            started = time.monotonic()
            out, err = command.communicate(timeout=60)

    assert (command.returncode, out) == (0, b"")
    assert time.monotonic() - started < 20
    assert json.loads(err.splitlines()[-1])["event"] == "agent_stopped"
    ledgers = [decode_batch(open_message(body).payload).ledger for body in cloud.bodies]
    assert sum(ledger.probe_requests for ledger in ledgers) == 3


def test_whoever_has_read_enough_may_hang_up(tmp_path: Path):
    """As `head` does: no traceback, and no failure."""
    capture = write(tmp_path / "long.pcap", pcap(scans(LOCAL, T0_US, 500)))
    with process("explain", capture, "--format", "ndjson") as command:
        assert command.stdout is not None and command.stderr is not None
        assert json.loads(command.stdout.readline())["frame"] == 0
        command.stdout.close()
        err = command.stderr.read()
        command.wait(timeout=60)

    assert (command.returncode, err) == (0, b"")


def test_python_m_agent_is_the_command():
    with process("version") as command:
        out, _ = command.communicate(timeout=60)

    assert out.decode().startswith("ivizone-agent ")
