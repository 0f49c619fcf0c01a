"""How long each thing is kept (core). The one table of it: the job that erases, the papers and docs/security.md read it from here.

What speaks of single devices dies within 24 h after its local day closed (DESIGN section 6; CNIL, mesure de fréquentation, case 2).
What speaks of nobody is kept as long as anybody compares years.
"""

from __future__ import annotations

from dataclasses import dataclass

from cloud.domain.modes import keeps_devices
from cloud.domain.site import Site

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
DEVICES_MS = DAY_MS
"""After the local day's end: sightings, signed messages, and messages that could not be read."""
NAMES_MS = 30 * DAY_MS
"""Names of batches: by them a batch that is sent again is known. After 7 days the clock's limit turns one away anyhow."""
FORMER_KEY_MS = 7 * DAY_MS
"""How long an access point's former key is taken for what it signed: as long as a batch may have waited (SPEC.md, section 6)."""
FIGURES_DAYS = 25 * 30 + 10
"""25 months: two years of figures can be compared. CNIL's limit for data of audience measuring."""
AUDIT_MS = 3 * 365 * DAY_MS
DATABASE_BACKUP_DAYS = 7
"""Of the AWS composition's database, in deploy/aws/stack.yaml; the embedded product makes no back-up."""
DEVICE_TABLES = ("sightings", "messages")
"""Tables of the lake that speak of single devices."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What is kept where, until when, in words."""

    where: str
    what: str
    until: str


RULES = (
    Rule("access point, memory", "addresses, in mode count", "the window's end, at most 5 minutes"),
    Rule("access point, disk", "opt-outs of the store, as bits of a filter", "the store's filter changes"),
    Rule("access point, memory", "addresses and the day's key, in modes day and consent", "the local day's end"),
    Rule(
        "access point, spool",
        "signed batches",
        "the cloud has them; of single devices 24 h after their day closed, others until the spool is full",
    ),
    Rule("cloud, stream", "signed batches", "they are in the lake, seconds"),
    Rule("cloud, stream", "names of batches (access point, start, number)", "30 days"),
    Rule("cloud, lake", "sightings and signed batches", "24 h after their local day closed"),
    Rule("cloud, quarantine", "batches that could not be read", "24 h after they came"),
    Rule("cloud, lake", "ledgers, windows and counts, which name no device", "25 months"),
    Rule(
        "cloud, database",
        "figures, with every cell under 5 devices hidden from readers",
        "25 months; of a store for captures, until it is removed",
    ),
    Rule("cloud, database", "opt-outs of a store, as bits of a filter", "the store is removed; none can be taken out"),
    Rule("cloud, database", "former key of an access point", "7 days after it was changed, for what it signed"),
    Rule("cloud, database", "who did what (audit)", "3 years"),
    Rule("cloud, database", "receipts of deletion", "for good; they name no device"),
    Rule("back-ups, lake", "none are made of lake and stream; an operator's must leave both out", "never"),
    Rule(
        "back-ups, on AWS",
        "what the database held, also what was erased from it since; nothing of lake and stream",
        f"{DATABASE_BACKUP_DAYS} days, unless the stack's BackupDays says otherwise",
    ),
    Rule("back-ups, embedded", "none are made of the database; an operator's hold what it held", "the operator says"),
)


def erase_at_ms(site: Site, date: str, received_ms: int) -> int:
    """When what a local day holds of single devices must be gone.

    A store for captures is another matter: nobody is there, and its days are long over when they come, so it counts from when they last came.
    """
    if not keeps_devices(site.modes.on(date)):
        return 0
    end_ms = site.day_bounds_ms(date)[1]
    return (max(end_ms, received_ms) if site.allows_replay else end_ms) + DEVICES_MS
