"""How phones find the store's page: the API of RFC 8908, what DHCP says of it (RFC 8910), and the QR code (core).

Nobody is held up: the API says ``captive: false`` and names the page as the place's information. In captive mode openNDS answers for
itself, knows who is let through, and sends its own option 114: then the lines here are not used, and the address goes into UCI instead.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from urllib.parse import urlsplit

import segno

CAPTIVE_JSON = "application/captive+json"
DHCP_OPTION = 114
"""Captive-Portal. Source: RFC 8910, 2.1 (160 of RFC 7710 was withdrawn)."""
DHCP6_OPTION, RA_OPTION = 103, 37
"""The same in DHCPv6 and in router advertisements. Source: RFC 8910, 2.2 and 2.3."""
DHCP_TEXT_BYTES = 255
"""A longer text would need several options (RFC 3396), which not every phone joins."""


class PortalAddressError(ValueError):
    """The address of the portal cannot be told to phones."""


@dataclass(frozen=True, slots=True)
class Network:
    """The lines for a store's network, ready to be pasted."""

    api_url: str
    page_url: str
    uci: str
    dnsmasq: str
    kea: str
    opennds: str
    dnsmasq6: str
    kea6: str
    radvd: str


def api_answer(page_url: str) -> dict[str, object]:
    """The answer of the captive portal API. Source: RFC 8908, section 5: a user portal must be reached over TLS, a venue's page should."""
    is_secure = urlsplit(page_url).scheme == "https"
    return {"captive": False, "venue-info-url": page_url, **({"user-portal-url": page_url} if is_secure else {})}


def page_url(base: str, site: str) -> str:
    """The shopper's page of a store; ``base`` is what stands before /p/."""
    return f"{base.rstrip('/')}/p/{site}/"


def network_lines(base: str, site: str) -> Network:
    """What goes into the configuration of a store's network. Raises PortalAddressError where no phone would take it."""
    page = page_url(base, site)
    api = f"{page}api"
    if urlsplit(base).scheme != "https":
        raise PortalAddressError(
            f"{base}: phones ask the API over TLS only (RFC 8908, section 4); use an https:// address"
        )
    if len(api) > DHCP_TEXT_BYTES or not api.isascii() or any(sign in api for sign in "'\" ,"):
        raise PortalAddressError(
            f"the address has {len(api)} bytes; DHCP takes {DHCP_TEXT_BYTES} of plain ASCII without quotes and commas"
        )
    return Network(
        api,
        page,
        uci="\n".join(
            (
                f"uci add_list dhcp.lan.dhcp_option_force='{DHCP_OPTION},{api}'",
                "uci commit dhcp && service dnsmasq restart",
            )
        ),
        dnsmasq=f'dhcp-option-force={DHCP_OPTION},"{api}"',
        kea=f'{{ "name": "v4-captive-portal", "code": {DHCP_OPTION}, "space": "dhcp4", "data": "{api}" }}',
        opennds="\n".join(
            (
                f"uci set ivizone.portal.url='{page.rstrip('/')}'",
                "uci set opennds.@opennds[0].login_option_enabled=3",
                "uci set opennds.@opennds[0].themespec_path=/usr/lib/ivizone/opennds/theme_ivizone.sh",
                f"uci add_list opennds.@opennds[0].walledgarden_fqdn_list='{urlsplit(base).hostname}'",
                "uci commit && service opennds restart",
            )
        ),
        dnsmasq6=f'dhcp-option-force=option6:{DHCP6_OPTION},"{api}"',
        kea6=f'{{ "name": "v6-captive-portal", "code": {DHCP6_OPTION}, "space": "dhcp6", "data": "{api}" }}',
        radvd=f'AdvCaptivePortalAPI "{api}";',
    )


def qr_svg(url: str) -> str:
    """A QR code of an address as an SVG element: black on white with its quiet zone, in dark pages too. Source: ISO/IEC 18004."""
    out = io.BytesIO()
    segno.make(url, error="m", micro=False).save(
        out,
        kind="svg",
        xmldecl=False,
        border=4,
        light="#fff",
        dark="#000",
        omitsize=True,
        svgclass="qr",
        lineclass=None,
    )
    return out.getvalue().decode().strip()
