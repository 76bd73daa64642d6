"""The stream of an execution: WebSocket messages whose first byte is a channel (k8s.io/apiserver, wsstream).

0 standard input   1 standard output   2 standard error   3 how it ended   4 size of the terminal
"""

from __future__ import annotations

from collections.abc import Iterator

from eudaemon.protocols._api import compact
from eudaemon.protocols._base import Answered, HangUp, Order, Send, Woken
from eudaemon.protocols._services import Service
from eudaemon.protocols._websocket import CLOSE, PING, MessageReader, encode
from eudaemon.wire import Purse

PROTOCOLS = (b"v4.channel.k8s.io", b"channel.k8s.io")
_STDIN, _STDOUT, _ERROR = b"\x00", b"\x01", b"\x03"
_PONG, _NORMAL = 10, b"\x03\xe8"  # RFC 6455 sections 5.5.3 and 7.4.1


class Channels(Service):
    """Channels around another service."""

    def __init__(self, inner: Service, purse: Purse, *, told: bool) -> None:
        self._inner = inner
        self._told = told  # whether the protocol agreed on tells how it ended
        self._messages = MessageReader(purse)

    def opened(self, at_s: float) -> Iterator[Order]:
        """See `Service`."""
        yield from self._wrapped(self._inner.opened(at_s))

    def received(self, data: bytes, at_s: float) -> Iterator[Order]:
        """See `Service`."""
        for kind, message in self._messages.feed(data):
            if kind == PING:
                yield Send(encode(message[:125], _PONG))
            elif kind == CLOSE:
                yield Send(encode(_NORMAL, CLOSE))
                yield HangUp()
                return
            elif message[:1] == _STDIN and len(message) > 1:
                yield from self._wrapped(self._inner.received(message[1:], at_s))

    def told(self, occasion: Answered | Woken) -> Iterator[Order]:
        """See `Service`."""
        yield from self._wrapped(self._inner.told(occasion))

    def closed(self, at_s: float) -> Iterator[Order]:
        """See `Service`."""
        yield from self._wrapped(self._inner.closed(at_s))

    def cut(self, at_s: float) -> Iterator[Order]:
        """See `Service`; of a message that is not whole the part that came counts."""
        message = self._messages.cut_short()
        if message[:1] == _STDIN and len(message) > 1:
            yield from self._wrapped(self._inner.received(message[1:], at_s))
        yield from self._wrapped(self._inner.cut(at_s))

    def _wrapped(self, orders: Iterator[Order]) -> Iterator[Order]:
        for order in orders:
            if isinstance(order, Send):
                yield Send(encode(_STDOUT + order.data))
                continue
            if isinstance(order, HangUp):
                if self._told:
                    yield Send(encode(_ERROR + compact(self._end())))
                yield Send(encode(_NORMAL, CLOSE))
            yield order

    def _end(self) -> dict[str, object]:
        status = self._inner.status
        if not status:
            return {"metadata": {}, "status": "Success"}
        causes = [{"reason": "ExitCode", "message": str(status)}]
        return {"metadata": {}, "status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": causes},
                "message": f"command terminated with non-zero exit code: exit status {status}"}  # fmt: skip
