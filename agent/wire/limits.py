"""What the cloud accepts, as named numbers (core). SPEC.md section 6 is the text."""

from __future__ import annotations

SPEC_VERSION = 1
"""Written by this agent."""

ACCEPTED_VERSIONS = (1,)
"""Read by this cloud: the current one and the one before it, once there is one."""

MAX_COMPRESSED_BYTES = 64 * 1024
"""Longest signed message."""

MAX_INFLATED_BYTES = 1024 * 1024
"""Longest payload after inflating, checked while inflating."""

MAX_SIGHTINGS = 10_000
"""Most sightings of one batch."""

MAX_CLOCK_AHEAD_S = 300
"""How far a window's end may lie in the cloud's future."""

MAX_CLOCK_BEHIND_S = 7 * 86_400
"""How far it may lie in the past: the longest that a spool is expected to wait."""

LINK_BYTES = 4
"""Of a sighting's link, and of the pseudonym's beginning that it is compared with."""

MAX_TEXT_BYTES = 128
"""Longest agent, site, software, source or reason."""
