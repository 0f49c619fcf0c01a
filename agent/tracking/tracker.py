"""Bursts -> tracks, in streaming order, in bounded memory (core; docs/adr/0005-tracking.md).

A phone takes a new address at every scan, so a burst is joined to a track by what stays: an address seen before decides
at once; otherwise the tracks of the same fingerprint are compared by level, by the time since their last scan, and by
the sequence counter where this model is seen to keep it. The cheapest join is made if it costs less than "this is a
phone not heard before". Costs are negative log likelihoods, so the margin between best and second is the certainty of
the decision, and certainties add up to the interval of the count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import nlargest, nsmallest
from math import exp, log, sqrt, tau
from operator import attrgetter

from agent.dot11.mac import is_randomised
from agent.dot11.probe_request import ProbeRequest
from agent.tracking.bursts import BODIES_A_BURST, Burst, Track
from agent.tracking.estimate import Z90
from agent.tracking.estimate import DeviceEstimate as DeviceEstimate
from agent.tracking.fingerprint import Fingerprint, Fingerprints
from agent.tracking.habits import CANDIDATES, COUNTER_MODULUS, PRIOR_ODDS_CHANGE, runs_on
from agent.tracking.rhythm import FEWEST_GAPS, air_regularity, density, family_regularity, untimed
from agent.wire.model import AddressKind

SECOND_US = 1_000_000
ROOT_OF_TAU = sqrt(tau)


@dataclass(frozen=True, slots=True)
class TrackingSettings:
    """Times, and the caps that keep the tracker within about 4 MB."""

    burst_gap_ms: int = 1000
    """A longer silence of one address ends its burst."""
    max_burst_ms: int = 10_000
    """No burst is longer."""
    track_timeout_s: int = 900
    """A track silent for longer is over; the next burst like it is a new device."""
    max_tracks: int = 4000
    max_addresses: int = 8000
    max_bodies: int = 1000
    max_families: int = 1000


LEVEL_SIGMA_DB = 5.0
"""Spread of a phone's strongest levels from burst to burst; it grows with time because people walk."""
LEVEL_DRIFT_DB_PER_MINUTE = 1.0
LEVEL_SIGMA_MAX_DB = 9.0
LEVEL_RANGE_DB = 40.0
"""A phone not heard before may have any level in this range."""
FIRST_PERIOD_S = 60.0
"""Median seconds between two scans over 33 phones: where a family's own is not learned yet."""
SHORTEST_PERIOD_S, LONGEST_PERIOD_S = 8.0, 300.0
LEAVING_COST = 0.6
"""Who has been here for long will stay for long, who has just come may be gone: the chance of still being here falls with the
silence as measured by the track's own age."""
MOVED_SHARE = 0.1
"""Share of scans before which the phone went through a door or round a corner: any level may follow."""
SAME_SCAN_S = 8.0
"""Phones that change address within a scan do so in less."""
SAME_SCAN_SHARE = 0.15
"""Share of scans that show a further address, where a family's own is not learned yet."""
PRIOR_ARRIVALS, PRIOR_SPAN_S = 1.0, 3600.0
"""Arrivals of a family before any was heard: one an hour."""
OVERLAP_COST = 8.0
"""A phone that changes its address within a scan is done with the old one first; two at once are two phones."""
COUNTER_MOST_ODDS = 20.0
"""How sure of a model's counter anybody gets, as log odds: an update of its software may change it."""
COUNTER_SPAN = 512
"""A kept sequence counter moves on by no more between two scans heard on one channel of three."""
COUNTER_BONUS, COUNTER_PENALTY = 2.0, 2.5
MODEL_ERROR = 0.15
"""Relative standard deviation of a count that the decisions themselves do not know of: identical phones that were merged, one
phone with two fingerprints (docs/adr/0005-tracking.md)."""


class _Family:
    """Fingerprints that were seen under one address, hence of one model: its live tracks and its habits."""

    __slots__ = (
        "counter_odds",
        "first_us",
        "made",
        "merged_into",
        "period_s",
        "regularity",
        "tracks",
    )

    def __init__(self) -> None:
        self.tracks: list[Track] = []
        self.made = 0
        """Tracks that began."""
        self.first_us: int | None = None
        self.period_s = FIRST_PERIOD_S
        """Typical seconds between two scans of one phone, learned while only one of the family is near."""
        self.regularity = family_regularity()
        self.counter_odds = PRIOR_ODDS_CHANGE
        """Log odds that this model's counter runs on over a change of address."""
        self.merged_into: _Family | None = None

    def keeps_counter(self) -> bool:
        """True where scans under a new address are nearer to a counter that was heard before than chance has it."""
        return self.counter_odds > 0.0

    def hear_counter(self, sequence: int, tracks: Sequence[Track]) -> None:
        """Learn from a scan under a new address, before it is decided whose it is: what is learned from decisions confirms them."""
        if len(tracks) > CANDIDATES:
            tracks = nlargest(CANDIDATES, tracks, key=attrgetter("last_us"))
        steps = [(sequence - t.sequence_last) % COUNTER_MODULUS for t in tracks if t.sequence_last is not None]
        if steps:
            odds = self.counter_odds + runs_on(min(steps), len(steps))
            self.counter_odds = min(COUNTER_MOST_ODDS, max(-COUNTER_MOST_ODDS, odds))


class Tracker:
    """Joins probe requests to devices. ``observe`` for each, ``advance`` now and then, ``flush`` at the end."""

    def __init__(self, settings: TrackingSettings) -> None:
        self.settings = settings
        self.evicted_tracks = 0
        self._gap_us = settings.burst_gap_ms * 1000
        self._longest_us = settings.max_burst_ms * 1000
        self._timeout_us = settings.track_timeout_s * SECOND_US
        self._open: dict[bytes, Burst] = {}
        self._closed: list[Burst] = []
        self._fingerprints = Fingerprints(settings.max_bodies)
        self._families: dict[int, _Family] = {}
        self._air = air_regularity()
        self._tracks: dict[int, Track] = {}
        self._addresses: dict[bytes, Track] = {}
        self._older_addresses: dict[bytes, Track] = {}
        self._made = 0
        self._variance = 0.0
        self._window: dict[int, Track] = {}

    # --- the hot path ---------------------------------------------------------------------------------------------

    def observe(self, request: ProbeRequest, time_us: int) -> Burst:
        """Put a probe request into the open burst of its address, or open one. ``time_us`` never runs backwards."""
        address, sequence, rssi, channel, elements = request
        burst = self._open.get(address)
        if burst is None or time_us - burst.last_us > self._gap_us or time_us - burst.first_us > self._longest_us:
            if burst is not None:
                self._closed.append(burst)
            burst = self._open[address] = Burst(address, time_us, sequence)
            burst.bodies.append(elements)
            burst.channel = channel
        elif elements is not burst.bodies[-1] and elements not in burst.bodies and len(burst.bodies) < BODIES_A_BURST:
            burst.bodies.append(elements)
        burst.last_us = time_us
        burst.frames += 1
        burst.sequence_last = sequence
        if rssi is not None:
            burst.rssi.append(rssi)
            burst.channels.append(channel)
        return burst

    # --- deciding -------------------------------------------------------------------------------------------------

    def advance(self, time_us: int) -> list[Burst]:
        """Decide the bursts that are over at ``time_us``; gives them in order of their first frame, with ``track`` set."""
        over = [
            b
            for b in self._open.values()
            if time_us - b.last_us > self._gap_us or time_us - b.first_us > self._longest_us
        ]
        for burst in over:
            del self._open[burst.address]
        return self._decide(over)

    def flush(self) -> list[Burst]:
        """Decide all open bursts: the source has ended, or the day has."""
        over = list(self._open.values())
        self._open.clear()
        return self._decide(over)

    def estimate(self) -> DeviceEstimate:
        """How many devices were heard so far."""
        return self._interval(self._made, self._variance)

    def window_estimate(self) -> DeviceEstimate:
        """How many devices were heard since the last call."""
        tracks, self._window = self._window.values(), {}
        return self._interval(len(tracks), sum(track.certainty * (1.0 - track.certainty) for track in tracks))

    @staticmethod
    def _interval(devices: int, variance: float) -> DeviceEstimate:
        spread = Z90 * sqrt(variance + (MODEL_ERROR * devices) ** 2)
        low = max(min(devices, 1.0), devices - spread)
        return DeviceEstimate(
            float(devices), low, devices + spread, 1.0 / (1.0 + variance / devices) if devices else 1.0
        )

    def _decide(self, over: list[Burst]) -> list[Burst]:
        bursts = self._closed + over
        self._closed = []
        bursts.sort(key=lambda burst: (burst.first_us, burst.address))
        for burst in bursts:
            burst.track = track = self._track_of(burst)
            if burst.is_associated:
                track.kind = AddressKind.ASSOCIATED  # at once: nothing of this batch may be guessed into it either
            if len(self._window) < self.settings.max_tracks:
                self._window[track.number] = track
            self._remember(burst.address, track)
        return bursts

    def _track_of(self, burst: Burst) -> Track:
        family = self._family_of(burst)
        track = self._by_address(burst)
        if track is not None:
            self._join(family, track, burst, 0.99)
            return track
        if family is None or not is_randomised(burst.address):
            return self._new(family, burst, 0.99)
        level = burst.loudest()
        new_cost = self._new_cost(family, burst)
        best, best_cost, other_cost = None, new_cost, 30.0
        # Who shows a global address, or one by which it joined, does not hide it in the next scan.
        candidates = [t for t in self._live(family, burst.first_us) if t.kind is AddressKind.RANDOMISED]
        if burst.sequence_first is not None:
            family.hear_counter(burst.sequence_first, candidates)
        for candidate in candidates:
            cost = self._cost(family, candidate, burst, level)
            if cost < best_cost:
                best, best_cost, other_cost = candidate, cost, best_cost
            elif cost < other_cost:
                other_cost = cost
        certainty = 1.0 / (1.0 + exp(max(-30.0, best_cost - other_cost)))
        if best is None:
            return self._new(family, burst, certainty)
        # Only the choice between joining and a new device changes the count; which twin it was does not.
        p_new = 1.0 / (1.0 + exp(min(30.0, new_cost - best_cost)))
        self._variance += p_new * (1.0 - p_new)
        self._join(family, best, burst, certainty)
        return best

    def _new_cost(self, family: _Family, burst: Burst) -> float:
        """Negative log likelihood, per second and decibel, that a phone not heard before shows up now."""
        if family.first_us is None:
            family.first_us = burst.first_us
        span_s = PRIOR_SPAN_S + (burst.first_us - family.first_us) / SECOND_US
        return log(span_s / (PRIOR_ARRIVALS + family.made)) + log(LEVEL_RANGE_DB)

    def _cost(self, family: _Family, track: Track, burst: Burst, level: int | None) -> float:
        """Negative log likelihood, per second and decibel, that ``burst`` is what ``track`` sends next."""
        gap_s = max(0.0, (burst.first_us - track.last_us) / SECOND_US)
        if gap_s <= SAME_SCAN_S:
            cost = log(SAME_SCAN_S / SAME_SCAN_SHARE)
            if burst.first_us < track.last_us:
                cost += OVERLAP_COST
        else:
            cost = -log(density(track.beat, gap_s, log(family.period_s), family.regularity.untimed_share(self._air)))
            age_s = (track.last_us - track.first_us) / SECOND_US
            cost += LEAVING_COST * log(1.0 + gap_s / (age_s + family.period_s))
        if level is None or track.level is None:
            cost += log(LEVEL_RANGE_DB)
        else:
            sigma = min(LEVEL_SIGMA_MAX_DB, LEVEL_SIGMA_DB + LEVEL_DRIFT_DB_PER_MINUTE * gap_s / 60.0)
            near = exp(-(((level - track.level) / sigma) ** 2) / 2.0) / (sigma * ROOT_OF_TAU)
            cost -= log((1.0 - MOVED_SHARE) * near + MOVED_SHARE / LEVEL_RANGE_DB)
        if family.keeps_counter() and burst.sequence_first is not None and track.sequence_last is not None:
            ahead = (burst.sequence_first - track.sequence_last) % COUNTER_MODULUS
            cost += COUNTER_PENALTY if ahead > COUNTER_SPAN else -COUNTER_BONUS
        return cost

    def _join(self, family: _Family | None, track: Track, burst: Burst, certainty: float) -> None:
        gap_s = (burst.first_us - track.last_us) / SECOND_US
        if family is not None and gap_s > SAME_SCAN_S:
            self._hear_gap(family, track, burst, gap_s)
        level = burst.loudest()
        if level is not None:
            track.level = level if track.level is None else track.level + 0.4 * (level - track.level)
        track.last_us = max(track.last_us, burst.last_us)
        track.sequence_last = burst.sequence_last
        track.bursts += 1
        track.certainty += (certainty - track.certainty) / track.bursts
        track.confidence = round(100 * track.certainty)

    def _hear_gap(self, family: _Family, track: Track, burst: Burst, gap_s: float) -> None:
        """What a gap tells of the phone's rhythm, and, where no other phone of the family is near, of the family and the air."""
        usual = log(family.period_s)
        if self._is_alone(family, track, burst):
            if track.beat.gaps >= FEWEST_GAPS:
                share = family.regularity.untimed_share(self._air)
                by_chance = share * untimed(gap_s)
                whole = (1.0 - share) * track.beat.timed(gap_s, usual) + by_chance
                found = by_chance / whole if whole else 1.0  # after days no density is left of either kind
                family.regularity.hear(found)
                self._air.hear(found)
            period_s = min(max(gap_s, SHORTEST_PERIOD_S), LONGEST_PERIOD_S)
            family.period_s += 0.1 * (period_s - family.period_s)
        track.beat.hear(gap_s, usual)

    @staticmethod
    def _is_alone(family: _Family, track: Track, burst: Burst) -> bool:
        """True where no other phone of the family was near since the track's last scan."""
        return not any(other.last_us >= track.last_us and other is not track for other in family.tracks)

    def _new(self, family: _Family | None, burst: Burst, certainty: float) -> Track:
        if len(self._tracks) >= self.settings.max_tracks:
            self._make_room_for_track(burst.first_us)
        track = Track(self._made, burst, certainty)
        self._made += 1
        self._tracks[track.number] = track
        if family is not None:
            family.tracks.append(track)
            family.made += 1
            self._variance += certainty * (1.0 - certainty)
        return track

    def _family_of(self, burst: Burst) -> _Family | None:
        """The family of the burst's bodies. Bodies sent under one address are of one model, so their families become one."""
        family: _Family | None = None
        fingerprints: list[Fingerprint] = []
        for body in burst.bodies:
            fingerprint = self._fingerprints.of(body)
            if fingerprint is None:
                continue
            if fingerprint not in fingerprints:
                fingerprints.append(fingerprint)
            known = self._families.get(fingerprint.kind)
            while known is not None and known.merged_into is not None:
                known = self._families[fingerprint.kind] = known.merged_into
            if known is None:
                self._make_room_for_family()
                known = family or _Family()
                self._families[fingerprint.kind] = known
            elif family is not None and known is not family:
                self._unite(family, known)
                continue
            family = known
        burst.bodies = []
        burst.fingerprints = tuple(fingerprints)
        burst.fingerprint = fingerprints[0].kind if fingerprints else 0
        return family

    @staticmethod
    def _unite(family: _Family, other: _Family) -> None:
        family.tracks += other.tracks
        family.made += other.made
        family.counter_odds += other.counter_odds - PRIOR_ODDS_CHANGE
        other.tracks = []
        other.merged_into = family

    def _make_room_for_family(self) -> None:
        """Families without a live track are forgotten when there are too many; they are learned again when they come back."""
        if len(self._families) >= self.settings.max_families:
            alive = {number: family for number, family in self._families.items() if family.tracks}
            self._families = alive if len(alive) < self.settings.max_families else {}

    def _by_address(self, burst: Burst) -> Track | None:
        return self._addresses.get(burst.address) or self._older_addresses.get(burst.address)

    def _remember(self, address: bytes, track: Track) -> None:
        """Two generations of half the cap each: the addresses used last are kept, without the cost of an ordered list."""
        if len(self._addresses) >= self.settings.max_addresses // 2:
            self._older_addresses, self._addresses = self._addresses, {}
        self._addresses[address] = track

    def _live(self, family: _Family, time_us: int) -> list[Track]:
        """The family's tracks that may still go on; the others leave the list."""
        oldest_us = time_us - self._timeout_us
        tracks = family.tracks
        for track in tracks:
            if track.last_us < oldest_us or track.number not in self._tracks:
                family.tracks = [t for t in tracks if t.last_us >= oldest_us and t.number in self._tracks]
                return family.tracks
        return tracks

    def _make_room_for_track(self, time_us: int) -> None:
        """Forget the tracks that are over; if that is too few, the longest silent tenth, counted."""
        oldest_us = time_us - self._timeout_us
        self._tracks = {number: track for number, track in self._tracks.items() if track.last_us >= oldest_us}
        if len(self._tracks) >= self.settings.max_tracks:
            victims = nsmallest(
                max(1, self.settings.max_tracks // 10),
                self._tracks.values(),
                key=lambda track: (track.last_us, track.number),
            )
            self.evicted_tracks += len(victims)
            for track in victims:
                del self._tracks[track.number]
        # A family of global addresses alone never asks for its live tracks (``_live``), which would let go of the others.
        for family in self._families.values():
            family.tracks = [track for track in family.tracks if track.number in self._tracks]
