"""What Elastic Beanstalk is given: one zip with the Procfile, hooks, limits of nginx, our wheel and every other package's exact version.

    python3 deploy/aws/package.py lock                      deploy/aws/requirements.txt: the versions and their hashes, for Amazon Linux 2023
    python3 deploy/aws/package.py zip OUT --wheel WHEEL     OUT/ivizone-aws-VERSION.zip

The same wheel gives the same bytes: times in the zip are fixed and files sorted, so an application version's name can be its hash.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUNDLE = HERE / "bundle"
LOCK = HERE / "requirements.txt"
EXTRA = "aws"
PLATFORMS = ("manylinux_2_34", "manylinux_2_28", "manylinux_2_27", "manylinux_2_24", "manylinux_2_17", "manylinux2014")
"""Amazon Linux 2023 has glibc 2.34; pip takes a platform's name literally."""
PYTHON = "3.11"
EPOCH = (1980, 1, 1, 0, 0, 0)
LOCAL = "wheels/"


def pinned(report: dict) -> list[str]:
    """A line for each package of pip's report but ours, with the hash of the file that was chosen. Source: pip, installation report 1."""
    lines = []
    for item in report["install"]:
        name, version = item["metadata"]["name"], item["metadata"]["version"]
        if name.lower() != "ivizone":
            lines.append(
                f"{name.lower()}=={version} --hash=sha256:{item['download_info']['archive_info']['hashes']['sha256']}"
            )
    return sorted(lines)


def lock() -> str:
    """Ask pip what it would install on an instance."""
    platforms = [word for name in PLATFORMS for word in ("--platform", f"{name}_x86_64")]
    with tempfile.TemporaryDirectory() as folder:
        needed = _needed()
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--dry-run",
            "--quiet",
            "--ignore-installed",
            "--only-binary=:all:",
        ]
        where = [
            "--python-version",
            PYTHON,
            "--implementation",
            "cp",
            "--abi",
            "cp311",
            "--abi",
            "abi3",
            "--abi",
            "none",
        ]
        report = Path(folder) / "report.json"
        subprocess.run([*command, *platforms, *where, "--target", folder, "--report", str(report), *needed], check=True)
        lines = pinned(json.loads(report.read_text()))
    head = "# Made by: python3 deploy/aws/package.py lock. The packages of an instance, Python 3.11 on Amazon Linux 2023 (x86-64).\n"
    return head + "".join(f"{line}\n" for line in lines)


def _needed() -> list[str]:
    """What setup.cfg asks for with the extras of the cloud on AWS."""
    from configparser import ConfigParser

    config = ConfigParser()
    config.read(HERE.parents[1] / "setup.cfg")
    texts = [
        config["options"]["install_requires"],
        config["options.extras_require"]["cloud"],
        config["options.extras_require"][EXTRA],
    ]
    return [line for text in texts for line in text.split("\n") if line and not line.startswith(("#", "ivizone["))]


def build(out: Path, wheel: Path) -> Path:
    """Write the zip; gives its path."""
    version = wheel.name.split("-")[1]
    data = wheel.read_bytes()
    requirements = LOCK.read_text() + f"./{LOCAL}{wheel.name} --hash=sha256:{hashlib.sha256(data).hexdigest()}\n"
    files = {str(path.relative_to(BUNDLE)): path.read_bytes() for path in sorted(BUNDLE.rglob("*")) if path.is_file()}
    files |= {"requirements.txt": requirements.encode(), f"{LOCAL}{wheel.name}": data}
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"ivizone-aws-{version}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(files.items()):
            archive.writestr(_entry(name), content)
    return path


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, EPOCH)
    is_program = name.startswith(("bin/", ".platform/hooks/"))
    entry.external_attr = (0o100755 if is_program else 0o100644) << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def main() -> int:
    """Run one of the two."""
    parser = argparse.ArgumentParser(description="The application bundle for Elastic Beanstalk.")
    commands = parser.add_subparsers(required=True, dest="command")
    commands.add_parser("lock")
    made = commands.add_parser("zip")
    made.add_argument("out", type=Path)
    made.add_argument("--wheel", type=Path, required=True)
    options = parser.parse_args()
    if options.command == "lock":
        LOCK.write_text(lock())
        print(f"{LOCK}: {sum(1 for line in LOCK.read_text().splitlines() if '==' in line)} packages")
    else:
        path = build(options.out, options.wheel)
        print(f"{path} {path.stat().st_size} bytes, sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
