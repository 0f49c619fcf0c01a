"""Logging: nothing that names a phone, a network or a key gets through, however it is written."""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from support.frames import GLOBAL, LOCAL
from support.spellings import spellings

from agent.log import REFUSED, REFUSED_WORDS, is_fit, log, refuse_addresses

CHECKOUT = Path(__file__).parents[2]
EVENTS = yaml.safe_load((CHECKOUT / "docs" / "events.yaml").read_text())
LEVELS = ("debug", "info", "warning", "error")

addresses = st.binary(min_size=6, max_size=6)
around = st.sampled_from(
    [("", ""), ("from ", " again"), ("(", ")"), ("station=", ","), ("'", "'"), ("a\n", "\tb"), ("<", ">")]
)


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", spellings(LOCAL))
@given(address=addresses, wrapped=around)
def test_an_address_is_refused_in_every_spelling(spelling: str, address: bytes, wrapped: tuple[str, str]):
    before, after = wrapped
    text = before + spellings(address)[spelling] + after

    assert not is_fit(text), text


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(LOCAL, id="bytes"),
        pytest.param(bytearray(LOCAL), id="a bytearray"),
        pytest.param(memoryview(LOCAL), id="a memoryview"),
        pytest.param(["ok", LOCAL.hex(":")], id="in a list"),
        pytest.param(("ok", [LOCAL]), id="bytes in a list in a tuple"),
        pytest.param({LOCAL.hex("-")}, id="in a set"),
        pytest.param({"seen": {"last": LOCAL.hex()}}, id="in a map in a map"),
        pytest.param({LOCAL.hex(":"): 3}, id="as a map's key"),
        pytest.param({"details": {"ssid": "Cafe"}}, id="a network name in a map"),
        pytest.param(ValueError(f"no room for {LOCAL.hex(':')}"), id="in an exception's text"),
        pytest.param(ValueError("no room for", LOCAL), id="in an exception's arguments"),
        pytest.param(OSError(2, "No such file", f"state/{LOCAL.hex()}"), id="in the name of a missing file"),
        pytest.param(
            UnicodeDecodeError("utf-8", LOCAL + b"\xff", 6, 7, "invalid"), id="in an exception that keeps bytes"
        ),
        pytest.param(KeyError(LOCAL), id="a missing key"),
        pytest.param(object(), id="something that is no value"),
    ],
)
def test_an_address_is_refused_wherever_it_hides(value: object):
    event = refuse_addresses(None, "info", {"event": "track_lost", "detail": value, "tracks": 3})

    assert event == {"event": "track_lost", "detail": REFUSED, "tracks": 3}


@pytest.mark.parametrize(
    "name", [*sorted(REFUSED_WORDS), "site_key", "Client_MAC", "probe_ssid", "SSID", "one_time_token"]
)
def test_a_value_whose_name_says_what_it_is_is_refused_whatever_it_holds(name: str):
    assert refuse_addresses(None, "info", {name: "harmless"}) == {name: REFUSED}


def test_an_address_in_the_event_itself_is_refused():
    assert refuse_addresses(None, "info", {"event": f"lost {GLOBAL.hex(':')}"}) == {"event": REFUSED}


def test_a_traceback_is_never_written(capsys: pytest.CaptureFixture[str]):
    """It would print what its exceptions hold."""
    log.configure("info", "console")
    try:
        raise ValueError(LOCAL)
    except ValueError:
        log.error("worker_failed", exc_info=True, stack_info=True)

    err = capsys.readouterr().err
    assert "worker_failed" in err
    assert "Traceback" not in err and "ValueError" not in err


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        -67,
        0.5,
        "cloud http://127.0.0.1:8601 did not answer ([Errno 111] Connection refused)",
        "the cloud answered 503: the stream is full, come back at 2026-03-01T09:30:00.123456Z",
        "ap-7kq2m4xd",
        "boot 626f6f74626f6f74",
        "10.11.12.13:443",
        "0000000000000042-626f6f74626f6f74-0000000041.cose",
        "spool /var/lib/ivizone/spool: a batch cannot be written (No space left on device)",
        ["monitor", 6, None],
        {"key_epoch": 19675, "skipped": {"bad_fcs": 4}},
        ConnectionRefusedError(111, "Connection refused"),
    ],
    ids=str,
)
def test_what_an_operator_needs_is_written(value: object):
    assert is_fit(value)


# --- how it is written ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("least", LEVELS)
def test_the_level_decides(capsys: pytest.CaptureFixture[str], least: str):
    log.configure(least, "json")
    for level in LEVELS:
        getattr(log, level)(f"event_{level}", number=1)

    written = [json.loads(line)["level"] for line in capsys.readouterr().err.splitlines()]
    assert written == list(LEVELS[LEVELS.index(least) :])


def test_a_line_for_machines_is_one_json_object_on_stderr(capsys: pytest.CaptureFixture[str]):
    log.configure("info", "json")
    log.warning("upload_deferred", status=503, trouble=f"from {GLOBAL.hex(':')}\nand more")

    out, err = capsys.readouterr()
    line = json.loads(err)
    assert out == "" and err.count("\n") == 1
    assert {k: line[k] for k in ("event", "level", "status", "trouble")} == {
        "event": "upload_deferred",
        "level": "warning",
        "status": 503,
        "trouble": REFUSED,
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", line["timestamp"])


def test_a_line_for_people_holds_the_same(capsys: pytest.CaptureFixture[str]):
    log.configure("info", "console")
    log.error("spool_unwritable", trouble="No space left on device", waiting_batches=2)

    err = capsys.readouterr().err
    assert all(part in err for part in ("spool_unwritable", "error", "No space left on device", "waiting_batches=2"))
    assert "\x1b" not in err


def test_a_stderr_that_nobody_reads_does_not_stop_the_agent(monkeypatch: pytest.MonkeyPatch):
    class Gone:
        def write(self, _: str) -> int:
            raise BrokenPipeError(32, "Broken pipe")

        flush = None

    monkeypatch.setattr(sys, "stderr", Gone())
    log.configure("info", "console")

    log.error("spool_unwritable", trouble="x", waiting_batches=1)


# --- docs/events.yaml -----------------------------------------------------------------------------------------------


def calls(tree: str) -> Iterator[tuple[str, str, str]]:
    """Every log.<level>(<name>, ...) of a tree: (level, name, place); the name is empty where it is no literal."""
    for path in sorted((CHECKOUT / tree).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in (*LEVELS, "critical", "exception", "warn")
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "log"
            ):
                name = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else ""
                yield node.func.attr, name, f"{path.relative_to(CHECKOUT)}:{node.lineno}"


CALLS = [*calls("agent"), *calls("cloud")]


def test_every_event_of_the_code_is_listed_with_its_level():
    assert [
        f"{place}: {level} {name!r}" for level, name, place in CALLS if EVENTS.get(name, {}).get("level") != level
    ] == []


def test_every_listed_event_is_one_of_the_code():
    assert sorted(EVENTS) == sorted({name for _, name, _ in CALLS})


@pytest.mark.parametrize("name", EVENTS)
def test_a_listed_event_has_a_name_of_the_house_and_a_meaning(name: str):
    """Past-tense facts in snake_case, with a component prefix."""
    assert re.fullmatch(r"[a-z]+(_[a-z]+)+", name)
    assert sorted(EVENTS[name]) == ["level", "meaning"]
    assert re.fullmatch(r"[A-Z].{20,}\.", EVENTS[name]["meaning"])
