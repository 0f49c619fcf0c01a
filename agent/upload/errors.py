"""What can go wrong on the way to the cloud, by whose turn it is.

UploadError
+-- UploadDeferred   the cloud or the line is not ready: try again later
+-- UploadRefused    the cloud will not take this, now or later: somebody must look at it
"""

from __future__ import annotations


class UploadError(Exception):
    """The cloud did not do what was asked."""


class UploadDeferred(UploadError):
    """Try again later."""


class UploadRefused(UploadError):
    """Trying again would give the same answer."""
