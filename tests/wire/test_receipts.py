"""A chain of receipts holds only as it was made."""

from __future__ import annotations

import json
from base64 import b64encode

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from agent.wire.receipts import (
    FIRST_PREVIOUS,
    HAND_OVER_MS,
    Head,
    ReceiptError,
    canonical,
    line_hash,
    make_receipt,
    verify_chain,
)

OURS, THEIRS = (Ed25519PrivateKey.from_private_bytes(bytes((n,)) * 32) for n in (1, 2))


def public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(
        Encoding.Raw, PublicFormat.Raw
    )  # in every release, also the old ones of make test-architectures


def verify(key: bytes, signature: bytes, signed: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, signed)
    except (InvalidSignature, ValueError):
        return False
    return True


def chain(length: int, key: Ed25519PrivateKey = OURS, head: Head | None = None) -> list[str]:
    lines, head = [], head or Head()
    for number in range(length):
        lines.append(
            make_receipt(
                head,
                at_ms=number,
                by="cloud",
                key=public(key),
                what="day_erased",
                about={"rows": number},
                sign=key.sign,
            )
        )
        head = Head.of(lines[-1])
    return lines


def resigned(line: str, key: Ed25519PrivateKey, **changes: object) -> str:
    """The line with its receipt changed and signed by ``key``, as a forger would."""
    receipt = {**json.loads(line)["receipt"], **changes}
    return canonical({"receipt": receipt, "signature": b64encode(key.sign(canonical(receipt).encode())).decode()})


def test_a_chain_as_it_was_made_holds():
    receipts = verify_chain(chain(5), verify, trusted=frozenset({public(OURS)}))

    assert [receipt["about"]["rows"] for receipt in receipts] == [0, 1, 2, 3, 4]
    assert receipts[0]["previous"] == FIRST_PREVIOUS
    assert receipts[1]["previous"] == line_hash(chain(5)[0])


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("one removed", [*chain(5)[:2], *chain(5)[3:]]),
        ("the first removed", chain(5)[1:]),
        ("two exchanged", [chain(5)[0], chain(5)[2], chain(5)[1], *chain(5)[3:]]),
        ("one twice", [*chain(2), chain(2)[1]]),
        ("a figure altered", [chain(3)[0], chain(3)[1].replace('"rows":1', '"rows":9'), chain(3)[2]]),
        ("altered and signed by another", [*chain(2), resigned(chain(3)[2], THEIRS)]),
        ("forged with the forger's own key", [*chain(2), *chain(1, THEIRS, Head.of(chain(2)[1]))]),
        ("altered and signed again by the holder, not the rest", [resigned(chain(3)[0], OURS, at_ms=9), *chain(3)[1:]]),
        ("another spelling", [chain(1)[0].replace('","', '", "')]),
        ("no receipt", ["{}"]),
        ("no JSON", ["hello"]),
    ],
)
def test_what_was_done_to_a_chain_shows(name, lines):
    with pytest.raises(ReceiptError):
        verify_chain(lines, verify)


def test_a_whole_chain_by_another_key_holds_in_itself_and_not_for_who_knows_the_key():
    assert verify_chain(chain(3, THEIRS), verify)

    with pytest.raises(ReceiptError, match="not trusted"):
        verify_chain(chain(3, THEIRS), verify, trusted=frozenset({public(OURS)}))


def test_lines_cut_off_at_the_end_are_missed_by_whoever_kept_the_head():
    """Said in the module and on every paper: the chain alone cannot tell."""
    kept = Head.of(chain(5)[-1])

    assert len(verify_chain(chain(5)[:3], verify)) == 3
    assert Head.of(chain(5)[:3][-1]) != kept


def test_a_key_hands_over_to_the_next():
    over = make_receipt(
        Head.of(chain(1)[0]),
        at_ms=2,
        by="cloud",
        key=public(OURS),
        what="key_changed",
        about={"next_key": b64encode(public(THEIRS)).decode()},
        sign=OURS.sign,
    )
    lines = [*chain(1), over]

    assert len(verify_chain([*lines, *chain(1, THEIRS, Head.of(over))], verify)) == 3


def signed(head: Head, key: Ed25519PrivateKey, what: str = "day_erased", **fields: object) -> str:
    parts = {"at_ms": 5, "by": "cloud", "about": {}, **fields}
    return make_receipt(head, key=public(key), what=what, sign=key.sign, **parts)


def test_a_key_that_handed_over_is_out_once_the_next_one_is_in_use_for_a_day():
    over = signed(Head(), OURS, "key_changed", about={"next_key": b64encode(public(THEIRS)).decode()})
    early = signed(Head.of(over), THEIRS, at_ms=5 + HAND_OVER_MS)
    beside = signed(Head.of(early), OURS, at_ms=5 + HAND_OVER_MS)
    late = signed(Head.of(beside), THEIRS, at_ms=6 + HAND_OVER_MS)
    stolen = signed(Head.of(late), OURS, at_ms=6)

    assert len(verify_chain([over, early, beside, late], verify)) == 4, "processes restart one after the other"
    with pytest.raises(ReceiptError, match="receipt 5 is signed by a key that is not trusted"):
        verify_chain([over, early, beside, late, stolen], verify)


@pytest.mark.parametrize(
    "fields",
    [
        {"at_ms": "foo"},
        {"at_ms": 10**18},
        {"at_ms": True},
        {"by": "cloud\x1b[2J"},
        {"by": None},
        {"what": "x\n9 receipts hold together."},
        {"what": "key_changed"},
        {"what": "key_changed", "about": {"next_key": "AAAA"}},
    ],
)
def test_what_no_cloud_and_no_access_point_writes_is_no_receipt_though_it_is_signed(fields):
    with pytest.raises(ReceiptError):
        verify_chain([signed(Head(), OURS, **fields)], verify)


@given(place=st.integers(0, 3), at=st.integers(0, 10_000), byte=st.integers(32, 126))
def test_no_byte_of_a_chain_can_be_another(place, at, byte):
    lines = chain(4)
    line = lines[place]
    at %= len(line)
    if ord(line[at]) == byte:
        return
    lines[place] = line[:at] + chr(byte) + line[at + 1 :]

    with pytest.raises(ReceiptError):
        verify_chain(lines, verify, trusted=frozenset({public(OURS)}))
