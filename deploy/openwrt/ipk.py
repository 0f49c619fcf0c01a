"""An .ipk without the SDK: one gzipped tar of debian-binary, data.tar.gz and control.tar.gz, as OpenWrt's scripts/ipkg-build makes it.

The same content gives the same bytes: names sorted, owner root, times 0, the gzip header without time or name.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """One file; ``mode`` is its permissions."""

    content: bytes
    mode: int = 0o644


def build_ipk(
    data: Mapping[str, Entry], control: str, scripts: Mapping[str, str], conffiles: tuple[str, ...] = ()
) -> bytes:
    """``data`` maps absolute paths to files; ``scripts`` names (postinst, prerm) to texts."""
    meta = {"/control": Entry(control.encode())}
    meta |= {f"/{name}": Entry(text.encode(), 0o755) for name, text in scripts.items()}
    if conffiles:
        meta["/conffiles"] = Entry("".join(f"{path}\n" for path in conffiles).encode())
    return _packed(
        {
            "/debian-binary": Entry(b"2.0\n"),
            "/data.tar.gz": Entry(_packed(data)),
            "/control.tar.gz": Entry(_packed(meta)),
        },
        with_directories=False,
    )


def _packed(files: Mapping[str, Entry], *, with_directories: bool = True) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.GNU_FORMAT) as archive:
        if with_directories:
            for folder in sorted({parent for path in files for parent in _parents(path)}):
                made = tarfile.TarInfo(f".{folder}")
                made.type, made.mode = tarfile.DIRTYPE, 0o755
                _add(archive, made, b"")
        for path in sorted(files):
            made = tarfile.TarInfo(f".{path}")
            made.mode, made.size = files[path].mode, len(files[path].content)
            _add(archive, made, files[path].content)
    return gzip.compress(raw.getvalue(), 9, mtime=0)


def _add(archive: tarfile.TarFile, made: tarfile.TarInfo, content: bytes) -> None:
    made.uname = made.gname = "root"
    made.mtime = 0
    archive.addfile(made, io.BytesIO(content))


def _parents(path: str) -> list[str]:
    parts = path.strip("/").split("/")[:-1]
    return ["/", *("/" + "/".join(parts[: n + 1]) + "/" for n in range(len(parts)))]
