"""Secrets on disk: whose they are, and what is said where they cannot be read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.cli import main
from agent.exit_codes import CONFIGURATION
from agent.secret_file import what_to_do, write_secret

AGENT = 65534
"""The user that the agent runs as; here nobody."""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_writes_belongs_to_the_agent(tmp_path: Path):
    """`sudo ivizone-agent calibrate --write` left a configuration that the agent could not read, and it did not start again."""
    os.chown(tmp_path, AGENT, AGENT)
    write_secret(tmp_path / "new", b"x")
    (tmp_path / "before").write_text("y")
    os.chown(tmp_path / "before", 7, 8)
    write_secret(tmp_path / "before", b"x")

    new, before = (tmp_path / "new").stat(), (tmp_path / "before").stat()
    assert (new.st_uid, new.st_gid, new.st_mode & 0o777) == (AGENT, AGENT, 0o600)
    assert (before.st_uid, before.st_gid, before.st_mode & 0o777) == (7, 8, 0o600)


def test_a_secret_that_is_closed_to_us_is_not_to_be_made_anew(tmp_path: Path):
    assert what_to_do(tmp_path, PermissionError(13, "Permission denied"), "make one").startswith("run as root")
    assert what_to_do(tmp_path, FileNotFoundError(2, "No such file"), "make one") == "make one"


def test_a_configuration_that_is_closed_to_us_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """On a Raspberry Pi /etc/ivizone is closed to everybody but the agent."""

    class Closed:
        def exists(self) -> bool:
            raise PermissionError(13, "Permission denied", "/etc/ivizone/agent.yaml")

    monkeypatch.setattr("agent.commands.DEFAULT_PATH", Closed())

    assert main(["spool", "ls"]) == CONFIGURATION
    assert capsys.readouterr().err == (
        "ivizone-agent: /etc/ivizone/agent.yaml: Permission denied; run as root, or as the user that the agent runs as\n"
    )
