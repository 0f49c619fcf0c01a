"""The words of `ivizone-cloud aws`: processes, and what is done once. Only names them: boto3 is asked for when one runs."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloud.config import CloudConfigError, load_cloud_config
from cloud.log import LEVELS

if TYPE_CHECKING:
    from cloud.aws import Aws

DEFAULT_DATA = Path("ivizone-data")
URL_VARIABLE = "IVIZONE_DATABASE_URL"
PROCESSES = {
    "serve": "take in batches and serve the pages, until stopped",
    "kcl": "read the stream with the Kinesis Client Library",
    "processor": "one shard; the library starts it",
    "consume": "read all shards in this one process",
    "analyse": "compute days with new data and erase what is over, until stopped",
    "hand-over": "read the next secret of the receipts from stdin, and let the key of the one before sign that it follows",
    "roles": "print the SQL that makes the database's roles",
}


def add_processes(commands: Any) -> None:
    """Add them to a group of commands."""
    for name, explained in PROCESSES.items():
        made = commands.add_parser(name, help=explained, description=explained[0].upper() + explained[1:] + ".")
        made.add_argument("--config", type=Path, metavar="FILE", help="YAML; IVIZONE_SECTION_OPTION wins over it")
        made.add_argument("--log-level", choices=LEVELS, default="info")
        made.add_argument("--log-json", action="store_true", help="log JSON")
        made.set_defaults(run=_run, command=name, data=None)
        if name == "serve":
            made.add_argument("--host", default="127.0.0.1")
            made.add_argument(
                "--port",
                type=int,
                default=int(os.environ.get("PORT", "8000")),
                help="0 takes a free one (default: PORT of the environment, else 8000, as Beanstalk expects)",
            )
        if name == "roles":
            made.add_argument("--database", default="ivizone", help="name of the database (default ivizone)")


def add_deployment(commands: Any) -> None:
    """Add what an operator does from a checkout: the stack, and what it costs."""
    from cloud import aws_costs, aws_stack

    for name, part, explained in (
        (
            "deploy",
            aws_stack,
            "create or update the stack of deploy/aws; --dry-run says in words what it would be and cost",
        ),
        ("costs", aws_costs, "what the product costs on AWS a month"),
    ):
        made = commands.add_parser(name, help=explained, description=explained[0].upper() + explained[1:] + ".")
        part.add_options(made)
        made.set_defaults(run=part.run, data=None, config=None, log_level="warning", log_json=False)


def _run(options: argparse.Namespace) -> int:
    return _composition().run_command(options)  # type: ignore[no-any-return]


def _composition() -> Any:
    """The module that needs boto3. Raises CloudConfigError where that is not installed."""
    try:
        import cloud.aws as composition
    except ModuleNotFoundError as error:
        raise CloudConfigError(
            f"{error.name} is not installed; the parts on AWS need: pip install ivizone[aws]"
        ) from error
    return composition


def aws_of(options: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> Aws | None:
    """The AWS composition where --config or the environment says which; None for a data folder. Raises CloudConfigError."""
    is_folder_named = options.data is not DEFAULT_DATA
    if options.config is None and (is_folder_named or URL_VARIABLE not in environment):
        return None
    aws: Aws = _composition().Aws(load_cloud_config(options.config, environment))
    return aws
