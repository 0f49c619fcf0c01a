"""No secret of a person, an access point or a shopper reaches a log line, a page of error, or the metrics - also where things fail."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy.exc import OperationalError
from support.accounts import PASSWORD, People, form_key, sign_in
from support.batches import signed
from support.clouds import Clock, Cloud, busy_hour, heard, served
from support.spellings import traces

from cloud.accounts.viewer import READ_FIGURES
from cloud.log import configure
from cloud.retention.receipts import KEY_NAME

PHONE = bytes.fromhex("00005e0053ab")
VISIT = "k" * 23 + "7"
LOGIN = "owner@main"


class Life:
    """A cloud at work, every secret that came up in it, and everything that it said to strangers."""

    def __init__(self, cloud: Cloud, client) -> None:
        self.cloud, self.client = cloud, client
        self.people = People(cloud.embedded)
        self.people.with_password(LOGIN)
        key = (cloud.folder / KEY_NAME).read_bytes()
        self.secrets = {"password": PASSWORD, "visit": VISIT, "receipts' key": key.decode("latin-1").strip()}
        self.told: list[str] = []
        self.statuses: set[int] = set()

    def ask(self, method: str, path: str, **words) -> str:
        """A link's own page sends its form back to the link; whoever sees it has it."""
        answer = self.client.request(method, path, **words)
        self.statuses.add(answer.status_code)
        if path == "/metrics" or (answer.status_code >= 400 and not path.startswith("/welcome/")):
            self.told.append(f"{answer.headers}\n{answer.text}")
        return answer.text

    def signs_in(self) -> None:
        sign_in(self.client, LOGIN, PASSWORD + "!")
        self.secrets["wrong password"] = PASSWORD + "!"
        assert sign_in(self.client, LOGIN).status_code == 303
        self.secrets["session"] = self.client.cookies["ivizone_session"]

    def makes_tokens(self) -> None:
        page = self.client.get("/account").text
        asked = {"form_key": form_key(page), "label": "till", "scopes": READ_FIGURES}
        made = self.client.post("/account/tokens", data=asked).text
        self.secrets["API token"] = re.search(r"ivzapi-[\w-]+", made)[0]
        self.secrets["enrolment token"] = self.cloud.embedded.fleet.make_token("shop", 60)
        self.secrets["invitation"] = self.people.accounts.reset("analyst@main")

    def asks_wrongly(self) -> None:
        """Each secret where it belongs, on requests that are refused."""
        secrets = self.secrets
        for path in ("/api/v1/sites/nowhere/days", "/api/v1/sites/shop/days?from=x"):
            self.ask("GET", path, headers={"Authorization": f"Bearer {secrets['API token']}"})
        self.ask("GET", "/api/v1/sites", headers={"Authorization": f"Bearer {secrets['API token']}x"})
        enrolment = {"token": secrets["enrolment token"], "public_key": b64encode(bytes(31)).decode(), "software": "1"}
        self.ask("POST", "/v1/enrol", content=json.dumps(enrolment))
        self.ask("POST", "/v1/enrol", content=json.dumps(enrolment)[:-2])
        self.ask("GET", "/nothing/here", headers={"Referer": f"/welcome/{secrets['invitation']}"})
        self.ask("POST", f"/welcome/{secrets['invitation']}", data={"password": PASSWORD, "form_key": "0" * 64})
        self.ask("POST", "/p/shop/opt-out", data={"device": PHONE.hex(":"), "form_key": "0"})
        self.ask("GET", "/p/nowhere", params={"visit": VISIT})
        self.ask("POST", "/v1/batches", content=signed(heard(9), Ed25519PrivateKey.generate()))
        self.ask("POST", "/v1/batches", content=b"\xd2" + PHONE)

    def fails(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The database is away, and then everything is: the errors bear what was asked with."""
        secrets, fleet = self.secrets, self.cloud.embedded.fleet

        def away(*given):
            raise OperationalError(f"SELECT {given}", {"given": given}, Exception(f"cannot ask for {given}"))

        def broken(*given):
            raise RuntimeError(f"broken by {given} {list(secrets.values())}")

        good = {"token": secrets["enrolment token"], "public_key": b64encode(bytes(32)).decode(), "software": "1"}
        for fault in (away, broken):
            with monkeypatch.context() as patch:
                patch.setattr(type(fleet), "enrol", fault)
                patch.setattr(type(fleet), "site", fault)
                self.ask("POST", "/v1/enrol", content=json.dumps(good))
                self.ask("GET", "/sites/shop")
                self.ask("POST", "/p/shop/opt-out", data={"device": PHONE.hex(":")})
                self.ask("GET", "/p/shop", params={"visit": VISIT})

    def found_in(self, text: str) -> set[str]:
        held = {name for name, secret in self.secrets.items() if secret in text}
        return held | {"address" for trace in traces(PHONE) if trace.decode("latin-1").lower() in text.lower()}


@pytest.fixture
def life(tmp_path: Path):
    configure("debug")
    cloud = Cloud(tmp_path / "cloud", mode="consent", clock=Clock())
    cloud.take(heard(0, *busy_hour()))
    with served(cloud.embedded.app(works=False)) as client:
        yield Life(cloud, client)
    cloud.close()


def test_no_secret_reaches_a_log_a_page_of_error_or_the_metrics(
    life: Life, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    life.signs_in()
    life.makes_tokens()
    life.asks_wrongly()
    life.ask("GET", "/metrics")
    life.fails(monkeypatch)
    out, err = capfd.readouterr()

    assert {400, 401, 404, 500, 503} <= life.statuses
    for name, said in (("output", out), ("log", err), ("answers", "\n".join(life.told))):
        assert life.found_in(said) == set(), name
    assert life.found_in(" ".join(life.secrets.values()) + PHONE.hex("-")) == {*life.secrets, "address"}, "it can find"
