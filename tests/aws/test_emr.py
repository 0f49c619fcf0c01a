"""The requests to EMR against boto3's own description of the services, and sent to an emulator of them."""

from __future__ import annotations

import pytest
from support.aws import parts

if reason := parts.missing("boto3", "moto"):
    pytest.skip(reason, allow_module_level=True)

import boto3
from botocore.validate import validate_parameters

from cloud.cli import main
from cloud.jobs.emr import JOBS, Submission, cluster_request, serverless_request
from cloud.jobs.shell import read_secret

ROLE = "arn:aws:iam::123456789012:role/ivizone-emr"


def client(service: str):
    return boto3.client(service, endpoint_url=parts.moto(), **parts.CREDENTIALS)


@pytest.mark.parametrize("job", JOBS)
def test_the_requests_are_what_the_services_describe(job):
    submission = Submission(
        job, ("--from", "2026-11-01"), "s3://code/emr", {"IVIZONE_STORE_BUCKET": "lake"}, logs="s3://logs/emr/"
    )
    for service, operation, request in (
        ("emr-serverless", "StartJobRun", serverless_request(submission, "00fabc", ROLE, "token")),
        ("emr", "AddJobFlowSteps", cluster_request(submission, "j-2AXXXXXXGAPLF")),
    ):
        shape = client(service).meta.service_model.operation_model(operation).input_shape
        validate_parameters(request, shape)
        assert set(request) <= set(shape.members)


@pytest.mark.parametrize("job", JOBS)
def test_a_job_is_submitted_to_emr_serverless(job, capsys):
    emr = client("emr-serverless")
    # The emulator knows releases up to 6 only; the request does not name one.
    application = emr.create_application(name="ivizone", releaseLabel="emr-6.10.0", type="SPARK")["applicationId"]
    emr.start_application(applicationId=application)
    words = ["--application", application, "--role", ROLE, "--code", "s3://code/emr", "--region", "eu-west-1"]

    assert main(["emr", "submit", job, *words, "--endpoint", parts.moto(), "--with", "--from", "2026-11-01"]) == 0

    run = emr.get_job_run(applicationId=application, jobRunId=capsys.readouterr().out.strip())["jobRun"]
    assert run["executionRole"] == ROLE
    assert run["jobDriver"]["sparkSubmit"]["entryPoint"] == f"s3://code/emr/{job}.py"
    assert run["jobDriver"]["sparkSubmit"]["entryPointArguments"] == ["--from", "2026-11-01"]


def test_a_step_is_added_to_a_cluster(capsys):
    emr = client("emr")
    instances = {"MasterInstanceType": "m6g.xlarge", "InstanceCount": 1, "KeepJobFlowAliveWhenNoSteps": True}
    cluster = emr.run_job_flow(Name="ivizone", Instances=instances, ReleaseLabel="emr-8.0.0")["JobFlowId"]

    words = ["--cluster", cluster, "--code", "s3://code/emr", "--region", "eu-west-1", "--endpoint", parts.moto()]
    assert main(["emr", "submit", "stream", *words, "--with", "--checkpoint", "s3://lake/emr/checkpoint"]) == 0

    step = emr.describe_step(ClusterId=cluster, StepId=capsys.readouterr().out.strip())["Step"]
    assert step["Name"] == "ivizone-stream"
    assert step["Config"]["Args"][-3:] == ["s3://code/emr/stream.py", "--checkpoint", "s3://lake/emr/checkpoint"]


def test_a_job_that_emr_does_not_take_is_said(capsys):
    words = ["--application", "00none", "--role", ROLE, "--code", "s3://code/emr", "--region", "eu-west-1"]
    assert main(["emr", "submit", "batch", *words, "--endpoint", parts.moto()]) == 5
    assert "EMR does not take the job" in capsys.readouterr().err


def test_the_databases_url_is_read_from_secrets_manager(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", parts.moto())
    client("secretsmanager").create_secret(Name="ivizone/database", SecretString="postgresql://job@db/ivizone")

    assert read_secret("ivizone/database", "eu-west-1") == "postgresql://job@db/ivizone"
