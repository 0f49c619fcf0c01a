"""What a running agent asks of the cloud beside sending, and the command that does one of it at once; over HTTP, with the real cloud."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from support.agent_state import enrolled
from support.clouds import Clock, Cloud, served

from agent import cli, compose
from agent.config import Config, load_config
from agent.own_key import load_key, load_or_make_key
from agent.upload.errands import Errand, Errands
from agent.upload.errors import UploadDeferred
from agent.wire.model import ClockState
from agent.wire.receipts import verify_chain
from cloud.fleet.opt_outs import OptOuts
from cloud.signatures import is_signature

ADDRESS = bytes.fromhex("00005e005301")


@pytest.fixture
def place(tmp_path: Path):
    cloud = Cloud(tmp_path / "cloud", clock=Clock(int(time.time() * 1000)))
    with served(cloud.embedded.app(works=False)) as http:
        path = enrolled(tmp_path / "agent", str(http.base_url).rstrip("/"), agent={"id": "ap-run"})
        key = load_or_make_key(tmp_path / "agent" / "agent.key")
        cloud.add_agent("ap-run", key.public_key().public_bytes_raw())
        yield cloud, path
    cloud.close()


def pipeline(config: Config):
    clock = compose.wall_clock(config)
    clock.state = ClockState.SYNCED
    return compose.live_pipeline(config, clock)


def test_a_running_agent_fetches_the_opt_outs_of_its_store_and_has_them_after_a_restart(place):
    cloud, path = place
    config = load_config(path)
    made = pipeline(config)
    errands = compose.errands(config, made)
    errands.turn(0.0)
    assert made.opt_outs is None, "nobody has opted out"

    OptOuts(cloud.embedded.database, cloud.clock).add("shop", ADDRESS)
    errands.turn(1.0)
    assert made.opt_outs is None, "not due yet"
    errands.turn(compose.OPT_OUTS_EVERY_S)
    assert ADDRESS in made.opt_outs

    again = pipeline(config)
    compose.errands(config, again)
    assert ADDRESS in again.opt_outs, "before the first frame, without asking anybody"


def test_a_damaged_file_of_opt_outs_is_fetched_anew(place):
    cloud, path = place
    config = load_config(path)
    OptOuts(cloud.embedded.database, cloud.clock).add("shop", ADDRESS)
    (path.parent / "opt-outs").write_bytes(b"damage")
    made = pipeline(config)
    errands = compose.errands(config, made)
    assert made.opt_outs is None
    errands.turn(0.0)
    assert ADDRESS in made.opt_outs


def test_a_key_that_is_a_year_old_is_changed_by_the_agent_itself(place, monkeypatch):
    cloud, path = place
    monkeypatch.setattr("agent.upload.rekey.SETTLE_S", 0.0)
    config = load_config(path)
    key_file = path.parent / "agent.key"
    before = load_key(key_file).public_key().public_bytes_raw()
    compose.errands(config, pipeline(config)).turn(0.0)
    assert load_key(key_file).public_key().public_bytes_raw() == before, "young"

    os.utime(key_file, (0, time.time() - 366 * 86_400))
    compose.errands(config, pipeline(config)).turn(0.0)

    after = load_key(key_file).public_key().public_bytes_raw()
    record = cloud.embedded.fleet.agent("ap-run")
    assert (record.public_key, record.former_key) == (after, before) != (before, after)


def test_the_command_changes_the_key_and_prints_the_receipts(place, monkeypatch, capsys):
    cloud, path = place
    monkeypatch.setattr("agent.upload.rekey.SETTLE_S", 0.0)
    before = cloud.embedded.fleet.agent("ap-run").public_key

    assert cli.main(["enrol", "--rotate", "--config", str(path)]) == 0
    assert cloud.embedded.fleet.agent("ap-run").public_key != before
    assert cli.main(["enrol", "--rotate", "--config", str(path)]) == 5, "again within seven days"
    said = capsys.readouterr()
    assert "signs with a new key" in said.out and "409" in said.err
    assert cli.main(["receipts", "--config", str(path)]) == 0
    chain = verify_chain(capsys.readouterr().out.splitlines(), is_signature)
    assert [receipt["what"] for receipt in chain] == ["key_changed"] and chain[0]["by"] == "ap-run"


def test_enrolling_wants_an_address_and_a_token_or_a_change_of_key(place, capsys):
    _, path = place
    with pytest.raises(SystemExit) as ended:
        cli.main(["enrol", "https://cloud.example", "--config", str(path)])
    assert ended.value.code == 2
    assert cli.main(["enrol", "--token", "t", "--config", str(path)]) == 3
    assert "enrol needs the cloud's address" in capsys.readouterr().err


def test_a_day_that_is_over_leaves_a_receipt_of_its_erased_key(place):
    _, path = place
    config = load_config(path)
    made = pipeline(config)
    today = int(time.time() // 86_400)
    made._pseudonymiser_for(today - 1)
    made._pseudonymiser_for(today)
    made._pseudonymiser_for(today)

    chain = verify_chain(compose.receipts(config).text().splitlines(), is_signature)
    assert [receipt["what"] for receipt in chain] == ["keys_erased"] * 2
    last = chain[-1]["about"]
    assert (last["site"], last["first_day"]) == ("shop", last["last_day"])


def test_an_errand_that_fails_is_tried_again_and_holds_up_no_other():
    done: list[str] = []

    def fails() -> None:
        done.append("fails")
        raise UploadDeferred("away")

    errands = Errands([Errand("a", 10.0, fails), Errand("b", 10.0, lambda: done.append("b"))], threading.Event())
    errands.turn(0.0)
    errands.turn(5.0)
    errands.turn(10.0)
    assert done == ["fails", "b"] * 2
    errands.stop()
    errands.turn(20.0)
    assert len(done) == 4


def test_a_half_written_receipt_is_written_over(place):
    _, path = place
    kept = compose.receipts(load_config(path))
    kept.add("keys_erased", {"n": 1})
    whole = kept.path.read_bytes()
    kept.add("keys_erased", {"n": 2})
    kept.path.write_bytes(whole + kept.path.read_bytes()[len(whole) :][:50])  # the power failed

    kept.add("keys_erased", {"n": 3})

    chain = verify_chain(kept.text().splitlines(), is_signature)
    assert [receipt["about"]["n"] for receipt in chain] == [1, 3]
