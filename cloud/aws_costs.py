"""What the product costs on AWS a month, from list prices and from what was measured (core; `load_prices` reads a file).

``ivizone-cloud aws costs`` prints the table of docs/operations.md. Everything that is counted stands in deploy/aws/prices.yaml, with its
source and date: change it there and run again.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cloud.config import CloudConfigError

PRICES = Path(__file__).resolve().parents[1] / "deploy" / "aws" / "prices.yaml"
SCALES = (100, 1000, 10_000)
CONSUMER_S = 300
DAY_S, MONTH_DAYS = 86_400, 730 / 24
KB, GB = 1024, 1e9
LAKE_DAYS, DEVICE_DAYS = 760, 3
"""How long ledgers and windows lie in the lake, and sightings and messages at most. Source: cloud/domain/retention.py."""
INSTANCES, INSTANCE_CORES, VOLUME_GB = 2, 2, 30
BALANCER_CONNECTIONS, BALANCER_GB_HOUR = 3000, 1.0
SECRETS, ALARMS, METRICS, ZONES = 4, 10, 6, 3
LOG_BYTES_BATCH, ROW_BYTES, DATABASE_GB = 60, 150, 50
JSON_HEAD_BYTES = 400
"""Of an HTTP request around one record: method, host, token, content type and length."""


@dataclass(frozen=True, slots=True)
class Prices:
    """The file. ``prices`` in US dollars; ``assumptions`` by name; ``databases`` (up to stores, class, dollars an hour), smallest first."""

    region: str
    collected: str
    hours: float
    prices: dict[str, float]
    assumptions: dict[str, float]
    databases: tuple[tuple[int, str, float], ...]
    sources: dict[str, str]


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the bill: US dollars a month."""

    name: str
    usd: float
    why: str


def load_prices(path: Path = PRICES) -> Prices:
    """The prices of a file. Raises CloudConfigError."""
    try:
        content = yaml.safe_load(path.read_text())
        return _prices(content)
    except OSError as error:
        raise CloudConfigError(
            f"{path} cannot be read ({error.strerror}); it is in the checkout, or name one with --prices"
        ) from error
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise CloudConfigError(
            f"{path} is no list of prices: {error!r}; take deploy/aws/prices.yaml for a pattern"
        ) from error


def _prices(content: dict[str, Any]) -> Prices:
    return Prices(
        content["region"],
        str(content["collected"]),
        float(content["hours_a_month"]),
        {name: float(row["usd"]) for name, row in content["prices"].items()},
        {name: float(row["value"]) for name, row in content["assumptions"].items()},
        tuple((int(row["up_to_stores"]), str(row["class"]), float(row["usd"])) for row in content["databases"]),
        {name: f"{row['source']} ({row['date']})" for name, row in content["prices"].items()},
    )


def bill(known: Prices, stores: int, consumer_s: float = CONSUMER_S) -> list[Item]:
    """What the stack of deploy/aws costs a month with so many stores, when records gather ``consumer_s`` seconds."""
    return [
        *_stream(known, stores),
        *_lake(known, stores, consumer_s),
        *_computers(known, stores, consumer_s),
        *_roads(known, stores),
        *_rest(known, stores),
    ]


def _batches(known: Prices, stores: int) -> float:
    """A month."""
    a = known.assumptions
    return stores * a["access_points"] * DAY_S / a["batch_s"] * MONTH_DAYS


def _batch_bytes(known: Prices) -> float:
    a = known.assumptions
    return a["envelope_bytes"] + a["sighting_bytes"] * a["sightings_day"] * a["batch_s"] / DAY_S


def _stream(known: Prices, stores: int) -> list[Item]:
    p, batches = known.prices, _batches(known, stores)
    billed_gb = batches * math.ceil(_batch_bytes(known) / KB) * KB / GB
    data = billed_gb * (p["stream_in_gb"] + p["stream_out_gb"])
    why = f"{billed_gb:,.0f} GB in and out; a batch of {_batch_bytes(known):.0f} bytes is billed as {math.ceil(_batch_bytes(known) / KB)} KB"
    return [Item("Kinesis", known.hours * p["stream_hour"] + data, why)]


def _lake(known: Prices, stores: int, consumer_s: float) -> list[Item]:
    a, p = known.assumptions, known.prices
    puts = stores * a["tables"] * DAY_S / consumer_s * MONTH_DAYS
    gets = puts * 2  # the analyst's copy of each object, and compaction
    batches_day = _batches(known, stores) / MONTH_DAYS
    kept_gb = batches_day * a["kept_batch_bytes"] * LAKE_DAYS / GB
    sightings_day = stores * a["access_points"] * a["sightings_day"] * a["lake_sighting_bytes"]
    devices_gb = (sightings_day + batches_day * a["messages_batch_bytes"]) * DEVICE_DAYS / GB
    return [
        Item(
            "S3 requests",
            (puts * p["put_1000"] + gets * p["get_1000"]) / 1000,
            f"{puts / 1e6:,.1f} million objects, each read twice",
        ),
        Item(
            "S3 storage",
            (kept_gb + devices_gb) * p["store_gb_month"],
            f"{kept_gb + devices_gb:,.0f} GB when 25 months are full",
        ),
    ]


def instances(known: Prices, stores: int, consumer_s: float = CONSUMER_S) -> int:
    """How many: two at least; cores for ingest, consumer and analysts, of which only a share may be busy."""
    a, batches_s = known.assumptions, _batches(known, stores) / MONTH_DAYS / DAY_S
    cores = (
        batches_s / a["ingest_batches_s"] + batches_s * a["consume_cpu_s"] + stores * a["analysis_cpu_s"] / consumer_s
    )
    return max(INSTANCES, math.ceil(cores / INSTANCE_CORES / a["busy_share"]))


def database(known: Prices, stores: int) -> tuple[str, float]:
    """Class and dollars an hour: the smallest that is given for so many stores."""
    fit = [(name, usd) for up_to, name, usd in known.databases if stores <= up_to]
    return fit[0] if fit else known.databases[-1][1:]


def _computers(known: Prices, stores: int, consumer_s: float) -> list[Item]:
    a, p, many = known.assumptions, known.prices, instances(known, stores, consumer_s)
    kind, usd = database(known, stores)
    gigabytes = max(DATABASE_GB, stores * a["figure_rows_day"] * LAKE_DAYS * ROW_BYTES / GB)
    return [
        Item(
            "EC2 (Beanstalk)",
            many * (known.hours * p["instance_hour"] + VOLUME_GB * p["volume_gb_month"]),
            f"{many} instances of {INSTANCE_CORES} cores",
        ),
        Item(
            "RDS PostgreSQL",
            known.hours * usd + gigabytes * p["database_gb_month"],
            f"{kind} in two zones, {gigabytes:,.0f} GB",
        ),
    ]


def _roads(known: Prices, stores: int) -> list[Item]:
    a, p = known.assumptions, known.prices
    in_gb = _batches(known, stores) * (_batch_bytes(known) + JSON_HEAD_BYTES) / GB
    units = max(stores * a["access_points"] / BALANCER_CONNECTIONS, in_gb / known.hours / BALANCER_GB_HOUR, 1)
    stream_gb = _batches(known, stores) * _batch_bytes(known) * 2 / GB
    out_gb = stores * a["page_kb_day"] * 1000 * MONTH_DAYS / GB
    return [
        Item(
            "Load balancer",
            known.hours * (p["balancer_hour"] + units * p["balancer_unit_hour"]),
            f"{units:,.1f} capacity units",
        ),
        Item(
            "NAT, endpoint",
            known.hours * (p["nat_hour"] + ZONES * p["endpoint_hour"]) + stream_gb * p["endpoint_gb"],
            "one gateway, Kinesis in three zones",
        ),
        Item("To the internet", out_gb * p["out_gb"], f"{out_gb:,.0f} GB of pages"),
    ]


def _rest(known: Prices, stores: int) -> list[Item]:
    p = known.prices
    logs_gb = _batches(known, stores) * LOG_BYTES_BATCH / GB / 100  # a line for each object, not for each batch
    fixed = p["key_month"] + SECRETS * p["secret_month"] + ALARMS * p["alarm_month"] + METRICS * p["metric_month"]
    return [
        Item(
            "Key, secrets, alarms, logs",
            fixed + logs_gb * p["log_gb"],
            f"{SECRETS} secrets, {ALARMS} alarms, {METRICS} metrics",
        )
    ]


def json_stream_usd(known: Prices, stores: int) -> float:
    """What the stream alone would cost if each sighting were one JSON record, as it is billed: rounded up to 1 KB."""
    a, p = known.assumptions, known.prices
    records = stores * a["access_points"] * a["sightings_day"] * MONTH_DAYS
    billed_gb = records * math.ceil(a["json_bytes"] / KB) * KB / GB
    return known.hours * p["stream_hour"] + billed_gb * (p["stream_in_gb"] + p["stream_out_gb"])


def bytes_a_month(known: Prices, stores: int) -> tuple[float, float]:
    """GB that leave the stores: as batches, and as one JSON record a sighting in a request of its own."""
    a = known.assumptions
    records = stores * a["access_points"] * a["sightings_day"] * MONTH_DAYS
    return _batches(known, stores) * (_batch_bytes(known) + JSON_HEAD_BYTES) / GB, records * (
        a["json_bytes"] + JSON_HEAD_BYTES
    ) / GB


def table(known: Prices, scales: Sequence[int] = SCALES, consumer_s: float = CONSUMER_S) -> str:
    """The bill as Markdown: one column for each number of stores."""
    bills = {stores: bill(known, stores, consumer_s) for stores in scales}
    lines = [
        "| US dollars a month | " + " | ".join(f"{stores:,} stores" for stores in scales) + " |",
        "| --- |" + " ---: |" * len(scales),
    ]
    for rows in zip(*bills.values(), strict=True):
        lines.append(f"| {rows[0].name} | " + " | ".join(_usd(row.usd) for row in rows) + " |")
    totals = [sum(item.usd for item in bills[stores]) for stores in scales]
    lines.append("| **together** | " + " | ".join(f"**{_usd(total)}**" for total in totals) + " |")
    lines.append(
        "| **a store and month** | "
        + " | ".join(f"**{total / stores:,.2f}**" for total, stores in zip(totals, scales, strict=True))
        + " |"
    )
    lines.append(
        "| instances, database | "
        + " | ".join(f"{instances(known, s, consumer_s)}, {database(known, s)[0]}" for s in scales)
        + " |"
    )
    lines += _compared(known, scales)
    return "\n".join(lines)


def _compared(known: Prices, scales: Iterable[int]) -> list[str]:
    rows = {
        stores: (bill(known, stores)[0].usd, json_stream_usd(known, stores), *bytes_a_month(known, stores))
        for stores in scales
    }
    return [
        "| Kinesis, if each sighting were one JSON record | "
        + " | ".join(f"{_usd(row[1])} ({row[1] / row[0]:.1f} times)" for row in rows.values())
        + " |",
        "| GB from the stores, ours / JSON | "
        + " | ".join(f"{row[2]:,.0f} / {row[3]:,.0f}" for row in rows.values())
        + " |",
    ]


def _usd(amount: float) -> str:
    return f"{amount:,.0f}" if amount >= 10 else f"{amount:,.2f}"


def heading(known: Prices, consumer_s: float) -> str:
    """Of which prices a table is."""
    remembered = sum(source.startswith("remembered") for source in known.sources.values())
    return (
        f"List prices of {known.region}, collected {known.collected}; {remembered} of {len(known.sources)} are remembered and not read on that day: "
        f"deploy/aws/prices.yaml says which. Records gather {consumer_s:g} s."
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    """What `run` looks at."""
    parser.add_argument(
        "--stores", type=int, nargs="+", default=list(SCALES), metavar="N", help="columns (default 100 1000 10000)"
    )
    parser.add_argument(
        "--consumer-seconds",
        type=float,
        default=CONSUMER_S,
        metavar="S",
        help=f"how long records gather (default {CONSUMER_S})",
    )
    parser.add_argument(
        "--prices", type=Path, default=PRICES, metavar="FILE", help="default: deploy/aws/prices.yaml of the checkout"
    )
    parser.add_argument("--why", action="store_true", help="what each line is made of, for the first number of stores")


def run(options: argparse.Namespace) -> int:
    """`ivizone-cloud aws costs`. Raises CloudConfigError."""
    if min(options.stores) < 1 or options.consumer_seconds < 1:
        raise CloudConfigError("--stores and --consumer-seconds must be 1 or more")
    known = load_prices(options.prices)
    print(heading(known, options.consumer_seconds), end="\n\n")
    print(table(known, options.stores, options.consumer_seconds))
    if options.why:
        print(
            *("", *(f"{item.name}: {item.why}" for item in bill(known, options.stores[0], options.consumer_seconds))),
            sep="\n",
        )
    return 0
