"""`ivizone-agent`: what people and checks call (DESIGN section 5). Exit codes: 0 ok, 2 usage, 3 configuration, 4 input, 5 cloud.

Results go to stdout, progress and logs to stderr. Modules are loaded by the command that needs them, so that `version`
answers at once on an access point.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from agent import __version__
from agent.exit_codes import CLOUD, CONFIGURATION, INPUT, INTERRUPTED, OK
from agent.frugal import frugal

if TYPE_CHECKING:
    import argparse

COMMANDS: dict[str, str] = {
    "run": "run:run_agent",
    "replay": "replay:replay",
    "explain": "survey:explain",
    "count": "survey:count",
    "spool": "spool:spool",
    "enrol": "identity:enrol",
    "receipts": "identity:print_receipts",
    "site-key": "identity:site_key",
    "calibrate": "calibrate:run_calibrate",
    "doctor": "doctor:run_doctor",
}
"""Command -> "module:function" in agent.commands."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit code. Every error is one clear message on stderr."""
    options = _as_a_service(sys.argv[1:] if arguments is None else arguments) or _parser().parse_args(arguments)
    if options.command == "version":
        return version()
    with frugal():
        import agent.config
        import agent.privacy.errors
        import agent.sources.errors
        import agent.spool.errors
        import agent.upload.errors

    try:
        module, _, function = COMMANDS[options.command].partition(":")
        with frugal():
            command = getattr(import_module(f"agent.commands.{module}"), function)
        return int(command(options))
    except (agent.config.ConfigError, agent.privacy.errors.PrivacyError) as error:
        return _fail(error, CONFIGURATION)
    except agent.sources.errors.SourceError as error:
        return _fail(error, INPUT)
    except (agent.upload.errors.UploadError, agent.spool.errors.SpoolError) as error:
        return _fail(error, CLOUD)
    except PermissionError as error:
        return _fail(
            f"{error.filename}: {error.strerror}; run as root, or as the user that the agent runs as", CONFIGURATION
        )
    except KeyboardInterrupt:
        return _fail("stopped", INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has enough; Python would complain once more at exit
        return OK


def _fail(error: object, code: int) -> int:
    print(f"ivizone-agent: {error}", file=sys.stderr)
    return code


def _as_a_service(words: Sequence[str]) -> Any:
    """The options of `run --config FILE`, as services are started; None for anything else. argparse would cost 0.7 MB for months, even let go of."""
    if len(words) == 3 and tuple(words[:2]) == ("run", "--config"):
        return SimpleNamespace(command="run", config=Path(words[2]))
    return None


def version() -> int:
    """Print the version of the program and of the wire."""
    from agent.wire.limits import SPEC_VERSION

    print(f"ivizone-agent {__version__} (wire {SPEC_VERSION})")
    return OK


def _parser() -> argparse.ArgumentParser:
    import argparse

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
    replay.add_argument(
        "--onto-day",
        type=_day,
        metavar="YYYY-MM-DD",
        help="lay every capture onto this day (UTC), each at its own time of day",
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
    enrol.add_argument("url", metavar="URL", nargs="?", help="of the cloud; not needed with --rotate")
    bought = enrol.add_mutually_exclusive_group(required=True)
    bought.add_argument("--token", metavar="T", help="one-time token from: ivizone-cloud agent token --site SITE")
    bought.add_argument(
        "--rotate",
        action="store_true",
        help="change this agent's signing key; a running agent goes on with the new one",
    )
    command("receipts", "print the signed receipts of what was erased here")
    site_key = command("site-key", "make, show or take over the key that the access points of a site share")
    site_key.add_argument("action", choices=("new", "export", "import"))
    calibrate = command("calibrate", "walk inside and outside: fit the level that divides them, and explain it")
    calibrate.add_argument("--inside", nargs="+", metavar="CAPTURE", help="captures of a walk inside")
    calibrate.add_argument("--outside", nargs="+", metavar="CAPTURE", help="captures of a walk outside")
    calibrate.add_argument("--minutes", type=float, default=4.0, help="length of each walk, live (default 4)")
    calibrate.add_argument("--write", action="store_true", help="put the result into the configuration")
    calibrate.add_argument("--json", action="store_true")
    doctor = command("doctor", "look at radio, clock, keys, disk and cloud; say what to do")
    doctor.add_argument("--json", action="store_true")
    command("version", "print the version")
    return parser


def _day(text: str) -> int:
    """A date as days since 1970-01-01."""
    from argparse import ArgumentTypeError
    from datetime import date

    try:
        return (date.fromisoformat(text) - date(1970, 1, 1)).days
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no date; write it as 2026-11-20") from None


def _speed(text: str) -> float:
    from argparse import ArgumentTypeError

    if text in ("max", "realtime"):
        return 0.0 if text == "max" else 1.0
    try:
        speed = float(text)
    except ValueError:
        speed = -1.0
    if not 0 < speed < 1e9:
        raise ArgumentTypeError(f"{text!r} is no speed; use max, realtime or a number above 0")
    return speed


if __name__ == "__main__":
    sys.exit(main())
