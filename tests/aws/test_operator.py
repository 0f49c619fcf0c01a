"""What an operator types, with --config: the same words as for a data folder, on PostgreSQL and S3."""

from __future__ import annotations

import json

import pytest
from support.aws import adapters, parts
from support.aws.composition import AwsCloud, scene
from support.batches import KEY

if reason := parts.missing("boto3", "aws_kinesis_agg", "kinesalite", "moto", "psycopg", "postgres"):
    pytest.skip(reason, allow_module_level=True)

from cloud.cli import main
from cloud.databases.postgres import house_lock

DAY = "2023-11-15"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    made = AwsCloud(tmp_path_factory.mktemp("cloud"), scene(sites=1, per_site=1, batches=3))
    writer = made.aws.writer()
    made.send(made.batches, writer)
    writer.close()
    made.aws.consumer(made.aws.reader()).drain()
    made.aws.analyst().analyse_dirty()
    yield made
    made.close()


@pytest.fixture
def say(cloud, capsys):
    def said(*words: str, code: int = 0) -> str:
        assert main([*words, "--config", str(cloud.file)]) == code, capsys.readouterr().err
        found = capsys.readouterr()
        return found.out if code == 0 else found.err

    return said


def test_stores_access_points_and_people_are_those_of_the_database(say, cloud):
    assert "schema" in say("migrate") and "nothing to do" in say("migrate")
    say("site", "add", "new-shop", "--time-zone", "Europe/Lisbon")
    assert {line.split()[0] for line in say("site", "ls").splitlines()} >= {"shop-0", "new-shop"}
    token = say("agent", "token", "--site", "new-shop").strip()
    agent, _site = cloud.aws.fleet.enrol(token, KEY.public_key().public_bytes_raw(), "0.1.0")
    assert agent in say("agent", "ls", "--site", "new-shop")
    assert "/welcome/" in say("user", "add", "ana", "--url", "https://ivizone.example")
    assert "operator" in say("audit")


def test_the_ledger_of_a_day_is_read_from_the_bucket(say):
    ledger = json.loads(say("ledger", "--site", "shop-0", "--date", DAY, "--json"))
    assert ledger["agent"] == "ap-0-0"
    assert ledger["stored"] == 3
    assert ledger["remainder"] == {"frames": 0, "batches": 0, "sightings": 0}


def test_a_day_is_computed_again_by_hand(say):
    assert "figures from 1 objects" in say("analyse", "--site", "shop-0", "--date", DAY)


def test_retention_by_hand_waits_for_an_analyst_that_erases(say, cloud):
    with house_lock(cloud.aws.database):
        assert "come back" in say("retention", "run", code=3)
    assert "objects" in say("retention", "run")
    assert "receipts" in say("receipts", "verify")


def test_what_lies_in_the_bucket_against_its_receipt_is_found(say, cloud):
    cloud.aws.now_ms.ms += 20 * 24 * 3_600_000
    cloud.aws.retention(cloud.aws.analyst()).run()
    assert "1 receipts hold together" in say("receipts", "verify")
    s3 = adapters.client("s3", parts.moto(), path_style=True)
    s3.put_object(Bucket=cloud.bucket, Key=f"lake/sightings/site=shop-0/date={DAY}/restored.parquet", Body=b"back-up")
    assert "restored.parquet is there" in say("receipts", "verify", code=4)


def test_a_mistake_in_the_configuration_is_one_line_and_exit_code_3(tmp_path, capsys, monkeypatch):
    (tmp_path / "cloud.yaml").write_text("database:\n  urk: x\n")
    assert main(["site", "ls", "--config", str(tmp_path / "cloud.yaml")]) == 3
    assert "did you mean 'url'" in capsys.readouterr().err
    monkeypatch.setenv("IVIZONE_DATABASE_URL", "mysql://x")
    assert main(["site", "ls"]) == 3, "the environment of an instance is enough"
    assert "no address of PostgreSQL" in capsys.readouterr().err
    assert main(["site", "ls", "--data", str(tmp_path)]) == 3, "a folder that is named wins"
    assert "the database is empty" in capsys.readouterr().err


def test_the_logins_of_the_operators_paper_can_do_what_their_processes_do_and_no_more(monkeypatch, capsys):
    import psycopg
    from sqlalchemy import text
    from sqlalchemy.exc import ProgrammingError

    from cloud.aws import Aws
    from cloud.config import load_cloud_config
    from cloud.domain.site import Site

    server, name = parts.postgres(), adapters.fresh("roles")
    server.create(name)
    assert main(["aws", "roles", "--database", name]) == 0
    paper = (parts.CHECKOUT / "docs/operations.md").read_text()
    logins = "".join(
        line for line in paper.splitlines(True) if line.strip().startswith(("CREATE ROLE", "ALTER ROLE ivizone_deploy"))
    )
    logins = logins.replace(":writer", "'w'").replace(":migrator", "'m'")
    # RDS's master may make roles and owns the database, and is no superuser.
    where = {"host": "127.0.0.1", "port": server.port, "dbname": name, "autocommit": True}
    with psycopg.connect(user="postgres", **where) as postgres:
        postgres.execute("DROP ROLE IF EXISTS ivizone_master")
        postgres.execute("CREATE ROLE ivizone_master LOGIN CREATEROLE CREATEDB")
        postgres.execute(f'ALTER DATABASE "{name}" OWNER TO ivizone_master')
    with psycopg.connect(user="ivizone_master", **where) as master:
        master.execute(capsys.readouterr().out)
        master.execute(logins)

    def as_login(login: str) -> Aws:
        settings = {"IVIZONE_DATABASE_URL": server.url(name, login), "IVIZONE_DATABASE_PASSWORD": "w"}
        return Aws(load_cloud_config(None, settings))

    with pytest.raises(ProgrammingError, match="permission denied"):
        as_login("ivizone_app").database.connect().execute(text("CREATE TABLE t (a int)"))
    monkeypatch.setenv("IVIZONE_DATABASE_URL", server.url(name, "ivizone_deploy"))
    assert main(["migrate"]) == 0
    app = as_login("ivizone_app")
    app.fleet.add_site(Site("shop", "Shop", "UTC", "day"))
    assert [site.site for site in app.fleet.sites()] == ["shop"]
    with pytest.raises(ProgrammingError, match=r"permission denied|must be owner"), app.database.begin() as connection:
        connection.execute(text("DROP TABLE sites"))
    app.close()
