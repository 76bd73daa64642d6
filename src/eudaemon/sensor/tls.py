"""TLS as the pretended device offers it, and what a peer's says of the peer. Old versions and ciphers are welcome.

The certificate is the pretended device's own; see `certificate`. A handshake that fails is the peer's fault.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from eudaemon.events.catalogue import TlsAccepted
from eudaemon.sensor.clienthello import ClientHello, HelloReader
from eudaemon.wire.tls import Layer


def server_context(certificate: Path, *, old: bool = False) -> ssl.SSLContext:
    """Return TLS as a device offers it: from TLS 1.0 on (`old`: to 1.2), and every cipher that OpenSSL still has."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    if old:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.options &= ~ssl.OP_NO_SSLv3
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0
    return context


class Tls(Layer):
    """One session's TLS."""

    __slots__ = ("_hello", "_reader", "accepted")

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(context, server_side=True)
        self._reader: HelloReader | None = HelloReader()
        self._hello: ClientHello | None = None  # until the handshake is done
        self.accepted: TlsAccepted | None = None

    def received(self, data: bytes) -> tuple[bytes, bytes]:
        """Take the peer's bytes; return what they mean and what is to be sent. Raises `PeerError`."""
        if self._reader is not None:
            hello = self._reader.feed(data)
            if hello is not None:
                self._hello, self._reader = hello, None
        meant_and_answer = super().received(data)
        if self.is_accepted and self.accepted is None:
            hello, self._hello = self._hello or ClientHello(), None
            self.accepted = TlsAccepted(self.version, self.cipher, hello.server_name, hello.ja4, hello.ja3)
        return meant_and_answer
