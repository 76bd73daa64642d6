"""A self-signed certificate such as a device makes for itself, from the seed and the standard library alone.

ECDSA over P-256 (FIPS 186-4) in plain integers, and the few DER forms (X.690) that an X.509 v3 certificate needs. Made
once for an installation, kept as two PEM blocks in one file. Not constant-time: the key guards nothing.
"""

from __future__ import annotations

import base64
import hashlib
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from eudaemon.world.seed import Seed

# NIST P-256 (secp256r1): field, coefficient b, order, base point. a = -3.
_P = 2**256 - 2**224 + 2**192 + 2**96 - 1
_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
_Point = tuple[int, int]

_BUILT_S = 1_464_739_200  # 2016-06-01; devices of that time made theirs when they first started
_DAYS = 3650


def pem(seed: Seed, name: str) -> str:
    """Return key and certificate, PEM, for a device of this name."""
    key = 1 + int.from_bytes(seed.bytes("key", 40), "big") % (_N - 1)
    public = _multiply(key, _G)
    point = b"\x04" + public[0].to_bytes(32, "big") + public[1].to_bytes(32, "big")
    algorithm = _sequence(_oid("1.2.840.10045.2.1"), _oid("1.2.840.10045.3.1.7"))  # RFC 5480: id-ecPublicKey, P-256
    private = _sequence(  # RFC 5915
        _integer(1), _tlv(0x04, key.to_bytes(32, "big")), _tlv(0xA0, _oid("1.2.840.10045.3.1.7")),
        _tlv(0xA1, _tlv(0x03, b"\0" + point)),
    )  # fmt: skip
    begins = datetime.fromtimestamp(_BUILT_S + seed.number("made", 900 * 86_400), UTC)
    who = _subject(seed, name)
    is_signed = _sequence(_oid("1.2.840.10045.4.3.2"))  # RFC 5758: ecdsa-with-SHA256
    body = _sequence(  # RFC 5280, section 4.1
        _tlv(0xA0, _integer(2)),
        _integer(int.from_bytes(seed.bytes("serial number", 8), "big") >> 1 | 1),
        is_signed,
        who,
        _sequence(_time(begins), _time(begins + timedelta(days=_DAYS))),
        who,
        _sequence(algorithm, _tlv(0x03, b"\0" + point)),
        _tlv(0xA3, _sequence(_sequence(_oid("2.5.29.19"), _tlv(0x04, _sequence(_tlv(0x01, b"\xff")))))),  # a CA, alas
    )
    certificate = _sequence(body, is_signed, _tlv(0x03, b"\0" + _signature(key, body)))
    return _armoured("EC PRIVATE KEY", private) + _armoured("CERTIFICATE", certificate)


def kept(path: Path, seed: Seed, name: str) -> Path:
    """Return the file with key and certificate; it is made, readable by its owner alone, if it is not there."""
    if not path.exists():
        new = path.with_suffix(".new")
        file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(file, "w", encoding="ascii") as out:
            out.write(pem(seed, name))
            out.flush()
            os.fsync(out.fileno())
        new.replace(path)
    return path


def _subject(seed: Seed, name: str) -> bytes:
    country = seed.choice("country", ("CN", "TW", "US", "KR"))
    unit = seed.choice("unit", ("Network", "IT", "Gateway", "R&D", "Support"))
    parts = (("2.5.4.6", 0x13, country), ("2.5.4.11", 0x0C, unit), ("2.5.4.3", 0x0C, name[:64]))
    return _sequence(*(_tlv(0x31, _sequence(_oid(oid), _tlv(form, text.encode()))) for oid, form, text in parts))


# --- DER -------------------------------------------------------------------------------------------


def _tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def _sequence(*parts: bytes) -> bytes:
    return _tlv(0x30, b"".join(parts))


def _integer(value: int) -> bytes:
    return _tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _oid(text: str) -> bytes:
    first, second, *rest = map(int, text.split("."))
    out = bytes((first * 40 + second,))
    for number in rest:
        septets = [number & 0x7F]
        while number := number >> 7:
            septets.insert(0, number & 0x7F | 0x80)
        out += bytes(septets)
    return _tlv(0x06, out)


def _time(moment: datetime) -> bytes:
    return _tlv(0x17, moment.strftime("%y%m%d%H%M%SZ").encode("ascii"))  # UTCTime: until 2049


def _armoured(what: str, der: bytes) -> str:
    text = base64.b64encode(der).decode("ascii")
    lines = (text[at : at + 64] for at in range(0, len(text), 64))
    return "\n".join((f"-----BEGIN {what}-----", *lines, f"-----END {what}-----", ""))


# --- P-256 -----------------------------------------------------------------------------------------


def _signature(key: int, message: bytes) -> bytes:
    """Sign with SHA-256. The nonce is drawn from key and message, as in RFC 6979's idea: the same input, the same."""
    digest = int.from_bytes(hashlib.sha256(message).digest(), "big")
    nonce = 1 + int.from_bytes(Seed(key.to_bytes(32, "big") + message).bytes("nonce", 40), "big") % (_N - 1)
    point = _multiply(nonce, _G)
    r = point[0] % _N
    s = pow(nonce, -1, _N) * (digest + r * key) % _N
    return _sequence(_integer(r), _integer(s))


def _multiply(factor: int, point: _Point) -> _Point:
    """Return factor * point, for 0 < factor < N."""
    found: _Point | None = None
    for bit in f"{factor:b}":
        if found is not None:
            found = _add(found, found)
        if bit == "1":
            found = point if found is None else _add(found, point)
    if found is None:
        raise ValueError("the factor is 0")
    return found


def _add(one: _Point, other: _Point) -> _Point:
    """Return one + other. Their sum is never the point at infinity here: factors stay below the order."""
    if one == other:
        slope = (3 * one[0] * one[0] - 3) * pow(2 * one[1], -1, _P)
    else:
        slope = (other[1] - one[1]) * pow(other[0] - one[0], -1, _P)
    x = (slope * slope - one[0] - other[0]) % _P
    return x, (slope * (one[0] - x) - one[1]) % _P
