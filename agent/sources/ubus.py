"""The socket of ubusd, OpenWrt's message bus: messages <-> bytes, and one connection (shell; docs/adr/0011-ubus-socket.md).

A message is 8 bytes of header (version 0, type, sequence number, peer) and one blob attribute whose content is attributes.
ubusd greets with HELLO. A request has a sequence number, and its answers (any number of DATA, then one STATUS) carry the same.
What the answers mean to us is ``hostapd_session``'s matter.

Sources: openwrt/ubus ``ubusmsg.h`` (header, types, attributes, status codes), ``libubus-io.c`` (``ubus_send_msg``,
``get_next_msg``: sequence and peer are big-endian; the first releases wrote them in the machine's order and are not spoken
here), ``libubus-obj.c`` and ``libubus-sub.c`` (objects, subscriptions), ``libubus-req.c`` (requests), ``libubox`` ``usock.c``.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from struct import Struct
from typing import Any, NamedTuple

from agent.sources.blobmsg import attribute, encode_table
from agent.sources.errors import UbusGone, UbusMalformed, UbusMissing

DEFAULT_PATH = "/var/run/ubus/ubus.sock"

HELLO, STATUS, DATA, PING, LOOKUP, INVOKE, ADD_OBJECT, REMOVE_OBJECT, SUBSCRIBE, UNSUBSCRIBE, NOTIFY = range(11)
"""``enum ubus_msg_type``. ubusd hands a notification on as an INVOKE on the subscriber's object."""
ATTR_STATUS, ATTR_OBJPATH, ATTR_OBJID, ATTR_METHOD, ATTR_OBJTYPE, ATTR_SIGNATURE = range(1, 7)
ATTR_DATA, ATTR_TARGET, ATTR_ACTIVE, ATTR_NO_REPLY, ATTR_SUBSCRIBERS, ATTR_USER, ATTR_GROUP = range(7, 14)
OK, NOT_FOUND, PERMISSION_DENIED = 0, 4, 6
"""Of ``enum ubus_msg_status``, those that mean something of their own to us."""
EVENT_OBJECT = 1
"""UBUS_SYSTEM_OBJECT_EVENT: the object of ubusd itself where listeners register."""

HEADER = Struct(">BBHII")
"""The header and the word that begins the message's one attribute."""
MESSAGE_BYTES_MAX = 1 << 20
"""UBUS_MAX_MSGLEN. A longer message is no message."""
READ_BYTES = 65536


class Message(NamedTuple):
    """One message. ``attributes`` are the bytes of its attributes, side by side."""

    kind: int
    sequence: int
    peer: int
    attributes: bytes


def encode_message(message: Message) -> bytes:
    """The bytes of a message on the socket."""
    kind, sequence, peer, attributes = message
    return HEADER.pack(0, kind, sequence & 0xFFFF, peer, 4 + len(attributes)) + attributes


class MessageReader:
    """Cuts what the socket gives into messages; the rest waits for more. Holds at most one message of 1 MiB."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are whole now. Raises UbusMalformed where the bytes are no messages: the connection is lost then."""
        data = self._buffer + data
        messages = []
        place, end = 0, len(data)
        while end - place >= HEADER.size:
            version, kind, sequence, peer, head = HEADER.unpack_from(data, place)
            length = head & 0xFFFFFF
            if version or not 4 <= length <= MESSAGE_BYTES_MAX:
                raise UbusMalformed(
                    f"ubus: a message of version {version} with {length} bytes; version 0 and 4 to {MESSAGE_BYTES_MAX} are spoken"
                )
            stop = place + 8 + length
            if stop > end:
                break
            messages.append(Message(kind, sequence, peer, data[place + HEADER.size : stop]))
            place = stop
        self._buffer = data[place:]
        return messages


def number(value: int) -> bytes:
    """The content of an attribute that is a 32-bit number."""
    return (value & 0xFFFFFFFF).to_bytes(4, "big")


def number_of(attributes: Mapping[int, bytes], which: int) -> int | None:
    """A 32-bit number among attributes, None where it is not there or not of four bytes."""
    content = attributes.get(which)
    return int.from_bytes(content, "big") if content is not None and len(content) == 4 else None


def text_of(attributes: Mapping[int, bytes], which: int) -> str:
    """A text among attributes, empty where it is not there."""
    return attributes.get(which, b"").split(b"\0", 1)[0].decode("utf-8", "replace")


def lookup(pattern: str) -> bytes:
    """Attributes of LOOKUP: the objects whose path is ``pattern``, or begins with it where it ends in an asterisk."""
    return attribute(ATTR_OBJPATH, pattern.encode() + b"\0")


def invoke(object_id: int, method: str, arguments: Mapping[str, Any]) -> bytes:
    """Attributes of INVOKE: call a method of an object."""
    return (
        attribute(ATTR_OBJID, number(object_id))
        + attribute(ATTR_METHOD, method.encode() + b"\0")
        + attribute(ATTR_DATA, encode_table(arguments))
    )


def subscribe(subscriber_id: int, target_id: int) -> bytes:
    """Attributes of SUBSCRIBE: ``target_id``'s notifications shall call our object ``subscriber_id``."""
    return attribute(ATTR_OBJID, number(subscriber_id)) + attribute(ATTR_TARGET, number(target_id))


def status(code: int, object_id: int) -> bytes:
    """Attributes of the STATUS with which our object answers a call."""
    return attribute(ATTR_STATUS, number(code)) + attribute(ATTR_OBJID, number(object_id))


class UbusSocket:
    """One connection to ubusd. Raises UbusMissing, UbusGone or UbusMalformed where there is none to be had."""

    def __init__(self, path: str = DEFAULT_PATH, timeout_s: float = 5.0) -> None:
        self._reader = MessageReader()
        self._socket = _connect(path, timeout_s)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        try:
            self._waiting = self._greeting(timeout_s)
        except Exception:
            self._socket.close()
            raise

    def send(self, message: Message) -> None:
        """Hand one message to ubusd. Raises UbusGone, also where ubusd takes nothing for the connection's time-out."""
        try:
            self._socket.sendall(encode_message(message))
        except OSError as error:
            raise UbusGone(f"ubusd is gone ({error.strerror or 'it takes nothing'})") from error

    def receive(self, wait_s: float) -> list[Message]:
        """The messages that are there, or come within ``wait_s``; none where none come. Raises UbusGone, UbusMalformed."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            return waiting
        try:
            if not self._poll.poll(max(0.0, wait_s) * 1000):
                return []
            data = self._socket.recv(READ_BYTES)
        except OSError as error:
            raise UbusGone(f"ubusd is gone ({error.strerror})") from error
        if not data:
            raise UbusGone("ubusd is gone (it closed the connection)")
        return self._reader.feed(data)

    def hang_up(self) -> None:
        """End the connection from another thread: whoever waits in ``receive`` gets UbusGone."""
        with suppress(OSError):  # it has ended already, which is what we want
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give back the socket. A second call does nothing."""
        self._socket.close()

    def _greeting(self, timeout_s: float) -> list[Message]:
        """Wait for HELLO. Gives what came behind it."""
        self._waiting = []
        deadline = time.monotonic() + timeout_s
        messages: list[Message] = []
        try:
            while not messages and time.monotonic() < deadline:
                messages = self.receive(deadline - time.monotonic())
        except UbusGone as error:
            raise UbusGone(
                f"ubusd hangs up on user {os.getuid()} without a greeting; it takes only users of /etc/passwd and /etc/group"
            ) from error
        if not messages:
            raise UbusGone(f"ubusd does not greet within {timeout_s:g} s")
        if messages[0].kind != HELLO:
            raise UbusMalformed(f"ubusd begins with a message of type {messages[0].kind}, not with HELLO (0)")
        return messages[1:]


def _connect(path: str, timeout_s: float) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    made.settimeout(timeout_s)
    try:
        made.connect(path)
    except OSError as error:
        made.close()
        raise UbusMissing(
            f"ubus: {path}: cannot be reached ({error.strerror or error}); the source 'hostapd' needs OpenWrt's ubusd: "
            "start it, or name another socket in source.ubus_socket"
        ) from error
    return made
