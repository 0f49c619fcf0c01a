"""The composition root: from a configuration to a pipeline, a source and a delivery (shell). Nothing else chooses an adapter."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import date as Date
from datetime import timedelta
from functools import partial
from hashlib import blake2s
from pathlib import Path

from agent import __version__
from agent.clock import WallClock
from agent.config import Config, ConfigError, ProximitySection, config_hash
from agent.delivery import SpoolDelivery
from agent.log import log
from agent.own_key import OwnKey, load_key
from agent.pipeline import Pipeline, PipelineSettings
from agent.privacy.errors import KeyErased, PrivacyError
from agent.privacy.memory import clear, overwrite_freed
from agent.privacy.pseudonym import Pseudonymiser
from agent.privacy.ratchet import KEY_BYTES, DayRatchet, SiteKey, replay_ratchet
from agent.proximity import ProximitySettings
from agent.receipts import ReceiptFile
from agent.secret_file import what_to_do, write_secret
from agent.sources import load_source
from agent.sources.base import Source
from agent.spool import Spool, TieredSpool
from agent.spool.forgetting import Forgetting
from agent.tracking.tracker import TrackingSettings
from agent.upload.backoff import Backoff
from agent.upload.errands import Errand, Errands
from agent.upload.https import Connection
from agent.upload.opt_outs import OPT_OUTS_PATH, OptOutFile
from agent.upload.own_signature import is_signed_by
from agent.upload.rekey import change_key, is_due
from agent.upload.signed_request import authorization
from agent.upload.uploader import Uploader
from agent.wire.cose import sign_message
from agent.wire.model import ClockState, LegalMode

REPLAY_SILENCE_LIMIT_S = 300
RELEASED_S = 1_793_491_200
"""2026-11-01, UTC: a clock that shows an earlier date was not set."""
SITE_KEY_FILE_MAX = 4096
"""Bytes; a site key has 72."""
MAX_LINKED_SIGHTINGS = 2800
"""Of one batch: a link is 4 bytes that nothing packs, so fewer sightings fit into a message."""
OPT_OUTS_EVERY_S = 900.0
"""An objection holds a quarter of an hour after it was made, at the latest."""
KEY_EVERY_S = 3600.0
LOCAL_NAME = "local"
"""Agent and site of a replay that was never enrolled and goes nowhere."""
COUNT_LIFE_S = 300
"""For which anything of a single device may live in mode ``count`` (CNIL, mesure de fréquentation, case 1)."""


@dataclass(frozen=True, slots=True)
class Parts:
    """A running agent, put together. ``clock`` is None for a capture, whose times are its own."""

    config: Config
    source: Source
    pipeline: Pipeline
    delivery: SpoolDelivery
    clock: WallClock | None
    errands: Errands | None = None
    """What is asked of the cloud now and then; None for a capture."""


def assemble(config: Config) -> Parts:
    """Everything that `run` needs. Raises ConfigError, SourceError, SpoolError, UploadError."""
    with ExitStack() as opened:
        source = open_source(config)
        opened.callback(source.close)
        parts = _around(source, config)
        opened.pop_all()
    return parts


def _around(source: Source, config: Config) -> Parts:
    if is_capture(source):
        pipeline = replay_pipeline(config, source, is_enrolled=True, max_age_s=config.batch.max_age_s)
        return Parts(config, source, pipeline, delivery(config, waits_for_room=True), None)
    clock = wall_clock(config)
    pipeline = live_pipeline(config, clock)
    return Parts(config, source, pipeline, delivery(config, waits_for_room=False), clock, errands(config, pipeline))


def errands(config: Config, pipeline: Pipeline) -> Errands:
    """What a running agent asks of the cloud beside sending: the store's opt-outs, and another key once its own is old."""
    kept = OptOutFile(_beside_site_key(config, config.privacy.opt_out_file, "opt-outs"))
    try:
        pipeline.opt_outs = kept.load()
    except (PrivacyError, OSError) as error:
        log.error("opt_outs_unreadable", trouble=str(error))
    stopping = threading.Event()
    opt_outs = Errand("opt_outs", OPT_OUTS_EVERY_S, partial(_ask_for_opt_outs, config, pipeline, kept))
    key = Errand("key", KEY_EVERY_S, partial(_change_old_key, config, pipeline, stopping))
    return Errands([opt_outs, key], stopping)


def _ask_for_opt_outs(config: Config, pipeline: Pipeline, kept: OptOutFile) -> None:
    with closing(connect(config)) as connection:
        if kept.update(connection, _asks(config, OPT_OUTS_PATH)):
            pipeline.opt_outs = kept.load()
            log.info("opt_outs_changed")


def _change_old_key(config: Config, pipeline: Pipeline, stopping: threading.Event) -> None:
    key_file = Path(config.agent.key_file)
    if pipeline.clock is ClockState.SYNCED and is_due(key_file, config.agent.key_days, time.time()):
        with closing(connect(config)) as connection:
            told = receipts(config).add
            change_key(connection, config.agent.id, key_file, now_s=int(time.time()), wait=stopping.wait, told=told)


def connect(config: Config) -> Connection:
    """A connection to the cloud. Raises UploadRefused."""
    return Connection(config.cloud.url, ca_file=config.cloud.ca_file, timeout_s=config.cloud.timeout_s)


def receipts(config: Config) -> ReceiptFile:
    """The access point's chain of deletion receipts."""
    path = _beside_site_key(config, config.privacy.receipts_file, "receipts")
    return ReceiptFile(path, config.agent.id, Path(config.agent.key_file), lambda: time.time_ns() // 1_000_000)


def _beside_site_key(config: Config, configured: str, name: str) -> Path:
    return Path(configured) if configured else Path(config.privacy.site_key_file).with_name(name)


def _asks(config: Config, path: str) -> str:
    """Who asks, signed with the key of now."""
    key = load_key(Path(config.agent.key_file))
    return authorization(config.agent.id, key.sign, "GET", path, int(time.time()))


def wall_clock(config: Config) -> WallClock:
    """The machine's clock, and whether it was set. In mode ``count`` a frame waits no longer than leaves room for its window in 5 minutes."""
    is_set, wait_s = partial(_is_clock_set, config), config.clock.wait_s
    if config.privacy.mode == "count":
        wait_s = min(wait_s, COUNT_LIFE_S - config.batch.window_s)
    return WallClock(is_set, lambda: time.time_ns() // 1000, lambda: time.monotonic_ns() // 1000, wait_s)


def _is_clock_set(config: Config) -> bool:
    marker = config.clock.synced_file
    return os.path.exists(marker) if marker else time.time() >= RELEASED_S


def open_source(config: Config, paths: tuple[str, ...] | None = None, onto_day: int | None = None) -> Source:
    """The configured source, or the captures given, laid onto a day where one is named. Raises SourceError."""
    source: Source = (
        load_source("pcap")(paths, onto_day) if paths else load_source(config.source.name).from_config(config.source)
    )
    return source


def tracking_settings(config: Config) -> TrackingSettings:
    """The tracker's part of the configuration."""
    t = config.tracking
    return TrackingSettings(
        t.burst_gap_ms, track_timeout_s=t.track_timeout_s, max_tracks=t.max_tracks, max_addresses=t.max_addresses
    )


def proximity_settings(config: Config) -> ProximitySettings:
    """The proximity's part of the configuration."""
    p = config.proximity
    usual = ProximitySection()
    is_calibrated = (p.threshold_dbm, p.slope_db) != (usual.threshold_dbm, usual.slope_db)
    return ProximitySettings(p.threshold_dbm, p.slope_db, p.enter_above, p.leave_below, is_calibrated)


def is_capture(source: Source) -> bool:
    """True for sources whose frames were heard at another time."""
    return hasattr(source, "identity")


def live_pipeline(config: Config, clock: WallClock) -> Pipeline:
    """A pipeline that signs with the enrolled key and moves the site's ratchet. Raises ConfigError."""
    settings = _settings(config, os.urandom(8), clock.state, config.batch.max_age_s)
    signer = _signer(config)
    if config.privacy.mode == "count":
        return Pipeline(settings, signer, _without_keys)
    told = partial(_receipt_of_days, receipts(config), config.agent.site)
    keys = LiveKeys(SiteKeyFile(Path(config.privacy.site_key_file)), clock, told)
    return Pipeline(settings, signer, keys.pseudonymiser_for)


def _receipt_of_days(kept: ReceiptFile, site: str, first: int, last: int) -> None:
    """The keys of these days are erased; a receipt that cannot be written does not bring them back."""
    days = [(Date(1970, 1, 1) + timedelta(days=day)).isoformat() for day in (first, last)]
    try:
        kept.add("keys_erased", {"site": site, "first_day": days[0], "last_day": days[1]})
    except ConfigError as error:
        log.error("receipt_unwritable", trouble=str(error))


def replay_pipeline(config: Config, source: Source, *, is_enrolled: bool, max_age_s: int = 0) -> Pipeline:
    """A pipeline for captures: pseudonyms and boot id follow from configuration, key and captures alone. Raises ConfigError.

    ``max_age_s`` closes batches earlier than ``batch.replay_max_age_s``, where they are wanted while the capture plays.
    """
    sign = _signer(config) if is_enrolled else _throw_away_signer()
    keys = _without_keys if config.privacy.mode == "count" else ReplayKeys(config, is_enrolled).pseudonymiser_for
    settings = _settings(
        config, replay_boot(config, source), ClockState.REPLAY, max_age_s or config.batch.replay_max_age_s
    )
    return Pipeline(settings, sign, keys)


def delivery(config: Config, *, waits_for_room: bool) -> SpoolDelivery:
    """The spool, with the cloud behind it. Raises SpoolError, UploadRefused."""
    spool = open_spool(config)
    connection = connect(config)
    backoff = Backoff(config.upload.first_retry_s, config.upload.last_retry_s, random.SystemRandom().random)
    is_ours = partial(is_signed_by, config.agent.id, Path(config.agent.key_file))
    return SpoolDelivery(
        spool,
        Uploader(connection, is_ours),
        backoff,
        waits_for_room=waits_for_room,
        forgetting=Forgetting(partial(_time_if_set, config), config.privacy.day_offset_min * 60),
        told=partial(_receipt_of_batches, receipts(config), config.agent.site),
    )


def _time_if_set(config: Config) -> float | None:
    """Epoch seconds; None while nobody has set the clock, for then nobody can tell which day is over."""
    return time.time() if _is_clock_set(config) else None


def _receipt_of_batches(kept: ReceiptFile, site: str, batches: int) -> None:
    try:
        kept.add("batches_erased", {"site": site, "batches": batches, "why": "24 h after their day closed"})
    except ConfigError as error:
        log.error("receipt_unwritable", trouble=str(error))


def open_spool(config: Config, *, is_ours: bool = True) -> Spool | TieredSpool:
    """The spool as the configuration describes it; ``is_ours`` as for ``Spool``. Raises SpoolError."""
    s = config.spool
    flash = Spool(Path(s.directory), s.limit_bytes, is_ours=is_ours)
    if not s.ram_directory:
        return flash
    return TieredSpool(Spool(Path(s.ram_directory), s.ram_limit_bytes, is_ours=is_ours), flash, s.flash_after_s)


def replay_boot(config: Config, source: Source) -> bytes:
    """Boot id of a replay: the same captures under the same configuration are the same batches (docs/adr/0009-replay.md)."""
    digest = blake2s(config_hash(config), digest_size=8)
    for part in getattr(source, "identity", list)():
        digest.update(blake2s(part).digest())
    return digest.digest()


class SiteKeyFile:
    """The ratchet's state on disk. Writing tomorrow's state over today's is what erases today's key."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> SiteKey:
        """Raises ConfigError with the next step."""
        try:
            return SiteKey.from_text(_read_unbuffered(self.path))
        except OSError as error:
            next_step = what_to_do(self.path, error, "make one with: ivizone-agent site-key new")
            raise ConfigError(
                f"privacy.site_key_file {self.path}: cannot be read ({error.strerror}); {next_step}"
            ) from error
        except UnicodeDecodeError as error:
            raise ConfigError(
                f"privacy.site_key_file {self.path}: is not text; copy the site key again, whole"
            ) from error
        except PrivacyError as error:
            raise ConfigError(f"privacy.site_key_file {self.path}: {error}") from error

    def save(self, site_key: SiteKey) -> None:
        """Whole or not at all, readable by its owner only. Raises ConfigError."""
        write_secret(self.path, (site_key.to_text() + "\n").encode())

    def pseudonymiser_for(self, day: int) -> Pseudonymiser:
        """Step the chain to ``day`` and keep it there. Raises ConfigError, KeyErased."""
        ratchet = DayRatchet(self.load())
        try:
            key = ratchet.key_of(day)
            self.save(ratchet.state())
            return Pseudonymiser(key)
        finally:
            ratchet.forget()


def _read_unbuffered(path: Path) -> str:
    """A secret's file, without a copy of it in a buffer that nobody clears."""
    content = bytearray(SITE_KEY_FILE_MAX)
    with open(path, "rb", buffering=0) as file:
        size = file.readinto(content) or 0
    try:
        return content[:size].decode()
    finally:
        clear(content)


class LiveKeys:
    """Day keys of a running agent; ``told(first day, last day)`` is called once keys are erased.

    A step of the ratchet cannot be taken back, so a clock that was never set does not move it:
    pseudonyms are then made under a key of chance, as if this access point were alone."""

    def __init__(
        self, keeper: SiteKeyFile, clock: WallClock, told: Callable[[int, int], None] = lambda _first, _last: None
    ) -> None:
        self._keeper = keeper
        self._clock = clock
        self._told = told
        keeper.load()  # a missing or mistyped key is said at the start, not at the first frame

    def pseudonymiser_for(self, day: int) -> Pseudonymiser:
        """Raises ConfigError."""
        try:
            if self._clock.state is ClockState.SYNCED:
                before = self._keeper.load().day
                made = self._keeper.pseudonymiser_for(day)
                if before < day:
                    self._told(before, day - 1)
                return made
        except KeyErased as error:
            log.error("day_key_missing", trouble=str(error))
        finally:
            overwrite_freed()  # the day before this one, and what made this one's key
        return Pseudonymiser(os.urandom(KEY_BYTES))


class ReplayKeys:
    """Day keys of a replay: from the site key where there is one, else from chance, and never written anywhere."""

    def __init__(self, config: Config, is_enrolled: bool) -> None:
        path = Path(config.privacy.site_key_file)
        self.is_lasting = is_enrolled or path.exists()
        self._site_key = SiteKeyFile(path).load() if self.is_lasting else SiteKey(0, os.urandom(32))
        self._ratchet: DayRatchet | None = None

    def pseudonymiser_for(self, day: int) -> Pseudonymiser:
        """The first day that is asked for begins the chain."""
        if self._ratchet is None or day < self._ratchet.day:
            self._ratchet = replay_ratchet(self._site_key, day)
        return Pseudonymiser(self._ratchet.key_of(day))


def _without_keys(day: int) -> None:
    """Mode ``count`` needs no key: no record of a device leaves the pipeline."""


def _settings(config: Config, boot: bytes, clock: ClockState, max_age_s: int) -> PipelineSettings:
    is_replay = clock is ClockState.REPLAY
    return PipelineSettings(
        agent=config.agent.id or LOCAL_NAME,
        site=config.agent.site or LOCAL_NAME,
        boot=boot,
        source="pcap" if is_replay else config.source.name,
        clock=clock,
        mode=LegalMode[config.privacy.mode.upper()],
        config_hash=config_hash(config),
        software=__version__,
        window_s=config.batch.window_s,
        batch_max_age_s=max_age_s,
        batch_max_sightings=min(config.batch.max_sightings, MAX_LINKED_SIGHTINGS)
        if config.privacy.access_points == "several"
        else config.batch.max_sightings,
        silence_limit_s=REPLAY_SILENCE_LIMIT_S if is_replay else 0,
        day_offset_s=config.privacy.day_offset_min * 60,
        links=config.privacy.access_points == "several",
        tracking=tracking_settings(config),
        proximity=proximity_settings(config),
    )


def _signer(config: Config) -> Callable[[bytes], bytes]:
    key = OwnKey(Path(config.agent.key_file))
    agent = config.agent.id or LOCAL_NAME
    return lambda payload: sign_message(payload, agent, key.sign)


def _throw_away_signer() -> Callable[[bytes], bytes]:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    return lambda payload: sign_message(payload, LOCAL_NAME, key.sign)
