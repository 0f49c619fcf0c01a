"""What EMR is asked for, and which words of the command line make it; sending it is in tests/aws/test_emr.py."""

from __future__ import annotations

import argparse
import json

import pytest

from cloud.cli import main
from cloud.config import CloudConfigError
from cloud.jobs import shell
from cloud.jobs.emr import Submission, cluster_request, serverless_request
from cloud.jobs.shell import PASSWORD_VARIABLE, URL_VARIABLE, settings_of_secret, url_of_host, url_of_secret
from cloud.jobs.stream import days_of

VERIFIED = "sslmode=verify-full&sslrootcert=environment%2Frds-global-bundle.pem"
ROLE = "arn:aws:iam::123456789012:role/ivizone-emr"
BATCH = Submission(
    "batch", ("--from", "2026-11-01", "--to", "2026-11-30"), "s3://code/emr", {"IVIZONE_STORE_BUCKET": "lake"}
)
STREAM = Submission("stream", ("--checkpoint", "s3://lake/emr/checkpoint"), "s3://code/emr", logs="s3://logs/emr/")
APPLICATION = ["--application", "00fabc", "--role", ROLE, "--code", "s3://code/emr/"]


def conf(request):
    """Spark's configuration in a request to EMR Serverless."""
    words = request["jobDriver"]["sparkSubmit"]["sparkSubmitParameters"].split(" ")
    assert words[::2] == ["--conf"] * (len(words) // 2)
    return dict(word.split("=", 1) for word in words[1::2])


def test_a_back_fill_on_emr_serverless_names_program_arguments_and_environment():
    request = serverless_request(BATCH, "00fabc", ROLE, "token")

    submit = request["jobDriver"]["sparkSubmit"]
    assert (request["applicationId"], request["executionRoleArn"], request["clientToken"]) == ("00fabc", ROLE, "token")
    assert submit["entryPoint"] == "s3://code/emr/batch.py"
    assert submit["entryPointArguments"] == ["--from", "2026-11-01", "--to", "2026-11-30"]
    assert conf(request)["spark.archives"] == "s3://code/emr/environment.tar.gz#environment"
    assert conf(request)["spark.emr-serverless.driverEnv.IVIZONE_STORE_BUCKET"] == "lake"
    assert "mode" not in request and "configurationOverrides" not in request


def test_a_stream_on_emr_serverless_is_started_again_when_it_ends():
    request = serverless_request(STREAM, "00fabc", ROLE, "token")

    assert (request["mode"], request["retryPolicy"]["maxFailedAttemptsPerHour"] > 0) == ("STREAMING", True)
    monitoring = request["configurationOverrides"]["monitoringConfiguration"]
    assert monitoring == {"s3MonitoringConfiguration": {"logUri": "s3://logs/emr/"}}


def test_a_step_on_a_cluster_is_a_spark_submit_whose_driver_runs_there():
    request = cluster_request(BATCH, "j-2AXXXXXXGAPLF")

    words = request["Steps"][0]["HadoopJarStep"]["Args"]
    assert words[:3] == ["spark-submit", "--deploy-mode", "cluster"]
    assert words[-5:] == ["s3://code/emr/batch.py", "--from", "2026-11-01", "--to", "2026-11-30"]
    assert "spark.yarn.appMasterEnv.IVIZONE_STORE_BUCKET=lake" in words
    assert request["JobFlowId"] == "j-2AXXXXXXGAPLF"


@pytest.mark.parametrize("value", ["a b", 'a"b', "a'b", "a\nb"])
def test_a_setting_that_emr_serverless_would_take_apart_is_refused(value):
    submission = Submission("batch", (), "s3://code/emr", spark={"spark.x": value})
    with pytest.raises(ValueError, match=r"spark\.x holds a blank"):
        serverless_request(submission, "00fabc", ROLE, "token")


def test_a_dry_run_prints_the_request_and_sends_nothing(capsys):
    words = [
        "emr",
        "submit",
        "batch",
        *APPLICATION,
        "--bucket",
        "lake",
        "--spark",
        "spark.executor.memory=4g",
        "--dry-run",
    ]
    assert main([*words, "--with", "--from", "2026-11-01", "--to", "2026-11-30"]) == 0

    said = json.loads(capsys.readouterr().out)
    assert (said["service"], said["operation"]) == ("emr-serverless", "start_job_run")
    submit = said["request"]["jobDriver"]["sparkSubmit"]
    assert submit["entryPointArguments"] == ["--from", "2026-11-01", "--to", "2026-11-30"]
    assert conf(said["request"])["spark.executor.memory"] == "4g"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--application", "00fabc", "--code", "s3://code/emr"], "--role"),
        (["--cluster", "j-1", "--code", "https://code/emr"], "s3://bucket/prefix"),
        (["--cluster", "j-1", "--code", "s3://code/emr", "--spark", "memory=1"], "spark.NAME=VALUE"),
    ],
)
def test_words_that_do_not_fit_together_are_refused_with_what_to_use(capsys, words, said):
    assert main(["emr", "submit", "batch", *words, "--dry-run"]) == 2
    assert said in capsys.readouterr().err


# --- what the jobs make of addresses and secrets ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("s3://lake/lake/sightings/site=shop-1/date=2026-11-20/shard-1-2.parquet", ("shop-1", "2026-11-20")),
        ("file:/data/lake/zone_counts/site=0042/date=2026-11-20/x.parquet", ("0042", "2026-11-20")),
        ("s3://lake/lake/ledger/site=shop/date=2026-11-20/compact-ab12.parquet", None),
        ("s3://lake/lake/messages/site=shop/date=2026-11-20/x.parquet", None),
        ("s3://lake/lake/sightings/site=shop/date=2026-11-20/.x.parquet.part", None),
        ("s3://lake/lake/quarantine/x.cose", None),
        ("s3://lake/lake/sightings/site=shop/x.parquet", None),
    ],
)
def test_an_objects_name_says_which_day_it_is_of(name, day):
    assert days_of([name, name]) == ({day} if day else set())


def test_a_secret_is_a_url_or_what_rds_writes():
    written = json.dumps({"username": "job", "password": "p@ss/w:rd", "host": "db.example", "port": 5433})

    assert url_of_secret("postgresql://job@db/x") == "postgresql://job@db/x"
    assert url_of_secret(written) == f"postgresql://job:p%40ss%2Fw%3Ard@db.example:5433/ivizone?{VERIFIED}"


def test_a_secret_beside_the_databases_host_is_the_password():
    """WriterSecret of deploy/aws/stack.yaml, the only one that the jobs' role may read, holds nothing else."""
    url = url_of_host("db.example")
    assert url == f"postgresql://ivizone_app@db.example/ivizone?{VERIFIED}"
    assert settings_of_secret("hush-hush", {URL_VARIABLE: url}) == {PASSWORD_VARIABLE: "hush-hush"}
    whole = "postgresql://job@other/x"
    assert settings_of_secret(whole, {URL_VARIABLE: url}) == {URL_VARIABLE: whole}
    with pytest.raises(CloudConfigError, match="database-host") as caught:
        settings_of_secret("hush-hush", {})
    assert "hush" not in str(caught.value)


def test_the_job_connects_with_the_password_of_the_secret(monkeypatch, tmp_path):
    asked = {}
    monkeypatch.setattr(shell, "postgres_database", lambda url, **options: asked.update(options, url=url))
    monkeypatch.setattr(shell, "read_secret", lambda name, region: f"password of {name} in {region}")
    parser = argparse.ArgumentParser()
    shell.add_options(parser)
    words = ["--lake", str(tmp_path), "--database-host", "db.example", "--database-secret", "writer"]

    shell.Parts(parser.parse_args(words), {"AWS_REGION": "eu-west-1"})

    assert asked["url"] == url_of_host("db.example")
    assert asked["password"] == "password of writer in eu-west-1"


def test_the_job_is_told_the_region(capsys):
    assert main(["emr", "submit", "batch", *APPLICATION, "--region", "eu-west-1", "--dry-run"]) == 0
    request = json.loads(capsys.readouterr().out)["request"]
    assert conf(request)["spark.emr-serverless.driverEnv.IVIZONE_AWS_REGION"] == "eu-west-1"


@pytest.mark.parametrize("text", ["", "nonsense", "[]", '{"username": "job", "password": "hush-hush"}', '{"host": 1}'])
def test_a_secret_that_is_neither_is_refused_and_not_printed(text):
    with pytest.raises(CloudConfigError, match="username, password and host") as caught:
        url_of_secret(text)
    assert "hush" not in str(caught.value)
