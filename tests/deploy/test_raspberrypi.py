"""The Raspberry Pi: units that have few rights, and an installer that leaves things as they were when it fails."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
import yaml
from support.openwrt import CHECKOUT, AccessPoint, shells

from agent.config import parse_config
from firmware_hooks.cli import HEARD_FILE, STAY_FILE

PI = CHECKOUT / "deploy" / "raspberrypi"
UNITS = sorted(PI.glob("*.service"))
EXPOSURE_LIMIT = 25
"""systemd-analyze counts to 100; 2.5 on its scale of 10."""
SHELLS = shells()

PYTHON = """#!/bin/sh
# A python3 that makes environments whose pip installs a program that says its version, unless told to fail.
case "$*" in
"-V") echo Python 3.11.2 ;;
"-m venv "*)
	[ -e "$IVIZONE_ROOT/no-venv" ] && exit 1
	mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
"-m pip install "*)
	[ -e "$IVIZONE_ROOT/no-network" ] && { echo "no network" >&2; exit 1; }
	here=$(dirname "$0")
	printf '#!/bin/sh\\n[ -e "$IVIZONE_ROOT/broken" ] && exit 1\\necho version >>"$IVIZONE_ROOT/calls.log"\\n' >"$here/ivizone-agent"
	chmod +x "$here/ivizone-agent" ;;
"-P -m firmware_hooks remove") echo "hooks remove" >>"$IVIZONE_ROOT/calls.log" ;;
*) exit 0 ;;
esac
"""


def directives(unit) -> list[tuple[str, str]]:
    lines = [line for line in unit.read_text().splitlines() if "=" in line and not line.startswith("#")]
    return [tuple(line.split("=", 1)) for line in lines]


# --- the units ----------------------------------------------------------------------------------------------------------


def exposure_tool() -> str | None:
    """systemd-analyze that can look at a file (252 and later), or None."""
    program = shutil.which("systemd-analyze")
    said = (
        subprocess.run([program, "security", "--help"], capture_output=True, text=True, check=False).stdout
        if program
        else ""
    )
    return program if "--offline" in said else None


@pytest.mark.skipif(not exposure_tool(), reason="no systemd-analyze with --offline here (apt-get install systemd)")
@pytest.mark.parametrize("unit", UNITS, ids=lambda p: p.name)
def test_a_unit_exposes_little(unit):
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE_LIMIT}", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)

    assert found, done.stdout + done.stderr
    assert done.returncode == 0, found[0]
    assert 0 < float(found[1]) <= EXPOSURE_LIMIT / 10


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not here (apt-get install systemd)")
@pytest.mark.parametrize("unit", UNITS, ids=lambda p: p.name)
def test_systemd_knows_every_directive(unit, tmp_path):
    """With a program that exists in the place of ours, so that only the unit itself can be wrong."""
    for each in UNITS:
        text = re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", each.read_text())
        (tmp_path / each.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / unit.name)],
        capture_output=True,
        text=True,
        check=False,
    )

    said = [line for line in done.stderr.splitlines() if "ivizone" in line]
    assert said == []


def test_each_process_has_the_one_right_that_it_needs():
    rights = {unit.name: dict(directives(unit))["CapabilityBoundingSet"] for unit in UNITS}

    assert rights == {
        "ivizone-agent.service": "CAP_NET_RAW",
        "ivizone-monitor.service": "CAP_NET_ADMIN",
        "ivizone-hopper.service": "CAP_NET_ADMIN",
    }
    for unit in UNITS:
        found = dict(directives(unit))
        assert found["AmbientCapabilities"] == found["CapabilityBoundingSet"]
        assert found["User"] == "ivizone"


def test_the_agent_is_watched_reloaded_and_never_given_up():
    found = dict(directives(PI / "ivizone-agent.service"))

    assert found["Type"] == "notify"
    assert int(found["WatchdogSec"]) <= 60
    assert found["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert (found["Restart"], found["StartLimitIntervalSec"]) == ("always", "0")


def test_the_units_and_the_hooks_mean_the_same_files():
    text = (PI / "ivizone-hopper.service").read_text()

    assert f"--stay-file {str(STAY_FILE).removeprefix('/var')} " in text
    assert f"--heard-file {str(HEARD_FILE).removeprefix('/var')} " in text
    config = parse_config((PI / "agent.yaml").read_text(), "agent.yaml")
    assert f"--stay-file {config.source.channel_file} --heard-file {config.state.heard_file} " in text
    assert STAY_FILE.parent.name == dict(directives(PI / "ivizone-hopper.service"))["RuntimeDirectory"]


def test_the_first_configuration_is_one_the_agent_takes():
    config = parse_config((PI / "agent.yaml").read_text(), "agent.yaml")

    assert config.source.name == "monitor"
    assert config.spool.ram_directory.startswith("/run/ivizone")
    assert yaml.safe_load((PI / "agent.yaml").read_text()).get("agent") is None


# --- the installer ------------------------------------------------------------------------------------------------------


@pytest.fixture
def pi(tmp_path) -> AccessPoint:
    made = AccessPoint(tmp_path)
    made.program("python3", PYTHON)
    made.program("id", '#!/bin/sh\\n[ "$1" = -u ] && echo 0 || test -e "$IVIZONE_ROOT/user"\\n'.replace("\\n", "\n"))
    made.program("useradd", '#!/bin/sh\necho "useradd $*" >>"$IVIZONE_ROOT/calls.log"; : >"$IVIZONE_ROOT/user"\n')
    for name in ("systemctl", "userdel", "udevadm", "chown", "iw", "ip"):
        made.stand_in(name)
    return made


def run(pi: AccessPoint, shell: str, word: str = ""):
    return pi.shell(shell, f"{shell} {PI / 'install.sh'} {word}")


def releases(pi: AccessPoint) -> list[str]:
    folder = pi.root / "opt/ivizone/releases"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def current(pi: AccessPoint) -> str:
    return (pi.root / "opt/ivizone/current").readlink().name


def tree(pi: AccessPoint) -> dict[str, tuple[int, str]]:
    """What is installed, without the releases and the log."""
    return {
        str(path.relative_to(pi.root)): (path.lstat().st_mode, path.read_text() if path.is_file() else "")
        for top in ("etc", "var", "usr")
        for path in sorted((pi.root / top).rglob("*"))
        if not path.is_symlink()
    }


@pytest.mark.parametrize("shell", SHELLS)
def test_an_installation_puts_everything_in_its_place(pi, shell):
    done = run(pi, shell)

    assert done.returncode == 0, done.stderr
    assert current(pi) == releases(pi)[0]
    for unit in UNITS:
        assert (pi.root / "etc/systemd/system" / unit.name).read_text() == unit.read_text()
    assert (pi.root / "etc/udev/rules.d/70-ivizone.rules").exists()
    assert (pi.root / "etc/ivizone/agent.yaml").stat().st_mode & 0o777 == 0o640
    assert (pi.root / "var/lib/ivizone").stat().st_mode & 0o777 == 0o700
    assert "useradd --system --user-group" in "\n".join(pi.log())
    assert "sudo -u ivizone ivizone-agent enrol" in done.stdout
    assert not [line for line in pi.log() if "restart" in line]  # not enrolled: nothing to start yet


@pytest.mark.parametrize("shell", SHELLS)
def test_a_second_run_changes_nothing_but_the_release(pi, shell):
    run(pi, shell)
    before, first = tree(pi), current(pi)

    assert run(pi, shell).returncode == 0

    assert tree(pi) == before
    assert current(pi) != first
    assert len([line for line in pi.log() if line.startswith("useradd")]) == 1


def test_an_upgrade_keeps_the_owners_files_and_restarts_an_enrolled_agent(pi):
    run(pi, "dash")
    config = pi.root / "etc/ivizone/agent.yaml"
    config.write_text("agent:\n  id: ap-1\n  site: shop\n")

    done = run(pi, "dash", "upgrade")

    assert config.read_text() == "agent:\n  id: ap-1\n  site: shop\n"
    assert "systemctl restart ivizone-monitor.service ivizone-agent.service" in pi.log()
    assert "the agent runs" in done.stdout


def test_two_releases_are_kept_and_the_one_before_comes_back(pi):
    for _ in range(4):
        run(pi, "dash")
    kept, latest = releases(pi), current(pi)

    assert len(kept) == 2
    assert run(pi, "dash", "rollback").returncode == 0
    assert current(pi) == next(name for name in kept if name != latest)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("no-venv", "could not be made"),
        ("no-network", "is the network up"),
        ("broken", "does not run; the running agent is as it was"),
    ],
)
def test_a_release_that_fails_leaves_the_running_one(pi, fault, words):
    run(pi, "dash")
    before = tree(pi), current(pi), releases(pi)
    told = len(pi.log())
    (pi.root / fault).write_text("")

    done = run(pi, "dash", "upgrade")

    assert done.returncode == 1
    assert words in done.stderr
    assert (tree(pi), current(pi), releases(pi)) == before
    assert not [line for line in pi.log()[told:] if line.startswith(("systemctl", "ip ", "iw "))]


@pytest.mark.parametrize("missing", ["iw", "ip", "systemctl"])
def test_a_program_that_is_missing_is_named_before_anything_is_changed(pi, missing):
    (pi.bin / missing).unlink()
    for name in (
        "sh",
        "dash",
        "dirname",
        "find",
        "sort",
        "grep",
        "sed",
        "head",
        "cmp",
        "cp",
        "mv",
        "mkdir",
        "chmod",
        "ln",
        "rm",
        "cat",
        "readlink",
        "date",
    ):
        found = shutil.which(name)
        if found and not (pi.bin / name).exists():
            (pi.bin / name).symlink_to(found)
    before = tree(pi)

    done = pi.shell("dash", f"export PATH={pi.bin}; dash {PI / 'install.sh'}")

    assert done.returncode == 1
    assert f"the program '{missing}' is missing: apt install" in done.stderr
    assert "nothing was changed" in done.stderr
    assert (tree(pi), releases(pi)) == (before, [])


def test_nobody_but_root_installs(pi):
    pi.program("id", "#!/bin/sh\necho 1000\n")

    done = pi.shell("dash", f"unset IVIZONE_ROOT; dash {PI / 'install.sh'}")

    assert done.returncode == 1
    assert "run it as root" in done.stderr


@pytest.mark.parametrize("shell", SHELLS)
def test_removal_takes_the_program_and_keeps_what_cannot_be_made_again(pi, shell):
    run(pi, shell)
    (pi.root / "var/lib/ivizone/agent.key").write_text("key")

    done = run(pi, shell, "remove")

    assert done.returncode == 0, done.stderr
    assert not (pi.root / "opt/ivizone").exists()
    assert not list((pi.root / "etc/systemd/system").iterdir())
    assert not list((pi.root / "etc/udev/rules.d").iterdir())
    assert (pi.root / "var/lib/ivizone/agent.key").read_text() == "key"
    assert (pi.root / "etc/ivizone/agent.yaml").exists()
    assert "hooks remove" in pi.log()
    assert any("disable --quiet --now" in line for line in pi.log())


def test_purge_takes_everything_and_a_second_removal_is_no_error(pi):
    run(pi, "dash")

    assert run(pi, "dash", "purge").returncode == 0
    assert run(pi, "dash", "remove").returncode == 0

    left = [path for path in pi.root.rglob("*") if path.is_file() and "ivizone" in str(path.relative_to(pi.root))]
    assert left == []
    assert "userdel ivizone" in pi.log()


def test_a_word_that_is_none_of_ours_is_refused(pi):
    assert "use install, upgrade, rollback, remove or purge" in run(pi, "dash", "uninstall").stderr
