"""TLS as the pretended device offers it, and what a peer's says of the peer. Old versions are welcome.

The certificate is the pretended device's own; see `certificate`. A handshake that fails is the peer's fault.

How a server chooses among what clients offer tells which software it is: scanners make a fingerprint of that (JARM,
testssl.sh). So each installation has the manner of one of the libraries that such devices have, drawn from its seed.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from eudaemon.events.catalogue import TlsAccepted
from eudaemon.sensor.clienthello import ClientHello, HelloReader
from eudaemon.wire.tls import Layer
from eudaemon.world.host import Host


@dataclass(frozen=True, slots=True)
class Manner:
    """What a server agrees to. Its certificate is one of ECDSA, so that only such ciphers come into question."""

    ciphers: tuple[str, ...]  # in the order of preference
    is_new: bool = False  # whether it knows TLS 1.3
    curve: str = ""  # the only one; all if empty
    prefers: bool = False  # its own order to the client's


_AES256 = ("AES256-GCM-SHA384", "AES256-SHA384", "AES256-SHA")
_AES128 = ("AES128-GCM-SHA256", "AES128-SHA256", "AES128-SHA")
_CHACHA = "CHACHA20-POLY1305"
_OPENSSL_10 = Manner(_AES256 + _AES128)
_OPENSSL_11 = Manner((_AES256[0], _CHACHA, _AES128[0], _AES256[1], _AES128[1], _AES256[2], _AES128[2]))
# mbed TLS, as embedded servers have it: with CCM and Camellia.
_MBED = Manner(
    (_CHACHA, _AES256[0], "AES256-CCM", *_AES256[1:], "CAMELLIA256-SHA384", "AES256-CCM8", _AES128[0], "AES128-CCM",
     *_AES128[1:], "CAMELLIA128-SHA256", "AES128-CCM8")
)  # fmt: skip
_OF_DEVICES = (
    Manner(_OPENSSL_10.ciphers, curve="prime256v1"), Manner(_OPENSSL_10.ciphers, curve="prime256v1", prefers=True),
    Manner(_AES128 + _AES256, curve="prime256v1", prefers=True), Manner(_OPENSSL_10.ciphers, prefers=True),
    Manner(_AES128 + _AES256, prefers=True), _OPENSSL_10, _OPENSSL_11, Manner(_OPENSSL_11.ciphers, prefers=True),
    Manner((_AES128[0], _CHACHA, _AES256[0], *_AES128[1:], *_AES256[1:]), prefers=True),
    Manner(_MBED.ciphers, prefers=True), Manner(_MBED.ciphers, curve="secp384r1", prefers=True),
    Manner(_MBED.ciphers, curve="prime256v1", prefers=True),
)  # fmt: skip
_OF_SERVERS = tuple(Manner(manner.ciphers, is_new=True, prefers=manner.prefers) for manner in _OF_DEVICES[3:9])
_NEW_PERSONAS = ("linux-server",)  # the others are of a time before TLS 1.3, by all else that they say


def manner_of(host: Host) -> Manner:
    """Return how this installation's device speaks TLS."""
    among = _OF_SERVERS if host.persona.name in _NEW_PERSONAS else _OF_DEVICES
    return host.seed.child("tls").choice("manner", among)


def server_context(certificate: Path, manner: Manner, *, old: bool = False) -> ssl.SSLContext:
    """Return TLS in this manner: from TLS 1.0 on (`old`: to 1.2)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.set_ciphers(":".join((*(f"ECDHE-ECDSA-{cipher}" for cipher in manner.ciphers), "@SECLEVEL=0")))
    if manner.curve:
        context.set_ecdh_curve(manner.curve)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    if old or not manner.is_new:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    if not manner.prefers:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
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
