"""An enrolled agent's files, as `enrol` leaves them, for tests of the commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from agent.compose import SiteKeyFile
from agent.own_key import load_or_make_key
from agent.privacy.ratchet import SiteKey

SITE_KEY = SiteKey(19_000, bytes(range(100, 132)))


def enrolled(folder: Path, url: str = "", **sections: dict[str, Any]) -> Path:
    """Make keys and a configuration in ``folder``; gives the configuration's path. ``sections`` are laid over it."""
    folder.mkdir(parents=True, exist_ok=True)
    content: dict[str, dict[str, Any]] = {
        "agent": {"id": "ap-test", "site": "shop", "key_file": str(folder / "agent.key")},
        "cloud": {"url": url, "timeout_s": 5},
        "privacy": {"site_key_file": str(folder / "site.key")},
        "spool": {"directory": str(folder / "spool")},
        "upload": {"first_retry_s": 0.05, "last_retry_s": 1.0},
    }
    for name, options in sections.items():
        content.setdefault(name, {}).update(options)
    load_or_make_key(folder / "agent.key")
    SiteKeyFile(folder / "site.key").save(SITE_KEY)
    path = folder / "agent.yaml"
    path.write_text(yaml.safe_dump(content))
    return path
