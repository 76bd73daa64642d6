"""TLS without sockets: the peer's bytes in, their meaning and our bytes out, for either side of a connection.

What the peer does wrong is a `PeerError`. Judges no certificate. Import it where TLS is spoken: OpenSSL comes with it.
"""

from __future__ import annotations

import contextlib
import ssl

from eudaemon.wire.faults import PeerError

_READ_BYTES = 64 * 1024
# What goes through OpenSSL's two buffers at a time: they keep the size of the most that was ever in them.
PIECE_BYTES = 2048


class Layer:
    """One connection's TLS. A client's begins when it has received nothing: `received(b"")` gives its first message.

    `server_name` is bytes, for text goes through the `idna` codec, whose tables no router has.
    """

    __slots__ = ("_inside", "_outside", "_tls", "is_accepted", "is_over")

    def __init__(self, context: ssl.SSLContext, *, server_side: bool = False, server_name: bytes = b"") -> None:
        self._inside, self._outside = ssl.MemoryBIO(), ssl.MemoryBIO()
        name: str | None = server_name or None  # type: ignore[assignment]  # typeshed knows only text
        self._tls = context.wrap_bio(self._inside, self._outside, server_side, name)
        self.is_accepted = False  # the handshake is done
        self.is_over = False  # the peer has said goodbye: it will mean nothing more

    def received(self, data: bytes) -> tuple[bytes, bytes]:
        """Take the peer's bytes; return what they mean and what is to be sent. Raises `PeerError`."""
        plain = bytearray()
        for at in range(0, len(data) or 1, PIECE_BYTES):
            self._inside.write(data[at : at + PIECE_BYTES])
            self._read(plain)
        return bytes(plain), self._outside.read()

    def _read(self, plain: bytearray) -> None:
        try:
            if not self.is_accepted:
                self._tls.do_handshake()
                self.is_accepted = True
            while piece := self._tls.read(_READ_BYTES):
                plain += piece
            self.is_over = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.is_over = True
        except ssl.SSLError as error:
            reason = (error.reason or "unknown").lower().replace("_", " ")
            what = "TLS" if self.is_accepted else "TLS handshake"
            raise PeerError(f"{what}: {reason}") from None

    def wrap(self, data: bytes) -> bytes:
        """Return what is to be sent for this."""
        wrapped = []
        for at in range(0, len(data), PIECE_BYTES):
            self._tls.write(data[at : at + PIECE_BYTES])
            wrapped.append(self._outside.read())
        return b"".join(wrapped)

    def closing(self) -> bytes:
        """Return what is to be sent last: an alert, or nothing."""
        with contextlib.suppress(ssl.SSLError):  # the peer has not said goodbye, and need not
            self._tls.unwrap()
        return self._outside.read()

    @property
    def certificate(self) -> bytes:
        """The peer's certificate, DER; empty if it showed none."""
        return self._tls.getpeercert(binary_form=True) or b""

    @property
    def version(self) -> str:
        """The version agreed on, as OpenSSL names it: `TLSv1.3`."""
        return self._tls.version() or ""

    @property
    def cipher(self) -> str:
        """The cipher agreed on, as OpenSSL names it."""
        cipher = self._tls.cipher()
        return cipher[0] if cipher else ""
