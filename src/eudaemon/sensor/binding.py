"""Opening the sockets, while the process may still be root. Nothing is accepted here."""

from __future__ import annotations

import errno
import logging
import resource
import socket
from collections.abc import Iterable

from eudaemon.sensor.settings import Listener, SensorSettings
from eudaemon.sensor.tcp import BACKLOG
from eudaemon.sensor.udp import open_udp

FILES_BESIDE = 256  # open files besides sockets and sessions: spool, artefacts, downloads, the farm
LISTED_MAX = 6  # ports that one line of the log names

log = logging.getLogger("eudaemon.sensor")

_NO_SUCH_FAMILY = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


class BindError(Exception):
    """Nothing can be listened on. The message says which ports, and why."""


def bind(settings: SensorSettings) -> list[tuple[socket.socket, Listener]]:
    """Open all sockets of the settings. What another program has is passed over; the log sums it up, by reason.

    Raises `BindError` if nothing is left.
    """
    found: list[tuple[socket.socket, Listener]] = []
    failed: dict[str, dict[str, None]] = {}  # reason: ports, in the order of trying
    only_6 = any(":" not in address for address in settings.addresses)
    for listener in settings.listeners:
        for port in listener.ports:
            for address in settings.addresses:
                try:
                    found.append((_open(listener.transport, address, port + settings.port_offset, only_6), listener))
                except OSError as error:
                    if address == "::" and error.errno in _NO_SUCH_FAMILY:
                        continue  # a machine without IPv6
                    why = (error.strerror or str(error)).lower()
                    failed.setdefault(why, {})[f"{listener.transport} {port + settings.port_offset}"] = None
    _allow_files(len(found) + settings.limits.sessions_max + len(settings.side_ports) + FILES_BESIDE)
    if not found:
        why = "; ".join(f"{why}: {_listed(ports)}" for why, ports in failed.items()) or "no address"
        raise BindError(f"nothing can be listened on: {why}")
    for why, ports in failed.items():
        log.warning("not listening everywhere, %s: %s", why, _listed(ports))
    return found


def _listed(ports: Iterable[str]) -> str:
    ports = list(ports)
    more = len(ports) - LISTED_MAX
    return ", ".join(ports[:LISTED_MAX]) + (f" and {more} more" if more > 0 else "")


def described(sock: socket.socket, listener: Listener) -> str:
    """Return what listens where, as `room transport address:port`."""
    ip, port = sock.getsockname()[:2]
    where = f"[{ip}]" if ":" in ip else ip
    return f"{'+'.join(listener.rooms)} {listener.transport} {where}:{port}"


def _allow_files(wanted: int) -> None:
    """Let the process have as many open files as its sessions need, as far as the system permits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
        except (ValueError, OSError):
            log.warning(
                "only %d files may be open, so that at most about %d sessions can be held", hard, hard - FILES_BESIDE
            )
            wanted = hard
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))


def _open(transport: str, address: str, port: int, only_6: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    sock = socket.socket(family, kind | socket.SOCK_NONBLOCK)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only_6)
        if transport == "tcp":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            open_udp(sock)
        sock.bind((address, port))
        if transport == "tcp":
            sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock
