"""Sets channels, settles where the radio says no, and reports where we are (shell).

`Hopper.step(now_s)` is called when its time has come (`due_s`); it sets at most one channel and gives the `Stay` that
begins. It never sleeps, so it fits into a loop of its own (`python -m firmware_hooks hop`) as into the agent's. The report
is a file of one JSON object, replaced whole on each hop, in RAM; a source that books listening time reads it:

    {"interface": "mon0", "channel": 6, "frequency_mhz": 2437, "since_s": 81.2, "is_hopping": true, "trouble": ""}

``since_s`` is CLOCK_MONOTONIC, because an access point has no other clock at boot.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from firmware_hooks.channels import DEFAULT_SETTINGS, ChannelPlan, Dwell, PlanSettings, schedule
from firmware_hooks.system import Run, run_command

EBUSY, ENODEV, EINVAL = 16, 19, 22
RETRY_AFTER_S = 60.0
"""How often a radio that was busy is asked again: an access point that was switched off leaves it free."""


@dataclass(frozen=True, slots=True)
class Stay:
    """Where the radio listens since when. ``channel`` None: not known, take it from the frames."""

    interface: str
    channel: int | None
    frequency_mhz: int | None
    since_s: float
    is_hopping: bool
    trouble: str = ""


class Hopper:
    """Goes round the channels of a plan.

    ``heard`` is asked once a cycle for probe requests by channel number. Frames tell their channel themselves
    (radiotap); this tells where we listened while nothing came.
    """

    def __init__(
        self,
        interface: str,
        plan: ChannelPlan,
        settings: PlanSettings = DEFAULT_SETTINGS,
        *,
        run: Run = run_command,
        heard: Callable[[], Mapping[int, int]] = dict,
    ) -> None:
        self.interface = interface
        self.plan = plan
        self.settings = settings
        self.heard = heard
        self.due_s = 0.0
        self.stay: Stay | None = None
        self.hops = 0
        self.refusals = 0
        self._run = run
        self._left: list[Dwell] = []
        self._disabled: set[int] = set()

    def step(self, now_s: float) -> Stay:
        """Make the next hop if its time has come; gives where we are."""
        if self.stay is not None and now_s < self.due_s:
            return self.stay
        if self.plan.is_fixed:
            return self._settle(now_s, self.plan.home_channel, "")
        dwell = self._next_dwell()
        if dwell is None:
            return self._settle(now_s, None, f"no channel of the plan can be set on {self.interface}")
        return self._hop(now_s, dwell)

    def _next_dwell(self) -> Dwell | None:
        if not self._left:
            self._left = list(schedule(self.plan, self.heard(), self.settings))
        while self._left:
            dwell = self._left.pop(0)
            if dwell.channel not in self._disabled:
                return dwell
        return None

    def _hop(self, now_s: float, dwell: Dwell) -> Stay:
        if self.stay and self.stay.channel == dwell.channel and self.stay.is_hopping:
            self.due_s = now_s + dwell.dwell_ms / 1000  # one channel only: nothing to set
            return self.stay
        # By frequency: a channel number alone is ambiguous where the radio has 6 GHz.
        answer = self._run(("iw", "dev", self.interface, "set", "freq", str(dwell.frequency_mhz)))
        if answer.code == 0:
            self.hops += 1
            self.due_s = now_s + dwell.dwell_ms / 1000
            self.stay = Stay(self.interface, dwell.channel, dwell.frequency_mhz, now_s, True)
            return self.stay
        self.refusals += 1
        if answer.errno == EINVAL and dwell.channel is not None:
            self._disabled.add(dwell.channel)  # the country changed under us; the others still work
            self.due_s = now_s
            return self._stay_put(now_s, f"channel {dwell.channel} is disabled in this country now; it is left out")
        return self._settle(now_s, None, self._why(answer.errno, answer.error))

    def _stay_put(self, now_s: float, trouble: str) -> Stay:
        before = self.stay
        channel, frequency = (before.channel, before.frequency_mhz) if before else (None, None)
        since_s = before.since_s if before else now_s
        self.stay = Stay(self.interface, channel, frequency, since_s, bool(before and before.is_hopping), trouble)
        return self.stay

    def _settle(self, now_s: float, channel: int | None, trouble: str) -> Stay:
        """Stay where the radio is, and ask again later."""
        self.due_s = now_s + RETRY_AFTER_S
        self._left = []
        self._disabled.clear()
        if self.stay is None or self.stay.is_hopping or (self.stay.channel, self.stay.trouble) != (channel, trouble):
            self.stay = Stay(self.interface, channel, None, now_s, False, trouble)
        return self.stay

    def _why(self, errno: int | None, said: str) -> str:
        if errno == EBUSY:
            return (
                f"{self.interface} cannot leave its channel: the radio serves, or another interface of it is up "
                f"(EBUSY); it stays there and is asked again every {RETRY_AFTER_S:.0f} s"
            )
        if errno == ENODEV:
            return f"{self.interface} is gone; it is asked for again every {RETRY_AFTER_S:.0f} s"
        return f"{self.interface}: the channel cannot be set ({said.strip() or 'no reason given'})"


def write_stay(path: Path, stay: Stay) -> None:
    """Replace the report whole; raises OSError."""
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(asdict(stay)) + "\n")
    part.rename(path)


def read_heard(path: Path) -> dict[int, int]:
    """Probe requests by channel number as the agent wrote them ({"6": 120}); empty where there are none or they are not
    readable, because a plan without weights is better than none."""
    try:
        loaded = json.loads(path.read_text())
        return {int(channel): int(count) for channel, count in loaded.items() if int(count) >= 0}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
