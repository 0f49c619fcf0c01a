"""What can be wrong with the spool: the disk's fault.

SpoolError
+-- SpoolUnwritable   the directory cannot be written: full, read-only or forbidden
"""

from __future__ import annotations


class SpoolError(Exception):
    """A batch cannot be kept or given back."""


class SpoolUnwritable(SpoolError):
    """The disk does not take the batch; nothing of it stays behind."""
