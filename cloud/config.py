"""The configuration of the AWS composition: YAML and environment -> frozen dataclasses (shell). Every error names file, key, value and
what is allowed.

One field here is one option. Each may also come from the environment, which wins: IVIZONE_DATABASE_URL is database.url. That is how
Elastic Beanstalk and Secrets Manager hand over what differs from one deployment to the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

ENVIRONMENT = "IVIZONE_"


class CloudConfigError(Exception):
    """The operator's configuration cannot be used; one line for each mistake."""


def number(default: float, low: float, high: float, meaning: str) -> Any:
    """An option that is a number; a whole one where the default is."""
    return field(default=default, metadata={"low": low, "high": high, "meaning": meaning})


def choice(default: str, allowed: tuple[str, ...], meaning: str) -> Any:
    """An option that is one of a few words."""
    return field(default=default, metadata={"choices": allowed, "meaning": meaning})


def text(default: str, meaning: str, *, is_secret: bool = False) -> Any:
    """An option that is free text. A secret one is never printed."""
    return field(default=default, metadata={"meaning": meaning, "secret": is_secret})


@dataclass(frozen=True)
class AwsSection:
    """Where the services are."""

    region: str = text("", "region; empty for that of the environment")
    kinesis_endpoint: str = text("", "another address of Kinesis, for emulators and private endpoints")
    s3_endpoint: str = text("", "another address of S3")
    dynamodb_endpoint: str = text("", "another address of DynamoDB, where the Kinesis Client Library keeps its leases")


@dataclass(frozen=True)
class StreamSection:
    """The stream."""

    name: str = text("ivizone-batches", "name of the Kinesis data stream")
    lanes: int = number(4, 1, 32, "PutRecords calls that one ingest process has under way at a time")
    append_s: float = number(10.0, 0.5, 60, "how long a batch may wait for Kinesis before its sender must come back")
    retention_h: int = number(24, 1, 8760, "how long the stream keeps records; at three quarters of it ingest takes nothing more")  # fmt: skip


@dataclass(frozen=True)
class StoreSection:
    """The lake."""

    bucket: str = text("", "S3 bucket of the lake")
    prefix: str = text("lake/", "what every object's name begins with; empty, or ending in a slash")


@dataclass(frozen=True)
class DatabaseSection:
    """PostgreSQL."""

    url: str = text("", "postgresql://user:password@host/ivizone?sslmode=verify-full", is_secret=True)
    password: str = text("", "where it is not in the URL, as from Secrets Manager", is_secret=True)
    pool_size: int = number(5, 1, 100, "connections that one process keeps")


@dataclass(frozen=True)
class ConsumerSection:
    """From the stream to the lake."""

    application: str = text("ivizone-consumer", "name of the lease table in DynamoDB; one for each group of consumers")
    records: int = number(100_000, 1, 1_000_000, "records that become objects together")
    bytes: int = number(64_000_000, 100_000, 500_000_000, "bytes that become objects together")
    seconds: float = number(30.0, 0, 900, "how long a record may wait for others")
    failover_s: float = number(10.0, 1, 300, "after how long a silent worker loses its shards")
    java: str = text("java", "Java 17 or newer, for the Kinesis Client Library")
    heap_mb: int = number(256, 128, 8192, "memory of its Java process")
    metrics: str = choice("SUMMARY", ("NONE", "SUMMARY", "DETAILED"), "what the library tells CloudWatch")


@dataclass(frozen=True)
class AnalyticsSection:
    """Figures computed by DuckDB; Spark does it where days are large."""

    copies_directory: str = text("/var/lib/ivizone/copies", "where objects are copied to for DuckDB")
    copies_limit_gb: float = number(5.0, 0.1, 1000, "size at which the oldest copies are removed")
    look_s: float = number(1.0, 0.05, 60, "how often it is looked for days with new data")


@dataclass(frozen=True)
class RetentionSection:
    """Erasing on time, and the proof of it."""

    receipts_secret: str = text("", "32 characters of chance or more; the key that signs receipts of deletion is made of it", is_secret=True)  # fmt: skip


@dataclass(frozen=True)
class CloudConfig:
    """The whole configuration."""

    aws: AwsSection = field(default_factory=AwsSection)
    stream: StreamSection = field(default_factory=StreamSection)
    store: StoreSection = field(default_factory=StoreSection)
    database: DatabaseSection = field(default_factory=DatabaseSection)
    consumer: ConsumerSection = field(default_factory=ConsumerSection)
    analytics: AnalyticsSection = field(default_factory=AnalyticsSection)
    retention: RetentionSection = field(default_factory=RetentionSection)


def load_cloud_config(path: Path | None, environment: Mapping[str, str]) -> CloudConfig:
    """The file, if there is one, and what the ``environment`` says. Raises CloudConfigError with every mistake, a line each."""
    content, name = "", "the environment"
    if path is not None:
        name = path.name
        try:
            content = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8 text"
            raise CloudConfigError(f"{path}: cannot be read ({reason}); name another with --config FILE") from error
    return parse_cloud_config(content, name, environment)


def parse_cloud_config(content: str, name: str, environment: Mapping[str, str]) -> CloudConfig:
    """``load_cloud_config`` of a text; ``name`` is what messages call it."""
    try:
        loaded = yaml.safe_load(content)
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise CloudConfigError(
            f"{name}{where}: is not YAML ({getattr(error, 'problem', None) or 'unreadable'})"
        ) from error
    mistakes: list[str] = []
    given = _known(loaded if loaded is not None else {}, [f.name for f in fields(CloudConfig)], "", name, mistakes)
    sections = {}
    for section in fields(CloudConfig):
        default = getattr(CloudConfig(), section.name)
        options = [option.name for option in fields(default)]
        values = _known(given.get(section.name) or {}, options, section.name, name, mistakes)
        checked = _checked(section.name, fields(default), values, name, environment, mistakes)
        sections[section.name] = replace(default, **checked)
    if mistakes:
        raise CloudConfigError("\n".join(mistakes))
    return CloudConfig(**sections)


def _checked(
    section: str,
    options: tuple[Field[Any], ...],
    values: Mapping[str, Any],
    name: str,
    environment: Mapping[str, str],
    mistakes: list[str],
) -> dict[str, Any]:
    checked = {}
    for option in options:
        variable = f"{ENVIRONMENT}{section}_{option.name}".upper()
        if variable in environment:
            place, value = variable, _from_text(option, environment[variable])
        elif option.name in values:
            place, value = f"{name}: {section}.{option.name}", values[option.name]
        else:
            continue
        if problem := problem_with(option, value):
            shown = "not printed" if option.metadata.get("secret") else repr(value)
            mistakes.append(f"{place} is {shown}; {problem}")
        else:
            checked[option.name] = float(value) if isinstance(option.default, float) else value
    return checked


def _from_text(option: Field[Any], value: str) -> Any:
    """A variable's value in the option's kind; left as it is where it is none, so that the mistake is shown."""
    if "low" not in option.metadata:
        return value
    try:
        return int(value) if isinstance(option.default, int) else float(value)
    except ValueError:
        return value


def _known(given: Any, names: list[str], section: str, name: str, mistakes: list[str]) -> Mapping[str, Any]:
    """The keys that exist; each other one is a mistake with a suggestion."""
    if not isinstance(given, Mapping):
        mistakes.append(f"{name}: {section or 'the file'} is {given!r:.40}; use keys with values")
        return {}
    for key in given:
        if key not in names:
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
    return "" if isinstance(value, str) else "use text, in quotes where it looks like something else"


def require(config: CloudConfig, *keys: str) -> None:
    """Raise CloudConfigError for options such as ``store.bucket`` that a command needs and that are empty."""
    empty = [key for key in keys if not getattr(getattr(config, key.partition(".")[0]), key.partition(".")[2])]
    if empty:
        variables = ", ".join(f"{ENVIRONMENT}{key.replace('.', '_').upper()}" for key in empty)
        raise CloudConfigError(f"{', '.join(empty)} must be given; set it in the file, or {variables}")
