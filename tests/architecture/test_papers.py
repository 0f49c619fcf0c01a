"""The papers tell the truth: what they name exists, and what exists is named."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from cloud.domain.preset import presets
from cloud.stores.lake import LAKE

CHECKOUT = Path(__file__).resolve().parents[2]
DOCS = CHECKOUT / "docs"
TEXTS = sorted(CHECKOUT.glob("*.md")) + sorted(DOCS.rglob("*.md")) + [CHECKOUT / "agent/wire/SPEC.md"]


def tracked_texts() -> list[Path]:
    """Every text and module that may name a paper."""
    return TEXTS + [
        p for part in ("agent", "cloud", "simulator", "firmware_hooks") for p in (CHECKOUT / part).rglob("*.py")
    ]


def test_every_paper_that_is_named_exists():
    named = {
        (path.relative_to(CHECKOUT), name.rstrip("."))
        for path in tracked_texts()
        for name in re.findall(r"(?<![\w/])docs/[\w./-]+\.(?:md|yaml|png|svg)", path.read_text())
    }

    assert sorted(str(pair) for pair in named if not (CHECKOUT / pair[1]).exists()) == []


def test_links_lead_somewhere():
    dead = [
        f"{path.relative_to(CHECKOUT)}: {target}"
        for path in TEXTS
        for target in re.findall(r"\]\(([^)#\s]+)", path.read_text())
        if "://" not in target and not (path.parent / target).exists()
    ]

    assert dead == []


def test_the_index_lists_every_decision():
    index = (DOCS / "adr" / "README.md").read_text()

    assert [p.name for p in sorted((DOCS / "adr").glob("0*.md")) if f"({p.name})" not in index] == []


def test_the_lake_is_described_column_by_column():
    described = (DOCS / "lake.md").read_text()

    for table, schema in LAKE.items():
        line = next(line for line in described.splitlines() if line.startswith(f"**{table}**"))
        assert line == f"**{table}**: " + ", ".join(f"`{field.name}` {field.type}" for field in schema)


def test_every_preset_is_described_with_its_numbers():
    described = (DOCS / "presets.md").read_text()

    for name, preset in presets().items():
        row = next(line for line in described.splitlines() if line.startswith(f"| `{name}` |"))
        assert f"| {preset.visitor_min_s // 60} min | {preset.engaged_min_s // 60} min | {preset.source} |" in row


@pytest.mark.parametrize("module", ["agent", "cloud"])
def test_commands_of_the_readme_exist(module: str):
    """`ivizone-agent count` in the README is a command that answers to --help."""
    readme = (CHECKOUT / "README.md").read_text()
    for command in sorted(set(re.findall(rf"`ivizone-{module} ([a-z-]+)", readme))):
        asked = [sys.executable, "-m", module, command, "--help"]
        assert subprocess.run(asked, cwd=CHECKOUT, capture_output=True, check=False).returncode == 0, command
