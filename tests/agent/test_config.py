"""The configuration: every mistake is named with file, key, value and what is allowed, and the example shows every option."""

from __future__ import annotations

from dataclasses import Field, fields, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.cli import main
from agent.config import Config, ConfigError, config_hash, load_config, parse_config

EXAMPLE = Path(__file__).parents[2] / "docs" / "agent.example.yaml"
OPTIONS = [(section.name, option) for section in fields(Config) for option in fields(getattr(Config(), section.name))]
CHANGE_FIGURES = {"privacy.mode", "privacy.day_offset_min", "privacy.access_points"}
"""Beside all of these sections."""
SECTIONS_THAT_CHANGE_FIGURES = {"tracking", "proximity", "batch"}


def of_each_option(function: Any) -> Any:
    """Run a test once for each option there is."""
    return pytest.mark.parametrize(("section", "option"), OPTIONS, ids=[f"{s}.{o.name}" for s, o in OPTIONS])(function)


def another(option: Field[Any]) -> Any:
    """A value that is allowed and is not the default."""
    meta = option.metadata
    if "choices" in meta:
        return next(word for word in meta["choices"] if word != option.default)
    if "low" in meta:
        return meta["high"] if meta["high"] != option.default else meta["low"]
    return ["one.pcap"] if option.default == () else option.default + "x"


def mistakes_in(content: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_config(content, "agent.yaml")
    return str(caught.value).splitlines()


# --- what is allowed ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", ["", "---\n", "# nothing but a comment\n", "tracking:\n", "{}"])
def test_a_file_that_says_nothing_is_the_defaults(content: str):
    assert parse_config(content, "agent.yaml") == Config()


@of_each_option
def test_every_option_can_be_set(section: str, option: Field[Any]):
    value = another(option)

    config = parse_config(yaml.safe_dump({section: {option.name: value}}), "agent.yaml")

    stored = getattr(getattr(config, section), option.name)
    assert stored == (tuple(value) if isinstance(value, list) else value)
    assert type(stored) is type(option.default)


@of_each_option
def test_both_ends_of_a_range_are_allowed_and_beyond_them_is_a_mistake(section: str, option: Field[Any]):
    low, high = option.metadata.get("low"), option.metadata.get("high")
    if low is None:
        return
    for value in (low, high):
        parse_config(f"{section}: {{{option.name}: {value}}}", "agent.yaml")
    for value in (low - 1, high + 1):
        (line,) = mistakes_in(f"{section}: {{{option.name}: {value}}}")
        kind = "a whole number" if isinstance(option.default, int) else "a number"
        assert line == f"agent.yaml: {section}.{option.name} is {value!r}; use {kind} from {low} to {high}"


# --- mistakes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "line"),
    [
        pytest.param(
            "tracing: {}",
            "agent.yaml: tracing is unknown; did you mean 'tracking'? allowed: "
            + ", ".join(section.name for section in fields(Config)),
            id="a section with a typing mistake",
        ),
        pytest.param(
            "cloud: {ulr: https://cloud.example}",
            "agent.yaml: cloud.ulr is unknown; did you mean 'url'? allowed: url, ca_file, timeout_s",
            id="an option with a typing mistake",
        ),
        pytest.param(
            "cloud: {colour: blue}",
            "agent.yaml: cloud.colour is unknown; allowed: url, ca_file, timeout_s",
            id="an option like none there is",
        ),
        pytest.param(
            "spool: 7",
            "agent.yaml: spool is 7; use keys with values, as in docs/agent.example.yaml",
            id="a section is a number",
        ),
        pytest.param(
            "spool: []",
            "agent.yaml: spool is []; use keys with values, as in docs/agent.example.yaml",
            id="an empty list",
        ),
        pytest.param(
            "[batch, spool]",
            "agent.yaml: the file is ['batch', 'spool']; use keys with values, as in docs/agent.example.yaml",
            id="the file is a list",
        ),
        pytest.param(
            "batch: {window_s: '30'}",
            "agent.yaml: batch.window_s is '30'; use a whole number from 5 to 300",
            id="a number in quotes",
        ),
        pytest.param(
            "batch: {window_s: 30.5}",
            "agent.yaml: batch.window_s is 30.5; use a whole number from 5 to 300",
            id="a part where a whole is needed",
        ),
        pytest.param(
            "batch: {window_s: yes}",
            "agent.yaml: batch.window_s is True; use a whole number from 5 to 300",
            id="a yes is no number",
        ),
        pytest.param(
            "proximity: {slope_db: .nan}",
            "agent.yaml: proximity.slope_db is nan; use a number from 0.5 to 20",
            id="not a number",
        ),
        pytest.param(
            "privacy: {mode: all}", "agent.yaml: privacy.mode is 'all'; use count or day or consent", id="no such word"
        ),
        pytest.param(
            "agent: {site: 12}",
            "agent.yaml: agent.site is 12; use text, in quotes where it looks like something else",
            id="a number where text is needed",
        ),
        pytest.param(
            "source: {paths: one.pcap}",
            "agent.yaml: source.paths is 'one.pcap'; use a list of file names",
            id="text where a list is needed",
        ),
        pytest.param(
            "source: {paths: [1]}", "agent.yaml: source.paths is [1]; use a list of file names", id="a list of numbers"
        ),
        pytest.param(
            "cloud: {url: a}\ncloud: {ca_file: b}",
            "agent.yaml, line 2: is not YAML ('cloud' stands twice); see docs/agent.example.yaml",
            id="a section twice",
        ),
        pytest.param(
            "cloud: {url: a, url: b}",
            "agent.yaml, line 1: is not YAML ('url' stands twice); see docs/agent.example.yaml",
            id="an option twice",
        ),
        pytest.param(
            "batch:\n\twindow_s: 30",
            "agent.yaml, line 2: is not YAML (found character '\\t' that cannot start any token); see docs/agent.example.yaml",
            id="a tab",
        ),
        pytest.param(
            "agent: {site: 2024-99-99}",
            "agent.yaml: is not YAML (unreadable); see docs/agent.example.yaml",
            id="a day that no month has",
        ),
        pytest.param(
            "\x00", "agent.yaml: is not YAML (unreadable); see docs/agent.example.yaml", id="a byte of no text"
        ),
    ],
)
def test_a_mistake_is_one_line_with_file_key_value_and_what_is_allowed(content: str, line: str):
    assert mistakes_in(content) == [line]


def test_every_mistake_is_told_at_once():
    lines = mistakes_in("batch: {window_s: 0, max_aeg_s: 3}\nlog: {level: loud}\nspoool: {}")

    assert len(lines) == 4
    for part in ("spoool", "batch.max_aeg_s", "batch.window_s", "log.level"):
        assert any(part in line for line in lines)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param(lambda path: None, "No such file", id="missing"),
        pytest.param(lambda path: path.mkdir(), "Is a directory", id="a directory"),
        pytest.param(lambda path: path.write_bytes(b"\xff\xfe\x00"), "not UTF-8 text", id="not text"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_next_step(tmp_path: Path, make: Any, words: str):
    make(tmp_path / "mine.yaml")

    with pytest.raises(ConfigError, match=rf"mine\.yaml: cannot be read \({words}.*--config FILE"):
        load_config(tmp_path / "mine.yaml")


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.text(max_size=60),
        st.text(alphabet="-:{}[],&*#?|>!%@'\"\\ \n\tabc0x_1.", max_size=40),
        st.text(max_size=20).map(lambda text: f"batch: {text}"),
        st.text(alphabet="0123456789-:.xobe_+T ", max_size=12).map(lambda text: f"agent: {{site: {text}}}"),
    )
)
def test_any_text_is_a_configuration_or_a_named_mistake(content: str):
    said = ""
    try:
        parse_config(content, "agent.yaml")
    except ConfigError as error:
        said = str(error)
    assert not said or said.startswith("agent.yaml")


@pytest.mark.parametrize(
    "command", [["count", "x.pcap"], ["replay", "x.pcap"], ["explain", "x.pcap"], ["run"], ["spool", "ls"]]
)
def test_every_command_ends_with_3_and_one_line_a_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
):
    path = tmp_path / "agent.yaml"
    path.write_text("batch: {window_s: 0}\n")

    code = main([command[0], "--config", str(path), *command[1:]])

    out, err = capsys.readouterr()
    assert (code, out) == (3, "")
    assert err == "ivizone-agent: agent.yaml: batch.window_s is 0; use a whole number from 5 to 300\n"


# --- the hash -------------------------------------------------------------------------------------------------------


@of_each_option
def test_the_hash_changes_exactly_with_what_changes_figures(section: str, option: Field[Any]):
    """Two batches with one hash can be compared; another log level must not forbid that."""
    config = Config()
    value = another(option)
    changed = replace(config, **{section: replace(getattr(config, section), **{option.name: value})})

    changes = f"{section}.{option.name}" in CHANGE_FIGURES or section in SECTIONS_THAT_CHANGE_FIGURES

    assert (config_hash(changed) != config_hash(config)) is changes
    assert len(config_hash(changed)) == 8


# --- the example ----------------------------------------------------------------------------------------------------


def test_the_example_is_the_defaults_and_names_every_option():
    text = EXAMPLE.read_text()

    assert parse_config(text, EXAMPLE.name) == Config()
    written = {(section, name) for section, options in yaml.safe_load(text).items() for name in options}
    assert written == {(section, option.name) for section, option in OPTIONS}


@of_each_option
def test_the_example_says_above_each_option_what_it_means_and_what_is_allowed(section: str, option: Field[Any]):
    meta = option.metadata
    allowed = ""
    if "choices" in meta:
        allowed = f"; one of: {', '.join(meta['choices'])}"
    elif "low" in meta:
        allowed = f"; {meta['low']} to {meta['high']}"
    lines = EXAMPLE.read_text().splitlines()
    start = lines.index(f"{section}:")
    place = next(n for n in range(start, len(lines)) if lines[n].startswith(f"  {option.name}: "))

    assert lines[place - 1] == f"  # {meta['meaning']}{allowed}"


LAUGHS = "x0: &a0 [1, 1, 1, 1]\n" + "".join(f"x{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (LAUGHS + "agent: {id: *a11}\n", "aliases"),
        ("[" * 5000, "not YAML"),
        ("{" * 20_000, "not YAML"),
        ("#" * 65_537, "at most 65536"),
    ],
    ids=["a thousand million values in twelve lines", "lists in lists", "maps in maps", "too long"],
)
def test_a_configuration_that_would_fill_the_memory_is_refused(content: str, words: str):
    with pytest.raises(ConfigError, match=words) as refused:
        parse_config(content, "agent.yaml")
    assert len(str(refused.value)) < 500
