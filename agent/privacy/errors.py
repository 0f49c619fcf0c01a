"""What can go wrong with keys: the owner's fault, or a wish that must not come true.

PrivacyError
+-- SiteKeyMalformed   a text that is no site key
+-- KeyErased          a key of a day that is over was asked for
+-- OptOutsMalformed   bytes that are no filter of opt-outs
"""

from __future__ import annotations


class PrivacyError(Exception):
    """A key cannot be given."""


class SiteKeyMalformed(PrivacyError):
    """The text is no site key, or was mistyped."""


class KeyErased(PrivacyError):
    """The key of that day is gone, as promised."""


class OptOutsMalformed(PrivacyError):
    """The bytes are no filter of opt-outs."""
