"""`ivizone-agent`: what people and checks call (DESIGN section 5). Exit codes: 0 ok, 2 usage, 3 configuration, 4 input, 5 cloud.

Results go to stdout, progress and logs to stderr. Modules are loaded by the command that needs them, so that `version`
answers at once on an access point.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent import __version__

if TYPE_CHECKING:
    from agent.config import Config
    from agent.pipeline import Totals
    from agent.runner import Outcome
    from agent.sources.base import Source

OK, USAGE, CONFIGURATION, INPUT, CLOUD = 0, 2, 3, 4, 5
INTERRUPTED = 130
DRAIN_S = 60.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit code. Every error is one clear message on stderr."""
    options = _parser().parse_args(arguments)
    if options.command == "version":
        return version()
    import agent.config
    import agent.privacy.errors
    import agent.sources.errors
    import agent.spool.errors
    import agent.upload.errors

    try:
        return int(COMMANDS[options.command](options))
    except (agent.config.ConfigError, agent.privacy.errors.PrivacyError) as error:
        return _fail(error, CONFIGURATION)
    except agent.sources.errors.SourceError as error:
        return _fail(error, INPUT)
    except (agent.upload.errors.UploadError, agent.spool.errors.SpoolError) as error:
        return _fail(error, CLOUD)
    except KeyboardInterrupt:
        return _fail("stopped", INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has enough; Python would complain once more at exit
        return OK


def _fail(error: object, code: int) -> int:
    print(f"ivizone-agent: {error}", file=sys.stderr)
    return code


def version() -> int:
    """Print the version of the program and of the wire."""
    from agent.wire.limits import SPEC_VERSION

    print(f"ivizone-agent {__version__} (wire {SPEC_VERSION})")
    return OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ivizone-agent", description="The edge sensor: hears probe requests, sends signed batches."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        made.add_argument(
            "--config",
            metavar="FILE",
            type=Path,
            help="configuration (default: /etc/ivizone/agent.yaml where it exists)",
        )
        return made

    def captures(made: argparse.ArgumentParser) -> None:
        made.add_argument(
            "captures", nargs="+", metavar="CAPTURE", help="pcap or pcapng, plain or .gz; - is standard input"
        )

    command("run", "listen, and send batches to the cloud, until stopped")
    replay = command("replay", "send captures through the whole agent")
    captures(replay)
    replay.add_argument(
        "--cloud", metavar="URL", help="send the batches there (without it they are made, counted and dropped)"
    )
    replay.add_argument(
        "--speed", default="max", type=_speed, metavar="max|realtime|N", help="N capture seconds a second"
    )
    replay.add_argument("--json", action="store_true", help="end with one JSON object on stdout")
    explain = command("explain", "say of each frame what became of it")
    captures(explain)
    explain.add_argument("--format", choices=("ndjson", "text"), default="text")
    count = command("count", "say how many devices the captures hold")
    captures(count)
    count.add_argument("--json", action="store_true")
    spool = command("spool", "look at the batches that wait for the cloud")
    spool.add_argument("action", choices=("ls", "show", "export"))
    spool.add_argument("target", nargs="?", help="show: the number that ls prints; export: a directory")
    spool.add_argument("--json", action="store_true", help="ls: one JSON object a line")
    enrol = command("enrol", "register this agent with a cloud, once")
    enrol.add_argument("url", metavar="URL")
    enrol.add_argument(
        "--token", required=True, metavar="T", help="one-time token from: ivizone-cloud agent token --site SITE"
    )
    site_key = command("site-key", "make, show or take over the key that the access points of a site share")
    site_key.add_argument("action", choices=("new", "export", "import"))
    command("version", "print the version")
    return parser


def _speed(text: str) -> float:
    if text in ("max", "realtime"):
        return 0.0 if text == "max" else 1.0
    try:
        speed = float(text)
    except ValueError:
        speed = -1.0
    if not 0 < speed < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is no speed; use max, realtime or a number above 0")
    return speed


def _config(options: argparse.Namespace) -> Config:
    """The configuration named, or the usual one where it exists, or the defaults. Raises ConfigError."""
    from agent.config import DEFAULT_PATH, Config, load_config
    from agent.log import log

    path = options.config or (DEFAULT_PATH if DEFAULT_PATH.exists() else None)
    config = load_config(path) if path else Config()
    log.configure(config.log.level, config.log.format)
    return config


# --- run and replay ---------------------------------------------------------------------------------------------------


def run_command(options: argparse.Namespace) -> int:
    """Listen until the source ends or a signal comes."""
    import signal

    from agent import compose
    from agent.config import ConfigError
    from agent.log import log
    from agent.runner import run
    from agent.upload.enrol import needs_enrolment

    config = _config(options)
    missing = needs_enrolment(config)
    if missing:
        raise ConfigError(missing)
    source = compose.open_source(config)
    stop: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: stop.append(received))
    is_capture = compose.is_capture(source)
    pipeline = (
        compose.replay_pipeline(config, source, is_enrolled=True, max_age_s=config.batch.max_age_s)
        if is_capture
        else compose.live_pipeline(config)
    )
    delivery = compose.delivery(config, waits_for_room=is_capture)
    log.info(
        "agent_started", agent=config.agent.id, site=config.agent.site, source=config.source.name, version=__version__
    )
    outcome = run(
        source,
        pipeline,
        delivery,
        speed=config.source.speed if is_capture else 0.0,
        drain_s=4.0,
        should_stop=lambda: bool(stop),
    )
    log.info(
        "agent_stopped", frames=outcome.totals.frames, batches=outcome.totals.batches, waiting_batches=delivery.left
    )
    return _report_troubles(outcome.troubles)


def replay(options: argparse.Namespace) -> int:
    """Captures through the whole pipeline, and to a cloud if one is named."""
    from dataclasses import replace

    from agent import compose
    from agent.config import ConfigError
    from agent.delivery import DryDelivery
    from agent.runner import run
    from agent.upload.enrol import needs_enrolment

    config = _config(options)
    is_enrolled = not needs_enrolment(config)
    delivery: Any = DryDelivery()
    if options.cloud:
        if not is_enrolled:
            raise ConfigError(needs_enrolment(config))
        config = replace(config, cloud=replace(config.cloud, url=options.cloud))
        delivery = compose.delivery(config, waits_for_room=True)
    source = compose.open_source(config, tuple(options.captures))
    pipeline = compose.replay_pipeline(config, source, is_enrolled=is_enrolled)
    outcome = run(source, pipeline, delivery, speed=options.speed, drain_s=DRAIN_S, progress=_progress())
    _end_progress()
    estimate = pipeline.estimate()
    _print_replay(options.json, outcome, estimate)
    if options.cloud and delivery.left:
        print(
            f"ivizone-agent: {delivery.left} batches wait in the spool {config.spool.directory}: {delivery.trouble}; "
            "run the same replay again when the cloud is back, nothing is counted twice",
            file=sys.stderr,
        )
        return CLOUD
    return _report_troubles(outcome.troubles)


def _print_replay(as_json: bool, outcome: Outcome, estimate: Any) -> None:
    totals = outcome.totals
    if as_json:
        import json

        summary = {
            "frames": totals.frames,
            "probe_requests": totals.probe_requests,
            "skipped": dict(sorted(totals.skipped.items())),
            "devices": _devices(estimate),
            "sightings": totals.sightings,
            "batches": totals.batches,
            "bytes": totals.bytes,
            "seconds": round(outcome.seconds, 3),
            "frames_per_second": round(totals.frames / max(outcome.seconds, 1e-9)),
        }
        print(json.dumps(summary))
        return
    print(f"frames            {totals.frames:,}")
    print(f"  probe requests  {totals.probe_requests:,}")
    for reason, count in sorted(totals.skipped.items()):
        print(f"  skipped         {count:,}  {reason}")
    print(f"devices           {estimate.devices:.0f} ({estimate.low:.0f} to {estimate.high:.0f})")
    print(f"sightings         {totals.sightings:,}")
    print(f"batches           {totals.batches:,}  ({totals.bytes:,} bytes)")
    print(f"took              {outcome.seconds:.1f} s")


def _devices(estimate: Any) -> dict[str, float]:
    """The estimate as the commands print it."""
    return {
        "estimate": round(estimate.devices, 1),
        "low": round(estimate.low, 1),
        "high": round(estimate.high, 1),
        "confidence": round(estimate.confidence, 3),
    }


def _progress() -> Callable[[Totals, float], None] | None:
    """A line on a terminal, rewritten once a second; nothing where stderr is a file."""
    if not sys.stderr.isatty():
        return None
    shown = [0.0]

    def show(totals: Totals, seconds: float) -> None:
        if seconds - shown[0] >= 1.0:
            shown[0] = seconds
            print(
                f"\r{totals.frames:,} frames, {totals.batches:,} batches, {seconds:.0f} s ",
                end="",
                file=sys.stderr,
                flush=True,
            )

    return show


def _end_progress() -> None:
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _report_troubles(troubles: Sequence[str]) -> int:
    for trouble in troubles:
        print(f"ivizone-agent: {trouble}", file=sys.stderr)
    return INPUT if troubles else OK


# --- count and explain --------------------------------------------------------------------------------------------------


def count(options: argparse.Namespace) -> int:
    """How many devices the captures hold, with an interval."""
    import time

    from agent import compose
    from agent.survey import Survey

    config = _config(options)
    source = compose.open_source(config, tuple(options.captures))
    survey = Survey(compose.tracking_settings(config), compose.proximity_settings(config))
    started = time.monotonic()
    for _ in survey.walk(source):
        pass
    seconds = time.monotonic() - started
    estimate = survey.tracker.estimate()
    if options.json:
        import json

        devices = _devices(estimate)
        summary: dict[str, Any] = {"devices": devices.pop("estimate"), **devices}
        summary |= {"frames": survey.frames, "probe_requests": survey.probe_requests, "seconds": round(seconds, 3)}
        print(json.dumps(summary))
    else:
        print(f"{estimate.devices:.0f} devices ({estimate.low:.0f} to {estimate.high:.0f}, 90 % interval)")
        print(f"from {survey.probe_requests:,} probe requests in {survey.frames:,} frames")
    return _end_survey(source)


def explain(options: argparse.Namespace) -> int:
    """One row for each frame, capture by capture, after the whole was resolved."""
    import json

    from agent import compose
    from agent.dot11.mac import is_randomised
    from agent.dot11.probe_request import ProbeRequest
    from agent.survey import Survey

    config = _config(options)
    source = compose.open_source(config, tuple(options.captures))
    survey = Survey(compose.tracking_settings(config), compose.proximity_settings(config))
    rows: list[list[tuple[Any, ...]]] = [[] for _ in options.captures]
    for seen in survey.walk(source):
        request = seen.request
        details: tuple[Any, ...]
        if isinstance(request, ProbeRequest):
            details = (seen.burst, None, is_randomised(request.address), request.rssi_dbm, request.channel)
        else:
            details = (None, request.reason, None, None, None)
        rows[seen.frame.capture].append((seen.frame.time_us, *details))
    for capture, frames in enumerate(rows):
        for number, (time_us, burst, reason, randomised, rssi, channel) in enumerate(frames):
            share = burst.p_inside if burst else None
            row = {
                "capture": capture,
                "frame": number,
                "time": time_us / 1_000_000,
                "outcome": "probe_request" if burst else "skipped",
                "reason": reason,
                "device": burst.track.number if burst else None,
                "randomised": randomised,
                "rssi_dbm": rssi,
                "channel": channel,
                "p_inside": None if share is None else round(share, 3),
            }
            print(json.dumps(row) if options.format == "ndjson" else _row_in_words(row))
    return _end_survey(source)


def _row_in_words(row: dict[str, Any]) -> str:
    place = f"{row['capture']}:{row['frame']:<6} {row['time']:.6f} "
    if row["outcome"] == "skipped":
        return f"{place} skipped  {row['reason']}"
    kind = "randomised" if row["randomised"] else "global"
    level = "?" if row["rssi_dbm"] is None else row["rssi_dbm"]
    share = "?" if row["p_inside"] is None else f"{row['p_inside']:.2f}"
    return (
        f"{place} device {row['device']:<5} {kind:<10} {level} dBm  channel {row['channel'] or '?'}  p_inside {share}"
    )


def _end_survey(source: Source) -> int:
    source.close()
    return _report_troubles(list(getattr(source, "troubles", ())))


# --- spool, enrolment, site key -------------------------------------------------------------------------------------------


def spool(options: argparse.Namespace) -> int:
    """List, show or copy what waits."""
    import json
    import shutil

    from agent.spool import Spool
    from agent.wire.codec import decode_batch
    from agent.wire.cose import open_message
    from agent.wire.model import plain

    config = _config(options)
    kept = Spool(Path(config.spool.directory), config.spool.limit_bytes)
    if options.action == "ls":
        for entry in kept.entries():
            facts = {
                "number": entry.sequence,
                "boot": entry.boot.hex(),
                "batch": entry.number,
                "bytes": entry.size_bytes,
            }
            print(
                json.dumps(facts)
                if options.json
                else f"{entry.sequence:>8}  boot {facts['boot']}  batch {entry.number:<8} {entry.size_bytes:>7} bytes"
            )
        if not options.json:
            print(f"{len(kept.entries())} batches wait, {kept.pending_bytes:,} of {kept.limit_bytes:,} bytes")
        return OK
    if not options.target:
        return _fail(
            f"spool {options.action} needs {'the number of a batch' if options.action == 'show' else 'a directory'}",
            USAGE,
        )
    if options.action == "export":
        target = Path(options.target)
        try:
            target.mkdir(parents=True, exist_ok=True)
            for entry in kept.entries():
                shutil.copy2(entry.path, target / entry.path.name)
        except OSError as error:
            return _fail(f"{target}: cannot be written ({error.strerror}); name another directory", INPUT)
        print(f"{len(kept.entries())} batches copied to {target}")
        return OK
    found = [entry for entry in kept.entries() if str(entry.sequence) == options.target.lstrip("0").rjust(1, "0")]
    if not found:
        return _fail(f"no batch {options.target} waits; `ivizone-agent spool ls` prints the numbers", USAGE)
    batch = decode_batch(open_message(kept.read(found[0])).payload)
    print(json.dumps(plain(batch), indent=2))
    return OK


def enrol(options: argparse.Namespace) -> int:
    """Buy a name with a one-time token, and write the configuration."""
    from agent.compose import SiteKeyFile
    from agent.config import DEFAULT_PATH, parse_config
    from agent.upload.enrol import enrol as ask
    from agent.upload.enrol import enrolled_config, load_or_make_key, write_secret
    from agent.upload.https import Connection

    path = options.config or DEFAULT_PATH
    existing = path.read_text() if path.exists() else ""
    config = parse_config(existing, path.name)
    key = load_or_make_key(Path(config.agent.key_file))
    connection = Connection(options.url, ca_file=config.cloud.ca_file, timeout_s=config.cloud.timeout_s)
    answer = ask(connection, options.token, key, __version__)
    connection.close()
    write_secret(path, enrolled_config(existing, path.name, options.url, answer).encode())
    print(f"enrolled as {answer['agent']} of site {answer['site']}; configuration written to {path}")
    keeper = SiteKeyFile(Path(config.privacy.site_key_file))
    if not keeper.path.exists():
        keeper.save(_new_site_key())
        print(
            f"a new site key was made in {keeper.path}; the site's other access points need the same one: ivizone-agent site-key export"
        )
    return OK


def site_key(options: argparse.Namespace) -> int:
    """Make, show or take over the site key."""
    from agent.compose import SiteKeyFile
    from agent.config import ConfigError
    from agent.privacy.ratchet import SiteKey

    keeper = SiteKeyFile(Path(_config(options).privacy.site_key_file))
    if options.action == "export":
        print(keeper.load().to_text())
        return OK
    if keeper.path.exists():
        raise ConfigError(f"{keeper.path} holds a site key; remove it first if its pseudonyms may end today")
    if options.action == "import":
        keeper.save(SiteKey.from_text(sys.stdin.readline()))
    else:
        keeper.save(_new_site_key())
    print(f"site key written to {keeper.path}")
    return OK


def _new_site_key() -> Any:
    import os
    import time

    from agent.privacy.ratchet import SiteKey

    return SiteKey(
        int(time.time() // 86_400) - 1, os.urandom(32)
    )  # a day back, so that a day that begins before 00:00 UTC has its key


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "run": run_command,
    "replay": replay,
    "explain": explain,
    "count": count,
    "spool": spool,
    "enrol": enrol,
    "site-key": site_key,
}


if __name__ == "__main__":
    sys.exit(main())
