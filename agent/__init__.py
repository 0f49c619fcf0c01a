"""The edge sensor: hears probe requests, says how many devices are near and inside, and forgets who they were."""

__version__ = "0.1.0"
