"""One capture, from the air through the agent to the tables: the AWS composition's are the embedded one's, row for row."""

from __future__ import annotations

import shutil

import pytest
from sqlalchemy import select
from support.aws import parts, proxy
from support.aws.composition import AwsCloud, Process, figures

if reason := parts.missing("boto3", "aws_kinesis_agg", "kinesalite", "moto", "psycopg", "postgres"):
    pytest.skip(reason, allow_module_level=True)

from end_to_end.processes import AgentProcess, CloudProcess, simulate, wait

from cloud.databases.sqlite import sqlite_database
from cloud.databases.tables import agents, sites

DAY = "2025-03-12"
EDGE = ("throttle", "some", "error", "error_after", "drop", "drop_after")


def copy_people(source, target) -> None:
    """The store and the access point that enrolled at the embedded cloud."""
    with source.connect() as reads, target.begin() as writes:
        for table in (sites, agents):
            writes.execute(table.insert(), [dict(row._mapping) for row in reads.execute(select(table))])


def test_one_capture_gives_the_same_tables_through_both_compositions(tmp_path):
    capture, _truth = simulate(tmp_path, DAY)
    agent = AgentProcess(tmp_path / "agent")
    with CloudProcess(tmp_path / "embedded") as embedded:
        embedded.command(
            "site", "add", "shop", "--allow-replay", "--hours", "10:00-19:00", "--time-zone", "Europe/Paris"
        )
        agent.enrol(embedded, "shop")
        shutil.copytree(agent.folder, tmp_path / "twin")
        code, summary, trouble = agent.replay(embedded.url, capture)
        assert code == 0, trouble
        database = sqlite_database(tmp_path / "embedded" / "ivizone.sqlite")
        wait(lambda: sum(row["batches"] for row in figures(database)["ledger_days"]) == summary["batches"])
        wait(lambda: embedded.waiting() == 0)
        assert embedded.stop() == 0
    truth = figures(database)

    cloud = AwsCloud(tmp_path, batches=())
    copy_people(database, cloud.aws.database)
    cloud.kinesis_proxy.choose = proxy.drawn(7, 0.3, EDGE, most=40)
    cloud.s3_proxy.choose = proxy.drawn(8, 0.1, ("throttle", "error_after", "drop_after"), most=40)
    web, consumer, analyst = (
        Process(cloud, "serve", "--port", "0"),
        Process(cloud, "consume"),
        Process(cloud, "analyse"),
    )
    twin = AgentProcess(tmp_path / "twin")
    twin.config.write_text(twin.config.read_text().replace(str(agent.folder), str(twin.folder)))
    code, again, trouble = twin.replay(web.url(), capture)
    assert code == 0, trouble
    assert again["batches"] == summary["batches"] and again["bytes"] == summary["bytes"], "the same bytes were sent"
    cloud.wait_for_figures(120, batches=summary["batches"])
    found = figures(cloud.aws.database)
    for process in (web, consumer, analyst):
        process.kill()
    cloud.close()

    assert len(truth["quarter_figures"]) > 100 and any(row["value"] for row in truth["day_figures"])
    assert found == truth
