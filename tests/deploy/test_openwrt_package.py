"""The package as an access point gets it: its form, its size, its bytes, and that the agent in it runs."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
from support.frames import heard, local, pcap
from support.openwrt import DEPLOY, AccessPoint, shells

SCRIPT = DEPLOY / "package.py"
SECOND_US = 1_000_000


def build(out: Path, wheel: Path, seed: str) -> dict[str, Path]:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "ipk", str(out), "--structlog", str(wheel)],
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {path.name.split("_")[0]: path for path in out.iterdir()}


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    """The structlog that is installed here, as the wheel that it came from."""
    installed = distribution("structlog")
    path = tmp_path_factory.mktemp("wheel") / f"structlog-{installed.version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file in installed.files or ():
            if not str(file).startswith("..") and not str(file).endswith((".pyc", "INSTALLER", "REQUESTED")):
                archive.write(file.locate(), str(file))
    return path


@pytest.fixture(scope="session")
def packages(tmp_path_factory, wheel) -> dict[str, Path]:
    return build(tmp_path_factory.mktemp("ipk"), wheel, "0")


def members(archive: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        return {member.name: member for member in opened.getmembers()}


def part(ipk: Path, name: str) -> bytes:
    with tarfile.open(ipk) as opened:
        extracted = opened.extractfile(f"./{name}")
        assert extracted
        return extracted.read()


def control(ipk: Path) -> str:
    with tarfile.open(fileobj=io.BytesIO(part(ipk, "control.tar.gz"))) as opened:
        return opened.extractfile("./control").read().decode()


def install(ipk: Path, root: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(part(ipk, "data.tar.gz"))) as opened:
        opened.extractall(root, filter="fully_trusted")  # noqa: S202  # made by us just now


def test_an_ipk_is_one_gzipped_tar_of_three_parts(packages):
    """OpenWrt's scripts/ipkg-build: no `ar` as in Debian; opkg looks for these names."""
    for ipk in packages.values():
        assert list(members(gzip.decompress(ipk.read_bytes()))) == [
            "./control.tar.gz",
            "./data.tar.gz",
            "./debian-binary",
        ]
        assert part(ipk, "debian-binary") == b"2.0\n"


def test_the_same_sources_give_the_same_bytes(packages, wheel, tmp_path):
    """In another process, with another order of hashes, at another time."""
    again = build(tmp_path, wheel, "12345")

    assert {name: path.read_bytes() for name, path in again.items()} == {n: p.read_bytes() for n, p in packages.items()}


def test_the_agent_takes_at_most_300_kb_of_flash(packages):
    size = packages["ivizone-agent"].stat().st_size
    assert size <= 300_000, (
        f"{size:,} bytes; the largest files: python3 deploy/openwrt/package.py tree DIR && ls -lS. "
        "deploy/openwrt/bytecode.py is where more can be left out"
    )


def test_the_package_owns_what_it_should_and_nothing_in_shared_site_packages(packages):
    files = members(part(packages["ivizone-agent"], "data.tar.gz"))
    modes = {name[1:]: member.mode for name, member in files.items() if member.isfile()}

    for script in (
        "/etc/init.d/ivizone",
        "/usr/bin/ivizone-agent",
        "/usr/lib/ivizone/hooks/radio.sh",
        "/etc/hotplug.d/net/60-ivizone",
        "/etc/hotplug.d/ieee80211/60-ivizone",
        "/etc/hotplug.d/ntp/60-ivizone",
        "/etc/uci-defaults/90-ivizone",
    ):
        assert modes[script] == 0o755, script
    for text in (
        "/etc/config/ivizone",
        "/etc/capabilities/ivizone.json",
        "/usr/share/acl.d/ivizone.json",
        "/lib/upgrade/keep.d/ivizone",
        "/usr/lib/ivizone/agent/cli.pyc",
        "/usr/lib/ivizone/firmware_hooks/plan.pyc",
    ):
        assert modes[text] == 0o644, text
    assert not [name for name in modes if name.endswith(".py") or "site-packages" in name or "__pycache__" in name]
    assert {member.uid for member in files.values()} == {0}


def test_the_control_file_names_the_user_the_python_and_the_conffile(packages):
    text = control(packages["ivizone-agent"])

    assert "Architecture: all\n" in text
    assert "Require-User: ivizone:ivizone\n" in text
    assert f"python3-light (>= 3.{sys.version_info.minor}), python3-light (<< 3.{sys.version_info.minor + 1})" in text
    with tarfile.open(fileobj=io.BytesIO(part(packages["ivizone-agent"], "control.tar.gz"))) as opened:
        assert opened.extractfile("./conffiles").read() == b"/etc/config/ivizone\n"
        assert b"default_postinst" in opened.extractfile("./postinst").read()
        assert b"default_prerm" in opened.extractfile("./prerm").read()


def test_the_jail_leaves_one_right(packages, tmp_path):
    install(packages["ivizone-agent"], tmp_path)
    rights = json.loads((tmp_path / "etc/capabilities/ivizone.json").read_text())

    assert set(rights) == {"bounding", "effective", "ambient", "permitted", "inheritable"}
    assert all(value == ["CAP_NET_RAW"] for value in rights.values())


def test_ubusd_lets_the_agents_user_subscribe_and_no_more(packages, tmp_path):
    install(packages["ivizone-agent"], tmp_path)
    rules = json.loads((tmp_path / "usr/share/acl.d/ivizone.json").read_text())

    assert rules["user"] == "ivizone"
    assert rules["subscribe"] == ["hostapd.*"]
    assert rules["access"] == {"hostapd.*": {"methods": ["get_status", "get_clients"]}}
    assert not {"publish", "send", "group"} & set(rules)


# --- the agent in it ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def access_point(packages, tmp_path_factory) -> AccessPoint:
    """Both packages installed into a folder, with a Python that has yaml and cryptography besides."""
    made = AccessPoint(tmp_path_factory.mktemp("root"))
    install(packages["ivizone-agent"], made.root)
    install(packages["python3-structlog"], made.root)
    site = next(made.root.glob("usr/lib/python3.*/site-packages"))
    made.bare_python(site)
    for name in ("logger", "killall"):
        made.stand_in(name)
    return made


LAUNCHER = "$IVIZONE_ROOT/usr/bin/ivizone-agent"


@pytest.mark.parametrize("shell", shells())
def test_the_installed_agent_says_its_version(access_point, shell):
    from agent import __version__

    done = access_point.shell(shell, f"{shell} {LAUNCHER} version")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"ivizone-agent {__version__} ")


def test_the_installed_agent_replays_a_capture_with_its_uci_configuration(access_point):
    frames = [(T * SECOND_US, heard(local(T % 7), sequence=T % 4096)) for T in range(1_700_000_000, 1_700_000_070)]
    (access_point.root / "air.pcap").write_bytes(pcap(frames))

    done = access_point.shell("sh", f"{LAUNCHER} replay --json air.pcap")

    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["frames"], summary["probe_requests"]) == (70, 70)
    rendered = json.loads((access_point.root / "var/etc/ivizone/agent.yaml").read_text())
    assert rendered["agent"]["key_file"] == "/etc/ivizone/state/agent.key"


def test_the_installed_agent_logs_with_structlog(access_point):
    code = "from agent.log import log; log.configure('info', 'json'); log.info('agent_stopped', frames=1)"

    done = access_point.shell("sh", f'PYTHONPATH=$IVIZONE_ROOT/usr/lib/ivizone python3 -P -c "{code}"')

    assert json.loads(done.stderr)["event"] == "agent_stopped", done.stderr


def test_every_installed_module_loads_without_what_an_access_point_lacks(access_point):
    """Stripped of docstrings and annotations, from the private folder, in one process."""
    code = (
        "import importlib, pkgutil, agent, firmware_hooks\n"
        "for p in (agent, firmware_hooks):\n"
        "    for m in pkgutil.walk_packages(p.__path__, p.__name__ + '.'):\n"
        "        if not m.name.endswith('__main__'): importlib.import_module(m.name)\n"
        "print(agent.__file__)"
    )
    (access_point.root / "load.py").write_text(code)

    done = access_point.shell("sh", "PYTHONPATH=$IVIZONE_ROOT/usr/lib/ivizone python3 -P load.py")

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(access_point.root / "usr/lib/ivizone/agent/__init__.pyc")


def test_a_mistake_in_uci_stops_the_command_and_names_the_option(access_point):
    config = access_point.root / "etc/config/ivizone"
    before = config.read_text()
    try:
        config.write_text(before.replace("#option ring_kib '512'", "option ring_kib 'many'"))
        os.utime(config, (4_000_000_000, 4_000_000_000))
        done = access_point.shell("sh", f"{LAUNCHER} count air.pcap")
    finally:
        config.write_text(before)

    assert done.returncode == 3
    assert "ivizone.source.ring_kib is 'many'; use a whole number from 128 to 16384" in done.stderr


def test_a_traceback_still_names_file_and_line(access_point):
    code = "import agent.spool.directory as d; d.Spool(None, 1)"

    done = access_point.shell("sh", f'PYTHONPATH=$IVIZONE_ROOT/usr/lib/ivizone python3 -P -c "{code}"')

    source = (DEPLOY.parents[1] / "agent/spool/directory.py").read_text().splitlines()
    line = next(n for n, text in enumerate(source, 1) if "directory.is_dir" in text)
    assert f'File "/usr/lib/ivizone/agent/spool/directory.py", line {line}, in __init__' in done.stderr


def test_a_calibration_reaches_uci(access_point):
    """/var/etc is rendered anew at the next reload; what only it holds is lost there."""
    for name, level in (("in", -50), ("out", -80)):
        frames = [
            (T * SECOND_US, heard(local(1), rssi=level, sequence=T % 4096))
            for T in range(1_700_000_000, 1_700_000_200, 5)
        ]
        (access_point.root / f"{name}.pcap").write_bytes(pcap(frames))
    config = access_point.root / "etc/config/ivizone"
    before = config.read_text()
    try:
        only_told = access_point.shell("sh", f"{LAUNCHER} calibrate --inside in.pcap --outside out.pcap")
        unchanged = config.read_text() == before
        written = access_point.shell("sh", f"{LAUNCHER} calibrate --inside in.pcap --outside out.pcap --write")
        threshold = access_point.shell("sh", "uci -q get ivizone.proximity.threshold_dbm").stdout
    finally:
        config.write_text(before)
        (access_point.root / "var/etc/ivizone/agent.yaml").unlink()

    assert (only_told.returncode, written.returncode, unchanged) == (0, 0, True), written.stderr
    assert -75 < float(threshold) < -55
    assert "reload_config" in written.stderr


def test_the_options_explained_outlast_uci_commit(packages, tmp_path):
    """`uci commit` writes /etc/config/ivizone anew without its remarks, and the first boot commits already."""
    install(packages["ivizone-agent"], tmp_path)
    explained = tmp_path / "usr/lib/ivizone/options.uci"

    assert explained.read_text() == (tmp_path / "etc/config/ivizone").read_text()
    assert "/usr/lib/ivizone/options.uci" in explained.read_text()


def test_enrolment_reaches_uci(access_point, tmp_path):
    """The launcher runs the agent's enrol on the rendered file and takes over what changed."""
    root = access_point.root
    before = (root / "etc/config/ivizone").read_text()
    real = (root / "usr/lib/ivizone/agent/__main__.pyc").read_bytes()
    # An enrolment needs a cloud; here the agent's part is one that writes what `enrol` writes.
    fake = tmp_path / "agent"
    script = (
        "import sys, json\npath = sys.argv[sys.argv.index('--config') + 1]\n"
        "c = json.load(open(path)); c.setdefault('agent', {}).update(id='ap-1', site=\"it's\"); c['cloud'] = {'url': 'https://c.example'}\n"
        "json.dump(c, open(path, 'w'))\n"
    )
    from py_compile import compile as compile_file

    fake.mkdir()
    (fake / "m.py").write_text(script)
    compile_file(str(fake / "m.py"), str(root / "usr/lib/ivizone/agent/__main__.pyc"))
    try:
        done = access_point.shell("sh", f"{LAUNCHER} enrol https://c.example --token T")
        shown = access_point.shell("sh", "uci -q show ivizone").stdout
    finally:
        (root / "usr/lib/ivizone/agent/__main__.pyc").write_bytes(real)
        (root / "etc/config/ivizone").write_text(before)

    assert done.returncode == 0, done.stderr
    assert "ivizone.agent.id='ap-1'" in shown
    assert "ivizone.agent.site='it'\\''s'" in shown
    assert "ivizone.cloud.url='https://c.example'" in shown
    assert "ivizone.spool.ram_directory='/var/run/ivizone/spool'" in shown
    assert "enabled=1" in done.stdout
