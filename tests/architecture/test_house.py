"""What the house promises of itself: what ships, what the access point never loads, what the papers must name."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
HEAVY = (
    "scapy",
    "boto3",
    "pyarrow",
    "duckdb",
    "pyspark",
    "sqlalchemy",
    "starlette",
    "uvicorn",
    "cbor2",
    "jinja2",
    "cloud",
    "simulator",
)

BLOCKER = """
import sys
HEAVY = {heavy!r}
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in HEAVY:
            raise ImportError(name + " must not be needed on an access point")
sys.meta_path.insert(0, Blocker())
"""


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False
    )


def agent_modules() -> list[str]:
    names = [".".join(path.relative_to(CHECKOUT).with_suffix("").parts) for path in (CHECKOUT / "agent").rglob("*.py")]
    return sorted(
        name.removesuffix(".__init__") for name in names if name not in ("agent.sources.scapy_sniff", "agent.__main__")
    )


def test_every_agent_module_loads_without_the_heavy_packages():
    """An access point has the standard library, pyyaml, structlog and cryptography."""
    imports = "".join(f"import {name}\n" for name in agent_modules())

    result = run_python(BLOCKER.format(heavy=HEAVY) + imports)

    assert result.returncode == 0, result.stderr


def test_version_loads_few_modules():
    """`ivizone-agent version` answers at once: it loads neither cryptography nor yaml nor structlog."""
    code = (
        "import sys; sys.argv = ['ivizone-agent', 'version']\n"
        "from agent.cli import main\n"
        "code = main()\n"
        "print(code, *sorted({n.split('.')[0] for n in sys.modules}), file=sys.stderr)"
    )

    result = run_python(code)

    assert result.stderr.split()[0] == "0"
    assert not {"cryptography", "yaml", "structlog", "asyncio", "http"} & set(result.stderr.split()[1:])


def test_the_distribution_ships_exactly_our_four_packages():
    """Generic names are safe only as long as nothing else is put beside them (ADR 0001)."""
    setup = configparser.ConfigParser()
    setup.read(CHECKOUT / "setup.cfg")

    packages = setup["options.packages.find"]["include"].split()

    assert sorted(packages) == ["agent*", "cloud*", "firmware_hooks*", "simulator*"]


def test_the_agent_needs_three_packages():
    """More would have to be found, or built, for every access point."""
    setup = configparser.ConfigParser()
    setup.read(CHECKOUT / "setup.cfg")

    names = re.findall(r"^[a-z]+", setup["options"]["install_requires"], re.M)

    assert names == ["pyyaml", "structlog", "cryptography"]


def test_every_skip_reason_is_in_the_glossary():
    """An installer who sees a reason on the fleet page can look it up."""
    from agent.ledger import SKIP_REASONS

    glossary = (CHECKOUT / "docs" / "glossary.md").read_text()

    assert [reason for reason in SKIP_REASONS if f"`{reason}`" not in glossary] == []


def test_no_file_names_the_machine_that_it_was_written_on():
    """The project is for everybody: wherever its checkout lies, no path of there is in it."""
    path = rf"(^|[^[:alnum:]/._-]){re.escape(str(CHECKOUT))}/"
    found = subprocess.run(
        ["git", "grep", "-lE", path],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode > 1:
        pytest.skip(f"not a git checkout: {found.stderr.strip()}")

    assert found.stdout.split() == []
