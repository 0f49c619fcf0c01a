"""Another key for an access point, without a gap (shell; agent/wire/SPEC.md, section 7).

1. the new key is written beside the old one (`agent.key.next`), durably;
2. the cloud registers it against both signatures; from then on it takes batches of either, the old one's if they began before;
3. after ``SETTLE_S`` the new key takes the old one's place by a rename, and the next batch is signed with it.

Killed anywhere, the same again ends it: a `.next` file says that a change is under way, and the cloud takes one that it has taken already.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

from agent.config import ConfigError
from agent.log import log
from agent.own_key import load_key, load_or_make_key
from agent.secret_file import rename
from agent.upload.https import Asks, unexpected
from agent.wire.key_change import KEY_CHANGE_PATH, SETTLE_S, key_change_text

DAY_S = 86_400
Told = Callable[[str, dict[str, str]], None]
"""Writes a receipt: what, about."""


def next_key_file(key_file: Path) -> Path:
    """Where the next key waits while a change is under way."""
    return key_file.with_name(key_file.name + ".next")


def is_due(key_file: Path, key_days: int, now_s: float) -> bool:
    """True where a change is under way, or the key is older than ``key_days`` (0: it never is)."""
    if next_key_file(key_file).exists():
        return True
    try:
        return key_days > 0 and now_s - key_file.stat().st_mtime >= key_days * DAY_S
    except OSError:
        return False


def change_key(
    connection: Asks, agent: str, key_file: Path, *, now_s: int, wait: Callable[[float], object], told: Told
) -> None:
    """Change the key, or end a change that was begun. ``wait`` waits seconds. Raises ConfigError, UploadError.

    A refusal takes the next key away, unless the cloud may have taken it: it could be the only one that the cloud knows.
    """
    old, new = load_key(key_file), load_or_make_key(next_key_file(key_file))
    before, after = (key.public_key().public_bytes_raw() for key in (old, new))
    text = key_change_text(agent, before, after, now_s)
    parts = {"old": before, "new": after, "by_old": old.sign(text), "by_new": new.sign(text)}
    asked = {name: b64encode(part).decode() for name, part in parts.items()}
    body = json.dumps({"agent": agent, "time": now_s, **asked}).encode()
    response = connection.request("POST", KEY_CHANGE_PATH, body, Content_Type="application/json")
    if response.status != 200:
        if response.status == 409:  # said of a key that is not the agent's, and will not be
            next_key_file(key_file).unlink(missing_ok=True)
        raise unexpected(response, "to the change of key")
    told("key_changed", {"agent": agent, "next_key": asked["new"]})
    wait(SETTLE_S)
    _take_its_place(key_file)
    log.info("agent_key_changed", agent=agent)


def _take_its_place(key_file: Path) -> None:
    try:
        rename(next_key_file(key_file), key_file)
    except OSError as error:
        raise ConfigError(
            f"agent.key_file {key_file}: cannot be replaced ({error.strerror}); choose a directory that this user may write"
        ) from error
