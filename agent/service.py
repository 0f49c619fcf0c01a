"""The agent as a service: signals, the supervisor's watchdog, state for people and monitoring, the wall clock (shell).

TERM and INT end the run: the last batch is closed and sent, within 5 s; what is left waits in the spool. HUP reads the configuration again and goes on with
it; one that is wrong or cannot be had (no such interface) is said and the old one stays. USR1 prints the state to stderr. All of it happens on ticks, which a
live source yields at least once a second, and a second after the last one where a dense capture yields none.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from agent import __version__, compose
from agent.compose import Parts
from agent.config import Config, ConfigError
from agent.dot11.captured import Heard, Tick
from agent.log import log
from agent.runner import Outcome, run
from agent.sdnotify import notify
from agent.sources.base import LiveSource
from agent.sources.errors import SourceError
from agent.spool.errors import SpoolError
from agent.state import as_json, as_openmetrics, state_of, write_whole
from agent.upload.errors import UploadError

DRAIN_S = 3.0
"""For sending at the end: supervisors kill after 5 s (procd) or later."""


LOOK_EVERY_S = 1.0
"""Longest time between two looks at signals and supervisor while frames come."""


class Signals:
    """What was asked of the process since it was last looked at."""

    def __init__(self) -> None:
        self.stop = False
        self.reload = False
        self.tell = False
        for number, name in (
            (signal.SIGTERM, "stop"),
            (signal.SIGINT, "stop"),
            (signal.SIGHUP, "reload"),
            (signal.SIGUSR1, "tell"),
        ):
            signal.signal(number, self._handler(name))

    def _handler(self, name: str) -> Callable[[int, Any], None]:
        return lambda _number, _frame: setattr(self, name, True)


class Service:
    """Runs until told to stop. ``read_config`` reads the configuration, again at each HUP. Raises ConfigError, SourceError, SpoolError."""

    def __init__(self, read_config: Callable[[], Config], signals: Signals, drain_s: float = DRAIN_S) -> None:
        self._read_config = read_config
        self._signals = signals
        self._drain_s = drain_s
        self._next: Config | None = None
        self._started_s = time.monotonic()
        self._last_frame_s: float | None = None
        self._looked_s = self._started_s
        self._next_write_s = 0.0
        self._complained = False

    def run(self) -> Outcome:
        """One run after the other, a new one with each configuration; gives the last outcome."""
        config = self._read_config()
        outcome = self._run(compose.assemble(config))
        while self._next is not None:
            following, self._next = self._next, None
            parts = self._reassemble(following, config)
            config = parts.config
            outcome = self._run(parts)
        notify("STOPPING=1")
        return outcome

    def _reassemble(self, following: Config, before: Config) -> Parts:
        """The parts that a reload asks for, or where they cannot be had (no such interface, no right to it) those of before: an access
        point that nobody can reach any more must not end by a word in a file."""
        try:
            parts = compose.assemble(following)
        except (ConfigError, SourceError, SpoolError, UploadError) as error:
            log.error("config_refused", trouble=str(error))
            return compose.assemble(before)
        log.info("config_reloaded")
        return parts

    def _run(self, parts: Parts) -> Outcome:
        config = parts.config
        parts.delivery.is_hurried = self._should_stop
        who = {"agent": config.agent.id, "site": config.agent.site, "source": config.source.name}
        log.info("agent_started", **who, version=__version__, clock=parts.pipeline.clock.name.lower())
        notify("READY=1")
        if parts.errands:
            parts.errands.start()
        outcome = run(
            parts.source,
            parts.pipeline,
            parts.delivery,
            speed=0.0 if parts.clock else config.source.speed,
            drain_s=self._drain_s,
            should_stop=self._should_stop,
            watched=lambda frames: self._placed(self._seen(frames, parts), parts),
        )
        if parts.errands:
            parts.errands.stop()
        self._write_state(parts)
        waiting = parts.delivery.left
        log.info("agent_stopped", frames=outcome.totals.frames, batches=outcome.totals.batches, waiting_batches=waiting)
        return outcome

    def _should_stop(self) -> bool:
        return self._signals.stop or self._next is not None

    def _placed(self, frames: Iterator[Heard], parts: Parts) -> Iterator[Heard]:
        """The frames in their place on the wall clock, and the pipeline told what that is worth. A capture has its own times."""
        if parts.clock is None:
            yield from frames
            return
        for frame in parts.clock.place(frames):
            parts.pipeline.clock = parts.clock.state
            yield frame

    def _seen(self, frames: Iterable[Heard], parts: Parts) -> Iterator[Heard]:
        """The frames as the source yields them, before any waits for the clock: a signal is answered also then."""
        for frame in frames:
            is_tick, now_s = isinstance(frame, Tick), time.monotonic()
            if not is_tick:
                self._last_frame_s = now_s
            if is_tick or now_s - self._looked_s >= LOOK_EVERY_S:
                self._looked_s = now_s
                self._on_tick(parts)
            yield frame

    def _on_tick(self, parts: Parts) -> None:
        notify("WATCHDOG=1")
        if self._signals.reload:
            self._signals.reload = False
            self._try_reload()
        if self._signals.tell:
            self._signals.tell = False
            print(as_json(self._state(parts)), end="", file=sys.stderr, flush=True)
        if time.monotonic() >= self._next_write_s:
            self._next_write_s = time.monotonic() + parts.config.state.every_s
            self._write_state(parts)

    def _try_reload(self) -> None:
        try:
            self._next = self._read_config()
        except ConfigError as error:
            log.error("config_refused", trouble=str(error))

    def _state(self, parts: Parts) -> dict[str, Any]:
        now_s = time.monotonic()
        silent_s = None if self._last_frame_s is None else now_s - self._last_frame_s
        source = parts.source
        about = {"name": parts.config.source.name, **(source.state() if isinstance(source, LiveSource) else {})}
        return state_of(parts.pipeline, parts.delivery, source=about, up_s=now_s - self._started_s, silent_s=silent_s)

    def _write_state(self, parts: Parts) -> None:
        state, wanted = self._state(parts), parts.config.state
        try:
            if wanted.status_file:
                write_whole(Path(wanted.status_file), as_json(state))
            if wanted.metrics_file:
                write_whole(Path(wanted.metrics_file), as_openmetrics(state))
            if wanted.heard_file:
                write_whole(Path(wanted.heard_file), json.dumps(parts.pipeline.totals.heard))
            self._complained = False
        except OSError as error:
            if not self._complained:
                log.warning("state_unwritable", file=str(error.filename), trouble=error.strerror)
            self._complained = True
