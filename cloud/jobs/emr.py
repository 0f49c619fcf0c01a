"""What is asked of EMR to run a job: the request as a value (core). `cloud.jobs.commands` sends it.

Two ways: EMR Serverless (StartJobRun), which needs no cluster, and a step on a cluster of EC2 instances (AddJobFlowSteps). The code lies in
one place of S3, ``code``: batch.py and stream.py beside environment.tar.gz, a packed virtual environment (docs/emr.md says how it is made).
Sources: Amazon EMR Serverless API reference, StartJobRun; "Using Python libraries with EMR Serverless"; Amazon EMR API reference,
AddJobFlowSteps; EMR release 8.0 (Spark 4.0.2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

JOBS = ("batch", "stream")
_PYTHON = "./environment/bin/python"
RETRIES_AN_HOUR = 5
"""Of a stream that ends: it goes on from its checkpoint."""


@dataclass(frozen=True, slots=True)
class Submission:
    """One run of a job."""

    job: str
    """One of JOBS."""
    arguments: Sequence[str]
    """What stands behind batch.py or stream.py."""
    code: str
    """s3://bucket/prefix without a slash at the end."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """IVIZONE_SECTION_OPTION -> value. No secret: it would be readable in the console."""
    spark: Mapping[str, str] = field(default_factory=dict)
    """More of Spark's configuration."""
    logs: str = ""
    """s3://bucket/prefix/ for the logs, or empty."""

    @property
    def name(self) -> str:
        """As the console shows it."""
        return f"ivizone-{self.job}"

    @property
    def entry(self) -> str:
        """The program."""
        return f"{self.code}/{self.job}.py"


def serverless_request(submission: Submission, application: str, role: str, token: str) -> dict[str, Any]:
    """Arguments of StartJobRun. ``token``: the same one twice starts one run."""
    driver = {f"spark.emr-serverless.driverEnv.{name}": value for name, value in submission.environment.items()}
    python = {
        "spark.archives": f"{submission.code}/environment.tar.gz#environment",
        "spark.emr-serverless.driverEnv.PYSPARK_DRIVER_PYTHON": _PYTHON,
        "spark.emr-serverless.driverEnv.PYSPARK_PYTHON": _PYTHON,
        "spark.executorEnv.PYSPARK_PYTHON": _PYTHON,
    }
    request: dict[str, Any] = {
        "applicationId": application,
        "clientToken": token,
        "executionRoleArn": role,
        "name": submission.name,
        "jobDriver": {
            "sparkSubmit": {
                "entryPoint": submission.entry,
                "entryPointArguments": list(submission.arguments),
                "sparkSubmitParameters": _conf({**python, **driver, **submission.spark}),
            }
        },
    }
    if submission.logs:
        where = {"s3MonitoringConfiguration": {"logUri": submission.logs}}
        request["configurationOverrides"] = {"monitoringConfiguration": where}
    if submission.job == "stream":
        request |= {"mode": "STREAMING", "retryPolicy": {"maxFailedAttemptsPerHour": RETRIES_AN_HOUR}}
    return request


def cluster_request(submission: Submission, cluster: str) -> dict[str, Any]:
    """Arguments of AddJobFlowSteps: spark-submit on YARN, the driver in the cluster."""
    driver = {f"spark.yarn.appMasterEnv.{name}": value for name, value in submission.environment.items()}
    python = {
        "spark.yarn.appMasterEnv.PYSPARK_PYTHON": _PYTHON,
        "spark.executorEnv.PYSPARK_PYTHON": _PYTHON,
        # A stream whose driver's machine is gone begins again from its checkpoint.
        "spark.yarn.maxAppAttempts": str(RETRIES_AN_HOUR if submission.job == "stream" else 2),
    }
    confs = [word for pair in _pairs({**python, **driver, **submission.spark}) for word in ("--conf", pair)]
    archives = ["--archives", f"{submission.code}/environment.tar.gz#environment"]
    command = ["spark-submit", "--deploy-mode", "cluster", *archives, *confs, submission.entry, *submission.arguments]
    step = {
        "Name": submission.name,
        "ActionOnFailure": "CONTINUE",
        "HadoopJarStep": {"Jar": "command-runner.jar", "Args": command},
    }
    return {"JobFlowId": cluster, "Steps": [step]}


def _pairs(settings: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in sorted(settings.items())]


def _conf(settings: Mapping[str, str]) -> str:
    """As one line of spark-submit, which EMR takes apart at blanks. Raises ValueError where a value holds one."""
    pairs = _pairs(settings)
    for pair in pairs:
        if any(letter.isspace() or letter in "\"'" for letter in pair):
            raise ValueError(
                f"{pair.partition('=')[0]} holds a blank or a quote, which EMR Serverless takes apart; leave it out"
            )
    return " ".join(f"--conf {pair}" for pair in pairs)
