"""`ivizone-cloud papers`: the sign, the notice and the sheet for the impact assessment of a store, as files to print."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from cloud.domain.language import CODES
from cloud.domain.site import SiteError
from cloud.fleet.registry import Fleet
from cloud.portal.network import page_url
from cloud.privacy.facts import gather
from cloud.privacy.papers import papers

OK = 0


def add_commands(
    commands: Any,
    command: Callable[..., argparse.ArgumentParser],
    open_database: Callable[[argparse.Namespace], tuple[Engine, Callable[[], int]]],
) -> None:
    """Add it to the parser."""
    made = command(
        commands,
        "papers",
        lambda options: write(options, *open_database(options)),
        "write a store's sign, notice and impact assessment, to print",
    )
    made.add_argument("site")
    made.add_argument("--language", choices=CODES, default="en")
    made.add_argument("--out", type=Path, required=True, metavar="DIR", help="made where it is missing")
    made.add_argument("--url", metavar="URL", help="by which phones reach this cloud, for the QR code: https://host")


def write(options: argparse.Namespace, database: Engine, now_ms: Callable[[], int]) -> int:
    """Write the three files. Raises SiteError, OSError."""
    site = Fleet(database, now_ms).site(options.site)
    if site is None:
        raise SiteError(f"site {options.site!r} does not exist; `ivizone-cloud site ls` lists them")
    url = page_url(options.url.rstrip("/"), site.site) if options.url else None
    options.out.mkdir(parents=True, exist_ok=True)
    for name, content in papers(gather(database, site, now_ms), options.language, _software(), url).items():
        (options.out / name).write_text(content)
        print(options.out / name)
    return OK


def _software() -> str:
    try:
        return version("ivizone")
    except PackageNotFoundError:
        return ""
