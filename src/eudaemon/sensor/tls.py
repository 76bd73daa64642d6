"""TLS without sockets: the peer's bytes in, their meaning and our bytes out. Old versions and ciphers are welcome.

The certificate is the pretended device's own; see `certificate`. A handshake that fails is the peer's fault.
"""

from __future__ import annotations

import contextlib
import ssl
from pathlib import Path

from eudaemon.events.catalogue import TlsAccepted
from eudaemon.sensor.clienthello import ClientHello, HelloReader
from eudaemon.wire import PeerError

_READ_BYTES = 64 * 1024


def server_context(certificate: Path) -> ssl.SSLContext:
    """Return TLS as a device offers it: from TLS 1.0 on, and every cipher that OpenSSL still has."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.options &= ~ssl.OP_NO_SSLv3
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0
    return context


class Tls:
    """One session's TLS."""

    __slots__ = ("_hello", "_inside", "_object", "_outside", "_reader", "accepted")

    def __init__(self, context: ssl.SSLContext) -> None:
        self._inside, self._outside = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._inside, self._outside, server_side=True)
        self._reader: HelloReader | None = HelloReader()
        self._hello = ClientHello()
        self.accepted: TlsAccepted | None = None

    def received(self, data: bytes) -> tuple[bytes, bytes]:
        """Take the peer's bytes; return what they mean and what is to be sent. Raises `PeerError`."""
        if self._reader is not None:
            hello = self._reader.feed(data)
            if hello is not None:
                self._hello, self._reader = hello, None
        self._inside.write(data)
        plain = bytearray()
        try:
            if self.accepted is None:
                self._object.do_handshake()
                self.accepted = self._fact()
            while piece := self._object.read(_READ_BYTES):
                plain += piece
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            pass  # it says goodbye; the end of the stream follows
        except ssl.SSLError as error:
            reason = (error.reason or "unknown").lower().replace("_", " ")
            what = "TLS" if self.accepted else "TLS handshake"
            raise PeerError(f"{what}: {reason}") from None
        return bytes(plain), self._outside.read()

    def wrap(self, data: bytes) -> bytes:
        """Return what is to be sent for this."""
        self._object.write(data)
        return self._outside.read()

    def closing(self) -> bytes:
        """Return what is to be sent last: an alert, or nothing."""
        with contextlib.suppress(ssl.SSLError):  # the peer has not said goodbye, and need not
            self._object.unwrap()
        return self._outside.read()

    def _fact(self) -> TlsAccepted:
        cipher = self._object.cipher()
        return TlsAccepted(
            self._object.version() or "", cipher[0] if cipher else "", self._hello.server_name, self._hello.ja4
        )
