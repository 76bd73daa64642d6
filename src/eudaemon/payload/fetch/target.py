"""From a URL to addresses that may be asked. A name is resolved once, judged, and only those addresses are used.

There is no second look at the name between the judgement and the connection, so a name server that answers
differently the second time (DNS rebinding) gains nothing. Every redirect comes through here anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from eudaemon.payload.fetch.outcome import Failed, Refused
from eudaemon.payload.fetch.policy import ATTACKER_ONLY, FetchSettings, forbidden, forbidden_port, is_private, plain
from eudaemon.payload.url import Url
from eudaemon.world.seed import Seed

ADDRESSES_MAX = 3  # of one name, that are tried one after the other
_LOOKUPS_MAX = 4

Resolve = Callable[[str], Awaitable[Sequence[str]]]
"""Takes a host name or address, gives IP addresses as text. Raises `OSError` if there are none."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL and the addresses that it means, all of them allowed."""

    url: Url
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """One wish as the protocols see it: what, in whose manner, and how to find out where a URL may lead."""

    url: Url
    tool: str  # as in `Download`
    aim: Callable[[Url], Awaitable[Target]]
    seed: Seed  # what differs between installations is drawn from it


async def aim(url: Url, attacker_ip: str, settings: FetchSettings, resolve: Resolve) -> Target:
    """Return where this URL leads. Raises `Refused` if it may not be asked, `Failed` if its name leads nowhere."""
    if settings.policy == "off":
        raise Refused("policy")
    if not url.port:
        raise Refused("no port")
    if why := forbidden_port(url.scheme, url.port, settings):
        raise Refused(why)
    if settings.private_to_attacker and is_private(url.host) and forbidden(url.host, attacker_ip, settings):
        # What Nepenthes did: a bot behind NAT names the address that it knows of itself.
        url = replace(url, host=str(plain(attacker_ip)))
    if url.scheme in ATTACKER_ONLY and url.host in ("0.0.0.0", "::"):  # a shellcode listens for anybody
        url = replace(url, host=str(plain(attacker_ip)))
    try:
        async with asyncio.timeout(settings.connect_s_max):
            found = [str(plain(ip)) for ip in await resolve(url.host)]
    except TimeoutError:
        raise Failed("name: no answer") from None
    except (OSError, ValueError):
        raise Failed("name: not found") from None
    allowed, why = [], "name: not found"
    for ip in dict.fromkeys(found):
        reason = forbidden(ip, attacker_ip, settings)
        if not reason and url.scheme in ATTACKER_ONLY and plain(ip) != plain(attacker_ip):
            reason = f"policy: {url.scheme} to another than the attacker"
        if reason:
            why = reason
        else:
            allowed.append(ip)
    if not allowed:
        raise Refused(why)
    return Target(url, tuple(allowed[:ADDRESSES_MAX]))


async def connect(
    target: Target, settings: FetchSettings, *, port: int = 0, own_ports: Sequence[int] = ()
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, str]:
    """Connect to the first of the target's addresses that accepts; return the streams and that address.

    `port` replaces the URL's. We ask from the first of `own_ports` that is free, if we may have any. Raises `Failed`.
    """
    why = "no address"
    for ip in target.addresses:
        family = socket.AF_INET6 if ":" in ip else socket.AF_INET
        with contextlib.ExitStack() as undo:
            try:
                sock = undo.enter_context(socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
                _bind_to_one(sock, own_ports)
                async with asyncio.timeout(settings.connect_s_max):
                    await asyncio.get_running_loop().sock_connect(sock, (ip, port or target.url.port))
                reader, writer = await asyncio.open_connection(sock=sock)
            except OSError as error:  # TimeoutError is one
                why = words(error)
            else:
                undo.pop_all()  # the streams have it now
                return reader, writer, ip
    raise Failed(f"connect: {why}")


def _bind_to_one(sock: socket.socket, ports: Sequence[int]) -> None:
    for port in ports:
        try:
            sock.bind(("", port))
        except PermissionError:
            return
        except OSError:
            continue
        return


def hang_up(writer: asyncio.StreamWriter) -> None:
    """Close at once; nothing that is unsent matters. (`wait_closed` never ends after a failed handshake.)"""
    writer.transport.abort()


class SystemResolver:
    """Asks the system's resolver, in at most four threads at a time.

    The threads are our own and daemonic: a name server that never answers must hold up neither the loop's other
    threads (which write to disk) nor the end of the process.
    """

    __slots__ = ("_free",)

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(_LOOKUPS_MAX)

    async def __call__(self, host: str) -> Sequence[str]:
        """Return the addresses of a host, in the system's order of preference. Raises `OSError`."""
        with contextlib.suppress(OSError):
            return _looked_up(host, socket.AI_NUMERICHOST)  # never blocks
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        found: asyncio.Future[Sequence[str]] = loop.create_future()

        def done(answer: Sequence[str] | OSError) -> None:
            self._free.release()
            if found.done():
                return  # nobody waits any more
            if isinstance(answer, OSError):
                found.set_exception(answer)
            else:
                found.set_result(answer)

        def look() -> None:
            answer: Sequence[str] | OSError
            try:
                answer = _looked_up(host, 0)
            except OSError as error:
                answer = error
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(done, answer)

        threading.Thread(target=look, name="resolve", daemon=True).start()
        return await found


def _looked_up(host: str, flags: int) -> list[str]:
    # Bytes, for text goes through the `idna` codec, whose tables no router has. AI_NUMERICHOST reads `0x7f.1` and
    # `2130706433` as addresses just as the bots' clients do; they are judged as what they mean.
    rows = socket.getaddrinfo(host.encode("ascii"), None, type=socket.SOCK_STREAM, flags=flags)
    return [str(row[4][0]) for row in rows]


def words(error: OSError) -> str:
    """Return what went wrong, without the addresses that asyncio puts into its messages."""
    if isinstance(error, TimeoutError) and not error.errno:
        return "no answer"
    return os.strerror(error.errno).lower() if error.errno else type(error).__name__
