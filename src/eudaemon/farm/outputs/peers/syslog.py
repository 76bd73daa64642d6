"""Syslog: RFC 5424 messages over UDP (RFC 5426), TCP with counted octets (RFC 6587), or TLS (RFC 5425).

Syslog acknowledges nothing. What the peer's kernel took counts as taken; a connection that the peer closed is noticed
before more is sent.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Sequence

from eudaemon.events import rfc3339
from eudaemon.farm.outputs.batch import Item
from eudaemon.farm.outputs.peers import TIMEOUT_S, LaterError
from eudaemon.farm.outputs.peers.stream import Stream, told, trusting
from eudaemon.farm.outputs.settings import Syslog

PRIORITY = 16 * 8 + 5  # facility local0, severity notice
DATAGRAM_BYTES_MAX = 8192  # what servers take at least in practice; a cut message would be no JSON
MESSAGE_BYTES_MAX = 1024 * 1024


class Server:
    """A syslog server."""

    items_max, pause_s = 1_000, 0.0

    def __init__(self, settings: Syslog) -> None:
        self._settings = settings
        context = trusting(settings.ca_file) if settings.transport == "tls" else None
        self._stream = Stream(settings.host, settings.port, context)
        self._datagrams: socket.socket | None = None
        host = "".join(char for char in socket.gethostname() if "!" <= char <= "~")[:255]
        self._head = f" {host or '-'} eudaemon - {settings.format} - ".encode()

    def fits(self, item: Item) -> bool:
        """See `Peer`."""
        limit = DATAGRAM_BYTES_MAX if self._settings.transport == "udp" else MESSAGE_BYTES_MAX
        return len(self._head) + len(item.data) + 64 <= limit

    def send(self, items: Sequence[Item]) -> str:
        """See `Peer`."""
        head = f"<{PRIORITY}>1 {rfc3339(time.time())}".encode() + self._head
        messages = [head + item.data for item in items]
        if self._settings.transport == "udp":
            self._send_datagrams(messages)
        else:
            self._send_stream(b"".join(b"%d %s" % (len(message), message) for message in messages))
        return f"{len(items)} sent; syslog does not answer"

    def close(self) -> None:
        """See `Peer`."""
        self._stream.close()
        if self._datagrams is not None:
            self._datagrams.close()

    def _send_stream(self, data: bytes) -> None:
        if self._stream.is_open:
            with contextlib.suppress(LaterError):  # it hung up meanwhile, and a new connection is made
                self._stream.receive(0.0)
        if not self._stream.is_open:
            self._stream.open()
        self._stream.send(data)

    def _send_datagrams(self, messages: Sequence[bytes]) -> None:
        host, port = self._settings.host, self._settings.port
        try:
            if self._datagrams is None:
                family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
                self._datagrams = socket.socket(family, kind, protocol)
                self._datagrams.settimeout(TIMEOUT_S)
                self._datagrams.connect(address)
            for message in messages:
                self._datagrams.send(message)
        except OSError as error:
            raise LaterError(f"cannot send to {host} port {port}: {told(error)}") from None
