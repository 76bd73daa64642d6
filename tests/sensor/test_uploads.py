"""A binary that is typed at telnet's shell, through the whole sensor at its default limits, cut at odd places."""

from __future__ import annotations

import asyncio
import hashlib
import random
from pathlib import Path

import pytest

from sensor.harness import events, running

LINE_BYTES = 1021  # of the binary, in one line
DATA = random.Random(3).randbytes(10_000_000)
_ESCAPED = [b"\\x%02x" % byte for byte in range(256)]


def typed(data: bytes) -> bytes:
    lines = [b"root", b"xc3511", b"> /tmp/f"]
    for at in range(0, len(data), LINE_BYTES):
        escaped = b"".join(_ESCAPED[byte] for byte in data[at : at + LINE_BYTES])
        lines.append(b"echo -ne '%b' >> /tmp/f" % escaped)
    return b"\r\n".join((*lines, b"exit", b""))


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 65_536, 1_500_000, len(DATA)])
async def test_it_arrives_byte_for_byte(size: int, tmp_path: Path) -> None:
    cuts = random.Random(size)
    said = typed(DATA[:size])
    async with running(tmp_path, "telnet") as sensor:
        reader, writer = await sensor.connect()
        reading = asyncio.create_task(drain(reader))
        at = 0
        while at < len(said):
            step = cuts.randint(1, 60_000)
            writer.write(said[at : at + step])
            await writer.drain()
            at += step
        await reading
        writer.close()
    kept = [event.fact for event in events(tmp_path, "artefact.kept")]
    assert [(one.size, one.origin, one.partial) for one in kept] == [(size, "upload", False)] * bool(size)  # type: ignore[attr-defined]
    for one in kept:
        sha256 = hashlib.sha256(DATA[:size]).hexdigest()
        assert one.sha256 == sha256  # type: ignore[attr-defined]
        assert (tmp_path / "artefacts" / sha256).read_bytes() == DATA[:size]


async def drain(reader: asyncio.StreamReader) -> None:
    while await reader.read(65_536):
        pass
