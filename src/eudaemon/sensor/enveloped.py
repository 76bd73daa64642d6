"""TLS whose handshake stands in another protocol's packets; what is said in it afterwards stands bare."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eudaemon.protocols._base import Envelope
from eudaemon.sensor.contract import TlsLayer

if TYPE_CHECKING:
    from eudaemon.events.catalogue import TlsAccepted


class Enveloped:
    """A `TlsLayer` around another."""

    __slots__ = ("_envelope", "_tls")

    def __init__(self, tls: TlsLayer, envelope: Envelope) -> None:
        self._tls = tls
        self._envelope = envelope

    @property
    def accepted(self) -> TlsAccepted | None:
        """See `TlsLayer`."""
        return self._tls.accepted

    def received(self, data: bytes) -> tuple[bytes, bytes]:
        """See `TlsLayer`. Behind the packet that ends the handshake, TLS may go on bare at once."""
        meant, answer = b"", b""
        while data and self._tls.accepted is None:
            inside, data = self._envelope.opened(data)
            plain, said = self._tls.received(inside)
            meant += plain
            answer += self._envelope.sealed(said) if said else b""
        if data:
            plain, said = self._tls.received(data)
            meant += plain
            answer += said
        return meant, answer

    def wrap(self, data: bytes) -> bytes:
        """See `TlsLayer`."""
        return self._tls.wrap(data)

    def closing(self) -> bytes:
        """See `TlsLayer`."""
        return self._tls.closing()
