"""A connection over TCP, with TLS or without, that notices before it sends that the peer is gone."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator

from eudaemon.farm.outputs.peers import TIMEOUT_S, LaterError

_CHUNK_BYTES = 65536


def trusting(ca_file: str) -> ssl.SSLContext:
    """Return a context that trusts the system's certificates, or those in a file. Raises `OSError`."""
    return ssl.create_default_context(cafile=ca_file or None)


class Stream:
    """A connection to (host, port), made when it is first needed. Everything raises `LaterError`."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext | None) -> None:
        self._host, self._port, self._context = host, port, context
        self._socket: socket.socket | None = None

    @property
    def is_open(self) -> bool:
        """Say whether there is a connection; it may be broken."""
        return self._socket is not None

    def open(self) -> None:
        """Connect."""
        try:
            plain = socket.create_connection((self._host, self._port), TIMEOUT_S)
            self._socket = plain
            if self._context is not None:
                self._socket = self._context.wrap_socket(plain, server_hostname=self._host)
        except OSError as error:
            self.close()
            raise LaterError(f"cannot connect to {self._host} port {self._port}: {told(error)}") from None

    def send(self, data: bytes) -> None:
        """Send all of it."""
        try:
            self._open().sendall(data)
        except OSError as error:
            self.close()
            raise LaterError(f"the connection broke: {told(error)}") from None

    def receive(self, wait_s: float) -> bytes:
        """Return what comes within a time; nothing if nothing does. A peer that hangs up raises `LaterError`."""
        opened = self._open()
        until_s = time.monotonic() + wait_s
        try:
            while True:
                opened.settimeout(0.0)
                try:
                    data = opened.recv(_CHUNK_BYTES)
                except (BlockingIOError, ssl.SSLWantReadError):
                    left_s = until_s - time.monotonic()
                    if left_s <= 0 or not select.select([opened], [], [], left_s)[0]:
                        return b""
                    continue
                if data:
                    return data
                raise ConnectionResetError(0, "the peer hung up")
        except (OSError, ValueError) as error:  # ValueError: closed by another thread while it waited
            self.close()
            raise LaterError(f"the connection broke: {told(error)}") from None
        finally:
            with contextlib.suppress(OSError):
                opened.settimeout(TIMEOUT_S)

    def close(self) -> None:
        """Hang up."""
        opened, self._socket = self._socket, None
        if opened is not None:
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
            opened.close()

    def _open(self) -> socket.socket:
        if self._socket is None:
            raise LaterError("not connected")
        return self._socket


@contextlib.contextmanager
def within(s_max: float, hang_up: Callable[[], None]) -> Iterator[None]:
    """Hang up on a peer that is not done in time: one that drips meets each shorter limit. Raises `OSError`."""
    late = threading.Event()

    def end() -> None:
        late.set()
        hang_up()

    watch = threading.Timer(s_max, end)
    watch.daemon = True
    watch.start()
    try:
        yield
    finally:
        watch.cancel()
    if late.is_set():  # and what was read looks whole, because a connection that ends may end an answer
        raise TimeoutError(0, f"not done within {s_max:g} s")


def told(error: Exception) -> str:
    """Return an error in the words of the system."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
