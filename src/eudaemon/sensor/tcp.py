"""TCP: listening sockets and connections, straight on the loop's readiness: no stream, task or timer for each.

A connection whose peer does not read is not read from. One that we close says so first and drains for a moment, so that
our last bytes are not lost to a reset. When the process has no file descriptors left, a spare one is given up so that
what waits can be closed and counted, and the others are served on.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket

from eudaemon.events import Endpoint
from eudaemon.sensor.contract import Door, Service, Told
from eudaemon.sensor.driver import Driver
from eudaemon.sensor.limits import Doorkeeper, plain_ip, subscriber
from eudaemon.sensor.session import Session

log = logging.getLogger("eudaemon.sensor")

BACKLOG = 1024
ACCEPTS_MAX = 64  # at a time, then others have their turn
READ_BYTES = 64 * 1024
PAUSE_BYTES = 64 * 1024  # unsent: beyond it the peer is not read from
LINGER_BYTES_MAX = 256 * 1024
SO_ORIGINAL_DST = 80  # linux/netfilter_ipv4.h; IP6T_SO_ORIGINAL_DST is the same
_NO_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_GONE = (BlockingIOError, InterruptedError)


class TcpListener:
    """One listening socket. Where it has no service, only those are let in whom a shellcode has let in."""

    def __init__(
        self, sock: socket.socket, service: Service | None, driver: Driver, door: Doorkeeper, spare: Spare
    ) -> None:  # fmt: skip
        self._sock = sock
        self._service = service
        self._driver = driver
        self._door = door
        self._spare = spare
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock, self._accept)

    def close(self) -> None:
        """Listen no more."""
        self._loop.remove_reader(self._sock)
        self._sock.close()

    def _accept(self) -> None:
        for _ in range(ACCEPTS_MAX):
            try:
                sock, peer = self._sock.accept()
            except _GONE:
                return
            except OSError as error:
                if error.errno in _NO_FILES:
                    self._spare.use(self._sock, self._door)
                    return
                continue  # that one peer has gone already
            self._serve(sock, peer)

    def _serve(self, sock: socket.socket, peer: tuple[str, int]) -> None:
        ip = plain_ip(peer[0])
        key = subscriber(ip)
        if not self._door.enter(key, self._driver.ticks()):
            sock.close()
            return
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            here = _asked(sock, redirected=self._driver.settings.redirected)
        except OSError:  # reset before we came to it
            self._door.leave(key)
            sock.close()
            return
        service = self._driver.shells.service_for(ip, here.port) or self._service
        if service is None:
            self._door.leave(key)
            sock.close()
            return
        connection = TcpConnection(self._loop, sock, self._driver, self._door, key)
        connection.begin(Session(self._driver, service, connection, Endpoint(ip, peer[1]), here, "tcp"))


def _asked(sock: socket.socket, *, redirected: bool) -> Endpoint:
    """Return the address that the peer connected to, before any redirect in the firewall."""
    here = sock.getsockname()
    if redirected:
        try:
            # A sockaddr_in or sockaddr_in6; for IPv4 also on a socket that takes both families.
            if plain_ip(here[0]).count("."):
                raw = sock.getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, 16)
                return Endpoint(socket.inet_ntoa(raw[4:8]), int.from_bytes(raw[2:4], "big"))
            raw = sock.getsockopt(socket.IPPROTO_IPV6, SO_ORIGINAL_DST, 28)
            return Endpoint(socket.inet_ntop(socket.AF_INET6, raw[8:24]), int.from_bytes(raw[2:4], "big"))
        except OSError:  # not redirected, or no connection tracking
            pass
    return Endpoint(plain_ip(here[0]), here[1])


class Spare:
    """A file descriptor held back for when there are no others."""

    def __init__(self) -> None:
        self._file = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def use(self, listening: socket.socket, door: Doorkeeper) -> None:
        """Take in and close what waits, counting it."""
        if self._file < 0:
            self._retake()
            return
        os.close(self._file)
        self._file = -1
        for _ in range(ACCEPTS_MAX):
            try:
                sock, _ = listening.accept()
            except OSError:
                break
            sock.close()
            door.refuse("open files")
        self._retake()

    def close(self) -> None:
        """Give it up for good."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _retake(self) -> None:
        try:
            self._file = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._file = -1


class TcpConnection:
    """One connection: a `Channel` for its session, or for one's side connection."""

    __slots__ = (
        "_closing", "_door", "_driver", "_ended", "_file", "_key", "_lingered_bytes", "_loop", "_reads", "_session",
        "_sock", "_unsent", "_writes", "tick", "unsent_bytes",
    )  # fmt: skip

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, driver: Driver, door: Door, key: bytes
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._file = sock.fileno()
        self._driver = driver
        self._door = door
        self._key = key
        self._session: Told | None = None
        self._unsent: list[bytes] | None = None
        self.unsent_bytes = 0
        self._reads = self._writes = self._closing = self._ended = False
        self._lingered_bytes = -1  # -1 until our side is shut down
        self.tick = 0

    def begin(self, session: Told) -> None:
        """Let the session begin."""
        self._session = session
        self._read(on=True)
        session.open()

    # --- for the session ----------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """See `Channel`."""
        if self._session is None or not data:
            return
        if not self._writes:
            try:
                sent = self._sock.send(data)
            except _GONE:
                sent = 0
            except OSError:
                self._loop.call_soon(self._lose)  # not now: the room that ordered this is still talking
                return
            if sent == len(data):
                return
            data = data[sent:]
            self._loop.add_writer(self._file, self._writable)
            self._writes = True
        if self._unsent is None:
            self._unsent = []
        self._unsent.append(data)
        self.unsent_bytes += len(data)
        if self.unsent_bytes > PAUSE_BYTES:
            self._read(on=False)

    def close(self) -> None:
        """See `Channel`."""
        if self._session is None or self._closing:
            return
        self._closing = True
        self._driver.wheel.put(self, self._driver.ticks() + self._driver.limits.linger_s_max)
        if not self.unsent_bytes:
            self._shut_down()

    def abort(self) -> None:
        """See `Channel`."""
        if self._session is None:
            return
        session, self._session = self._session, None
        self._read(on=False)
        if self._writes:
            self._loop.remove_writer(self._file)
        self._driver.wheel.drop(self)
        self._sock.close()
        self._unsent, self.unsent_bytes = None, 0
        self._door.leave(self._key)
        session.released()

    def due(self, now_s: float) -> None:  # noqa: ARG002
        """It lingered long enough."""
        self.abort()

    # --- what the loop says -------------------------------------------------------------------------

    def _readable(self) -> None:
        try:
            data = self._sock.recv(READ_BYTES)
        except _GONE:
            return
        except OSError:
            self._lose()
            return
        session = self._session
        if session is None:
            return
        if self._closing:
            self._linger(data)
        elif data:
            session.received(data)
        else:
            self._ended = True
            self._read(on=False)
            session.half_closed()

    def _writable(self) -> None:
        session = self._session
        if self._unsent is None or session is None:
            return
        data = b"".join(self._unsent)
        try:
            sent = self._sock.send(data)
        except _GONE:
            return
        except OSError:
            self._lose()
            return
        self.unsent_bytes -= sent
        self._unsent = [data[sent:]] if self.unsent_bytes else None
        if not self.unsent_bytes:
            self._loop.remove_writer(self._file)
            self._writes = False
            if self._closing:
                self._shut_down()
        if self.unsent_bytes <= PAUSE_BYTES and not self._ended and not self._closing:
            self._read(on=True)
        session.drained()

    def _shut_down(self) -> None:
        """Say that nothing more follows, and wait a little for the peer to have read it."""
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.abort()
            return
        self._lingered_bytes = 0
        self._read(on=True)

    def _linger(self, data: bytes) -> None:
        if self._lingered_bytes >= 0:
            self._lingered_bytes += len(data)
            if not data or self._lingered_bytes > LINGER_BYTES_MAX:
                self.abort()

    def _lose(self) -> None:
        if self._session is not None:
            self._session.lost()
            self.abort()

    def _read(self, *, on: bool) -> None:
        if on is self._reads:
            return
        self._reads = on
        if on:
            self._loop.add_reader(self._file, self._readable)
        else:
            self._loop.remove_reader(self._file)
