"""boto3's failures as the stream's (core): which of them a later try may mend.

StreamError
├── StreamThrottled   the shard has no room now
└── StreamDenied      trying again will not help: rights, name or request; for the operator
"""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ClientError

from cloud.streams.base import StreamError

THROTTLES = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "LimitExceededException",
        "ThrottlingException",
        "Throttling",
        "KMSThrottlingException",
        "RequestLimitExceeded",
        "SlowDown",
    }
)
PASSING = frozenset({"InternalFailure", "InternalServerError", "ServiceUnavailable", "RequestTimeout", "InternalError",
                     "ExpiredTokenException", "ExpiredIteratorException"})  # fmt: skip


class StreamThrottled(StreamError):
    """The shard has no room now."""


class StreamDenied(StreamError):
    """The service refuses, and will refuse again."""


def error_of(code: str, text: str = "") -> StreamError:
    """The failure behind an error code of Kinesis."""
    said = f"Kinesis answers {code}{': ' if text else ''}{text[:200]}"
    if code in THROTTLES:
        return StreamThrottled(f"{said}; add shards, or let the stream scale on demand")
    if code in PASSING or code.startswith("5"):
        return StreamError(said)
    return StreamDenied(f"{said}; check the stream's name, region and rights")


def error_from(error: ClientError | BotoCoreError) -> StreamError:
    """The failure behind an exception of boto3. Without an answer it is a passing one: the network, or a server that hangs."""
    if not isinstance(error, ClientError):
        return StreamError(f"Kinesis does not answer: {type(error).__name__}")
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    code = str(error.response.get("Error", {}).get("Code", status))
    said = error_of(code, str(error.response.get("Error", {}).get("Message", "")))
    return StreamError(str(said)) if status >= 500 and isinstance(said, StreamDenied) else said
