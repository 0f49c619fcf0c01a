"""OpenWrt's /etc/config/ivizone -> the agent's configuration, and back after enrolment (shell).

    uci -q show ivizone | python3 -m agent.uci render >agent.yaml
    python3 -m agent.uci commands agent.yaml | uci -q batch

`uci show` is the input, not the file, because quoting is then uci's business: one `package.section.option='value'` a
line, a list as several quoted words, a quote as '\\''. The output is JSON, which every YAML reader takes. Sections and
options are those of `agent.config`; three sections more are read by the scripts only (`SCRIPT_SECTIONS`). Errors name the
option as its owner wrote it and give the command that mends it.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

from agent.config import Config, ConfigError, load_config, problem_with

PACKAGE = "ivizone"
SCRIPT_SECTIONS: dict[str, tuple[str, ...]] = {
    "service": ("enabled",),
    "radio": ("phy", "take", "hop", "channels", "cycle_ms", "min_dwell_ms"),
    "portal": ("url", "visitor_key_days", "visitor_key_file"),
}
"""What /etc/init.d/ivizone, radio.sh and the openNDS theme read; the agent does not."""
LINE = re.compile(r"(?P<package>[^.=]+)\.(?P<section>[^.=]+)(?:\.(?P<option>[^.=]+))?=(?P<value>.*)", re.DOTALL)


def render(shown: str) -> str:
    """`uci show` -> configuration as text. Raises ConfigError with every mistake, a line each."""
    mistakes: list[str] = []
    content: dict[str, dict[str, Any]] = {}
    known = {section.name: _options(section) for section in fields(Config)}
    for section, option, words in _settings(shown, mistakes):
        if section in SCRIPT_SECTIONS:
            if option not in SCRIPT_SECTIONS[section]:
                mistakes.append(_unknown(f"{PACKAGE}.{section}.{option}", SCRIPT_SECTIONS[section], option))
        elif section not in known:
            mistakes.append(_unknown(f"{PACKAGE}.{section}", (*known, *SCRIPT_SECTIONS), section))
        elif option not in known[section]:
            mistakes.append(_unknown(f"{PACKAGE}.{section}.{option}", tuple(known[section]), option))
        else:
            field = known[section][option]
            value = _value(field, words)
            problem = problem_with(field, value)
            if problem:
                mistakes.append(_wrong(section, option, words, problem))
            content.setdefault(section, {})[option] = value
    if mistakes:
        raise ConfigError("\n".join(dict.fromkeys(mistakes)))
    return json.dumps(content, indent=1) + "\n"


def commands(config: Config) -> str:
    """A `uci batch` that sets what differs from the defaults: how enrolment reaches /etc/config/ivizone."""
    lines: list[str] = []
    defaults = Config()
    for section in fields(Config):
        for option in fields(getattr(defaults, section.name)):
            value = getattr(getattr(config, section.name), option.name)
            if value == getattr(getattr(defaults, section.name), option.name):
                continue
            name = f"{PACKAGE}.{section.name}.{option.name}"
            if not lines or not any(line.startswith(f"set {PACKAGE}.{section.name}=") for line in lines):
                lines.append(f"set {PACKAGE}.{section.name}={section.name}")
            if isinstance(value, tuple):
                lines.append(f"delete {name}")
                lines += [f"add_list {name}={_quoted(item)}" for item in value]
            else:
                lines.append(f"set {name}={_quoted(value)}")
    return "\n".join([*lines, f"commit {PACKAGE}"]) + "\n"


def _settings(shown: str, mistakes: list[str]) -> Iterator[tuple[str, str, list[str]]]:
    """(section, option, words) of each option. A value may run over lines: it ends with its closing quote."""
    waiting = ""
    for line in shown.splitlines():
        waiting = f"{waiting}\n{line}" if waiting else line
        try:
            words = shlex.split(waiting.partition("=")[2], posix=True)
        except ValueError:  # no closing quote yet
            continue
        found = LINE.fullmatch(waiting)
        if found is None:
            mistakes.append(f"`uci show {PACKAGE}` gave a line without '='; look at /etc/config/{PACKAGE}")
        elif found["option"]:
            yield found["section"], found["option"], words
        waiting = ""
    if waiting:
        mistakes.append(f"{waiting.partition('=')[0]} has a quote that is not closed; look at /etc/config/{PACKAGE}")


def _options(section: Field[Any]) -> dict[str, Field[Any]]:
    return {option.name: option for option in fields(getattr(Config(), section.name))}


def _value(option: Field[Any], words: list[str]) -> Any:
    """UCI knows text only; a number is what its option says it is. What is no number stays text, and is refused as such."""
    if option.default == ():
        return words
    text = words[0] if len(words) == 1 else " ".join(words)
    if "low" not in option.metadata:
        return text
    try:
        return int(text) if isinstance(option.default, int) else float(text)
    except ValueError:
        return text


def _wrong(section: str, option: str, words: list[str], problem: str) -> str:
    name = f"{PACKAGE}.{section}.{option}"
    return f"{name} is {' '.join(words)!r}; {problem}: uci set {name}=... && uci commit {PACKAGE}"


def _unknown(name: str, allowed: Sequence[str], given: str) -> str:
    from difflib import get_close_matches  # loaded for a mistake only

    near = get_close_matches(given, allowed, 1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return (
        f"{name} is unknown; {hint}allowed: {', '.join(allowed)}; remove it: uci delete {name} && uci commit {PACKAGE}"
    )


def _quoted(value: Any) -> str:
    return "'" + str(value).replace("'", "'\\''") + "'"


def main(arguments: Sequence[str]) -> int:
    """Exit codes as the agent's: 0 ok, 2 usage, 3 configuration."""
    try:
        if list(arguments) == ["render"]:
            sys.stdout.write(render(sys.stdin.read()))
        elif len(arguments) == 2 and arguments[0] == "commands":
            sys.stdout.write(commands(load_config(Path(arguments[1]))))
        else:
            print("usage: python3 -m agent.uci render | commands FILE", file=sys.stderr)
            return 2
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
