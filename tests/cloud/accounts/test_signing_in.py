"""Signing in over real HTTP: the cookie, the forms, the limits, the links, and `--open`."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.applications import Starlette
from support.accounts import PASSWORD, QUICK, People, form_key, sign_in
from support.clouds import Cloud, served

from cloud.accounts.gate import safe_next
from cloud.accounts.limits import LIMITS
from cloud.dashboard.app import Dashboard


def app_of(cloud, is_open=False):
    made = Dashboard(cloud.embedded.database, cloud.embedded.fleet, cloud.clock, is_open=is_open, passwords=QUICK)
    return Starlette(routes=made.routes(), exception_handlers={404: made.not_there})


@pytest.fixture
def cloud(tmp_path):
    made = Cloud(tmp_path)
    yield made
    made.close()


@pytest.fixture
def people(cloud):
    return People(cloud.embedded)


@pytest.fixture
def client(cloud, people):
    with served(app_of(cloud)) as made:
        yield made


def test_whoever_is_not_signed_in_is_led_to_the_form_and_back(client, people):
    people.with_password("owner@main")
    led = client.get("/sites/shop?preset=meraki-like")
    done = sign_in(client, "owner@main", after="/sites/shop?preset=meraki-like")

    assert (led.status_code, led.headers["Location"]) == (303, "/sign-in?next=/sites/shop%3Fpreset%3Dmeraki-like")
    assert (done.status_code, done.headers["Location"]) == (303, "/sites/shop?preset=meraki-like")
    assert client.get("/sites/shop").status_code == 200


def test_the_cookie_cannot_be_read_by_scripts_nor_sent_by_other_sites(client, people):
    done = sign_in(client, people.with_password("owner@main"))
    cookie = next(value for value in done.headers.get_list("set-cookie") if value.startswith("ivizone_session="))

    assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))


def test_over_tls_the_cookie_is_secure_and_bound_to_the_host(cloud, people):
    people.with_password("owner@main")

    async def through_tls():
        transport = httpx.ASGITransport(app=app_of(cloud))
        async with httpx.AsyncClient(transport=transport, base_url="https://ivizone.example") as client:
            key = form_key((await client.get("/sign-in")).text)
            fields = {"form_key": key, "login": "owner@main", "password": PASSWORD}
            return await client.post("/sign-in", data=fields)

    cookies = asyncio.run(through_tls()).headers.get_list("set-cookie")

    assert any(c.startswith("__Host-ivizone_session=") and "Secure" in c and "Domain" not in c for c in cookies)


@pytest.mark.parametrize(
    ("login", "password"), [("owner@main", "wrong"), ("nobody@main", PASSWORD), ("", ""), ("owner@main", "x" * 5000)]
)
def test_a_wrong_name_and_a_wrong_password_answer_alike(client, people, login, password):
    people.with_password("owner@main")
    answer = sign_in(client, login, password)

    assert answer.status_code == 401 and "do not fit together" in answer.text
    assert "ivizone_session" not in client.cookies


def test_after_ten_failures_even_the_right_password_waits(client, people):
    people.with_password("owner@main")
    for _ in range(LIMITS["account"]):
        assert sign_in(client, "owner@main", "wrong").status_code == 401
    answer = sign_in(client, "owner@main")

    assert answer.status_code == 429 and "15 minutes" in answer.text


def test_behind_a_proxy_each_network_is_counted_for_itself_and_by_every_instance(cloud, people, monkeypatch):
    """Else everybody would share the proxy's address, and three strangers would lock the whole shop out."""
    monkeypatch.setitem(LIMITS, "address", 3)
    people.with_password("owner@main")
    with served(app_of(cloud)) as one, served(app_of(cloud)) as other:
        for client in (one, other):
            client.headers["X-Forwarded-For"] = "203.0.113.9"
        failed = [
            sign_in(client, f"user-{n}", "wrong").status_code for n, client in enumerate((one, other, one, other))
        ]
        other.headers["X-Forwarded-For"] = "198.51.100.4"

        assert failed == [401, 401, 401, 429]
        assert sign_in(other, "owner@main").status_code == 303


def test_signing_out_ends_the_session_on_the_server_too(client, people):
    sign_in(client, people.with_password("owner@main"))
    secret = client.cookies["ivizone_session"]
    key = form_key(client.get("/account").text)

    assert client.post("/sign-out", data={"form_key": key}).status_code == 303
    assert people.sessions.viewer(secret) is None
    assert client.get("/account").status_code == 303


def test_the_operators_link_leads_to_a_password_and_in(client, people):
    secret = people.accounts.reset("analyst@main")
    shown = client.get(f"/welcome/{secret}")
    again = client.get(f"/welcome/{secret}")
    short = client.post(f"/welcome/{secret}", data={"form_key": form_key(again.text), "password": "short"})
    done = client.post(f"/welcome/{secret}", data={"form_key": form_key(again.text), "password": PASSWORD})

    assert "analyst@main" in shown.text and again.status_code == 200, "looking at it does not spend it"
    assert short.status_code == 422 and done.status_code == 303
    assert client.get("/sites/shop").status_code == 200
    assert client.get(f"/welcome/{secret}").status_code == 410


# --- forged forms ---------------------------------------------------------------------------------------------------------


def test_a_form_without_its_key_or_with_anothers_is_not_taken(client, people):
    one, two = people.browser(client, "owner@main"), people.browser(client, "owner@main")
    key = form_key(two.get("/account").text)
    for fields in ({}, {"form_key": ""}, {"form_key": "0" * 64}, {"form_key": key}):
        answer = one.post("/account/tokens", data={**fields, "label": "x", "scopes": "figures:read"})
        assert answer.status_code == 403, fields
    assert one.get("/account").status_code == 200 and "<strong>x</strong>" not in one.get("/account").text


def test_a_form_that_another_site_sent_is_not_taken_even_with_the_key(client, people):
    one = people.browser(client, "owner@main")
    fields = {"form_key": form_key(one.get("/account").text), "label": "x", "scopes": "figures:read"}

    assert one.post("/account/tokens", data=fields, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert one.post("/account/tokens", data=fields, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200


def test_the_sign_in_form_is_bound_to_the_browser(client, people):
    people.with_password("owner@main")
    key = form_key(client.get("/sign-in").text)
    other = httpx.post(
        f"{client.base_url}/sign-in", data={"form_key": key, "login": "owner@main", "password": PASSWORD}
    )

    assert other.status_code == 403 and "ivizone_session" not in other.cookies


@pytest.mark.parametrize("body", [b"\xff\xfe", b"a=1&" * 300, b"x" * 70_000, b"form_key=%ff"])
def test_a_form_that_cannot_be_read_is_refused(client, people, body):
    one = people.browser(client, "owner@main")
    answer = one.post("/account/tokens", content=body, headers={"Content-Type": "application/x-www-form-urlencoded"})

    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("target", "goes"),
    [("/sites/a?b=c", "/sites/a?b=c"), ("//evil.example", "/"), ("/\\evil", "/"), ("https://evil.example", "/"), ("/x\r\nSet-Cookie: a", "/"),
     ("/sign-in", "/"), ("", "/")],
)  # fmt: skip
def test_after_signing_in_nobody_is_led_elsewhere(target, goes):
    assert safe_next(target) == goes


# --- --open ---------------------------------------------------------------------------------------------------------------


def test_an_open_cloud_answers_this_machine_by_its_own_names_only(cloud):
    with served(app_of(cloud, is_open=True)) as client:
        port = client.base_url.port
        for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST:{port}"):
            assert client.get("/sites/shop", headers={"Host": host}).status_code == 200, host
        for host in (f"evil.example:{port}", "evil.example", f"127.0.0.1.evil.example:{port}", ""):
            assert client.get("/sites/shop", headers={"Host": host}).status_code in (400, 403), host


def test_an_open_cloud_takes_no_forged_form(cloud):
    with served(app_of(cloud, is_open=True)) as client:
        assert client.post("/account/tokens", data={"label": "x", "scopes": "figures:read"}).status_code == 403


# --- languages ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accepts", "words"),
    [("fr-FR,fr;q=0.9,en;q=0.8", "Se connecter"), ("pt-BR", "Entrar"), ("de,en;q=0.5", "Sign in"), ("de", "Sign in"), ("fr;q=0,pt;q=0.1", "Entrar"),
     (";;q=x,,", "Sign in")],
)  # fmt: skip
def test_a_page_speaks_what_the_browser_asks_for(client, accepts, words):
    answer = client.get("/sign-in", headers={"Accept-Language": accepts})

    assert f"<h1>{words}</h1>" in answer.text and f'lang="{answer.headers["Content-Language"]}"' in answer.text


def test_a_chosen_language_stays(client):
    done = client.post("/language", data={"language": "pt", "next": "/sign-in"})
    client.post("/language", data={"language": "xx", "next": "//evil"})

    assert done.headers["Location"] == "/sign-in"
    assert "<h1>Entrar</h1>" in client.get("/sign-in", headers={"Accept-Language": "fr"}).text


def test_a_language_goes_with_the_person_to_another_browser(client, people):
    people.browser(client, "owner@main").post("/language", data={"language": "pt", "next": "/account"})

    assert "<h1>Conta</h1>" in people.browser(client, "owner@main").get("/account").text
    assert "<h1>Account</h1>" in people.browser(client, "analyst@main").get("/account").text
