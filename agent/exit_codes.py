"""What the commands end with (DESIGN section 5): whose fault it was."""

from __future__ import annotations

OK, USAGE, CONFIGURATION, INPUT, CLOUD = 0, 2, 3, 4, 5
INTERRUPTED = 130
"""128 and SIGINT, as shells have it."""
