"""The MultiLangDaemon of the Kinesis Client Library: its properties from our configuration, its jars, its command (core but `find_jars`).

Source: amazon-kinesis-client, docs/multilang (properties of MultiLangDaemonConfiguration), release 3.1.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from cloud.config import CloudConfig, CloudConfigError

DAEMON = "software.amazon.kinesis.multilang.MultiLangDaemon"
INSTALL = "install the Kinesis Client Library with: pip install amazon-kclpy==3.1.3 (docs/adr/0013-kinesis.md)"


def properties(config: CloudConfig, processor: Sequence[str]) -> str:
    """The properties file; ``processor`` is the command of one shard's record processor. Raises CloudConfigError.

    The library splits the command at spaces and knows no quotes.
    """
    if spaced := [word for word in processor if any(c.isspace() for c in word)]:
        raise CloudConfigError(f"the Kinesis Client Library cannot start {spaced[0]!r}; use a path without spaces")
    failover_ms = round(config.consumer.failover_s * 1000)
    values = {
        "executableName": " ".join(processor),
        "streamName": config.stream.name,
        "applicationName": config.consumer.application,
        "AwsCredentialsProvider": "DefaultCredentialsProvider",
        "processingLanguage": f"python/{sys.version_info.major}.{sys.version_info.minor}",
        "initialPositionInStream": "TRIM_HORIZON",
        "retrievalMode": "POLLING",
        "failoverTimeMillis": failover_ms,
        # A processor gathers records, and looks at the clock when it is called: also while nothing comes.
        "callProcessRecordsEvenForEmptyRecordList": "true",
        "idleTimeBetweenReadsInMillis": 1000,
        "shardSyncIntervalMillis": max(1000, min(60_000, 3 * failover_ms)),
        "parentShardPollIntervalMillis": max(500, failover_ms // 5),
        "validateSequenceNumberBeforeCheckpointing": "false",
        "metricsLevel": config.consumer.metrics,
        "regionName": config.aws.region,
        "kinesisEndpoint": config.aws.kinesis_endpoint,
        "dynamoDBEndpoint": config.aws.dynamodb_endpoint,
    }
    return "".join(f"{name} = {value}\n" for name, value in values.items() if value != "")


def find_jars() -> str:
    """The library's jars as Java's class path. Raises CloudConfigError where they are not installed."""
    found = find_spec("amazon_kclpy")
    folders = [Path(place) / "jars" for place in (found.submodule_search_locations or ())] if found else []
    if not any(folder.glob("amazon-kinesis-client-multilang-*.jar") for folder in folders):
        raise CloudConfigError(f"the Kinesis Client Library is not installed; {INSTALL}")
    return str(folders[0] / "*")


def daemon_command(config: CloudConfig, jars: str, file: Path) -> list[str]:
    """What starts the daemon. Emulators speak JSON only, so with one CBOR is off."""
    is_emulated = bool(config.aws.kinesis_endpoint or config.aws.dynamodb_endpoint)
    cbor = ["-Daws.cborEnabled=false"] if is_emulated else []
    heap = f"-Xmx{config.consumer.heap_mb}m"
    return [*shlex.split(config.consumer.java), heap, *cbor, "-cp", jars, DAEMON, "--properties-file", str(file)]
