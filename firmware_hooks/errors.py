"""What can go wrong between us and the radio, by whose turn it is.

HookError
+-- ToolMissing       iw or ip is not installed: the owner installs it
+-- NotPermitted      needs root (CAP_NET_ADMIN): the owner runs it as root
+-- RadioUnknown      no radio, or none of that name
+-- RadioUnfit        the radio, its driver or its present use forbids it
+-- NameTaken         the name belongs to something that is not ours
+-- CommandFailed     a command of a plan failed; the message says what was undone
+-- KeyUnusable       the key of the visitors' tokens cannot be read or written
"""

from __future__ import annotations


class HookError(Exception):
    """The radio is not as it was wanted. The message says what, got, allowed, next step."""


class ToolMissing(HookError):
    """A program that the hooks drive is not installed."""


class NotPermitted(HookError):
    """The kernel wants CAP_NET_ADMIN."""


class RadioUnknown(HookError):
    """There is no such radio."""


class RadioUnfit(HookError):
    """The radio cannot, or must not now."""


class NameTaken(HookError):
    """An interface of that name exists and is not a monitor interface of this radio."""


class CommandFailed(HookError):
    """A command failed for another reason."""


class NotAllowed(HookError):
    """The legal mode gives no tokens."""


class KeyUnusable(HookError):
    """The visitors' key cannot be used."""
