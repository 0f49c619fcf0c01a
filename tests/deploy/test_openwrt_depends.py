"""What the packages depend on is what they load: OpenWrt splits the standard library into packages.

The split is that of openwrt/packages, lang/python/python3/files/python3-package-*.mk (read 2026-08-22); what no line names
is in python3-light or python3-base. The agent is loaded as it runs: every module, a logger, TLS, a name looked up.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from support.openwrt import CHECKOUT, DEPLOY

sys.path.insert(0, str(DEPLOY))
from package import AGENT_DEPENDS, STRUCTLOG_DEPENDS

SPLIT: dict[str, tuple[str, ...]] = {
    "python3-asyncio": ("asyncio", "_asyncio"),
    "python3-codecs": (
        "unicodedata",
        "_codecs_cn",
        "_codecs_hk",
        "_codecs_iso2022",
        "_codecs_jp",
        "_codecs_kr",
        "_codecs_tw",
    ),
    "python3-ctypes": ("ctypes", "_ctypes"),
    "python3-dbm": ("dbm", "_dbm", "_gdbm"),
    "python3-decimal": ("decimal", "_decimal"),
    "python3-distutils": ("distutils",),
    "python3-email": ("email",),
    "python3-lib2to3": ("lib2to3",),
    "python3-logging": ("logging",),
    "python3-lzma": ("lzma", "_lzma"),
    "python3-multiprocessing": ("multiprocessing", "_multiprocessing", "_posixshmem"),
    "python3-ncurses": ("curses", "_curses", "_curses_panel"),
    "python3-openssl": ("_ssl", "_hashlib"),
    "python3-pydoc": ("pydoc", "pydoc_data", "doctest"),
    "python3-readline": ("readline",),
    "python3-sqlite3": ("sqlite3", "_sqlite3"),
    "python3-unittest": ("unittest",),
    "python3-urllib": ("urllib",),
    "python3-uuid": ("uuid", "_uuid"),
    "python3-venv": ("venv", "ensurepip"),
    "python3-xml": ("xml", "xmlrpc", "pyexpat", "_elementtree"),
}
OPTIONAL = {
    "_lzma": "shutil and zipfile try it for archives that nobody here opens",
    "lzma": "the same",
    "_uuid": "uuid does without",
    "_decimal": "decimal, with its Python form in the same package",
    "_asyncio": "in the package of asyncio",
}
"""Loaded here because this Python has them; the module that asks for them does without."""
OTHERS = {"cryptography": "python3-cryptography", "structlog": "python3-structlog", "yaml": "python3-yaml"}
LOAD_ALL = """
import importlib, json, pkgutil, sys
def hide(name):  # what no access point has, and structlog tries for colours and pretty tracebacks
    sys.modules[name] = None
for name in ("rich", "pygments", "colorama", "better_exceptions", "typing_extensions", "greenlet", "twisted"):
    hide(name)
{what}
print(json.dumps(sorted(n for n, m in sys.modules.items() if m is not None)))
"""
AGENT = """
import socket, ssl, agent, firmware_hooks
for package in (agent, firmware_hooks):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith(("__main__", "scapy_sniff")):
            importlib.import_module(module.name)
{structlog}
ssl.create_default_context()
socket.getaddrinfo("localhost", 443)
"""


def loaded(what: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", LOAD_ALL.format(what=what)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {name.split(".")[0] for name in json.loads(done.stdout)}


def feed_packages(names: set[str]) -> set[str]:
    return {package for package, modules in SPLIT.items() if names & (set(modules) - set(OPTIONAL))}


def python_depends(depends: tuple[str, ...]) -> set[str]:
    return {re.split(r" \(", entry)[0] for entry in depends if entry.startswith("python3-")} - {"python3-light"}


@pytest.fixture(scope="module")
def structlog_modules() -> set[str]:
    return loaded("hide('_ssl'); hide('_hashlib')  # asyncio and hashlib do without\nimport structlog, structlog.dev")


def test_structlogs_package_depends_on_what_structlog_loads(structlog_modules):
    assert python_depends(STRUCTLOG_DEPENDS) == feed_packages(structlog_modules)


def test_the_agents_package_depends_on_what_the_agent_loads():
    """Without structlog, whose own dependencies its package brings; cryptography's and yaml's are theirs."""
    names = loaded(AGENT.format(structlog=""))

    missing = feed_packages(names) - python_depends(AGENT_DEPENDS)
    needless = python_depends(AGENT_DEPENDS) - feed_packages(names) - set(OTHERS.values())
    assert (missing, needless) == (set(), set()), (
        "AGENT_DEPENDS in deploy/openwrt/package.py (and DEPENDS in deploy/openwrt/ivizone-agent/Makefile) must name what the agent loads"
    )


def test_the_agent_loads_the_three_packages_that_it_depends_on():
    names = loaded(AGENT.format(structlog="from agent.log import log; log._load()"))

    assert set(OTHERS) <= names
    assert set(OTHERS.values()) <= python_depends(AGENT_DEPENDS)


def test_looking_a_name_up_needs_the_codecs_package():
    """socket encodes every host name by idna, and idna asks unicodedata: without it no cloud is found."""
    assert "unicodedata" in loaded("import socket; socket.getaddrinfo('localhost', 443)")


@pytest.mark.parametrize(
    ("folder", "depends"), [("ivizone-agent", AGENT_DEPENDS), ("python3-structlog", STRUCTLOG_DEPENDS)]
)
def test_the_feeds_recipe_names_the_same_dependencies(folder, depends):
    recipe = (DEPLOY / folder / "Makefile").read_text()
    named = set(re.findall(r"\+([a-z0-9-]+)", recipe.partition("DEPENDS:=")[2].partition("\nendef")[0]))

    assert named == {re.split(r" \(", entry)[0] for entry in depends}


def test_the_recipes_hash_is_the_packages_hash():
    """One structlog, whichever way it is packed."""
    pinned = (DEPLOY / "structlog.txt").read_text()
    recipe = (DEPLOY / "python3-structlog/Makefile").read_text()

    version = re.search(r"PKG_VERSION:=(\S+)", recipe)
    assert version
    assert f"structlog=={version[1]} " in pinned
    assert re.search(r"sha256:[0-9a-f]{64}", pinned)
