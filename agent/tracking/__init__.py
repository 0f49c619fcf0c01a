"""Which probe requests came from one device, and how many devices there are (core). No address or element leaves it."""
