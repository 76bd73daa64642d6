"""The Basic Encoding Rules (X.690) as far as LDAP (RFC 4511 section 5.1) and SNMP use them: one-byte tags, definite
lengths.

    tag | length | content          length: one byte below 128, or 0x80 + count and then so many bytes

Owns elements; refuses to know what they mean. Reading wrong bytes is a `PeerError`.
"""

from __future__ import annotations

from collections.abc import Iterator

from eudaemon.wire.faults import PeerError

BOOLEAN, INTEGER, OCTETS, NULL, OBJECT, ENUMERATED, SEQUENCE, SET = 0x01, 0x02, 0x04, 0x05, 0x06, 0x0A, 0x30, 0x31
_LENGTH_BYTES_MAX = 4
_INTEGER_BYTES_MAX = 8
_OBJECT_BYTES_MAX = 640
ARCS_MAX = 128  # of an object identifier, RFC 2578 section 3.5
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


def object_identifier(content: bytes) -> tuple[int, ...]:
    """Return the numbers that an OBJECT IDENTIFIER holds: `(1, 3, 6, 1)`."""
    if not content or len(content) > _OBJECT_BYTES_MAX or content[-1] & 0x80:
        raise PeerError("BER: no object identifier")
    arcs: list[int] = []
    value = 0
    for byte in content:
        value = value << 7 | byte & 0x7F
        if value > 0xFFFF_FFFF:
            raise PeerError("BER: a number in an object identifier is over 32 bits")
        if byte & 0x80:
            continue
        arcs += [value] if arcs else [min(value // 40, 2), value - 40 * min(value // 40, 2)]
        value = 0
    if len(arcs) > ARCS_MAX:
        raise PeerError(f"BER: an object identifier of more than {ARCS_MAX} numbers")
    return tuple(arcs)


def named(arcs: tuple[int, ...]) -> bytes:
    """Return an object identifier, of two numbers at least, as an element."""
    content = bytearray()
    for value in (arcs[0] * 40 + arcs[1], *arcs[2:]):
        septets = [value & 0x7F]
        while value := value >> 7:
            septets.append(0x80 | value & 0x7F)
        content += bytes(reversed(septets))
    return encoded(OBJECT, bytes(content))
