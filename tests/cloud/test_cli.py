"""Every `ivizone-cloud` command: what it prints, what it changes, and how its errors end (0 ok, 2 usage, 3 configuration, 4 input, 5 a part is away)."""

from __future__ import annotations

import gc
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.clouds import DATE, PUBLIC_KEY, Cloud, busy_hour, heard

from cloud.cli import main
from cloud.databases.sqlite import sqlite_database
from cloud.embedded import LOCK_NAME, claim
from cloud.fleet.registry import Fleet
from cloud.server import listen

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _logs_stay_as_they_are(monkeypatch):
    """main() sets the whole process's logging; here it is one process for many commands."""
    monkeypatch.setattr("cloud.cli.configure", lambda *_level, **_form: None)


@pytest.fixture
def cli(tmp_path, capsys):
    """Runs a command on this test's folder; gives exit code, stdout, stderr."""

    def run(*words: str, data: Path | None = tmp_path / "data") -> tuple[int, str, str]:
        try:
            code = main([*words, *(["--data", str(data)] if data else [])])
        except SystemExit as stopped:
            code = stopped.code
        return code, *capsys.readouterr()

    run.data = tmp_path / "data"
    return run


# --- stores and access points -----------------------------------------------------------------------------------------------


def test_a_store_is_added_listed_and_gets_a_token(cli):
    added = cli(
        "site", "add", "shop", "--name", "My shop", "--time-zone", "Europe/Paris", "--hours", "mon-sat 10:00-19:00"
    )
    listed, token = cli("site", "ls"), cli("agent", "token", "--site", "shop")

    assert added[0] == listed[0] == token[0] == 0
    assert "ivizone-cloud agent token --site shop" in added[1]
    assert listed[1].split() == ["shop", "Europe/Paris", "day", "My", "shop"]
    assert re.fullmatch(r"ivz-[\w-]{32}\n", token[1])


def test_an_access_point_is_listed_and_revoked(cli):
    cli("site", "add", "shop")
    token = cli("agent", "token", "--site", "shop")[1].strip()
    name, _ = Fleet(sqlite_database(cli.data / "ivizone.sqlite"), lambda: 1).enrol(token, PUBLIC_KEY, "0.1.0 test")

    before, revoked, after = (
        cli("agent", "ls", "--site", "shop"),
        cli("agent", "revoke", name),
        cli("agent", "ls", "--site", "shop"),
    )

    assert before[1].split() == [name, "active", "0.1.0", "test", "never", "heard"]
    assert revoked[:2] == (0, f"{name} revoked; ingest turns it away within seconds\n")
    assert after[1].split()[1] == "revoked"


def test_when_an_access_point_was_heard_last_is_listed(cli, tmp_path):
    made = Cloud(tmp_path / "data")
    made.take(heard(0))
    made.close()

    assert re.search(r"ap-test +active .* last heard -?\d+ (min|h) ago", cli("agent", "ls", "--site", "shop")[1])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("site", "add", "My Shop"), "a-z, 0-9 and -"),
        (("site", "add", "shop", "--time-zone", "Paris"), "Europe/Paris"),
        (("site", "add", "shop", "--hours", "10-19"), "10:00-19:00"),
        (("site", "add", "there"), "is there already"),
        (("agent", "token", "--site", "none"), "ivizone-cloud site add none"),
        (("agent", "ls", "--site", "none"), "ivizone-cloud site ls"),
        (("agent", "revoke", "ap-none"), "ivizone-cloud agent ls"),
        (("analyse", "--site", "none", "--date", DATE), "ivizone-cloud site ls"),
    ],
)
def test_a_mistake_of_the_operator_ends_with_3_and_the_next_step(cli, words, said):
    cli("site", "add", "there")

    code, out, err = cli(*words)

    assert (code, out) == (3, "")
    assert err.startswith("ivizone-cloud: ") and said in err and err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ("site", "ls"),
        ("agent", "token", "--site", "shop"),
        ("agent", "ls", "--site", "shop"),
        ("agent", "revoke", "ap-1"),
        ("analyse", "--site", "shop", "--date", DATE),
    ],
)
def test_without_a_database_a_command_that_needs_one_says_how_to_make_it(cli, words):
    code, _, err = cli(*words)

    assert code == 3 and "ivizone-cloud migrate" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "COMMAND"),
        (("site",), "COMMAND"),
        (("fly",), "invalid choice"),
        (("site", "add"), "site"),
        (("site", "add", "shop", "--mode", "all"), "count"),
        (("serve", "--port", "70000"), "0 to 65535"),
        (("serve", "--port", "-1"), "0 to 65535"),
        (("serve", "--port", "http"), "0 to 65535"),
        (("demo", "--shoppers", "many"), "0 to 1000000"),
        (("demo", "--captures"), "expected at least one"),
        (("analyse", "--site", "shop", "--date", "yesterday"), "2026-11-20"),
        (("analyse", "--site", "shop", "--date", "0001-01-01"), "from 1970 on"),
        (("migrate", "--log-level", "loud"), "invalid choice"),
    ],
)
def test_a_command_that_is_none_ends_with_2_and_what_is_allowed(cli, words, said):
    code, _, err = cli(*words, data=None)

    assert code == 2 and said in err


# --- database and figures -----------------------------------------------------------------------------------------------------


def test_migrate_makes_the_database_and_then_has_nothing_to_do(cli):
    first, second = cli("migrate"), cli("migrate")

    assert re.fullmatch(r"schema empty -> \d{4}\n", first[1]) and re.fullmatch(
        r"schema \d{4}, nothing to do\n", second[1]
    )
    assert first[0] == second[0] == 0


def test_migrate_refuses_a_database_of_a_newer_version(cli):
    cli("migrate")
    with sqlite_database(cli.data / "ivizone.sqlite").begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")

    code, _, err = cli("migrate")

    assert code == 3 and "newer Ivizone" in err


def test_analyse_computes_days_again_from_the_lake(cli, tmp_path):
    made = Cloud(tmp_path / "data")
    made.take(heard(0, *busy_hour()))
    before = made.figures()
    made.close()

    code, out, _ = cli("analyse", "--site", "shop", "--date", "2026-11-19", "--to", DATE)

    lines = [line for line in out.splitlines() if line.startswith("shop ")]
    assert code == 0 and len(lines) == 2
    assert re.fullmatch(r"shop 2026-11-19: \d+ figures from 0 objects of sightings", lines[0])
    assert re.fullmatch(rf"shop {DATE}: \d+ figures from 1 objects of sightings", lines[1])
    again = Cloud(tmp_path / "data", is_new=False)
    values = {row["metric"]: row["value"] for row in again.figures()["day_figures"] if row["preset"] == "ivizone"}
    again.close()
    assert values == {row["metric"]: row["value"] for row in before["day_figures"] if row["preset"] == "ivizone"}


@pytest.mark.parametrize("last", ["2026-11-19", "2037-11-20"])
def test_analyse_refuses_a_span_that_runs_backwards_or_for_ever(cli, last):
    cli("site", "add", "shop")
    code, _, err = cli("analyse", "--site", "shop", "--date", DATE, "--to", last)

    assert code == 2 and "3660 days" in err


def test_a_torn_object_ends_analyse_with_5(cli, tmp_path):
    made = Cloud(tmp_path / "data")
    made.take(heard(0, *busy_hour()))
    made.embedded.store.put(made.embedded.store.names("sightings/")[0], b"PAR1")
    made.close()

    code, _, err = cli("analyse", "--site", "shop", "--date", DATE)

    assert code == 5 and "DuckDB" in err


@pytest.mark.parametrize("name", ["ivizone.sqlite", "stream.sqlite"])
def test_a_file_that_is_no_database_ends_with_5(cli, name):
    cli("site", "add", "shop")
    gc.collect()  # else a connection that is closed later writes what it knows back into the file
    (cli.data / f"{name}-wal").unlink(missing_ok=True)
    (cli.data / name).write_bytes(b"no database at all, whatever its name" * 200)

    code, _, err = cli("analyse", "--site", "shop", "--date", DATE)

    assert code == 5 and "not a database" in err and "Traceback" not in err


def test_a_data_folder_that_cannot_be_made_is_told_with_the_option(cli, tmp_path):
    (tmp_path / "file").write_text("")

    code, _, err = cli("migrate", data=tmp_path / "file" / "data")

    assert code == 5 and "--data" in err


# --- serve and demo: what can be said before they begin ---------------------------------------------------------------------------


def test_serve_on_a_port_that_is_taken_ends_with_3(cli):
    with listen("127.0.0.1", 0) as taken:
        taken.listen()
        code, _, err = cli("serve", "--port", str(taken.getsockname()[1]))

    assert code == 3 and "--port" in err


def test_serve_on_a_host_that_is_none_ends_with_3(cli):
    code, _, err = cli("serve", "--host", "300.0.0.1", "--port", "0")

    assert code == 3 and "--host" in err


def test_serve_on_a_folder_that_another_process_serves_ends_with_3(cli):
    with claim(cli.data / LOCK_NAME):
        code, out, err = cli("serve", "--port", "0")

    assert (code, out) == (3, "") and "another ivizone-cloud" in err


def test_a_second_demo_does_not_remove_the_first_ones_folder(cli):
    cli.data.mkdir()
    (cli.data / "demo").mkdir()
    with claim(cli.data / "demo.lock"):
        code, _, err = cli("demo", "--once")

    assert code == 3 and "another ivizone-cloud" in err and (cli.data / "demo").is_dir()


def test_demo_with_a_capture_that_is_not_there_ends_with_4(cli):
    code, _, err = cli("demo", "--captures", "none.pcap")

    assert code == 4 and "none.pcap" in err and "CAPTURES=" in err


# --- as a process -----------------------------------------------------------------------------------------------------------


def process(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cloud", *words], cwd=cwd, env={"PYTHONPATH": str(CHECKOUT)}, capture_output=True, text=True, timeout=60, check=False
    )  # fmt: skip


def test_as_a_process_it_exits_with_the_code_and_uses_the_folder_it_stands_in(tmp_path):
    missing, added = process("site", "ls", cwd=tmp_path), process("site", "add", "shop", cwd=tmp_path)

    assert (missing.returncode, added.returncode) == (3, 0)
    assert (tmp_path / "ivizone-data" / "ivizone.sqlite").is_file()


def test_logs_are_json_on_stderr_where_asked_for(tmp_path):
    made = Cloud(tmp_path / "ivizone-data")
    made.take(heard(0))
    made.close()

    done = process("analyse", "--site", "shop", "--date", DATE, "--log-json", "--log-level", "info", cwd=tmp_path)

    assert done.returncode == 0
    assert [json.loads(line)["event"] for line in done.stderr.splitlines()] == ["day_analysed"]


# --- merchants and people ---------------------------------------------------------------------------------------------------


def test_a_merchant_and_its_people_are_added_listed_reset_and_removed(cli):
    cli("migrate")
    added = cli("merchant", "add", "florist", "--name", "Florist & Son", "--contact", "privacy@florist.example")
    user = cli("user", "add", "anna@florist.example", "--merchant", "florist", "--url", "https://ivizone.example/")
    site = cli("site", "add", "shop", "--merchant", "florist")
    merchants, users = cli("merchant", "ls"), cli("user", "ls", "--merchant", "florist")
    reset, removed = cli("user", "reset", "anna@florist.example"), cli("user", "remove", "anna@florist.example")

    assert [run[0] for run in (added, user, site, merchants, users, reset, removed)] == [0] * 7
    assert re.fullmatch(r"https://ivizone\.example/welcome/[\w-]{43}\n", user[1])
    assert re.fullmatch(r"http://127\.0\.0\.1:8080/welcome/[\w-]{43}\n", reset[1]) and reset[1][-44:] != user[1][-44:]
    assert "Florist & Son" in merchants[1] and users[1].split() == [
        "anna@florist.example",
        "owner",
        "florist",
        "no",
        "password",
        "yet",
    ]
    assert cli("user", "ls", "--merchant", "florist")[1] == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("user", "reset", "nobody"), "user ls"),
        (("user", "remove", "nobody"), "user ls"),
        (("user", "add", "anna", "--merchant", "nobody"), "merchant ls"),
        (("merchant", "add", "main"), "there already"),
        (("merchant", "add", "Big Shop"), "a-z, 0-9 and -"),
        (("site", "add", "shop", "--merchant", "nobody"), "merchant add nobody"),
    ],
)
def test_a_mistake_with_accounts_ends_with_3_and_the_next_step(cli, words, said):
    cli("migrate")
    code, out, err = cli(*words)

    assert (code, out) == (3, "") and said in err


def test_pages_without_sign_in_are_for_this_machine_only(cli):
    code, _, err = cli("serve", "--open", "--host", "0.0.0.0", "--port", "0")  # noqa: S104

    assert code == 3 and "127.0.0.1" in err
