"""Every limit on an input by its name: what just fits is taken, one more is refused or let go, and memory stays bounded."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from support.batches import START_MS, batch, sighting, signed
from support.clouds import Clock, Cloud, served
from support.frames import HT, RATES, SSID, T0_US, block, pcap, probe, radiotap, with_fcs
from support.stand_in_cloud import Answer, stand_in_cloud

from agent.config import CONFIG_MAX, ConfigError, parse_config
from agent.dot11 import decoder
from agent.dot11.decoder import BODIES_KEPT, BODY_KEPT_BYTES, LAYOUTS_KEPT, Decoder
from agent.privacy import opt_out
from agent.privacy.errors import OptOutsMalformed
from agent.privacy.opt_out import OptOuts
from agent.sources.errors import UbusMalformed
from agent.sources.pcap import BLOCK_BYTES_MAX, FRAME_BYTES_MAX, PcapSource
from agent.sources.ubus import MESSAGE_BYTES_MAX, MessageReader
from agent.upload.https import MAX_ANSWER_BYTES, Connection
from agent.wire import cose, receipts
from agent.wire.cbor import MAX_DEPTH, decode
from agent.wire.codec import decode_batch, encode_batch
from agent.wire.cose import PROTECTED_KEPT, open_message, sign_message
from agent.wire.errors import CborError, MessageMalformed, WireError
from agent.wire.limits import MAX_COMPRESSED_BYTES, MAX_INFLATED_BYTES, MAX_SIGHTINGS, MAX_TEXT_BYTES
from agent.wire.receipts import ReceiptError, verify_chain
from cloud.accounts.gate import MAX_FORM_BYTES
from cloud.domain import opt_out as stores
from cloud.ingest.own import MAX_BODY_BYTES


def refuses(call: Callable[[], object], *errors: type[Exception]) -> bool:
    try:
        call()
    except errors:
        return True
    return False


@pytest.mark.parametrize("more", [0, 1])
def test_a_captured_frame_has_at_most_frame_bytes_max(tmp_path: Path, more: int):
    capture = tmp_path / "long.pcap"
    capture.write_bytes(pcap([(T0_US, bytes(FRAME_BYTES_MAX + more)), (T0_US + 1, probe())], snap=1 << 30))
    source = PcapSource([capture])

    assert len(list(source)) == (0 if more else 2)
    assert len(source.troubles) == more


def test_a_block_has_at_most_block_bytes_max(tmp_path: Path):
    capture = tmp_path / "long.pcapng"
    section = block("<", 0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)) + block(
        "<", 1, struct.pack("<HHI", 127, 0, 0)
    )
    capture.write_bytes(section + struct.pack("<II", 6, BLOCK_BYTES_MAX + 4) + bytes(64))
    source = PcapSource([capture])

    assert list(source) == []
    assert "a block claims" in source.troubles[0]


@pytest.mark.parametrize("more", [0, 1])
def test_a_ubus_message_has_at_most_message_bytes_max(more: int):
    head = struct.pack(">BBHII", 0, 7, 1, 5, MESSAGE_BYTES_MAX + more)

    assert refuses(lambda: MessageReader().feed(head), UbusMalformed) == bool(more)


@pytest.mark.parametrize("more", [0, 1])
def test_cbor_is_at_most_max_depth_deep(more: int):
    assert refuses(lambda: decode(b"\x81" * (MAX_DEPTH + more) + b"\x00"), CborError) == bool(more)


@pytest.mark.parametrize("more", [0, 1])
def test_a_batch_has_at_most_max_sightings(more: int):
    """Identical ones, so that they fit into the bytes that a message may have."""
    content = batch(*(sighting(1, START_MS) for _ in range(MAX_SIGHTINGS + more)))

    assert refuses(lambda: decode_batch(encode_batch(content)), WireError) == bool(more)


@pytest.mark.parametrize("more", [0, 1])
def test_a_text_has_at_most_max_text_bytes(more: int):
    message = sign_message(b"", "a" * (MAX_TEXT_BYTES + more), lambda _: bytes(64))
    assert refuses(lambda: open_message(message), MessageMalformed) == bool(more)

    content = batch(software="é" * (MAX_TEXT_BYTES // 2) + "a" * more)
    assert refuses(lambda: decode_batch(open_message(signed(content)).payload), WireError) == bool(more)


def test_a_decoder_remembers_bodies_kept_and_none_that_is_long():
    one = Decoder(127)
    for number in range(BODIES_KEPT + 50):
        body = SSID + RATES + b"\xdd\x04" + number.to_bytes(4, "big")
        one.decode(radiotap() + with_fcs(probe(elements=body)), False)
    assert 0 < len(one._bodies) <= BODIES_KEPT

    long = SSID + RATES + HT + (b"\xdd\xff" + bytes(255)) * 2
    before = len(one._bodies)
    found = one.decode(radiotap() + with_fcs(probe(elements=long)), False)
    assert len(long) > BODY_KEPT_BYTES and found.elements == long
    assert len(one._bodies) == before


def test_a_decoder_remembers_layouts_kept():
    one = Decoder(127)
    for number in range(4 * LAYOUTS_KEPT):
        header = struct.pack("<BBHI", 0, number & 0xFF, 8 + number // 256, 0) + bytes(number // 256)
        one.decode(header + with_fcs(probe()), False)

    assert 0 < len(one._layouts) <= decoder.LAYOUTS_KEPT


def test_names_of_strangers_do_not_fill_the_memory_of_ingest():
    for number in range(PROTECTED_KEPT + 100):
        open_message(sign_message(b"", f"stranger-{number}", lambda _: bytes(64)))

    assert cose._agent_of.cache_info().currsize <= PROTECTED_KEPT


@pytest.mark.parametrize("more", [0, 1])
def test_a_message_has_at_most_max_compressed_bytes(more: int):
    message = b"\xd2" + bytes(MAX_COMPRESSED_BYTES - 1 + more)
    with pytest.raises(WireError) as error:
        open_message(message)
    assert ("at most" in str(error.value)) == bool(more)


@pytest.mark.parametrize("more", [0, 1])
def test_a_payload_has_at_most_max_inflated_bytes(more: int):
    with pytest.raises(WireError) as error:
        decode_batch(zlib.compress(bytes(MAX_INFLATED_BYTES + more)))
    assert type(error.value).__name__ == ("MessageTooLarge" if more else "BatchMalformed")


@pytest.mark.parametrize("more", [0, 1])
def test_a_configuration_has_at_most_config_max(more: int):
    assert refuses(lambda: parse_config("#" * (CONFIG_MAX + more), "agent.yaml"), ConfigError) == bool(more)


@pytest.mark.parametrize("more", [0, 1])
def test_of_a_clouds_answer_at_most_max_answer_bytes_are_read(more: int):
    with stand_in_cloud(Answer(200, bytes(MAX_ANSWER_BYTES + more))) as cloud:
        assert len(Connection(cloud.url).request("GET", "/").body) == MAX_ANSWER_BYTES


def test_a_filter_of_opt_outs_has_at_most_max_bytes_on_both_sides():
    assert OptOuts(bytes(opt_out.MAX_BYTES)) and opt_out.MAX_BYTES <= MAX_ANSWER_BYTES
    assert refuses(lambda: OptOuts(bytes(opt_out.MAX_BYTES + opt_out.SECTION_BYTES)), OptOutsMalformed)
    assert (opt_out.SECTION_BYTES, opt_out.MAX_SECTIONS) == (stores.SECTION_BYTES, stores.MAX_SECTIONS)


def test_a_receipt_has_at_most_max_line_bytes():
    line = '{"receipt":"' + "x" * receipts.MAX_LINE_BYTES + '"}'
    with pytest.raises(ReceiptError, match="line 1 is no receipt"):
        verify_chain([line], lambda *_: True)


def test_forms_and_requests_of_access_points_have_a_longest(tmp_path: Path):
    cloud = Cloud(tmp_path, clock=Clock())
    try:
        with served(cloud.embedded.app(works=False)) as client:
            for path in ("/v1/enrol", "/v1/agents/self/key"):
                status = client.post(path, content=b"x" * (MAX_BODY_BYTES + 1)).status_code
                assert status in (400, 413), path
            form = f"device=00:00:5e:00:53:01&x={'x' * MAX_FORM_BYTES}"
            answer = client.post(
                "/p/shop/opt-out", content=form, headers={"Content-Type": "application/x-www-form-urlencoded"}
            )
            assert "no Wi-Fi address" in answer.text, "a form that is too long has no fields"
    finally:
        cloud.close()
