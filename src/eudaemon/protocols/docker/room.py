"""The connection, and what is behind it.

A container's command runs when it is made, for many that make one never come back on the same connection to start it.
What it printed is there for whoever attaches, or reads the logs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

from eudaemon.protocols._api import ApiRoom, command_line
from eudaemon.protocols._base import Order, Send, Visit
from eudaemon.protocols._http import Request
from eudaemon.protocols._services import Command, Lines, Person, Service
from eudaemon.protocols._shell import Captured
from eudaemon.protocols.docker.containers import HEAD_BYTES, OUTPUT_CHARS_MAX, SHELLS, Brought, Made, Shelf
from eudaemon.protocols.docker.daemon import Daemon, daemon_of
from eudaemon.protocols.docker.routes import ROUTES
from eudaemon.wire import PeerError, decode
from eudaemon.world.files import Directory, FileError, Files, Link
from eudaemon.world.outside import HEAD_BYTES_MAX

FILES_MAX = 64  # containers of one session whose files are held
_VERSION = re.compile(rb"^/v\d{1,2}\.\d{1,2}(?=/)")
_REFUSED = b'{"message":"page not found"}\n'


class Docker(ApiRoom):
    """One connection to the daemon."""

    name: ClassVar[str] = "docker"
    paths: ClassVar[re.Pattern[bytes]] = re.compile(
        rb"[A-Z]+ (?:/v1\.\d\d)?/(?:containers/|images/(?:json|create)|_ping|exec/[0-9a-f]{64}/|version |info |build\b)"
    )

    __slots__ = ("_made", "_shelf", "streams")

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._shelf: Shelf | None = None
        self._made = 0
        self.streams = ""  # the execution or container whose stream the connection has become

    @property
    def daemon(self) -> Daemon:
        """Who answers."""
        return daemon_of(self.visit.host)

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:  # type: ignore[override]
        """See `ApiRoom`."""
        return self.daemon.headers

    @property
    def shelf(self) -> Shelf:
        """What this address has made."""
        if self._shelf is None:
            self._shelf = Shelf.of(self.visit.memory, self.visit.attacker.ip)
        return self._shelf

    def reread(self) -> Shelf:
        """Return what this address has made, another connection of which may have changed it meanwhile."""
        self._shelf = None
        return self.shelf

    @property
    def inside(self) -> Visit:
        """The visit, in a container."""
        return replace(self.visit, host=self.daemon.inside)

    def new_id(self) -> str:
        """Return the id of something new."""
        self._made += 1
        return self.visit.seed.bytes(f"made {self._made}", 32).hex()

    def keep_shelf(self) -> None:
        """Let the next connection know."""
        self.shelf.keep(self.visit.memory, self.visit.attacker.ip)

    def stream_over(self, service: Service) -> None:
        """See `ApiRoom`."""
        shelf = self.reread()
        one, made = shelf.execution(self.streams), shelf.container(self.streams) if self.streams else None
        if one is not None:
            one.status = service.status
        if made is not None:
            made.attached = False
        if one is not None or made is not None:
            self.keep_shelf()

    def handle(self, request: Request, at_s: float) -> Iterator[Order]:
        """See `ApiRoom`."""
        self.reread()
        path = _VERSION.sub(b"", decode.percent(request.path))
        if request.method == "OPTIONS":
            yield from self.answer(request, at_s, 200, content_type="")
            return
        for method, pattern, step in ROUTES:
            if method == request.method and (found := pattern.fullmatch(path)):
                name = found[1].decode("utf-8", "replace") if found.groups() else ""
                yield from step(self, request, at_s, name)
                self._shelf = None
                return
        yield from self.answer(request, at_s, 404, _REFUSED, bare=True)

    def missing(self, request: Request, at_s: float, what: str) -> Iterator[Order]:
        """Answer that there is no such thing."""
        yield from self.told(request, at_s, 404, {"message": f"No such {what}"})

    # --- containers ------------------------------------------------------------------------------------

    def files_in(self, made: Made, at_s: float) -> Files:
        """Return the files of a container, with its binds in place."""
        known = self.files_of.get(made.id)
        if known is None:
            if len(self.files_of) >= FILES_MAX:
                raise PeerError(f"more than {FILES_MAX} containers in one session")
            host = self.daemon.inside
            known = self.inside, Files(host.tree, host.writable, self.visit.purse)
            self.files_of[made.id] = known
            for bind in made.binds:
                source, _, target = bind.partition(":")
                _bind(known[1], source.encode(), target.partition(":")[0].encode(), at_s)
            for file in made.files:
                place(known[1], file.path.encode("latin-1"), file.head.encode("latin-1"), file.size, file.mode, at_s)
        return known[1]

    def bring(self, made: Made, path: bytes, data: bytes, mode: int, at_s: float) -> None:
        """Put a file that is kept already into a container, for the next connection too."""
        place(self.files_in(made, at_s), path, data[:HEAD_BYTES_MAX], len(data), mode, at_s)
        made.bring(Brought(path.decode("latin-1"), mode, len(data), data[:HEAD_BYTES].decode("latin-1")))

    def start(self, made: Made, at_s: float) -> Iterator[Order]:
        """Run a container's command; remember what it printed."""
        if not made.words or (len(made.words) == 1 and made.words[0] in SHELLS):
            return  # what it is to do comes later, by exec or attach

        def over(shell: Captured, at_s: float) -> Iterator[Order]:  # noqa: ARG001
            known = self.reread().container(made.id)
            if known is not None:
                known.output, known.status = shell.printed[:OUTPUT_CHARS_MAX].decode("latin-1"), shell.status & 0xFF
                self.keep_shelf()
            yield from ()

        files = self.files_in(made, at_s)
        yield from self.run(self.inside, files, [command_line(made.words)], over, at_s, holds=False,
                            starts_in=_directory(files, made.directory))  # fmt: skip

    def service(self, made: Made, words: list[str], at_s: float, *, tty: bool, stdin: bool) -> Service:
        """Return what stands at the end of a stream into a container."""
        files = self.files_in(made, at_s)
        is_shell = len(words) == 1 and words[0] in SHELLS
        if is_shell and tty:
            return Person(self.inside, files)
        if is_shell and stdin:
            return Lines(self.inside, files)
        return Command(self.inside, files, command_line(words), terminal=tty, stdin=stdin)

    def upgraded(self, request: Request) -> Send:
        """Return the answer after which the connection is a stream."""
        upgrades = request.header(b"upgrade").lower() == b"tcp"
        head = "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n"
        head += "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
        return Send(
            head.encode() if upgrades else b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n"
        )


def place(files: Files, path: bytes, head: bytes, size: int, mode: int, at_s: float) -> None:
    """Put a file that is kept already where it belongs, if there is room; `head` is how it begins."""
    try:
        file = files.create(files.resolve(path), at_s, mode)
        files.truncate(file)
        files.append(file, head, at_s)
    except FileError:
        return
    file.kept, file.mode, file.missing = True, mode, max(0, size - len(head))


def _directory(files: Files, wanted: str) -> bytes:
    path = wanted.encode("utf-8", "replace")
    return path if path.startswith(b"/") and isinstance(files.find(path), Directory) else b""


def _bind(files: Files, source: bytes, target: bytes, at_s: float) -> None:
    """Let a container's path lead to one of its host's, which looks as the container's own."""
    try:
        place = files.resolve(target, follow=False)
        if place == b"/" or not source.startswith(b"/"):
            return
        above = b""
        for part in place.split(b"/")[1:-1]:
            above += b"/" + part
            if files.find(above) is None:
                files.make_directory(above, at_s)
        if files.find(place, follow=False) is not None:
            files.take_away(place)
        files.place(place, Link(files.resolve(source), at_s))
    except FileError:
        return
