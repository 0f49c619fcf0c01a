"""`ivizone-cloud aws deploy`: deploy/aws/stack.yaml is read, told in words, and given to CloudFormation (shell; the words are core)."""

from __future__ import annotations

import argparse
import hashlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from cloud import aws_costs
from cloud.config import CloudConfigError

TEMPLATE = Path(__file__).resolve().parents[1] / "deploy" / "aws" / "stack.yaml"
SHORT = {"Ref": "Ref", "Condition": "Condition"}
"""Tags whose long form has no Fn:: before it. Source: CloudFormation, intrinsic function reference."""


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short functions."""


def _function(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        value = value.split(".", 1) if suffix == "GetAtt" else value
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    elif isinstance(node, yaml.MappingNode):
        value = loader.construct_mapping(node, deep=True)
    else:
        raise AssertionError("cannot happen: a node is a scalar, a sequence or a mapping")
    return {SHORT.get(suffix, f"Fn::{suffix}"): value}


_Loader.add_multi_constructor("!", _function)


def load_template(path: Path = TEMPLATE) -> dict[str, Any]:
    """The template, its short functions written out. Raises CloudConfigError where it is not there."""
    try:
        loaded: dict[str, Any] = yaml.load(path.read_text(), Loader=_Loader)  # noqa: S506  a SafeLoader
    except OSError as error:
        raise CloudConfigError(
            f"{path} cannot be read ({error.strerror}); the template is in the checkout, or name one with --template"
        ) from error
    return loaded


# --- in words -------------------------------------------------------------------------------------------------------------

WORDS = {
    "EC2::VPC": "private network",
    "EC2::Subnet": "subnets: in each of three zones a public one for the balancer and a private one for everything else",
    "EC2::NatGateway": "NAT gateway, by which instances reach packages and services",
    "EC2::VPCEndpoint": "private ways to S3, DynamoDB and Kinesis, so that batches need no NAT gateway",
    "EC2::SecurityGroup": "security groups: HTTPS from anywhere to the balancer, PostgreSQL from our processes only",
    "KMS::Key": "key that encrypts stream, lake, leases, database and secrets; AWS turns it every year",
    "SecretsManager::Secret": "secrets, made there and read by processes only",
    "Kinesis::Stream": "stream of batches, on demand, kept 24 h",
    "DynamoDB::Table": "table of leases for the Kinesis Client Library",
    "S3::Bucket": "buckets, closed and encrypted: the lake, which forgets, and the work of Spark",
    "RDS::DBInstance": "PostgreSQL in two zones, with back-ups and protection against deletion",
    "IAM::Role": "roles, each with the rights of its processes",
    "EMRServerless::Application": "Spark that starts when a job comes and stops when it is idle",
    "ElasticBeanstalk::Environment": "Beanstalk environment: load balancer with TLS, at least two instances, scaling on latency, rolling deployments",
    "CloudWatch::Alarm": "alarms: health, latency, errors, throttling, consumers behind, database",
    "CloudWatch::Dashboard": "dashboard",
    "SNS::Topic": "topic through which alarms are told",
}
"""What a type is for; the others are parts of these."""


def values(template: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, str]:
    """Every parameter's value. Raises CloudConfigError for one that is missing or unknown."""
    declared = template["Parameters"]
    if unknown := sorted(set(given) - set(declared)):
        raise CloudConfigError(f"parameter {unknown[0]} is unknown; the template has {', '.join(declared)}")
    found = {name: str(given.get(name, body.get("Default", ""))) for name, body in declared.items()}
    if missing := [name for name, body in declared.items() if "Default" not in body and name not in given]:
        raise CloudConfigError(
            f"{missing[0]} has no default; give it with --parameter {missing[0]}=VALUE: {declared[missing[0]]['Description']}"
        )
    return found


def explain(template: Mapping[str, Any], parameters: Mapping[str, str], stores: int, known: aws_costs.Prices) -> str:
    """What the stack would be and cost, for somebody who decides."""
    made = {name: body for name, body in template["Resources"].items() if _is_made(body, parameters)}
    kinds = Counter(body["Type"].removeprefix("AWS::") for body in made.values())
    told = [f"  {kinds[kind]:3}  {words}" for kind, words in WORDS.items() if kinds[kind]]
    rest = sum(many for kind, many in kinds.items() if kind not in WORDS)
    kept = [name for name, body in made.items() if body.get("DeletionPolicy", "Delete") != "Delete"]
    seconds = float(parameters.get("ConsumerSeconds") or aws_costs.CONSUMER_S)
    chosen = [f"  {name} = {value or '(empty)'}" for name, value in parameters.items()]
    return "\n".join(
        [
            f"{len(made)} resources:",
            *told,
            f"  {rest:3}  parts of these (routes, policies, profiles)",
            f"What outlives the stack when it is deleted, because it holds data: {', '.join(kept)}.",
            "Parameters:",
            *chosen,
            "",
            aws_costs.heading(known, seconds),
            "",
            aws_costs.table(known, (stores,), seconds),
            *_doubts(parameters, stores, known),
        ]
    )


def _doubts(parameters: Mapping[str, str], stores: int, known: aws_costs.Prices) -> list[str]:
    """Where the parameters are others than the costs were computed for."""
    kind, _ = aws_costs.database(known, stores)
    many = aws_costs.instances(known, stores, float(parameters.get("ConsumerSeconds") or aws_costs.CONSUMER_S))
    doubts = []
    if parameters.get("DatabaseReady") != "yes":
        doubts.append(
            "No instance yet: DatabaseReady is no. Make the database's roles (docs/operations.md, step 5), then deploy with yes."
        )
    if parameters.get("DatabaseClass") != kind:
        doubts.append(f"The costs are of {kind} and DatabaseClass is {parameters.get('DatabaseClass')}.")
    if many > int(parameters.get("MaxInstances") or 0):
        doubts.append(f"The costs are of {many} instances and MaxInstances is {parameters.get('MaxInstances')}.")
    return doubts


def _is_made(body: Mapping[str, Any], parameters: Mapping[str, str]) -> bool:
    conditions = {
        "ThreeNats": parameters.get("NatGateways") == "3",
        "HasEmail": bool(parameters.get("AlarmEmail")),
        "IsReady": parameters.get("DatabaseReady") == "yes",
    }
    return conditions.get(body.get("Condition", ""), True)


# --- given to CloudFormation ------------------------------------------------------------------------------------------------


def add_options(parser: argparse.ArgumentParser) -> None:
    """What `run` looks at."""
    parser.add_argument("--dry-run", action="store_true", help="say what it would create and cost, and ask AWS nothing")
    parser.add_argument("--stack", default="ivizone", help="its name (default ivizone)")
    parser.add_argument("--region", default=None, help="default: that of the environment")
    parser.add_argument("--bundle", type=Path, metavar="ZIP", help="made by: make package-aws; put into BundleBucket")
    parser.add_argument(
        "--parameter",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="of the template; may come more than once",
    )
    parser.add_argument("--stores", type=int, default=1000, help="for the costs (default 1000)")
    parser.add_argument(
        "--template", type=Path, default=TEMPLATE, metavar="FILE", help="default: deploy/aws/stack.yaml of the checkout"
    )
    parser.add_argument(
        "--prices", type=Path, default=aws_costs.PRICES, metavar="FILE", help="default: deploy/aws/prices.yaml"
    )


def run(options: argparse.Namespace) -> int:
    """`ivizone-cloud aws deploy`. Raises CloudConfigError."""
    template = load_template(options.template)
    given = dict(_pair(text) for text in options.parameter)
    if options.bundle:
        given["BundleKey"] = bundle_key(options.bundle)
    if not options.dry_run:
        return _deploy(options, template, given)
    _tell(options, template, values(template, given))
    print(
        "\nNothing was created: --dry-run. Of a stack that is there already, parameters that are not given would stay as they are."
    )
    return 0


def _tell(options: argparse.Namespace, template: Mapping[str, Any], parameters: Mapping[str, str]) -> None:
    print(explain(template, parameters, options.stores, aws_costs.load_prices(options.prices)), flush=True)


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise CloudConfigError(f"--parameter {text!r} has no value; write NAME=VALUE")
    return name, value


def bundle_key(bundle: Path) -> str:
    """A name that tells the bundle's content: Beanstalk takes another name for another version. Raises CloudConfigError."""
    try:
        digest = hashlib.sha256(bundle.read_bytes()).hexdigest()[:12]
    except OSError as error:
        raise CloudConfigError(f"{bundle} cannot be read ({error.strerror}); make it with: make package-aws") from error
    return f"{bundle.stem}-{digest}.zip"


def kept(template: Mapping[str, Any], given: Mapping[str, str], before: Mapping[str, str]) -> dict[str, str]:
    """What is given, and for the rest what the stack was last deployed with: a default must not undo a choice, and DatabaseReady's "no"
    would take every instance away."""
    return {**{name: value for name, value in before.items() if name in template["Parameters"]}, **given}


def _deploy(options: argparse.Namespace, template: Mapping[str, Any], given: Mapping[str, str]) -> int:
    try:
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError, WaiterError
    except ModuleNotFoundError as error:
        raise CloudConfigError(f"{error.name} is not installed; deploying needs: pip install ivizone[aws]") from error
    session = boto3.Session(region_name=options.region)
    try:
        before = _parameters(session.client("cloudformation"), options.stack)
        parameters = values(template, given if before is None else kept(template, given, before))
        _tell(options, template, parameters)
        outputs = _create_or_update(session, options, parameters, exists=before is not None)
    except WaiterError as error:
        raise CloudConfigError(f"the stack did not come up: {error}; its events say why") from error
    except (ClientError, BotoCoreError) as error:
        raise CloudConfigError(f"AWS answers: {error}") from error
    print("", *(f"{name:18} {value}" for name, value in outputs.items()), sep="\n")
    return 0


def _create_or_update(
    session: Any, options: argparse.Namespace, parameters: Mapping[str, str], *, exists: bool
) -> dict[str, str]:
    bucket, body = parameters["BundleBucket"], options.template.read_bytes()
    s3, formation = session.client("s3"), session.client("cloudformation")
    key = f"ivizone-stack-{hashlib.sha256(body).hexdigest()[:12]}.yaml"
    s3.put_object(Bucket=bucket, Key=key, Body=body)
    if options.bundle:
        s3.put_object(Bucket=bucket, Key=parameters["BundleKey"], Body=options.bundle.read_bytes())
    asked = {
        "StackName": options.stack,
        "TemplateURL": f"https://{bucket}.s3.{session.region_name}.amazonaws.com/{key}",
        "Parameters": [{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
        "Capabilities": ["CAPABILITY_IAM"],
    }
    (formation.update_stack if exists else formation.create_stack)(**asked)
    formation.get_waiter("stack_update_complete" if exists else "stack_create_complete").wait(StackName=options.stack)
    (made,) = formation.describe_stacks(StackName=options.stack)["Stacks"]
    return {one["OutputKey"]: one["OutputValue"] for one in made.get("Outputs", ())}


def _parameters(formation: Any, stack: str) -> dict[str, str] | None:
    """What the stack was last deployed with; None where there is none."""
    from botocore.exceptions import ClientError

    try:
        (found,) = formation.describe_stacks(StackName=stack)["Stacks"]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    return {one["ParameterKey"]: str(one["ParameterValue"]) for one in found.get("Parameters", ())}
