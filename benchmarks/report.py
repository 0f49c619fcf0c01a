"""What was measured -> docs/benchmarks.md (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Row:
    """One measured thing. ``is_met`` is None where nothing was promised."""

    what: str
    measured: str
    target: str = ""
    is_met: bool | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """One case: what was done, and its table."""

    title: str
    method: str
    rows: Sequence[Row] = field(default_factory=tuple)


def at_least(what: str, value: float, target: float, unit: str = "") -> Row:
    """A figure that should be as large as ``target``."""
    return Row(what, show(value, unit), f"at least {show_target(target, unit)}", value >= target)


def at_most(what: str, value: float, target: float, unit: str = "") -> Row:
    """A figure that should be no larger than ``target``."""
    return Row(what, show(value, unit), f"at most {show_target(target, unit)}", value <= target)


def show(value: float, unit: str = "") -> str:
    """Three digits that count; nobody measures more."""
    if value >= 1000:
        number = f"{round(value, -len(str(int(value))) + 3):,.0f}"
    else:
        number = f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f}"
    return f"{number} {unit}".rstrip()


def show_target(target: float, unit: str) -> str:
    """A target as it was promised."""
    return f"{target:,g} {unit}".rstrip()


def markdown(introduction: str, sections: Sequence[Section]) -> str:
    """The whole report."""
    parts = ["# Benchmarks", introduction]
    for section in sections:
        lines = ["| | measured | target | met |", "| --- | ---: | ---: | --- |"]
        lines += [f"| {row.what} | {row.measured} | {row.target or '–'} | {_met(row)} |" for row in section.rows]
        parts += [f"## {section.title}", section.method, "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def _met(row: Row) -> str:
    if row.is_met is None:
        return "–"
    return "yes" if row.is_met else "**no**"


def missed(sections: Sequence[Section]) -> list[str]:
    """The promises that were not kept, one line each."""
    return [
        f"{section.title}: {row.what}: {row.measured}, target {row.target}"
        for section in sections
        for row in section.rows
        if row.is_met is False
    ]
