"""Amazon S3 as the object store, through boto3.

S3 checks the SHA-256 of what arrives before it stores it, so an object is whole or not there. A put whose answer got lost is put
again under the same name. DuckDB reads files, so objects that are to be analysed here are copied to a local folder first; Spark is
given s3:// addresses. boto3 is an extra: pip install ivizone[aws].
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from cloud.stores.base import StoreError

PART_BYTES = 16 << 20
"""From twice this on an object goes up in parts, of this size. Source: Amazon S3, multipart upload limits: 5 MiB at least."""
CONNECT_S, READ_S = 3.0, 20.0
RETRIES: dict[str, Any] = {"mode": "standard", "total_max_attempts": 5}
"""boto3's own back-off: every request here may be sent twice."""
COPIES_LIMIT_BYTES = 5_000_000_000
COPY_UNUSED_S = 3600.0


class S3Store:
    """Objects of ``bucket`` below ``prefix`` (empty, or ending in a slash), through ``client``, made with RETRIES. With ``copies``,
    `location` is a file in that folder; without, an s3:// address."""

    def __init__(
        self,
        client: Any,
        bucket: str,
        prefix: str = "",
        copies: Path | None = None,
        copies_limit_bytes: int = COPIES_LIMIT_BYTES,
        part_bytes: int = PART_BYTES,
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix
        self._copies = _Copies(copies, copies_limit_bytes) if copies else None
        self._part_bytes = part_bytes

    def put(self, name: str, data: bytes) -> None:
        """See ``ObjectStore.put``."""
        key = self._key(name)
        if len(data) >= 2 * self._part_bytes:
            self._put_parts(name, key, data)
            return
        self._call(name, "put_object", Key=key, Body=data, ChecksumAlgorithm="SHA256", ChecksumSHA256=_checksum(data))

    def get(self, name: str) -> bytes:
        """See ``ObjectStore.get``."""
        return self._read(name, self._call(name, "get_object", Key=self._key(name), ChecksumMode="ENABLED"))

    def names(self, prefix: str) -> list[str]:
        """See ``ObjectStore.names``."""
        found: list[str] = []
        more: dict[str, str] = {}
        while True:
            answer = self._call(prefix, "list_objects_v2", Prefix=self._prefix + prefix, **more)
            found += [one["Key"].removeprefix(self._prefix) for one in answer.get("Contents", ())]
            if not answer.get("IsTruncated"):
                return sorted(found)
            more = {"ContinuationToken": answer["NextContinuationToken"]}

    def remove(self, name: str) -> None:
        """See ``ObjectStore.remove``."""
        self._call(name, "delete_object", Key=self._key(name))
        if self._copies:
            self._copies.drop(name)

    def forget_copies(self, unused_s: float = COPY_UNUSED_S) -> int:
        """Remove the copies that nobody used for so long: the object may be erased by another process. Gives how many."""
        return self._copies.forget(unused_s) if self._copies else 0

    def location(self, name: str) -> str:
        """See ``ObjectStore.location``. Raises StoreError where the object cannot be copied."""
        key = self._key(name)
        if self._copies is None:
            return f"s3://{self._bucket}/{key}"
        return self._copies.path(name, lambda etag: self._changed(name, key, etag))

    # --- requests -----------------------------------------------------------------------------------------------------

    def _put_parts(self, name: str, key: str, data: bytes) -> None:
        upload = self._call(name, "create_multipart_upload", Key=key, ChecksumAlgorithm="SHA256")["UploadId"]
        try:
            parts = []
            for number, start in enumerate(range(0, len(data), self._part_bytes), 1):
                part = data[start : start + self._part_bytes]
                which = {"PartNumber": number, "ChecksumSHA256": _checksum(part)}
                answer = self._call(name, "upload_part", Key=key, UploadId=upload, Body=part, **which)
                parts.append({"ETag": answer["ETag"], **which})
            self._call(name, "complete_multipart_upload", Key=key, UploadId=upload, MultipartUpload={"Parts": parts})
        except StoreError:
            with suppress(StoreError):  # else the bucket's rule for unfinished uploads removes it
                self._call(name, "abort_multipart_upload", Key=key, UploadId=upload)
            raise

    def _changed(self, name: str, key: str, etag: str | None) -> tuple[bytes, str] | None:
        """The object and its tag, None where it still bears ``etag``."""
        only = {"IfNoneMatch": etag} if etag else {}
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=key, ChecksumMode="ENABLED", **only)
        except ClientError as error:
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 304:
                return None
            raise _store_error(name, error) from error
        except BotoCoreError as error:
            raise _store_error(name, error) from error
        return self._read(name, answer), str(answer["ETag"])

    def _read(self, name: str, answer: dict[str, Any]) -> bytes:
        try:
            data: bytes = answer["Body"].read()
        except (BotoCoreError, OSError) as error:  # the connection broke in the middle, or the checksum is another
            raise _store_error(name, error) from error
        return data

    def _call(self, name: str, operation: str, **arguments: Any) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = getattr(self._client, operation)(Bucket=self._bucket, **arguments)
        except (ClientError, BotoCoreError) as error:
            raise _store_error(name, error) from error
        return answer

    def _key(self, name: str) -> str:
        # The same names as in a folder, so that a lake can be moved from one to the other.
        if any(not part or part.startswith(".") for part in name.split("/")) or "\0" in name:
            raise StoreError(f"object name {name!r} cannot be; use a/b/c, no part empty or beginning with a dot")
        return self._prefix + name


class _Copies:
    """A folder of copies, each under a name made of the object's name; beside it lies the tag that S3 gave. The oldest go first."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, name: str, fetch: Callable[[str | None], tuple[bytes, str] | None]) -> str:
        path = self._folder / (hashlib.sha256(name.encode()).hexdigest() + ".parquet")
        tag = path.with_suffix(".tag")
        try:
            known = tag.read_text() if tag.exists() and path.exists() else None
            if changed := fetch(known):
                data, etag = changed
                tag.unlink(missing_ok=True)  # never a tag beside the bytes of another
                _replace(path, data)
                _replace(tag, etag.encode())
                self._make_room(path)
            os.utime(path)
        except OSError as error:
            raise StoreError(f"{self._folder}: object {name} cannot be copied ({error.strerror})") from error
        return str(path)

    def drop(self, name: str) -> None:
        self._remove(self._folder / (hashlib.sha256(name.encode()).hexdigest() + ".parquet"))

    def forget(self, unused_s: float) -> int:
        with self._lock:
            old = [path for path in self._folder.glob("*.parquet") if path.stat().st_mtime < time.time() - unused_s]
            for path in old:
                self._remove(path)
        return len(old)

    @staticmethod
    def _remove(path: Path) -> None:
        path.with_suffix(".tag").unlink(missing_ok=True)
        path.unlink(missing_ok=True)

    def _make_room(self, keep: Path) -> None:
        """Remove copies that were not used for an hour, oldest first, while there are too many bytes; what is being read stays."""
        with self._lock:
            files = sorted((path.stat().st_mtime, path.stat().st_size, path) for path in self._folder.glob("*.parquet"))
            size = sum(length for _, length, _ in files)
            for used_s, length, path in files:
                if size <= self._limit_bytes or path == keep or used_s > time.time() - 3600:
                    return
                self._remove(path)
                size -= length


def _replace(path: Path, data: bytes) -> None:
    part = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}.part")
    part.write_bytes(data)
    part.replace(path)


def _checksum(data: bytes) -> str:
    return b64encode(hashlib.sha256(data).digest()).decode()


def _store_error(name: str, error: Exception) -> StoreError:
    said = type(error).__name__
    if isinstance(error, ClientError):
        said = str(error.response.get("Error", {}).get("Code", "an error"))
    return StoreError(f"object {name}: S3 answers {said}; check the bucket and the rights, or wait")
