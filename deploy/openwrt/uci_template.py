"""Writes files/etc/config/ivizone from agent.config: every option with its meaning, its range and its default.

    python3 deploy/openwrt/uci_template.py

Run it after an option was added, changed or removed in agent/config.py; a test compares the two.
"""

from __future__ import annotations

import sys
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
sys.path.insert(0, str(CHECKOUT))

from agent.config import Config  # noqa: E402

TARGET = HERE / "files/etc/config/ivizone"
STATE = "/etc/ivizone/state"
RUN = "/var/run/ivizone"

SET_HERE: dict[tuple[str, str], str] = {
    ("agent", "key_file"): f"{STATE}/agent.key",
    ("privacy", "site_key_file"): f"{STATE}/site.key",
    ("source", "channel_file"): f"{RUN}/channel.json",
    ("spool", "directory"): f"{STATE}/spool",
    ("spool", "limit_bytes"): "2000000",
    ("spool", "ram_directory"): f"{RUN}/spool",
    ("clock", "synced_file"): f"{RUN}/clock-synced",
    ("state", "status_file"): f"{RUN}/status.json",
    ("state", "heard_file"): f"{RUN}/heard.json",
}
"""Where OpenWrt needs another value than the default: /var is RAM there, so keys live under /etc, and flash is small."""

HEAD = """\
# Ivizone on OpenWrt. Sections and options are those of the agent's configuration; a line that begins with #option shows
# the default. After a change: uci commit ivizone && reload_config        What is wrong: /etc/init.d/ivizone check
# `uci commit` drops these remarks; they stay in /usr/lib/ivizone/options.uci
# Written by deploy/openwrt/uci_template.py.

config service 'service'
	# 1 when the agent is to run; enrol first: ivizone-agent enrol URL --token T
	option enabled '0'

# The radio that the source 'monitor' listens with (docs/adr/0012-channel-plan.md). See: python3 -m firmware_hooks report
config radio 'radio'
	# radio to listen with, e.g. phy1; empty: a free one, else one that serves
	#option phy ''
	# 1: take interfaces of that radio down that serve nobody, so that it can hop
	#option take '0'
	# 1: go round the channels; only a radio that serves nobody does
	#option hop '0'
	# channels to go round, e.g. '1,6,11'; empty: chosen by what the radio can
	#option channels ''
	# milliseconds of one round, and of the shortest stay
	#option cycle_ms '15000'
	#option min_dwell_ms '1000'

# The captive portal through openNDS; tokens are made in privacy.mode 'consent' only (docs/install-openwrt.md).
config portal 'portal'
	# https:// address of the store's page
	#option url ''
	# days that a visitor's token lasts; 1 to 400
	#option visitor_key_days '180'
	# where its key is kept; never leaves this access point
	#option visitor_key_file '/etc/ivizone/visitor.key'
"""
NOTES = {("source", "name"): "chosen at the first boot by what the radio can: 'monitor' or 'hostapd'"}


def template() -> str:
    """The whole file."""
    return HEAD + "".join(_section(section) for section in fields(Config))


def _section(section: Field[Any]) -> str:
    options = getattr(Config(), section.name)
    lines = [f"\n# {type(options).__doc__}", f"config {section.name} '{section.name}'"]
    for option in fields(options):
        lines += [f"\t# {_meaning(section.name, option)}", *_setting(section.name, option)]
    return "\n".join(lines) + "\n"


def _meaning(section: str, option: Field[Any]) -> str:
    meta = option.metadata
    words = [meta["meaning"]]
    if "choices" in meta:
        words.append(f"one of: {', '.join(meta['choices'])}")
    if "low" in meta:
        words.append(f"{meta['low']} to {meta['high']}")
    if (section, option.name) in NOTES:
        words.append(NOTES[section, option.name])
    return "; ".join(words)


def _setting(section: str, option: Field[Any]) -> list[str]:
    if option.default == ():
        return [f"\t#list {option.name} ''"]
    if (section, option.name) in SET_HERE:
        return [f"\toption {option.name} '{SET_HERE[section, option.name]}'"]
    return [f"\t#option {option.name} '{option.default}'"]


if __name__ == "__main__":
    TARGET.write_text(template())
    print(f"{TARGET.relative_to(CHECKOUT)} written")
