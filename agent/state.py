"""What a running agent says of itself: one dictionary, as JSON for people and programs and as OpenMetrics for monitoring.

Core, but for ``write_whole``. Counts are since the start of the process. No address, name of a network or key is in it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from agent.delivery import SpoolDelivery
from agent.pipeline import Pipeline

PREFIX = "ivizone_agent"
COUNTERS = {
    "frames": "Frames heard.",
    "probe_requests": "Probe requests among them.",
    "batches": "Batches made.",
    "sightings": "Sightings in them.",
    "kernel_drops": "Frames that the kernel dropped.",
    "evicted_batches": "Batches given up because the spool was full.",
    "acknowledged_batches": "Batches that the cloud has taken.",
    "refused_batches": "Batches that the cloud will never take.",
    "uploaded_bytes": "Bytes of acknowledged batches.",
    "flash_bytes_written": "Bytes of batches written to the lasting directory.",
}
GAUGES = {
    "up_s": "Seconds since the agent started.",
    "silent_s": "Seconds since the last frame.",
    "waiting_batches": "Batches that wait for the cloud.",
    "waiting_bytes": "Their size.",
    "resident_bytes": "Resident memory of the agent.",
}


def state_of(
    pipeline: Pipeline, delivery: SpoolDelivery, *, source: Mapping[str, Any], up_s: float, silent_s: float | None
) -> dict[str, Any]:
    """Everything that the files, the log and `doctor` show. ``source`` is what the source says of itself."""
    settings, totals, ledger = pipeline.settings, pipeline.totals, pipeline.ledger
    skipped = dict(totals.skipped)
    for reason, count in ledger.skipped.items():
        skipped[reason] = skipped.get(reason, 0) + count
    uploads = delivery.uploads
    return {
        "agent": settings.agent,
        "site": settings.site,
        "software": settings.software,
        "mode": settings.mode.name.lower(),
        "clock": pipeline.clock.name.lower(),
        "source": dict(source),
        "up_s": round(up_s),
        "silent_s": None if silent_s is None else round(silent_s, 1),
        "frames": totals.frames + ledger.frames,
        "probe_requests": totals.probe_requests + ledger.probe_requests,
        "skipped": dict(sorted(skipped.items())),
        "kernel_drops": totals.kernel_drops + ledger.losses.get("kernel_drops", 0),
        "listening_ms": {str(channel): ms for channel, ms in sorted(totals.listening_ms.items())},
        "sightings": totals.sightings,
        "batches": totals.batches,
        "waiting_batches": delivery.left,
        "waiting_bytes": delivery.waiting_bytes,
        "evicted_batches": delivery.evicted_batches,
        "flash_bytes_written": delivery.flash_bytes_written,
        "acknowledged_batches": uploads.acknowledged,
        "refused_batches": uploads.refused,
        "uploaded_bytes": uploads.bytes,
        "trouble": delivery.trouble,
        "resident_bytes": resident_bytes(),
    }


def as_openmetrics(state: Mapping[str, Any]) -> str:
    """The state as OpenMetrics 1.0 text."""
    labels = f'{{agent="{state["agent"]}",site="{state["site"]}"}}'
    lines = list(_info(state))
    for name, meaning in COUNTERS.items():
        lines += [f"# TYPE {PREFIX}_{name} counter", f"# HELP {PREFIX}_{name} {meaning}"]
        lines.append(f"{PREFIX}_{name}_total{labels} {state[name]}")
    for name, meaning in GAUGES.items():
        if state[name] is not None:
            lines += [f"# TYPE {PREFIX}_{name} gauge", f"# HELP {PREFIX}_{name} {meaning}"]
            lines.append(f"{PREFIX}_{name}{labels} {state[name]}")
    lines += [
        f"# TYPE {PREFIX}_skipped counter",
        f"# HELP {PREFIX}_skipped Frames that were no probe request, by reason.",
    ]
    for reason, count in state["skipped"].items():
        lines.append(
            f'{PREFIX}_skipped_total{{agent="{state["agent"]}",site="{state["site"]}",reason="{reason}"}} {count}'
        )
    return "\n".join([*lines, "# EOF"]) + "\n"


def _info(state: Mapping[str, Any]) -> Iterator[str]:
    names = ("agent", "site", "software", "mode", "clock")
    labels = ",".join(f'{name}="{state[name]}"' for name in names)
    yield f"# TYPE {PREFIX} info"
    yield f"# HELP {PREFIX} Who the agent is, and how it runs."
    yield f"{PREFIX}_info{{{labels}}} 1"


def resident_bytes() -> int | None:
    """Resident memory of this process. Source: proc_pid_statm(5). None where /proc is not there."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def as_json(state: Mapping[str, Any]) -> str:
    """The state as one JSON object."""
    return json.dumps(state, indent=1) + "\n"


def write_whole(path: Path, text: str) -> None:
    """Write a file so that no reader ever sees half of it. Raises OSError. Not fsynced: it is worth nothing after a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(text)
    part.replace(path)
