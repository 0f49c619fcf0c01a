"""What an operator and an auditor type, and what they are told."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support.clouds import DATE, HOUR_MS, NOON_MS, Cloud, busy_hour, heard

from agent.wire.receipts import Head, make_receipt
from cloud.cli import main

ERASED_MS = NOON_MS + 36 * HOUR_MS


@pytest.fixture
def data(tmp_path):
    """A data folder whose one day was heard and erased."""
    cloud = Cloud(tmp_path, allows_replay=False)
    cloud.take(heard(0, *busy_hour()))
    cloud.clock.ms = ERASED_MS
    cloud.embedded.work()
    cloud.close()
    return tmp_path


def run(data, *words: str) -> int:
    return main([*words, "--data", str(data)])


def exported(data, capsys) -> list[str]:
    capsys.readouterr()
    assert run(data, "receipts", "export") == 0
    return capsys.readouterr().out.splitlines()


def test_an_auditor_is_told_what_was_erased_and_what_that_proves(data, capsys):
    assert run(data, "receipts", "verify") == 0

    said = capsys.readouterr().out
    assert '"date": "2026-11-20"' in said and '"sightings": 32' in said
    assert "It does not prove that no copy was made before" in said


def test_what_was_erased_and_lies_there_again_is_found(data, capsys):
    path = data / "lake" / "sightings" / "site=shop" / f"date={DATE}" / "restored.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"from a back-up")

    assert run(data, "receipts", "verify") == 4
    assert "restored.parquet is there" in capsys.readouterr().err


def test_a_file_is_checked_against_the_key_and_the_head_that_an_auditor_kept(data, capsys, tmp_path):
    lines = exported(data, capsys)
    file, key = tmp_path / "receipts.jsonl", json.loads(lines[0])["receipt"]["key"]
    head = Head.of(lines[-1])
    file.write_text("\n".join(lines) + "\n")
    kept = f"{head.number}:{head.line_hash}"

    assert run(data, "receipts", "verify", str(file), "--key", key, "--head", kept) == 0

    file.write_text("")
    assert run(data, "receipts", "verify", str(file), "--head", kept) == 4
    forger = Ed25519PrivateKey.generate()
    public = forger.public_key().public_bytes_raw()
    forged = make_receipt(Head(), at_ms=1, by="cloud", key=public, what="day_erased", about={}, sign=forger.sign)
    file.write_text(forged + "\n")
    assert run(data, "receipts", "verify", str(file), "--key", key) == 4
    assert run(data, "receipts", "verify", str(file), "--key", b64encode(public).decode()) == 0


@pytest.mark.parametrize("key", ["", "AAAA"])
def test_an_empty_key_does_not_mean_that_any_key_will_do(data, capsys, tmp_path, key):
    """`--key "$KEY"` of an auditor whose variable is empty."""
    file = tmp_path / "receipts.txt"
    assert run(data, "receipts", "export", "--output", str(file)) == 0
    assert run(data, "receipts", "verify", str(file), "--key", key) == 4
    assert "a key has 32" in capsys.readouterr().err


def test_the_key_that_is_printed_is_the_one_to_ask_for_next_time_also_after_a_hand_over(data, capsys, tmp_path):
    ours, theirs = (Ed25519PrivateKey.from_private_bytes(bytes((n,)) * 32) for n in (1, 2))
    lines, head = [], Head()
    for key, what, about in (
        (ours, "key_changed", {"next_key": b64encode(theirs.public_key().public_bytes_raw()).decode()}),
        (theirs, "day_erased", {}),
    ):
        public = key.public_key().public_bytes_raw()
        lines.append(make_receipt(head, at_ms=1, by="cloud", key=public, what=what, about=about, sign=key.sign))
        head = Head.of(lines[-1])
    file = tmp_path / "receipts.txt"
    file.write_text("\n".join(lines))
    assert run(data, "receipts", "verify", str(file)) == 0
    told = next(line.split()[1] for line in capsys.readouterr().out.splitlines() if line.startswith("key  "))
    assert run(data, "receipts", "verify", str(file), "--key", told) == 0


def test_the_ledger_of_a_day_is_printed_with_its_remainders(data, capsys):
    assert run(data, "ledger", "--site", "shop", "--date", DATE, "--json") == 0

    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["remainder"] == {"frames": 0, "batches": 0, "sightings": 0}
    assert run(data, "ledger", "--site", "shop", "--date", DATE) == 0
    assert "32 in = 32 rows + 0 duplicates + 0 withheld; remainder 0" in capsys.readouterr().out


def test_the_age_of_back_ups_is_stated_and_is_the_one_that_is_deployed(capsys):
    assert main(["retention", "ls"]) == 0

    said = {line.split("  ")[0]: line for line in capsys.readouterr().out.splitlines() if line.startswith("back-ups")}
    assert set(said) == {"back-ups, lake", "back-ups, on AWS", "back-ups, embedded"}
    stack = (Path(__file__).resolve().parents[2] / "deploy" / "aws" / "stack.yaml").read_text()
    deployed = re.search(r"^  BackupDays:\n(?:    .*\n)*?    Default: (\d+)", stack, re.MULTILINE)
    assert f"{deployed[1]} days" in said["back-ups, on AWS"]


def test_every_act_of_the_operator_stands_in_the_audit(data, capsys):
    for words in (
        ("site", "add", "second"),
        ("site", "mode", "second", "consent"),
        ("agent", "token", "--site", "second"),
        ("agent", "revoke", "ap-test"),
        ("retention", "run"),
    ):
        assert run(data, *words) == 0
    capsys.readouterr()

    assert run(data, "audit") == 0

    acts = [line.split()[3] for line in capsys.readouterr().out.splitlines()]
    assert acts == ["site_added", "site_mode_changed", "enrolment_token_made", "agent_revoked", "retention_run"]


def test_a_mode_that_waits_for_tomorrow_says_so(data, capsys):
    assert run(data, "site", "mode", "shop", "count") == 0
    assert run(data, "site", "mode", "shop", "day") == 0

    assert "today stays count, whole" in capsys.readouterr().out
    assert run(data, "site", "mode", "nowhere", "day") == 3
