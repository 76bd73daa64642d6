"""Fetching over plain TCP: connect, say nothing, take what comes until the other side closes (`nc H P > file`)."""

from __future__ import annotations

from eudaemon.payload.fetch.target import Request, connect, hang_up
from eudaemon.payload.fetch.transfer import Transfer


async def fetch(request: Request, transfer: Transfer) -> None:
    """Get what the URL's host sends. Raises `NotFetched`, `OSError`, or `NoRoomError` from the sink."""
    reader, writer, transfer.peer = await connect(await request.aim(request.url), transfer.settings)
    try:
        await transfer.take_to_the_end(reader)
    finally:
        hang_up(writer)
