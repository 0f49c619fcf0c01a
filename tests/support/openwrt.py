"""An access point in a folder: the package's files, and programs in front of PATH that behave as OpenWrt's do.

`uci` keeps /etc/config in the real file form and prints what the real one prints (shown to be so by its documentation:
single quotes, '\\'' inside); the others (logger, ndsctl, uclient-fetch, killall, ...) write down how they were called.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
DEPLOY = CHECKOUT / "deploy" / "openwrt"
HOOKS = CHECKOUT / "firmware_hooks" / "openwrt"
SHELLS = ("dash", "busybox sh")

UCI = r"""#!{python} -I
import re, shlex, sys
from pathlib import Path
ROOT = Path("{root}")
def load(package):
    sections = {{}}
    try: text = (ROOT / package).read_text()
    except OSError: sys.exit(1)
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        if not words: continue
        if words[0] == "config": current = sections.setdefault(words[2] if len(words) > 2 else "cfg", {{"": words[1]}})
        elif words[0] == "option": current[words[1]] = words[2]
        elif words[0] == "list": current.setdefault(words[1], []).append(words[2])
    return sections
def save(package, sections):
    lines = []
    for name, options in sections.items():
        lines.append("\nconfig %s '%s'" % (options[""], name))
        for key, value in options.items():
            if key: lines += ["\tlist %s %s" % (key, quoted(v)) for v in value] if isinstance(value, list) else ["\toption %s %s" % (key, quoted(value))]
    (ROOT / package).write_text("\n".join(lines) + "\n")
def quoted(value): return "'" + value.replace("'", "'\\''") + "'"
def run(words):
    verb, rest = words[0], words[1:]
    if verb == "commit": return 0
    name, _, value = rest[0].partition("=")
    parts = name.split(".")
    sections = load(parts[0])
    if verb == "show":
        for section, options in sections.items():
            for key, v in options.items():
                shown = " ".join(map(quoted, v)) if isinstance(v, list) else quoted(v) if key else v
                print("%s.%s%s=%s" % (parts[0], section, "." + key if key else "", shown))
        return 0
    section, key = parts[1], parts[2] if len(parts) > 2 else ""
    if verb == "get":
        found = sections.get(section, {{}}).get(key)
        if found is None: return 1
        print(" ".join(found) if isinstance(found, list) else found)
        return 0
    if verb == "set":
        if key and section not in sections: return 1
        sections.setdefault(section, {{"": value}})[key] = value
    elif verb == "add_list": sections[section].setdefault(key, []).append(value)
    elif verb == "delete":
        if sections.get(section, {{}}).pop(key, None) is None: return 1
    save(parts[0], sections)
    return 0
words = [w for w in sys.argv[1:] if w != "-q"]
if words[0] == "batch":
    codes = [run(shlex.split(line)) for line in sys.stdin if line.strip()]
    sys.exit(0)
sys.exit(run(words))
"""


class AccessPoint:
    """A root folder and its PATH. ``log`` is what the stand-ins were told, a line each."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bin = root / "stand-ins"
        self.calls = root / "calls.log"
        (root / "etc/config").mkdir(parents=True, exist_ok=True)
        self.bin.mkdir()
        self.program("uci", UCI.format(python=sys.executable, root=root / "etc/config"))

    def program(self, name: str, text: str) -> None:
        """Put a program in front of PATH."""
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def stand_in(self, name: str, output: str = "", code: int = 0) -> None:
        """A program that writes its call down, prints ``output`` and ends with ``code``."""
        self.program(name, f"#!/bin/sh\necho \"{name} $*\" >>{self.calls}\nprintf '%s' '{output}'\nexit {code}\n")

    def config(self, text: str) -> None:
        (self.root / "etc/config/ivizone").write_text(text)

    def log(self) -> list[str]:
        return self.calls.read_text().splitlines() if self.calls.exists() else []

    def environment(self, **more: str) -> dict[str, str]:
        return {"PATH": f"{self.bin}:/usr/bin:/bin", "IVIZONE_ROOT": str(self.root), "LANG": "C.UTF-8", **more}

    def shell(self, shell: str, script: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        """Run shell text; ``shell`` is one of SHELLS."""
        return subprocess.run(
            [*shell.split(), "-c", script],
            env=self.environment(**environment),
            cwd=self.root,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def bare_python(self, packages: Path | None = None) -> None:
        """`python3` with the standard library, yaml and cryptography, and ``packages`` (structlog's ipk); no site folder."""
        site = self.root / "site"
        site.mkdir()
        for name in ("yaml", "cryptography", "cffi"):
            (site / name).symlink_to(Path(sysconfig.get_path("platlib")) / name)
        for compiled in Path(sysconfig.get_path("platlib")).glob("_cffi_backend*.so"):
            (site / compiled.name).symlink_to(compiled)
        path = f"{site}:{packages}" if packages else str(site)
        self.program(
            "python3",
            f'#!/bin/sh\nPYTHONPATH="${{PYTHONPATH:+$PYTHONPATH:}}{path}" exec {sys.executable} -S "$@"\n',
        )


def has_shell(shell: str) -> bool:
    return any(os.access(Path(folder) / shell.split()[0], os.X_OK) for folder in ("/bin", "/usr/bin"))


def shells() -> list[object]:
    """SHELLS as parameters; one that is not installed is skipped with its reason."""

    def marked() -> Iterator[object]:
        for shell in SHELLS:
            missing = pytest.mark.skipif(
                not has_shell(shell), reason=f"{shell.split()[0]} is not installed (apt-get install)"
            )
            yield pytest.param(shell, marks=missing, id=shell.split()[0])

    return list(marked())
