"""DNS (RFC 1035) as a router's dnsmasq or an old BIND answers strangers, over UDP and TCP.

It knows its own names and what it is (`version.bind` and the like, RFC 4892), refuses all others, and never asks
anybody. Over UDP an answer that would be larger than its question is truncated to it, with the bit that sends an honest
client to TCP; so ANY, which is there to flood others, gets nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import ClassVar

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised
from eudaemon.protocols._base import (
    Claim,
    HalfClosed,
    HangUp,
    Occasion,
    Order,
    Received,
    Room,
    Saw,
    Send,
    Visit,
)  # fmt: skip
from eudaemon.wire import ByteReader, PeerError, printable
from eudaemon.world.host import Host

MESSAGE_BYTES_MAX = 4096  # over TCP: no question is as long
MESSAGES_MAX = 500  # of one session
DATAGRAMS_MAX = 64  # of one peer that are looked at
NAME_BYTES_MAX = 255  # RFC 1035 section 2.3.4
HEAD = struct.Struct(">HHHHHH")  # id, flags, and how many questions, answers, authorities, additional records
_QR, _AA, _TC, _RD, _RA = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080
_FORMAT, _NOT_IMPLEMENTED, _REFUSED, _NO_NAME = 1, 4, 5, 3
_A, _PTR, _TXT, _OPT, _ANY = 1, 12, 16, 41, 255
_IN, _CH = 1, 3
_TYPES = {1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 13: "HINFO", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV",
          35: "NAPTR", 43: "DS", 46: "RRSIG", 48: "DNSKEY", 65: "HTTPS", 249: "TKEY", 251: "IXFR", 252: "AXFR",
          255: "ANY"}  # fmt: skip
_CLASSES = {1: "IN", 3: "CH", 4: "HS", 255: "ANY"}
_OPCODES = {1: "IQUERY", 2: "STATUS", 4: "NOTIFY", 5: "UPDATE", 6: "DSO"}
# What is asked for what it does, and not for its answer; over UDP alone where it floods others.
_EXPLOITS = {
    "ANY": ("dns-amplification", "", "udp"),
    "RRSIG": ("dns-amplification", "", "udp"),
    "DNSKEY": ("dns-amplification", "", "udp"),
    "TKEY": ("bind-tkey", "CVE-2015-5477", ""),
}
_VERSIONS = (
    "dnsmasq-2.45", "dnsmasq-2.55", "dnsmasq-2.62", "dnsmasq-2.66", "dnsmasq-2.71", "dnsmasq-2.75", "dnsmasq-2.78",
    "9.8.1-P1", "9.9.4-RedHat-9.9.4-61.el7", "9.9.5-3ubuntu0.8-Ubuntu", "9.10.3-P4-Ubuntu", "9.11.4-P2",
)  # fmt: skip


class Dns(Room):
    """One asker: of a connection, or of datagrams."""

    name: ClassVar[str] = "dns"

    __slots__ = ("_messages", "_reader")

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._reader = ByteReader(2 * (MESSAGE_BYTES_MAX + 2) + 65_536)
        self._messages = 0

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """A length, then a header that asks one question or so."""
        if len(first) < 8:
            return Claim.UNSURE if first[:1] in (b"\0", b"\1") else Claim.NO
        is_asking = first[0] < 2 and first[4] < 0x80 and first[6:8] in (b"\0\0", b"\0\1")
        return Claim.YES if is_asking else Claim.NO

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """Take one occasion and yield the orders that follow from it."""
        match occasion:
            case Received(_, data) if self.visit.transport == "udp":
                self._messages += 1
                if self._messages <= DATAGRAMS_MAX:
                    yield from self._message(data)
            case Received(_, data):
                self._reader.feed(data)
                while (message := self._next()) is not None:
                    self._messages += 1
                    if self._messages > MESSAGES_MAX:
                        raise PeerError(f"more than {MESSAGES_MAX} messages in one session")
                    yield from self._message(message)
            case HalfClosed():
                yield HangUp()

    def _next(self) -> bytes | None:
        size = int.from_bytes(self._reader.peek()[:2], "big") if len(self._reader) >= 2 else 0
        if size > MESSAGE_BYTES_MAX:
            raise PeerError(f"message over {MESSAGE_BYTES_MAX} bytes")
        if len(self._reader) < 2 + size or len(self._reader) < 2:
            return None
        return (self._reader.take(2 + size) or b"")[2:]

    # --- asking and answering ------------------------------------------------------------------------

    def _message(self, data: bytes) -> Iterator[Order]:
        if len(data) < HEAD.size:
            return
        number, flags, questions, _, _, additional = HEAD.unpack_from(data)
        if flags & _QR:
            return  # an answer to what we have not asked
        opcode = flags >> 11 & 15
        kept = _QR | (flags & (0x7800 | _RD)) | _RA
        if opcode:
            yield Saw(CommandEntered(_OPCODES.get(opcode, f"opcode {opcode}")))
            yield from self._send(HEAD.pack(number, kept | _NOT_IMPLEMENTED, 0, 0, 0, 0), b"", b"", data)
            return
        read = _question(data) if questions == 1 else None
        if read is None:
            yield from self._send(HEAD.pack(number, kept | _FORMAT, 0, 0, 0, 0), b"", b"", data)
            return
        labels, kind, group, end = read
        asked = _TYPES.get(kind, f"TYPE{kind}")
        shown = printable(b".".join(labels) or b".", NAME_BYTES_MAX)
        yield Saw(CommandEntered(f"{shown} {_CLASSES.get(group, f'CLASS{group}')} {asked}"))
        exploit = _EXPLOITS.get(asked)
        if exploit is not None and exploit[2] in ("", self.visit.transport):
            yield Saw(ExploitRecognised(exploit[0], exploit[1], f"{asked} {shown}"))
        code, records = answer(self.visit.host, [label.lower() for label in labels], kind, group)
        if exploit is not None and exploit[2] == "udp" and self.visit.transport == "udp":
            code, kept = 0, kept | _TC
        has_options = additional > 0 and data[end : end + 3] == b"\0\0\x29"
        options = b"\0\0\x29\x04\xd0\0\0\0\0\0\0" if has_options else b""
        head = HEAD.pack(number, kept | (_AA if records else 0) | code, 1, len(records), 0, int(has_options))
        body = b"".join(b"\xc0\x0c" + record for record in records) + options
        yield from self._send(head, data[HEAD.size : end], body, data)

    def _send(self, head: bytes, question: bytes, body: bytes, asked: bytes) -> Iterator[Order]:
        """Send an answer; over UDP what would be larger than the question says that it is cut, and is no larger."""
        whole = head + question + body
        if self.visit.transport == "tcp":
            yield Send(len(whole).to_bytes(2, "big") + whole)
        elif len(whole) <= len(asked):
            yield Send(whole)
        else:
            number, flags, count, *_ = HEAD.unpack(head)
            yield Send(HEAD.pack(number, flags | _TC, count, 0, 0, 0) + question)


def _question(data: bytes) -> tuple[list[bytes], int, int, int] | None:
    """Return the labels, the type, the class and the end of a message's question, None if it is none."""
    labels, at = [], HEAD.size
    while at < len(data) and data[at]:
        size = data[at]
        if (
            size > 63 or at + size + 2 - HEAD.size > NAME_BYTES_MAX
        ):  # RFC 1035 section 4.1.4: there is nothing to point to
            return None
        labels.append(data[at + 1 : at + 1 + size])
        at += 1 + size
    if at + 5 > len(data):
        return None
    kind, group = struct.unpack_from(">HH", data, at + 1)
    return labels, kind, group, at + 5


def answer(host: Host, labels: list[bytes], kind: int, group: int) -> tuple[int, list[bytes]]:
    """Return the code and the records, each from its type on, that answer a question; labels in lower case."""
    name = b".".join(labels)
    if group == _CH:
        text = texts(host).get(name)
        if text is None or kind not in (_TXT, _ANY):
            return (_REFUSED, [])
        return 0, [_record(_TXT, _CH, 0, bytes((len(text),)) + text.encode())]
    if group != _IN:
        return _NOT_IMPLEMENTED, []
    own = host.name.lower().encode()
    addresses = {own: host.address, own + b".lan": host.address, b"localhost": "127.0.0.1", b"router.lan": host.gateway}
    if name in addresses:
        packed = IPv4Address(addresses[name]).packed
        return 0, [_record(_A, _IN, 0, packed)] if kind in (_A, _ANY) else []
    for owner, address in addresses.items():
        if name == b".".join(reversed(address.encode().split(b"."))) + b".in-addr.arpa":
            target = b"".join(bytes((len(label),)) + label for label in owner.split(b".")) + b"\0"
            return 0, [_record(_PTR, _IN, 0, target)] if kind in (_PTR, _ANY) else []
    return (_NO_NAME if labels[-1:] == [b"lan"] else _REFUSED), []


def texts(host: Host) -> dict[bytes, str]:
    """Return what the server says of itself, by name."""
    version = host.seed.child("dns").choice("version", _VERSIONS)
    said = {b"version.bind": version, b"hostname.bind": host.name}
    if version.startswith("dnsmasq"):
        return {**said, b"authors.bind": "Simon Kelley"}
    return {**said, b"version.server": version, b"id.server": host.name}


def _record(kind: int, group: int, seconds: int, data: bytes) -> bytes:
    return struct.pack(">HHIH", kind, group, seconds, len(data)) + data
