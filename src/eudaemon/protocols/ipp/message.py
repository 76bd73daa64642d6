"""Messages of the Internet Printing Protocol (RFC 8010 section 3), read and made.

    version | operation or status | request id | (group: attributes)… | end | data

A value is a tag and bytes; an attribute is a name and values, of which those after the first have no name.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from eudaemon.wire import PeerError

ATTRIBUTES_MAX = 256
_HEAD = struct.Struct(">BBHI")
_END = 0x03
GROUP_OPERATION, GROUP_JOB, GROUP_PRINTER = 0x01, 0x02, 0x04
INTEGER, BOOLEAN, ENUM = 0x21, 0x22, 0x23
BEGIN, END, MEMBER = 0x34, 0x37, 0x4A  # of a collection
TEXT, NAME, KEYWORD, URI, CHARSET, LANGUAGE, MIME = 0x41, 0x42, 0x44, 0x45, 0x47, 0x48, 0x49


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: the first value of each attribute, all values of those that have several, and the data behind."""

    version: tuple[int, int]
    operation: int
    number: int
    attributes: dict[bytes, list[bytes]] = field(default_factory=dict)
    data: bytes = b""

    def text(self, name: bytes) -> bytes:
        """Return an attribute's first value, empty if it is not there."""
        return self.attributes.get(name, [b""])[0]

    def number_of(self, name: bytes) -> int:
        """Return an attribute's first value as a number, 0 if it is none."""
        value = self.text(name)
        return int.from_bytes(value, "big") if len(value) == 4 else 0


def read(body: bytes) -> Asked:
    """Read a request. Raises `PeerError` for what is none."""
    if len(body) < _HEAD.size:
        raise PeerError("IPP: no message")
    major, minor, operation, number = _HEAD.unpack_from(body)
    attributes: dict[bytes, list[bytes]] = {}
    at, name = _HEAD.size, b""
    for _ in range(ATTRIBUTES_MAX):
        if at >= len(body):
            raise PeerError("IPP: attributes without an end")
        tag, at = body[at], at + 1
        if tag == _END:
            return Asked((major, minor), operation, number, attributes, body[at:])
        if tag < 0x10:  # a group begins
            continue
        given, at = _sized(body, at)
        value, at = _sized(body, at)
        name = given or name
        attributes.setdefault(name, []).append(value)
    raise PeerError(f"IPP: more than {ATTRIBUTES_MAX} values")


def _sized(body: bytes, at: int) -> tuple[bytes, int]:
    size = int.from_bytes(body[at : at + 2], "big")
    if at + 2 + size > len(body):
        raise PeerError("IPP: an attribute is cut off")
    return body[at + 2 : at + 2 + size], at + 2 + size


@dataclass(frozen=True, slots=True)
class Attribute:
    """A name, the tag of its values, and them as bytes."""

    name: str
    tag: int
    values: tuple[bytes, ...]

    def encoded(self) -> bytes:
        """Return it as it is sent."""
        name, out = self.name.encode(), b""
        for value in self.values:
            out += _value(self.tag, name, value)
            name = b""
        return out


def attribute(name: str, tag: int, *values: str | int) -> Attribute:
    """Return an attribute of texts or numbers."""
    size = 1 if tag == BOOLEAN else 4
    made = (value.encode() if isinstance(value, str) else value.to_bytes(size, "big") for value in values)
    return Attribute(name, tag, tuple(made))


def collection(**members: int) -> bytes:
    """Return a collection of numbers, as it stands behind its own name and BEGIN."""
    out = b""
    for name, value in members.items():
        out += _value(MEMBER, b"", name.replace("_", "-").encode()) + _value(INTEGER, b"", value.to_bytes(4, "big"))
    return out + _value(END, b"", b"")


def _value(tag: int, name: bytes, value: bytes) -> bytes:
    return bytes((tag,)) + len(name).to_bytes(2, "big") + name + len(value).to_bytes(2, "big") + value


def told(asked: Asked, status: int, groups: list[tuple[int, list[bytes]]], message: str = "") -> bytes:
    """Return an answer of these groups."""
    version = asked.version if asked.version[0] in (1, 2) else (1, 1)
    head = [
        attribute("attributes-charset", CHARSET, "utf-8").encoded(),
        attribute("attributes-natural-language", LANGUAGE, "en").encoded(),
    ]
    if message:
        head.append(attribute("status-message", TEXT, message).encoded())
    out = _HEAD.pack(*version, status, asked.number) + bytes((GROUP_OPERATION,)) + b"".join(head)
    for tag, attributes in groups:
        out += bytes((tag,)) + b"".join(attributes)
    return out + bytes((_END,))
