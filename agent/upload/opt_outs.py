"""The store's filter of opt-outs: asked of the cloud, kept in a file, so that a restart without a line respects it too (shell)."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from agent.privacy.opt_out import MAX_BYTES, OptOuts
from agent.secret_file import write_secret
from agent.upload.https import Asks, unexpected

OPT_OUTS_PATH = "/v1/agents/self/opt-outs"


class OptOutFile:
    """The filter in a file that only its owner can read; no file, or an empty one, where nobody opted out."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._etag = ""

    def load(self) -> OptOuts | None:
        """The filter. Raises OptOutsMalformed, OSError."""
        if not self._path.exists():
            return None
        with open(self._path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
        return OptOuts(content) if content else None

    def update(self, connection: Asks, authorization: str) -> bool:
        """Ask for the newest; True where it is another. Raises OptOutsMalformed for an answer that is none, UploadError, ConfigError."""
        headers = {"Authorization": authorization} | ({"If_None_Match": self._etag} if self._etag else {})
        response = connection.request("GET", OPT_OUTS_PATH, None, **headers)
        if response.status == 304:
            return False
        if response.status != 200:
            raise unexpected(response, "when asked for the opt-outs")
        if response.body:
            OptOuts(response.body)  # damaged ones never replace a good one
        self._etag = response.etag or ""
        if response.body == self._kept():
            return False
        write_secret(self._path, response.body)
        return True

    def _kept(self) -> bytes:
        with suppress(OSError):
            return self._path.read_bytes()
        return b""
