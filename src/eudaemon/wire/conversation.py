"""A recorded conversation: what both sides sent, and when. Byte-exact; what the page replays.

    "EUDCONV1"  then records, each
    +-----+------------+----------+----------------+
    | dir | ms         | length   | data           |
    | u8  | u32        | u16      | length bytes   |     big-endian
    +-----+------------+----------+----------------+
    dir 0: the attacker sent it, 1: we sent it;  ms: since the session began

A file cut off anywhere still reads up to the cut, so that a recorder may simply append.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

MAGIC = b"EUDCONV1"
ATTACKER, HOST = 0, 1
DATA_BYTES_MAX = 0xFFFF
_RECORD = struct.Struct(">BIH")


@dataclass(frozen=True, slots=True)
class Utterance:
    """One piece of a conversation."""

    side: int  # ATTACKER or HOST
    ms: int  # since the session began
    data: bytes


def encode(side: int, ms: int, data: bytes) -> bytes:
    """Return the records for one piece of any size."""
    ms = min(max(ms, 0), 0xFFFFFFFF)
    if 0 < len(data) <= DATA_BYTES_MAX:  # nearly always
        return _RECORD.pack(side, ms, len(data)) + data
    return b"".join(
        _RECORD.pack(side, ms, len(part)) + part
        for part in (data[i : i + DATA_BYTES_MAX] for i in range(0, len(data), DATA_BYTES_MAX))
    )


def decode(recording: bytes) -> Iterator[Utterance]:
    """Yield the pieces of a recording. Raises `ValueError` if it is none; a torn last record ends it quietly."""
    if recording[: len(MAGIC)] != MAGIC:
        raise ValueError("no recorded conversation: it does not begin with EUDCONV1")
    at = len(MAGIC)
    while at + _RECORD.size <= len(recording):
        side, ms, length = _RECORD.unpack_from(recording, at)
        at += _RECORD.size
        if side not in (ATTACKER, HOST):
            raise ValueError(f"no recorded conversation: side {side} at byte {at - _RECORD.size}")
        if at + length > len(recording):
            return
        yield Utterance(side, ms, recording[at : at + length])
        at += length
