"""Which channel for how long (core). Why it is so: docs/adr/0012-channel-plan.md.

A radio that serves does not hop: the kernel answers EBUSY, and a hop would cost the shop's own clients. A free radio goes
round its channels in a fixed order; a cycle's time is shared by the probe requests heard on each, with a floor for every
channel so that a quiet one is never given up. The same channels and the same counts give the same schedule.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from firmware_hooks.capability import RadioReport
from firmware_hooks.errors import RadioUnfit
from firmware_hooks.iw_text import Channel

DEFAULT_CHANNELS_2GHZ = (1, 6, 11)
"""Every phone asks on them, and what is sent on the channels between is partly heard here."""
CHANNELS_2GHZ_BELOW_MHZ = 2500
SIX_GHZ_FROM_MHZ = 5945


@dataclass(frozen=True, slots=True)
class PlanSettings:
    """``explore`` is the share of the free time that is given evenly, whatever was heard."""

    cycle_ms: int = 15_000
    min_dwell_ms: int = 1_000
    explore: float = 0.25


DEFAULT_SETTINGS = PlanSettings()


@dataclass(frozen=True, slots=True)
class Dwell:
    """One stay. ``channel`` is None where the radio stays where it serves and iw does not say on which channel."""

    channel: int | None
    frequency_mhz: int | None
    dwell_ms: int
    is_passive: bool = False


@dataclass(frozen=True, slots=True)
class ChannelPlan:
    """Where to listen. ``is_fixed``: no channel is ever set. ``reason`` is one sentence for the owner."""

    channels: tuple[Channel, ...]
    is_fixed: bool
    reason: str
    home_channel: int | None = None


def plan_channels(report: RadioReport, wanted: Iterable[int] = ()) -> ChannelPlan:
    """The channels for a radio; ``wanted`` empty lets us choose. Raises RadioUnfit for a channel that it cannot hear."""
    home = report.home_channel
    if report.serving:
        names = ", ".join(interface.name for interface in report.serving)
        where = f"channel {home}" if home else "the channel it serves on"
        return ChannelPlan(
            (), True, f"{report.radio.name} serves ({names}): it stays on {where} and does not hop", home
        )
    channels = _wanted(report, tuple(wanted)) or _default(report)
    if not channels:
        raise RadioUnfit(f"{report.radio.name} may listen on no channel; set the country: iw reg set XX")
    numbers = ", ".join(str(channel.number) for channel in channels)
    return ChannelPlan(channels, False, f"{report.radio.name} is free: it listens on {numbers} in turn")


def _wanted(report: RadioReport, wanted: tuple[int, ...]) -> tuple[Channel, ...]:
    # A number names two channels where the radio has 6 GHz as well; the lower band is meant, phones ask there first.
    by_number = {channel.number: channel for channel in sorted(report.channels, key=lambda c: -c.frequency_mhz)}
    missing = [number for number in wanted if number not in by_number]
    if missing:
        known = ", ".join(map(str, sorted(by_number)))
        raise RadioUnfit(
            f"{report.radio.name} may not listen on channel {missing[0]} (not there, or disabled in this country); allowed: {known}"
        )
    return tuple(by_number[number] for number in dict.fromkeys(wanted))


def _default(report: RadioReport) -> tuple[Channel, ...]:
    """1, 6 and 11, else those of the 5 GHz band where a phone asks unasked."""
    active = [c for c in report.channels if not c.is_passive and c.frequency_mhz < SIX_GHZ_FROM_MHZ]
    low = [c for c in active if c.frequency_mhz < CHANNELS_2GHZ_BELOW_MHZ]
    usual = [c for c in low if c.number in DEFAULT_CHANNELS_2GHZ]
    return tuple(usual or low or active or report.channels)


def schedule(
    plan: ChannelPlan, heard: Mapping[int, int], settings: PlanSettings = DEFAULT_SETTINGS
) -> tuple[Dwell, ...]:
    """One cycle. ``heard``: channel number -> probe requests in the time behind us; channels it lacks count 0.

    The dwells add up to ``cycle_ms``, or to the floor of every channel where that is more; none is below
    ``min_dwell_ms``; a channel on which more was heard gets no less time. Passive channels get the floor: a phone asks
    there only after it heard an access point, so a long stay hears beacons. A fixed plan gives one endless stay.
    """
    if plan.is_fixed:
        return (Dwell(plan.home_channel, None, settings.cycle_ms, True),)
    floor = settings.min_dwell_ms
    free = max(0, settings.cycle_ms - floor * len(plan.channels))
    extra = _share(free, [_weight(channel, plan, heard, settings.explore) for channel in plan.channels])
    return tuple(
        Dwell(channel.number, channel.frequency_mhz, floor + more, channel.is_passive)
        for channel, more in zip(plan.channels, extra, strict=True)
    )


def _weight(channel: Channel, plan: ChannelPlan, heard: Mapping[int, int], explore: float) -> float:
    active = [c for c in plan.channels if not c.is_passive]
    if not active:
        return 1.0
    if channel.is_passive:
        return 0.0
    total = sum(max(0, heard.get(c.number, 0)) for c in active)
    even = 1 / len(active)
    return even if not total else explore * even + (1 - explore) * max(0, heard.get(channel.number, 0)) / total


def _share(amount: int, weights: list[float]) -> list[int]:
    """Whole milliseconds by weight; what rounding leaves over goes to the greatest remainders, earlier channels first."""
    total = sum(weights)
    exact = [amount * weight / total for weight in weights]
    parts = [int(value) for value in exact]
    order = sorted(range(len(parts)), key=lambda i: (-(exact[i] - parts[i]), i))
    for index in order[: amount - sum(parts)]:
        parts[index] += 1
    return parts
