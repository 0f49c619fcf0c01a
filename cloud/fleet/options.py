"""Which options of an access point the cloud may set, and within which bounds (core). A test holds them to the agent's own.

Few on purpose: nothing that says where batches go, whom to trust or what may leave the access point can be changed from afar.
"""

from __future__ import annotations

from dataclasses import dataclass


class OptionError(ValueError):
    """A value that the access point would refuse. ``option`` names it."""

    def __init__(self, option: str, message: str) -> None:
        super().__init__(message)
        self.option = option


@dataclass(frozen=True, slots=True)
class Option:
    """One option; ``default`` is what the access point uses where the cloud says nothing."""

    name: str
    default: float
    low: float
    high: float
    is_whole: bool = False


OPTIONS = (
    Option("proximity.threshold_dbm", -67.0, -100, -20),
    Option("proximity.slope_db", 6.0, 0.5, 20),
    Option("tracking.track_timeout_s", 900, 60, 7200, True),
    Option("batch.window_s", 30, 5, 300, True),
    Option("batch.max_age_s", 30, 1, 3600, True),
    Option("spool.limit_bytes", 16_000_000, 100_000, 10_000_000_000, True),
    Option("spool.flash_after_s", 3600, 0, 604_800, True),
    Option("upload.last_retry_s", 300.0, 1, 3600),
)


def checked_options(texts: dict[str, str]) -> dict[str, dict[str, float]]:
    """Section -> option -> value of what is not left empty. Raises OptionError."""
    content: dict[str, dict[str, float]] = {}
    for option in OPTIONS:
        text = texts.get(option.name, "").strip().replace(",", ".").replace("\u2212", "-")
        if text:
            section, _, name = option.name.partition(".")
            content.setdefault(section, {})[name] = _number(option, text)
    return content


def _number(option: Option, text: str) -> float:
    try:
        value = int(text) if option.is_whole else float(text)
    except ValueError:
        value = float("nan")
    if not option.low <= value <= option.high:
        allowed = f"{option.low:g} to {option.high:g}"
        raise OptionError(
            option.name, f"{option.name} is {text!r}; use {'a whole number ' if option.is_whole else ''}{allowed}"
        )
    return value
