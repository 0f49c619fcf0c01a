"""Models of phones and of the devices that stay: what they send in a scan, how often, and under which addresses.

The figures follow measurements of 33 real phones: scan periods of 15 to 180 s, 2 to 25 frames a burst, a new address at every scan
for all modern phones and several within one scan for some, sequence counters that run on over a new address for about half of the
models. The element bodies are made up, shaped like the real ones (order and kinds of elements); none is a real phone's.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class PhoneModel:
    """How one model behaves."""

    name: str
    share: float
    """Of the phones in the street, relative."""
    period_s: float
    """Median seconds between two scans."""
    frames_per_channel: tuple[int, int]
    """Fewest and most probe requests on one channel in one scan."""
    addresses_per_scan: int
    """1, or 3 where the address changes with the channel."""
    keeps_counter: bool
    """The sequence counter runs on when the address changes."""
    body: bytes
    """The elements behind the SSID and before the DS parameter is put in; see ``elements``."""


def _element(number: int, content: bytes) -> bytes:
    return bytes((number, len(content))) + content


RATES = _element(1, bytes.fromhex("02040b16"))
MORE_RATES = _element(50, bytes.fromhex("0c1218243048606c"))
HT = "2d1a{info}1bffff000000000000000000000000000000000000000000"


def _body(ht_info: str, extended: str, *, vht: str = "", he: str = "", vendors: tuple[str, ...] = ()) -> bytes:
    """Elements behind the DS parameter, from the parts in which models differ (hexadecimal)."""
    body = bytes.fromhex(HT.format(info=ht_info)) + _element(127, bytes.fromhex(extended))
    if vht:
        body += _element(191, bytes.fromhex(vht) + bytes.fromhex("faff0000faff0000"))
    if he:
        body += _element(255, b"\x23" + bytes.fromhex(he) + bytes(13) + bytes.fromhex("faff") * 2)
    return body + b"".join(_element(221, bytes.fromhex(vendor)) for vendor in vendors)


MICROSOFT_8 = "0050f208000000"
EPIGRAM = "00904c0408bf0c"
BROADCOM = "001018020000"
MODELS: tuple[PhoneModel, ...] = (
    PhoneModel(
        "alder-12",
        0.17,
        60,
        (1, 2),
        3,
        False,
        _body("2d40", "0400080400000040", he="01780888", vendors=("0017f20a00010400000000", MICROSOFT_8)),
    ),
    PhoneModel(
        "alder-11",
        0.12,
        75,
        (1, 2),
        3,
        False,
        _body("2d40", "0400080400000040", he="01780888", vendors=("0017f20a00010400000000", BROADCOM)),
    ),
    PhoneModel(
        "alder-8",
        0.06,
        45,
        (1, 3),
        1,
        True,
        _body("2d40", "0400088400000040", vendors=("0017f20a00010400000000", MICROSOFT_8)),
    ),
    PhoneModel(
        "birch-21",
        0.10,
        90,
        (3, 7),
        1,
        False,
        _body("6f01", "0400480100000040", vht="32118033", he="23090008", vendors=(BROADCOM,)),
    ),
    PhoneModel("birch-31", 0.09, 40, (4, 8), 1, False, _body("2d01", "0000080000000040", vendors=(MICROSOFT_8,))),
    PhoneModel(
        "birch-7",
        0.05,
        30,
        (3, 6),
        1,
        True,
        _body("6f01", "0000000000000040", vht="32008003", vendors=(EPIGRAM, BROADCOM)),
    ),
    PhoneModel(
        "cedar-9",
        0.09,
        100,
        (2, 4),
        1,
        False,
        _body("2d11", "04000a0200000040", vendors=(MICROSOFT_8, "506f9a16030101")),
    ),
    PhoneModel("cedar-5", 0.06, 25, (2, 5), 3, True, _body("2c01", "0000000000000040", vendors=(MICROSOFT_8,))),
    PhoneModel(
        "dogwood-3",
        0.07,
        120,
        (3, 4),
        1,
        False,
        _body("6f00", "04000a0201004040", vht="b2018033", vendors=("506f9a16030101",)),
    ),
    PhoneModel(
        "elm-x3", 0.07, 20, (8, 14), 1, False, _body("ef19", "0400480000000040", vht="92798033", vendors=(MICROSOFT_8,))
    ),
    PhoneModel("fir-p20", 0.06, 35, (5, 9), 1, True, _body("6f18", "0000480000000040", vendors=(EPIGRAM, MICROSOFT_8))),
    PhoneModel(
        "gum-8",
        0.06,
        65,
        (2, 4),
        1,
        False,
        _body("ad01", "0500080100000040", he="01080008", vendors=("506f9a16030101",)),
    ),
)
PRINTER = PhoneModel("printer", 0.0, 110, (1, 2), 1, True, _body("0c00", "0000000000000040"))
"""A device that stays and keeps its global address."""


VARIANTS = 60
"""Builds of a model (year, region, release) that tell themselves apart in a vendor element. Of 1,000 devices at a festival a third
had a fingerprint that no other had (Robyns et al. 2017); Zipf's law over 60 builds of each model comes near it."""


def choose_model(random: Random) -> tuple[PhoneModel, int]:
    """One phone, drawn by share, and its build: the first build of a model is the commonest."""
    model = random.choices(MODELS, [model.share for model in MODELS])[0]
    return model, random.choices(range(VARIANTS), [1 / (build + 1) for build in range(VARIANTS)])[0]


def elements(model: PhoneModel, build: int, channel: int) -> bytes:
    """The frame body: wildcard SSID, rates, DS parameter, the model's own. Source: IEEE 802.11-2020 9.3.3.9 (order)."""
    own = _element(221, bytes.fromhex("02000050") + bytes((build,)))  # a locally administered OUI: nobody's
    return _element(0, b"") + RATES + MORE_RATES + _element(3, bytes((channel,))) + model.body + own
