"""The doctor: what it says of each thing that can be wrong, and that it changes nothing."""

from __future__ import annotations

import json
import os
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from support.frames import heard, local
from support.live import ScriptedSource

from agent import doctor
from agent.cli import main
from agent.compose import SiteKeyFile
from agent.config import Config
from agent.doctor import State, examine, exit_code_of
from agent.dot11.captured import CapturedFrame, Tick
from agent.own_key import load_or_make_key
from agent.privacy.ratchet import SiteKey
from agent.sources import SOURCES
from agent.upload.https import Response

NOW_S = time.time()
TODAY = int(NOW_S // 86_400)


class Cloud(BaseHTTPRequestHandler):
    """Answers as the test wants it to."""

    status = 200
    body = b"because\n"
    asked: list[str]

    def do_GET(self) -> None:
        type(self).asked.append(f"{self.path} {self.headers.get('Authorization', '')}")
        body = b"ok\n" if self.path == "/healthz" else type(self).body
        self.send_response(200 if self.path == "/healthz" else type(self).status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_what: object) -> None:
        """Say nothing."""


@pytest.fixture
def cloud() -> Iterator[ThreadingHTTPServer]:
    Cloud.status, Cloud.body, Cloud.asked = 200, b"because\n", []
    with ThreadingHTTPServer(("127.0.0.1", 0), Cloud) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def config(tmp_path: Path, cloud: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Everything is right."""
    monkeypatch.setitem(SOURCES, "scripted", "support.live:ScriptedSource")
    monkeypatch.setattr(doctor, "LISTEN_S", 0.05)
    ScriptedSource.script = [CapturedFrame(heard(local(1)), 1, 127, 0, False), Tick(2)]
    load_or_make_key(tmp_path / "agent.key")
    SiteKeyFile(tmp_path / "site.key").save(SiteKey(TODAY, bytes(32)))
    usual = Config()
    return replace(
        usual,
        agent=replace(usual.agent, id="ap-test", site="shop", key_file=str(tmp_path / "agent.key")),
        source=replace(usual.source, name="scripted"),
        cloud=replace(usual.cloud, url=f"http://127.0.0.1:{cloud.server_port}"),
        privacy=replace(usual.privacy, site_key_file=str(tmp_path / "site.key")),
        spool=replace(usual.spool, directory=str(tmp_path / "spool")),
    )


def found(config: Config, subject: str) -> doctor.Finding:
    """The worst finding of a subject."""
    order = list(State)
    return max((f for f in examine(config, time.time()) if f.subject == subject), key=lambda f: order.index(f.state))


def test_a_healthy_agent_is_all_right(config: Config):
    findings = list(examine(config, time.time()))

    assert [f for f in findings if f.state is not State.OK] == []
    assert exit_code_of(findings) == 0
    assert {f.subject for f in findings} == {
        "enrolment",
        "privacy",
        "clock",
        "source",
        "disk",
        "spool",
        "TLS",
        "time",
        "cloud",
    }


def test_the_doctor_changes_nothing(config: Config, tmp_path: Path):
    """Also it makes no directory: root's would be closed to the agent, which is not root."""

    def everything() -> dict[Path, bytes]:
        return {path: path.read_bytes() if path.is_file() else b"" for path in tmp_path.rglob("*")}

    before = everything()
    ram = replace(config, spool=replace(config.spool, ram_directory=str(tmp_path / "ram/spool")))
    list(examine(ram, time.time()))

    assert everything() == before


def test_the_cloud_is_asked_with_our_signature(config: Config):
    list(examine(config, time.time()))

    assert Cloud.asked[0].startswith("/healthz")
    assert Cloud.asked[1].startswith('/v1/agents/self/config Ivizone agent="ap-test", time="')


@pytest.mark.parametrize(
    ("section", "changes", "subject", "state", "code", "words"),
    [
        ("agent", {"id": ""}, "enrolment", State.FAILED, 3, "ivizone-agent enrol"),
        ("agent", {"key_file": "/nowhere/key"}, "enrolment", State.FAILED, 3, "enrol first"),
        ("privacy", {"site_key_file": "/nowhere/key"}, "privacy", State.FAILED, 3, "site-key new"),
        ("source", {"name": "pcap", "paths": ()}, "source", State.FAILED, 4, "no capture was given"),
        ("source", {"name": "monitor", "interface": "nosuch0"}, "source", State.FAILED, 4, "nosuch0"),
        ("spool", {"directory": "/proc/nowhere"}, "disk", State.FAILED, 5, "choose another spool directory"),
        ("spool", {"limit_bytes": 10**15}, "disk", State.WARNING, 0, "free space"),
        ("cloud", {"url": ""}, "cloud", State.FAILED, 3, "ivizone-agent enrol"),
        ("cloud", {"url": "http://127.0.0.1:9"}, "cloud", State.FAILED, 5, "firewall"),
        ("cloud", {"url": "http://cloud.example"}, "cloud", State.FAILED, 5, "https://"),
        ("clock", {"synced_file": "/nowhere/synced"}, "clock", State.WARNING, 0, "time server"),
        ("state", {"status_file": "/nowhere/status.json"}, "agent", State.WARNING, 0, "start it"),
    ],
)
def test_each_fault_is_named_with_what_to_do(
    config: Config, section: str, changes: dict[str, object], subject: str, state: State, code: int, words: str
):
    broken = replace(config, **{section: replace(getattr(config, section), **changes)})
    finding = found(broken, subject)

    assert (finding.state, finding.exit_code) == (state, code)
    assert words in finding.advice


def test_an_access_point_that_does_not_know_of_the_others_is_told(config: Config):
    """The second was told when it was enrolled; the first has been there before."""
    Cloud.body = b'{"privacy": {"mode": "day", "access_points": "several"}}'
    told = replace(config, privacy=replace(config.privacy, access_points="several"))

    assert "'several' on each of them" in found(config, "privacy").advice
    assert found(config, "privacy").state is State.WARNING
    assert found(told, "privacy").state is State.OK


def test_a_secret_that_others_can_read_is_said(config: Config):
    Path(config.agent.key_file).chmod(0o644)

    assert found(config, "enrolment").advice == f"chmod 600 {config.agent.key_file}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_key_that_sudo_left_closed_to_the_agent_is_said(config: Config, tmp_path: Path):
    os.chown(tmp_path, 65534, 65534)

    assert found(config, "enrolment").advice == f"chown 65534:65534 {tmp_path}/agent.key"


def test_the_mode_is_named_as_it_is(config: Config):
    asked = replace(config, privacy=replace(config.privacy, mode="consent"))

    assert found(asked, "privacy").what.startswith("mode consent: pseudonyms of one day leave")


def test_a_site_key_ahead_of_the_clock_is_said(config: Config):
    """The ratchet cannot be turned back: either the clock is wrong now, or it was."""
    SiteKeyFile(Path(config.privacy.site_key_file)).save(SiteKey(TODAY + 30, bytes(32)))

    assert "30 days ahead" in found(config, "privacy").what


def test_mode_count_needs_no_key(config: Config):
    counting = replace(config, privacy=replace(config.privacy, mode="count", site_key_file="/nowhere"))

    assert found(counting, "privacy").state is State.OK


@pytest.mark.parametrize(("status", "words"), [(401, "enrol again"), (403, "revoked"), (500, "operator")])
def test_a_cloud_that_does_not_know_us_is_said(config: Config, status: int, words: str):
    Cloud.status = status
    finding = found(config, "cloud")

    assert (finding.state, words in finding.advice, "because" in finding.what) == (State.FAILED, True, True)


def test_clocks_apart_are_said():
    answer = Response(200, None, None, b"", "Tue, 24 Nov 2026 20:00:00 GMT")
    at = datetime(2026, 11, 24, 20, 10, tzinfo=UTC).timestamp()

    assert doctor.judge_clocks(answer.date, at).what == "clocks are 600 s apart"
    assert doctor.judge_clocks(answer.date, at).state is State.FAILED
    assert doctor.judge_clocks(answer.date, at - 590).state is State.OK
    assert doctor.judge_clocks(None, at).state is State.WARNING


@pytest.mark.parametrize(
    ("apart_s", "state"), [(3, State.OK), (20, State.WARNING), (-20, State.WARNING), (600, State.FAILED)]
)
def test_where_a_store_has_several_access_points_their_clocks_must_agree_within_seconds(apart_s: int, state: State):
    at = datetime(2026, 11, 24, 20, 0, tzinfo=UTC).timestamp() + apart_s

    assert doctor.judge_clocks("Tue, 24 Nov 2026 20:00:00 GMT", at, of_several=True).state is state


def test_a_silent_radio_is_a_warning(config: Config):
    ScriptedSource.script = [Tick(1)]

    assert "open a phone's Wi-Fi settings" in found(config, "source").advice


def test_the_file_system_of_a_directory_is_the_innermost_mount(tmp_path: Path):
    mounts = tmp_path / "mounts"
    mounts.write_text(f"overlay / overlay rw 0 0\ntmpfs {tmp_path} tmpfs rw 0 0\next4 {tmp_path}/ram-not ext4 rw 0 0\n")

    assert doctor.file_system_of(tmp_path / "ram", mounts) == "tmpfs"
    assert doctor.file_system_of(Path("/etc"), mounts) == "overlay"


def test_a_running_agent_is_told_of(config: Config, tmp_path: Path):
    state = {"up_s": 60, "probe_requests": 9, "batches": 2, "trouble": ""}
    (tmp_path / "status.json").write_text(json.dumps(state))
    told = replace(config, state=replace(config.state, status_file=str(tmp_path / "status.json")))

    assert found(told, "agent").what == "running for 60 s: 9 probe requests, 2 batches"
    assert next(doctor.running(told, NOW_S + 600)).what.startswith("the agent's state is")


def test_the_command_prints_a_line_for_each_and_ends_with_the_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "agent.yaml").write_text(f"spool: {{directory: {tmp_path}/spool}}\n")

    code = main(["doctor", "--config", str(tmp_path / "agent.yaml"), "--json"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert code == 3
    assert lines[0] == {
        "subject": "enrolment",
        "state": "fail",
        "what": "this access point has no name",
        "advice": lines[0]["advice"],
    }


# --- TLS ------------------------------------------------------------------------------------------------------------


def certificate(days: int) -> tuple[bytes, bytes]:
    """(certificate, key) of a cloud on 127.0.0.1, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test cloud")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return made.public_bytes(pem), private


@pytest.mark.parametrize(("days", "state"), [(90, State.OK), (7, State.WARNING)])
def test_the_life_of_the_clouds_certificate_is_said(
    config: Config, cloud: ThreadingHTTPServer, tmp_path: Path, days: int, state: State
):
    public, private = certificate(days)
    (tmp_path / "ca.pem").write_bytes(public)
    (tmp_path / "both.pem").write_bytes(public + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "both.pem")
    cloud.socket = context.wrap_socket(cloud.socket, server_side=True)
    url = f"https://127.0.0.1:{cloud.server_port}"
    trusting = replace(config, cloud=replace(config.cloud, url=url, ca_file=str(tmp_path / "ca.pem")))

    assert found(trusting, "TLS").state is state
    assert found(trusting, "TLS").what.startswith("TLSv1.3, certificate valid for")
    stranger = replace(config, cloud=replace(config.cloud, url=url))
    assert "certificate" in found(stranger, "cloud").advice
