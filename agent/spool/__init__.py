"""The durable queue: a directory of signed batches (shell; docs/adr/0004-spool.md)."""

from __future__ import annotations

from agent.spool.directory import Spool, SpoolEntry
from agent.spool.errors import SpoolError, SpoolUnwritable
from agent.spool.tiered import TieredSpool

__all__ = ["Spool", "SpoolEntry", "SpoolError", "SpoolUnwritable", "TieredSpool"]
