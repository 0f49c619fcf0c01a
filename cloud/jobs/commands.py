"""`ivizone-cloud emr submit`: start the Spark jobs on EMR, or print what would be asked of it (shell)."""

from __future__ import annotations

import argparse
import json
import re
import sys
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from cloud.config import CloudConfigError
from cloud.jobs.emr import JOBS, Submission, cluster_request, serverless_request

OK, USAGE, AWAY = 0, 2, 5
_CODE = re.compile(r"s3://[a-z0-9.-]{3,63}(/[^\s#]+)?$")


def add_commands(commands: Any) -> None:
    """Add `emr submit` to the commands of `ivizone-cloud`."""
    group = commands.add_parser("emr", help="figures by Spark on EMR").add_subparsers(required=True, metavar="COMMAND")
    text = "start a job on EMR Serverless or on a cluster"
    made = group.add_parser(
        "submit",
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog="All behind --with goes to the job: emr submit batch ... --with --from 2026-11-01 --to 2026-11-30",
    )
    made.add_argument("job", choices=JOBS, help="batch: a range of days again; stream: new objects, until stopped")
    where = made.add_mutually_exclusive_group(required=True)
    where.add_argument("--application", metavar="ID", help="of EMR Serverless; needs --role")
    where.add_argument("--cluster", metavar="ID", help="of EMR on EC2, such as j-2AXXXXXXGAPLF")
    made.add_argument("--role", metavar="ARN", help="which the job runs as, on EMR Serverless")
    made.add_argument(
        "--code", required=True, metavar="URL", help="s3://bucket/prefix with the packed code: docs/emr.md"
    )
    made.add_argument("--bucket", metavar="NAME", help="of the lake (default: what the job's own configuration says)")
    made.add_argument("--spark", action="append", default=[], metavar="KEY=VALUE", help="more of Spark's configuration")
    made.add_argument("--logs", default="", metavar="URL", help="s3://bucket/prefix/ for the logs")
    made.add_argument("--region", default="", help="of EMR, and told to the job (default: that of the environment)")
    made.add_argument("--endpoint", default="", metavar="URL", help="another address of EMR, for emulators")
    made.add_argument("--dry-run", action="store_true", help="print the request as JSON and send nothing")
    made.add_argument(
        "--with",
        dest="arguments",
        nargs=argparse.REMAINDER,
        default=[],
        metavar="...",
        help="what the job is told; last",
    )
    made.set_defaults(run=submit, data=None, config=None, log_level="warning", log_json=False)


def submit(options: argparse.Namespace) -> int:
    """Send the request, or print it. Raises CloudConfigError."""
    try:
        service, operation, request = request_of(options, token=str(uuid.uuid4()))
    except ValueError as error:
        print(f"ivizone-cloud: {error}", file=sys.stderr)
        return USAGE
    if options.dry_run:
        print(json.dumps({"service": service, "operation": operation, "request": request}, indent=2))
        return OK
    return _send(service, operation, request, options.region, options.endpoint)


def request_of(options: argparse.Namespace, token: str) -> tuple[str, str, dict[str, Any]]:
    """Service, operation and arguments, as boto3 names them. Raises ValueError for words that do not fit together."""
    code = options.code.rstrip("/")
    if not _CODE.match(code):
        raise ValueError(
            f"--code is {options.code!r}; use s3://bucket/prefix, which holds batch.py and environment.tar.gz"
        )
    # boto3 in the job asks for a region that neither EMR Serverless nor a cluster's nodes tell it.
    told = {"IVIZONE_STORE_BUCKET": options.bucket, "IVIZONE_AWS_REGION": options.region}
    environment = {name: value for name, value in told.items() if value}
    spark = dict(_pair(text) for text in options.spark)
    submission = Submission(options.job, tuple(options.arguments), code, environment, spark, options.logs)
    if options.cluster:
        return "emr", "add_job_flow_steps", cluster_request(submission, options.cluster)
    if not options.role:
        raise ValueError("--application needs --role ARN, as which the job runs")
    return "emr-serverless", "start_job_run", serverless_request(submission, options.application, options.role, token)


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name.startswith("spark."):
        raise ValueError(f"--spark is {text!r}; use spark.NAME=VALUE")
    return name, value


def _send(service: str, operation: str, request: Mapping[str, Any], region: str, endpoint: str) -> int:
    try:
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError
    except ModuleNotFoundError as error:
        raise CloudConfigError(f"{error.name} is not installed; EMR needs: pip install ivizone[aws]") from error
    try:
        client = boto3.client(service, region_name=region or None, endpoint_url=endpoint or None)
        call: Callable[..., dict[str, Any]] = getattr(client, operation)
        answer = call(**request)
    except (BotoCoreError, ClientError) as error:
        print(f"ivizone-cloud: EMR does not take the job: {error}", file=sys.stderr)
        return AWAY
    print(answer["jobRunId"] if "jobRunId" in answer else answer["StepIds"][0])
    return OK
