"""The whole agent at level debug over phones with global and local addresses: no address, network name, element or key anywhere."""

from __future__ import annotations

from base64 import b32encode, b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.agent_state import SITE_KEY, enrolled
from support.frames import ELEMENTS, GLOBAL, HT, T0_US, heard, local, pcap, scans
from support.spellings import traces
from support.stand_in_cloud import Answer, StandInCloud, stand_in_cloud

from agent.cli import main
from agent.privacy.ratchet import replay_ratchet
from agent.wire.codec import inflate
from agent.wire.cose import open_message

DAY_US = 86_400_000_000
PHONES = [GLOBAL, bytes.fromhex("00005e0053fe"), local(0x1A2B3C4D5E), bytes.fromhex("029f8e7d6c5b")]
NETWORK = b"Secret Cafe"
BODY = bytes((0, len(NETWORK))) + NETWORK + ELEMENTS[2:]


@pytest.fixture(scope="module")
def air() -> bytes:
    """Four phones over a day's end, one of them asking for a network by name, and a record that breaks off."""
    frames = [frame for n, phone in enumerate(PHONES) for frame in scans(phone, T0_US + n * 7_000_000, 6, every_s=25)]
    frames += [(T0_US + 3_000_000 + n, heard(PHONES[3], elements=BODY)) for n in range(3)]
    frames += [(T0_US + DAY_US + n * 1_000_000, heard(PHONES[0], elements=BODY)) for n in range(3)]
    return pcap(sorted(frames))[:-9]


def secrets() -> Iterator[tuple[str, bytes]]:
    for phone in PHONES:
        yield from ((f"address {phone.hex(':')}", trace) for trace in traces(phone))
    first_day = T0_US // DAY_US
    ratchet = replay_ratchet(SITE_KEY, first_day)
    keys = {"site key": SITE_KEY.chain, "chain": ratchet.state().chain}
    keys |= {f"key of day {day}": ratchet.key_of(day) for day in (first_day, first_day + 1)}
    words = {"network": NETWORK, "elements": HT, **keys}
    for name, word in words.items():
        yield from (
            (name, form) for form in (word, word.hex().encode(), b64encode(word)[:-4], b32encode(word)[:-8].lower())
        )


SECRETS = list(secrets())


def found_in(data: bytes) -> set[str]:
    data = data.lower() + data
    return {name for name, secret in SECRETS if secret in data or secret.lower() in data}


def opened(message: bytes) -> bytes:
    """A message as the cloud sees it, before and after inflating."""
    return message + inflate(open_message(message).payload)


def run_everything(config: Path, capture: Path, cloud: StandInCloud, folder: Path) -> list[int]:
    """Every command that touches frames or batches, with a cloud that stores one, refuses one, and then locks the agent out."""
    named = ["--config", str(config)]
    cloud.answers[:] = [Answer(503), Answer(202), Answer(400, b"malformed"), Answer(401, b"who are you")]
    return [
        main(["replay", str(capture), "--cloud", cloud.url, "--json", *named]),
        main(["replay", str(capture), *named]),
        main(["run", *named]),
        main(["explain", str(capture), "--format", "ndjson", *named]),
        main(["explain", str(capture), *named]),
        main(["count", str(capture), "--json", *named]),
        main(["spool", "ls", *named]),
        main(["spool", "show", "2", *named]),
        main(["spool", "export", str(folder / "exported"), *named]),
    ]


@pytest.mark.parametrize("mode", ["day", "count"])
def test_nothing_that_names_a_phone_is_written_anywhere(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], air: bytes, mode: str
):
    capture = tmp_path / "air.pcap"
    capture.write_bytes(air)
    with stand_in_cloud() as cloud:
        config = enrolled(
            tmp_path / "state",
            cloud.url,
            privacy={"mode": mode},
            batch={"replay_max_age_s": 30},
            log={"level": "debug"},
            source={"name": "pcap", "paths": [str(capture)], "speed": 0},
        )
        codes = run_everything(config, capture, cloud, tmp_path / "state")
    out, err = capfd.readouterr()

    assert codes == [5, 4, 4, 4, 4, 4, 0, 0, 0]
    assert "upload_refused" in err and "upload_locked_out" in err and "breaks off" in err
    assert found_in(out.encode()) == set()
    assert found_in(err.encode()) == set()
    files = [path for path in (tmp_path / "state").rglob("*") if path.is_file() and path.name != "site.key"]
    assert {"spool", "refused", "exported", "state"} <= {path.parent.name for path in files}
    for path in files:
        data = path.read_bytes()
        assert found_in(str(path).encode() + data) == set(), path
        assert found_in(opened(data) if path.suffix == ".cose" else b"") == set(), path
    assert len(cloud.bodies) > 4
    assert all(found_in(opened(body)) == set() for body in cloud.bodies)


def test_the_search_finds_what_it_looks_for(air: bytes):
    """So that the test above can fail."""
    assert {name for name in found_in(air) if not name.startswith(("site", "chain", "key"))} == {
        *(f"address {phone.hex(':')}" for phone in PHONES),
        "network",
        "elements",
    }
    assert found_in(SITE_KEY.to_text().encode()) == {"site key"}
    assert found_in(f"lost {PHONES[0].hex('-').upper()}".encode()) == {f"address {PHONES[0].hex(':')}"}
