"""ASGI applications on sockets that are bound before root is given up. Wraps uvicorn; knows no application."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Iterator, Sequence
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from eudaemon.farm.certificate import Certificate

BACKLOG = 512
CONNECTIONS_MAX, CONNECTIONS_PER_ADDRESS_MAX = 1_000, 256
BETWEEN_REQUESTS_S_MAX = 75  # a sensor's heartbeats are closer
STOP_S_MAX = 3


class ServingError(OSError):
    """A socket could not be bound. The message names it and what may be the cause."""


class ImpatientProtocol(H11Protocol):
    """Ends a connection on which no request is complete for too long, however slowly its bytes trickle in."""

    def connection_made(self, transport: Any) -> None:
        """Begin to watch; hang up on an address that has too many connections already."""
        super().connection_made(transport)
        self._look()
        here = [other for other in self.connections if isinstance(other, H11Protocol) and _same_host(self, other)]
        if len(here) > CONNECTIONS_PER_ADDRESS_MAX:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop watching."""
        self._watch.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        # Between two looks at most one of which saw a request under way, there was none for that long at most.
        self._watch = self.loop.call_later(BETWEEN_REQUESTS_S_MAX, self._look_again, self.cycle)

    def _look_again(self, last: object) -> None:
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request
        under_way = cycle is not None and not cycle.response_complete
        if under_way or cycle is not last:
            self._look()
        else:
            self.transport.close()


def _same_host(one: H11Protocol, other: H11Protocol) -> bool:
    return one.client is not None and other.client is not None and one.client[0] == other.client[0]


class WebServer(uvicorn.Server):
    """One application on some sockets. Signals are the composition root's."""

    def __init__(self, app: ASGIApp, sockets: Sequence[socket.socket], certificate: Certificate | None) -> None:
        self._sockets = list(sockets)
        config = uvicorn.Config(
            app, http=ImpatientProtocol, ws="none", lifespan="off", loop="none", log_config=None, log_level="error",
            access_log=False,
            server_header=False, date_header=False, proxy_headers=False, backlog=BACKLOG,
            limit_concurrency=CONNECTIONS_MAX, timeout_keep_alive=BETWEEN_REQUESTS_S_MAX,
            timeout_graceful_shutdown=STOP_S_MAX,
        )  # fmt: skip
        config.load()
        if certificate is not None:
            config.ssl = certificate.context()
        super().__init__(config)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield

    async def run_until_stopped(self) -> None:
        """Serve until `stop`."""
        await self.serve(self._sockets)

    def stop(self) -> None:
        """Take no further connections, end what is under way, at most `STOP_S_MAX` seconds long."""
        self.should_exit = True


def listen(addresses: Sequence[str], port: int) -> list[socket.socket]:
    """Bind TCP sockets; an IPv6 wildcard is skipped on a machine without IPv6. Raises `ServingError`."""
    bound: list[socket.socket] = []
    for address in addresses:
        v6 = ipaddress.ip_address(address).version == 6
        try:
            opened = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET)
        except OSError:
            if v6 and len(addresses) > 1:
                continue
            raise
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if v6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            # One port for all: where it is chosen by the kernel, the others follow the first.
            opened.bind((address, port or (bound[0].getsockname()[1] if bound else 0)))
        except OSError as error:
            opened.close()
            if v6 and bound:
                continue
            for other in bound:
                other.close()
            raise ServingError(
                f"cannot listen on {where(address, port)}: {error.strerror}; is another farm running there? "
                "farm.page.port and farm.intake.port in the settings name other ports"
            ) from None
        opened.listen(BACKLOG)  # already: who comes before `run` waits, and is not refused
        opened.setblocking(False)
        bound.append(opened)
    return bound


def where(address: str, port: int) -> str:
    """Return address and port as URLs have them."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def reachable(address: str) -> str:
    """Return the address under which this machine reaches what listens on `address`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)
