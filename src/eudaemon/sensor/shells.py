"""The shells that shellcodes open: a port for whoever sent one, or a call to it; a pretended shell stands at the end.

    bind    --> for a while, who comes from the sender's address to that port, ours or not yet, has that shell
    connect --> a connection to the sender's own address, by the policy for downloads
    here    --> the room of the session that brought the code gives way

Each is a session of its own, under the limits of all, and says which session it follows. Nobody but the sender is let
in, nobody but the sender is called, and whose address nobody has proven, as over UDP, has neither.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from typing import TYPE_CHECKING

from eudaemon.events import Endpoint
from eudaemon.events.catalogue import ShellOffered
from eudaemon.payload.fetch.policy import FetchSettings, forbidden_port, is_private, plain
from eudaemon.payload.shellcode.shells import CONNECT, HERE, Shell
from eudaemon.protocols import ROOMS
from eudaemon.sensor.contract import Service, Talk
from eudaemon.sensor.limits import Doorkeeper, plain_ip, subscriber
from eudaemon.sensor.session import Session
from eudaemon.sensor.side import bound
from eudaemon.sensor.tcp import Spare, TcpConnection, TcpListener

if TYPE_CHECKING:
    from eudaemon.sensor.driver import Driver

WAIT_S_MAX = 60.0  # for the sender to come
SHELLS_MAX = 64  # awaited or called at once
PER_ADDRESS_MAX = 4  # of them for one address (of IPv6, one /64)
BOUND_PORT_MIN = 1024  # of a port that is opened: below are services, and root is needed


class Shells:
    """Those that are awaited or called. Used in the loop's thread."""

    def __init__(self, driver: Driver, settings: FetchSettings, door: Doorkeeper, spare: Spare) -> None:
        self.driver = driver
        self.settings = settings
        self.door = door
        self.spare = spare
        self.loop = asyncio.get_running_loop()
        self._awaited: dict[tuple[str, int], Awaited] = {}  # by the sender's address and the port
        self._listeners: dict[tuple[str, int], TcpListener] = {}  # by our address and the port
        self._calls: set[Call] = set()

    def open(self, session: Talk, shell: Shell, *, here: bool) -> None:
        """Open a shell for a session's peer, or state why not. One `here` only if the bytes were the conversation.

        A session that another program handed in has none: what it tells of its peer nobody here has seen.
        """
        if not isinstance(session, Session):
            return
        door = ROOMS[shell.room]
        service = Service(door.name, door, door.speaks_first, session.id, door.plain)
        if shell.way == HERE:
            if here:
                self.loop.call_soon(self._become, session, shell, service)  # not now: its room is still talking
            return
        why = self._why_not(session, shell)
        if why:
            self.state(session, shell, why)
        elif shell.way == CONNECT:
            Call(self, session, shell, service).begin()
        else:
            self._await(session, shell, service)

    def service_for(self, ip: str, port: int) -> Service | None:
        """Return the shell that awaits this address at this port, if one does."""
        if not self._awaited:
            return None
        found = self._awaited.get((ip, port))
        return found.service if found is not None else None

    def state(self, session: Talk, shell: Shell, refused: str = "") -> None:
        """State what became of it."""
        self.driver.state(ShellOffered(shell.way, shell.system, shell.host, shell.port, refused), session)

    def close(self) -> None:
        """Await and call nobody any more."""
        for awaited in list(self._awaited.values()):
            awaited.end()
        for call in list(self._calls):
            call.end()

    def entered(self, call: Call) -> None:
        """Note that a call is under way."""
        self._calls.add(call)

    def left(self, call: Call) -> None:
        """Note that it is not any more."""
        self._calls.discard(call)

    def forget(self, awaited: Awaited) -> None:
        """Await it no more, nor listen where nobody else is awaited."""
        self._awaited.pop(awaited.key, None)
        if not any(other.place == awaited.place for other in self._awaited.values()):
            listener = self._listeners.pop(awaited.place, None)
            if listener is not None:
                listener.close()

    def _become(self, session: Session, shell: Shell, service: Service) -> None:
        if session.become(service):
            self.state(session, shell)

    def _why_not(self, session: Session, shell: Shell) -> str:
        """Return why this shell is not opened, in words; empty if it may be."""
        settings, ip = self.settings, session.attacker.ip
        if not session.is_proven:
            return "the address may be forged"
        key = subscriber(ip)
        held = [subscriber(awaited.key[0]) for awaited in self._awaited.values() if awaited.key != (ip, shell.port)]
        held += [subscriber(call.ip) for call in self._calls]
        if len(held) >= SHELLS_MAX or held.count(key) >= PER_ADDRESS_MAX:
            return "too many shells at once"
        if settings.policy == "off":
            return "policy"
        if shell.way != CONNECT:
            return "" if settings.listen else "policy: listening"
        if not settings.call_back:
            return "policy: calling back"
        if not _is_the_senders(shell.host, ip, settings):
            return "policy: a shell for another than the attacker"
        return forbidden_port("tcp", shell.port, settings) or self.driver.outside.may_call(ip)

    def _await(self, session: Talk, shell: Shell, service: Service) -> None:
        key = (session.attacker.ip, shell.port)
        if (earlier := self._awaited.get(key)) is not None:
            earlier.end()
        place = session.local.ip, shell.port
        if not self._listens(place):
            self.state(session, shell, "port: not to be had")
            return
        awaited = self._awaited[key] = Awaited(self, key, place, service)
        self.driver.wheel.put(awaited, self.driver.ticks() + WAIT_S_MAX)
        self.state(session, shell)

    def _listens(self, place: tuple[str, int]) -> bool:
        """Listen at an address and port, unless we do already; False where that cannot be."""
        ip, port = place
        if port in self.driver.ports or place in self._listeners:
            return True
        sock = bound(ip, port) if port >= BOUND_PORT_MIN else None
        if sock is None:
            return self.driver.settings.redirected  # then who comes to it may come to a port of ours
        sock.listen(PER_ADDRESS_MAX)
        self._listeners[place] = TcpListener(sock, None, self.driver, self.door, self.spare)
        return True


class Awaited:
    """A shell that somebody may come to, for `WAIT_S_MAX`."""

    __slots__ = ("_shells", "key", "place", "service", "tick")

    def __init__(self, shells: Shells, key: tuple[str, int], place: tuple[str, int], service: Service) -> None:
        self._shells = shells
        self.key = key
        self.place = place
        self.service = service
        self.tick = 0

    def due(self, now_s: float) -> None:  # noqa: ARG002
        """The time is over; whoever came has a session of his own."""
        self.end()

    def end(self) -> None:
        """Await nobody any more."""
        self._shells.driver.wheel.drop(self)
        self._shells.forget(self)


class Call:
    """A connection to the sender of a shellcode, until it is a session or has failed."""

    __slots__ = ("_session", "_shell", "_shells", "_sock", "ip", "service", "tick")

    def __init__(self, shells: Shells, session: Talk, shell: Shell, service: Service) -> None:
        self._shells = shells
        self._session = session
        self._shell = shell
        self._sock: socket.socket | None = None
        self.ip = session.attacker.ip
        self.service = service
        self.tick = 0

    def begin(self) -> None:
        """Connect; what comes of it is stated."""
        shells = self._shells
        self._sock = bound(self._session.local.ip, 0)
        if self._sock is None:
            self._fail("no socket")
            return
        failed = self._sock.connect_ex((self.ip, self._shell.port))
        if failed not in (0, errno.EINPROGRESS):
            self._fail(_words(failed))
            return
        shells.entered(self)
        shells.loop.add_writer(self._sock, self._connected)
        shells.driver.wheel.put(self, shells.driver.ticks() + shells.settings.connect_s_max)

    def due(self, now_s: float) -> None:  # noqa: ARG002
        """Nobody was there."""
        self._fail("no answer")

    def end(self) -> None:
        """Give it up."""
        shells = self._shells
        shells.driver.wheel.drop(self)
        shells.left(self)
        if self._sock is not None:
            shells.loop.remove_writer(self._sock)
            self._sock.close()
            self._sock = None

    def _fail(self, why: str) -> None:
        self.end()
        self._shells.state(self._session, self._shell, f"connect: {why}")

    def _connected(self) -> None:
        sock, shells = self._sock, self._shells
        if sock is None:
            return
        if failed := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._fail(_words(failed))
            return
        driver, key = shells.driver, subscriber(self.ip)
        if not shells.door.enter(key, driver.ticks()):
            self._fail("too many sessions")
            return
        shells.loop.remove_writer(sock)
        self._sock = None  # the session's, from now on
        self.end()
        shells.state(self._session, self._shell)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        here = sock.getsockname()
        connection = TcpConnection(shells.loop, sock, driver, shells.door, key)
        there, local = Endpoint(self.ip, self._shell.port), Endpoint(plain_ip(here[0]), here[1])
        connection.begin(Session(driver, self.service, connection, there, local, "tcp"))


def _is_the_senders(host: str, ip: str, settings: FetchSettings) -> bool:
    """Say whether a call to `host` is one to `ip`: behind NAT a bot names the address that it knows of itself."""
    try:
        is_same = plain(host) == plain(ip)
    except ValueError:
        return False
    return is_same or (settings.private_to_attacker and is_private(host))


def _words(number: int) -> str:
    return os.strerror(number).lower()
