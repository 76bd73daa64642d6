"""Side connections: a second TCP connection with a session's own peer, as FTP moves its files over.

    AwaitSide --> a port of the range listens --> the first connection from the peer's own address, no other's
    CallSide  --> a connection to the peer's own address, if the policy for downloads allows it

A session has one at a time. Each takes a place as long as it is there, and there are as many places as ports.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from typing import TYPE_CHECKING

from eudaemon.protocols._base import SideAwaited, SideClosed, SideOpened, SideReceived
from eudaemon.sensor.contract import TlsLayer
from eudaemon.sensor.limits import plain_ip, subscriber
from eudaemon.sensor.tcp import TcpConnection

if TYPE_CHECKING:
    from eudaemon.sensor.driver import Driver
    from eudaemon.sensor.session import Session

WAIT_S_MAX = 30.0  # for the peer to connect, or to accept
PER_ADDRESS_MAX = 16  # places that one address (of IPv6, one /64) may hold at once
CALLED_PORT_MIN = 1024  # below are services, and no client waits there for its file
_STRANGERS_MAX = 16  # looked at, at a time


class Sides:
    """The range of ports, and who holds places. Used in the loop's thread."""

    def __init__(self, driver: Driver, ports: tuple[int, ...]) -> None:
        self.driver = driver
        self.loop = asyncio.get_running_loop()
        self._ports = ports
        self._held: dict[bytes, int] = {}
        self._drawn = 0

    def new(self, session: Session, *, tls: bool) -> Side:
        """Return a side connection that is neither awaited nor called yet."""
        return Side(self, session, tls=tls)

    def enter(self, session: Session) -> bytes | None:
        """Take a place; return what `leave` is to be told, None if there is no place."""
        key = subscriber(session.attacker.ip)
        if sum(self._held.values()) >= len(self._ports) or self._held.get(key, 0) >= PER_ADDRESS_MAX:
            return None
        self._held[key] = self._held.get(key, 0) + 1
        return key

    def leave(self, key: bytes) -> None:
        """Give a place back."""
        self._held[key] -= 1
        if not self._held[key]:
            del self._held[key]

    def listening(self, ip: str) -> socket.socket | None:
        """Return a socket that listens on one of the ports, at this address of ours; None if no port is free."""
        self._drawn += 1
        start = self.driver.seed.number(f"side {self._drawn}", len(self._ports))
        for port in self._ports[start:] + self._ports[:start]:
            sock = bound(ip, port)
            if sock is not None:
                sock.listen(1)
                return sock
        return None


class Side:
    """One side connection: awaited or called, then there, then gone."""

    __slots__ = ("_channel", "_closing", "_key", "_session", "_sides", "_sock", "_tls", "_unwrapped", "is_tls", "tick")

    def __init__(self, sides: Sides, session: Session, *, tls: bool) -> None:
        self._sides = sides
        self._session: Session | None = session
        self._tls: TlsLayer | None = sides.driver.new_tls(False) if tls else None
        self.is_tls = tls
        self._unwrapped = b""  # what is to be sent once TLS was agreed on
        self._closing = False  # whether to close then
        self._channel: TcpConnection | None = None
        self._sock: socket.socket | None = None  # that listens, or connects
        self._key = sides.enter(session)
        self.tick = 0

    # --- for the session ----------------------------------------------------------------------------

    @property
    def unsent_bytes(self) -> int:
        """What waits to be sent."""
        return len(self._unwrapped) + (self._channel.unsent_bytes if self._channel is not None else 0)

    def wait(self) -> None:
        """Listen for the peer. `SideAwaited` is told in any case, with port 0 if that could not be."""
        session = self._session
        if session is None:
            return
        self._sock = self._sides.listening(session.local.ip) if self._key is not None else None
        port = 0
        if self._sock is not None:
            port = self._sock.getsockname()[1]
            self._sides.loop.add_reader(self._sock, self._accept)
            self._until_late()
        self._sides.loop.call_soon(session.told_by_side, self, SideAwaited(self._sides.driver.clock(), port))

    def call(self, port: int) -> None:
        """Connect to the peer. What keeps us from it is told as `SideClosed`."""
        session, driver = self._session, self._sides.driver
        if session is None:
            return
        may = self._key is not None and CALLED_PORT_MIN <= port < 1 << 16
        if may and not driver.outside.may_call(session.attacker.ip):
            self._sock = bound(session.local.ip, 0)
        if self._sock is None:
            self._sides.loop.call_soon(self._gone)
            return
        if self._sock.connect_ex((session.attacker.ip, port)) not in (0, errno.EINPROGRESS):
            self._sides.loop.call_soon(self._gone)
            return
        self._sides.loop.add_writer(self._sock, self._connected)
        self._until_late()

    def send(self, data: bytes) -> None:
        """Send; what was not told as open is sent nothing."""
        if self._tls is not None and self._tls.accepted is None:
            self._unwrapped += data
        elif self._channel is not None:
            self._channel.send(self._tls.wrap(data) if self._tls is not None else data)

    def close(self, *, at_once: bool = False) -> None:
        """Close, after what is still to be sent. The session hears no more of it."""
        channel = self._channel
        if not at_once and channel is not None and self._tls is not None and self._tls.accepted is None:
            self._closing = True  # a peer that gets nothing still wants to hear it in TLS
            self._until_late()
            return
        self._session = None
        self._unwrapped = b""
        self._give_up_waiting()
        if channel is None:
            self._leave()
        elif at_once:
            channel.abort()
        else:
            if self._tls is not None:
                channel.send(self._tls.closing())
            channel.close()

    # --- waiting ------------------------------------------------------------------------------------

    def due(self, now_s: float) -> None:  # noqa: ARG002
        """Nobody came, or nobody was there."""
        self._gone()

    def _accept(self) -> None:
        for _ in range(_STRANGERS_MAX):
            if self._sock is None or self._session is None:
                return
            try:
                sock, peer = self._sock.accept()
            except OSError:
                return
            if plain_ip(peer[0]) == self._session.attacker.ip:
                self._begin(sock)
                return
            sock.close()

    def _connected(self) -> None:
        sock = self._sock
        if sock is None:
            return
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._gone()
            return
        self._sides.loop.remove_writer(sock)
        self._sock = None
        self._begin(sock)

    def _begin(self, sock: socket.socket) -> None:
        self._give_up_waiting()
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            sock.close()
            self._gone()
            return
        sides = self._sides
        self._channel = TcpConnection(sides.loop, sock, sides.driver, self, b"")
        self._channel.begin(self)

    def _until_late(self) -> None:
        self._sides.driver.wheel.put(self, self._sides.driver.ticks() + WAIT_S_MAX)

    def _give_up_waiting(self) -> None:
        self._sides.driver.wheel.drop(self)
        if self._sock is not None:
            self._sides.loop.remove_reader(self._sock)
            self._sides.loop.remove_writer(self._sock)
            self._sock.close()
            self._sock = None

    def leave(self, key: bytes) -> None:  # noqa: ARG002
        """The connection is closed, as a `Doorkeeper` hears it."""
        self._leave()

    def _leave(self) -> None:
        if self._key is not None:
            self._sides.leave(self._key)
            self._key = None

    # --- what the channel says ----------------------------------------------------------------------

    def open(self) -> None:
        """It is there. With TLS the handshake follows: clients begin with it when they have heard that all is well."""
        if self._session is not None:
            self._session.told_by_side(self, SideOpened(self._sides.driver.clock()))

    def received(self, data: bytes) -> None:
        """The peer sent bytes."""
        session = self._session
        if session is not None:
            self._sides.driver.attempt(session, self._take, session, data)

    def half_closed(self) -> None:
        """The peer has sent all that it will."""
        self._gone(clean=True)

    def lost(self) -> None:
        """The peer is gone."""
        self._gone()

    def drained(self) -> None:
        """Less is unsent than before."""
        if self._session is not None:
            self._session.drained()

    def released(self) -> None:
        """The channel is closed."""
        self._channel = None

    def _take(self, session: Session, data: bytes) -> None:
        if not session.side_brought(len(data)):
            return
        if self._tls is not None:
            was_accepted = self._tls.accepted is not None
            data, answer = self._tls.received(data)
            if answer and self._channel is not None:
                self._channel.send(answer)
            if not was_accepted and self._tls.accepted is not None:
                self._accepted()
        if data and self._session is not None:
            session.told_by_side(self, SideReceived(self._sides.driver.clock(), data))

    def _accepted(self) -> None:
        """TLS was agreed on: what waited for that is done now."""
        data, self._unwrapped = self._unwrapped, b""
        self.send(data)
        if self._closing:
            self.close()
        elif self._session is not None:
            self._session.drained()

    def _gone(self, *, clean: bool = False) -> None:
        session = self._session
        self.close(at_once=not clean or (self._tls is not None and self._tls.accepted is None))
        if session is not None:
            session.told_by_side(self, SideClosed(self._sides.driver.clock(), clean))


def bound(ip: str, port: int) -> socket.socket | None:
    """Return a socket at this address of ours; where a firewall redirects it may be none of ours, then at any."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    for address in (ip, "::" if ":" in ip else "0.0.0.0"):
        with contextlib.ExitStack() as undo:
            try:
                sock = undo.enter_context(socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind((address, port))
            except OSError as error:
                if error.errno == errno.EADDRNOTAVAIL:
                    continue
                return None
            undo.pop_all()
            return sock
    return None
