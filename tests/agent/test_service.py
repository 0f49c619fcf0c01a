"""The agent as a service: what signals do, what the files say, what the supervisor hears."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from support.frames import heard, local
from support.live import ScriptedSource

from agent.compose import SiteKeyFile
from agent.config import Config, ConfigError
from agent.dot11.captured import CapturedFrame, Tick
from agent.privacy.ratchet import SiteKey
from agent.sdnotify import notify
from agent.service import Service
from agent.sources import SOURCES
from agent.spool import Spool
from agent.wire.codec import decode_batch
from agent.wire.cose import open_message
from agent.wire.model import Batch, ClockState

NOW_US = time.time_ns() // 1000


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """An enrolled agent whose cloud is away, listening to a script."""
    monkeypatch.setitem(SOURCES, "scripted", "support.live:ScriptedSource")
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "agent.key").write_bytes(key)
    SiteKeyFile(tmp_path / "site.key").save(SiteKey(NOW_US // 86_400_000_000 - 1, bytes(32)))
    usual = Config()
    return replace(
        usual,
        agent=replace(usual.agent, id="ap-test", site="shop", key_file=str(tmp_path / "agent.key")),
        source=replace(usual.source, name="scripted"),
        cloud=replace(usual.cloud, url="http://127.0.0.1:9"),
        privacy=replace(usual.privacy, site_key_file=str(tmp_path / "site.key")),
        spool=replace(usual.spool, directory=str(tmp_path / "spool")),
        state=replace(
            usual.state,
            status_file=str(tmp_path / "status.json"),
            metrics_file=str(tmp_path / "agent.prom"),
            heard_file=str(tmp_path / "heard.json"),
        ),
    )


def signals(**given: bool) -> SimpleNamespace:
    return SimpleNamespace(**{"stop": False, "reload": False, "tell": False, **given})


def service(read_config: Callable[[], Config], asked: SimpleNamespace) -> Service:
    """Does not wait for the cloud, which is away."""
    return Service(read_config, asked, drain_s=0.05)


def frame(number: int, at_s: float) -> CapturedFrame:
    return CapturedFrame(heard(local(number)), NOW_US + int(at_s * 1e6), 127, 0, False)


def tick(at_s: float) -> Tick:
    return Tick(NOW_US + int(at_s * 1e6), ((6, 1000),))


def batches(config: Config) -> list[Batch]:
    spool = Spool(Path(config.spool.directory), 10**6)
    return [decode_batch(open_message(spool.read(entry)).payload) for entry in spool.entries()]


def test_a_stop_closes_the_batch_and_keeps_it(config: Config):
    asked = signals()
    ScriptedSource.script = [frame(1, 0), tick(1), lambda: setattr(asked, "stop", True), tick(2), frame(2, 3)]

    outcome = service(lambda: config, asked).run()

    assert outcome.totals.probe_requests == 1
    assert [batch.ledger.probe_requests for batch in batches(config)] == [1]
    assert batches(config)[0].ledger.listening_ms == {6: 2000}


def test_a_reload_ends_the_run_and_begins_another(config: Config):
    asked = signals()
    slower = replace(config, batch=replace(config.batch, window_s=60))
    configs = [config, slower]
    ScriptedSource.script = [frame(1, 0), lambda: setattr(asked, "reload", True), tick(1), frame(2, 2), tick(3)]

    service(lambda: configs.pop(0), asked).run()

    first, second = batches(config)
    assert (first.ledger.frames, second.ledger.frames) == (1, 1)
    assert first.header.boot != second.header.boot
    assert first.header.config_hash != second.header.config_hash


@pytest.mark.parametrize("part", ["source", "keys"])
def test_a_reload_to_what_cannot_be_had_is_said_and_the_agent_goes_on_as_before(config: Config, part: str, capsys):
    """An interface that is not there, or a key: found when the new parts are made, after the old ones were let go."""
    asked, ScriptedSource.open_now = signals(), 0
    changed = {
        "source": replace(config, source=replace(config.source, name="monitor", interface="")),
        "keys": replace(config, agent=replace(config.agent, key_file=f"{config.agent.key_file}.gone")),
    }[part]
    configs = [config, changed]
    ScriptedSource.script = [frame(1, 0), lambda: setattr(asked, "reload", True), tick(1), frame(2, 2), tick(3)]

    service(lambda: configs.pop(0), asked).run()

    first, second = batches(config)
    assert (first.ledger.frames, second.ledger.frames) == (1, 1)
    assert first.header.config_hash == second.header.config_hash
    said = capsys.readouterr().err
    assert said.count("config_refused") == 1 and "config_reloaded" not in said
    assert ScriptedSource.open_now == 0, "also the source that was opened for nothing"


def test_a_wrong_configuration_is_said_and_the_old_one_stays(config: Config, capsys: pytest.CaptureFixture[str]):
    asked = signals()
    calls = iter([config])

    def read() -> Config:
        for given in calls:
            return given
        raise ConfigError("agent.yaml: batch.window_s is 0; use a whole number from 5 to 300")

    ScriptedSource.script = [frame(1, 0), lambda: setattr(asked, "reload", True), tick(1), frame(2, 2), tick(3)]
    outcome = service(read, asked).run()

    assert outcome.totals.probe_requests == 2
    assert "batch.window_s is 0" in capsys.readouterr().err


def test_the_state_is_told_on_request_and_written(config: Config, capsys: pytest.CaptureFixture[str]):
    asked = signals(tell=True)
    ScriptedSource.script = [frame(1, 0), CapturedFrame(b"", NOW_US, 127, 0, False), tick(1)]

    service(lambda: config, asked).run()

    told = json.loads(capsys.readouterr().err.split("\n{", 1)[1].join(["{", ""]).rsplit("}\n", 1)[0] + "}")
    written = json.loads(Path(config.state.status_file).read_text())
    for state in (told, written):
        assert (state["frames"], state["probe_requests"], state["skipped"]) == (2, 1, {"empty_frame": 1})
        assert state["source"] == {"name": "scripted", "interface": "mon-test"}
        assert state["clock"] == "synced"
    assert written["waiting_batches"] == 1
    assert json.loads(Path(config.state.heard_file).read_text()) == {"6": 1}


def test_a_source_without_ticks_is_answered_all_the_same(
    config: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """A capture at its own pace with a frame in every half second yields no tick: USR1 and HUP went unheard, and systemd's watchdog would have killed it."""
    monkeypatch.setattr("agent.service.LOOK_EVERY_S", 0.0)
    ScriptedSource.script = [frame(1, 0), frame(2, 0.2)]
    asked = signals(tell=True)

    service(lambda: config, asked).run()

    assert not asked.tell
    assert '"agent": "ap-test"' in capsys.readouterr().err


def test_metrics_are_openmetrics(config: Config):
    """Read by Prometheus' own parser of the format."""
    ScriptedSource.script = [frame(1, 0), CapturedFrame(b"", NOW_US, 127, 0, False), tick(1)]

    service(lambda: config, signals()).run()

    families = {f.name: f for f in text_string_to_metric_families(Path(config.state.metrics_file).read_text())}
    assert families["ivizone_agent_frames"].samples[0].value == 2
    assert families["ivizone_agent_skipped"].samples[0].labels["reason"] == "empty_frame"
    assert families["ivizone_agent"].samples[0].labels["mode"] == "day"


def test_a_state_that_cannot_be_written_does_not_stop_the_agent(config: Config, capsys: pytest.CaptureFixture[str]):
    broken = replace(config, state=replace(config.state, status_file=str(Path(config.agent.key_file) / "status.json")))
    ScriptedSource.script = [frame(1, 0), tick(1), tick(12), tick(24)]

    outcome = service(lambda: broken, signals()).run()

    assert outcome.totals.frames == 1
    assert capsys.readouterr().err.count("state_unwritable") == 1


def test_an_agent_whose_clock_was_never_set_keeps_the_site_key_where_it_is(config: Config, tmp_path: Path):
    """A step of the ratchet cannot be taken back, and a clock of 1970 asks for a key that is erased."""
    unset = replace(config, clock=replace(config.clock, synced_file=str(tmp_path / "synced"), wait_s=0))
    before = (tmp_path / "site.key").read_text()
    ScriptedSource.script = [CapturedFrame(heard(local(1)), 1_000_000, 127, 0, False), Tick(2_000_000)]

    service(lambda: unset, signals()).run()

    assert [batch.header.clock for batch in batches(config)] == [ClockState.UNSYNCED]
    assert len(batches(config)[0].sightings) == 1
    assert (tmp_path / "site.key").read_text() == before


def test_a_stop_is_answered_while_frames_wait_for_the_clock(config: Config, tmp_path: Path):
    asked = signals()
    unset = replace(config, clock=replace(config.clock, synced_file=str(tmp_path / "synced"), wait_s=600))
    ScriptedSource.script = [frame(1, 0), tick(1), lambda: setattr(asked, "stop", True), tick(2), tick(3)]

    service(lambda: unset, asked).run()

    assert [batch.ledger.frames for batch in batches(config)] == [1]
    assert len(ScriptedSource.script) == 1


def test_the_supervisor_hears_that_the_agent_is_ready_and_alive(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(tmp_path / "notify"))
        supervisor.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        ScriptedSource.script = [frame(1, 0), tick(1)]
        service(lambda: config, signals()).run()

        told = [supervisor.recv(100) for _ in range(4)]

        assert told == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1", b"STOPPING=1"], "the second with the last tick"


@pytest.mark.parametrize("address", ["", "nonsense", "/nowhere/notify"])
def test_without_a_supervisor_nothing_happens(address: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert notify("READY=1") is False
