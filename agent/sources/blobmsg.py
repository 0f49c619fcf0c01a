"""blob and blobmsg: how OpenWrt's ubus writes attributes and tables as bytes. Pure; who sends them is ``ubus``'s matter.

A blob attribute is a 32-bit word, 24 bits of them its length with that word, 7 its number, then the content, padded to four
bytes. A blobmsg field is such an attribute with the top bit set, its type as the number, and in front of the content its
name: 16 bits of length, the name, a NUL, padded to four bytes. Every number is big-endian, whatever the machine.

Sources: openwrt/libubox ``blob.h`` (``struct blob_attr``, ``blob_raw_len``, ``blob_pad_len``), ``blob.c`` (``blob_new``,
``blob_nest_end``), ``blobmsg.h`` (``enum blobmsg_type``, ``blobmsg_hdrlen``), ``blobmsg.c`` (``blobmsg_new``).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from struct import Struct
from typing import Any

from agent.sources.errors import UbusMalformed

EXTENDED = 0x80
LENGTH_MASK = 0xFFFFFF
ARRAY, TABLE, STRING, INT64, INT32, INT16, INT8, DOUBLE = range(0x81, 0x89)
"""Types of a field as its first octet has them, the top bit included. BLOBMSG_TYPE_BOOL is INT8."""

WORD = Struct(">I")
FIELD = Struct(">IH")
NUMBERS: dict[int, Struct] = {
    INT64: Struct(">q"),
    INT32: Struct(">i"),
    INT16: Struct(">h"),
    INT8: Struct(">b"),
    DOUBLE: Struct(">d"),
}
"""Whole numbers are signed, as blobmsg_json.c prints them: a level of -67 dBm is sent as an unsigned word."""


def attribute(number: int, content: bytes) -> bytes:
    """One blob attribute, its padding included. ``number`` 0..127; content up to 16 MiB."""
    return WORD.pack(number << 24 | 4 + len(content)) + content + bytes(-len(content) % 4)


def read_attributes(data: bytes) -> dict[int, bytes]:
    """The attributes that lie side by side in ``data``, by number; the last of a number counts. Raises UbusMalformed."""
    return {number & ~EXTENDED: content for number, content in _walk(data)}


def encode_table(fields: Mapping[str, Any]) -> bytes:
    """Fields side by side, which is what a table holds and what UBUS_ATTR_DATA carries.

    bool becomes INT8, int INT32 (INT64 where it needs it), float DOUBLE, str STRING, mappings and sequences TABLE and ARRAY.
    """
    return b"".join(_field(name, value) for name, value in fields.items())


def decode_table(data: bytes, depth: int = 1) -> dict[str, Any]:
    """The fields of a table by name. ``depth`` is how many levels are opened; tables and arrays below them are left out.

    Raises UbusMalformed for anything that is not whole, named fields.
    """
    fields: dict[str, Any] = {}
    end = len(data)
    place = 0
    while place < end:
        if end - place < 6:
            raise UbusMalformed(f"ubus: a field of {end - place} bytes is shorter than its header of 6")
        head, name_length = FIELD.unpack_from(data, place)
        length = head & LENGTH_MASK
        start = place + 4 + (name_length + 6 & ~3)
        stop = place + length
        if not start <= stop <= end:
            raise UbusMalformed("ubus: a field runs over the end of its table")
        kind = head >> 24
        if depth > 1 or kind not in (TABLE, ARRAY):
            name = data[place + 6 : place + 6 + name_length].decode("utf-8", "replace")
            fields[name] = _value(kind, data[start:stop], depth)
        place += length + 3 & ~3
    return fields


def _walk(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(first octet, content) of each attribute."""
    end = len(data)
    place = 0
    while place < end:
        if end - place < 4:
            raise UbusMalformed(f"ubus: an attribute of {end - place} bytes is shorter than its header of 4")
        (head,) = WORD.unpack_from(data, place)
        length = head & LENGTH_MASK
        if not 4 <= length <= end - place:
            raise UbusMalformed(f"ubus: an attribute says it has {length} bytes of the {end - place} there are")
        yield head >> 24, data[place + 4 : place + length]
        place += length + 3 & ~3


def _value(kind: int, content: bytes, depth: int) -> Any:
    """The value of one field from its content behind the name."""
    if kind == STRING:
        return content.split(b"\0", 1)[0].decode("utf-8", "replace")
    if kind in NUMBERS:
        try:
            return NUMBERS[kind].unpack(content)[0]
        except struct.error as error:
            raise UbusMalformed(f"ubus: a number of type {kind:#04x} has {len(content)} bytes") from error
    if kind == TABLE:
        return decode_table(content, depth - 1)
    if kind == ARRAY:
        return _array(content, depth - 1)
    raise UbusMalformed(f"ubus: a field has the type {kind:#04x}; types are 0x81 to 0x88")


def _array(data: bytes, depth: int) -> list[Any]:
    """The elements of an array: fields with an empty name."""
    elements = []
    for kind, content in _walk(data):
        if kind in (TABLE, ARRAY) and depth < 1:
            continue
        if len(content) < 4:
            raise UbusMalformed("ubus: an element of an array is shorter than its empty name")
        elements.append(_value(kind, content[int.from_bytes(content[:2], "big") + 6 & ~3 :], depth))
    return elements


def _field(name: str, value: Any) -> bytes:
    """One named field with its padding."""
    kind, content = _content(value)
    encoded = name.encode()
    header = len(encoded).to_bytes(2, "big") + encoded + b"\0"
    return attribute(kind, header + bytes(-len(header) % 4) + content)


def _content(value: Any) -> tuple[int, bytes]:
    if isinstance(value, bool):
        return INT8, bytes((value,))
    if isinstance(value, int):
        if -(1 << 31) <= value < 1 << 32:
            return INT32, WORD.pack(value & 0xFFFFFFFF)
        return INT64, NUMBERS[INT64].pack(value)
    if isinstance(value, float):
        return DOUBLE, NUMBERS[DOUBLE].pack(value)
    if isinstance(value, str):
        return STRING, value.encode() + b"\0"
    if isinstance(value, Mapping):
        return TABLE, encode_table(value)
    if isinstance(value, Sequence):
        return ARRAY, b"".join(_field("", item) for item in value)
    raise TypeError(f"a {type(value).__name__} has no blobmsg type; use bool, int, float, str, a mapping or a sequence")
