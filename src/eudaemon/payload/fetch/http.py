"""Fetching over HTTP/1.1 and 1.0, plain or in TLS. The body is kept as it comes: no content coding is undone.

Knows what bots' servers do: no header at all, no length, a wrong length, chunks cut off, redirects in circles.
A server's word about length never costs more than the transfer's limits.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from eudaemon.payload.fetch import agents
from eudaemon.payload.fetch.outcome import Failed, Missing, Refused
from eudaemon.payload.fetch.target import Request, Target, connect, hang_up, in_tls
from eudaemon.payload.fetch.transfer import READ_BYTES, Transfer

HEADER_BYTES_MAX = 32 * 1024
_INTERIM_MAX = 4  # 1xx answers before the real one
_CHUNK_DIGITS_MAX = 15
_LINE_BYTES_MAX = 8 * 1024
_SURPLUS_S = 0.25  # how long a server that announced its end may go on after it
_REDIRECTS = frozenset((301, 302, 303, 307, 308))


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    old: bool  # HTTP/1.0
    headers: dict[str, list[str]]  # names in lower case


async def fetch(request: Request, transfer: Transfer) -> None:
    """Get the URL into the transfer, through redirects, each of which is aimed anew.

    Raises `NotFetched`, `OSError`, or `NoRoomError` from the sink.
    """
    settings, url = transfer.settings, request.url
    for _ in range(settings.redirects_max + 1):
        target = await request.aim(url)
        onward = await _ask(target, request, transfer)
        if onward is None:
            return
        try:
            url = target.url.joined(onward)
        except ValueError as error:
            raise Failed(f"redirect: {error}") from None
        if url.scheme not in ("http", "https"):
            raise Refused(f"redirect to scheme {url.scheme}")
    raise Failed(f"more than {settings.redirects_max} redirects")


async def _ask(target: Target, request: Request, transfer: Transfer) -> str | None:
    """Ask one server. Return where it redirects to, or None when the body was taken."""
    url = target.url
    reader, writer, transfer.peer = await connect(target, transfer.settings)
    try:
        if url.scheme == "https":
            reader, writer = await in_tls(writer, url.host, transfer.settings)
        writer.write(agents.request(request.tool, url, request.seed))
        answer = await _answer(reader, transfer)
        if answer is None:
            return None
        if answer.status in _REDIRECTS and "location" in answer.headers:
            return answer.headers["location"][0]
        if answer.status in (404, 410):
            raise Missing(f"HTTP {answer.status}")
        if not 200 <= answer.status < 300:
            raise Failed(f"HTTP {answer.status}")
        await _body(reader, answer, transfer)
        return None
    finally:
        hang_up(writer)


async def _answer(reader: asyncio.StreamReader, transfer: Transfer) -> _Answer | None:
    """Read the answer's head. None if there is none: then all that came was taken as the content (HTTP/0.9)."""
    for _ in range(_INTERIM_MAX):
        start = await _upto_line_end(reader, transfer)
        if not start:
            raise Failed("closed without an answer")
        if not start.startswith(b"HTTP/"):
            transfer.take(start)
            await transfer.take_to_the_end(reader)
            return None
        version, _, rest = start.partition(b" ")
        if not start.endswith(b"\n") or not rest[:3].isdigit() or rest[:1] == b"0":
            raise Failed("no HTTP status")
        headers = await _headers(reader, transfer, len(start))
        status = int(rest[:3])
        if status >= 200:
            return _Answer(status, version <= b"HTTP/1.0", headers)
    raise Failed("interim answers without end")


async def _headers(reader: asyncio.StreamReader, transfer: Transfer, taken: int) -> dict[str, list[str]]:
    headers: dict[str, list[str]] = {}
    while (line := await transfer.heard(reader.readuntil(b"\n"))) not in (b"\r\n", b"\n"):
        taken += len(line)
        if taken > HEADER_BYTES_MAX:
            raise Failed(f"header over {HEADER_BYTES_MAX} bytes")
        name, colon, value = line.decode("latin-1").partition(":")
        if colon:
            headers.setdefault(name.strip().lower(), []).append(value.strip())
    return headers


async def _upto_line_end(reader: asyncio.StreamReader, transfer: Transfer) -> bytes:
    """Return a line, or what came instead of one: the start of a body without any header, or all before the end."""
    line = b""
    while b"\n" not in line and len(line) < _LINE_BYTES_MAX:
        byte = await transfer.heard(reader.read(1))
        if not byte:
            break
        line += byte
        if len(line) == 5 and line != b"HTTP/":
            break
    return line


async def _body(reader: asyncio.StreamReader, answer: _Answer, transfer: Transfer) -> None:
    codings = ",".join(answer.headers.get("transfer-encoding", ())).lower()
    if answer.status == 204:
        return
    # RFC 9112 section 6.3: chunked overrides a length, and is not for HTTP/1.0, where servers send it all the same.
    if "chunked" in codings:
        await _chunks(reader, transfer)
        return
    lengths = set(answer.headers.get("content-length", ()))
    length = lengths.pop() if len(lengths) == 1 else ""
    if not length.isdecimal() or not length.isascii() or len(length) > 18:
        await transfer.take_to_the_end(reader)
        return
    await transfer.take_exactly(reader, int(length))
    surplus = await _surplus(reader)
    if surplus:
        transfer.take(surplus)
        await transfer.take_to_the_end(reader)
        raise Failed(f"more than the {length} bytes announced")


async def _surplus(reader: asyncio.StreamReader) -> bytes:
    try:
        async with asyncio.timeout(_SURPLUS_S):
            return await reader.read(READ_BYTES)
    except (TimeoutError, OSError):
        return b""  # the server keeps the connection for a next request, or is done with it


async def _chunks(reader: asyncio.StreamReader, transfer: Transfer) -> None:
    while True:
        line = await transfer.heard(reader.readuntil(b"\n"))
        digits = line.partition(b";")[0].strip()
        if not 0 < len(digits) <= _CHUNK_DIGITS_MAX or not all(d in b"0123456789abcdefABCDEF" for d in digits):
            raise Failed("bad chunk size")
        size = int(digits, 16)
        if size == 0:
            return  # trailers say nothing that we keep
        await transfer.take_exactly(reader, size)
        end = await transfer.heard(reader.readuntil(b"\n"))
        if end not in (b"\r\n", b"\n"):
            raise Failed("chunk longer than its size")
