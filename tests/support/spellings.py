"""The ways in which people and programs write a MAC address, for tests that look for one where none may be."""

from __future__ import annotations

from base64 import b64encode


def spellings(address: bytes) -> dict[str, str]:
    """Six bytes as text, by the name of the spelling."""
    octets = [f"{octet:02x}" for octet in address]
    digits = "".join(octets)
    return {
        "colons": ":".join(octets),
        "colons, upper case": ":".join(octets).upper(),
        "hyphens": "-".join(octets),
        "dots": ".".join(octets),
        "blanks": " ".join(octets),
        "underscores": "_".join(octets),
        "commas": ",".join(octets),
        "commas and blanks": ", ".join(octets),
        "Cisco": f"{digits[:4]}.{digits[4:8]}.{digits[8:]}",
        "Huawei": f"{digits[:4]}-{digits[4:8]}-{digits[8:]}",
        "HP": f"{digits[:6]}-{digits[6:]}",
        "bare": digits,
        "bare, upper case": digits.upper(),
        "bare, 0x": "0x" + digits,
        "octets with 0x": ", ".join("0x" + octet for octet in octets),
        "no leading zeros": ":".join(f"{octet:x}" for octet in address),
        "in a URL": "%3A".join(octets),
        "EUI-64": ":".join((*octets[:3], "ff", "fe", *octets[3:])),
        "Python's bytes": repr(address),
    }


def traces(address: bytes) -> list[bytes]:
    """Every form in which the address could lie in a file: raw, forwards and backwards, base64, and as text."""
    texts = {text.lower().encode() for name, text in spellings(address).items() if name != "EUI-64"}
    return [address, address[::-1], b64encode(address), *texts]
