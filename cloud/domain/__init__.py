"""What the product means by site, day, preset and figure (core: no IO)."""
