"""Enrolment: a one-time token buys this access point a name, a site and a configuration (shell).

The private key is made here and never leaves: the cloud gets the public one.
"""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any, TypeGuard

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.config import Config, parse_config
from agent.upload.errors import UploadRefused
from agent.upload.https import Connection, unexpected

ENROL_PATH = "/v1/enrol"


def enrol(connection: Connection, token: str, private_key: Ed25519PrivateKey, software: str) -> dict[str, Any]:
    """Ask the cloud; gives its answer {"agent", "site", "config"}. Raises UploadError with what the cloud said."""
    public = private_key.public_key().public_bytes_raw()
    body = json.dumps({"token": token, "public_key": b64encode(public).decode(), "software": software}).encode()
    response = connection.request("POST", ENROL_PATH, body, Content_Type="application/json")
    if response.status == 201:
        answer = _json(response.body)
        if _is_enrolment(answer):
            return answer
        raise UploadRefused("the cloud's answer names no agent and no site; is this an Ivizone cloud?")
    raise unexpected(response, "to the enrolment")


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _is_enrolment(answer: Any) -> TypeGuard[dict[str, Any]]:
    """True for {"agent": text, "site": text, "config": {section: {option: value}}}, the last of which may be missing."""
    if not isinstance(answer, dict) or not all(isinstance(answer.get(name), str) for name in ("agent", "site")):
        return False
    config = answer.get("config") or {}
    return isinstance(config, dict) and all(isinstance(options, dict) for options in config.values())


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
