"""Writes docs/field-tests.md from what the rig told, and from what the commands of OUTPUTS said:

IVIZONE_RADIO_RESULTS=results.ndjson make test-radio
.venv/bin/python tests/radio/report.py results.ndjson FOLDER >docs/field-tests.md

FOLDER holds what each command of OUTPUTS wrote, as NAME.txt, and in note.txt what is to be known of this run.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import fill
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.radio import Result, events, listened_s, said_again, total

HEAD = """# Field tests

What the agent does beside a real access point, and what its ledger says of it. `tests/radio/report.py` writes this page from a run of
the rig and the outputs of the commands that it names; no figure in a table or an output is typed by hand.

    IVIZONE_RADIO_RESULTS=results.ndjson make test-radio
    .venv/bin/python tests/radio/report.py results.ndjson FOLDER >docs/field-tests.md

The rig (`tests/radio/rig/run.sh`) boots a throw-away VM: Debian's kernel with mac80211 and four simulated radios (mac80211_hwsim), Debian's
hostapd and iw, and this checkout's agent as a service: `ivizone-agent run`, windows and batches of 5 s so that the ledgers are fine
enough to read, the cloud away, so that all batches stay in the spool. wlan0 serves on channel 6; mon0 is a monitor interface on the
same radio; wlan1 sends probe requests (`inject.py`). One scenario by hand:

    tests/radio/rig/run.sh -- python3 /rig/scenarios.py hostapd_stop

The guest runs under TCG, that is without a hypervisor: its seconds of processor are some ten of the host's. Metal differs in one thing that
matters, drivers; `python -m firmware_hooks report` says what a radio and its driver can do.
"""

TITLES = {
    "rate_300": "300 probe requests a second for 60 s",
    "rate_1000": "1,000 probe requests a second for 60 s",
    "down": "The monitor interface goes down and up",
    "deleted": "The monitor interface is deleted and made again",
    "replaced": "The monitor interface is replaced by one of the same name within a second",
    "managed": "The driver leaves monitor mode",
    "hostapd_stop": "hostapd stops",
    "hostapd_restart": "hostapd is restarted",
    "hostapd_moves": "hostapd moves to channel 11 and back",
}


COST = ".venv/bin/python tests/radio/cost.py"
OUTPUTS = {
    "idle": (
        "An idle agent on this machine, piece by piece",
        f"{COST} --seconds 60",
        "The process as an owner has it: 20 probe requests a second, a cloud that answers over TLS, batches in RAM. An idle agent must not load what "
        "it does not use (`tests/agent/test_frugal.py`). The wheel of cryptography from PyPI brings an OpenSSL of its own (in `_rust.abi3.so`) "
        "beside the system's, which Python's ssl uses (`libcrypto`, `libssl`): with it the agent is over its 30 MB.",
    ),
    "shared": (
        "The same with one OpenSSL",
        f"{COST} --seconds 60 --python shared/bin/python",
        "The same release of cryptography, built against the system's OpenSSL as the packages of OpenWrt and Debian are "
        "(`pip wheel --no-binary cryptography cryptography`), under Debian's Python: within the 30 MB. The budget of an access point is this figure.",
    ),
    "away": (
        "The same with the cloud away",
        f"{COST} --seconds 30 --cloud away",
        "It tries for three seconds at most, and not where its next try would come later.",
    ),
    "million": (
        "A million addresses",
        f"{COST} --addresses 1000000 --rate 5000",
        "Each sends one probe request, from when the agent listens. Memory grows until the tables of devices and addresses are full (`tracking.max_tracks`, "
        "`tracking.max_addresses`) and stays there. Nothing is written to a disk while the cloud answers: what is counted is what the process "
        "gave to the block layer (`write_bytes` of /proc/PID/io); a day adds the turn of the site key, one page. A day at 200 frames a second, "
        "agent and cloud: `make soak`.",
    ),
    "architectures": (
        "Big-endian and 32 bits",
        "make test-architectures",
        "The unit tests of dot11, wire, privacy and spool under Debian's Python of these processors, in qemu's user mode.",
    ),
}
"""Name -> title, command, what to know."""


def main() -> None:
    lines = Path(sys.argv[1]).read_text().splitlines()
    results = {result["scenario"]: result for result in map(json.loads, lines)}
    print(HEAD)
    if len(sys.argv) > 2 and (note := Path(sys.argv[2], "note.txt")).exists():
        print(fill(note.read_text(), 150) + "\n")
    print("\n".join(rates(results)))
    for name, result in results.items():
        if "began" in result:
            print("\n".join(fault(name, result)))
    print("\n".join(costs(results)))
    for name, (title, command, words) in OUTPUTS.items() if len(sys.argv) > 2 else ():
        said = (Path(sys.argv[2]) / f"{name}.txt").read_text().strip("\n")
        quoted = (f"    {line}".rstrip() for line in said.splitlines())
        print("\n".join(["", f"## {title}", "", fill(words, 150), "", f"    {command}", "", *quoted]))


def rates(results: dict[str, Result]) -> Iterator[str]:
    """What was sent against what the ledgers say."""
    yield "## Every probe request is accounted for\n"
    yield "`inject.py wlan1 … --rate N --seconds 60 --addresses 400`; delivered is the interface's own counter (`rx_packets` of mon0).\n"
    yield "| rate | sent | delivered to mon0 | frames in the ledger | probe requests | skipped | dropped by the kernel | processor (TCG) |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for name in ("rate_300", "rate_1000"):
        if result := results.get(name):
            skipped = sum(sum(batch["skipped"].values()) for batch in result["batches"])
            counts = (result["sent"], result["delivered"], total(result, "frames"), total(result, "probe_requests"))
            cells = [
                TITLES[name].split(" probe")[0] + "/s",
                *(f"{n:,}" for n in (*counts, skipped, total(result, "kernel_drops"))),
            ]
            yield f"| {' | '.join(cells)} | {result['cpu_s']} s |"
    yield ""


def fault(name: str, result: Result) -> Iterator[str]:
    """One fault: the commands, the ledger before, during and after it, and what the agent logged."""
    again = said_again(result)
    lasted_s = result["ended"] - result["began"]
    yield f"## {TITLES[name]}\n"
    yield f"    {result['begin']}"
    if result["end"] != "true":
        yield f"    sleep {round(lasted_s)}; {result['end']}"
    yield ""
    yield (
        f"Listening again {max(0.0, again['at'] - result['ended']):.1f} s after the last command had ended, and more probe requests in the "
        f"status file after {result['heard_again_s']} s; the {'first ' * (name == 'hostapd_moves')}gap is {again['gap_ms'] / 1000:.1f} s.\n"
    )
    yield "| seconds after the first command | frames | probe requests | skipped | dropped | listened ms by channel | not listened |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for batch in result["batches"]:
        yield ledger_row(batch, result["began"])
    yield ""
    for event in result["events"]:
        if event["event"].startswith("monitor_"):
            yield log_line(event, events({"events": [event]}, event["event"])[0]["at"] - result["began"])
    yield ""


def ledger_row(batch: dict[str, Any], began: float) -> str:
    """A batch's ledger; channel 0 is "not known"."""
    start, end = batch["start"] - began, batch["end"] - began
    by_channel = ", ".join(f"{channel}: {ms:,}" for channel, ms in batch["listening_ms"].items()) or "none"
    skipped = sum(batch["skipped"].values())
    missing_s = max(0.0, end - start - listened_s(batch))
    counts = f"{batch['frames']} | {batch['probe_requests']} | {skipped} | {batch['kernel_drops']}"
    return f"| {start:.1f} to {end:.1f} | {counts} | {by_channel} | {missing_s:.1f} s |"


def log_line(event: dict[str, Any], at_s: float) -> str:
    """An event as the log has it, with its time relative to the fault."""
    values = " ".join(f"{k}={v}" for k, v in event.items() if k not in ("event", "timestamp", "level"))
    return f"    {at_s:7.1f} s  {event['level']:<7}  {event['event']} {values}"


def costs(results: dict[str, Result]) -> Iterator[str]:
    """Processor and memory at 20 frames a second."""
    yield "## What it costs\n"
    yield "20 probe requests a second by 40 phones. Resident memory is what the system counts for the process; its own is without the"
    yield "pages of files, which the system shares and takes back as it likes."
    yield "First frame: from the start of the process to the kernel's time of the first frame that the agent has, of those that came all the time.\n"
    yield "| where | processor | resident | its own | first frame | stop after SIGTERM |"
    yield "| --- | --- | --- | --- | --- | --- |"
    places = {"here": "this machine, a virtual interface", "idle": "the guest (TCG), beside the access point"}
    for name, place in places.items():
        if result := results.get(name):
            memory = result["memory_kib"]
            first_s = min(batch["first"] for batch in result["batches"] if batch["first"]) - result["started"]
            share = 100 * result["cpu_s"] / result["seconds"]
            own = memory["RssAnon"]
            yield (
                f"| {place} | {share:.1f} % of a core | {memory['VmRSS'] * 1024 / 1e6:.1f} MB | {own * 1024 / 1e6:.1f} MB | "
                f"{first_s:.1f} s | {result['stop_s']:.1f} s |"
            )


if __name__ == "__main__":
    main()
