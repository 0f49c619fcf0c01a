"""802.11 frames as a capture holds them, decoded to probe requests (core: bytes in, values out)."""
