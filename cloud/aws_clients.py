"""boto3 clients as the AWS composition uses them: short waits, and retries only where a request may be sent twice."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.config import Config

from cloud.stores import s3
from cloud.streams import kinesis

MAX_CONNECTIONS = 16


def client_config(service: str, *, path_style: bool = False, **options: Any) -> Config:
    """Timeouts and retries of a service, ``kinesis`` or ``s3``. ``path_style`` puts a bucket's name behind the host, as emulators want it."""
    of = {"kinesis": kinesis, "s3": s3}[service]
    usual: dict[str, Any] = {
        "connect_timeout": of.CONNECT_S,
        "read_timeout": of.READ_S,
        "retries": of.RETRIES,
        "max_pool_connections": MAX_CONNECTIONS,
    }
    if service == "s3":
        usual["s3"] = {"addressing_style": "path"} if path_style else {}
    return Config(**{**usual, **options})


def make_client(service: str, region: str, endpoint_url: str | None = None) -> Any:
    """A client with the credentials of the environment: on AWS those of the instance's role."""
    settings = client_config(service, path_style=bool(endpoint_url))
    return boto3.client(service, region_name=region or None, endpoint_url=endpoint_url or None, config=settings)
