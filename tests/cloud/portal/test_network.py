"""How phones find the page: RFC 8908's answer, DHCP's option, the QR code, and the access point's own page in front of all."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

import pytest
import segno
from support.clouds import DAY_MS
from support.openwrt import CHECKOUT, HOOKS, AccessPoint, shells
from support.portal import BASE, links, plain

from cloud.portal.network import PortalAddressError, api_answer, network_lines, page_url, qr_svg

SHELLS = shells()
PHONE = "02:00:5e:00:53:01"
CONFIG = """
config portal 'portal'
	option url 'https://shop.example/p/shop'
	option visitor_key_file '{root}/visitor.key'
config agent 'agent'
	option site 'shop'
config privacy 'privacy'
	option mode 'consent'
"""


def test_nobody_is_held_up_and_the_page_is_named(store):
    """RFC 8908, section 5; the type is compared letter by letter by phones."""
    answer = store.client.get("/p/shop/api", headers={"accept": "application/captive+json"})

    assert answer.headers["content-type"] == "application/captive+json"
    assert answer.headers["cache-control"].startswith("private")
    assert answer.json() == {
        "captive": False,
        "venue-info-url": "https://shop.example/p/shop/",
        "user-portal-url": "https://shop.example/p/shop/",
    }


def test_without_tls_no_user_portal_is_named():
    """RFC 8908: user-portal-url MUST be reached over TLS, venue-info-url SHOULD."""
    assert api_answer("http://127.0.0.1:8080/p/shop/") == {
        "captive": False,
        "venue-info-url": "http://127.0.0.1:8080/p/shop/",
    }


def test_the_page_that_is_named_is_there(store):
    named = store.client.get("/p/shop/api").json()["venue-info-url"]

    assert store.client.get(named.removeprefix(BASE)).status_code == 200


def test_the_lines_name_the_api_and_not_the_page():
    """RFC 8910: the option carries the API's address; a phone that gets a page there learns nothing."""
    lines = network_lines(BASE, "shop")

    assert lines.dnsmasq == 'dhcp-option-force=114,"https://shop.example/p/shop/api"'
    assert "uci add_list dhcp.lan.dhcp_option_force='114,https://shop.example/p/shop/api'" in lines.uci
    assert "uci set ivizone.portal.url='https://shop.example/p/shop'\n" in lines.opennds
    assert lines.dnsmasq6 == 'dhcp-option-force=option6:103,"https://shop.example/p/shop/api"'
    assert lines.radvd == 'AdvCaptivePortalAPI "https://shop.example/p/shop/api";'
    assert json.loads(lines.kea6) == {
        "name": "v6-captive-portal",
        "code": 103,
        "space": "dhcp6",
        "data": f"{BASE}/p/shop/api",
    }
    assert "walledgarden_fqdn_list='shop.example'" in lines.opennds
    assert "fas" not in lines.opennds.lower().replace("fas_secure", "")


@pytest.mark.parametrize(
    ("base", "said"),
    [
        ("http://shop.example", "use an https:// address"),
        ("https://shop.example/" + "x" * 250, "DHCP takes 255"),
        ("https://shöp.example", "plain ASCII"),
        ("https://shop.example/a'b", "without quotes"),
        ("https://shop.example/a,b", "commas"),
    ],
)
def test_an_address_that_phones_would_not_take_is_refused(base, said):
    with pytest.raises(PortalAddressError, match=said):
        network_lines(base, "shop")


@pytest.mark.skipif(not shutil.which("dnsmasq"), reason="dnsmasq is not installed (apt-get install dnsmasq-base)")
def test_dnsmasq_takes_the_line(tmp_path):
    config = tmp_path / "dnsmasq.conf"
    lines = network_lines(BASE, "shop")
    config.write_text(f"{lines.dnsmasq}\n{lines.dnsmasq6}\n")

    done = subprocess.run(
        ["dnsmasq", "--test", f"--conf-file={config}"], capture_output=True, text=True, timeout=20, check=False
    )

    assert (done.returncode, "syntax check OK" in done.stderr) == (0, True), done.stderr


def test_the_qr_code_is_the_pages_address(store):
    """The modules that are drawn are those of an independent making of the same symbol."""
    svg = store.client.get("/p/shop/qr.svg")

    assert svg.headers["content-type"] == "image/svg+xml"
    drawn = modules(svg.text)
    wanted = segno.make("https://shop.example/p/shop/", error="m", micro=False)
    assert drawn == {(x, y) for y, row in enumerate(wanted.matrix) for x, module in enumerate(row) if module}


def modules(svg: str) -> set[tuple[int, int]]:
    """The dark modules of an SVG of horizontal strokes, without the quiet zone of four."""
    path = re.search(r'<path stroke="#000" d="([^"]*)"', svg)[1]
    found, x, y = set(), 0.0, 0.0
    for command, numbers in re.findall(r"([Mmh])([-\d. ]+)", path):
        values = [float(number) for number in numbers.split()]
        if command == "h":
            found |= {(round(x) + step - 4, int(y) - 4) for step in range(round(values[0]))}
            x += values[0]
        elif command == "M":
            x, y = values
        else:
            x, y = x + values[0], y + values[1]
    return found


def test_a_qr_code_has_no_style_that_the_policy_would_block():
    assert not re.search(r"style=|<style|<script|href", qr_svg(page_url(BASE, "shop")))


@pytest.mark.parametrize("mode", ["count", "day", "consent"])
def test_the_sign_says_purpose_basis_controller_and_rights_for_the_mode(store, mode):
    from sqlalchemy import update

    from cloud.databases.tables import sites

    with store.database.begin() as connection:
        connection.execute(update(sites).values(legal_mode=mode))
        connection.exec_driver_sql("UPDATE merchants SET name = 'Chez Ana', contact = 'privacy@ana.example'")

    said = {code: plain(store.client.get("/p/shop/sign", params={"lang": code}).text) for code in ("en", "fr", "pt")}

    words = {
        "count": "forgotten within five minutes",
        "day": "destroyed within 24 hours",
        "consent": "only if you agree",
    }
    assert words[mode] in said["en"]
    for text in said.values():
        assert "Chez Ana" in text
        assert "privacy@ana.example" in text
        assert "https://shop.example/p/shop/" in text
    assert ("consent" in said["en"].replace("privacy", "")) == (mode == "consent")
    notice = plain(store.client.get("/p/shop/privacy", params={"lang": "fr"}).text)
    assert ("Acceptez-vous que Chez Ana" in notice) == (mode == "consent")


# --- captive mode -------------------------------------------------------------------------------------------------------


@pytest.fixture
def access_point(tmp_path, store):
    """openNDS's page on an access point, whose `uclient-fetch` reaches the real portal."""
    made = AccessPoint(tmp_path / "ap")
    made.config(CONFIG.format(root=made.root))
    for name in ("logger", "ndsctl"):
        made.stand_in(name)
    made.program("python3", f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    server = str(store.client.base_url).rstrip("/")
    made.program(
        "uclient-fetch",
        f'#!{sys.executable} -I\nimport sys, urllib.request\nurl = sys.argv[-1]\nopen("{made.calls}", "a").write(url + "\\n")\n'
        f'sys.stdout.write(urllib.request.urlopen(url.replace("{BASE}", "{server}"), timeout=20).read().decode())\n',
    )
    return made


def theme(access_point: AccessPoint, shell: str, step: str = "") -> str:
    """The link on the page that openNDS shows, as a path of the portal."""
    script = f". {HOOKS / 'opennds/theme_ivizone.sh'}; generate_splash_sequence"
    variables = {"clientmac": PHONE, "clientip": "10.0.0.9", "fas": "RkFTLW9wYXF1ZQ==", "client_zone": "Local AP"}
    done = access_point.shell(shell, script, ivizone_step=step, IVIZONE_LIB=str(CHECKOUT), **variables)
    return links(done.stdout)[0][0].removeprefix(BASE + "/p/shop/")


@pytest.mark.parametrize("shell", SHELLS)
def test_from_the_splash_page_to_a_returning_shopper_no_address_leaves_the_access_point(store, access_point, shell):
    """The whole way: splash, portal, yes, let through, lasting link; and days later it is the same shopper."""
    store.offer("Welcome back", audience="returning")
    phone = store.shopper()

    phone.open(theme(access_point, shell))
    phone.send("agree")
    lasting = theme(access_point, shell, "go")
    assert "&visitor=" in lasting
    phone.open(lasting)
    store.clock.ms += 3 * DAY_MS
    phone.reload()

    assert "Welcome back" in phone.text()
    assert PHONE not in store.dump() + access_point.calls.read_text()
    assert "clientmac" not in access_point.calls.read_text()


@pytest.mark.parametrize("shell", SHELLS)
def test_who_says_no_is_let_through_without_a_lasting_link(store, access_point, shell):
    phone = store.shopper()
    phone.open(theme(access_point, shell))
    phone.send("refuse")

    assert "visitor=" not in theme(access_point, shell, "go")
    assert "ndsctl auth 10.0.0.9" in access_point.log()
