"""`ivizone-agent enrol` and `site-key`: who this access point is, and the secret that its site shares (shell)."""

from __future__ import annotations

import argparse
import os
import sys
import time
from contextlib import closing
from pathlib import Path

from agent import __version__
from agent.commands import configured
from agent.compose import SiteKeyFile, connect, receipts
from agent.config import DEFAULT_PATH, Config, ConfigError, load_config
from agent.exit_codes import OK
from agent.own_key import load_or_make_key
from agent.privacy.ratchet import SiteKey
from agent.secret_file import write_secret
from agent.upload.enrol import enrol as ask
from agent.upload.enrol import enrolled_config, needs_enrolment
from agent.upload.https import Connection
from agent.upload.rekey import change_key

NOT_ALONE = "where a store has several access points, each needs `privacy: access_points: several`, or a device that two hear counts twice"


def enrol(options: argparse.Namespace) -> int:
    """Buy a name with a one-time token, and write the configuration; or change the key of one that has a name."""
    if options.rotate:
        return _rotate(options)
    if not options.url:
        raise ConfigError("enrol needs the cloud's address: ivizone-agent enrol URL --token T")
    path = options.config or DEFAULT_PATH
    config = load_config(path) if path.exists() else Config()
    existing = path.read_text() if path.exists() else ""
    key = load_or_make_key(Path(config.agent.key_file))
    connection = Connection(options.url, ca_file=config.cloud.ca_file, timeout_s=config.cloud.timeout_s)
    answer = ask(connection, options.token, key, __version__)
    connection.close()
    write_secret(path, enrolled_config(existing, path.name, options.url, answer).encode())
    print(f"enrolled as {answer['agent']} of site {answer['site']}; configuration written to {path}")
    keeper = SiteKeyFile(Path(config.privacy.site_key_file))
    if not keeper.path.exists():
        keeper.save(_new_site_key())
        print(
            f"a new site key was made in {keeper.path}; the site's other access points need the same one: ivizone-agent site-key export"
        )
    return OK


def _rotate(options: argparse.Namespace) -> int:
    config = configured(options)
    missing = needs_enrolment(config)
    if missing:
        raise ConfigError(missing)
    key_file = Path(config.agent.key_file)
    with closing(connect(config)) as connection:
        told = receipts(config).add
        change_key(connection, config.agent.id, key_file, now_s=int(time.time()), wait=time.sleep, told=told)
    print(f"{config.agent.id} signs with a new key; what waits in the spool is taken under the former one for 7 days")
    return OK


def print_receipts(options: argparse.Namespace) -> int:
    """The chain, a line for each receipt; `ivizone-cloud receipts verify FILE` checks it."""
    sys.stdout.write(receipts(configured(options)).text())
    return OK


def site_key(options: argparse.Namespace) -> int:
    """Make, show or take over the site key."""
    keeper = SiteKeyFile(Path(configured(options).privacy.site_key_file))
    if options.action == "export":
        print(keeper.load().to_text())
        print(NOT_ALONE, file=sys.stderr)
        return OK
    if keeper.path.exists():
        raise ConfigError(f"{keeper.path} holds a site key; remove it first if its pseudonyms may end today")
    if options.action == "import":
        keeper.save(SiteKey.from_text(sys.stdin.readline()))
    else:
        keeper.save(_new_site_key())
    print(f"site key written to {keeper.path}")
    return OK


def _new_site_key() -> SiteKey:
    return SiteKey(
        int(time.time() // 86_400) - 1, os.urandom(32)
    )  # a day back, so that a day that begins before 00:00 UTC has its key
