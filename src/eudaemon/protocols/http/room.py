"""The room: one connection to the web server.

Owns the dialogue of one connection: requests are read by `_http`, looked at by `places`, held against the table of
`exploits`, and answered in the manner of `persona`. A command that an exploit carries goes to the pretended shell,
which executes nothing; what it prints is shown only where the product would show it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

from eudaemon.events.catalogue import ExploitRecognised, LoginTried, RequestReceived
from eudaemon.protocols._accounts import admits
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
from eudaemon.protocols._http import BadRequestError, HttpLimits, Request, RequestReader, looks_like_http
from eudaemon.protocols._loot import Loot
from eudaemon.protocols._places import LOOKED_BYTES_MAX, Look
from eudaemon.protocols._proxied import asked_of_proxy
from eudaemon.protocols._shell import ShellDialogue
from eudaemon.protocols._uploads import files_of
from eudaemon.protocols.http import planted
from eudaemon.protocols.http.answers import PAGE
from eudaemon.protocols.http.exploits import WEB_SHELL, Exploit, recognised
from eudaemon.protocols.http.pages import Reply, filled, login_of, page
from eudaemon.protocols.http.persona import persona_of
from eudaemon.protocols.http.wanted import asked_for
from eudaemon.protocols.http.ways import is_open
from eudaemon.wire import PeerError, decode, printable
from eudaemon.world.files import Files, Fixed, Written
from eudaemon.world.outside import Download

COMMAND_BYTES_MAX = 32 * 1024
COMMAND_LINES_MAX = 64
OUTPUT_BYTES_MAX = 64 * 1024
INFLATED_BYTES_MAX = 1024 * 1024
OVERFLOW_BYTES_MAX = 4096  # of a body that is longer than it says
CUT_BYTES_MIN = 512  # of a body that is broken off
SILENCE_S_MAX = 8.0  # then what came of a body is all of it
_DISK = "device"  # which telnet, SSH and FTP have as well
_CODINGS = (b"gzip", b"x-gzip", b"deflate")
# A body that begins so is a payload whatever its type says: ELF, PE, zip, gzip, script, PHP, serialised Java.
_PAYLOADS = (b"\x7fELF", b"MZ", b"PK\x03\x04", b"\x1f\x8b", b"#!", b"<?php", b"\xac\xed\x00\x05")


class Http(Room):
    """One connection to the web server."""

    name: ClassVar[str] = "http"

    __slots__ = (
        "_asked_by_shell", "_disk", "_last", "_leaves", "_output", "_over", "_persona", "_reader", "_shell",
        "_unanswered",
    )  # fmt: skip

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._reader = RequestReader(visit.purse, HttpLimits())
        self._persona = persona_of(visit.host)
        self._shell: ShellDialogue | None = None
        self._disk: Files | None = None
        self._asked_by_shell: list[bool] = []  # who asked for each download that has no answer yet
        self._output = b""  # what the command printed for the answer that is due
        self._unanswered: tuple[Request, Exploit] | None = None  # while the command that its answer shows still runs
        self._last: Request | None = None  # the last one with a short body, which may turn out to be longer
        self._leaves = False  # hang up as soon as nothing is under way
        self._over = False

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """A known method and a target are HTTP; whatever could become one may be."""
        verdict = looks_like_http(first)
        return Claim.UNSURE if verdict is None else Claim.YES if verdict else Claim.NO

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """Take one occasion and yield the orders that follow from it."""
        match occasion:
            case Received(at_s, data):
                yield from self._read(data, at_s)
            case Woken(at_s) | HalfClosed(at_s):
                self._leaves = self._leaves or isinstance(occasion, HalfClosed)
                yield from self._cut_short(at_s)
                yield from self._leave()
            case Answered(at_s):
                yield from self._answered(occasion)
                yield from self._read(b"", at_s)
            case Ended(at_s):
                yield from self._end(at_s)
            case Opened():
                return

    # --- reading -----------------------------------------------------------------------------------

    def _read(self, data: bytes, at_s: float) -> Iterator[Order]:
        if self._over:
            return
        try:
            self._reader.feed(data)
            while not self._unanswered and not self._leaves and (item := self._reader.next()):
                if isinstance(item, Request):
                    yield from self._handle(item, at_s)
                else:
                    yield Send(f"{self._persona.product.version} 100 Continue\r\n\r\n".encode())
            if self._unanswered or self._leaves:
                self._reader.held_back()
        except BadRequestError as error:
            broken_off = self._reader.cut_short()
            if broken_off:  # past a limit in the middle of a body
                yield from _uploads(Look(broken_off, broken_off.body), b"")
            yield from self._overflow(at_s)
            page = self._persona.error_page(error.status)
            yield Send(self._persona.response(at_s, error.status, "text/html", page))
            raise
        if self._reader.in_body or self._reader.rest():
            yield WakeAt(at_s + SILENCE_S_MAX)
        yield from self._leave()

    def _cut_short(self, at_s: float) -> Iterator[Order]:
        """What came is all there is: a request without the rest of its body, or a body that was longer than it said."""
        if self._unanswered or self._over:
            return
        request = self._reader.cut_short()
        if request:
            yield from self._handle(request, at_s)
        else:
            yield from self._overflow(at_s)

    def _overflow(self, at_s: float) -> Iterator[Order]:
        """Look again at the last request, with what came after it and is none.

        The bots of 2018 count the Content-Length of their GPON request wrong, and the product does not care.
        """
        rest = self._reader.rest()[:OVERFLOW_BYTES_MAX]
        last, self._last = self._last, None
        if not rest or last is None or looks_like_http(rest):
            return
        before = recognised(Look(last, last.body))
        longer = Look(replace(last, body=last.body + rest), last.body + rest)
        found = recognised(longer)
        if found and (before is None or before[1] != found[1]):
            yield from self._exploited(longer, *found, at_s, answers=False)

    def _end(self, at_s: float) -> Iterator[Order]:
        fault: PeerError | None = None
        try:
            yield from (order for order in self._cut_short(at_s) if isinstance(order, Saw | Keep | Fetch))
        except PeerError as error:
            fault = error  # after what is still to be kept
        if self._shell:
            yield from self._shell.ended()
            self._files().leave()
        self._reader.close()
        if fault:
            raise fault

    def _leave(self) -> Iterator[Order]:
        if self._leaves and not self._over and not self._asked_by_shell:
            self._over = True
            yield HangUp()

    # --- a request -----------------------------------------------------------------------------------

    def _handle(self, request: Request, at_s: float) -> Iterator[Order]:
        yield Saw(
            RequestReceived(
                method=request.method,
                target=printable(request.target, 2048),
                host=printable(request.header(b"host"), 256),
                user_agent=printable(request.header(b"user-agent"), 512),
                body_bytes=len(request.body),
            )
        )
        asked = asked_of_proxy(request)
        if asked and asked.host != self.visit.local.ip:
            yield Saw(asked)
        body = request.body
        if request.header(b"content-encoding").lower() in _CODINGS:
            body, whole = decode.inflated(request.body, INFLATED_BYTES_MAX)
            if not whole and len(body) == INFLATED_BYTES_MAX:
                yield Keep(request.body, "payload", printable(request.path, 256))
                raise BadRequestError(413, f"compressed body over {INFLATED_BYTES_MAX} bytes")
        look = Look(request, body)
        self._last = request if 0 < len(body) <= OVERFLOW_BYTES_MAX and body is request.body else None
        found = recognised(look)
        yield from _uploads(look, found[1].script if found else b"")
        again = planted.called(self.visit, look) or self._written(look)
        planted.plant(self.visit, look)
        if again is not None and (again.command or again.script):
            found = WEB_SHELL, again
        elif again is not None:
            yield from self._reply(request, Reply(200, "text/html", again.shows), at_s)
            return
        if found and found[1].script and not found[1].command:
            given = planted.performed(found[1].script, look)  # that runs a parameter of the same request
            if given is not None and given.command:
                found = found[0], replace(given, script=found[1].script)
        if found:
            yield from self._exploited(look, *found, at_s, answers=True)
        else:
            yield from self._visited(look, at_s)

    def _visited(self, look: Look, at_s: float) -> Iterator[Order]:
        login, accepted = login_of(look), None
        if login:
            user, password = login
            accepted = admits(self.visit, user, password, right=self.visit.host.accepts(user, password))
            yield Saw(LoginTried(printable(user, 256), printable(password, 256), accepted))
        if accepted is None:
            for url in asked_for(look, self.visit.local.ip):
                self._asked_by_shell.append(False)
                yield Fetch(Download(url, "request"))
        yield from self._reply(look.request, page(self._persona, look, accepted=accepted), at_s)

    def _exploited(self, look: Look, exploit: Exploit, loot: Loot, at_s: float, *, answers: bool) -> Iterator[Order]:
        command = loot.command[:COMMAND_BYTES_MAX]
        carried = command or loot.script or " ".join(loot.urls).encode() or loot.reads
        yield Saw(ExploitRecognised(exploit.name, exploit.reference, printable(carried, 2048)))
        if loot.script:
            yield Keep(loot.script, "script", exploit.name, look.request.cut)
        for url in loot.urls:
            self._asked_by_shell.append(False)
            yield Fetch(Download(url, "class loading" if url.startswith("http") else "jndi"))
        self._output = loot.shows
        if loot.reads:
            self._output = _content(self._files(), loot.reads, at_s)
        if command:
            if self._shell is None or self._shell.over:  # every command has a shell of its own, but one set of files
                self._shell = ShellDialogue(self.visit, files=self._files())
            for line in command.split(b"\n")[:COMMAND_LINES_MAX]:
                yield from self._of_shell(self._shell.enter(line, at_s))
        if not answers:
            return
        if exploit.answer.shows_output and self._shell and self._shell.busy:
            self._unanswered = replace(look.request, body=b""), exploit
        else:
            yield from self._answer(look.request, exploit, at_s)

    def _answered(self, answered: Answered) -> Iterator[Order]:
        if self._asked_by_shell.pop(0) and self._shell:
            yield from self._of_shell(self._shell.answered(answered))
        if self._unanswered and not (self._shell and self._shell.busy):
            request, exploit = self._unanswered
            self._unanswered = None
            yield from self._answer(request, exploit, answered.at_s)

    def _of_shell(self, orders: Iterator[Order]) -> Iterator[Order]:
        """Pass on what the shell wants, but keep what it prints for the answer."""
        for order in orders:
            if isinstance(order, Send):
                self._output = (self._output + order.data)[:OUTPUT_BYTES_MAX]
            else:
                if isinstance(order, Fetch):
                    self._asked_by_shell.append(True)
                yield order

    def _files(self) -> Files:
        """Return what lies on the disk: with what this address has changed."""
        if self._disk is None:
            host = self.visit.host
            self._disk = files_of(self.visit, _DISK, host.tree, host.writable)
        return self._disk

    def _written(self, look: Look) -> Loot | None:
        """Return what a file does that a command of this address has put somewhere, if it is asked for by its name."""
        name = look.path.rpartition(b"/")[2]
        if len(name) < planted.NAME_BYTES_MIN:
            return None
        if self._disk is None and not self.visit.memory.left.has(_DISK, self.visit.attacker.ip):
            return None
        for path, node in self._files().written():
            if path.endswith(b"/" + name) and node.data:
                return planted.performed(bytes(node.data[:OUTPUT_BYTES_MAX]), look)
        return None

    # --- answers -------------------------------------------------------------------------------------

    def _answer(self, request: Request, exploit: Exploit, at_s: float) -> Iterator[Order]:
        """Answer as the broken product does."""
        answer, output, self._output = exploit.answer, self._output, b""
        if exploit.general:
            look = Look(request, request.body)
            if not is_open(self.visit, look) or (exploit.reference == "CWE-22" and not output):
                yield from self._reply(request, page(self._persona, look, accepted=None), at_s)
                return
            answer = answer if output else PAGE
        session = str(int.from_bytes(self.visit.seed.bytes("http session", 5), "big"))
        extra: tuple[tuple[str, str], ...] = ()
        if answer.header:
            shown = printable(output.strip().replace(b"\n", b" "), 4096)
            extra = ((answer.header[0], answer.header[1].replace("{output}", shown)),)
        body = filled(answer, self._persona, output, session)
        yield from self._reply(request, Reply(answer.status, answer.content_type, body, extra), at_s)

    def _reply(self, request: Request, reply: Reply, at_s: float) -> Iterator[Order]:
        stays = self._persona.product.keeps_alive and request.keeps_alive and not request.cut
        yield Send(
            self._persona.response(
                at_s, reply.status, reply.content_type, reply.body,
                extra=reply.extra, close=not stays, bare=request.method == "HEAD",
            )
        )  # fmt: skip
        self._leaves = self._leaves or not stays


def _content(files: Files, path: bytes, at_s: float) -> bytes:
    """Return what a file of the pretended host holds, nothing if it is none."""
    node = files.find(path)
    if isinstance(node, Fixed):
        return (node.content if isinstance(node.content, bytes) else node.content(at_s))[:OUTPUT_BYTES_MAX]
    return bytes(node.data[:OUTPUT_BYTES_MAX]) if isinstance(node, Written) else b""


def _uploads(look: Look, script: bytes) -> Iterator[Order]:
    """Keep what a request uploads: the files of a form, what is PUT, bodies that are payloads and no `script`.

    Of a body that is longer than what is looked at, all is kept: what it is may only be seen in the rest. So it is of
    one that is broken off, where that is more than a few words.
    """
    files = [(part.filename, part.content) for part in look.parts if part.filename and part.content]
    for name, content in files:
        yield Keep(content, "upload", printable(name, 256), look.request.cut)
    binary = look.request.header(b"content-type").lower().startswith(b"application/octet-stream")
    is_upload = look.request.method == "PUT" or binary or look.body.startswith(_PAYLOADS)
    is_more = len(look.body) > LOOKED_BYTES_MAX or (look.request.cut and len(look.body) >= CUT_BYTES_MIN)
    if look.body.strip() != script and (is_upload or (is_more and not files)):
        yield Keep(look.body, "upload", printable(look.path, 256), look.request.cut)
