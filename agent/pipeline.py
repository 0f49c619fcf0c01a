"""Frame -> probe request -> track -> sighting -> batch: the one place that knows the order (core).

No clock, no disk, no network: time is the frames' own, keys come in, signed batches go out. So one capture, one
configuration and one key give the same bytes, every time.

Life of a frame here: ``feed`` decodes it (``dot11``), hands the probe request to the tracker, and is done; a few
microseconds. Once a second of capture time the bursts that are over are decided, placed (``proximity``), named
(``privacy``) and put into the open window; at the window's end the window becomes sightings, and when the batch is old
or large enough it is encoded and signed (``wire``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from agent.dot11.captured import CapturedFrame, Event, Heard, Presence, Tick
from agent.dot11.decoder import Decoder
from agent.dot11.errors import UnknownLinkType
from agent.dot11.probe_request import ProbeRequest, Skipped
from agent.dot11.reasons import OPTED_OUT
from agent.ledger import CHANNEL_UNKNOWN, Ledger
from agent.privacy.opt_out import OptOuts
from agent.privacy.pseudonym import Pseudonymiser
from agent.proximity import Placer, ProximitySettings, ZoneState
from agent.sightings import CountWindow, DayWindow
from agent.tracking.bursts import Burst
from agent.tracking.tracker import DeviceEstimate, Tracker, TrackingSettings
from agent.wire.codec import encode_batch
from agent.wire.limits import LINK_BYTES, SPEC_VERSION
from agent.wire.model import Batch, ClockState, Header, LegalMode, Sighting, WindowEstimate, ZoneCount

SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US
DECIDE_EVERY_US = SECOND_US
"""How often, in the frames' own time, bursts that are over are decided."""

CLOCK_STEP_US = 60 * SECOND_US
"""Time running backwards by more than this is a clock that was set, not frames out of order."""

NO_KEY = -1
"""Key epoch of a batch without pseudonyms."""

Window = DayWindow | CountWindow


@dataclass(frozen=True, slots=True)
class PipelineSettings:
    """What the pipeline needs of the configuration. Durations in seconds."""

    agent: str
    site: str
    boot: bytes
    source: str
    clock: ClockState
    mode: LegalMode
    config_hash: bytes
    software: str
    window_s: int = 30
    batch_max_age_s: int = 30
    batch_max_sightings: int = 2000
    silence_limit_s: int = 300
    """Longest gap between two frames of a replay that still counts as listened. A capture that holds only probe
    requests cannot tell a quiet street from a sensor that was off; live sources say it themselves and set 0."""
    day_offset_s: int = 0
    links: bool = False
    """The site has other access points, which are to know this one's devices again."""
    tracking: TrackingSettings = field(default_factory=TrackingSettings)
    proximity: ProximitySettings = field(default_factory=ProximitySettings)


@dataclass(frozen=True, slots=True)
class SignedBatch:
    """One batch, ready for the spool: its name and the bytes that go out untouched."""

    boot: bytes
    number: int
    sightings: int
    message: bytes
    told: int = 0
    """Batches that were given up, as its ledger tells."""


@dataclass(slots=True)
class Totals:
    """What a whole run saw, for the summary of ``replay`` and the state of ``run``."""

    frames: int = 0
    probe_requests: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    kernel_drops: int = 0
    listening_ms: dict[int, int] = field(default_factory=dict)
    heard: dict[int, int] = field(default_factory=dict)
    """Probe requests by channel, of decided bursts: what a channel plan weighs channels by."""
    sightings: int = 0
    batches: int = 0
    bytes: int = 0


class Pipeline:
    """Turns frames into signed batches. ``sign`` is given the payload and gives back the message.

    ``pseudonymiser_for(day)`` gives the pseudonymiser of a day number, erases the key of the day before and is called
    once for each day, in order (mode ``day``); in mode ``count`` it gives nothing that outlives five minutes.
    """

    def __init__(
        self,
        settings: PipelineSettings,
        sign: Callable[[bytes], bytes],
        pseudonymiser_for: Callable[[int], Pseudonymiser | None],
    ) -> None:
        self.totals = Totals()
        self.ledger = Ledger()
        self.tracker = Tracker(settings.tracking)
        self.settings = settings
        self.clock = settings.clock
        """What the wall clock is worth now; the runner keeps it true."""
        self.opt_outs: OptOuts | None = None
        """Devices that are not to be counted; may be set at any time, by another thread too, and holds from the next second on."""
        self._applied: OptOuts | None = None
        self._sign = sign
        self._pseudonymiser_for = pseudonymiser_for
        self._pseudonymiser: Pseudonymiser | None = None
        self._placer = Placer(settings.proximity)
        self._window: Window = (CountWindow if settings.mode is LegalMode.COUNT else DayWindow)(
            settings.source, settings.tracking.max_tracks
        )
        self._decoders: dict[int, Decoder | None] = {}
        self._link_type: int | None = None
        self._decode: Callable[[bytes, bool], ProbeRequest | Skipped] | None = None
        self._window_us = settings.window_s * SECOND_US
        self._day = -1
        self._has_begun = False
        self._now_us = 0
        self._next_us = 0
        self._window_start_us = 0
        self._window_end_us = 0
        self._batch_number = 0
        self._batch_start_us = 0
        self._sightings: list[Sighting] = []
        self._windows: list[WindowEstimate] = []
        self._counts: list[ZoneCount] = []
        self._ready: list[SignedBatch] = []
        self._day_end_us = 0
        self._listened_us = 0
        self._heard_us = 0
        self._events_rssi_rejected = 0
        self._evicted_tracks = 0
        self._reported = (0, 0, 0)
        self._past = DeviceEstimate(0.0, 0.0, 0.0, 1.0)

    def run(self, frames: Iterable[Heard]) -> Iterator[SignedBatch]:
        """Feed every frame, give each batch as soon as it is closed, and the last one at the end."""
        feed, ready = self.feed, self._ready
        for frame in frames:
            feed(frame)
            if ready:
                yield from ready
                ready.clear()
        self.finish()
        yield from ready
        ready.clear()

    def feed(self, frame: Heard) -> Burst | Skipped | None:
        """Take one frame in. Gives the burst it went into, the reason why it was skipped, or None for a tick."""
        if not isinstance(frame, CapturedFrame):
            return self._take_word(frame)
        data, time_us, link_type, _, is_cut = frame
        if link_type != self._link_type:
            self._choose_decoder(link_type)
        if time_us >= self._next_us or time_us < self._now_us:
            time_us = self._pass_time(time_us)
        self._now_us = time_us
        ledger = self.ledger
        ledger.frames += 1
        if self._decode is None:
            ledger.skip("unknown_link_type")
            return Skipped("unknown_link_type")
        request = self._decode(data, is_cut)
        if isinstance(request, Skipped):
            ledger.skip(request.reason)
            return request
        ledger.probe_requests += 1
        return self.tracker.observe(request, time_us)

    def _take_word(self, word: Event | Presence | Tick) -> Burst | Skipped | None:
        """What a source says without a frame to decode."""
        time_us = word.time_us
        if isinstance(word, Tick):
            self._book(word)
            self._pass_time(time_us)
            return None
        if time_us >= self._next_us or time_us < self._now_us:
            time_us = self._pass_time(time_us)
        self._now_us = time_us
        if self._applied and word.request.__class__ is ProbeRequest and word.request.address in self._applied:
            return self._leave_out(word)
        if isinstance(word, Presence):
            burst = self.tracker.observe(word.request, time_us)
            burst.is_associated = True
            return burst
        self.ledger.frames += 1
        self._events_rssi_rejected += word.is_rssi_rejected
        if isinstance(word.request, Skipped):
            self.ledger.skip(word.request.reason)
            return word.request
        self.ledger.probe_requests += 1
        return self.tracker.observe(word.request, time_us)

    def _leave_out(self, word: Event | Presence) -> Skipped:
        """Word of a device that is not to be counted; of a presence no ledger tells, for it is no frame."""
        if isinstance(word, Event):
            self.ledger.frames += 1
            self.ledger.skip(OPTED_OUT.reason)
        return OPTED_OUT

    def finish(self) -> None:
        """The source has ended: decide what is open, close the window and the batch."""
        if not self._has_begun:
            return
        self._take(self.tracker.flush())
        self._close_window(self._now_us)
        self._close_batch(self._now_us)

    def estimate(self) -> DeviceEstimate:
        """How many devices were heard in all. Days are added up: nothing can join a device over a day's end. In mode ``count``
        nothing joins it over a window's end either, so there it is the fullest window."""
        now = self.tracker.estimate()
        if self.settings.mode is LegalMode.COUNT:
            return max(self._past, now, key=lambda estimate: estimate.devices)
        return self._past.plus(now)

    # --- time ---------------------------------------------------------------------------------------------------

    def _pass_time(self, time_us: int) -> int:
        """Time has come to ``time_us``: decide bursts, close windows, batches and days. Gives the time to book the frame at."""
        now = self._now_us
        if self.opt_outs is not self._applied:
            self._applied = self.opt_outs
            if self._link_type is not None:
                self._choose_decoder(self._link_type)
        if not self._has_begun:
            self._begin(time_us)
        elif time_us < now:
            if now - time_us <= CLOCK_STEP_US:
                return now  # out of order by a little: two radios, one merge; the order of arrival holds
            self.finish()  # the clock was set back: what was before is closed, and time begins anew
            self._forget()
            self._begin(time_us)
        else:
            self._listen(now, time_us)
        self._now_us = time_us
        self._take(self.tracker.advance(time_us))
        if time_us >= self._window_end_us:
            self._turn_window(time_us)
        self._next_us = min(time_us + DECIDE_EVERY_US, self._window_end_us)
        return time_us

    def _book(self, tick: Tick) -> None:
        """What a live source listened and lost since its last tick goes into the batch that is open now."""
        for channel, duration_ms in tick.listened_ms:
            self.ledger.listen(channel, duration_ms)
        for reason, frames in tick.lost:
            self.ledger.lose(reason, frames)

    def _begin(self, time_us: int) -> None:
        """The first frame, or the first after the clock was set back: open the day, the window and the batch."""
        self._has_begun = True
        self._now_us = self._listened_us = self._batch_start_us = time_us
        self._open_day(time_us)
        self._open_window(time_us)

    def _listen(self, last_us: int, time_us: int) -> None:
        """Book the time since the last frame as listened, unless the silence was too long to tell from a deaf radio."""
        if not self.settings.silence_limit_s:
            return
        if time_us - last_us <= self.settings.silence_limit_s * SECOND_US:
            last_us = time_us
        self._heard_us += last_us - self._listened_us
        self._listened_us = time_us

    def _open_window(self, time_us: int) -> None:
        """Windows are aligned to the epoch, and none runs over the day's end."""
        start_us = time_us // self._window_us * self._window_us
        self._window_start_us = max(start_us, self._day_end_us - DAY_US)
        self._window_end_us = min(start_us + self._window_us, self._day_end_us)

    def _open_day(self, time_us: int) -> None:
        offset_us = self.settings.day_offset_s * SECOND_US
        day = (time_us - offset_us) // DAY_US
        self._day_end_us = (day + 1) * DAY_US + offset_us
        if day != self._day:
            self._day = day
            self._pseudonymiser = None  # let go first, so that nothing of its key is left when the next one is made
            self._pseudonymiser = self._pseudonymiser_for(day)

    def _turn_window(self, time_us: int) -> None:
        """The open window is over: close it, and with it whatever else ends here."""
        day_is_over = time_us >= self._day_end_us
        forgets = day_is_over or self.settings.mode is LegalMode.COUNT
        if forgets:
            self._take(self.tracker.flush())
        end_us = self._window_end_us
        self._close_window(end_us)
        if day_is_over or time_us - self._batch_start_us >= self.settings.batch_max_age_s * SECOND_US:
            self._close_batch(end_us)
            self._batch_start_us = end_us if time_us - end_us < self._window_us else time_us
        if forgets:
            self._forget()
        if day_is_over:
            self._open_day(time_us)
        self._open_window(time_us)

    def _forget(self) -> None:
        """Keep nothing that could join a device over the day's end (mode day), over five minutes (mode count), or over a step of the clock."""
        self._evicted_tracks += self.tracker.evicted_tracks
        self._past = self.estimate()
        self.tracker = Tracker(self.settings.tracking)

    # --- bursts, windows, batches ---------------------------------------------------------------------------------

    def _take(self, bursts: list[Burst]) -> None:
        """Place and name the decided bursts, and put them into the open window."""
        add, proximity, pseudonymiser = self._window.add, self.settings.proximity, self._pseudonymiser
        heard = self.totals.heard
        for burst in bursts:
            track = burst.track
            if burst.channel is not None:
                heard[burst.channel] = heard.get(burst.channel, 0) + burst.frames
            share = None
            zone = None
            if burst.rssi:
                if track.inside is None:
                    track.inside = ZoneState(proximity)
                burst.p_inside = share = self._placer.place(burst.rssi, track.inside, burst.first_us - track.first_us)
                zone = track.inside.zone
            if track.pseudonym is None and pseudonymiser is not None:
                track.pseudonym = pseudonymiser.pseudonym(track.head)
            add(burst, share, zone, self._link(burst))

    def _link(self, burst: Burst) -> bytes | None:
        """By what the site's other access points know the burst's address. A track of one address is known by its pseudonym."""
        if not self.settings.links or self._pseudonymiser is None:
            return None
        return self._pseudonymiser.pseudonym(burst.address)[:LINK_BYTES]

    def _close_window(self, end_us: int) -> None:
        if self._window.is_empty():
            return
        sightings, windows, counts = self._window.close(self._window_start_us // 1000, self.tracker.window_estimate())
        self._sightings += sightings
        self._windows += windows
        self._counts += counts
        while len(self._sightings) >= self.settings.batch_max_sightings:
            self._close_batch(end_us)
            self._batch_start_us = end_us

    def _close_batch(self, end_us: int) -> None:
        """Encode and sign what has gathered. A batch without sightings still says that the radio listened."""
        decoders = [decoder for decoder in self._decoders.values() if decoder is not None]
        counters = (
            sum(decoder.rssi_rejected for decoder in decoders) + self._events_rssi_rejected,
            sum(decoder.fcs_unflagged for decoder in decoders),
            self._evicted_tracks + self.tracker.evicted_tracks,
        )
        rssi_rejected, fcs_unflagged, evicted_tracks = (
            now - before for now, before in zip(counters, self._reported, strict=True)
        )
        self._reported = counters
        self.ledger.listen(CHANNEL_UNKNOWN, self._heard_us // 1000)
        self._heard_us %= 1000
        limit = self.settings.batch_max_sightings
        sightings, self._sightings = self._sightings[:limit], self._sightings[limit:]
        settings = self.settings
        batch = Batch(
            header=Header(
                spec_version=SPEC_VERSION,
                agent=settings.agent,
                site=settings.site,
                boot=settings.boot,
                batch=self._batch_number,
                window_start_ms=self._batch_start_us // 1000,
                window_end_ms=end_us // 1000,
                clock=self.clock,
                mode=settings.mode,
                key_epoch=self._day if self._pseudonymiser else NO_KEY,
                config_hash=settings.config_hash,
                software=settings.software,
            ),
            ledger=self.ledger.close(
                rssi_rejected=rssi_rejected,
                fcs_unflagged=fcs_unflagged,
                evicted_tracks=evicted_tracks,
                window_ms=end_us // 1000 - self._batch_start_us // 1000,
            ),
            windows=tuple(self._windows),
            sightings=tuple(sightings),
            counts=tuple(self._counts),
        )
        self._windows, self._counts = [], []
        message = self._sign(encode_batch(batch))
        self._ready.append(
            SignedBatch(settings.boot, self._batch_number, len(sightings), message, batch.ledger.evicted_batches)
        )
        self._batch_number += 1
        self._count(batch, len(message))

    def _count(self, batch: Batch, size: int) -> None:
        totals, ledger = self.totals, batch.ledger
        totals.frames += ledger.frames
        totals.probe_requests += ledger.probe_requests
        for reason, count in ledger.skipped.items():
            totals.skipped[reason] = totals.skipped.get(reason, 0) + count
        for channel, listened_ms in ledger.listening_ms.items():
            totals.listening_ms[channel] = totals.listening_ms.get(channel, 0) + listened_ms
        totals.kernel_drops += ledger.kernel_drops
        totals.sightings += len(batch.sightings)
        totals.batches += 1
        totals.bytes += size

    def _choose_decoder(self, link_type: int) -> None:
        if link_type not in self._decoders:
            try:
                self._decoders[link_type] = Decoder(link_type)
            except UnknownLinkType:
                self._decoders[link_type] = None
        decoder = self._decoders[link_type]
        self._link_type = link_type
        self._decode = _leaving_out(decoder.decode, self._applied) if decoder else None


def _leaving_out(
    decode: Callable[[bytes, bool], ProbeRequest | Skipped], opt_outs: OptOuts | None
) -> Callable[[bytes, bool], ProbeRequest | Skipped]:
    """``decode`` itself where nobody opted out, so that a frame costs nothing more."""
    if opt_outs is None:
        return decode

    def decode_others(data: bytes, is_cut: bool) -> ProbeRequest | Skipped:
        request = decode(data, is_cut)
        return OPTED_OUT if isinstance(request, ProbeRequest) and request.address in opt_outs else request

    return decode_others
