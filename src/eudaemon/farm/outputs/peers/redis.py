"""A client of Redis, as far as it is needed to add to one: RESP2, commands out and one answer for each.

command = *COUNT then $LENGTH WORD for each       answer = +text | -error | :number | $LENGTH bytes, each line with CRLF
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence

from eudaemon.farm.outputs.batch import Item
from eudaemon.farm.outputs.peers import TIMEOUT_S, LaterError, clipped_answer
from eudaemon.farm.outputs.peers.stream import Stream, trusting
from eudaemon.farm.outputs.settings import Redis

ANSWERS_BYTES_MAX = 1024 * 1024
_ANSWER = re.compile(rb"([+:-])([^\r\n]*)\r\n|\$(\d{1,7})\r\n")

Words = Sequence[bytes]


def _publish(bodies: Sequence[bytes], key: bytes, _: bytes) -> list[Words]:
    return [(b"PUBLISH", key, body) for body in bodies]


def _list(bodies: Sequence[bytes], key: bytes, kept: bytes) -> list[Words]:
    return [*((b"RPUSH", key, body) for body in bodies), (b"LTRIM", key, b"-" + kept, b"-1")]


def _add(bodies: Sequence[bytes], key: bytes, kept: bytes) -> list[Words]:
    return [(b"XADD", key, b"MAXLEN", b"~", kept, b"*", b"event", body) for body in bodies]


# How it is handed over -> the commands, out of bodies, key, and how many the key keeps.
HOW: dict[str, Callable[[Sequence[bytes], bytes, bytes], list[Words]]] = {
    "publish": _publish,
    "list": _list,
    "stream": _add,
}


class RedisServer:
    """A Redis."""

    items_max, pause_s = 500, 0.0

    def __init__(self, settings: Redis) -> None:
        self._settings = settings
        self._stream = Stream(settings.host, settings.port, trusting(settings.ca_file) if settings.tls else None)

    def fits(self, _: Item) -> bool:
        """See `Peer`."""
        return True

    def send(self, items: Sequence[Item]) -> str:
        """See `Peer`."""
        settings = self._settings
        bodies = [item.data for item in items]
        commands = HOW[settings.how](bodies, settings.key.encode(), b"%d" % settings.kept_max)
        try:
            if not self._stream.is_open:
                self._log_in()
            self._ask(commands)
        except LaterError:
            self._stream.close()  # whatever it has yet to answer is no answer to what is asked next
            raise
        return f"{len(items)} to {settings.how} {settings.key}"

    def close(self) -> None:
        """See `Peer`."""
        self._stream.close()

    def _log_in(self) -> None:
        self._stream.open()
        if self._settings.password:
            user = (self._settings.user.encode(),) if self._settings.user else ()
            self._ask([(b"AUTH", *user, self._settings.password.encode())])

    def _ask(self, commands: Sequence[Words]) -> None:
        self._stream.send(b"".join(map(_command, commands)))
        received, count, until_s = b"", 0, time.monotonic() + TIMEOUT_S
        while count < len(commands):
            if (found := _answer(received)) is not None:
                error, received = found
                if error:
                    raise LaterError(f"Redis says: {clipped_answer(error.decode('utf-8', 'replace'))}")
                count += 1
                continue
            data = self._stream.receive(max(0.0, until_s - time.monotonic()))
            received += data
            if not data or len(received) > ANSWERS_BYTES_MAX:
                raise LaterError("what answers there does not speak as Redis does")


def _command(words: Words) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def _answer(received: bytes) -> tuple[bytes, bytes] | None:
    """Return the error in the first answer, empty if it is none, and what comes behind; None if it is not whole."""
    if not received:
        return None
    if (found := _ANSWER.match(received)) is None:
        if b"\n" in received[:ANSWERS_BYTES_MAX] or received[:1] not in b"+:-$":
            raise LaterError("what answers there does not speak as Redis does")
        return None
    kind, text, length = found.groups()
    if length is not None:
        end = found.end() + int(length) + 2
        return (b"", received[end:]) if len(received) >= end else None
    return (text if kind == b"-" else b"", received[found.end() :])
