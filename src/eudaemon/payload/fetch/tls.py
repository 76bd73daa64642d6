"""TLS as a client, put on over a connection's streams. Judges no certificate: who asks looks at `Writer.certificate`.

Not asyncio's own TLS, which is there only if OpenSSL is loaded with asyncio; a sensor may never need it (`sensing`).
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Iterable

from eudaemon.wire import PeerError
from eudaemon.wire.tls import Layer


class TlsError(ConnectionError):
    """The other side's TLS is none, is broken, or ended too early. The message says which, and begins with `TLS`."""


class Writer(asyncio.StreamWriter):
    """What is written goes out as TLS. `below` is the writer that it takes the place of."""

    def __init__(self, below: asyncio.StreamWriter, protocol: _Protocol, reader: asyncio.StreamReader) -> None:
        super().__init__(below.transport, protocol, reader, asyncio.get_running_loop())
        self._below = below  # it closes the connection when it is forgotten
        self._layer = protocol.layer

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send, or hold what cannot be sent yet."""
        super().write(self._layer.wrap(bytes(data)))

    def writelines(self, data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Send all of them."""
        self.write(b"".join(data))

    @property
    def certificate(self) -> bytes:
        """The server's certificate, DER."""
        return self._layer.certificate


async def put_on(
    below: asyncio.StreamWriter, context: ssl.SSLContext, *, limit: int, server_name: bytes = b""
) -> tuple[asyncio.StreamReader, Writer]:
    """Begin TLS on a connection on which nothing was said; return its streams. Raises `TlsError` and `OSError`.

    `limit` is the reader's, bytes; how long it may take is the caller's to say. Without TLS there is no connection.
    """
    with contextlib.ExitStack() as undo:
        undo.callback(below.transport.abort)
        reader = asyncio.StreamReader(limit)
        protocol = _Protocol(reader, below.transport, Layer(context, server_name=server_name))
        below.transport.set_protocol(protocol)
        protocol.connection_made(below.transport)
        writer = Writer(below, protocol, reader)
        protocol.data_received(b"")
        await protocol.accepted
        undo.pop_all()
    return reader, writer


def unjudging(*, old: bool = False) -> ssl.SSLContext:
    """Return a client's context that takes any certificate; `old`: and every version and cipher that OpenSSL has."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if old:
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context


class _Protocol(asyncio.StreamReaderProtocol):
    """Gives the reader what the connection's bytes mean."""

    def __init__(self, reader: asyncio.StreamReader, transport: asyncio.WriteTransport, layer: Layer) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(reader, loop=loop)
        self.layer = layer
        self.accepted: asyncio.Future[None] = loop.create_future()
        self._plain = reader
        self._below = transport

    def data_received(self, data: bytes) -> None:
        """Take bytes of the connection."""
        try:
            plain, answer = self.layer.received(data)
        except PeerError as error:
            self._fail(TlsError(str(error)))
            self._below.abort()
            return
        if answer:
            self._below.write(answer)
        if self.layer.is_accepted and not self.accepted.done():
            self.accepted.set_result(None)
        if plain:
            super().data_received(plain)
        if self.layer.is_over:
            self._plain.feed_eof()

    def eof_received(self) -> bool | None:
        """The server sends nothing more, whether it has said goodbye or not."""
        if not self.layer.is_accepted:
            self._fail(TlsError("TLS handshake: closed"))
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        if not self.layer.is_accepted:
            self._fail(exc or TlsError("TLS handshake: closed"))
        super().connection_lost(exc)

    def _fail(self, error: Exception) -> None:
        self._plain.set_exception(error)
        if not self.accepted.done():
            self.accepted.set_exception(error)
