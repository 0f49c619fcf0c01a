"""The agent's configuration: YAML -> frozen dataclasses (shell). Every error names file, key, value and what is allowed.

One field here is one option; its range stands beside it, and docs/agent.example.yaml shows them all with these defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

DEFAULT_PATH = Path("/etc/ivizone/agent.yaml")
STATE_DIR = "/var/lib/ivizone"
CONFIG_MAX = 65_536
"""Characters of a configuration; the example with all its comments has a tenth."""


class ConfigError(Exception):
    """The owner's configuration cannot be used; one line for each mistake."""


def number(default: float, low: float, high: float, meaning: str, *, changes_figures: bool = False) -> Any:
    """An option that is a number; a whole one where the default is."""
    meta = {"low": low, "high": high, "meaning": meaning, "figures": changes_figures}
    return field(default=default, metadata=meta)


def choice(default: str, allowed: tuple[str, ...], meaning: str, *, changes_figures: bool = False) -> Any:
    """An option that is one of a few words."""
    return field(default=default, metadata={"choices": allowed, "meaning": meaning, "figures": changes_figures})


def text(default: str, meaning: str) -> Any:
    """An option that is free text, such as a path."""
    return field(default=default, metadata={"meaning": meaning})


@dataclass(frozen=True)
class AgentSection:
    """Who the agent is; `enrol` writes it."""

    id: str = text("", "name that the cloud gave at enrolment")
    site: str = text("", "site that it belongs to")
    key_file: str = text(f"{STATE_DIR}/agent.key", "private Ed25519 key (PEM), readable by its owner only")
    key_days: int = number(365, 0, 3650, "days after which `run` changes that key by itself; 0: never")


@dataclass(frozen=True)
class SourceSection:
    """Where frames come from."""

    name: str = text("pcap", "name of a source")
    speed: float = number(1.0, 0, 1_000_000, "capture seconds that `run` plays in a second; 0 as fast as possible")
    paths: tuple[str, ...] = field(
        default=(), metadata={"meaning": "captures that the source 'pcap' reads; - is standard input"}
    )
    ubus_socket: str = text("/var/run/ubus/ubus.sock", "socket of OpenWrt's ubusd, for the source 'hostapd'")
    hostapd_probes: str = choice(
        "auto",
        ("auto", "always", "never"),
        "auto: hear hostapd's probe requests unless the chip is known to crash; never: joined devices only",
    )
    interface: str = text("mon0", "monitor interface that the source 'monitor' listens on")
    ring_kib: int = number(512, 128, 16_384, "KiB of memory for frames that wait to be read; 250 frames in 64")
    silence_s: float = number(10.0, 2, 3600, "seconds without any frame after which nobody can say that it listened")
    channel_file: str = text("", "where a channel plan reports its channel; empty: it is taken from the frames")
    restore_command: str = text(
        "", "run with the condition as last word when the monitor interface is lost; empty: none"
    )


@dataclass(frozen=True)
class CloudSection:
    """Where batches go."""

    url: str = text("", "https://host[:port]; http:// is taken for this machine only")
    ca_file: str = text("", "certificates (PEM) to trust instead of the system's")
    timeout_s: int = number(20, 1, 300, "seconds until a silent cloud counts as away")


@dataclass(frozen=True)
class PrivacySection:
    """What may leave the access point."""

    mode: str = choice(
        "day",
        ("count", "day", "consent"),
        "count: only counts leave; day: pseudonyms of one day; consent: as day, and the portal may ask visitors",
        changes_figures=True,
    )
    site_key_file: str = text(f"{STATE_DIR}/site.key", "the site key, shared by the access points of a site")
    opt_out_file: str = text(
        "", "the store's filter of devices that are not to be counted; empty: opt-outs beside the site key"
    )
    receipts_file: str = text("", "signed receipts of what was erased here; empty: receipts beside the site key")
    day_offset_min: int = number(0, -720, 840, "minutes by which the day begins after 00:00 UTC", changes_figures=True)
    access_points: str = choice(
        "one",
        ("one", "several"),
        "several: say of each device what lets the site's other access points know it again, so that it counts once",
        changes_figures=True,
    )


@dataclass(frozen=True)
class TrackingSection:
    """Which probe requests came from one device."""

    burst_gap_ms: int = number(
        1000, 100, 10_000, "a longer silence of one address ends its burst", changes_figures=True
    )
    track_timeout_s: int = number(
        900, 60, 7200, "a device silent for longer is a new one when it comes back", changes_figures=True
    )
    max_tracks: int = number(4000, 100, 100_000, "devices kept in memory", changes_figures=True)
    max_addresses: int = number(8000, 100, 1_000_000, "addresses kept in memory", changes_figures=True)


@dataclass(frozen=True)
class ProximitySection:
    """From levels to the probability of being inside."""

    threshold_dbm: float = number(
        -67.0, -100, -20, "level at which inside and outside are equally likely", changes_figures=True
    )
    slope_db: float = number(
        6.0, 0.5, 20, "decibels that change the odds by e; small where calibrated", changes_figures=True
    )
    enter_above: float = number(0.6, 0.5, 1, "probability above which a device is inside", changes_figures=True)
    leave_below: float = number(0.4, 0, 0.5, "probability below which it is outside again", changes_figures=True)


@dataclass(frozen=True)
class BatchSection:
    """When windows and batches close."""

    window_s: int = number(30, 5, 300, "seconds of one window", changes_figures=True)
    max_age_s: int = number(30, 1, 3600, "seconds until a batch closes", changes_figures=True)
    max_sightings: int = number(2000, 1, 3500, "sightings that close a batch earlier", changes_figures=True)
    replay_max_age_s: int = number(3600, 1, 86_400, "max_age_s of a replay, in capture time", changes_figures=True)


@dataclass(frozen=True)
class SpoolSection:
    """The durable queue of batches."""

    directory: str = text(f"{STATE_DIR}/spool", "one file for each batch")
    limit_bytes: int = number(16_000_000, 100_000, 10_000_000_000, "beyond it the oldest batches make room, counted")
    ram_directory: str = text(
        "", "where batches wait while the cloud answers, on a RAM disk; empty: always in directory"
    )
    ram_limit_bytes: int = number(
        4_000_000, 100_000, 1_000_000_000, "what ram_directory may hold before directory is used"
    )
    flash_after_s: int = number(3600, 0, 604_800, "seconds without the cloud until batches go to directory")


@dataclass(frozen=True)
class UploadSection:
    """How the cloud is asked again."""

    first_retry_s: float = number(1.0, 0.05, 60, "longest first wait after a failure")
    last_retry_s: float = number(300.0, 1, 3600, "longest wait; waits double up to it and are drawn at random")


@dataclass(frozen=True)
class ClockSection:
    """When the wall clock can be believed."""

    synced_file: str = text(
        "", "file that exists once the clock was set; empty: a date after the program's own will do"
    )
    wait_s: int = number(
        600,
        0,
        86_400,
        "seconds for which frames wait for the clock before they go on unsynced; in mode count at most 5 minutes with their window",
    )


@dataclass(frozen=True)
class StateSection:
    """Where `run` says how it is, for people and for monitoring."""

    status_file: str = text("", "JSON, on a RAM disk; empty: none")
    metrics_file: str = text("", "OpenMetrics text for a collector of text files, on a RAM disk; empty: none")
    heard_file: str = text("", "probe requests by channel, for a channel plan to weigh channels by; empty: none")
    every_s: int = number(10, 1, 3600, "seconds between two writes")


@dataclass(frozen=True)
class LogSection:
    """What goes to stderr."""

    level: str = choice("info", ("debug", "info", "warning", "error"), "least severe event that is written")
    format: str = choice("console", ("console", "json"), "console for people, json for machines")


@dataclass(frozen=True)
class Config:
    """The whole configuration."""

    agent: AgentSection = field(default_factory=AgentSection)
    source: SourceSection = field(default_factory=SourceSection)
    cloud: CloudSection = field(default_factory=CloudSection)
    privacy: PrivacySection = field(default_factory=PrivacySection)
    tracking: TrackingSection = field(default_factory=TrackingSection)
    proximity: ProximitySection = field(default_factory=ProximitySection)
    batch: BatchSection = field(default_factory=BatchSection)
    spool: SpoolSection = field(default_factory=SpoolSection)
    upload: UploadSection = field(default_factory=UploadSection)
    clock: ClockSection = field(default_factory=ClockSection)
    state: StateSection = field(default_factory=StateSection)
    log: LogSection = field(default_factory=LogSection)


def load_config(path: Path) -> Config:
    """Read a configuration file. Raises ConfigError with every mistake in it, a line each."""
    try:
        content = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigError(f"{path}: cannot be read ({reason}); name another with --config FILE") from error
    return parse_config(content, path.name)


def parse_config(content: str, name: str) -> Config:
    """``load_config`` of a text; ``name`` is what messages call it."""
    if len(content) > CONFIG_MAX:
        raise ConfigError(f"{name}: has {len(content)} characters, a configuration has at most {CONFIG_MAX}")
    from agent.plain_yaml import NotYaml, load_yaml  # for a moment only: see agent.frugal

    try:
        loaded = load_yaml(content)
    except NotYaml as error:
        where = f", line {error.line}" if error.line else ""
        raise ConfigError(f"{name}{where}: is not YAML ({error.problem}); see docs/agent.example.yaml") from error
    mistakes: list[str] = []
    sections = _checked_keys(loaded if loaded is not None else {}, fields(Config), "", name, mistakes)
    defaults = Config()
    values = {}
    for section in fields(Config):
        default = getattr(defaults, section.name)
        of_section = sections.get(section.name)
        given = _checked_keys(
            of_section if of_section is not None else {}, fields(default), section.name, name, mistakes
        )
        checked = {}
        for option in fields(default):
            if option.name in given:
                problem = problem_with(option, given[option.name])
                if problem:
                    mistakes.append(f"{name}: {section.name}.{option.name} is {given[option.name]!r}; {problem}")
                else:
                    checked[option.name] = _as_type(option, given[option.name])
        values[section.name] = replace(default, **checked)
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return Config(**values)


def _checked_keys(
    given: Any, known: tuple[Field[Any], ...], section: str, name: str, mistakes: list[str]
) -> Mapping[str, Any]:
    """The keys that exist; each other one is a mistake with a suggestion."""
    if not isinstance(given, Mapping):
        mistakes.append(
            f"{name}: {section or 'the file'} is {given!r:.40}; use keys with values, as in docs/agent.example.yaml"
        )
        return {}
    names = [option.name for option in known]
    for key in given:
        if key not in names:
            from difflib import get_close_matches  # loaded for a mistake only

            near = get_close_matches(str(key), names, 1)
            hint = f"did you mean '{near[0]}'? " if near else ""
            place = f"{section}.{key}" if section else str(key)
            mistakes.append(f"{name}: {place} is unknown; {hint}allowed: {', '.join(names)}")
    return {key: value for key, value in given.items() if key in names}


def problem_with(option: Field[Any], value: Any) -> str:
    """What is wrong with a value, as the second half of a message; empty where nothing is."""
    meta = option.metadata
    if "choices" in meta:
        return "" if value in meta["choices"] else f"use {' or '.join(meta['choices'])}"
    if "low" in meta:
        is_whole = isinstance(option.default, int)
        fits = type(value) in ((int,) if is_whole else (int, float)) and meta["low"] <= value <= meta["high"]
        return "" if fits else f"use a {'whole ' if is_whole else ''}number from {meta['low']} to {meta['high']}"
    if option.default == ():
        is_list = isinstance(value, list) and all(isinstance(item, str) and item for item in value)
        return "" if is_list else "use a list of file names"
    return "" if isinstance(value, str) else "use text, in quotes where it looks like something else"


def _as_type(option: Field[Any], value: Any) -> Any:
    if option.default == ():
        return tuple(value)
    return float(value) if isinstance(option.default, float) else value


def config_hash(config: Config) -> bytes:
    """8 bytes over every option that changes a figure, so two batches with one hash can be compared."""
    from hashlib import blake2s

    lines = [
        f"{section.name}.{option.name}={getattr(getattr(config, section.name), option.name)!r}"
        for section in fields(Config)
        for option in fields(getattr(config, section.name))
        if option.metadata.get("figures")
    ]
    return blake2s("\n".join(lines).encode(), digest_size=8).digest()
