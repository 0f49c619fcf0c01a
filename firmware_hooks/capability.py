"""Can this radio listen, can it listen while it serves, and where (core).

`judge` puts together what the radio claims (`iw_text`), what is known against its driver (`drivers`) and what it does at
the moment (its interfaces). The result is what `report` prints and what `plan` obeys.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from firmware_hooks.drivers import NEVER, Objection, objections
from firmware_hooks.iw_text import Channel, Interface, Radio


@dataclass(frozen=True, slots=True)
class RadioReport:
    """One radio. ``home_channel`` is the channel that it serves on; None where it serves nobody or iw does not say."""

    radio: Radio
    driver: str | None
    interfaces: tuple[Interface, ...]
    can_monitor: bool
    can_monitor_beside_ap: bool
    objections: tuple[Objection, ...]

    @property
    def serving(self) -> tuple[Interface, ...]:
        """The interfaces whose channel others depend on."""
        return tuple(interface for interface in self.interfaces if interface.is_serving)

    @property
    def home_channel(self) -> int | None:
        """Channel number that the radio serves on."""
        return next((i.channel for i in self.serving if i.channel is not None), None)

    @property
    def may_monitor_now(self) -> bool:
        """True if a monitor interface may be made as the radio is used at this moment."""
        return self.can_monitor_beside_ap if self.serving else self.can_monitor

    @property
    def may_hop(self) -> bool:
        """Beside an access point the kernel refuses every other channel (EBUSY, measured), so only an idle radio hops."""
        return self.can_monitor and not self.serving

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The channels that may be listened to."""
        return tuple(channel for channel in self.radio.channels if not channel.is_disabled)


def judge(
    radios: Iterable[Radio], interfaces: Iterable[Interface], drivers: Mapping[str, str | None]
) -> tuple[RadioReport, ...]:
    """One report for each radio, in order. ``drivers`` is radio name -> driver name, None where it is not known."""
    known = tuple(interfaces)
    return tuple(_judge_one(radio, known, drivers.get(radio.name)) for radio in radios)


def _judge_one(radio: Radio, interfaces: tuple[Interface, ...], driver: str | None) -> RadioReport:
    against = objections(driver)
    forbidden = {entry.use for entry in against if entry.weight == NEVER}
    claims = "monitor" in radio.modes or "monitor" in radio.software_modes
    can_monitor = claims and "monitor" not in forbidden
    beside = can_monitor and "monitor_beside_ap" not in forbidden and claims_monitor_beside_ap(radio)
    own = tuple(interface for interface in interfaces if interface.radio == radio.name)
    return RadioReport(radio, driver, own, can_monitor, beside, against)


def claims_monitor_beside_ap(radio: Radio) -> bool:
    """mac80211 lists monitor among the modes that can always be added; other drivers must name the combination."""
    if "AP" not in radio.modes:
        return False
    return "monitor" in radio.software_modes or any(c.allows("AP", "monitor") for c in radio.combinations)


def choose(reports: Iterable[RadioReport]) -> RadioReport | None:
    """The radio to listen with: one that is free and may hop, else one that can listen while it serves, else None."""
    able = [report for report in reports if report.may_monitor_now]
    return min(able, key=lambda report: (bool(report.serving), report.radio.name), default=None)


def advice(report: RadioReport) -> str:
    """One sentence for the owner: what this radio is good for and what to do."""
    name = report.radio.name
    if not report.can_monitor:
        known = next((o.reason for o in report.objections if o.weight == NEVER), "its driver offers no monitor mode")
        return f"{name} cannot listen: {known}"
    if report.serving and not report.can_monitor_beside_ap:
        known = next(
            (o.reason for o in report.objections if o.weight == NEVER), "the driver allows no monitor beside it"
        )
        return f"{name} serves and cannot listen at the same time: {known}. Use source 'hostapd', or a second radio"
    if report.serving:
        where = f"channel {report.home_channel}" if report.home_channel else "the channel it serves on"
        return f"{name} can listen while it serves, on {where} only; a radio of its own would hear more channels"
    return f"{name} is free to listen on {len(report.channels)} channels"
