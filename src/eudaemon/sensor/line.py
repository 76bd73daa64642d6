"""The bytes of one session: the channel to its peer with TLS over it, and the side connection, if there is one.

It counts and records what goes either way, and accounts for what a peer does not read. What the bytes mean is the
session's affair.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eudaemon.protocols._base import AwaitSide, CallSide, Envelope
from eudaemon.sensor.contract import Channel, TlsLayer
from eudaemon.sensor.enveloped import Enveloped
from eudaemon.sensor.recorder import Recorder
from eudaemon.wire import PeerError, Purse
from eudaemon.wire.conversation import HOST

if TYPE_CHECKING:
    from eudaemon.sensor.driver import Driver
    from eudaemon.sensor.session import Session
    from eudaemon.sensor.side import Side

TLS_HELD_BYTES = 48 * 1024  # what TLS takes for a session, about: OpenSSL's state and its two buffers


class Line:
    """Small, for thousands are held."""

    __slots__ = (
        "_began_s", "_channel", "_driver", "_recorder", "_transport", "_unsent_taken", "bytes_in", "bytes_out", "purse",
        "side", "tls",
    )  # fmt: skip

    def __init__(self, driver: Driver, channel: Channel, transport: str) -> None:
        self._driver = driver
        self._channel = channel
        self._transport = transport
        self._began_s = driver.ticks()
        self._recorder = Recorder(driver.artefacts, driver.purse, driver.settings.capture.conversation_bytes_max)
        self._unsent_taken = 0
        self.purse = Purse(driver.limits.session_held_bytes_max, driver.purse)
        self.bytes_in = self.bytes_out = 0
        self.tls: TlsLayer | None = None
        self.side: Side | None = None

    # --- what comes and goes ------------------------------------------------------------------------

    def brought(self, count: int) -> bool:
        """So many bytes came, on whichever connection. False if that are too many."""
        self.bytes_in += count
        return self.bytes_in <= self._driver.limits.received_bytes_max

    def note(self, side: int, data: bytes) -> None:
        """Record what one side said."""
        self._recorder.note(side, int((self._driver.ticks() - self._began_s) * 1000), data)

    def send(self, data: bytes, *, recorded: bool) -> None:
        """Send what a room says. Raises `PeerError` where the peer does not read."""
        if self._transport == "udp" and self.bytes_out + len(data) > self.bytes_in:
            return  # its address may be forged: whoever really lives there is never sent more than it seemed to send
        if recorded:
            self.note(HOST, data)
        self.pass_on(self.tls.wrap(data) if self.tls is not None else data)

    def pass_on(self, data: bytes) -> None:
        """Send as it is. Raises `PeerError` where the peer does not read."""
        self.bytes_out += len(data)
        self._channel.send(data)
        self._check_unsent()

    # --- what is not read ---------------------------------------------------------------------------

    @property
    def unsent_bytes(self) -> int:
        """What waits to be sent."""
        return self._channel.unsent_bytes + (self.side.unsent_bytes if self.side is not None else 0)

    def account_for_unsent(self) -> bool:
        """Take from the purse what waits now. False if that is more than it has."""
        more = self.unsent_bytes - self._unsent_taken
        if more > 0 and not self.purse.take(more):
            return False
        if more < 0:
            self.purse.give_back(-more)
        self._unsent_taken += more
        return True

    def _check_unsent(self) -> None:
        if self.unsent_bytes > self._driver.limits.unsent_bytes_max:
            raise PeerError(f"does not read: {self._driver.limits.unsent_bytes_max} bytes unsent")
        if not self.account_for_unsent():
            raise PeerError("does not read: more bytes held than this session may")

    # --- TLS, and the side connection ---------------------------------------------------------------

    def put_on_tls(self, envelope: Envelope | None = None) -> TlsLayer | None:
        """Have TLS over the channel from now on; None if there is no certificate. Raises `PeerError`."""
        tls = self._driver.new_tls(envelope is not None)
        if tls is not None:
            self._take_for_tls()
        if tls is not None and envelope is not None:
            tls = Enveloped(tls, envelope)
        self.tls = tls
        return tls

    def take_off_tls(self) -> None:
        """Have no TLS over the channel from now on."""
        self.tls = None
        self.purse.give_back(TLS_HELD_BYTES)

    def open_side(self, session: Session, order: AwaitSide | CallSide) -> None:
        """Await or call a side connection of this session. Raises `PeerError`."""
        if order.tls:
            self._take_for_tls()
        self.side = self._driver.sides.new(session, tls=order.tls)
        if isinstance(order, AwaitSide):
            self.side.wait()
        else:
            self.side.call(order.port)

    def send_side(self, data: bytes) -> None:
        """Send on the side connection, if there is one. Raises `PeerError` where the peer does not read."""
        if self.side is not None:
            self.bytes_out += len(data)
            self.side.send(data)
            self._check_unsent()

    def without_side(self) -> Side | None:
        """Let go of the side connection, and of what it held; return it."""
        side, self.side = self.side, None
        if side is not None:
            self.account_for_unsent()
            if side.is_tls:
                self.purse.give_back(TLS_HELD_BYTES)
        return side

    def _take_for_tls(self) -> None:
        if not self.purse.take(TLS_HELD_BYTES):
            raise PeerError("TLS: more bytes held than this session may")

    # --- the end ------------------------------------------------------------------------------------

    def conversation(self) -> str:
        """Record no more; return the SHA-256 under which the recording is kept, empty if it is not."""
        if not self.bytes_in:
            self._recorder.forget()
        return self._recorder.finish(self._driver.spool)

    def close(self, *, at_once: bool, says_so: bool) -> None:
        """Close both connections, at once or after what is still to be sent; in TLS it may be said before."""
        if (side := self.without_side()) is not None:
            side.close(at_once=at_once)
        if self.tls is not None and says_so:
            self._channel.send(self.tls.closing())
        self.tls = None
        if at_once:
            self._channel.abort()
        else:
            self._channel.close()
