"""What ships is pinned, and an audit that could not ask is not taken for a clean one."""

from __future__ import annotations

import importlib.util
import json
import re
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("audit", ROOT / "deploy" / "audit.py")
audit = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(audit)

ASKED = {"typing_extensions==4.16.0", "cffi==2.1.1"}
CFFI = {"name": "cffi", "version": "2.1.1", "vulns": []}
TYPING = {"name": "typing-extensions", "version": "4.16.0", "vulns": []}


@pytest.mark.parametrize(
    ("dependencies", "code"),
    [
        ([CFFI, TYPING], audit.CLEAN),
        ([CFFI, TYPING | {"vulns": [{"id": "PYSEC-0000-1"}]}], audit.KNOWN),
        ([CFFI | {"vulns": [{"id": "PYSEC-0000-1"}]}], audit.KNOWN),
        ([CFFI], audit.NOT_ASKED),
        ([CFFI, {"name": "typing-extensions", "skip_reason": "not found and could not be audited"}], audit.NOT_ASKED),
        ([CFFI | {"version": "2.1.0"}, TYPING], audit.NOT_ASKED),
        ([], audit.NOT_ASKED),
    ],
)
def test_only_an_answer_about_every_package_is_a_clean_one(dependencies, code):
    assert audit.judge(ASKED, json.dumps({"dependencies": dependencies}))[0] == code


@pytest.mark.parametrize("said", ["", "Traceback", "{}", "[]"])
def test_a_service_that_cannot_be_reached_is_no_answer(said):
    assert audit.judge(ASKED, said)[0] == audit.NOT_ASKED


def test_a_weakness_is_told_by_package_and_name():
    said = json.dumps({"dependencies": [CFFI | {"vulns": [{"id": "PYSEC-0000-1"}]}, TYPING]})
    assert "cffi 2.1.1: PYSEC-0000-1" in audit.judge(ASKED, said)[1]


def needed(name: str, extra: str = "") -> set[str]:
    """The normalised names of all that a distribution brings here, itself left out."""
    found: set[str] = set()
    waiting = [(name, extra)]
    while waiting:
        one, its_extra = waiting.pop()
        for line in metadata.requires(one) or ():
            words, _, marker = line.partition(";")
            wants = re.search(r"extra == ['\"]([\w-]+)['\"]", marker)
            if (wants and wants[1] != its_extra) or "win32" in marker or "python_version <" in marker.replace("'", ""):
                continue
            other = re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", words.strip())[0]).lower()
            try:
                metadata.distribution(other)
            except metadata.PackageNotFoundError:
                continue  # for another platform or interpreter
            if other not in found and other != "ivizone":
                found.add(other)
                waiting.append((other, ""))
    return found


def test_every_package_that_the_access_point_and_the_embedded_cloud_bring_is_pinned():
    pinned = {audit._plain(pin).partition("==")[0] for pin in audit.pins(audit.LISTS[0].read_text())}
    missing = needed("ivizone", "cloud") - pinned
    assert not missing, f"not in docs/dependencies.txt: {sorted(missing)}"
    assert {"cryptography", "cffi", "duckdb", "starlette"} <= needed("ivizone", "cloud")


def test_what_an_instance_and_an_access_point_install_is_locked_by_hash():
    for path in (ROOT / "deploy" / "aws" / "requirements.txt", ROOT / "deploy" / "openwrt" / "structlog.txt"):
        pins = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
        assert pins and all(re.fullmatch(r"[\w.-]+==\S+ --hash=sha256:[0-9a-f]{64}", line) for line in pins), path
