"""The bytes of ubus: as a real ubusd wrote them, as its sources say, and never a surprise whatever comes."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from support.ubusd import Bus, Ubusd

from agent.sources import ubus
from agent.sources.blobmsg import attribute, decode_table, encode_table, read_attributes
from agent.sources.errors import SourceError, UbusError, UbusGone, UbusMalformed, UbusMissing
from agent.sources.ubus import Message, MessageReader, UbusSocket, encode_message

RECORDED = yaml.safe_load((Path(__file__).parents[2] / "golden" / "ubus" / "recorded.yaml").read_text())


def recorded(name: str) -> bytes:
    """The bytes of a recorded message."""
    return bytes.fromhex(RECORDED[name]["hex"])


def only(data: bytes) -> Message:
    """The one message of some bytes."""
    (message,) = MessageReader().feed(data)
    return message


# --- a real ubusd's bytes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_message_is_written_again_as_it_was(name: str):
    assert encode_message(only(recorded(name))) == recorded(name)


def test_a_real_hello_names_the_client():
    assert only(recorded("hello")) == Message(ubus.HELLO, 0, 0x2EB863DB, b"")


def test_a_real_lookup_answer_describes_hostapd():
    attributes = read_attributes(only(recorded("list_answer")).attributes)
    signature = decode_table(attributes[ubus.ATTR_SIGNATURE], depth=2)

    assert ubus.text_of(attributes, ubus.ATTR_OBJPATH) == RECORDED["list_answer"]["path"]
    assert list(signature) == RECORDED["list_answer"]["methods"]
    assert signature["del_client"] == {"addr": 3, "reason": 5, "deauth": 7, "ban_time": 5}
    assert encode_table(signature) == attributes[ubus.ATTR_SIGNATURE]


def test_a_call_is_written_as_the_ubus_command_writes_it():
    assert encode_message(Message(ubus.INVOKE, 1, 0x13333337, ubus.invoke(0x13333337, "info", {}))) == recorded(
        "call_request"
    )


def test_a_real_answer_is_read_to_its_depth():
    data = read_attributes(only(recorded("call_answer")).attributes)[ubus.ATTR_DATA]
    reads = RECORDED["call_answer"]["reads"]

    assert decode_table(data, depth=2) == reads
    assert decode_table(data) == {"localtime": reads["localtime"], "uptime": reads["uptime"]}


# --- the sources' word for the rest -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "octets"),
    [
        pytest.param({"signal": -67}, "85000014 0006 7369676e616c00 000000 ffffffbd", id="a level is a signed word"),
        pytest.param({"a": True}, "87000009 0001 6100 01 000000", id="bool is an INT8, padded to four"),
        pytest.param({"id": 0xB0000001}, "85000010 0002 696400 000000 b0000001", id="an id may have its top bit"),
        pytest.param({"n": 1 << 40}, "84000010 0001 6e00 0000010000000000", id="beyond 32 bits"),
        pytest.param({"ssid": "Cafe"}, "83000011 0004 7373696400 00 4361666500 000000", id="text ends in a NUL"),
        pytest.param({"t": {"x": 1}}, "82000014 0001 7400 8500000c 0001 7800 00000001", id="a table in a table"),
        pytest.param({"l": [1]}, "81000014 0001 6c00 8500000c 0000 0000 00000001", id="elements have an empty name"),
        pytest.param({"d": 1.0}, "88000010 0001 6400 3ff0000000000000", id="a double"),
    ],
)
def test_a_field_is_written_as_libubox_writes_it(fields: dict[str, object], octets: str):
    """Header, then name length, name, NUL, padding, then the content and its padding (blobmsg.c, blobmsg_new)."""
    data = bytes.fromhex(octets)

    assert encode_table(fields) == data
    read = decode_table(data, depth=3)
    assert {name: value & 0xFFFFFFFF if name == "id" else value for name, value in read.items()} == fields


@pytest.mark.parametrize(
    ("octets", "message"),
    [
        pytest.param(ubus.subscribe(0xB0000002, 0xB0000001), "03000008b000000208000008b0000001", id="subscribe"),
        pytest.param(ubus.lookup("hostapd.*"), "0200000e 686f73746170642e2a00 0000", id="lookup"),
        pytest.param(ubus.status(0, 0xB0000002), "0100000800000000 03000008b0000002", id="a subscriber's answer"),
    ],
)
def test_a_request_is_written_as_libubus_writes_it(octets: bytes, message: str):
    """libubus-sub.c (__ubus_subscribe_request), libubus.c (ubus_lookup), libubus-req.c (ubus_complete_deferred_request)."""
    assert octets == bytes.fromhex(message)


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param("01000000000000000000000400", id="version 1"),
        pytest.param("000000000000000000000003", id="shorter than its own header"),
        pytest.param("0000000000000000001fffff", id="longer than UBUS_MAX_MSGLEN"),
    ],
)
def test_bytes_that_are_no_message_end_the_connection(octets: str):
    with pytest.raises(UbusMalformed):
        MessageReader().feed(bytes.fromhex(octets))


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param("850000", id="shorter than a header"),
        pytest.param("85000004", id="no room for a name"),
        pytest.param("8500000c 0100 7800 00000001", id="the name runs over the field"),
        pytest.param("850000ff 0001 7800 00000001", id="the field runs over the table"),
        pytest.param("8500000a 0001 7800 0001", id="a word of two bytes"),
        pytest.param("9900000c 0001 7800 00000001", id="a type that is none"),
        pytest.param("0500000c 0001 7800 00000001", id="an attribute without a name"),
    ],
)
def test_a_table_that_is_none_is_refused(octets: str):
    with pytest.raises(UbusMalformed):
        decode_table(bytes.fromhex(octets), depth=3)


# --- laws -------------------------------------------------------------------------------------------------------------

values = st.recursive(
    st.booleans()
    | st.integers(-(1 << 31), (1 << 31) - 1)
    | st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc_", min_size=1, max_size=9), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text("abcdef", min_size=1, max_size=9), values, max_size=4))
def test_what_is_encoded_is_read_again(fields: dict[str, object]):
    assert decode_table(encode_table(fields), depth=20) == fields


@given(
    st.lists(st.tuples(st.integers(0, 10), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF), st.binary(max_size=40))),
    st.data(),
)
def test_messages_come_out_whole_however_the_stream_is_cut(parts, data):
    messages = [Message(kind, sequence, peer, attribute(3, content)) for kind, sequence, peer, content in parts]
    stream = b"".join(map(encode_message, messages))
    reader, read, place = MessageReader(), [], 0
    while place < len(stream):
        size = data.draw(st.integers(1, 50))
        read += reader.feed(stream[place : place + size])
        place += size

    assert read == messages


@given(st.lists(st.binary(max_size=64), max_size=4))
def test_any_bytes_give_messages_or_a_clean_error(parts: list[bytes]):
    """Those of the socket, and those of every table in them."""
    reader = MessageReader()
    with suppress(UbusError):
        for part in parts:
            for message in reader.feed(part):
                read_attributes(message.attributes)


@given(st.binary(max_size=80), st.integers(1, 4))
def test_any_table_gives_fields_or_a_clean_error(data: bytes, depth: int):
    with suppress(UbusError):
        assert isinstance(decode_table(data, depth), dict)


# --- the connection ---------------------------------------------------------------------------------------------------


def test_a_missing_ubusd_is_named_with_the_next_step(tmp_path: Path):
    with pytest.raises(
        UbusMissing, match=r"nowhere: cannot be reached \(No such file or directory\).*source\.ubus_socket"
    ) as caught:
        UbusSocket(str(tmp_path / "nowhere"))

    assert isinstance(caught.value, SourceError)


def test_a_socket_that_nobody_serves_is_missing_too(tmp_path: Path):
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "left"))
    left.close()

    with pytest.raises(UbusMissing, match="Connection refused"):
        UbusSocket(str(tmp_path / "left"))


@pytest.mark.parametrize(
    ("greeting", "error", "words"),
    [
        pytest.param(b"", UbusGone, rf"hangs up on user {os.getuid()} without a greeting", id="hangs up"),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n", UbusMalformed, "version 72", id="another protocol"),
        pytest.param(
            encode_message(Message(ubus.STATUS, 0, 1, b"")),
            UbusMalformed,
            "begins with a message of type 1",
            id="no HELLO",
        ),
    ],
)
def test_who_does_not_greet_as_ubusd_is_refused(tmp_path: Path, greeting: bytes, error: type[UbusError], words: str):
    """A real ubusd hangs up at once on a user that it finds in no /etc/passwd (ubusd_acl.c, ubusd_acl_init_client)."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "sock"))
    server.listen()

    def greet() -> None:
        connection, _ = server.accept()
        connection.sendall(greeting)
        connection.close()

    thread = threading.Thread(target=greet)
    thread.start()
    with pytest.raises(error, match=words):
        UbusSocket(str(tmp_path / "sock"), timeout_s=2)
    thread.join()
    server.close()


def test_a_silent_server_is_given_up(tmp_path: Path):
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "sock"))
    server.listen()

    with pytest.raises(UbusGone, match=r"does not greet within 0\.1 s"):
        UbusSocket(str(tmp_path / "sock"), timeout_s=0.1)
    server.close()


def test_a_request_is_answered_and_the_end_of_ubusd_is_noticed(tmp_path: Path):
    ubusd = Ubusd(tmp_path / "sock", Bus())
    connection = UbusSocket(str(tmp_path / "sock"))
    connection.send(Message(ubus.ADD_OBJECT, 7, 0, b""))
    received: list[Message] = []
    while len(received) < 2:
        received += connection.receive(2.0)

    assert [(message.kind, message.sequence) for message in received] == [(ubus.DATA, 7), (ubus.STATUS, 7)]
    assert connection.receive(0.0) == []
    ubusd.stop()
    with pytest.raises(UbusGone, match="closed the connection"):
        connection.receive(2.0)
    connection.close()
