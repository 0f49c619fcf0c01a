"""Crowds with a known truth, mixed from sessions of single labelled phones.

A session is some 18 minutes of one phone alone, heard by three radios (channels 1, 6, 11). A crowd is several sessions moved
to a common time and merged. Sessions of one phone taken as several phones are identical phones: the same model, the same
software, another time. Everything is decoded once; a crowd is then a list in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from agent.dot11.captured import Tick
from agent.dot11.decoder import Decoder
from agent.dot11.probe_request import ProbeRequest
from agent.sources.pcap import PcapSource

SECOND_US = 1_000_000
CHANNELS = (1, 6, 11)
Heard = tuple[int, ProbeRequest]
"""Time in microseconds, and what was heard."""


@dataclass(frozen=True)
class Session:
    """One phone alone. ``heard`` has one list for each radio; times begin at the first frame of any of them."""

    phone: str
    name: str
    heard: dict[int, list[Heard]]

    def on(self, channels: Sequence[int]) -> list[Heard]:
        """What the radios on ``channels`` heard, merged by time."""
        frames = [frame for channel in channels for frame in self.heard.get(channel, ())]
        frames.sort(key=lambda frame: frame[0])
        return frames


@dataclass(frozen=True)
class Crowd:
    """What one or three radios heard of several devices: time, probe request and the number of the device behind it."""

    kind: str
    members: tuple[str, ...]
    frames: list[tuple[int, ProbeRequest, int]]

    @property
    def devices(self) -> int:
        """How many devices were really heard."""
        return len({device for _, _, device in self.frames})


def load_sessions(folder: Path) -> list[Session]:
    """The sessions of ``folder``/<phone>/<start>-<mode>-ch<channel>.pcap, by phone and time."""
    found: dict[tuple[str, str], dict[int, list[Heard]]] = {}
    for capture in sorted(folder.glob("*/*-ch*.pcap")):
        name, channel = capture.stem.rsplit("-ch", 1)
        found.setdefault((capture.parent.name, name), {})[int(channel)] = _decode(capture)
    return [Session(phone, name, _from_zero(heard)) for (phone, name), heard in found.items() if any(heard.values())]


def _decode(capture: Path) -> list[Heard]:
    decoders: dict[int, Decoder] = {}
    heard = []
    for frame in PcapSource([capture]):
        if isinstance(frame, Tick):
            continue
        decoder = decoders.setdefault(frame.link_type, Decoder(frame.link_type))
        request = decoder.decode(frame.data, frame.is_cut)
        if isinstance(request, ProbeRequest):
            heard.append((frame.time_us, request))
    return heard


def _from_zero(heard: dict[int, list[Heard]]) -> dict[int, list[Heard]]:
    start_us = min(frames[0][0] for frames in heard.values() if frames)
    return {channel: [(t - start_us, request) for t, request in frames] for channel, frames in heard.items()}


def mix(kind: str, sessions: Sequence[Session], channels: Sequence[int], starts_s: Sequence[float]) -> Crowd:
    """The sessions as one crowd, each beginning at its own time. Sessions that the radios did not hear are left out."""
    frames = []
    members = []
    for session, start_s in zip(sessions, starts_s, strict=True):
        heard = session.on(channels)
        if not heard:
            continue
        shift_us = int(start_s * SECOND_US) + SECOND_US
        frames += [(t + shift_us, request, len(members)) for t, request in heard]
        members.append(f"{session.phone} {session.name}")
    frames.sort(key=lambda frame: frame[0])
    return Crowd(kind, tuple(members), frames)


WALK_IN_VISITS = 24


def _phones(sessions: Sequence[Session]) -> dict[str, list[Session]]:
    phones: dict[str, list[Session]] = {}
    for session in sessions:
        phones.setdefault(session.phone, []).append(session)
    return phones


def _radios(random: Random, radios: int) -> Sequence[int]:
    return CHANNELS if radios == 3 else (random.choice(CHANNELS),)


def _together(random: Random, number: int) -> list[float]:
    """All begin within a minute and a half."""
    return [random.uniform(0.0, 90.0) for _ in range(number)]


def different_phones(sessions: Sequence[Session], random: Random, radios: int, phones: int = 11) -> Crowd:
    """One session of each of up to ``phones`` phones, all at once."""
    known = _phones(sessions)
    chosen = random.sample(sorted(known), min(phones, len(known)))
    members = [random.choice(known[phone]) for phone in chosen]
    return mix("different", members, _radios(random, radios), _together(random, len(members)))


def twins(sessions: Sequence[Session], random: Random, radios: int) -> Crowd:
    """Two sessions of every phone, as two phones of each model, all at once."""
    members = [s for _, own in sorted(_phones(sessions).items()) for s in random.sample(own, min(2, len(own)))]
    return mix("twins", members, _radios(random, radios), _together(random, len(members)))


def mostly_identical(sessions: Sequence[Session], random: Random, radios: int, others: int = 2) -> Crowd:
    """All sessions of one iPhone or Pixel as so many phones, and one session of each of a few other phones."""
    known = _phones(sessions)
    many = [phone for phone in sorted(known) if ("iphone" in phone or "pixel" in phone) and len(known[phone]) > 2]
    model = random.choice(many or sorted(known))
    rest = random.sample([phone for phone in sorted(known) if phone != model], min(others, len(known) - 1))
    members = known[model] + [random.choice(known[phone]) for phone in rest]
    return mix("identical", members, _radios(random, radios), _together(random, len(members)))


def walk_in(sessions: Sequence[Session], random: Random, radios: int) -> Crowd:
    """Sessions that share no address, each beginning at any time of an hour: phones come and go, some of one model."""
    members: list[Session] = []
    used: set[bytes] = set()
    for session in random.sample(list(sessions), len(sessions)):
        addresses = {request.address for _, request in session.on(CHANNELS)}
        if used.isdisjoint(addresses) and len(members) < WALK_IN_VISITS:
            members.append(session)
            used |= addresses
    starts = [random.uniform(0.0, 3600.0) for _ in members]
    return mix("walk-in", members, _radios(random, radios), starts)


KINDS: dict[str, Callable[[Sequence[Session], Random, int], Crowd]] = {
    "different": different_phones,
    "twins": twins,
    "identical": mostly_identical,
    "walk-in": walk_in,
}
"""The kinds of crowds of the accuracy card."""
