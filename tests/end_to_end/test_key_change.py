"""An access point changes its signing key under a cloud that runs: nothing is refused meanwhile, and nobody else can do it."""

from __future__ import annotations

import os
from base64 import b64encode
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select
from support.batches import signed
from support.clouds import DAY_MS, HOUR_MS, NOON_MS, Clock, Cloud, heard, served, stay

from agent.config import ConfigError
from agent.own_key import OwnKey, load_key, load_or_make_key
from agent.receipts import ReceiptFile
from agent.upload.errors import UploadDeferred, UploadRefused
from agent.upload.https import Connection, Response
from agent.upload.rekey import change_key, is_due, next_key_file
from agent.wire.key_change import KEY_CHANGE_PATH, key_change_text
from agent.wire.receipts import verify_chain
from cloud.databases.tables import audit
from cloud.signatures import is_signature

STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(32))


class Place:
    """A cloud behind its server, and an access point's folder with the key that the cloud knows."""

    def __init__(self, folder: Path, cloud: Cloud, http) -> None:
        self.cloud, self.http, self.clock = cloud, http, cloud.clock
        self.key_file = folder / "agent.key"
        self.name = f"ap-{folder.name}"[:60]
        self.key = load_or_make_key(self.key_file)
        cloud.add_agent(self.name, self.key.public_key().public_bytes_raw())
        self.receipts = ReceiptFile(folder / "receipts", self.name, self.key_file, self.clock)
        self.waited: list[float] = []

    def change(self, connection=None) -> None:
        """As `enrol --rotate` does it, without the waiting."""
        told = self.receipts.add
        connection = connection or Connection(str(self.http.base_url).rstrip("/"))
        now_s = self.clock.ms // 1000
        change_key(connection, self.name, self.key_file, now_s=now_s, wait=self.waited.append, told=told)

    def send(self, number: int, key: Ed25519PrivateKey, start_ms: int = NOON_MS - HOUR_MS) -> int:
        content = heard(number, stay(1, start_ms, 6), start_ms=start_ms, end_ms=start_ms + HOUR_MS, agent=self.name)
        return self.http.post("/v1/batches", content=signed(content, key)).status_code


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    cloud = Cloud(tmp_path_factory.mktemp("cloud"), allows_replay=False, clock=Clock())
    app = cloud.embedded.app(works=False)
    with served(app) as http:
        yield cloud, app, http
    cloud.close()


@pytest.fixture
def place(tmp_path: Path, running, monkeypatch):
    cloud, _, http = running
    cloud.clock.ms = NOON_MS
    monkeypatch.setattr(
        "cloud.ingest.keys.CHANGES_S", -1.0
    )  # what ingest remembers for three seconds is another test's
    return Place(tmp_path, cloud, http)


def test_batches_of_both_keys_are_stored_and_the_new_key_takes_over(place: Place):
    assert place.send(0, place.key) == 202
    place.change()
    new = load_key(place.key_file)

    assert place.send(1, place.key) == 202, "what waited in the spool bears the former key"
    assert place.send(2, new, NOON_MS - HOUR_MS + 1) == 202
    assert (place.waited, next_key_file(place.key_file).exists()) == ([5.0], False)
    assert new.public_key().public_bytes_raw() != place.key.public_key().public_bytes_raw()


def test_the_former_key_signs_nothing_new(place: Place):
    """Whoever stole it has it for the past only."""
    place.change()
    later_ms = NOON_MS + 2 * HOUR_MS
    place.clock.ms = later_ms + HOUR_MS

    assert place.send(1, place.key, later_ms) == 401
    assert place.send(1, load_key(place.key_file), later_ms) == 202


def test_the_former_key_is_retired_after_seven_days(place: Place):
    place.change()
    place.clock.ms += 7 * DAY_MS - HOUR_MS
    assert place.send(0, place.key, NOON_MS - HOUR_MS) == 202
    place.clock.ms += HOUR_MS
    assert place.send(1, place.key, NOON_MS - HOUR_MS) == 401


def asked(place: Place, fresh: Ed25519PrivateKey, **changes) -> dict:
    """A request to change the key, well signed but for ``changes``."""
    old = changes.pop("key", place.key)
    by_new = changes.pop("by_new_key", fresh)
    now_s = changes.pop("now_s", place.clock.ms // 1000)
    keys = [key.public_key().public_bytes_raw() for key in (old, fresh)]
    text = key_change_text(place.name, *keys, now_s)
    parts = {"old": keys[0], "new": keys[1], "by_old": old.sign(text), "by_new": by_new.sign(text)}
    return (
        {"agent": place.name, "time": now_s}
        | {name: b64encode(part).decode() for name, part in parts.items()}
        | changes
    )


def post(place: Place, body: dict) -> int:
    return place.http.post(KEY_CHANGE_PATH, json=body).status_code


NEW = Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        pytest.param({"key": STRANGER}, 401, id="a stranger's key"),
        pytest.param({"agent": "ap-nobody"}, 401, id="an unknown agent"),
        pytest.param({"by_new_key": STRANGER}, 401, id="a new key that the sender does not have"),
        pytest.param({"now_s": NOON_MS // 1000 - 301}, 401, id="too old"),
        pytest.param({"now_s": NOON_MS // 1000 + 301}, 401, id="of the future"),
        pytest.param({"time": NOON_MS // 1000 - 1}, 401, id="another time than was signed"),
        pytest.param({"by_old": "A" * 88}, 400, id="no signature"),
        pytest.param({"new": "AAAA"}, 400, id="no key"),
        pytest.param({"time": "now"}, 400, id="no time"),
        pytest.param({"time": -1}, 400, id="a time before time"),
        pytest.param({"agent": None}, 400, id="no name"),
        pytest.param({"x": "x" * 5000}, 400, id="too long"),
    ],
)
def test_nobody_but_the_holder_of_both_keys_changes_it(place: Place, changes: dict, status: int):
    assert post(place, asked(place, NEW, **changes)) == status
    assert place.send(0, place.key) == 202


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"[" * 4000, b"\xff", b"x" * 5000])
def test_what_is_no_request_is_400(place: Place, body: bytes):
    assert place.http.post(KEY_CHANGE_PATH, content=body).status_code == 400


def test_a_replayed_change_changes_nothing(place: Place):
    body = asked(place, NEW)
    assert post(place, body) == 200
    assert post(place, body) == 200, "the answer may have been lost"
    place.clock.ms += 8 * DAY_MS
    third = Ed25519PrivateKey.generate()
    assert post(place, asked(place, third, key=NEW)) == 200

    assert post(place, body) == 401
    back = asked(place, NEW, key=third)  # and not back to one that was
    assert post(place, back) == 400
    assert place.cloud.embedded.fleet.agent(place.name).public_key == third.public_key().public_bytes_raw()


def test_a_second_change_waits_until_nothing_bears_the_first_key(place: Place):
    place.change()
    with pytest.raises(UploadRefused, match=r"409.* days"):
        place.change()
    assert not next_key_file(place.key_file).exists()
    place.clock.ms += 7 * DAY_MS
    place.change()


def test_a_revoked_agent_changes_no_key(place: Place):
    assert place.cloud.embedded.fleet.revoke(place.name)

    with pytest.raises(UploadRefused, match="403"):
        place.change()


class Cut:
    """A line that is cut before the request, or after the cloud has done it."""

    def __init__(self, url: str, *, is_done: bool) -> None:
        self._inner, self._is_done = Connection(url), is_done

    def request(self, *args, **headers) -> Response:
        if self._is_done:
            self._inner.request(*args, **headers)
        raise UploadDeferred("cut")


@pytest.mark.parametrize("is_done", [False, True])
def test_a_change_that_breaks_off_is_ended_by_the_next_one_and_no_batch_is_lost(place: Place, is_done: bool):
    """Days pass between: what the agent signs with the only key that it may use is taken once the change has ended."""
    url = str(place.http.base_url).rstrip("/")
    with pytest.raises(UploadDeferred):
        place.change(Cut(url, is_done=is_done))
    assert is_due(place.key_file, 0, 0.0), "a change under way is due"
    assert load_key(place.key_file).sign(b"") == place.key.sign(b"")
    place.clock.ms += 2 * DAY_MS
    meanwhile_ms = place.clock.ms - 2 * HOUR_MS

    place.change()

    assert place.send(0, place.key, meanwhile_ms) == 202
    assert place.send(1, load_key(place.key_file), meanwhile_ms) == 202


def test_the_change_is_in_the_audit_and_in_the_receipts(place: Place):
    place.receipts.add("keys_erased", {"site": "shop"})
    place.change()
    place.receipts.add("keys_erased", {"site": "shop"})

    with place.cloud.embedded.database.connect() as connection:
        rows = connection.execute(select(audit.c.login, audit.c.action).where(audit.c.subject == place.name)).all()
    assert rows == [(place.name, "agent_key_changed")]
    chain = verify_chain(place.receipts.text().splitlines(), is_signature)
    assert [receipt["what"] for receipt in chain] == ["keys_erased", "key_changed", "keys_erased"]
    assert chain[0]["key"] != chain[2]["key"]


def test_a_running_agent_signs_with_the_new_key_from_the_next_batch_on(place: Place):
    own = OwnKey(place.key_file)
    assert own.sign(b"x") == place.key.sign(b"x")
    place.change()
    assert own.sign(b"x") == load_key(place.key_file).sign(b"x") != place.key.sign(b"x")
    place.key_file.write_text("damage")
    assert len(own.sign(b"x")) == 64, "a key file that cannot be read stops nobody"
    with pytest.raises(ConfigError):
        OwnKey(place.key_file)


@pytest.mark.parametrize(("days", "age_days", "due"), [(365, 364, False), (365, 365, True), (0, 9999, False)])
def test_a_key_is_changed_by_its_age(place: Place, days: int, age_days: int, due: bool):
    os.utime(place.key_file, (0, 0))
    assert is_due(place.key_file, days, age_days * 86_400.0) is due
    assert not is_due(place.key_file.with_name("none"), days, 1e12)


def test_ingest_asks_for_the_former_key_only_where_the_new_one_did_not_sign(place: Place, monkeypatch):
    """The cost of a batch does not grow: in the ordinary case no second signature is looked at."""
    place.change()
    looked = []
    monkeypatch.setattr("cloud.ingest.keys.is_signature", lambda *parts: looked.append(parts) or is_signature(*parts))
    assert place.send(0, load_key(place.key_file)) == 202 and looked == []
    assert place.send(1, place.key) == 202 and len(looked) == 1
    assert place.send(2, STRANGER) == 401
