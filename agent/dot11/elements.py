"""The frame body of a probe request: a run of elements. Source: IEEE 802.11-2020 9.4.2.1 (element format).

Each is a number, a length, and that many bytes; number 255 has its extension's number as the first byte. The walk is
kept in a small cache, because a phone sends the same body again and again.
"""

from __future__ import annotations

from agent.dot11.errors import TruncatedElement


def split_elements(body: bytes) -> list[tuple[int, bytes]]:
    """Split a frame body into (element number, content), in the order of the air.

    Extended elements keep number 255 and their extension's number as first byte of the content.
    Raises TruncatedElement if an element, or its two-byte head, runs past the end.
    """
    elements = []
    position, end = 0, len(body)
    while position < end:
        if position + 2 > end or position + 2 + body[position + 1] > end:
            raise TruncatedElement(f"an element at byte {position} runs past the end of a body of {end} bytes")
        length = body[position + 1]
        elements.append((body[position], body[position + 2 : position + 2 + length]))
        position += 2 + length
    return elements


def elements_are_whole(body: bytes) -> bool:
    """True where the elements end exactly where the body ends."""
    position, end = 0, len(body)
    while position + 1 < end:
        position += 2 + body[position + 1]
    return position == end
