"""An HTTP service that is not written in Go: each header where its product puts it, each error as it words it.

What `_api` does, in another's manner. A room draws its product from the seed; what an attack has it run goes to one
shell a session, over one set of files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised
from eudaemon.protocols._api import ApiRoom, Then
from eudaemon.protocols._base import Keep, Order, Saw, Send
from eudaemon.protocols._general import suspected
from eudaemon.protocols._http import Request, http_date
from eudaemon.protocols._places import Look
from eudaemon.protocols._shell import Captured
from eudaemon.wire import printable
from eudaemon.world.files import Files
from eudaemon.world.host import Host

COMMAND_LINES_MAX = 64
_COMMAND_CHARS_MAX = 2048  # that a fact bears
REASONS = {
    200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 301: "Moved Permanently", 302: "Found",
    400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    407: "Proxy Authentication Required",
    411: "Length Required", 412: "Precondition Failed", 413: "Request Entity Too Large", 414: "Request-URI Too Long",
    431: "Request Header Fields Too Large", 500: "Internal Server Error", 501: "Not Implemented",
    503: "Service Unavailable", 505: "HTTP Version Not Supported",
}  # fmt: skip


class PageRoom(ApiRoom):
    """One connection. A room overrides `handle` and `server`, and says how its product answers."""

    suspects: ClassVar[bool] = True  # whether requests that attack other products than its own are looked through
    needs_host: ClassVar[bool] = False  # bots leave it out, and devices do not care
    version: ClassVar[str] = "HTTP/1.1"
    keeps_alive: ClassVar[bool] = True
    # Of its headers; `*` is where those of this one answer go, and one with its value stands in all answers.
    order: ClassVar[tuple[str, ...]]
    error: ClassVar[str] = "<html><head><title>{status} {reason}</title></head><body>{status} {reason}</body></html>\n"
    error_type: ClassVar[str] = "text/html"

    __slots__ = ()

    @property
    def server(self) -> str:
        """The value of its Server header."""
        raise NotImplementedError

    @property
    def inside(self) -> Host:
        """The host that its commands see."""
        return self.visit.host

    def take(self, request: Request, at_s: float) -> Iterator[Order]:
        """Answer a request; and if it is no attack that the room knows, see whether it is one at all.

        Bots send what they have to every port. The product is not what they hope for, and answers as it would; what
        they carry is taken.
        """
        is_known = False
        for order in self.handle(request, at_s):
            is_known = is_known or (
                isinstance(order, Saw) and isinstance(order.fact, ExploitRecognised | CommandEntered)
            )
            yield order
        if self.suspects and not is_known:
            yield from self._suspect(Look(request, request.body), at_s)

    def _suspect(self, look: Look, at_s: float) -> Iterator[Order]:
        found = suspected(look)
        if not found:
            return
        rule, loot = found
        carried = loot.command or loot.script or " ".join(loot.urls).encode() or loot.reads
        yield from self.attacked(rule.name, rule.reference, carried)
        for part in look.parts:
            if part.filename and part.content:
                yield Keep(part.content, "upload", printable(part.filename, 256), look.request.cut)
        if loot.script:
            yield Keep(loot.script, "script", rule.name, look.request.cut)
        for url in loot.urls:
            yield from self.fetch(url, "class loading" if url.startswith("http") else "jndi")
        if loot.command:
            yield from self.obey(loot.command, silently, at_s, holds=False)

    def answer(
        self, request: Request, at_s: float, status: int, body: bytes = b"", content_type: str = "text/html",
        extra: tuple[tuple[str, str], ...] = (), *, bare: bool = False,
    ) -> Iterator[Order]:  # fmt: skip
        """Send a whole answer. `bare` leaves out those headers that all answers bear."""
        closes = not self.keeps_alive or not request.keeps_alive or request.cut
        head = self._head(
            status, len(body), content_type, (*(() if bare else self.headers), *extra), at_s, closes=closes
        )
        yield Send(head + (b"" if request.method == "HEAD" else body))
        self._leaves = self._leaves or closes

    def refused(self, request: Request, at_s: float, status: int) -> Iterator[Order]:
        """Answer with the product's page for an error."""
        yield from self.answer(request, at_s, status, self.error_page(status, request), self.error_type)

    def error_page(self, status: int, request: Request | None = None) -> bytes:
        """Return that page; of a request that was none there is no more to say than the status."""
        path = printable(request.path, 256) if request else "/"
        shown = path.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return self.error.format(status=status, reason=REASONS[status], path=shown, server=self.server).encode()

    def refusal(self, status: int, at_s: float) -> bytes:
        """See `ApiRoom`."""
        page = self.error_page(status)
        return self._head(status, len(page), self.error_type, self.headers, at_s, closes=True) + page

    def attacked(self, name: str, reference: str, carried: bytes) -> Iterator[Order]:
        """State an exploit and what it carries."""
        yield Saw(ExploitRecognised(name, reference, printable(carried, _COMMAND_CHARS_MAX)))

    def obey(self, command: bytes, then: Then, at_s: float, *, holds: bool) -> Iterator[Order]:
        """Give what an exploit carries to the shell, line by line; see `ApiRoom.run`."""
        known = self.files_of.get("")
        if known is None:
            files = Files(self.inside.tree, self.inside.writable, self.visit.purse)
            known = self.files_of[""] = replace(self.visit, host=self.inside), files
        lines = [line for line in command.split(b"\n")[:COMMAND_LINES_MAX] if line.strip()]
        yield from self.run(*known, lines, then, at_s, holds=holds)

    def _head(
        self, status: int, size: int, content_type: str, extra: tuple[tuple[str, str], ...], at_s: float,
        *, closes: bool,
    ) -> bytes:  # fmt: skip
        known = {
            "Date": http_date(at_s), "Server": self.server, "Content-Length": "" if status in (204, 304) else str(size),
            "Content-Type": content_type if size else "", "Connection": "close" if closes else "",
        }  # fmt: skip
        lines = [f"{self.version} {status} {REASONS[status]}"]
        for name in self.order:
            if name == "*":
                lines += [f"{key}: {value}" for key, value in extra]
            elif ":" in name:
                lines.append(name)
            elif known[name]:
                lines.append(f"{name}: {known[name]}")
        return "\r\n".join((*lines, "", "")).encode("latin-1", "replace")


def silently(_shell: Captured, _at_s: float) -> Iterator[Order]:
    """What follows a command whose output nobody sees."""
    yield from ()
