"""LDAP's messages: parts of operations, results, and the control for pages (RFC 4511, RFC 2696)."""

from __future__ import annotations

from collections.abc import Iterator

from eudaemon.protocols._base import Send
from eudaemon.wire import PeerError, ber

CONTROLS = 0xA0
PAGED = b"1.2.840.113556.1.4.319"


def parts_of(body: bytes, count: int) -> list[tuple[int, bytes]]:
    """Return the first so many elements of an operation. Raises `PeerError` if there are fewer."""
    parts = list(ber.elements(body))
    if len(parts) < count:
        raise PeerError("an LDAP operation without all of its parts")
    return parts[:count]


def leaves(content: bytes, depth: int = 0) -> Iterator[bytes]:
    """Yield the texts in nested elements; what is none of those is a text itself."""
    try:
        parts = list(ber.elements(content)) if depth < 6 else []
    except PeerError:
        parts = []
    for tag, value in parts:
        if tag in (ber.SEQUENCE, ber.SET):
            yield from leaves(value, depth + 1)
        elif tag == ber.OCTETS:
            yield value
    if not parts and content:
        yield content


def page_of(controls: bytes) -> tuple[int, int] | None:
    """Return what a control for paged results asks for (RFC 2696): how many entries, after how many."""
    for _, one in ber.elements(controls):
        parts = list(ber.elements(one))
        if parts and parts[0][1] == PAGED and parts[-1][0] == ber.OCTETS and len(parts) > 1:
            ((_, asked),) = list(ber.elements(parts[-1][1]))[:1] or ((0, b""),)
            size, cookie = parts_of(asked, 2)
            return max(0, ber.integer(size[1])), int.from_bytes(cookie[1][:4], "big")
    return None


def control(name: bytes, value: bytes) -> bytes:
    """Return a control of this name (an OID)."""
    return ber.encoded(ber.SEQUENCE, ber.encoded(ber.OCTETS, name), ber.encoded(ber.OCTETS, value))


def result(
    number: int, kind: int, code: int, said: str = "", *, matched: str = "", more: bytes = b"", controls: bytes = b""
) -> Send:
    """Return the result of an operation: `kind` is that of the answer, `code` that of the result."""
    said_all = (ber.number(code, ber.ENUMERATED), ber.encoded(ber.OCTETS, matched.encode()),
                ber.encoded(ber.OCTETS, said.encode()), more)  # fmt: skip
    return Send(ber.encoded(ber.SEQUENCE, ber.number(number), ber.encoded(kind, *said_all), controls))


def message(number: int, kind: int, *parts: bytes) -> bytes:
    """Return a message, as it is sent."""
    return ber.encoded(ber.SEQUENCE, ber.number(number), ber.encoded(kind, *parts))
