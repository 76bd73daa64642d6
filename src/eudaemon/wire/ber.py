"""The Basic Encoding Rules (X.690) as far as LDAP uses them (RFC 4511 section 5.1): one-byte tags, definite lengths.

    tag | length | content          length: one byte below 128, or 0x80 + count and then so many bytes

Owns elements; refuses to know what they mean. Reading wrong bytes is a `PeerError`.
"""

from __future__ import annotations

from collections.abc import Iterator

from eudaemon.wire.faults import PeerError

BOOLEAN, INTEGER, OCTETS, ENUMERATED, SEQUENCE, SET = 0x01, 0x02, 0x04, 0x0A, 0x30, 0x31
_LENGTH_BYTES_MAX = 4
_INTEGER_BYTES_MAX = 8
ELEMENTS_MAX = 4096  # side by side


def size(data: bytes) -> int | None:
    """Return how many bytes the element takes that `data` begins with, head and all; None if that does not show yet."""
    if len(data) < 2:
        return None
    first = data[1]
    if first < 0x80:
        return 2 + first
    count = first & 0x7F
    if not 0 < count <= _LENGTH_BYTES_MAX:
        raise PeerError("BER: a length without an end, or of too many bytes")
    if len(data) < 2 + count:
        return None
    return 2 + count + int.from_bytes(data[2 : 2 + count], "big")


def elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of each element in `data`."""
    at = 0
    for _ in range(ELEMENTS_MAX):
        if at == len(data):
            return
        whole = size(data[at : at + 2 + _LENGTH_BYTES_MAX])
        if whole is None or at + whole > len(data):
            raise PeerError("BER: an element is cut off")
        first = data[at + 1]
        head = 2 if first < 0x80 else 2 + (first & 0x7F)
        yield data[at], data[at + head : at + whole]
        at += whole
    raise PeerError(f"BER: more than {ELEMENTS_MAX} elements side by side")


def integer(content: bytes) -> int:
    """Return the number that an INTEGER or ENUMERATED holds."""
    if not 0 < len(content) <= _INTEGER_BYTES_MAX:
        raise PeerError("BER: no number")
    return int.from_bytes(content, "big", signed=True)


def encoded(tag: int, *contents: bytes) -> bytes:
    """Return an element of these contents, one after the other."""
    content = b"".join(contents)
    count = len(content)
    if count < 0x80:
        return bytes((tag, count)) + content
    length = count.to_bytes((count.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def number(value: int, tag: int = INTEGER) -> bytes:
    """Return a number as an element."""
    return encoded(tag, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))
