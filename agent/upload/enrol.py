"""Enrolment: a one-time token buys this access point a name, a site and a configuration (shell).

The private key is made here and never leaves: the cloud gets the public one.
"""

from __future__ import annotations

import json
import os
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.config import Config, ConfigError, parse_config
from agent.upload.errors import UploadDeferred, UploadError, UploadRefused
from agent.upload.https import Connection

ENROL_PATH = "/v1/enrol"
PEM_LINES = ("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----")
ED25519_PKCS8 = bytes.fromhex("302e020100300506032b657004220420")
"""What stands before the 32 bytes of an Ed25519 key in PKCS #8. Source: RFC 8410, section 7."""


def enrol(connection: Connection, token: str, private_key: Ed25519PrivateKey, software: str) -> dict[str, Any]:
    """Ask the cloud; gives its answer {"agent", "site", "config"}. Raises UploadError with what the cloud said."""
    public = private_key.public_key().public_bytes_raw()
    body = json.dumps({"token": token, "public_key": b64encode(public).decode(), "software": software}).encode()
    response = connection.request("POST", ENROL_PATH, body, Content_Type="application/json")
    if response.status == 201:
        answer = _json(response.body)
        if isinstance(answer, dict) and isinstance(answer.get("agent"), str) and isinstance(answer.get("site"), str):
            return answer
        raise UploadRefused("the cloud's answer names no agent and no site; is this an Ivizone cloud?")
    said = response.body.decode("utf-8", "replace").strip()[:300]
    kind: type[UploadError] = UploadDeferred if response.status >= 500 or response.status == 429 else UploadRefused
    raise kind(f"the cloud answered {response.status} to the enrolment: {said}")


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def load_or_make_key(path: Path) -> Ed25519PrivateKey:
    """The agent's private key; a new one where there is none. Raises ConfigError."""
    if path.exists():
        return load_key(path)
    key = Ed25519PrivateKey.generate()
    body = b64encode(ED25519_PKCS8 + key.private_bytes_raw()).decode()
    write_secret(path, "\n".join((PEM_LINES[0], body, PEM_LINES[1], "")).encode())
    return key


def load_key(path: Path) -> Ed25519PrivateKey:
    """Read the private key. Raises ConfigError.

    PKCS #8 for this one algorithm is a fixed prefix and 32 bytes; cryptography's reader of every format costs an access point 2 MB.
    """
    try:
        lines = path.read_bytes().decode("ascii", "replace").split("\n")
    except OSError as error:
        raise ConfigError(
            f"agent.key_file {path}: cannot be read ({error.strerror}); enrol first: ivizone-agent enrol URL --token T"
        ) from error
    try:
        first, *body, last = [line.strip() for line in lines if line.strip()]
        packed = b64decode("".join(body), validate=True)
    except ValueError:
        first, last, packed = "", "", b""
    if (first, last) != PEM_LINES or not packed.startswith(ED25519_PKCS8) or len(packed) != len(ED25519_PKCS8) + 32:
        raise ConfigError(
            f"agent.key_file {path}: is no Ed25519 private key in PEM (PKCS #8, not encrypted); enrol again with another agent.key_file"
        )
    return Ed25519PrivateKey.from_private_bytes(packed[len(ED25519_PKCS8) :])


def write_secret(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all. Raises ConfigError."""
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb", buffering=0) as file:  # a buffer would keep a copy of the secret
            rest = memoryview(content)
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        part.rename(path)
        folder = os.open(
            path.parent, os.O_RDONLY
        )  # or a power cut brings back the state before: with a site key, yesterday's
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be written ({error.strerror}); choose a directory that this user may write"
        ) from error


def enrolled_config(existing: str, name: str, url: str, answer: dict[str, Any]) -> str:
    """The configuration file after enrolment: what was there, with agent, site, cloud and what the cloud set. Raises ConfigError."""
    import yaml  # only this command writes it; a running agent has let go of it

    parse_config(existing, name)
    content = yaml.safe_load(existing) or {}
    own = {"agent": {"id": answer["agent"], "site": answer["site"]}, "cloud": {"url": url}}
    given = answer.get("config") or {}
    for section, options in [*given.items(), *own.items()]:
        content[section] = (content.get(section) or {}) | options
    text = (
        "# Written by `ivizone-agent enrol`; every option is explained in docs/agent.example.yaml.\n"
        + yaml.safe_dump(content, sort_keys=False)
    )
    parse_config(text, name)
    return text


def needs_enrolment(config: Config) -> str:
    """What is missing before batches can be sent; empty where nothing is."""
    if not config.agent.id or not config.agent.site:
        return "this agent is not enrolled; run: ivizone-agent enrol URL --token T (the token comes from: ivizone-cloud agent token --site SITE)"
    return ""
