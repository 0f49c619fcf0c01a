"""Centre frequency to channel number. Source: IEEE 802.11-2020 annex E, 802.11ax-2021 for the 6 GHz band."""

from __future__ import annotations

CHANNEL_OF_MHZ: dict[int, int] = {2484: 14}
CHANNEL_OF_MHZ.update({2407 + 5 * channel: channel for channel in range(1, 14)})
CHANNEL_OF_MHZ.update({5000 + 5 * channel: channel for channel in range(7, 178)})
CHANNEL_OF_MHZ.update({5950 + 5 * channel: channel for channel in range(1, 234)})
CHANNEL_OF_MHZ[5935] = 2
"""Frequency in MHz -> channel number. The 6 GHz band counts from 1 again, so a number alone does not name the band."""
