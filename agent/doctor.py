"""Looks at everything a running agent needs, and says of each what is so and what to do (shell; the judging functions are pure).

Nothing is changed: no key is stepped, no batch is sent, no interface is made.
"""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum
from pathlib import Path

from agent import compose
from agent.config import Config, ConfigError
from agent.dot11.captured import Tick
from agent.exit_codes import CLOUD, CONFIGURATION, INPUT, OK
from agent.own_key import load_key
from agent.privacy.ratchet import SiteKey
from agent.sources.base import LiveSource
from agent.sources.errors import SourceError
from agent.spool import SpoolError
from agent.upload.enrol import needs_enrolment
from agent.upload.errors import UploadError
from agent.upload.https import Connection, Response
from agent.upload.signed_request import authorization

DAY_S = 86_400
LISTEN_S = 3.0
RAM_FILE_SYSTEMS = frozenset({"tmpfs", "ramfs"})
CLOCK_LIMIT_S = 300
"""What the cloud forgives (agent/wire/SPEC.md, section 6)."""
CLOCKS_OF_A_STORE_S = 5
"""Beyond it access points of one store begin to count a device twice (docs/adr/0017-several-access-points.md)."""
CERTIFICATE_WARN_DAYS = 14


class State(Enum):
    """How a finding is."""

    OK = "ok"
    WARNING = "warn"
    FAILED = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor. ``advice`` is what to do, empty where nothing need be done."""

    subject: str
    state: State
    what: str
    advice: str = ""
    exit_code: int = OK
    """Of a failed finding: whose fault it is (DESIGN section 5)."""


def good(subject: str, what: str) -> Finding:
    """Nothing need be done."""
    return Finding(subject, State.OK, what)


def warning(subject: str, what: str, advice: str) -> Finding:
    """It works, but."""
    return Finding(subject, State.WARNING, what, advice)


def failed(subject: str, what: str, advice: str, exit_code: int) -> Finding:
    """It does not work."""
    return Finding(subject, State.FAILED, what, advice, exit_code)


def examine(config: Config, now_s: float) -> Iterator[Finding]:
    """Every finding, in the order in which an installer would look."""
    yield from enrolment(config)
    yield from privacy(config, now_s)
    yield clock(config, now_s)
    yield from radio(config)
    yield from disk(config)
    yield from spool(config)
    yield from cloud(config, now_s)
    yield from running(config, now_s)


# --- identity and privacy -----------------------------------------------------------------------------------------------


def enrolment(config: Config) -> Iterator[Finding]:
    """Does the cloud know this access point, and is its key its own?"""
    missing = needs_enrolment(config)
    if missing:
        yield failed("enrolment", "this access point has no name", missing, CONFIGURATION)
        return
    try:
        load_key(Path(config.agent.key_file))
    except ConfigError as error:
        yield failed("enrolment", f"{config.agent.id} of site {config.agent.site}", str(error), CONFIGURATION)
        return
    yield ill_kept("enrolment", Path(config.agent.key_file)) or good(
        "enrolment", f"{config.agent.id} of site {config.agent.site}"
    )


def privacy(config: Config, now_s: float) -> Iterator[Finding]:
    """What leaves this access point, and is the site key where it should be?"""
    if config.privacy.mode == "count":
        yield good("privacy", "mode count: only counts by zone leave, no pseudonym is made")
        return
    path = Path(config.privacy.site_key_file)
    try:
        site_key = compose.SiteKeyFile(path).load()
    except ConfigError as error:
        yield failed("privacy", f"mode {config.privacy.mode}, but there is no site key", str(error), CONFIGURATION)
        return
    yield ill_kept("privacy", path) or judge_key(site_key, now_s, config.privacy.mode)


def judge_key(site_key: SiteKey, now_s: float, mode: str) -> Finding:
    """The chain may stand at today or the day before, and nowhere else for long."""
    days = site_key.day - int(now_s // DAY_S)
    if days > 1:
        what = f"mode {mode}; the site key stands {days} days ahead of the clock, so pseudonyms are not the site's"
        return failed(
            "privacy",
            what,
            "set the clock; if it is right, give all access points of the site a new site key",
            CONFIGURATION,
        )
    what = f"mode {mode}: pseudonyms of one day leave, their key is erased when it is over"
    return good("privacy", what + ("; the portal may ask visitors" if mode == "consent" else ""))


def ill_kept(subject: str, path: Path) -> Finding | None:
    """A finding where a secret is open to others, or closed to the agent."""
    file, folder = path.stat(), path.parent.stat()
    mode = stat.S_IMODE(file.st_mode)
    if mode & 0o077:
        return warning(subject, f"{path} can be read by others (mode {mode:03o})", f"chmod 600 {path}")
    if file.st_uid == 0 != folder.st_uid:
        what = f"{path} belongs to root, its folder to the agent's user, who cannot read it"
        return warning(subject, what, f"chown {folder.st_uid}:{folder.st_gid} {path}")
    return None


# --- clock and radio ----------------------------------------------------------------------------------------------------


def clock(config: Config, now_s: float) -> Finding:
    """Was the wall clock set?"""
    if compose.wall_clock(config).state.name == "SYNCED":
        return good("clock", time.strftime("set: %Y-%m-%d %H:%M:%S UTC", time.gmtime(now_s)))
    what = f"not set ({time.strftime('%Y-%m-%d', time.gmtime(now_s))}); frames wait for it, at most {config.clock.wait_s} s"
    return warning(
        "clock",
        what,
        "let it reach a time server: `timedatectl set-ntp true`, on OpenWrt `service sysntpd enable; service sysntpd restart`",
    )


def radio(config: Config) -> Iterator[Finding]:
    """Can the source be opened, and does it hear?"""
    yield from hardware(config)
    try:
        source = compose.open_source(config)
    except SourceError as error:
        yield failed("source", f"{config.source.name} cannot be opened", str(error), INPUT)
        return
    if not isinstance(source, LiveSource):
        source.close()
        yield warning("source", "pcap: captures, not the air", "set source.name to monitor or hostapd")
        return
    yield listen(config.source.name, source)


def listen(name: str, source: LiveSource) -> Finding:
    """Listen for a moment; closes the source."""
    heard, until_s = 0, time.monotonic() + LISTEN_S
    try:
        for frame in source:
            heard += not isinstance(frame, Tick)
            if time.monotonic() >= until_s:
                break
        about = ", ".join(f"{key} {value}" for key, value in source.state().items() if value is not None)
    except SourceError as error:
        return failed("source", f"{name} gives nothing", str(error), INPUT)
    finally:
        source.close()
    what = f"{name}: {heard} frames in {LISTEN_S:.0f} s ({about})"
    if heard:
        return good("source", what)
    return warning(
        "source", what, "a quiet street, or a deaf radio: open a phone's Wi-Fi settings beside it and look again"
    )


def hardware(config: Config) -> Iterator[Finding]:
    """What the radios can do, for a source that needs one."""
    if config.source.name != "monitor":
        return
    from firmware_hooks.capability import advice
    from firmware_hooks.errors import HookError
    from firmware_hooks.system import System

    try:
        reports = System().reports()
    except HookError as error:
        yield warning("radio", "the radios cannot be asked", str(error))
        return
    if not reports:
        yield failed("radio", "the kernel knows no Wi-Fi radio", "plug one in, or install its driver", INPUT)
    for report in reports:
        able = report.may_monitor_now or any(i.type == "monitor" for i in report.interfaces)
        yield (
            good("radio", advice(report))
            if able
            else warning("radio", advice(report), "see docs/install-openwrt.md or docs/install-raspberrypi.md")
        )


# --- disk and spool -----------------------------------------------------------------------------------------------------


def disk(config: Config) -> Iterator[Finding]:
    """Are the directories there, writable, roomy, and of the right kind?"""
    lasting = Path(config.spool.directory)
    found = unwritable(lasting)
    if found:
        yield found
        return
    free = os.statvfs(next(place for place in (lasting, *lasting.parents) if place.exists()))
    free_bytes = free.f_bavail * free.f_frsize
    what = f"{lasting}: {free_bytes // 1_000_000} MB free, at most {config.spool.limit_bytes // 1_000_000} MB are used"
    if free_bytes < config.spool.limit_bytes:
        yield warning("disk", what, "free space, or set spool.limit_bytes lower")
    else:
        yield good("disk", what)
    if not config.spool.ram_directory:
        if file_system_of(lasting) in ("jffs2", "ubifs", "overlay", "squashfs"):
            yield warning(
                "flash",
                f"{lasting} is on flash, and every batch is written there",
                "set spool.ram_directory to a RAM disk",
            )
        return
    ram = Path(config.spool.ram_directory)
    kind = "" if unwritable(ram) else file_system_of(ram)
    if kind in RAM_FILE_SYSTEMS:
        yield good("flash", f"batches wait in RAM ({ram}) while the cloud answers")
    else:
        yield unwritable(ram) or warning(
            "flash", f"spool.ram_directory {ram} is on {kind}, not in RAM", "name one on tmpfs, such as /tmp/ivizone"
        )


def unwritable(directory: Path) -> Finding | None:
    """A finding where batches cannot be written. A missing directory is tried where it would be made, and not made: root's would be closed to the agent."""
    place = directory
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    try:
        probe = place / ".doctor"
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError as error:
        return failed(
            "disk",
            f"{directory} cannot be written ({error.strerror})",
            "choose another spool directory, or run as the user that owns it",
            CLOUD,
        )
    return None


def file_system_of(path: Path, mounts: Path = Path("/proc/mounts")) -> str:
    """Kind of the file system that holds ``path``, such as "tmpfs"; empty where nobody knows. Source: proc(5), mounts."""
    best, kind = "", ""
    wanted = str(path.resolve())
    try:
        lines = mounts.read_text().splitlines()
    except OSError:
        return ""
    for line in lines:
        _, point, found, *_ = line.split(" ")
        if (wanted == point or wanted.startswith(point.rstrip("/") + "/")) and len(point) >= len(best):
            best, kind = point, found
    return kind


def spool(config: Config) -> Iterator[Finding]:
    """What waits, and what the cloud did not want."""
    try:
        kept = compose.open_spool(config, is_ours=False)
    except SpoolError as error:
        yield failed("spool", "cannot be read", str(error), CLOUD)
        return
    waiting = kept.entries()
    what = f"{len(waiting)} batches wait ({kept.pending_bytes:,} bytes)"
    refused = len(list(Path(config.spool.directory).glob("refused/*.cose")))
    if refused:
        yield warning(
            "spool",
            f"{what}; {refused} were refused by the cloud",
            "look at one: ivizone-agent spool show, and at the agent's log for the reason",
        )
    else:
        yield good("spool", what)


# --- the cloud ----------------------------------------------------------------------------------------------------------


def cloud(config: Config, now_s: float) -> Iterator[Finding]:
    """Does it answer, over TLS that we believe, does it know us, and do our clocks agree?"""
    if not config.cloud.url:
        yield failed("cloud", "cloud.url is empty", "enrol: ivizone-agent enrol URL --token T", CONFIGURATION)
        return
    try:
        connection = Connection(
            config.cloud.url, ca_file=config.cloud.ca_file, timeout_s=min(10, config.cloud.timeout_s)
        )
        answer = connection.request("GET", "/healthz")
    except (UploadError, OSError) as error:
        yield failed(
            "cloud",
            f"{config.cloud.url} does not answer",
            f"{error}; look at name, cable, firewall and certificates",
            CLOUD,
        )
        return
    yield from certificate(connection, now_s)
    yield judge_clocks(answer.date, now_s, config.privacy.access_points == "several")
    yield from known(config, connection, now_s)
    connection.close()


def certificate(connection: Connection, now_s: float) -> Iterator[Finding]:
    """How the line is protected, and for how long."""
    expires_s = connection.certificate_expires_s
    if expires_s is None:
        yield good("TLS", "none: the cloud is on this machine")
        return
    days = int((expires_s - now_s) // DAY_S)
    what = f"{connection.tls_version}, certificate valid for {days} more days"
    yield good("TLS", what) if days > CERTIFICATE_WARN_DAYS else warning("TLS", what, "tell the cloud's operator")


def judge_clocks(date: str | None, now_s: float, of_several: bool = False) -> Finding:
    """Ours beside the one in the cloud's answer (RFC 9110, 6.6.1)."""
    try:
        apart_s = now_s - parsedate_to_datetime(date or "").timestamp()
    except (ValueError, TypeError, OverflowError):
        return warning(
            "time",
            "the cloud's answer bears no date",
            "nothing can be said of the clock; look at a time server instead",
        )
    what = f"clocks are {abs(apart_s):.0f} s apart"
    if abs(apart_s) > CLOCK_LIMIT_S:
        return failed("time", what, f"set this clock: batches more than {CLOCK_LIMIT_S} s ahead are refused", CLOUD)
    if of_several and abs(apart_s) > CLOCKS_OF_A_STORE_S:
        return warning(
            "time", what, "let a time server set this clock: access points whose clocks differ count one device twice"
        )
    return good("time", what)


def known(config: Config, connection: Connection, now_s: float) -> Iterator[Finding]:
    """Would the cloud take a batch that we sign?"""
    try:
        key = load_key(Path(config.agent.key_file))
    except ConfigError:
        return  # said above
    path = "/v1/agents/self/config"
    header = authorization(config.agent.id, key.sign, "GET", path, int(now_s))
    try:
        answer = connection.request("GET", path, Authorization=header)
    except UploadError as error:
        yield failed("cloud", f"{config.cloud.url} does not answer", str(error), CLOUD)
        return
    yield judge_known(config.cloud.url, answer)
    if is_told_of_others(answer) and config.privacy.access_points == "one":
        yield warning(
            "privacy",
            "the store has other access points, and what both hear counts twice",
            "set privacy.access_points to 'several' on each of them",
        )


def is_told_of_others(answer: Response) -> bool:
    """True where the configuration that the cloud has for this access point says that the store has several."""
    try:
        return bool(json.loads(answer.body)["privacy"]["access_points"] == "several")
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


def judge_known(url: str, answer: Response) -> Finding:
    """The cloud's answer to a request that we signed."""
    if answer.status in (200, 304):
        return good("cloud", f"{url} answers and knows this access point")
    said = answer.body.decode("utf-8", "replace").strip()[:200]
    advice = {
        401: "enrol again, or set the clock",
        403: "this access point was revoked; ask the operator, or enrol it again",
    }.get(answer.status, "ask the cloud's operator")
    return failed("cloud", f"{url} answers {answer.status}: {said}", advice, CLOUD)


# --- the running agent --------------------------------------------------------------------------------------------------


def running(config: Config, now_s: float) -> Iterator[Finding]:
    """What the agent that runs here said last."""
    if not config.state.status_file:
        return
    path = Path(config.state.status_file)
    try:
        age_s = now_s - path.stat().st_mtime
        state = json.loads(path.read_text())
    except (OSError, ValueError):
        yield warning(
            "agent",
            "no agent has written its state",
            "start it: service ivizone-agent start, or systemctl start ivizone-agent",
        )
        return
    if age_s > 3 * config.state.every_s + 5:
        yield warning("agent", f"the agent's state is {age_s:.0f} s old", "it has stopped or hangs; look at its log")
        return
    what = f"running for {state['up_s']} s: {state['probe_requests']} probe requests, {state['batches']} batches"
    yield warning("agent", what, state["trouble"]) if state["trouble"] else good("agent", what)


def exit_code_of(findings: list[Finding]) -> int:
    """Of the first that failed; warnings are no failure."""
    return next((finding.exit_code for finding in findings if finding.state is State.FAILED), OK)
