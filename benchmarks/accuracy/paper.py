"""docs/accuracy.md is written by two commands, each its own part: crowds (``run.py``) and whole days (``days.py``) (pure)."""

from __future__ import annotations

DAYS = "## Whole days in a store"
"""The heading from which on the page is about days."""


def with_crowds(page: str, crowds: str) -> str:
    """The page with its crowds new and its days as they were."""
    _, heading, days = page.partition(DAYS)
    return f"{crowds.rstrip()}\n\n{heading}{days}" if heading else crowds


def with_days(page: str, days: str) -> str:
    """The page with its crowds as they were and its days new."""
    crowds = page.partition(DAYS)[0].rstrip()
    return f"{crowds}\n\n{days}" if crowds else days
