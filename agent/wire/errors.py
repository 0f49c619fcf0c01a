"""What can be wrong with a message: the sender's fault, or the line's.

WireError
+-- CborError         bytes that are no deterministic CBOR, or end too early
+-- MessageMalformed  CBOR that is no COSE_Sign1 message as SPEC.md wants it
+-- MessageTooLarge   longer than SPEC.md section 6 allows, before or after inflating
+-- BatchMalformed    a payload that is no batch
+-- VersionUnknown    a batch of a version that we do not read
+-- SignatureWrong    the signature does not fit the message and the key
"""

from __future__ import annotations


class WireError(ValueError):
    """A message or its payload cannot be used."""


class CborError(WireError):
    """The bytes are not CBOR as RFC 8949 section 4.2.1 writes it."""


class MessageMalformed(WireError):
    """Not a COSE_Sign1 message of our kind."""


class MessageTooLarge(WireError):
    """More bytes than a message may have."""


class BatchMalformed(WireError):
    """The payload is not a batch."""


class VersionUnknown(WireError):
    """The batch's version is not one that we read."""


class SignatureWrong(WireError):
    """Altered on the way, or signed by somebody else."""
