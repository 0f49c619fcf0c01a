"""What goes wrong with accounts.

AccountError                 the root
+- AccountRefused            the operator or the reader asked for something that cannot be; the message says what can
+- NotSignedIn               nobody is signed in, or no longer
+- NotAllowed                somebody is, but their role or token does not reach that far
+- SignInLimited             too many failed attempts; says how long to wait
"""

from __future__ import annotations


class AccountError(Exception):
    """The root."""


class AccountRefused(AccountError):
    """What was asked for cannot be."""


class NotSignedIn(AccountError):
    """Nobody is signed in."""


class NotAllowed(AccountError):
    """The role or the token does not reach that far."""


class SignInLimited(AccountError):
    """Too many failed attempts. ``wait_s`` is how long the next one must wait."""

    def __init__(self, wait_s: int) -> None:
        super().__init__(f"too many failed attempts; the next is taken in {wait_s} s")
        self.wait_s = wait_s
