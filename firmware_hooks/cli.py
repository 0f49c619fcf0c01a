"""`python -m firmware_hooks`: what init scripts, hotplug scripts and people call (shell).

Exit codes: 0 ok, 2 usage, 3 not allowed or a name that is taken, 4 the radio cannot, 5 root is needed. Results go to
stdout, everything else to stderr; no address or network name appears in either.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from firmware_hooks import channels, hopper
from firmware_hooks.apply import apply_plan, remove
from firmware_hooks.capability import RadioReport, advice
from firmware_hooks.errors import HookError, KeyUnusable, NameTaken, NotAllowed, NotPermitted
from firmware_hooks.plan import DEFAULT_INTERFACE, Plan, plan_monitor, plan_removal
from firmware_hooks.system import System

OK, USAGE, REFUSED, UNFIT, NEEDS_ROOT = 0, 2, 3, 4, 5
STAY_FILE = Path("/var/run/ivizone/channel.json")
HEARD_FILE = Path("/var/run/ivizone/heard.json")
VISITOR_KEY_FILE = Path("/etc/ivizone/visitor.key")


def main(arguments: Sequence[str] | None = None, system: System | None = None) -> int:
    """Run one command; gives the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return COMMANDS[options.command](options, system or System())
    except NotPermitted as error:
        return _fail(error, NEEDS_ROOT)
    except (NameTaken, KeyUnusable, NotAllowed) as error:
        return _fail(error, REFUSED)
    except HookError as error:
        return _fail(error, UNFIT)
    except KeyboardInterrupt:
        return 130


def _fail(error: object, code: int) -> int:
    print(f"firmware_hooks: {error}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m firmware_hooks", description="The radio of an access point.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        made.add_argument("--json", action="store_true", help="one JSON object on stdout")
        return made

    command("report", "say what each radio can do")
    for name, text in (
        ("plan", "print the commands that would make the monitor interface"),
        ("apply", "make the monitor interface, or leave everything as it was"),
    ):
        made = command(name, text)
        made.add_argument("--radio", metavar="PHY", help="e.g. phy1 (default: a free one, else one that serves)")
        made.add_argument("--interface", default=DEFAULT_INTERFACE, metavar="NAME")
        made.add_argument(
            "--take-radio", action="store_true", help="take idle interfaces of the radio down, so it can hop"
        )
        made.add_argument(
            "--convert", action="store_true", help="change the radio's own interface instead of adding one"
        )
    removal = command("remove", "remove the monitor interface")
    removal.add_argument("--interface", default=DEFAULT_INTERFACE, metavar="NAME")
    hop = command("hop", "go round the channels until stopped")
    hop.add_argument("--interface", default=DEFAULT_INTERFACE, metavar="NAME")
    hop.add_argument("--channels", default="", metavar="1,6,11", help="default: chosen by what the radio can")
    hop.add_argument("--cycle-ms", type=int, default=channels.DEFAULT_SETTINGS.cycle_ms)
    hop.add_argument("--min-dwell-ms", type=int, default=channels.DEFAULT_SETTINGS.min_dwell_ms)
    hop.add_argument("--stay-file", type=Path, default=STAY_FILE)
    hop.add_argument("--heard-file", type=Path, default=HEARD_FILE)
    hop.add_argument("--once", action="store_true", help="print the schedule of one cycle and stop; sets nothing")
    token = command("visitor", "make a visitor's token of the address on standard input")
    token.add_argument("kind", choices=("visit", "visitor"))
    token.add_argument("--mode", required=True, help="privacy.mode of the agent")
    token.add_argument("--life-days", type=int, default=180)
    token.add_argument("--key-file", type=Path, default=VISITOR_KEY_FILE)
    return parser


# --- the radio ----------------------------------------------------------------------------------------------------------


def report(options: argparse.Namespace, system: System) -> int:
    """What each radio can do, and what to do about it."""
    reports = system.reports()
    if options.json:
        print(json.dumps({"radios": [facts(r) for r in reports]}))
    else:
        for r in reports:
            print(advice(r))
            for objection in r.objections:
                print(f"  {objection.weight} {objection.use}: {objection.reason} ({objection.source})")
        if not reports:
            print("no Wi-Fi radio that the kernel knows")
    return OK if any(r.may_monitor_now for r in reports) else UNFIT


def facts(r: RadioReport) -> dict[str, Any]:
    """A radio's report as JSON shows it."""
    return {
        "radio": r.radio.name,
        "driver": r.driver,
        "can_monitor": r.can_monitor,
        "can_monitor_while_serving": r.can_monitor_beside_ap,
        "may_monitor_now": r.may_monitor_now,
        "may_hop": r.may_hop,
        "serving": [interface.name for interface in r.serving],
        "home_channel": r.home_channel,
        "channels": [
            {"channel": c.number, "frequency_mhz": c.frequency_mhz, "passive": c.is_passive} for c in r.channels
        ],
        "objections": [asdict(objection) for objection in r.objections],
        "advice": advice(r),
    }


def _plan(options: argparse.Namespace, system: System) -> Plan:
    return plan_monitor(
        system.reports(),
        radio=options.radio,
        interface=options.interface,
        takes_radio=options.take_radio,
        converts=options.convert,
    )


def show_plan(options: argparse.Namespace, system: System) -> int:
    """The commands, without running one."""
    made = _plan(options, system)
    if options.json:
        print(json.dumps(asdict(made)))
        return OK
    for step in made.steps:
        print(f"{' '.join(step.command):<60} # {step.meaning}")
    if not made.steps:
        print(f"# nothing to do: {made.interface} listens on {made.radio} already")
    return OK


def apply_now(options: argparse.Namespace, system: System) -> int:
    """The commands, run; undone where one fails."""
    done = apply_plan(system, _plan(options, system))
    return _tell(options, done.plan, done.commands, "listens")


def remove_now(options: argparse.Namespace, system: System) -> int:
    """The monitor interface, gone."""
    done = remove(system, plan_removal(system.interfaces(), options.interface))
    return _tell(options, done.plan, done.commands, "is removed")


def _tell(options: argparse.Namespace, made: Plan, commands: int, what: str) -> int:
    if options.json:
        summary = {"interface": made.interface, "radio": made.radio, "commands": commands}
        print(json.dumps(summary | {"may_hop": made.may_hop, "home_channel": made.home_channel}))
    else:
        print(f"{made.interface} {what}" + (f" on {made.radio}" if made.radio else "") + f" ({commands} commands)")
    return OK


# --- channels -----------------------------------------------------------------------------------------------------------


def hop(options: argparse.Namespace, system: System) -> int:
    """Go round until a signal comes; every change of state is one line on stderr."""
    if options.once:
        made = channels.plan_channels(_radio_of(options.interface, system), _numbers(options.channels))
        cycle = channels.schedule(made, hopper.read_heard(options.heard_file), _settings(options))
        print(json.dumps([asdict(dwell) for dwell in cycle]))
        return OK
    options.stay_file.parent.mkdir(parents=True, exist_ok=True)
    driven = _hopper(options, system)
    told = driven.plan.reason
    print(f"firmware_hooks: {told}", file=sys.stderr)
    while True:  # until SIGTERM; procd and systemd stop us so
        stay = driven.step(time.monotonic())
        hopper.write_stay(options.stay_file, stay)
        if (stay.trouble or driven.plan.reason) != told:
            told = stay.trouble or driven.plan.reason
            print(f"firmware_hooks: {told}", file=sys.stderr)
        if not stay.is_hopping:
            driven = _planned_anew(options, system, driven)
        time.sleep(max(0.0, driven.due_s - time.monotonic()))


def _hopper(options: argparse.Namespace, system: System) -> hopper.Hopper:
    made = channels.plan_channels(_radio_of(options.interface, system), _numbers(options.channels))
    heard = partial(hopper.read_heard, options.heard_file)
    return hopper.Hopper(options.interface, made, _settings(options), run=system.run, heard=heard)


def _planned_anew(options: argparse.Namespace, system: System, driven: hopper.Hopper) -> hopper.Hopper:
    """After a refusal, or a minute of staying: an access point may have come or gone, and then the plan is another."""
    try:
        anew = _hopper(options, system)
    except HookError:
        return driven  # the interface is gone for the moment; the next step tells
    if anew.plan == driven.plan:
        return driven
    anew.stay = driven.stay
    return anew


def _settings(options: argparse.Namespace) -> channels.PlanSettings:
    return channels.PlanSettings(max(options.cycle_ms, 1), max(options.min_dwell_ms, 100))


def _radio_of(interface: str, system: System) -> RadioReport:
    reports = system.reports()
    for r in reports:
        if any(i.name == interface for i in r.interfaces):
            return r
    make = f"make it: python -m firmware_hooks apply --interface {interface}"
    raise HookError(f"interface {interface} does not exist; {make}") if reports else HookError("there is no radio")


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.replace(",", " ").split())
    except ValueError:
        raise HookError(f"--channels {text!r} is no list of channels; use numbers such as 1,6,11") from None


# --- the portal ---------------------------------------------------------------------------------------------------------


def visitor_now(options: argparse.Namespace, system: System) -> int:
    """A token on stdout."""
    from firmware_hooks import visitor  # brings OpenSSL's hashes, 3 MB that a hopper does not need

    visitor.check_allowed(options.mode, options.life_days)
    today = int(time.time() // 86_400)
    key = visitor.load_or_make(options.key_file, today, options.life_days)
    address = visitor.parse_address(sys.stdin.readline())
    token = visitor.visit_token(key, address, today) if options.kind == "visit" else visitor.visitor_token(key, address)
    print(json.dumps({options.kind: token}) if options.json else token)
    return OK


COMMANDS: dict[str, Callable[[argparse.Namespace, System], int]] = {
    "report": report,
    "plan": show_plan,
    "apply": apply_now,
    "remove": remove_now,
    "hop": hop,
    "visitor": visitor_now,
}
