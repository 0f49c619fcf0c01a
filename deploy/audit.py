"""Known weaknesses of what ships, by pip-audit: the access point's and the embedded cloud's packages, and those of an instance on AWS.

    make audit

pip-audit ends well where the advisory service knows none of the packages. An answer counts here only where it was asked about every one.
Exit codes: 0 all asked and nothing known, 1 something is known, 5 it could not be asked about all.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LISTS = (ROOT / "docs" / "dependencies.txt", ROOT / "deploy" / "aws" / "requirements.txt")
CLEAN, KNOWN, NOT_ASKED = 0, 1, 5


def pins(text: str) -> set[str]:
    """The ``name==version`` of a list, hashes and remarks left out."""
    return {words[0] for line in text.splitlines() if (words := line.partition("#")[0].split())}


def judge(asked: set[str], said: str) -> tuple[int, list[str]]:
    """Exit code and what to tell, of pip-audit's JSON (``said``) about the packages ``asked``."""
    try:
        found: list[dict[str, Any]] = json.loads(said)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return NOT_ASKED, ["pip-audit gave no answer: the advisory service cannot be reached from here"]
    answered = {_plain(f"{one['name']}=={one['version']}") for one in found if "vulns" in one}
    known = [f"{one['name']} {one['version']}: {weak['id']}" for one in found for weak in one.get("vulns", ())]
    missing = sorted(pin for pin in asked if _plain(pin) not in answered)
    lines = [*known, f"{len(asked) - len(missing)} of {len(asked)} packages asked about, {len(known)} weaknesses known"]
    if missing:
        lines.append(f"NOT asked about: {' '.join(missing)}")
    return (KNOWN if known else NOT_ASKED if missing else CLEAN), lines


def _plain(pin: str) -> str:
    """pip-audit writes names as PEP 503 normalises them."""
    name, _, version = pin.partition("==")
    return f"{re.sub('[-_.]+', '-', name).lower()}=={version}"


def main(words: list[str]) -> int:
    """The command. ``words`` calls pip-audit."""
    asked = set().union(*(pins(path.read_text()) for path in LISTS))
    options = ["--format", "json", "--progress-spinner", "off", "--no-deps", "--disable-pip"]
    done = subprocess.run(
        [*words, *options, "--requirement", "/dev/stdin"],
        input="\n".join(sorted(asked)) + "\n",
        capture_output=True,
        text=True,
        check=False,
    )
    code, lines = judge(asked, done.stdout)
    print("\n".join(lines))
    if code == NOT_ASKED:
        print(f"pip-audit said: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
