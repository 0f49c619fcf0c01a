"""What may be known of a device, and for how long (core; DESIGN section 6, docs/adr/0003-key-ratchet.md)."""
