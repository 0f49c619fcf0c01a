"""Enrolment: a token buys a name; the private key stays, the token goes, and a failed attempt leaves things as they were."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from support.stand_in_cloud import Answer, stand_in_cloud

from agent.cli import main
from agent.config import ConfigError, load_config
from agent.own_key import load_key, load_or_make_key
from agent.secret_file import write_secret
from agent.upload.enrol import ENROL_PATH

TOKEN = "ivt1-one-time-secret"
ENROLLED = Answer(
    201, json.dumps({"agent": "ap-7kq2m4xd", "site": "shop", "config": {"batch": {"window_s": 60}}}).encode()
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """What an owner has before enrolment: where things go."""
    path = tmp_path / "etc" / "agent.yaml"
    path.parent.mkdir()
    state = tmp_path / "state"
    path.write_text(
        f"agent:\n  key_file: {state}/agent.key\nprivacy:\n  site_key_file: {state}/site.key\n"
        f"spool:\n  directory: {state}/spool\ncloud:\nlog: {{level: debug}}\n"
    )
    return path


def enrol(config: Path, url: str) -> int:
    return main(["enrol", url, "--token", TOKEN, "--config", str(config)])


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_token_buys_a_name_a_site_and_a_configuration(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    with stand_in_cloud(ENROLLED) as cloud:
        assert enrol(config, cloud.url) == 0

    written = load_config(config)
    assert (written.agent.id, written.agent.site, written.cloud.url) == ("ap-7kq2m4xd", "shop", cloud.url)
    assert written.batch.window_s == 60
    assert written.spool.directory == str(tmp_path / "state" / "spool")
    assert "enrolled as ap-7kq2m4xd of site shop" in capsys.readouterr().out


def test_the_cloud_is_sent_the_public_key_and_nothing_of_the_private_one(config: Path):
    with stand_in_cloud(ENROLLED) as cloud:
        enrol(config, cloud.url)

    (request,) = cloud.requests
    asked = json.loads(request.body)
    key = load_key(Path(load_config(config).agent.key_file))
    assert (request.method, request.path) == ("POST", ENROL_PATH)
    assert sorted(asked) == ["public_key", "software", "token"]
    assert asked["token"] == TOKEN
    assert b64decode(asked["public_key"]) == key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    assert key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()) not in request.body


def test_everything_that_was_written_is_for_its_owner_only(config: Path, tmp_path: Path):
    with stand_in_cloud(ENROLLED) as cloud:
        enrol(config, cloud.url)

    modes = {str(p.relative_to(tmp_path)): oct(p.stat().st_mode & 0o777) for p in tmp_path.rglob("*") if p.is_file()}
    assert modes == dict.fromkeys(["etc/agent.yaml", "state/agent.key", "state/site.key"], "0o600")


@pytest.mark.parametrize("answer", [ENROLLED, Answer(401, b"token unknown, used or expired"), Answer(503)])
def test_the_token_is_in_no_file_and_in_no_line(
    config: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], answer: Answer
):
    with stand_in_cloud(answer) as cloud:
        enrol(config, cloud.url)

    out, err = capfd.readouterr()
    assert TOKEN not in out + err
    assert not any(TOKEN.encode() in content for content in files_below(tmp_path).values())


def test_a_site_key_is_made_where_there_is_none_and_kept_where_there_is_one(config: Path, tmp_path: Path):
    with stand_in_cloud(ENROLLED) as cloud:
        enrol(config, cloud.url)
        first = (tmp_path / "state" / "site.key").read_text()
        enrol(config, cloud.url)

    assert first.startswith("ivz1-")
    assert (tmp_path / "state" / "site.key").read_text() == first


def test_an_agent_that_enrols_again_keeps_its_key(config: Path):
    with stand_in_cloud(ENROLLED) as cloud:
        enrol(config, cloud.url)
        enrol(config, cloud.url)

    first, second = (json.loads(body)["public_key"] for body in cloud.bodies)
    assert first == second


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(
            Answer(401, b"token unknown"), "the cloud answered 401 to the enrolment: token unknown", id="a used token"
        ),
        pytest.param(Answer(400, b"malformed"), "the cloud answered 400", id="malformed"),
        pytest.param(Answer(429), "the cloud answered 429", id="not now"),
        pytest.param(Answer(503), "the cloud answered 503", id="away"),
        pytest.param(Answer(201, b"<html>welcome"), "names no agent and no site", id="another server"),
        pytest.param(
            Answer(201, b'{"agent": 7, "site": "shop"}'), "names no agent and no site", id="a name that is none"
        ),
        pytest.param(Answer(201, b'["ap", "shop"]'), "names no agent and no site", id="another form"),
        pytest.param(
            Answer(201, b'{"agent": "ap", "site": "shop", "config": ["batch"]}'),
            "names no agent and no site",
            id="a configuration that is none",
        ),
        pytest.param(
            Answer(201, b'{"agent": "ap", "site": "shop", "config": {"batch": 60}}'),
            "names no agent and no site",
            id="a section that is none",
        ),
        pytest.param(Answer(201, b"[" * 60_000), "names no agent and no site", id="deep"),
        pytest.param(Answer(raw=b""), "did not answer", id="silence"),
    ],
)
def test_an_enrolment_that_fails_says_why_and_changes_no_configuration(
    config: Path, capsys: pytest.CaptureFixture[str], answer: Answer, words: str
):
    before = config.read_bytes()
    with stand_in_cloud(answer) as cloud:
        assert enrol(config, cloud.url) == 5

    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1
    assert config.read_bytes() == before


def test_a_configuration_of_the_cloud_that_we_do_not_understand_is_not_written(
    config: Path, capsys: pytest.CaptureFixture[str]
):
    before = config.read_bytes()
    answer = Answer(201, b'{"agent": "ap", "site": "shop", "config": {"batch": {"widow_s": 60}}}')
    with stand_in_cloud(answer) as cloud:
        assert enrol(config, cloud.url) == 3

    assert "batch.widow_s is unknown; did you mean 'window_s'?" in capsys.readouterr().err
    assert config.read_bytes() == before


@pytest.mark.parametrize("content", [b"batch: {window_s: 0}", b"\xff\xfe"])
def test_a_wrong_configuration_is_said_before_the_token_is_spent(tmp_path: Path, content: bytes):
    path = tmp_path / "agent.yaml"
    path.write_bytes(content)
    with stand_in_cloud(ENROLLED) as cloud:
        assert enrol(path, cloud.url) == 3

    assert cloud.requests == []


def test_a_cloud_in_the_clear_elsewhere_is_never_sent_a_token(config: Path, capsys: pytest.CaptureFixture[str]):
    assert enrol(config, "http://cloud.example") == 5
    assert "not encrypted" in capsys.readouterr().err


def test_what_the_owner_had_written_stays(config: Path):
    with stand_in_cloud(ENROLLED) as cloud:
        enrol(config, cloud.url)

    assert yaml.safe_load(config.read_text())["log"] == {"level": "debug"}


# --- secrets on the disk --------------------------------------------------------------------------------------------


def test_a_secret_replaces_the_old_one_whole_and_takes_its_place_with_its_mode(tmp_path: Path):
    path = tmp_path / "new" / "secret"
    path.parent.mkdir()
    path.write_bytes(b"old, and readable by all")
    (tmp_path / "new" / "secret.part").write_bytes(b"left by a power cut")

    write_secret(path, b"new")

    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["secret"]


def test_a_secret_that_cannot_be_written_is_said_without_it(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(
        ConfigError, match=r"file/secret: cannot be written \((Not a directory|File exists)\); choose"
    ) as caught:
        write_secret(tmp_path / "file" / "secret", b"hush")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(None, r"cannot be read \(No such file or directory\); enrol first", id="none"),
        pytest.param(b"-----BEGIN", "is no Ed25519 private key in PEM", id="not PEM"),
        pytest.param(
            generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            "is no Ed25519 private key in PEM",
            id="another kind of key",
        ),
    ],
)
def test_a_key_that_cannot_be_used_is_named_with_the_next_step(tmp_path: Path, content: bytes | None, words: str):
    path = tmp_path / "agent.key"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ConfigError, match=rf"agent\.key_file .*agent\.key: {words}"):
        load_key(path)


def test_our_keys_are_those_of_every_other_program(tmp_path: Path):
    """PKCS #8 in PEM, both ways: cryptography (and so OpenSSL) reads what we write, and we read what it writes."""
    made = load_or_make_key(tmp_path / "agent.key")
    raw = (Encoding.Raw, PrivateFormat.Raw, NoEncryption())

    theirs = load_pem_private_key((tmp_path / "agent.key").read_bytes(), None)
    assert isinstance(theirs, Ed25519PrivateKey)
    assert theirs.private_bytes(*raw) == made.private_bytes(*raw)
    (tmp_path / "theirs.key").write_bytes(theirs.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    assert load_key(tmp_path / "theirs.key").private_bytes(*raw) == made.private_bytes(*raw)


def test_a_key_is_made_once(tmp_path: Path):
    made = load_or_make_key(tmp_path / "agent.key")

    raw = (Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    assert load_or_make_key(tmp_path / "agent.key").private_bytes(*raw) == made.private_bytes(*raw)
