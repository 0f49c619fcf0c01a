"""What is known against a driver, with the source, so that a radio's word is not all we go by (core).

A driver that is not in the list is not thereby good: `report` says what the radio claims, the agent's watchdog on frames
says what it does. An entry says for which use it holds:

    monitor            listening at all
    monitor_beside_ap  a monitor interface while the same radio serves
    hostapd_events     subscribing to hostapd's events over ubus

`never` stops a plan; `suspect` is a warning in the report, because the reports are old, or the cause was never found.
"""

from __future__ import annotations

from dataclasses import dataclass

NEVER, SUSPECT = "never", "suspect"


@dataclass(frozen=True, slots=True)
class Objection:
    """One thing that is known against a driver."""

    driver: str
    use: str
    weight: str
    reason: str
    source: str


OBJECTIONS: tuple[Objection, ...] = (
    Objection(
        "brcmfmac",
        "monitor",
        NEVER,
        "the firmware of the chip (Raspberry Pi on board) keeps management frames to itself; patched firmware (nexmon) "
        "crashes or falls silent after minutes. Use a USB adapter, see docs/install-raspberrypi.md",
        "seemoo-lab/nexmon issues 280 and 339",
    ),
    Objection(
        "wl",
        "monitor",
        NEVER,
        "Broadcom's closed driver has no monitor interface of nl80211. Use a USB adapter",
        "the driver's interface list",
    ),
    Objection(
        "mwlwifi",
        "monitor_beside_ap",
        NEVER,
        "the kernel panics within minutes when a monitor interface is up beside an access point (Linksys WRT1900AC family)",
        "kaloz/mwlwifi issues 31 and 60",
    ),
    Objection(
        "88XXau",
        "monitor_beside_ap",
        NEVER,
        "the out-of-tree driver cannot have a monitor and another active interface together",
        "astsam/rtl8812au issue 6",
    ),
    Objection(
        "rtl8723de",
        "monitor",
        SUSPECT,
        "the machine was reported to hang when monitor mode begins",
        "smlinux/rtl8723de issue 58, lwfinger/rtlwifi_new issue 586",
    ),
    Objection(
        "ath11k",
        "monitor",
        SUSPECT,
        "bringing a monitor interface up crashed the firmware before the fix of January 2023; OpenWrt 23.05 and later have it",
        "openwrt/openwrt pull request 11770",
    ),
    Objection(
        "mt7921u",
        "monitor_beside_ap",
        SUSPECT,
        "an access point on this adapter was reported to crash the machine; as a pure monitor it is well spoken of",
        "morrownr/USB-WiFi issue 133",
    ),
    Objection(
        "ath10k_pci",
        "hostapd_events",
        SUSPECT,
        "firmware crashes every half-minute were reported with usteer, which subscribes as we do and does much more; "
        "set source.name to 'monitor' if `logread` shows 'firmware crashed'",
        "greearb/ath10k-ct issue 206",
    ),
)

ALIASES = {
    "brcmfmac_sdio": "brcmfmac",
    "brcmfmac_usb": "brcmfmac",
    "brcmfmac_wcc": "brcmfmac",
    "ath11k_pci": "ath11k",
    "ath11k_ahb": "ath11k",
    "rtl88XXau": "88XXau",
    "rtl8812au": "88XXau",
    "rtl8821au": "88XXau",
    "ath10k_ahb": "ath10k_pci",
    "wlan": "wl",
}
"""Names under which the kernel shows a driver of the list (the basename of /sys/class/ieee80211/phyN/device/driver)."""


def objections(driver: str | None) -> tuple[Objection, ...]:
    """What is known against ``driver``; empty where nothing is, or where the driver is not known."""
    name = ALIASES.get(driver or "", driver)
    return tuple(entry for entry in OBJECTIONS if entry.driver == name)
