"""What is in the OpenWrt packages, and how they are made without the SDK.

    python3 deploy/openwrt/package.py ipk OUT [--structlog WHEEL]     OUT/ivizone-agent_*_all.ipk, OUT/python3-structlog_*_all.ipk
    python3 deploy/openwrt/package.py tree DIR                        the agent's files under DIR: for the SDK's recipe and for ImageBuilder

The .pyc files are for the Python that runs this script, so the packages depend on that version: OpenWrt 24.10 has 3.11.
OpenWrt's main branch has .apk packages, which only its own `apk mkpkg` makes: there the recipes of this folder are the way.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
sys.path.insert(0, str(HERE))

from bytecode import compile_source  # noqa: E402
from ipk import Entry, build_ipk  # noqa: E402

LIB = "/usr/lib/ivizone"
HOOKS = CHECKOUT / "firmware_hooks" / "openwrt"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
NEXT_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor + 1}"
SITE_PACKAGES = f"/usr/lib/python{PYTHON}/site-packages"
RELEASE = "r1"
SIZE_LIMIT_BYTES = 300_000
"""What the agent may take of an access point's flash, compressed."""

AGENT_DEPENDS = (
    f"python3-light (>= {PYTHON})",
    f"python3-light (<< {NEXT_PYTHON})",
    "python3-codecs",
    "python3-decimal",
    "python3-email",
    "python3-openssl",
    "python3-urllib",
    "python3-cryptography",
    "python3-structlog",
    "python3-yaml",
    "ca-bundle",
    "iw",
)
"""Derived in tests/deploy/test_openwrt_depends.py: what the agent really loads, over the feed's split of the standard library."""
STRUCTLOG_DEPENDS = (
    f"python3-light (>= {PYTHON})",
    f"python3-light (<< {NEXT_PYTHON})",
    "python3-asyncio",
    "python3-logging",
    "python3-urllib",
    "python3-uuid",
)
NOT_SHIPPED = ("agent/sources/scapy_sniff.py",)
"""Needs scapy, which no access point has."""

CONFFILES = ("/etc/config/ivizone",)
POSTINST = """#!/bin/sh
[ "${IPKG_NO_SCRIPT}" = "1" ] && exit 0
[ -s ${IPKG_INSTROOT}/lib/functions.sh ] || exit 0
. ${IPKG_INSTROOT}/lib/functions.sh
default_postinst $0 $@
"""
PRERM = """#!/bin/sh
[ -s ${IPKG_INSTROOT}/lib/functions.sh ] || exit 0
. ${IPKG_INSTROOT}/lib/functions.sh
default_prerm $0 $@
"""
"""Both are what OpenWrt's include/package-pack.mk writes: the user, the init script and uci-defaults are functions.sh's business."""


def agent_version() -> str:
    """The version in agent/__init__.py."""
    found = re.search(r'__version__ = "([^"]+)"', (CHECKOUT / "agent/__init__.py").read_text())
    if not found:
        raise SystemExit("agent/__init__.py has no __version__")
    return found[1]


def agent_files() -> dict[str, Entry]:
    """Every file of the agent's package by its path on the access point."""
    files = {f"{LIB}/{name}c": Entry(compile_source(source, f"{LIB}/{name}")) for name, source in _sources()}
    files |= {f"{LIB}/LICENSE": Entry((CHECKOUT / "LICENSE").read_bytes())}
    # `uci commit` writes the configuration anew without its remarks, at the first boot already; here they stay.
    files |= {f"{LIB}/options.uci": Entry((HERE / "files/etc/config/ivizone").read_bytes())}
    files |= {
        f"{LIB}/hooks/radio.sh": _script(HOOKS / "radio.sh"),
        f"{LIB}/opennds/theme_ivizone.sh": _script(HOOKS / "opennds/theme_ivizone.sh"),
        "/etc/uci-defaults/90-ivizone": _script(HOOKS / "uci-defaults/90-ivizone"),
        "/usr/share/acl.d/ivizone.json": Entry((HOOKS / "acl.d/ivizone.json").read_bytes()),
    }
    for event in ("net", "ieee80211", "ntp"):
        files[f"/etc/hotplug.d/{event}/60-ivizone"] = _script(HOOKS / "hotplug.d" / event / "60-ivizone")
    for path in sorted((HERE / "files").rglob("*")):
        if path.is_file():
            files["/" + path.relative_to(HERE / "files").as_posix()] = Entry(
                path.read_bytes(), 0o755 if path.read_bytes().startswith(b"#!") else 0o644
            )
    return files


def _sources() -> list[tuple[str, bytes]]:
    found = [p for package in ("agent", "firmware_hooks") for p in (CHECKOUT / package).rglob("*.py")]
    names = sorted(path.relative_to(CHECKOUT).as_posix() for path in found)
    return [(name, (CHECKOUT / name).read_bytes()) for name in names if name not in NOT_SHIPPED]


def _script(path: Path) -> Entry:
    return Entry(path.read_bytes(), 0o755)


def structlog_files(wheel: Path) -> tuple[str, dict[str, Entry]]:
    """Version and files of structlog, from a wheel; compiled and otherwise unchanged."""
    files: dict[str, Entry] = {}
    with zipfile.ZipFile(wheel) as archive:
        names = sorted(archive.namelist())
        meta = next(name for name in names if name.endswith(".dist-info/METADATA"))
        found = re.search(r"^Version: (\S+)$", archive.read(meta).decode(), re.M)
        if not found:
            raise SystemExit(f"{wheel.name}: no version in its METADATA; is it a wheel of structlog?")
        for name in names:
            if name.startswith("structlog/") and name.endswith(".py"):
                path = f"{SITE_PACKAGES}/{name}"
                files[f"{path}c"] = Entry(compile_source(archive.read(name), path, squeeze=False))
            elif ".dist-info/licenses/" in name and not name.endswith("/"):
                files[f"{SITE_PACKAGES}/{name}"] = Entry(archive.read(name))
        files[f"{SITE_PACKAGES}/{meta}"] = Entry(archive.read(meta))
    return found[1], files


def control(
    name: str, version: str, depends: tuple[str, ...], about: str, files: dict[str, Entry], more: str = ""
) -> str:
    """The control file."""
    size = sum(len(entry.content) for entry in files.values())
    return (
        f"Package: {name}\nVersion: {version}-{RELEASE}\nDepends: libc, {', '.join(depends)}\n"
        f"Section: net\nArchitecture: all\nMaintainer: The Ivizone founders\nLicense: BSD-3-Clause\n{more}"
        f"Installed-Size: {size}\nDescription: {about}\n"
    )


def agent_ipk() -> tuple[str, bytes]:
    """File name and bytes of the agent's package."""
    files, version = agent_files(), agent_version()
    about = "Store Wi-Fi analytics: hears probe requests, sends signed batches of pseudonyms or counts"
    text = control("ivizone-agent", version, AGENT_DEPENDS, about, files, "Require-User: ivizone:ivizone\n")
    packed = build_ipk(files, text, {"postinst": POSTINST, "prerm": PRERM}, CONFFILES)
    return f"ivizone-agent_{version}-{RELEASE}_all.ipk", packed


def structlog_ipk(wheel: Path) -> tuple[str, bytes]:
    """File name and bytes of structlog's package."""
    version, files = structlog_files(wheel)
    text = control("python3-structlog", version, STRUCTLOG_DEPENDS, "Structured logging for Python", files)
    text = text.replace("License: BSD-3-Clause", "License: Apache-2.0 OR MIT")
    return f"python3-structlog_{version}-{RELEASE}_all.ipk", build_ipk(files, text, {})


def write_tree(target: Path) -> None:
    """Lay the agent's files under ``target``."""
    for path, entry in agent_files().items():
        place = target / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(entry.content)
        place.chmod(entry.mode)


def main() -> int:
    """Run one command."""
    parser = argparse.ArgumentParser(description="OpenWrt packages of Ivizone, without the SDK.")
    commands = parser.add_subparsers(dest="command", required=True)
    packages = commands.add_parser("ipk", help="make the packages")
    packages.add_argument("out", type=Path)
    packages.add_argument("--structlog", type=Path, metavar="WHEEL", help="also make python3-structlog of this wheel")
    commands.add_parser("tree", help="lay the agent's files under a folder").add_argument("out", type=Path)
    options = parser.parse_args()
    if options.command == "tree":
        write_tree(options.out)
        return 0
    options.out.mkdir(parents=True, exist_ok=True)
    made = [agent_ipk(), *([structlog_ipk(options.structlog)] if options.structlog else [])]
    for name, content in made:
        (options.out / name).write_bytes(content)
        print(f"{options.out / name}  {len(content):,} bytes, for OpenWrt with Python {PYTHON}")
    if len(made[0][1]) > SIZE_LIMIT_BYTES:
        print(f"the agent's package is larger than its budget of {SIZE_LIMIT_BYTES:,} bytes", file=sys.stderr)
        return 1
    return 0


COMPILER = {
    "PYTHONHASHSEED": "0",  # sets of constants are written in the order of their hashes
    "PYTHONNODEBUGRANGES": "1",  # a traceback names the line; the columns of each instruction would be 40 % of the package
}

if __name__ == "__main__":
    if any(os.environ.get(name) != value for name, value in COMPILER.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **COMPILER})  # noqa: S606
    sys.exit(main())
