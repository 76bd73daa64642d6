"""The spool's files: how a record is framed, and how a file that a power cut tore is read.

    "EUDSPL01" spool id (16) first number (u64) crc32 of these (u32)      then records, each
    +--------+--------+------+----------------+
    | length | crc32  | kind | payload        |    big-endian; the crc covers kind and payload
    | u32    | u32    | u8   | length bytes   |
    +--------+--------+------+----------------+
    kind 0: an event, one JSON line; the n-th of a segment has the number `first + n`
    kind 1: bytes that a later event names by their SHA-256 (a short recorded conversation)

A record that is cut off or does not fit its crc ends its segment: what follows it cannot be trusted to be whole.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MAGIC = b"EUDSPL01"
EVENT, BLOB = 0, 1
RECORD_BYTES_MAX = 256 * 1024
SUFFIX = ".segment"
_HEADER = struct.Struct(">8s16sQI")
_RECORD = struct.Struct(">IIB")
HEADER_BYTES = _HEADER.size
FRAME_BYTES = _RECORD.size


@dataclass(slots=True)
class Segment:
    """One file of the spool. `bytes` and `events` are what is durable in it."""

    path: Path
    first: int
    events: int = 0
    bytes: int = HEADER_BYTES

    @property
    def next(self) -> int:
        """The number after its last event's."""
        return self.first + self.events


@dataclass(frozen=True, slots=True)
class Record:
    """One record, and where the next one begins."""

    kind: int
    payload: bytes
    end: int


def name(first: int) -> str:
    """Return the file name of the segment that begins with this number; names sort as numbers do."""
    return f"{first:016x}{SUFFIX}"


def header(spool: bytes, first: int) -> bytes:
    """Return what a segment begins with."""
    start = MAGIC + spool + first.to_bytes(8, "big")
    return start + zlib.crc32(start).to_bytes(4, "big")


def frame(kind: int, payload: bytes) -> bytes:
    """Return a record."""
    return _RECORD.pack(len(payload), zlib.crc32(payload, kind), kind) + payload


def read(path: Path, at: int = HEADER_BYTES, until: int | None = None) -> Iterator[Record]:
    """Yield the records from byte `at` up to byte `until` or to where the file ends or is damaged."""
    with path.open("rb") as file:
        yield from records(file, at, until)


def records(file: BinaryIO, at: int = HEADER_BYTES, until: int | None = None) -> Iterator[Record]:
    """Yield the records of an open file, as `read` does."""
    file.seek(at)
    while until is None or at < until:
        head = file.read(FRAME_BYTES)
        if len(head) < FRAME_BYTES:
            return
        length, crc, kind = _RECORD.unpack(head)
        if length > RECORD_BYTES_MAX:
            return
        payload = file.read(length)
        if len(payload) < length or zlib.crc32(payload, kind) != crc:
            return
        at += FRAME_BYTES + length
        yield Record(kind, payload, at)


def recover(path: Path, spool: bytes) -> tuple[Segment, int] | None:
    """Read what is whole of a segment; return it and how many bytes behind that are not. None if it is no segment."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(HEADER_BYTES)
    if len(head) < HEADER_BYTES:
        return None
    first = _HEADER.unpack(head)[2]
    if head != header(spool, first) or path.name != name(first):
        return None
    segment = Segment(path, first)
    for record in read(path):
        segment.bytes = record.end
        segment.events += record.kind == EVENT
    return segment, size - segment.bytes


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
