"""What touches the radio and the firmware of an access point (see docs/adr and ARCHITECTURE.md)."""
