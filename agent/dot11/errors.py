"""What can be wrong with a frame: the air's fault, never the caller's.

    FrameError
    +-- TruncatedElement    an element runs past the end of the body
    +-- UnknownLinkType     a capture's link type that we do not decode

``Decoder.decode`` raises neither of them for a frame: it gives ``Skipped`` with a reason. They are for those who call
the parts by themselves.
"""

from __future__ import annotations


class FrameError(ValueError):
    """A frame or a capture's link type is not what the standard says."""


class TruncatedElement(FrameError):
    """An element's length runs past the end of the body."""


class UnknownLinkType(FrameError):
    """The capture's link type is none that holds 802.11 frames as we know them."""
