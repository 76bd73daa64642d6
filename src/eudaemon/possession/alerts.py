"""Alerts and streams as they stand in a mailbox: threads that wait for a verdict, and the input that is followed."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

from eudaemon.possession.errors import PossessionError
from eudaemon.possession.mailbox import Mailbox

_FIELDS = ("serial", "kind", "tid", "state", "pc", "target", "place", "tags", "rflags", "at_ns")


@dataclass(frozen=True, slots=True)
class RawAlert:
    """An entry of `Mailbox::alerts`. `kind` is a constant's name (`return`); tags are a byte for each byte."""

    index: int
    serial: int
    kind: str
    tid: int  # as the process itself sees it
    state: int
    pc: int
    target: int
    place: int
    tags: bytes  # of the 8 bytes of the value
    rflags: int
    at_ns: int  # since 1970; 0 where the engine may not ask (under seccomp)
    registers: tuple[int, ...]  # in the order of `mailbox.GENERAL`
    register_tags: tuple[bytes, ...]

    @property
    def is_same(self) -> tuple[int, int, int]:
        """What tells it from every other one, also in the mailbox of a child, which is a copy."""
        return self.serial, self.tid, self.at_ns


@dataclass(frozen=True, slots=True)
class RawStream:
    """An entry of `Mailbox::streams` that has been taken. `label` is the number of its tag's bit."""

    label: int
    serial: int
    received: int  # bytes so far
    inode: int
    descriptor: int
    kind: str
    local: str  # `10.0.0.1:80`, or "" where it is no socket of the Internet
    peer: str


def read_alerts(mailbox: Mailbox) -> list[RawAlert]:
    """Return all that stand there, the oldest first."""
    abi, record = mailbox.abi, mailbox.abi.records["Alert"]
    field = mailbox.record["alerts"]
    raw = mailbox.memory.read(mailbox.address + field.offset, field.size)
    found = []
    for index in range(field.size // record.size):
        at = index * record.size
        serial, kind, *rest, at_ns = record.unpack(raw, *_FIELDS, at=at)
        if not serial:
            continue
        tid, state, pc, target, place, tags, rflags = rest
        registers = struct.unpack_from("<16Q", raw, at + record["regs"].offset)
        tags_at = at + record["register_tags"].offset
        found.append(
            RawAlert(
                index, serial, abi.name_of("alert", kind), tid, state, pc, target, place, tags.to_bytes(8, "little"),
                rflags, at_ns, registers, tuple(raw[tags_at + 8 * n : tags_at + 8 * n + 8] for n in range(16)),
            )
        )  # fmt: skip
    return sorted(found, key=lambda alert: alert.serial)


def answer(mailbox: Mailbox, alert: RawAlert, verdict: int) -> bool:
    """Write the verdict on an alert. False: its thread had not waited any longer, or its place is another's."""
    record = mailbox.abi.records["Alert"]
    at = mailbox.address + mailbox.record["alerts"].offset + alert.index * record.size
    raw = mailbox.memory.read(at, record.size)
    serial, state = record.unpack(raw, "serial", "state")
    if serial != alert.serial or state != mailbox.abi["verdict::NONE"]:
        return False
    mailbox.memory.write(at + record["verdict"].offset, struct.pack("<I", verdict))
    return True


def read_streams(mailbox: Mailbox) -> list[RawStream]:
    """Return the streams that have a label."""
    abi, record, field = mailbox.abi, mailbox.abi.records["Stream"], mailbox.record["streams"]
    raw = mailbox.memory.read(mailbox.address + field.offset, field.size)
    found = []
    for label in range(field.size // record.size):
        at = label * record.size
        serial, received, inode, descriptor, kind = record.unpack(
            raw, "serial", "received", "inode", "descriptor", "kind", at=at
        )
        if serial:
            local, peer = (_address(raw, at + record[name].offset, record[name].size) for name in ("local", "peer"))
            source = abi.name_of("source", kind)
            found.append(RawStream(label, serial, received, inode, descriptor, source, local, peer))
    return found


def read_input(mailbox: Mailbox, stream: RawStream) -> tuple[int, bytes]:
    """Return what is kept of a stream's input, and the offset of its first byte in the stream."""
    size = mailbox.abi["INPUT_BYTES"]
    ring = mailbox.one("input")
    if not ring:
        return stream.received, b""
    try:
        raw = mailbox.memory.read(ring + stream.label * size, size)
    except PossessionError:
        return stream.received, b""
    if stream.received <= size:
        return 0, raw[: stream.received]
    at = stream.received % size
    return stream.received - size, raw[at:] + raw[:at]


def _address(raw: bytes, at: int, size: int) -> str:
    """Return a `struct sockaddr_in` or `sockaddr_in6` as text."""
    data = raw[at : at + size]
    family, port = struct.unpack_from("<H", data)[0], struct.unpack_from(">H", data, 2)[0]
    if family == socket.AF_INET:
        return f"{socket.inet_ntop(socket.AF_INET, data[4:8])}:{port}"
    if family == socket.AF_INET6:
        mapped = data[8:20] == bytes(10) + b"\xff\xff"
        if mapped:
            return f"{socket.inet_ntop(socket.AF_INET, data[20:24])}:{port}"
        return f"[{socket.inet_ntop(socket.AF_INET6, data[8:24])}]:{port}"
    return ""
