"""Deterministic CBOR for access points, where no CBOR package exists (core). Source: RFC 8949, section 4.2.1.

Integers of up to 64 bits, byte strings, text, arrays, maps, tags, false, true and null; definite lengths and shortest
heads only. No floating point: SPEC.md has none. Tested against cbor2.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from agent.wire.errors import CborError

UNSIGNED, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG, SIMPLE = range(8)
MAX_DEPTH = 8
KEY_TYPES = frozenset({int, str, bytes})


class Tagged(NamedTuple):
    """A value with a tag in front of it."""

    tag: int
    value: Any


def encode(value: Any) -> bytes:
    """The deterministic encoding. Raises CborError for a type or an integer that SPEC.md has no use for."""
    out = bytearray()
    _encode(value, out)
    return bytes(out)


def map_parts(value: dict[Any, Any]) -> list[bytes]:
    """``encode`` of a map, cut into its head and its pairs: who deflates them may begin anew at every cut."""
    out = bytearray()
    _head(MAP, len(value), out)
    pairs = sorted((encode(key), item) for key, item in value.items())  # bytewise order, section 4.2.1
    return [bytes(out), *(key + encode(item) for key, item in pairs)]


def decode(data: bytes) -> Any:
    """The one value that ``data`` encodes. Raises CborError for anything else, including what is not deterministic."""
    value, end = _decode(data, 0, 0)
    if end != len(data):
        raise CborError(f"{len(data) - end} bytes follow the value that ends at byte {end}; there may be none")
    return value


def read_map_head(data: bytes) -> tuple[int, int]:
    """How many pairs the map that ``data`` begins with has, and where its first key stands. Raises CborError."""
    major, pairs, position = _decode_head(data, 0)
    if major != MAP:
        raise CborError("the data does not begin with a map")
    return pairs, position


def read_value(data: bytes, position: int) -> tuple[Any, int]:
    """The value at ``position`` and where the next one stands. Raises CborError."""
    return _decode(data, position, 1)


def _head(major: int, argument: int, out: bytearray) -> None:
    if argument < 24:
        out.append(major << 5 | argument)
        return
    for code, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if argument < 1 << 8 * size:
            out.append(major << 5 | code)
            out += argument.to_bytes(size, "big")
            return
    raise CborError(f"{argument} does not fit into 64 bits")


def _encode(value: Any, out: bytearray) -> None:
    if value is None:
        out.append(0xF6)
    elif value is True or value is False:
        out.append(0xF5 if value else 0xF4)
    elif isinstance(value, int):
        if value >= 0:
            _head(UNSIGNED, value, out)
        else:
            _head(NEGATIVE, -1 - value, out)
    elif isinstance(value, bytes):
        _head(BYTES, len(value), out)
        out += value
    elif isinstance(value, str):
        encoded = value.encode()
        _head(TEXT, len(encoded), out)
        out += encoded
    elif isinstance(value, Tagged):
        _head(TAG, value.tag, out)
        _encode(value.value, out)
    elif isinstance(value, list | tuple):
        _head(ARRAY, len(value), out)
        for item in value:
            _encode(item, out)
    elif isinstance(value, dict):
        for part in map_parts(value):
            out += part
    else:
        raise CborError(
            f"a {type(value).__name__} has no place in a batch; use int, bytes, str, list, dict, bool or None"
        )


def _decode(data: bytes, position: int, depth: int) -> tuple[Any, int]:
    if depth > MAX_DEPTH:
        raise CborError(f"nested deeper than {MAX_DEPTH} at byte {position}")
    if position < len(data) and data[position] < 24:
        return data[position], position + 1  # an integer below 24, as most are, is its own encoding
    major, argument, position = _decode_head(data, position)
    if major == UNSIGNED:
        return argument, position
    if major == NEGATIVE:
        return -1 - argument, position
    if major in (BYTES, TEXT):
        end = position + argument
        if end > len(data):
            raise CborError(f"a string of {argument} bytes at byte {position} runs past the end")
        if major == BYTES:
            return bytes(data[position:end]), end
        try:
            return data[position:end].decode(), end
        except UnicodeDecodeError as error:
            raise CborError(f"text at byte {position} is not UTF-8") from error
    if major == ARRAY:
        if argument > len(data) - position:
            raise CborError(f"an array of {argument} items at byte {position} runs past the end")
        items = []
        for _ in range(argument):
            item, position = _decode(data, position, depth + 1)
            items.append(item)
        return items, position
    if major == MAP:
        return _decode_map(data, position, argument, depth)
    if major == TAG:
        value, position = _decode(data, position, depth + 1)
        return Tagged(argument, value), position
    simple = {20: False, 21: True, 22: None}
    if argument not in simple:
        raise CborError(f"simple value or float {argument} at byte {position - 1} has no place in a batch")
    return simple[argument], position


def _decode_map(data: bytes, position: int, pairs: int, depth: int) -> tuple[dict[Any, Any], int]:
    if pairs > len(data) - position:
        raise CborError(f"a map of {pairs} pairs at byte {position} runs past the end")
    result: dict[Any, Any] = {}
    last_key = b""
    for _ in range(pairs):
        start = position
        key, position = _decode(data, position, depth + 1)
        if type(key) not in KEY_TYPES:
            raise CborError(f"the map key at byte {start} is neither a number nor a string")
        encoded = data[start:position]
        if encoded <= last_key:
            raise CborError(f"the map key at byte {start} is a duplicate or out of order")
        last_key = encoded
        result[key], position = _decode(data, position, depth + 1)
    return result, position


def _decode_head(data: bytes, position: int) -> tuple[int, int, int]:
    if position >= len(data):
        raise CborError(f"the data ends at byte {position}, where a value was due")
    first = data[position]
    major, argument = first >> 5, first & 31
    position += 1
    if argument < 24:
        return major, argument, position
    if argument > 27 or major == SIMPLE:
        raise CborError(f"head {first:#04x} at byte {position - 1} is indefinite, reserved or a float; none may occur")
    size = 1 << argument - 24
    if position + size > len(data):
        raise CborError(f"the data ends inside the head at byte {position - 1}")
    value = int.from_bytes(data[position : position + size], "big")
    if value < (24 if size == 1 else 1 << 4 * size):
        raise CborError(f"head at byte {position - 1} is longer than it need be")
    return major, value, position + size
