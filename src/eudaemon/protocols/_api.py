"""An HTTP interface as Go's net/http serves it, for rooms that answer requests with what the pretended shell printed.

Owns one connection: requests in order, commands that run behind an answer or hold it up, and connections that stop
being HTTP (`Upgrade`) and become a stream to a service. Refuses to know what any request means.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from eudaemon.events.catalogue import ExploitRecognised, RequestReceived
from eudaemon.protocols._base import (
    Answered,
    Claim,
    Ended,
    Fetch,
    HalfClosed,
    HangUp,
    Keep,
    Occasion,
    Opened,
    Order,
    Received,
    Room,
    Saw,
    Send,
    Visit,
    WakeAt,
    Woken,
)  # fmt: skip
from eudaemon.protocols._http import BadRequestError, HttpLimits, Request, RequestReader, http_date, looks_like_http
from eudaemon.protocols._loot import asked_of_jndi
from eudaemon.protocols._services import Service
from eudaemon.protocols._shell import Captured, left_in
from eudaemon.wire import PeerError, printable
from eudaemon.world.files import Files
from eudaemon.world.outside import Download

COMMAND_BYTES_MAX = 64 * 1024
# A client that has read the head of an answer to `Upgrade` may look for the stream behind its own buffer: what came in
# the same packet would be lost to it, as it is with Docker's Python client.
UPGRADE_S = 0.05
EARLY_BYTES_MAX = 64 * 1024  # on the stream, before that has passed
TASKS_MAX = 32  # commands of one session that wait for a download
LATER_S = 0.25
Later: TypeAlias = "Callable[[float], Iterator[Order] | None]"
Then: TypeAlias = Callable[[Captured, float], Iterator[Order]]
_REASONS = {
    101: "UPGRADED", 200: "OK", 201: "Created", 204: "No Content", 302: "Found", 304: "Not Modified",
    400: "Bad Request", 404: "Not Found",
}  # fmt: skip
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:=@%+,-")


@dataclass(slots=True)
class _Task:
    """Commands that run one after the other; `then` gets the shell afterwards. `holds`: the next request waits."""

    shell: Captured
    commands: deque[bytes]
    then: Then
    holds: bool


class ApiRoom(Room):
    """One connection. A room overrides `handle`, and `headers` for what all its answers bear."""

    name: ClassVar[str] = "api"
    limits: ClassVar[HttpLimits] = HttpLimits(requests_max=1000)
    headers: ClassVar[tuple[tuple[str, str], ...]] = ()
    paths: ClassVar[re.Pattern[bytes]]  # which nobody else has
    needs_host: ClassVar[bool] = True  # whether HTTP/1.1 without a Host header is refused

    __slots__ = (
        "_asked", "_early", "_framed", "_holding", "_later", "_leaves", "_over", "_reader", "_stream", "_tasks",
        "files_of",
    )  # fmt: skip

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._reader = RequestReader(visit.purse, self.limits)
        # Who asked for each download that has no answer yet; None where nobody waits for it.
        self._asked: deque[_Task | Service | None] = deque()
        self._tasks = 0
        self._holding = False
        self._stream: Service | None = None
        self._later: Later | None = None
        self._early: bytes | None = None  # what came on a stream that has not begun
        self._framed = False
        self._leaves = False
        self._over = False
        self.files_of: dict[str, tuple[Visit, Files]] = {}  # by container

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """HTTP may be; a path that is asked of nobody else is."""
        if looks_like_http(first) is False:
            return Claim.NO
        return Claim.YES if cls.paths.match(first.lstrip(b"\r\n")) else Claim.UNSURE

    def handle(self, request: Request, at_s: float) -> Iterator[Order]:
        """Answer a request."""
        raise NotImplementedError

    def stream_over(self, service: Service) -> None:
        """Hear that a service has said its last."""

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """Take one occasion and yield the orders that follow from it."""
        match occasion:
            case Received(at_s, data):
                yield from self._received(data, at_s)
            case Woken():
                yield from self._woken(occasion)
            case Answered(at_s):
                asker = self._asked.popleft()
                if isinstance(asker, Service):
                    yield from self._of_stream(asker, asker.told(occasion))
                elif asker is not None:
                    yield from self._of_task(asker, asker.shell.answered(occasion))
                    yield from self._run_on(asker, at_s)
                yield from self._read(b"", at_s)
            case HalfClosed(at_s):
                self._leaves = self._leaves or self._stream is None  # a service says itself when it is done
                yield from self._no_more(at_s)
                yield from self._leave()
            case Ended(at_s):
                yield from self._no_more(at_s, cut=True)
                self._reader.close()
                for visit, files in self.files_of.values():
                    yield from left_in(files, visit)
            case Opened():
                return

    # --- what a room does ----------------------------------------------------------------------------

    def answer(
        self, request: Request, at_s: float, status: int, body: bytes = b"", content_type: str = "application/json",
        extra: tuple[tuple[str, str], ...] = (), *, bare: bool = False,
    ) -> Iterator[Order]:  # fmt: skip
        """Send a whole answer, its headers in Go's order: sorted, then Date and Content-Length.

        `bare` leaves out those that all answers bear.
        """
        kind = (("Content-Type", content_type),) if content_type and status != 204 else ()
        named = sorted((*(() if bare else self.headers), *extra, *kind))
        lines = [f"{key}: {value}" for key, value in named]
        lines.append(f"Date: {http_date(at_s)}")
        if status != 204:
            lines.append(f"Content-Length: {len(body)}")
        if request.version >= (1, 1) and not request.keeps_alive:
            lines.append("Connection: close")
        head = "\r\n".join((f"HTTP/1.{min(1, request.version[1])} {status} {_REASONS[status]}", *lines, "", ""))
        yield Send(head.encode("latin-1", "replace") + (b"" if request.method == "HEAD" else body))
        self._leaves = self._leaves or not request.keeps_alive or request.cut

    def told(self, request: Request, at_s: float, status: int, value: Any) -> Iterator[Order]:
        """Answer with JSON as Go writes it."""
        yield from self.answer(request, at_s, status, compact(value) + b"\n")

    def run(
        self, visit: Visit, files: Files, commands: list[bytes], then: Then, at_s: float, *, holds: bool,
        starts_in: bytes = b"",
    ) -> Iterator[Order]:  # fmt: skip
        """Give commands to a pretended shell; `then` gets it when they have run. `holds` requests back meanwhile."""
        self._tasks += 1
        if self._tasks > TASKS_MAX:
            raise PeerError(f"more than {TASKS_MAX} commands at once")
        cut = deque(command[:COMMAND_BYTES_MAX] for command in commands)
        task = _Task(Captured(visit, files, starts_in), cut, then, holds)
        self._holding = self._holding or holds
        yield from self._run_on(task, at_s)

    def fetch(self, url: str, tool: str) -> Iterator[Order]:
        """Wish a download that no answer waits for."""
        self._asked.append(None)
        yield Fetch(Download(url, tool))

    def refusal(self, status: int, at_s: float) -> bytes:  # noqa: ARG002
        """Return the answer to what is no request; Go knows one only."""
        return _refusal("400 Bad Request")

    def hijack(self, service: Service, *, framed: bool, at_s: float) -> Iterator[Order]:
        """From now on the connection is a stream to this service. `framed` as Docker frames what it sends."""
        self._stream, self._framed = service, framed
        self._early = self._reader.rest()[:EARLY_BYTES_MAX]
        self._reader.close()
        yield WakeAt(at_s + UPGRADE_S)

    def _begin(self, service: Service, at_s: float) -> Iterator[Order]:
        """Begin the stream, if that is still to be done."""
        early, self._early = self._early, None
        if early is None:
            return
        yield from self._of_stream(service, service.opened(at_s))
        if early:
            yield from self._of_stream(service, service.received(early, at_s))

    def later(self, step: Later, at_s: float) -> Iterator[Order]:
        """Ask `step` again and again whether there is an answer yet; nothing else is read until there is."""
        self._later, self._holding = step, True
        yield WakeAt(at_s + LATER_S)

    # --- the dialogue --------------------------------------------------------------------------------

    def _received(self, data: bytes, at_s: float) -> Iterator[Order]:
        if self._early is not None:
            if len(self._early) + len(data) > EARLY_BYTES_MAX:
                raise PeerError(f"more than {EARLY_BYTES_MAX} bytes before the stream has begun")
            self._early += data
        elif self._stream is not None:
            yield from self._of_stream(self._stream, self._stream.received(data, at_s))
        else:
            yield from self._read(data, at_s)

    def _woken(self, occasion: Woken) -> Iterator[Order]:
        if self._later is not None:
            orders = self._later(occasion.at_s)
            if orders is None:
                yield WakeAt(occasion.at_s + LATER_S)
                return
            self._later, self._holding = None, False
            yield from orders
            yield from self._read(b"", occasion.at_s)
        elif self._stream is not None and self._early is not None:
            yield from self._begin(self._stream, occasion.at_s)
        elif self._stream is not None:
            yield from self._of_stream(self._stream, self._stream.told(occasion))

    def _no_more(self, at_s: float, *, cut: bool = False) -> Iterator[Order]:
        """The peer will send nothing more: what came is all there is, or with `cut` all there will be."""
        if self._stream is not None:
            yield from self._begin(self._stream, at_s)
            ends = self._stream.cut if cut else self._stream.closed
            yield from self._of_stream(self._stream, ends(at_s))
        elif not self._holding and not self._over and (request := self._reader.cut_short()) is not None:
            yield from self._one(request, at_s)

    def _read(self, data: bytes, at_s: float) -> Iterator[Order]:
        if self._over or self._stream is not None:
            return
        try:
            self._reader.feed(data)
            while not (self._holding or self._leaves or self._stream) and (item := self._reader.next()):
                if isinstance(item, Request):
                    yield from self._one(item, at_s)
                else:
                    yield Send(b"HTTP/1.1 100 Continue\r\n\r\n")
            if self._holding or self._leaves:
                self._reader.held_back()
        except BadRequestError as error:
            broken_off = self._reader.cut_short()
            if broken_off:  # past a limit in the middle of a body
                yield Keep(broken_off.body, "upload", printable(broken_off.path, 256), partial=True)
            yield Send(self.refusal(error.status, at_s))
            raise PeerError(str(error)) from None
        yield from self._leave()

    def _one(self, request: Request, at_s: float) -> Iterator[Order]:
        yield Saw(
            RequestReceived(
                method=request.method,
                target=printable(request.target, 2048),
                host=printable(request.header(b"host"), 256),
                user_agent=printable(request.header(b"user-agent"), 512),
                body_bytes=len(request.body),
            )
        )
        for url in asked_of_jndi(request):
            yield Saw(ExploitRecognised("log4shell", "CVE-2021-44228", url))
            yield from self.fetch(url, "jndi")
        if self.needs_host and request.version >= (1, 1) and not any(name == b"host" for name, _ in request.headers):
            yield Send(_refusal("400 Bad Request: missing required Host header"))
            self._leaves = True
        else:
            yield from self.take(request, at_s)

    def take(self, request: Request, at_s: float) -> Iterator[Order]:
        """Take a request in: answer it."""
        return self.handle(request, at_s)

    def _run_on(self, task: _Task, at_s: float) -> Iterator[Order]:
        while not task.shell.busy:
            if task.commands and not task.shell.over:
                yield from self._of_task(task, task.shell.enter(task.commands.popleft(), at_s))
                continue
            self._tasks -= 1
            if task.holds:
                self._holding = False
            yield from task.then(task.shell, at_s)
            task.shell.release()
            return

    def _of_task(self, task: _Task, orders: Iterator[Order]) -> Iterator[Order]:
        for order in orders:
            if isinstance(order, Fetch):
                self._asked.append(task)
            yield order

    def _of_stream(self, service: Service, orders: Iterator[Order]) -> Iterator[Order]:
        for order in orders:
            if isinstance(order, Fetch):
                self._asked.append(service)
            if isinstance(order, HangUp):
                self._leaves = True
                self.stream_over(service)
                continue
            yield Send(frame(order.data)) if isinstance(order, Send) and self._framed else order
        yield from self._leave()

    def _leave(self) -> Iterator[Order]:
        if self._leaves and not self._over and not self._holding and not any(self._asked):
            self._over = True
            yield HangUp()


def frame(data: bytes) -> bytes:
    """Return bytes as Docker sends standard output where there is no terminal: kind, three zeros, length, bytes."""
    return b"\x01\0\0\0" + len(data).to_bytes(4, "big") + data


def chunked(request: Request, headers: tuple[tuple[str, str], ...], at_s: float, lines: list[Any]) -> bytes:
    """Return an answer that Go would send piece by piece: each line a JSON value and CR LF, each a chunk."""
    named = sorted((*headers, ("Content-Type", "application/json")))
    head = "".join(f"{key}: {value}\r\n" for key, value in named)
    chunks = [compact(line) + b"\r\n" for line in lines]
    if request.version < (1, 1):
        start, body = "HTTP/1.0 200 OK\r\n", b"".join(chunks)
        return f"{start}{head}Date: {http_date(at_s)}\r\n\r\n".encode() + body
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    return f"HTTP/1.1 200 OK\r\n{head}Date: {http_date(at_s)}\r\nTransfer-Encoding: chunked\r\n\r\n".encode() + body


def compact(value: Any) -> bytes:
    """Return JSON as Go's encoder writes it: no blanks, and `<`, `>`, `&` escaped."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    text = text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    return text.encode("utf-8", "surrogatepass")


def body_of(request: Request) -> dict[str, Any]:
    """Return a request's body as a JSON object, empty if it is none."""
    try:
        found = json.loads(request.body.decode("utf-8", "surrogatepass"))  # RFC 8259 §8.1: nothing else is JSON
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def command_line(words: list[str]) -> bytes:
    """Return the line of shell that starts a program with these arguments."""
    quoted = (word if word and _PLAIN.issuperset(word) else "'" + word.replace("'", "'\\''") + "'" for word in words)
    return " ".join(quoted).encode("utf-8", "surrogatepass")


def _refusal(status: str) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
    return (head + status).encode()
