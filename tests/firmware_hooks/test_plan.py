"""From the wanted state to commands, run on a kernel that answers as the real one did, and undone when they fail."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.radios import StandInKernel, Vif, golden_iw

from firmware_hooks.apply import apply_plan, remove
from firmware_hooks.errors import CommandFailed, NameTaken, NotPermitted, RadioUnfit, RadioUnknown, ToolMissing
from firmware_hooks.plan import check_name, free_name, plan_monitor, plan_removal
from firmware_hooks.system import Answer, System, run_command

ADD = "iw phy phy0 interface add mon0 type monitor flags otherbss"
UP = "ip link set dev mon0 up"


def ath9k(**vifs: Vif) -> StandInKernel:
    return StandInKernel({"phy0": golden_iw("ath9k-phy.txt")}, dict(vifs))


def serving() -> StandInKernel:
    return ath9k(wlan0=Vif("phy0", "AP", True, 2437))


def system(kernel: StandInKernel, tmp_path) -> System:
    class Live(System):
        def interfaces(self):
            kernel.sys_root(tmp_path)
            return super().interfaces()

    return Live(kernel, tmp_path)


def commands(plan) -> list[str]:
    return [" ".join(step.command) for step in plan.steps]


def test_stand_in_kernel_answers_what_the_real_one_answered():
    """Every command of the recording, in order: the same exit code and the same errno."""
    kernel = StandInKernel(
        {f"phy{n}": golden_iw("hwsim-phy.txt").replace("phy0", f"phy{n}") for n in range(4)},
        {f"wlan{n}": Vif(f"phy{n}", "managed") for n in range(4)},
    )
    kernel.vifs["wlan0"] = Vif("phy0", "AP", True, 2437)
    kernel.vifs["mon0"] = Vif("phy0", "monitor", True)
    blocks = re.findall(r"^\$ (.*)\n((?:.*\n)*?)-> (\d+)$", golden_iw("errors.txt"), re.M)
    replayed = 0
    for command, said, code in blocks:
        if command.split()[-1] == "'" or "head" in command or command in ("iw dev", "iw dev wlan0 set channel 1"):
            continue
        kernel.is_root = not command.startswith("su ")
        words = re.sub(r"^su .* -c '(.*)'$", r"\1", command).split()
        answer = kernel(words)
        errno = re.search(r"\(-(\d+)\)", said)
        assert (answer.code, answer.errno) == (int(code), int(errno[1]) if errno else None), command
        replayed += 1

    assert replayed >= 34


def test_a_monitor_is_made_beside_an_access_point(tmp_path):
    kernel = serving()
    machine = system(kernel, tmp_path)

    done = apply_plan(machine, plan_monitor(machine.reports()))

    assert kernel.changes() == [ADD, UP]
    assert (done.plan.may_hop, done.plan.home_channel) == (False, 6)
    assert kernel.vifs["mon0"] == Vif("phy0", "monitor", True)


def test_a_second_run_has_nothing_to_do(tmp_path):
    machine = system(serving(), tmp_path)
    apply_plan(machine, plan_monitor(machine.reports()))

    assert plan_monitor(machine.reports()).steps == ()


def test_a_monitor_that_is_down_is_only_brought_up(tmp_path):
    machine = system(ath9k(mon0=Vif("phy0", "monitor", False)), tmp_path)

    assert commands(plan_monitor(machine.reports())) == [UP]


def test_idle_interfaces_are_taken_down_when_the_radio_is_taken(tmp_path):
    """Measured: beside any interface that is up the kernel refuses to hop."""
    kernel = ath9k(wlan0=Vif("phy0", "managed", True))
    machine = system(kernel, tmp_path)
    plan = plan_monitor(machine.reports(), takes_radio=True)
    apply_plan(machine, plan)

    assert commands(plan) == [ADD, "ip link set dev wlan0 down", UP]
    assert kernel(["iw", "dev", "mon0", "set", "channel", "11"]).code == 0


def test_a_joined_station_is_never_taken_down(tmp_path):
    machine = system(ath9k(wlan0=Vif("phy0", "managed", True, 2437)), tmp_path)

    assert "wlan0" not in str(plan_monitor(machine.reports(), takes_radio=True).steps)


@pytest.mark.parametrize(
    ("vif", "words"),
    [
        (Vif("phy0", "managed"), "mon0 exists on phy0 as managed.*mon1 is free"),
        (Vif("phy1", "monitor"), "mon0 exists on phy1 as monitor.*mon1 is free"),
    ],
)
def test_a_name_that_is_somebody_elses_is_refused_with_a_free_one(tmp_path, vif, words):
    kernel = StandInKernel({"phy0": golden_iw("ath9k-phy.txt"), "phy1": golden_iw("ath10k-phy.txt")}, {"mon0": vif})
    machine = system(kernel, tmp_path)

    with pytest.raises(NameTaken, match=words):
        plan_monitor(machine.reports(), radio="phy0")


@pytest.mark.parametrize("name", ["", "a" * 16, "mon 0", "mon/0", "0mon", "mon;reboot", "-f"])
def test_a_name_that_the_kernel_or_a_shell_would_misread_is_refused(name):
    with pytest.raises(NameTaken, match="1 to 15 letters"):
        check_name(name)


@given(st.sets(st.sampled_from([f"mon{n}" for n in range(6)])), st.sampled_from(["mon0", "mon3", "ivz"]))
def test_a_free_name_is_free_and_allowed(taken, wanted):
    name = free_name(taken, wanted)

    check_name(name)
    assert name not in taken
    assert wanted in taken or name == wanted


@pytest.mark.parametrize(
    ("wanted", "error", "words"),
    [("phy7", RadioUnknown, "'phy7' does not exist; there are phy0"), (None, RadioUnfit, "USB adapter")],
)
def test_a_radio_that_is_not_there_or_cannot_is_refused(tmp_path, wanted, error, words):
    machine = system(StandInKernel({"phy0": golden_iw("brcmfmac-phy.txt")}, {}), tmp_path)
    (tmp_path / "class/ieee80211/phy0/device").mkdir(parents=True)
    (tmp_path / "class/ieee80211/phy0/device/driver").symlink_to("/sys/bus/sdio/drivers/brcmfmac")

    with pytest.raises(error, match=words):
        plan_monitor(machine.reports(), radio=wanted)


def test_a_machine_without_radios_says_so():
    with pytest.raises(RadioUnknown, match="no Wi-Fi radio"):
        plan_monitor(())


@pytest.mark.parametrize("fails", ["add", "wlan0 down", "mon0 up"])
def test_whatever_command_fails_the_radio_is_as_it_was(tmp_path, fails):
    kernel = ath9k(wlan0=Vif("phy0", "managed", True))
    machine = system(kernel, tmp_path)
    before = {name: (v.type, v.is_up) for name, v in kernel.vifs.items()}
    plan = plan_monitor(machine.reports(), takes_radio=True)
    kernel.fails_at = {fails: 16}

    with pytest.raises(CommandFailed, match=r"`i[pw] .*` failed"):
        apply_plan(machine, plan)

    assert {name: (v.type, v.is_up) for name, v in kernel.vifs.items()} == before


def test_a_driver_that_says_yes_and_does_nothing_is_found_out(tmp_path):
    kernel = serving()
    kernel.lies = True
    machine = system(kernel, tmp_path)

    with pytest.raises(
        CommandFailed, match=r"mon0 is monitor, down; the driver does not do what it says\. 2 earlier steps undone"
    ):
        apply_plan(machine, plan_monitor(machine.reports()))

    assert list(kernel.vifs) == ["wlan0"]


def test_an_undo_that_fails_is_told_and_does_not_stop_the_others(tmp_path):
    kernel = ath9k(wlan0=Vif("phy0", "managed", True))
    machine = system(kernel, tmp_path)
    plan = plan_monitor(machine.reports(), takes_radio=True)
    kernel.fails_at = {"mon0 up": 16, "wlan0 up": 1}

    with pytest.raises(CommandFailed, match="1 earlier step undone; not undone: `ip link set dev wlan0 up`"):
        apply_plan(machine, plan)

    assert "mon0" not in kernel.vifs


def test_without_root_the_error_says_which_right_is_missing(tmp_path):
    kernel = serving()
    kernel.is_root = False
    machine = system(kernel, tmp_path)

    with pytest.raises(NotPermitted, match="CAP_NET_ADMIN"):
        apply_plan(machine, plan_monitor(machine.reports()))


def test_a_driver_that_cannot_add_has_its_interface_changed_and_back(tmp_path):
    kernel = ath9k(wlan0=Vif("phy0", "managed", True))
    kernel.can_add = False
    machine = system(kernel, tmp_path)
    with pytest.raises(CommandFailed, match="try --convert"):
        apply_plan(machine, plan_monitor(machine.reports()))

    done = apply_plan(machine, plan_monitor(machine.reports(), converts=True))

    assert (done.plan.interface, done.plan.converted) == ("wlan0", "wlan0")
    assert kernel.vifs["wlan0"].type == "monitor"


def test_a_conversion_that_fails_gives_the_interface_back(tmp_path):
    kernel = ath9k(wlan0=Vif("phy0", "managed", True))
    machine = system(kernel, tmp_path)
    plan = plan_monitor(machine.reports(), converts=True)
    kernel.fails_at = {"set type monitor": 95}

    with pytest.raises(CommandFailed):
        apply_plan(machine, plan)

    assert kernel.vifs["wlan0"] == Vif("phy0", "managed", True)


def test_an_interface_that_serves_is_not_converted(tmp_path):
    machine = system(serving(), tmp_path)

    with pytest.raises(RadioUnfit, match="wlan0 serves"):
        plan_monitor(machine.reports(), converts=True)


def test_removal_takes_monitors_only_and_twice_is_once(tmp_path):
    kernel = ath9k(mon0=Vif("phy0", "monitor", True), wlan0=Vif("phy0", "AP", True, 2437))
    machine = system(kernel, tmp_path)

    remove(machine, plan_removal(machine.interfaces()))
    assert list(kernel.vifs) == ["wlan0"]
    assert plan_removal(machine.interfaces()).steps == ()
    with pytest.raises(NameTaken, match="wlan0 is of type AP"):
        plan_removal(machine.interfaces(), "wlan0")


def test_a_monitor_that_went_away_meanwhile_is_removed(tmp_path):
    kernel = ath9k(mon0=Vif("phy0", "monitor", True))
    machine = system(kernel, tmp_path)
    plan = plan_removal(machine.interfaces())
    del kernel.vifs["mon0"]

    assert remove(machine, plan).commands == 2


def test_a_program_that_is_not_installed_is_named_with_the_way_to_get_it():
    with pytest.raises(ToolMissing, match="opkg install iw"):
        run_command(["ivizone-no-such-program"])


def test_a_closed_folder_of_path_is_no_traceback(tmp_path, monkeypatch):
    """Without root, a folder of PATH that may not be entered makes execvp say EACCES in place of ENOENT; so does a file without its bit."""
    (tmp_path / "ivizone-no-program").write_text("")
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ToolMissing, match="opkg install iw"):
        run_command(["ivizone-no-program"])


def test_what_lies_in_sbin_is_found_without_roots_path(tmp_path, monkeypatch):
    (tmp_path / "ivizone-iw").write_text("#!/bin/sh\necho here\n")
    (tmp_path / "ivizone-iw").chmod(0o755)
    monkeypatch.setattr("firmware_hooks.system.SYSTEM_PATH", str(tmp_path))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")

    assert run_command(["ivizone-iw"]).output == "here\n"


def test_a_real_command_gives_code_and_texts():
    assert run_command(["sh", "-c", "echo out; echo 'command failed: x (-16)' >&2; exit 240"]) == Answer(
        240, "out\n", "command failed: x (-16)\n"
    )
