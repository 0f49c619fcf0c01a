"""/etc/config/ivizone and the agent's configuration: one truth in two forms."""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.openwrt import DEPLOY, HOOKS, AccessPoint

from agent.config import Config, ConfigError, parse_config
from agent.uci import SCRIPT_SECTIONS, commands, main, render

sys.path.insert(0, str(DEPLOY))
from uci_template import SET_HERE, TARGET, template

OPTIONS = [(s.name, o.name) for s in fields(Config) for o in fields(getattr(Config(), s.name))]


def test_the_uci_file_shows_every_option_as_the_code_has_it():
    assert TARGET.read_text() == template(), (
        "agent/config.py has changed: run `python3 deploy/openwrt/uci_template.py` and commit deploy/openwrt/files/etc/config/ivizone. "
        "An option that OpenWrt needs another value of goes into SET_HERE of that script"
    )


def test_every_option_is_in_the_file_once():
    text = TARGET.read_text()
    for section, option in OPTIONS:
        chapter = text.partition(f"config {section} '{section}'")[2].partition("\nconfig ")[0]
        lines = [line.strip().lstrip("#") for line in chapter.splitlines()]
        assert (
            len([line for line in lines if line.split()[1:2] == [option] and line.split()[0] in ("option", "list")])
            == 1
        )


def test_what_openwrt_sets_is_an_option_and_not_the_default():
    for (section, option), value in SET_HERE.items():
        assert str(getattr(getattr(Config(), section), option)) != value


def test_every_script_section_of_the_file_is_known_and_used():
    scripts = "".join(p.read_text() for p in [*HOOKS.rglob("*"), *(DEPLOY / "files").rglob("*")] if p.is_file())
    text = TARGET.read_text()
    for section, options in SCRIPT_SECTIONS.items():
        chapter = text.partition(f"config {section} '{section}'")[2].partition("\nconfig ")[0]
        assert sorted(options) == sorted(
            line.split()[1] for line in chapter.splitlines() if line.strip().startswith(("option", "#option"))
        )
        for option in options:
            assert f"{section} {option}" in scripts or f"{section}.{option}" in scripts


def test_the_installed_file_renders_to_a_configuration_the_agent_takes(tmp_path):
    access_point = AccessPoint(tmp_path)
    access_point.config(TARGET.read_text())
    shown = access_point.shell("sh", "uci -q show ivizone").stdout

    config = parse_config(render(shown), "agent.yaml")

    for (section, option), value in SET_HERE.items():
        assert str(getattr(getattr(config, section), option)) == value


@pytest.mark.parametrize(
    ("line", "section", "option", "value"),
    [
        ("ivizone.source.paths='a.pcap' 'b c.pcap'", "source", "paths", ["a.pcap", "b c.pcap"]),
        ("ivizone.agent.site='l'\\''atelier'", "agent", "site", "l'atelier"),
        ("ivizone.agent.site='two\nlines'", "agent", "site", "two\nlines"),
        ("ivizone.proximity.threshold_dbm='-70'", "proximity", "threshold_dbm", -70.0),
        ("ivizone.spool.limit_bytes='2000000'", "spool", "limit_bytes", 2_000_000),
        ("ivizone.agent.id='0042'", "agent", "id", "0042"),
        ("ivizone.log.level='debug'", "log", "level", "debug"),
    ],
)
def test_a_value_keeps_its_kind(line, section, option, value):
    assert json.loads(render(line + "\n"))[section][option] == value


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ivizone.spool.limit_bytes='2e6'", "ivizone.spool.limit_bytes is '2e6'; use a whole number from"),
        ("ivizone.spool.limit_bytes='1'", "uci set ivizone.spool.limit_bytes=... && uci commit ivizone"),
        ("ivizone.privacy.mode='all'", "ivizone.privacy.mode is 'all'; use count or day or consent"),
        ("ivizone.privacy.mod='day'", "ivizone.privacy.mod is unknown; did you mean 'mode'?"),
        ("ivizone.privcy.mode='day'", "ivizone.privcy is unknown; did you mean 'privacy'?"),
        ("ivizone.radio.chanels='1'", "ivizone.radio.chanels is unknown; did you mean 'channels'?"),
        ("ivizone.agent.site='open", "ivizone.agent.site has a quote that is not closed"),
        ("nonsense", "gave a line without '='"),
        ("ivizone.upload.first_retry_s='nan'", "ivizone.upload.first_retry_s is 'nan'"),
    ],
)
def test_a_mistake_names_the_option_as_its_owner_wrote_it(line, words):
    with pytest.raises(ConfigError) as caught:
        render(line + "\n")
    assert words in str(caught.value)


def test_every_mistake_is_told_at_once():
    with pytest.raises(ConfigError) as caught:
        render("ivizone.a.b='1'\nivizone.log.level='loud'\nivizone.spool.limit_bytes='x'\n")
    assert len(str(caught.value).splitlines()) == 3


@given(st.text(st.characters(blacklist_categories=("Cs", "Cc"))))
def test_any_text_survives_uci_and_back(text):
    """commands -> uci batch -> uci show -> render, with the quoting of each."""
    config = parse_config(json.dumps({"agent": {"site": text}}), "x")
    (line,) = [line for line in commands(config).splitlines() if line.startswith("set ivizone.agent.site=")] or [""]
    value = shlex.split(line)[1].partition("=")[2] if line else ""
    quoted = "'" + value.replace("'", "'\\''") + "'"

    assert json.loads(render(f"ivizone.agent.site={quoted}\n"))["agent"]["site"] == text


@given(st.text())
def test_any_bytes_of_uci_give_a_configuration_or_an_error(text):
    with contextlib.suppress(ConfigError):
        parse_config(render(text), "agent.yaml")


def test_the_module_is_a_command(monkeypatch, capsys, tmp_path):
    import io

    monkeypatch.setattr(sys, "stdin", io.StringIO("ivizone.log.level='loud'\n"))
    assert main(["render"]) == 3
    assert "ivizone.log.level" in capsys.readouterr().err
    assert main([]) == 2
    (tmp_path / "a.yaml").write_text("source: {paths: [a, b]}\n")
    assert main(["commands", str(tmp_path / "a.yaml")]) == 0
    assert "add_list ivizone.source.paths='a'\nadd_list ivizone.source.paths='b'" in capsys.readouterr().out
