"""The shell scripts of the access point, run by dash and by busybox with stand-ins of OpenWrt's programs around them."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest
from support.openwrt import CHECKOUT, DEPLOY, HOOKS, AccessPoint, shells

SCRIPTS = sorted(
    [p for p in HOOKS.rglob("*") if p.is_file() and p.read_bytes().startswith(b"#!")]
    + [p for p in (DEPLOY / "files").rglob("*") if p.is_file() and p.read_bytes().startswith(b"#!")]
    + [p for p in (DEPLOY / "imagebuilder").rglob("*") if p.is_file() and p.read_bytes().startswith(b"#!")]
    + list((CHECKOUT / "deploy/raspberrypi").glob("*.sh"))
)
SHELLS = shells()
CONFIG = """
config service 'service'
	option enabled '1'
config radio 'radio'
config portal 'portal'
	option url 'https://offers.example/'
config agent 'agent'
	option site 'shop-7'
config source 'source'
	option name 'monitor'
config privacy 'privacy'
	option mode 'day'
"""
RC_COMMON = r"""
rc_line() { echo "$*" >>"$IVIZONE_ROOT/procd.log"; }
procd_open_instance() { rc_line "instance $*"; }
procd_close_instance() { rc_line "end"; }
procd_set_param() { rc_line "param $*"; }
procd_add_jail() { rc_line "jail $*"; }
procd_add_reload_trigger() { rc_line "trigger $*"; }
"""


@pytest.fixture
def access_point(tmp_path) -> AccessPoint:
    made = AccessPoint(tmp_path)
    made.config(CONFIG)
    for name in ("logger", "killall", "ndsctl", "chown"):
        made.stand_in(name)
    library = tmp_path / "usr/lib/ivizone"
    (library / "hooks").mkdir(parents=True)
    for package in ("agent", "firmware_hooks"):
        (library / package).symlink_to(CHECKOUT / package)
    made.stand_in("python3")
    made.program("radio.sh", f'#!/bin/sh\necho "radio.sh $*" >>{made.calls}\n')
    shutil.copy(made.bin / "radio.sh", library / "hooks/radio.sh")
    return made


def real_python(access_point: AccessPoint) -> None:
    import sys

    access_point.program("python3", f'#!/bin/sh\nexec {sys.executable} "$@"\n')


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed (apt-get install shellcheck)")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: str(p.relative_to(CHECKOUT)))
def test_shellcheck_has_nothing_to_say(script):
    shell = "bash" if script.read_text().startswith("#!/bin/bash") else "sh"
    done = subprocess.run(["shellcheck", "-s", shell, str(script)], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: str(p.relative_to(CHECKOUT)))
def test_every_script_is_read_by_the_shell_of_the_access_point(script, shell):
    done = subprocess.run([*shell.split(), "-n", str(script)], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


# --- the monitor interface ----------------------------------------------------------------------------------------------


def radio(access_point: AccessPoint, shell: str, words: str, **environment: str):
    lock = str(access_point.root / "lock")
    script = f"{shell} {HOOKS / 'radio.sh'} {words}"
    return access_point.shell(shell, script, IVIZONE_LOCK=lock, IVIZONE_DELAY="0", **environment)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_radio_is_asked_for_what_uci_says(access_point, shell):
    access_point.config(CONFIG.replace("'radio'\n", "'radio'\n\toption phy 'phy1'\n\toption take '1'\n", 1))

    assert radio(access_point, shell, "apply").returncode == 0

    (call,) = [line for line in access_point.log() if line.startswith("python3")]
    assert call == "python3 -P -m firmware_hooks apply --interface mon0 --radio phy1 --take-radio"


@pytest.mark.parametrize("shell", SHELLS)
def test_a_condition_of_the_agent_means_apply_and_hostapd_needs_no_radio(access_point, shell):
    radio(access_point, shell, "gone")
    assert "apply" in access_point.log()[0]
    access_point.config(CONFIG.replace("monitor", "hostapd"))
    before = len(access_point.log())

    assert radio(access_point, shell, "apply").returncode == 0
    assert len(access_point.log()) == before


@pytest.mark.parametrize("shell", SHELLS)
def test_a_failure_is_logged_and_gives_its_code(access_point, shell):
    access_point.stand_in("python3", "phy0 cannot listen: it is asleep\n", 4)

    assert radio(access_point, shell, "apply").returncode == 4
    assert any("daemon.err phy0 cannot listen: it is asleep" in line for line in access_point.log())


@pytest.mark.parametrize("shell", SHELLS)
def test_later_does_not_hold_hotplug_up(access_point, shell):
    access_point.program("python3", f"#!/bin/sh\nsleep 0.5\necho python3 >>{access_point.calls}\n")

    assert radio(access_point, shell, "later").returncode == 0
    assert access_point.log() == []
    deadline = time.monotonic() + 20
    while "python3" not in access_point.log() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "python3" in access_point.log()


@pytest.mark.parametrize("shell", SHELLS)
def test_two_at_a_time_go_one_after_the_other(access_point, shell):
    log = access_point.calls
    access_point.program("python3", f"#!/bin/sh\necho begin >>{log}; sleep 0.3; echo end >>{log}\n")
    one = f"{shell} {HOOKS / 'radio.sh'} apply"

    access_point.shell(shell, f"{one} & {one} & wait", IVIZONE_LOCK=str(access_point.root / "lock"))

    assert [line for line in access_point.log() if line in ("begin", "end")] == ["begin", "end", "begin", "end"]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("flags", "tries"),
    [
        pytest.param("0x1003", 0, id="up: nothing to do"),
        pytest.param("0x1002", 1, id="somebody set it down"),
        pytest.param(None, 1, id="somebody deleted it"),
    ],
)
def test_the_keeper_brings_the_interface_back(access_point, shell, flags, tries):
    place = access_point.root / "sys/class/net/mon0"
    place.mkdir(parents=True)
    if flags:
        (place / "flags").write_text(flags + "\n")
    # What apply does to a real interface: it is up afterwards. The third look ends the loop.
    access_point.program("python3", f"#!/bin/sh\necho apply >>{access_point.calls}; echo 0x1003 >{place}/flags\n")
    count = access_point.root / "looks"
    access_point.program("sleep", f'#!/bin/sh\necho "$1" >>{count}; [ "$(wc -l <{count})" -le 3 ]\n')

    radio(access_point, shell, "keep", IVIZONE_SYS=str(access_point.root / "sys"))

    assert access_point.log().count("apply") == tries
    assert count.read_text().split() == ["5"] * 4


@pytest.mark.parametrize("shell", SHELLS)
def test_the_keeper_asks_less_and_less_for_a_radio_that_is_gone(access_point, shell):
    access_point.stand_in("python3", "no radio\n", 4)
    count = access_point.root / "looks"
    access_point.program("sleep", f'#!/bin/sh\necho "$1" >>{count}; [ "$(wc -l <{count})" -le 9 ]\n')

    radio(access_point, shell, "keep", IVIZONE_SYS=str(access_point.root / "sys"))

    assert count.read_text().split() == ["5", "10", "20", "40", "80", "160", "320", "320", "320", "320"]


# --- hotplug ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("event", "environment", "called"),
    [
        pytest.param("net", {"ACTION": "remove", "INTERFACE": "mon0"}, True, id="our interface was deleted"),
        pytest.param("net", {"ACTION": "add", "INTERFACE": "phy0-ap0"}, True, id="an access point came"),
        pytest.param("net", {"ACTION": "add", "INTERFACE": "wlan1"}, True, id="an interface of the old naming came"),
        pytest.param("net", {"ACTION": "add", "INTERFACE": "mon0"}, False, id="our own coming is no news"),
        pytest.param("net", {"ACTION": "remove", "INTERFACE": "eth0"}, False, id="another one went"),
        pytest.param("ieee80211", {"ACTION": "add", "DEVICENAME": "phy1"}, True, id="a radio came"),
        pytest.param("ieee80211", {"ACTION": "remove", "DEVICENAME": "phy1"}, False, id="a radio went"),
    ],
)
def test_hotplug_makes_the_interface_again(access_point, shell, event, environment, called):
    script = f". {HOOKS / 'hotplug.d' / event / '60-ivizone'}; echo sourced"

    done = access_point.shell(shell, script, IVIZONE_RADIO=str(access_point.bin / "radio.sh"), **environment)

    assert done.stdout == "sourced\n", done.stderr
    assert access_point.log() == (["radio.sh later"] if called else [])


@pytest.mark.parametrize("shell", SHELLS)
def test_hotplug_does_nothing_while_the_service_is_not_enabled(access_point, shell):
    access_point.config(CONFIG.replace("'1'", "'0'"))
    for event in ("net", "ieee80211"):
        script = f". {HOOKS / 'hotplug.d' / event / '60-ivizone'}"
        access_point.shell(
            shell, script, ACTION="add", INTERFACE="wlan0", IVIZONE_RADIO=str(access_point.bin / "radio.sh")
        )

    assert access_point.log() == []


@pytest.mark.parametrize("shell", SHELLS)
def test_the_clocks_state_follows_ntp(access_point, shell):
    script = f". {HOOKS / 'hotplug.d/ntp/60-ivizone'}"
    synced = access_point.root / "var/run/ivizone/clock-synced"

    access_point.shell(shell, script, ACTION="stratum")
    assert synced.exists()  # also before the first start: the agent that is enabled later need not wait
    access_point.shell(shell, script, ACTION="unsync")
    assert not synced.exists()


# --- first boot ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(("code", "source"), [(0, "monitor"), (4, "hostapd")])
def test_the_first_boot_chooses_a_source_and_makes_the_state(access_point, shell, code, source):
    access_point.config(CONFIG.replace("\toption name 'monitor'\n", ""))
    access_point.stand_in("python3", "", code)

    done = access_point.shell(shell, f"{shell} {HOOKS / 'uci-defaults/90-ivizone'}")

    assert done.returncode == 0, done.stderr
    assert access_point.shell("sh", "uci -q get ivizone.source.name").stdout == source + "\n"
    state = access_point.root / "etc/ivizone/state"
    assert (state / "spool").is_dir()
    assert state.stat().st_mode & 0o777 == 0o700
    assert any("chown -Rh ivizone:ivizone" in line for line in access_point.log())


@pytest.mark.parametrize("shell", SHELLS)
def test_the_first_boot_leaves_the_owners_choice_alone(access_point, shell):
    access_point.config(CONFIG.replace("monitor", "hostapd"))

    access_point.shell(shell, f"{shell} {HOOKS / 'uci-defaults/90-ivizone'}")

    assert access_point.shell("sh", "uci -q get ivizone.source.name").stdout == "hostapd\n"


# --- the service --------------------------------------------------------------------------------------------------------


def service(access_point: AccessPoint, shell: str, command: str):
    init = DEPLOY / "files/etc/init.d/ivizone"
    done = access_point.shell(shell, f"{RC_COMMON}\n. {init}\n{command}")
    log = access_point.root / "procd.log"
    lines = log.read_text().splitlines() if log.exists() else []
    return done, lines


def instances(lines: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    name = ""
    for line in lines:
        if line.startswith("instance "):
            name = line[9:]
            found[name] = []
        elif line != "end":
            found.setdefault(name, []).append(line)
    return found


@pytest.mark.parametrize("shell", SHELLS)
def test_the_service_never_gives_up_and_reloads_without_a_gap(access_point, shell):
    real_python(access_point)

    done, lines = service(access_point, shell, "start_service; service_triggers")

    assert done.returncode == 0, done.stderr
    agent = instances(lines)["agent"]
    config = access_point.root / "var/etc/ivizone/agent.yaml"
    assert f"param command /usr/bin/python3 -P -s -m agent run --config {config}" in agent
    for line in (
        "param respawn 3600 5 0",
        "param term_timeout 10",
        "param reload_signal HUP",
        f"param file {config}",
        "param stdout 1",
        "param stderr 1",
        "param no_new_privs 1",
        "trigger ivizone",
    ):
        assert line in agent, line
    assert '"mode": "day"' in config.read_text()
    assert "radio.sh apply" in access_point.log()


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(("was_set", "is_known"), [(True, True), (False, False)])
def test_a_clock_that_was_set_before_the_installation_is_known(access_point, shell, was_set, is_known):
    """OpenWrt's dnsmasq (hotplug.d/ntp/25-dnsmasqsec) leaves this note in RAM when ntpd first names a stratum; read, not measured here."""
    real_python(access_point)
    note = access_point.root / "var/state/dnsmasqsec"
    note.parent.mkdir(parents=True)
    if was_set:
        note.write_text("ntpd says time is valid\n")

    service(access_point, shell, "start_service")

    assert (access_point.root / "var/run/ivizone/clock-synced").exists() is is_known


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("has_ujail", "source", "user", "jail"),
    [
        pytest.param(True, "monitor", True, True, id="a jail gives CAP_NET_RAW and nothing else"),
        pytest.param(True, "hostapd", True, True, id="hostapd in a jail"),
        pytest.param(False, "monitor", False, False, id="without a jail a packet socket needs root"),
        pytest.param(False, "hostapd", True, False, id="hostapd needs no right at all"),
    ],
)
def test_the_agent_has_no_more_rights_than_it_needs(access_point, shell, has_ujail, source, user, jail):
    real_python(access_point)
    access_point.config(CONFIG.replace("monitor", source))
    if has_ujail:
        for place in ("sbin/ujail", "etc/capabilities/ivizone.json"):
            (access_point.root / place).parent.mkdir(parents=True, exist_ok=True)
            (access_point.root / place).write_text("#!/bin/sh\n")
            (access_point.root / place).chmod(0o755)

    _, lines = service(access_point, shell, "start_service")

    agent = instances(lines)["agent"]
    assert ("param user ivizone" in agent) is user
    assert ("jail ivizone" in agent) is jail
    assert any("runs as root" in line for line in access_point.log()) is (not user)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(("source", "kept"), [("monitor", True), ("hostapd", False)])
def test_a_monitor_interface_has_a_keeper(access_point, shell, source, kept):
    real_python(access_point)
    access_point.config(CONFIG.replace("monitor", source))

    found = instances(service(access_point, shell, "start_service")[1])

    assert ("keeper" in found) is kept
    if kept:
        assert f"param command /bin/sh {access_point.root}/usr/lib/ivizone/hooks/radio.sh keep" in found["keeper"]


@pytest.mark.parametrize("shell", SHELLS)
def test_the_hopper_is_a_service_of_its_own_where_it_is_wanted(access_point, shell):
    real_python(access_point)
    wanted = CONFIG.replace("'radio'\n", "'radio'\n\toption hop '1'\n\toption channels '1,6'\n", 1)
    access_point.config(wanted)

    _, lines = service(access_point, shell, "start_service")

    hopper = instances(lines)["hopper"]
    assert any("-m firmware_hooks hop --interface mon0 --channels 1,6 --cycle-ms 15000" in line for line in hopper)
    assert not [line for line in hopper if "user" in line]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_service_that_is_not_enabled_starts_nothing_and_says_what_to_do(access_point, shell):
    access_point.config(CONFIG.replace("'1'", "'0'", 1))

    done, lines = service(access_point, shell, "start_service")

    assert (done.returncode, lines) == (0, [])
    assert "uci set ivizone.service.enabled=1" in access_point.log()[0]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_mistake_in_uci_is_logged_and_the_agent_keeps_what_it_has(access_point, shell):
    real_python(access_point)
    service(access_point, shell, "start_service")
    config = access_point.root / "var/etc/ivizone/agent.yaml"
    before, times = config.read_text(), config.stat().st_mtime_ns
    (access_point.root / "procd.log").unlink()
    access_point.config(CONFIG.replace("'day'", "'all'"))

    done, lines = service(access_point, shell, "start_service")

    assert done.returncode == 0
    assert "agent" in instances(lines)
    assert (config.read_text(), config.stat().st_mtime_ns) == (before, times)
    assert any("ivizone.privacy.mode is 'all'; use count or day" in line for line in access_point.log())


@pytest.mark.parametrize("shell", SHELLS)
def test_a_mistake_at_the_first_start_starts_nothing(access_point, shell):
    real_python(access_point)
    access_point.config(CONFIG.replace("'day'", "'all'"))

    done, lines = service(access_point, shell, "start_service")

    assert (done.returncode, instances(lines)) == (1, {})


@pytest.mark.parametrize("shell", SHELLS)
def test_an_unchanged_configuration_is_not_written_again(access_point, shell):
    """procd compares the file's checksum, but a write would wear nothing out only because /var is RAM."""
    real_python(access_point)
    service(access_point, shell, "start_service")
    config = access_point.root / "var/etc/ivizone/agent.yaml"
    times = config.stat().st_mtime_ns

    service(access_point, shell, "start_service")

    assert config.stat().st_mtime_ns == times
    assert [p.name for p in config.parent.iterdir()] == ["agent.yaml"]


@pytest.mark.parametrize("shell", SHELLS)
def test_check_says_what_is_wrong(access_point, shell):
    real_python(access_point)
    assert service(access_point, shell, "check")[0].stdout == "/etc/config/ivizone is fine\n"
    access_point.config(CONFIG.replace("'day'", "'all'"))

    done, _ = service(access_point, shell, "check")

    assert done.returncode == 3
    assert "ivizone.privacy.mode" in done.stderr


# --- the portal ---------------------------------------------------------------------------------------------------------

PHONE = "02:00:5e:00:53:01"
CONSENT = CONFIG.replace("'day'", "'consent'")


def page(access_point: AccessPoint, shell: str, step: str = "", **more: str):
    key = f"\toption visitor_key_file '{access_point.root}/visitor.key'\n"
    config = access_point.root / "etc/config/ivizone"
    if key not in config.read_text():
        config.write_text(config.read_text().replace("config portal 'portal'\n", "config portal 'portal'\n" + key))
    script = f". {HOOKS / 'opennds/theme_ivizone.sh'}; generate_splash_sequence"
    variables = {"clientmac": PHONE, "clientip": "10.0.0.9", "fas": "RkFTLW9wYXF1ZQ==", "client_zone": "Local AP"}
    lib = str(CHECKOUT)
    return access_point.shell(shell, script, ivizone_step=step, IVIZONE_LIB=lib, **(variables | more))


def query(text: str) -> dict[str, str]:
    link = text.partition('href="')[2].partition('"')[0].replace("&amp;", "&")
    return dict(part.split("=", 1) for part in link.partition("?")[2].split("&"))


@pytest.mark.parametrize("shell", SHELLS)
def test_the_portal_gets_todays_token_and_no_address(access_point, shell):
    real_python(access_point)
    access_point.config(CONSENT)

    done = page(access_point, shell)

    sent = query(done.stdout)
    assert (sent["site"], sent["zone"], len(sent["visit"])) == ("shop-7", "LocalAP", 24)
    assert "visitor" not in sent
    assert PHONE not in done.stdout
    assert "fas" not in sent
    assert not [line for line in access_point.log() if line.startswith("ndsctl")]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(("answer", "lasting"), [("yes", True), ("no", False), ("open", False), ("", False)])
def test_the_lasting_token_is_made_only_after_the_portal_says_yes(access_point, shell, answer, lasting):
    real_python(access_point)
    access_point.config(CONSENT)
    access_point.stand_in("uclient-fetch", answer)

    done = page(access_point, shell, "go")

    sent = query(done.stdout)
    assert ("visitor" in sent) is lasting
    assert f"consent?visit={sent['visit']}" in " ".join(access_point.log())
    assert "ndsctl auth 10.0.0.9" in access_point.log()  # whoever says no is let through as well


@pytest.mark.parametrize("shell", SHELLS)
def test_outside_mode_consent_no_token_is_made_and_nothing_is_asked(access_point, shell):
    real_python(access_point)
    access_point.stand_in("uclient-fetch", "yes")

    sent = query(page(access_point, shell, "go").stdout)

    assert set(sent) == {"site", "zone"}
    assert not [line for line in access_point.log() if "uclient-fetch" in line]
    assert not (access_point.root / "visitor.key").exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_without_a_portal_nobody_is_held_up(access_point, shell):
    access_point.config(CONSENT.replace("https://offers.example/", "http://offers.example"))

    done = page(access_point, shell)

    assert done.stdout == ""
    assert "ndsctl auth 10.0.0.9" in access_point.log()
    assert any("set an https:// address" in line for line in access_point.log())


@pytest.mark.parametrize("shell", SHELLS)
def test_no_program_is_called_with_the_address(access_point, shell):
    """A process list is readable by every user of the access point."""
    real = Path(access_point.bin / "python3")
    real_python(access_point)
    command = real.read_text().splitlines()[1]
    access_point.program("python3", f'#!/bin/sh\necho "python3 $*" >>{access_point.calls}\n{command}\n')
    access_point.config(CONSENT)
    access_point.stand_in("uclient-fetch", "yes")

    page(access_point, shell, "go")

    assert len([line for line in access_point.log() if "firmware_hooks visitor" in line]) == 2
    assert PHONE not in "\n".join(access_point.log())


@pytest.mark.parametrize("shell", SHELLS)
def test_what_openNDS_hands_over_cannot_break_out_of_the_page(access_point, shell):  # its name
    access_point.config(CONSENT.replace("shop-7", 'x"><script>'))

    done = page(access_point, shell, "", client_zone='"><script>1</script>', fas='"><script>2</script>')

    assert "<script>" not in done.stdout


# --- an image for a fleet -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", SHELLS)
def test_an_image_is_built_with_both_packages_and_the_fleets_address(tmp_path, shell):
    """ImageBuilder is a Makefile with a target `image`; here it is one that writes down what it was given."""
    builder = tmp_path / "builder"
    (builder / "packages").mkdir(parents=True)
    (builder / "Makefile").write_text(
        "image:\n\t@echo '$(PROFILE)|$(PACKAGES)' >given\n\t@cp $(FILES)/etc/uci-defaults/91-ivizone-fleet fleet\n"
        "\t@mkdir -p bin/targets/some/ap && touch bin/targets/some/ap/$(MADE)\n"
    )
    image = "bin/targets/some/ap/openwrt-some_ap-squashfs-sysupgrade.itb"
    made = tmp_path / "made"
    made.mkdir()
    for name in ("ivizone-agent_1_all.ipk", "python3-structlog_1_all.ipk"):
        (made / name).write_text("")
    script = [*shell.split(), str(DEPLOY / "imagebuilder/build.sh"), str(made)]
    environment = {"PATH": "/usr/bin:/bin", "IVIZONE_PROFILE": "some_ap", "IVIZONE_URL": "https://cloud.example"}

    def build(made: str) -> subprocess.CompletedProcess[str]:
        told = {**environment, "MADE": made}
        return subprocess.run(script, cwd=builder, env=told, capture_output=True, text=True, check=False)

    too_large = build("openwrt-some_ap.manifest")
    done = build(image.rpartition("/")[2])

    assert too_large.returncode == 1
    assert "left no sysupgrade image" in too_large.stderr
    assert done.returncode == 0, done.stderr
    assert f"scp -O {image} root@" in done.stdout
    assert "sysupgrade -n /tmp/" in done.stdout
    profile, packages = (builder / "given").read_text().strip().split("|")
    assert profile == "some_ap"
    assert {"ivizone-agent", "python3-structlog", "procd-ujail"} <= set(packages.split())
    assert "url='https://cloud.example'" in (builder / "fleet").read_text()
    assert len(list((builder / "packages").iterdir())) == 2


@pytest.mark.parametrize("shell", SHELLS)
def test_a_folder_that_is_no_imagebuilder_is_refused(tmp_path, shell):
    script = [*shell.split(), str(DEPLOY / "imagebuilder/build.sh"), str(tmp_path)]

    done = subprocess.run(
        script,
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "IVIZONE_PROFILE": "x"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "is no ImageBuilder" in done.stderr
