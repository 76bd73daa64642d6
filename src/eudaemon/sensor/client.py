"""A small HTTP/1.1 client for one server: the farm. TLS with that server's certificate pinned, keep-alive, pipelining.

Owns bytes on one connection; knows nothing of events. A router has no `http.client`, and this needs none.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eudaemon.payload.fetch import tls
from eudaemon.payload.fetch.target import SystemResolver
from eudaemon.payload.url import parse

HEAD_BYTES_MAX = 16 * 1024
BODY_BYTES_MAX = 64 * 1024
HEADERS_MAX = 64
_PIECE_BYTES = 64 * 1024


class NoAnswerError(Exception):
    """The server could not be reached, is not the one that is pinned, or speaks no HTTP. The message says which."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `body` is bytes or a file that is not changing."""

    method: str
    path: str
    body: bytes | Path = b""
    content_type: str = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. Names of `headers` are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """Asks one server. `fingerprint` is the SHA-256 of its certificate's DER form, hexadecimal."""

    def __init__(self, url: str, fingerprint: str, credential: str, answer_s_max: float) -> None:
        self._url = parse(url)
        self._fingerprint = fingerprint.lower()
        self._credential = credential
        self._answer_s_max = answer_s_max
        self._resolve = SystemResolver()
        self._context = tls.unjudging()  # judged here, by the pin alone
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, requests: Sequence[Request]) -> list[Answer]:
        """Send requests one behind the other, and return their answers. Raises `NoAnswerError`.

        Where the server hangs up behind an answer, that is the last one, and there are fewer answers than requests.

        On a connection that was idle they are sent once more, for the server may have just closed it; all that the farm
        is asked may be asked twice.
        """
        was_open = self._writer is not None
        try:
            return await self._ask(requests)
        except NoAnswerError:
            self.close()
            if not was_open:
                raise
        try:
            return await self._ask(requests)
        except NoAnswerError:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection, if there is one. The next request opens another."""
        if self._writer is not None:
            self._writer.transport.abort()
            self._reader = self._writer = None

    async def _ask(self, requests: Sequence[Request]) -> list[Answer]:
        try:
            async with asyncio.timeout(self._answer_s_max):
                reader, writer = await self._connected()
            for request in requests:
                await self._send(writer, request)
            answers: list[Answer] = []
            for request in requests:
                async with asyncio.timeout(self._answer_s_max):
                    answers.append(await self._answer(reader, has_body=request.method != "HEAD"))
                if answers[-1].headers.get("connection", "").lower() == "close":
                    self.close()
                    break
        except TimeoutError:
            raise NoAnswerError(f"no answer within {self._answer_s_max:g} s") from None
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, IndexError):
            raise NoAnswerError("an answer that is no HTTP, or is cut off") from None
        except OSError as error:
            raise NoAnswerError((error.strerror or str(error) or type(error).__name__).lower()) from None
        return answers

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._reader is not None and self._writer is not None:
            return self._reader, self._writer
        reader, writer = await self._open()
        if hashlib.sha256(writer.certificate).hexdigest() != self._fingerprint:
            writer.transport.abort()
            raise NoAnswerError("its certificate is not the one whose fingerprint is set: another server answers there")
        self._reader, self._writer = reader, writer
        return reader, writer

    async def _open(self) -> tuple[asyncio.StreamReader, tls.Writer]:
        """Connect to the first of the server's addresses that accepts and speaks TLS. Raises `OSError`."""
        why: OSError = ConnectionError("its name leads nowhere")
        for ip in await self._resolve(self._url.host):
            try:
                _, writer = await asyncio.open_connection(ip, self._url.port)
                return await tls.put_on(writer, self._context, limit=HEAD_BYTES_MAX)  # no name: the pin says who it is
            except OSError as error:
                why = error
        raise why

    async def _send(self, writer: asyncio.StreamWriter, request: Request) -> None:
        size = len(request.body) if isinstance(request.body, bytes) else request.body.stat().st_size
        head = (
            f"{request.method} {request.path} HTTP/1.1\r\nHost: {self._url.authority}\r\n"
            f"Authorization: Bearer {self._credential}\r\n"
        )
        if request.method != "HEAD":
            head += f"Content-Type: {request.content_type}\r\nContent-Length: {size}\r\n"
        writer.write(head.encode("ascii") + b"\r\n")
        if isinstance(request.body, bytes):
            writer.write(request.body)
        else:
            with request.body.open("rb") as file:
                while piece := file.read(_PIECE_BYTES):
                    writer.write(piece)
                    await self._drained(writer)
        await self._drained(writer)

    async def _drained(self, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(self._answer_s_max):
            await writer.drain()

    async def _answer(self, reader: asyncio.StreamReader, *, has_body: bool) -> Answer:
        while True:
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            version, status, *_ = lines[0].split(" ", 2)
            if version != "HTTP/1.1" or len(lines) > HEADERS_MAX:
                raise ValueError(lines[0])
            if int(status) >= 200:  # what is below announces the real one
                break
        headers = {}
        for line in filter(None, lines[1:]):
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        if "transfer-encoding" in headers:
            raise ValueError("transfer-encoding")
        length = int(headers.get("content-length", "0")) if has_body else 0
        if not 0 <= length <= BODY_BYTES_MAX:
            raise ValueError("content-length")
        return Answer(int(status), headers, await reader.readexactly(length))
