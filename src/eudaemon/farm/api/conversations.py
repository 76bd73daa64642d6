"""The API's routes for recorded conversations: what both sides of a session sent, as pieces and as captured packets."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any

from fastapi import APIRouter, HTTPException
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from eudaemon.farm.api import models
from eudaemon.farm.api.common import FAILURES, NOT_FOUND, Parts, PartsHere, SessionHere, events_of, fields_of
from eudaemon.farm.pcapng import Talk, pcapng
from eudaemon.wire import conversation as recording

router = APIRouter(prefix="/api", tags=["sessions"], responses=FAILURES)

CONVERSATION_BYTES_MAX = 4 * 1024 * 1024
CAPTURE_BYTES_MAX = 16 * 1024 * 1024  # a sensor records 8 MiB, unless it was told otherwise
PIECES_MAX = 100_000  # of either, as a peer may send byte by byte
_PART_BYTES = 64 * 1024


@router.get("/sessions/{session}/conversation", summary="What both sides sent, and when", responses=NOT_FOUND)
async def conversation(parts: PartsHere, session: SessionHere) -> models.Conversation:
    """Return the recorded conversation of a session, up to 4 MiB or 100,000 pieces of it."""
    sha256, size, data = await _recorded(parts, await events_of(parts, session), CONVERSATION_BYTES_MAX)
    pieces = [
        models.Piece(
            ms=piece.ms,
            side="host" if piece.side == recording.HOST else "attacker",
            data=base64.b64encode(piece.data).decode(),
        )
        for piece in islice(_decoded(data), PIECES_MAX + 1)
    ]
    is_cut = size > len(data) or len(pieces) > PIECES_MAX
    return models.Conversation(sha256=sha256, pieces=pieces[:PIECES_MAX], truncated=is_cut)


@router.get(
    "/sessions/{session}/pcapng",
    summary="What both sides sent, as captured packets",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-pcapng": {}}}, **NOT_FOUND},
)
async def capture(parts: PartsHere, session: SessionHere) -> StreamingResponse:
    """Return the recording as a pcapng file for Wireshark: addresses, ports, bytes and times are the session's own.

    What a recording does not have is made up: TCP's handshake, segments, sequence numbers. What came in TLS is plain.
    """
    rows = await events_of(parts, session)
    _, size, data = await _recorded(parts, rows, CAPTURE_BYTES_MAX)
    pieces = await run_in_threadpool(lambda: list(islice(_decoded(data), PIECES_MAX + 1)))
    is_cut = size > len(data) or len(pieces) > PIECES_MAX
    talk, told = _talk(rows, is_cut), "Only the beginning is here." if is_cut else ""
    comment = f"Session {session}, made of the recording by Eudaemon: addresses, ports, bytes and times are recorded;" \
              f" handshakes, segments and sequence numbers are not. What came in TLS is plain. {told}"  # fmt: skip
    return StreamingResponse(
        _gathered(pcapng(talk, pieces[:PIECES_MAX], comment.strip())),
        media_type="application/x-pcapng",
        headers={"Content-Disposition": f'attachment; filename="{session}.pcapng"'},
    )


async def _recorded(parts: Parts, rows: list[dict[str, Any]], most: int) -> tuple[str, int, bytes]:
    """Return a recording's SHA-256 and size, and its first `most` bytes."""
    closed = [row for row in rows if row["kind"] == "session.closed"]
    if not closed:
        raise HTTPException(404, "The session still lasts. Its recording arrives when it ends.")
    sha256 = str(fields_of(closed[-1]["fields"]).get("conversation", ""))
    size = await parts.samples.size(sha256) if sha256 else None
    if size is None:
        raise HTTPException(404, "No recording of this session was kept.")
    return sha256, size, await parts.samples.read(sha256, 0, min(size, most))


def _decoded(data: bytes) -> Iterator[recording.Utterance]:
    try:
        yield from recording.decode(data)
    except ValueError as error:
        raise HTTPException(404, f"The recording cannot be read: {error}.") from None


def _talk(rows: list[dict[str, Any]], is_cut: bool) -> Talk:
    first = next((row for row in rows if row["kind"] == "session.opened"), rows[0])
    closed = fields_of(next(row["fields"] for row in rows if row["kind"] == "session.closed"))
    return Talk(
        str(fields_of(first["fields"]).get("transport", "")),
        (first["ip"], first["attacker_port"]), (first["local_ip"], first["port"]),
        datetime.fromisoformat(first["time"]).timestamp(), "" if is_cut else str(closed.get("reason", "")),
    )  # fmt: skip


def _gathered(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield small blocks together: each part of an answer costs a turn of the server's."""
    held: list[bytes] = []
    size = 0
    for block in blocks:
        held.append(block)
        size += len(block)
        if size >= _PART_BYTES:
            yield b"".join(held)
            held, size = [], 0
    yield b"".join(held)
