"""UDP: a peer's datagrams to one port are a session that ends when it falls silent.

The answer goes out from the address that was asked. How little may be answered is the driver's rule.
"""

from __future__ import annotations

import asyncio
import socket
import struct

from eudaemon.events import Endpoint
from eudaemon.sensor.contract import Service
from eudaemon.sensor.driver import Driver
from eudaemon.sensor.limits import Doorkeeper, plain_ip, subscriber
from eudaemon.sensor.session import Session

DATAGRAM_BYTES_MAX = 65_535
DATAGRAMS_MAX = 64  # at a time, then others have their turn
IP_PKTINFO = 8  # linux/in.h; Python names only IPv6's
_PKTINFO_4 = struct.Struct("=I4s4s")  # interface, the address for routing, the address it was sent to
_PKTINFO_6 = struct.Struct("=16sI")  # the address it was sent to, interface
_ANCILLARY_BYTES = 128

Address = tuple[str, int] | tuple[str, int, int, int]


def open_udp(sock: socket.socket) -> None:
    """Ask the kernel to say to which address each datagram was sent."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)


class UdpListener:
    """One bound socket, and its sessions by peer and address asked."""

    def __init__(self, sock: socket.socket, service: Service, driver: Driver, door: Doorkeeper) -> None:
        self.sock = sock
        self.driver = driver
        self._service = service
        self._door = door
        self._sessions: dict[tuple[Address, str], Session] = {}
        self._bound: str = sock.getsockname()[0]
        self._port: int = sock.getsockname()[1]
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock, self._readable)

    def close(self) -> None:
        """Listen no more."""
        self._loop.remove_reader(self.sock)
        self.sock.close()

    def forget(self, peer: UdpPeer) -> None:
        """A session is over."""
        if self._sessions.pop((peer.address, peer.asked), None) is not None:
            self._door.leave(peer.key)

    def _readable(self) -> None:
        for _ in range(DATAGRAMS_MAX):
            try:
                data, ancillary, _, address = self.sock.recvmsg(DATAGRAM_BYTES_MAX, _ANCILLARY_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:  # an ICMP error for something sent before
                continue
            self._heard(data, address, self._asked(ancillary))

    def _heard(self, data: bytes, address: Address, asked: str) -> None:
        session = self._sessions.get((address, asked))
        if session is None:
            ip = plain_ip(address[0])
            key = subscriber(ip)
            if address[1] == 0 or not self._door.enter(key, self.driver.ticks()):
                return
            peer = UdpPeer(self, address, asked, key)
            local = Endpoint(plain_ip(asked), self._port)
            session = peer.session = Session(self.driver, self._service, peer, Endpoint(ip, address[1]), local, "udp")
            self._sessions[address, asked] = session
            session.open()
        session.received(data)

    def _asked(self, ancillary: list[tuple[int, int, bytes]]) -> str:
        for level, kind, value in ancillary:
            if level == socket.IPPROTO_IP and kind == IP_PKTINFO:
                return socket.inet_ntoa(_PKTINFO_4.unpack(value)[2])
            if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
                return socket.inet_ntop(socket.AF_INET6, _PKTINFO_6.unpack(value)[0])
        return self._bound


class UdpPeer:
    """One peer: a `Channel` for its session."""

    __slots__ = ("_listener", "address", "asked", "key", "session", "unsent_bytes")

    def __init__(self, listener: UdpListener, address: Address, asked: str, key: bytes) -> None:
        self._listener = listener
        self.address = address
        self.asked = asked
        self.key = key
        self.session: Session | None = None
        self.unsent_bytes = 0  # what the kernel does not take at once is lost, as datagrams are

    def send(self, data: bytes) -> None:
        """See `Channel`: one datagram."""
        try:
            self._listener.sock.sendmsg([data], [self._from()], 0, self.address)
        except OSError:
            return

    def close(self) -> None:
        """See `Channel`."""
        self.abort()

    def abort(self) -> None:
        """See `Channel`."""
        session, self.session = self.session, None
        if session is not None:
            self._listener.forget(self)
            session.released()

    def _from(self) -> tuple[int, int, bytes]:
        if self._listener.sock.family == socket.AF_INET6:
            asked = _PKTINFO_6.pack(socket.inet_pton(socket.AF_INET6, self.asked), 0)
            return socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, asked
        return socket.IPPROTO_IP, IP_PKTINFO, _PKTINFO_4.pack(0, socket.inet_aton(self.asked), b"\0\0\0\0")
