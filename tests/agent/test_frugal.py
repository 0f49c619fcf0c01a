"""What an idle agent must not have loaded, and the two ways in which it does not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support.agent_state import enrolled
from support.frames import GLOBAL, T0_US, heard, pcap, write
from support.stand_in_cloud import stand_in_cloud

from agent.frugal import DEFERRED, LEFT_OUT, borrowed, frugal
from agent.plain_yaml import NotYaml, load_yaml

CHECKOUT = Path(__file__).parents[2]

NOT_LOADED = {
    "argparse", "asyncio", "bz2", "ctypes", "email", "gettext", "http", "inspect", "logging", "lzma", "multiprocessing", "rich",
    "shutil", "statistics", "subprocess", "tempfile", "unittest", "urllib.request", "uuid", "xml", "yaml", "zipfile",
    "agent.plain_yaml", "agent.doctor", "agent.survey", "agent.tracking.resolver",
    "cryptography.x509", "cryptography.hazmat.primitives.serialization",
}  # fmt: skip
"""Each of them is from 0.1 to 2 MB for as long as the agent runs; who needs one of them, loads it where it is needed."""
MODULES_MAX = 245
"""Modules of an idle agent: it has about 230, half of them Python's own."""
RUN = """
import atexit, json, sys
from importlib.util import _LazyModule
from agent.cli import main
atexit.register(lambda: print(json.dumps([name for name, module in sys.modules.items() if type(module) is not _LazyModule])))
sys.exit(main())
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """What a run has loaded that read its configuration, listened to a frame, signed a batch, sent it and logged. It ends where the capture ends."""
    folder = tmp_path_factory.mktemp("run")
    with stand_in_cloud() as cloud:
        air = write(folder / "air.pcap", pcap([(T0_US, heard(GLOBAL))]))
        config = enrolled(folder, cloud.url, source={"name": "pcap", "speed": 0, "paths": [str(air)]})
        done = subprocess.run(
            [sys.executable, "-c", RUN, "run", "--config", str(config)],
            cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert cloud.bodies
    assert done.returncode == 0, done.stderr
    assert "agent_stopped" in done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_an_idle_agent_has_not_loaded_what_it_does_not_use(loaded: set[str]):
    assert loaded & NOT_LOADED == set()


def test_an_idle_agent_logs_with_structlog_and_signs_with_cryptography(loaded: set[str]):
    """Or the test before this one would prove nothing."""
    assert {"structlog", "structlog.processors", "cryptography.hazmat.primitives.asymmetric.ed25519", "ssl"} <= loaded


def test_an_idle_agent_has_few_modules(loaded: set[str]):
    assert len(loaded) <= MODULES_MAX


def in_a_process(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_deferred_module_is_whole_for_whoever_uses_it_after_all():
    code = "from agent.frugal import frugal\nwith frugal():\n import asyncio\nprint(asyncio.run(asyncio.sleep(0, 'slept')))"

    assert in_a_process(code) == "slept"


def test_what_is_left_out_is_there_again_afterwards():
    code = """
from agent.frugal import frugal
with frugal():
    try: import yaml._yaml; print("found")
    except ModuleNotFoundError as error: print(error.name)
import yaml.cyaml; print("found")
"""
    assert in_a_process(code).split() == ["yaml._yaml", "found"]


def test_borrowed_modules_are_let_go_with_all_that_is_theirs():
    code = """
import sys, yaml.error
from agent.frugal import borrowed
with borrowed("agent.plain_yaml", "colorsys"):
    import agent.plain_yaml, colorsys
print([name in sys.modules for name in ("agent.plain_yaml", "colorsys", "yaml")], hasattr(sys.modules["agent"], "plain_yaml"))
"""
    assert in_a_process(code) == "[False, False, True] False"


def test_what_was_there_before_is_not_let_go():
    with borrowed("yaml"):
        import yaml as again
    assert sys.modules["yaml"] is again is yaml


def test_the_import_system_is_as_before():
    finders = list(sys.meta_path)
    with frugal():
        assert len(sys.meta_path) == len(finders) + 1
    assert sys.meta_path == finders


def test_nothing_is_both_deferred_and_left_out():
    assert not DEFERRED & LEFT_OUT


def test_yaml_says_in_which_line_the_mistake_is():
    with pytest.raises(NotYaml) as caught:
        load_yaml("agent:\n  id: a\n  id: b\n")

    assert (caught.value.line, caught.value.problem) == (3, "'id' stands twice")
