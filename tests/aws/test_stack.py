"""The CloudFormation stack: clean for cfn-lint, made on the emulator and read back through each service's own API. Its CREATE_COMPLETE
alone says nothing: moto passes over some types, and those are given to their own API here, which checks every parameter."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support.aws import adapters, parts

if reason := parts.missing("boto3", "moto", "cfnlint"):
    pytest.skip(reason, allow_module_level=True)

from cloud.aws_stack import load_template

FILE = parts.CHECKOUT / "deploy/aws/stack.yaml"
TEMPLATE = load_template(FILE)
RESOURCES = TEMPLATE["Resources"]
PARAMETERS = {
    "CertificateArn": "arn:aws:acm:eu-west-1:123456789012:certificate/00000000-0000-0000-0000-000000000000",
    "BundleBucket": "bundles",
    "Prefix": "shopwide",
    "DatabaseReady": "yes",
}
PREFIX = PARAMETERS["Prefix"]


def client(service: str):
    import boto3

    return boto3.client(service, endpoint_url=parts.moto(), **parts.CREDENTIALS)


def for_the_emulator() -> str:
    """The template without what moto fails at: outputs of types that it passes over, and the name of a database's parameter group."""
    made = json.loads(json.dumps(TEMPLATE))
    del made["Outputs"], made["Resources"]["Database"]["Properties"]["DBParameterGroupName"]
    return json.dumps(made)


@pytest.fixture(scope="module")
def stack():
    """Logical name -> physical one, of the whole stack; the body goes through S3, as it is too long for a request."""
    s3, formation, bucket = client("s3"), client("cloudformation"), adapters.fresh("templates")
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_object(Bucket=bucket, Key="stack", Body=for_the_emulator().encode())
    for name in of_type("AWS::SecretsManager::Secret"):  # passed over too, and the database's password is one
        client("secretsmanager").create_secret(Name=name, SecretString="x" * 48)
    given = [{"ParameterKey": key, "ParameterValue": value} for key, value in PARAMETERS.items()]
    where = f"https://{bucket}.s3.amazonaws.com/stack"
    formation.create_stack(StackName=PREFIX, TemplateURL=where, Parameters=given, Capabilities=["CAPABILITY_IAM"])
    (made,) = formation.describe_stacks(StackName=PREFIX)["Stacks"]
    assert made["StackStatus"] == "CREATE_COMPLETE", made
    found = formation.list_stack_resources(StackName=PREFIX)["StackResourceSummaries"]
    return {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in found}


def of_type(kind: str) -> dict[str, dict]:
    return {name: body["Properties"] for name, body in RESOURCES.items() if body["Type"] == kind}


def options() -> dict[tuple[str, str], object]:
    rows = RESOURCES["Environment"]["Properties"]["OptionSettings"]
    assert len({(row["Namespace"], row["OptionName"]) for row in rows}) == len(rows), "each once"
    return {(row["Namespace"], row["OptionName"]): row["Value"] for row in rows}


# --- the text ------------------------------------------------------------------------------------------------------------


def test_cfn_lint_finds_nothing_and_nothing_is_hidden_from_it():
    text = FILE.read_text()
    assert "cfn-lint" not in text and "ignore_checks" not in text
    done = subprocess.run(
        [Path(sys.executable).with_name("cfn-lint"), "--include-checks", "I", "--regions", "eu-west-1", "--", FILE],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_every_parameter_but_two_has_a_default_and_a_description():
    without = {name for name, body in TEMPLATE["Parameters"].items() if "Default" not in body}
    assert without == {"CertificateArn", "BundleBucket"}
    assert all(body["Description"] for body in TEMPLATE["Parameters"].values())


def test_no_role_may_do_everything_and_only_metrics_name_no_resource():
    for name, body in of_type("AWS::IAM::Role").items():
        for policy in body.get("Policies", ()):
            for statement in policy["PolicyDocument"]["Statement"]:
                actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
                assert not [action for action in actions if "*" in action], (name, statement["Sid"])
                if statement["Resource"] == "*":
                    assert actions == ["cloudwatch:PutMetricData"] and statement["Condition"], (name, statement["Sid"])


def test_spark_can_neither_write_the_lake_nor_read_the_stream_nor_any_other_secret():
    (policy,) = RESOURCES["SparkRole"]["Properties"]["Policies"]
    actions = {s["Sid"]: s["Action"] for s in policy["PolicyDocument"]["Statement"]}
    assert actions["ReadLake"] == "s3:GetObject"
    assert not [action for action in str(actions).split("'") if action.startswith(("kinesis:", "dynamodb:"))]


def test_only_the_balancer_is_open_to_the_world_and_for_tls_only():
    for name, body in of_type("AWS::EC2::SecurityGroup").items():
        for rule in body.get("SecurityGroupIngress", ()):
            if "CidrIp" in rule:
                assert (name, rule["FromPort"], rule["ToPort"]) == ("BalancerGroup", 443, 443)
    assert options()["aws:elbv2:listener:default", "ListenerEnabled"] == "false"
    assert options()["aws:elbv2:listener:443", "Protocol"] == "HTTPS"


def test_what_beanstalk_is_told_is_what_the_issue_asks():
    found = options()
    assert TEMPLATE["Parameters"]["MinInstances"]["MinValue"] == 2
    assert found["aws:autoscaling:trigger", "MeasureName"] == "Latency"
    assert found["aws:elasticbeanstalk:healthreporting:system", "SystemType"] == "enhanced"
    assert found["aws:elasticbeanstalk:command", "DeploymentPolicy"] == "RollingWithAdditionalBatch"
    json.loads(found["aws:elasticbeanstalk:healthreporting:system", "ConfigDocument"])
    assert {subnet for subnet in str(found["aws:ec2:vpc", "ELBSubnets"]).split("'") if "Public" in subnet} == {
        "PublicSubnet1",
        "PublicSubnet2",
        "PublicSubnet3",
    }


def test_the_environment_of_the_processes_is_what_their_configuration_knows():
    """An option that the code does not know would be set in vain, in silence."""
    from cloud.config import load_cloud_config, require

    variables = {
        name: value if isinstance(value, str) and value.isdigit() else "3"
        for (space, name), value in options().items()
        if space.startswith("aws:elasticbeanstalk:application:environment")
    }
    known = {*variables} - {
        "AWS_DEFAULT_REGION",
        "IVIZONE_CONSUMER",
        "IVIZONE_MIGRATION_URL",
        "IVIZONE_MIGRATION_SECRET",
    }
    from dataclasses import fields

    from cloud.config import CloudConfig

    names = {
        f"IVIZONE_{section.name}_{option.name}".upper()
        for section in fields(CloudConfig)
        for option in fields(getattr(CloudConfig(), section.name))
    }
    assert known <= names
    require(
        load_cloud_config(None, variables),
        "database.url",
        "database.password",
        "store.bucket",
        "stream.name",
        "retention.receipts_secret",
    )


def test_secrets_stand_in_no_plain_option():
    plain = {name for space, name in options() if space == "aws:elasticbeanstalk:application:environment"}
    assert not [name for name in plain if "PASSWORD" in name or name.endswith("RECEIPTS_SECRET")]
    text = FILE.read_text()
    assert 'MasterUserPassword: !Sub "{{resolve:secretsmanager:' in text


def test_what_holds_data_outlives_the_stack():
    for name in ("Key", "Lake", "Work", "MasterSecret", "WriterSecret", "MigratorSecret", "ReceiptsSecret"):
        # But not a creation that failed: its empty buckets and secrets would stand in the next one's way.
        assert RESOURCES[name]["DeletionPolicy"] == "RetainExceptOnCreate", name
        assert RESOURCES[name]["UpdateReplacePolicy"] == "Retain", name
    assert RESOURCES["Database"]["DeletionPolicy"] == "Snapshot"


def as_document(said: object) -> dict:
    """A policy as moto gives it: of a stack's it gives Python's spelling, which is YAML too."""
    return yaml.safe_load(said) if isinstance(said, str) else said


# --- what the services say ------------------------------------------------------------------------------------------------


def test_the_network_lies_in_three_zones(stack):
    ec2 = client("ec2")
    subnets = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [stack["Vpc"]]}])["Subnets"]
    zones = {one["SubnetId"]: one["AvailabilityZone"] for one in subnets}
    for kind in ("Public", "Private"):
        assert len({zones[stack[f"{kind}Subnet{n}"]] for n in (1, 2, 3)}) == 3
    endpoints = ec2.describe_vpc_endpoints(Filters=[{"Name": "vpc-id", "Values": [stack["Vpc"]]}])["VpcEndpoints"]
    assert {one["ServiceName"].rpartition(".")[2] for one in endpoints} == {"s3", "dynamodb", "kinesis-streams"}
    assert len(ec2.describe_nat_gateways(Filters=[{"Name": "vpc-id", "Values": [stack["Vpc"]]}])["NatGateways"]) == 1


def test_the_database_hears_instances_and_spark_only(stack):
    (group,) = client("ec2").describe_security_groups(GroupIds=[stack["DatabaseGroup"]])["SecurityGroups"]
    sources = {pair["GroupId"] for rule in group["IpPermissions"] for pair in rule["UserIdGroupPairs"]}
    assert sources == {stack["InstanceGroup"], stack["SparkGroup"]}
    assert not [rule for rule in group["IpPermissions"] if rule["IpRanges"]]


def test_the_stream_is_on_demand_encrypted_and_keeps_a_day(stack):
    kinesis, name, wanted = client("kinesis"), f"{PREFIX}-batches", RESOURCES["Stream"]["Properties"]
    found = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
    assert found["RetentionPeriodHours"] == 24
    # Mode and encryption moto leaves out of a stack; its API takes them.
    kinesis.update_stream_mode(StreamARN=found["StreamARN"], StreamModeDetails=wanted["StreamModeDetails"])
    kinesis.start_stream_encryption(StreamName=name, **{**wanted["StreamEncryption"], "KeyId": stack["Key"]})
    found = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
    assert (found["StreamModeDetails"]["StreamMode"], found["EncryptionType"]) == ("ON_DEMAND", "KMS")


def test_the_lake_is_closed_encrypted_unversioned_and_forgets(stack):
    s3, bucket = client("s3"), stack["Lake"]
    closed = RESOURCES["Lake"]["Properties"][
        "PublicAccessBlockConfiguration"
    ]  # which moto leaves out of a stack, and its API takes
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=closed)
    found = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert len(found) == 4 and all(found.values())
    (rule,) = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket), "an erased object must be gone"
    written = [
        {
            **{key: rule[key] for key in ("Status", "AbortIncompleteMultipartUpload") if key in rule},
            "ID": rule["Id"],
            "Filter": {"Prefix": rule.get("Prefix", "")},
            **({"Expiration": {"Days": rule["ExpirationInDays"]}} if "ExpirationInDays" in rule else {}),
        }
        for rule in RESOURCES["Lake"]["Properties"]["LifecycleConfiguration"]["Rules"]
    ]
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": written})
    rules = {one["ID"]: one for one in s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]}
    for name in ("sightings", "messages", "quarantine"):
        assert (rules[name]["Filter"]["Prefix"], rules[name]["Expiration"]["Days"]) == (f"lake/{name}/", 3)
    wanted = json.dumps(plain(RESOURCES["LakePolicy"]["Properties"]["PolicyDocument"]))
    s3.put_bucket_policy(Bucket=bucket, Policy=wanted)
    policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    assert policy["Statement"][0]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_the_lake_takes_and_gives_our_objects(stack):
    from cloud.stores.s3 import S3Store

    store = S3Store(adapters.client("s3", parts.moto(), path_style=True), stack["Lake"], "lake/")
    store.put("ledger/site=a/date=2026-11-20/x.parquet", b"x")
    assert store.get("ledger/site=a/date=2026-11-20/x.parquet") == b"x"


def test_leases_lie_in_an_encrypted_table_as_the_library_wants_it(stack):
    table = client("dynamodb").describe_table(TableName=f"{PREFIX}-consumer")["Table"]
    assert table["KeySchema"] == [{"AttributeName": "leaseKey", "KeyType": "HASH"}]
    assert table["GlobalSecondaryIndexes"][0]["IndexName"] == "LeaseOwnerToLeaseKeyIndex"
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert RESOURCES["Leases"]["Properties"]["SSESpecification"]["SSEType"] == "KMS"


def test_the_database_stands_in_two_zones_encrypted_and_not_for_the_public(stack):
    (found,) = client("rds").describe_db_instances(DBInstanceIdentifier=PREFIX)["DBInstances"]
    assert (found["Engine"], found["MultiAZ"], found["StorageEncrypted"]) == ("postgres", True, True)
    assert found["PubliclyAccessible"] is False
    assert found["BackupRetentionPeriod"] == 7
    assert RESOURCES["Database"]["Properties"]["DeletionProtection"] is True
    assert RESOURCES["Database"]["Properties"]["VPCSecurityGroups"] == [{"Ref": "DatabaseGroup"}]


def test_the_key_turns_every_year_and_has_a_name(stack):
    kms = client("kms")
    assert kms.get_key_rotation_status(KeyId=stack["Key"])["KeyRotationEnabled"]
    aliases = {one["AliasName"]: one["TargetKeyId"] for one in kms.list_aliases()["Aliases"] if "TargetKeyId" in one}
    assert aliases[f"alias/{PREFIX}"] == stack["Key"]


def test_the_instances_role_is_what_the_template_says_and_for_instances_only(stack):
    iam = client("iam")
    role = iam.get_role(RoleName=stack["InstanceRole"])["Role"]
    trust = role["AssumeRolePolicyDocument"]
    trust = as_document(trust)
    assert trust["Statement"][0]["Principal"] == {"Service": "ec2.amazonaws.com"}
    policy = iam.get_role_policy(RoleName=stack["InstanceRole"], PolicyName="ivizone")["PolicyDocument"]
    policy = as_document(policy)
    stream = next(s for s in policy["Statement"] if s["Sid"] == "Stream")
    assert stream["Resource"].endswith(f"stream/{PREFIX}-batches")
    secrets = next(s for s in policy["Statement"] if s["Sid"] == "Secrets")
    assert not [name for name in secrets["Resource"] if "Master" in name], "no process has the master's password"


# --- types that moto passes over, given to their own APIs -------------------------------------------------------------------


def plain(value: object) -> object:
    """A property without functions of CloudFormation: a name stands for what is made elsewhere."""
    if isinstance(value, dict):
        if len(value) == 1 and next(iter(value)).startswith(("Ref", "Fn::")):
            (inner,) = value.values()
            return PREFIX if inner == "Prefix" else str(inner)
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def test_alarms_are_taken_by_cloudwatch_and_each_tells_somebody():
    watch = client("cloudwatch")
    alarms = of_type("AWS::CloudWatch::Alarm")
    for name, body in alarms.items():
        watch.put_metric_alarm(**{**plain(body), "AlarmName": name})
    found = watch.describe_alarms(AlarmNames=list(alarms))["MetricAlarms"]
    assert len(found) == len(alarms) >= 10
    assert all(one["AlarmActions"] and one["AlarmDescription"] for one in found)


def test_the_dashboard_is_json_and_names_metrics_that_exist():
    body = RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    widgets = json.loads(body)["widgets"]
    assert len(widgets) == 6
    client("cloudwatch").put_dashboard(DashboardName="d", DashboardBody=body)


def test_secrets_are_taken_by_the_secrets_manager():
    manager = client("secretsmanager")
    for body in of_type("AWS::SecretsManager::Secret").values():
        generated = manager.get_random_password(**body["GenerateSecretString"])["RandomPassword"]
        assert len(generated) >= 32 and generated.isalnum(), "goes into a URL and makes a key"


def test_beanstalk_takes_application_and_environment():
    beanstalk = client("elasticbeanstalk")
    beanstalk.create_application(ApplicationName=PREFIX)
    settings = plain(RESOURCES["Environment"]["Properties"]["OptionSettings"])
    settings = [{**row, "Value": str(row["Value"])} for row in settings]
    beanstalk.create_environment(
        ApplicationName=PREFIX,
        EnvironmentName=PREFIX,
        SolutionStackName=beanstalk.list_available_solution_stacks()["SolutionStacks"][0],
        OptionSettings=settings,
    )
    (found,) = beanstalk.describe_environments(EnvironmentNames=[PREFIX])["Environments"]
    assert found["ApplicationName"] == PREFIX


def test_emr_serverless_takes_the_spark_application():
    body = plain(RESOURCES["Spark"]["Properties"]) | {"ReleaseLabel": "emr-7.0.0"}  # the newest that moto knows of
    lower = {f"{key[0].lower()}{key[1:]}": value for key, value in body.items() if isinstance(value, str)}
    made = client("emr-serverless").create_application(
        **{**lower, "type": lower["type"].upper()}
    )  # moto knows capitals only
    found = client("emr-serverless").get_application(applicationId=made["applicationId"])["application"]
    assert (found["type"], found["releaseLabel"]) == ("Spark", "emr-7.0.0")


def test_deploy_puts_bundle_and_template_makes_the_stack_and_updates_it(stack, tmp_path, monkeypatch, capsys):
    from cloud.cli import main

    monkeypatch.setenv("AWS_ENDPOINT_URL", parts.moto())
    client("s3").create_bucket(Bucket="deployed-bundles", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    (tmp_path / "stack.json").write_text(for_the_emulator())
    (tmp_path / "ivizone-aws-0.1.0.zip").write_bytes(b"one")
    parameters = {**PARAMETERS, "BundleBucket": "deployed-bundles", "Prefix": "second"}
    words = [
        word for name, value in parameters.items() if name != "BundleKey" for word in ("--parameter", f"{name}={value}")
    ]
    command = [
        "aws",
        "deploy",
        "--region",
        "eu-west-1",
        "--stack",
        "second",
        "--template",
        str(tmp_path / "stack.json"),
    ]
    command += ["--bundle", str(tmp_path / "ivizone-aws-0.1.0.zip"), *words]

    assert main(command) == 0, capsys.readouterr().err
    (made,) = client("cloudformation").describe_stacks(StackName="second")["Stacks"]
    key = next(one["ParameterValue"] for one in made["Parameters"] if one["ParameterKey"] == "BundleKey")
    assert made["StackStatus"] == "CREATE_COMPLETE"
    assert client("s3").get_object(Bucket="deployed-bundles", Key=key)["Body"].read() == b"one"

    # An upgrade as docs/operations.md has it: only the bundle is named, and the instances must not go because DatabaseReady is "no" by itself.
    (tmp_path / "ivizone-aws-0.1.0.zip").write_bytes(b"two")
    assert main(command[: -len(words)]) == 0, capsys.readouterr().err
    (made,) = client("cloudformation").describe_stacks(StackName="second")["Stacks"]
    assert made["StackStatus"] == "UPDATE_COMPLETE"
    after = {one["ParameterKey"]: one["ParameterValue"] for one in made["Parameters"]}
    assert after["BundleKey"] != key
    assert parameters.items() <= after.items()


def test_consumers_that_ask_for_nothing_any_more_are_an_alarm():
    """Kinesis tells the age of an iterator only while somebody reads: without anybody the metric is missing."""
    alarm = RESOURCES["BehindAlarm"]
    assert alarm["Properties"]["TreatMissingData"] == "breaching"
    assert alarm["Condition"] == "IsReady", "before there are instances nobody can read"


def test_the_balancer_lets_go_of_a_connection_before_nginx_does():
    conf = (parts.CHECKOUT / "deploy/aws/bundle/.platform/nginx/nginx.conf").read_text()
    keepalive_s = int(conf.partition("keepalive_timeout ")[2].partition("s;")[0])
    assert int(options()["aws:elbv2:loadbalancer", "IdleTimeout"]) < keepalive_s


def test_who_uses_the_encrypted_table_of_leases_may_use_its_key_through_it():
    """Source: Amazon DynamoDB developer guide, encryption at rest, authorizing use of your KMS keys."""
    (policy,) = RESOURCES["InstanceRole"]["Properties"]["Policies"]
    (found,) = [s for s in policy["PolicyDocument"]["Statement"] if s["Sid"] == "KeyOfLeases"]
    assert {"kms:Encrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:DescribeKey"} <= set(found["Action"])
    assert "kms:ViaService" in found["Condition"]["StringEquals"]
