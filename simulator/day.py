"""A day in and before a store: who comes when, how long they stay, where they stand, and which frames that makes.

Everything follows from the seed: the same seed and settings give the same capture, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from random import Random
from statistics import median
from typing import Any

from simulator.air import Phone, scan
from simulator.phones import PRINTER, choose_model
from simulator.places import LAYOUTS, WALKING_M_S, Layout, Position

DAY_S = 86_400
QUARTER_S = 900
VISITOR_S, ENGAGED_S, RESIDENT_S = 300, 900, 8 * 3600
"""The rule that the truth is told by: own preset of the product (docs/glossary.md)."""
PRINTERS_MAX = 256
"""Addresses of the documentation range 00:00:5e:00:53:xx (RFC 7042, 2.1.2)."""
BUSY = (0.5, 0.7, 1.3, 1.2, 0.9, 0.8, 1.0, 1.4, 1.5, 1.0)
"""How busy each tenth of the opening hours is, relative."""


@dataclass(frozen=True, slots=True)
class DaySettings:
    """What a day looks like."""

    seed: int = 1
    date: str = "2026-11-20"
    shoppers: int = 2000
    """Passers-by and visitors together."""
    visitor_share: float = 0.25
    opens_h: float = 10.0
    closes_h: float = 19.0
    staff: int = 4
    printers: int = 2
    utc_offset_min: int = 0
    """Local time of the store minus UTC."""
    layout: str = "street"
    """A name in LAYOUTS."""


@dataclass(slots=True)
class Person:
    """One device's true presence, epoch seconds. ``enters_s`` is None for who never comes in. No address is kept."""

    kind: str
    model: str
    arrives_s: float
    leaves_s: float
    enters_s: float | None = None
    exits_s: float | None = None
    frames: int = 0

    @property
    def inside_s(self) -> float:
        """Seconds spent inside."""
        return 0.0 if self.enters_s is None or self.exits_s is None else self.exits_s - self.enters_s

    def is_inside(self, at_s: float) -> bool:
        """Whether this person is in the store at a time, epoch seconds."""
        return self.enters_s is not None and self.exits_s is not None and self.enters_s <= at_s < self.exits_s


def simulate(settings: DaySettings) -> tuple[list[tuple[int, bytes]], dict[str, Any]]:
    """The frames (time in µs, captured bytes) in order of time, and the truth."""
    return day_of(settings, list(everybody(settings)))


def day_of(
    settings: DaySettings, people: Sequence[tuple[Person, list[tuple[int, bytes]]]]
) -> tuple[list[tuple[int, bytes]], dict[str, Any]]:
    """The same, of people who were made before."""
    frames = sorted((frame for _, heard in people for frame in heard), key=lambda frame: frame[0])
    return frames, truth(settings, [person for person, _ in people], len(frames))


def everybody(settings: DaySettings) -> Iterator[tuple[Person, list[tuple[int, bytes]]]]:
    """Each person of the day, and the frames (time in µs, captured bytes) that are heard of their phone."""
    random = Random(settings.seed)
    midnight_s = _midnight_s(settings)
    opens_s, closes_s = midnight_s + settings.opens_h * 3600, midnight_s + settings.closes_h * 3600
    people = [_shopper(random, settings, opens_s, closes_s) for _ in range(settings.shoppers)]
    people += [_staff(random, opens_s, closes_s) for _ in range(settings.staff)]
    people += [
        Person("printer", PRINTER.name, midnight_s, midnight_s + DAY_S, midnight_s, midnight_s + DAY_S)
        for _ in range(settings.printers)
    ]
    for number, person in enumerate(people):
        frames: list[tuple[int, bytes]] = []
        _live(person, number, Random(f"{settings.seed}/{number}"), LAYOUTS[settings.layout], frames)
        yield person, frames


def _midnight_s(settings: DaySettings) -> float:
    """Epoch seconds at which the local day begins."""
    midnight = datetime.combine(date.fromisoformat(settings.date), datetime.min.time(), UTC)
    return midnight.timestamp() - settings.utc_offset_min * 60


def _shopper(random: Random, settings: DaySettings, opens_s: float, closes_s: float) -> Person:
    tenth = random.choices(range(len(BUSY)), BUSY)[0]
    arrives_s = opens_s + (tenth + random.random()) * (closes_s - opens_s) / len(BUSY)
    crossing_s = 2 * LAYOUTS[settings.layout].heard_m / (WALKING_M_S * random.uniform(0.8, 1.2))
    if random.random() >= settings.visitor_share:
        return Person("passer-by", "", arrives_s, arrives_s + crossing_s)
    stays_s = min(random.lognormvariate(6.5, 0.75), max(120.0, closes_s - arrives_s - crossing_s))
    enters_s = arrives_s + crossing_s / 2
    return Person("shopper", "", arrives_s, enters_s + stays_s + crossing_s / 2, enters_s, enters_s + stays_s)


def _staff(random: Random, opens_s: float, closes_s: float) -> Person:
    enters_s, exits_s = opens_s - random.uniform(600, 2400), closes_s + random.uniform(300, 1500)
    return Person("staff", "", enters_s, exits_s, enters_s, exits_s)


def _live(person: Person, number: int, random: Random, layout: Layout, frames: list[tuple[int, bytes]]) -> None:
    """All scans of one device."""
    model, build = (PRINTER, 0) if person.kind == "printer" else choose_model(random)
    person.model = model.name
    address = bytes.fromhex("00005e0053") + bytes((number % PRINTERS_MAX,)) if person.kind == "printer" else None
    phone = Phone(model, random, random.gauss(0.0, 3.0), build, address)
    position = Position(layout, random)
    at_s = person.arrives_s + random.random() * phone.period_s
    while at_s < person.leaves_s:
        scan(phone, at_s, _level_dbm(person, position, at_s), frames)
        at_s += phone.next_scan_s()
    person.frames = phone.frames


def _level_dbm(person: Person, position: Position, at_s: float) -> float:
    """How loud the person's phone is at a time."""
    if person.is_inside(at_s):
        return position.inside_dbm()
    if person.enters_s is None or person.exits_s is None:
        return position.outside_dbm(at_s - (person.arrives_s + person.leaves_s) / 2)
    return position.outside_dbm(at_s - (person.enters_s if at_s < person.enters_s else person.exits_s))


def truth(settings: DaySettings, people: list[Person], frames: int) -> dict[str, Any]:
    """What was so, as JSON can hold it."""
    midnight_s = _midnight_s(settings)
    customers = [p for p in people if p.kind in ("passer-by", "shopper")]
    visitors = [p for p in customers if p.inside_s >= VISITOR_S]
    passers_by = [p for p in customers if p.inside_s < VISITOR_S]
    dwell = sorted(p.leaves_s - p.arrives_s for p in visitors)
    quarters = []
    for start_s in range(int(midnight_s), int(midnight_s) + DAY_S, QUARTER_S):
        shared = sum(
            max(0.0, min(p.exits_s or 0, start_s + QUARTER_S) - max(p.enters_s or 0, start_s)) for p in visitors
        )
        came = sum(1 for p in visitors if start_s <= p.arrives_s < start_s + QUARTER_S)
        quarters.append({"start_ms": start_s * 1000, "occupancy": round(shared / QUARTER_S, 2), "visitors": came})
    return {
        "settings": asdict(settings),
        "frames": frames,
        "summary": {
            "devices": len(people),
            "devices_heard": sum(1 for p in people if p.frames),
            "passers_by": len(passers_by),
            "passers_by_heard": sum(1 for p in passers_by if p.frames),
            "visitors": len(visitors),
            "visitors_heard": sum(1 for p in visitors if p.frames),
            "engaged": sum(1 for p in visitors if p.inside_s >= ENGAGED_S),
            "residents": sum(1 for p in people if p.leaves_s - p.arrives_s > RESIDENT_S),
            "capture_rate": round(len(visitors) / max(1, len(customers)), 4),
            "dwell_median_s": round(median(dwell)) if dwell else None,
        },
        "quarters": quarters,
        "people": [
            {
                "kind": p.kind,
                "model": p.model,
                "arrives_ms": round(p.arrives_s * 1000),
                "leaves_ms": round(p.leaves_s * 1000),
                "enters_ms": None if p.enters_s is None else round(p.enters_s * 1000),
                "exits_ms": None if p.exits_s is None else round(p.exits_s * 1000),
                "frames": p.frames,
            }
            for p in people
        ],
    }
