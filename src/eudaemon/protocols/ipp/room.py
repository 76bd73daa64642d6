"""The room: CUPS over TCP, and over UDP the datagrams by which cups-browsed hears of printers.

    POST, IPP      -->  an operation of the table; documents and PPDs are kept
    PPD, or any value, with a FoomaticRIPCommandLine  -->  the command in it goes to the shell (CVE-2024-47177)
    datagram       -->  the printer that it names is asked what it is (CVE-2024-47176); commands in its answer, too

Over UDP nothing is answered. A printer that is added is there to nobody else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import ClassVar, TypeAlias

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised, LoginTried
from eudaemon.protocols._base import Answered, Keep, Occasion, Order, Received, Saw, Visit
from eudaemon.protocols._http import Request
from eudaemon.protocols._pages import PageRoom, silently
from eudaemon.protocols.ipp import message as ipp
from eudaemon.protocols.ipp.message import Asked, attribute
from eudaemon.protocols.ipp.queue import Queue, queue_of
from eudaemon.wire import PeerError, decode, printable

DATAGRAMS_MAX = 64  # of one peer that are looked at
PRINTERS_MAX = 4  # that one peer announces and that are asked
LOOKED_BYTES_MAX = 256 * 1024  # of a request, for commands
_TITLE_BYTES_MAX = 512
_IPP = "application/ipp"
_COMMAND = re.compile(rb'FoomaticRIPCommandLine(?:PDF)?\s{0,4}:\s{0,4}"([^"]{1,8192})"')
_ANNOUNCED = re.compile(
    rb"\s*[0-9a-f]{1,8}\s+[0-9a-f]{1,2}\s+((?:ipp|ipps|http|https)://[^\s\"']{1,1000})", re.IGNORECASE
)
_PORT = re.compile(r"//[^/]*:\d+(?:/|$)")
_OK, _BAD, _NOT_FOUND, _NO_OPERATION = 0x0000, 0x0400, 0x0406, 0x0501  # RFC 8011 appendix B
_COMPLETED = 9


class Ipp(PageRoom):
    """One connection, or one peer's datagrams."""

    name: ClassVar[str] = "ipp"
    paths: ClassVar[re.Pattern[bytes]] = re.compile(rb"POST /(?:printers/|ipp|classes/|jobs/|admin/ )")
    order: ClassVar[tuple[str, ...]] = (
        "Connection", "*", "Content-Language: en", "Content-Length", "Content-Type", "Date",
        "Accept-Encoding: gzip, deflate, identity", "Server", "X-Frame-Options: DENY",
        "Content-Security-Policy: frame-ancestors 'none'",
    )  # fmt: skip
    error: ClassVar[str] = (
        '<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01 Transitional//EN" "http://www.w3.org/TR/html4/loose.dtd">\n<HTML>'
        '\n<HEAD>\n\t<META HTTP-EQUIV="Content-Type" CONTENT="text/html; charset=utf-8">\n\t<TITLE>{reason} - CUPS'
        '</TITLE>\n\t<LINK REL="STYLESHEET" TYPE="text/css" HREF="/cups.css">\n</HEAD>\n<BODY>\n<H1>{reason}</H1>\n'
        "<P></P>\n</BODY>\n</HTML>\n"
    )
    error_type: ClassVar[str] = "text/html; charset=utf-8"

    __slots__ = ("_datagrams", "_jobs", "_printers", "_title")

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._jobs = 0
        self._title = b""  # of the job that was made last, whose document follows
        self._datagrams = 0
        self._printers: dict[bytes, None] = {}

    @property
    def queue(self) -> Queue:
        """Who answers."""
        return queue_of(self.visit.host)

    @property
    def server(self) -> str:
        """See `PageRoom`."""
        return self.queue.server

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """See `ApiRoom`; a datagram announces a printer."""
        if self.visit.transport != "udp":
            yield from super().tell(occasion)
            return
        if isinstance(occasion, Received):
            self._datagrams += 1
            if self._datagrams <= DATAGRAMS_MAX:
                yield from self._announced(occasion.data)
            return
        yield from super().tell(occasion)
        if isinstance(occasion, Answered):
            yield from self._carried(occasion.downloaded.head, occasion.at_s)

    def _announced(self, data: bytes) -> Iterator[Order]:
        found = _ANNOUNCED.match(data)
        if not found or found[1] in self._printers or len(self._printers) >= PRINTERS_MAX:
            return
        self._printers[found[1]] = None
        yield Saw(ExploitRecognised("cups-browsed", "CVE-2024-47176", printable(data, 2048)))
        scheme, _, rest = found[1].decode("latin-1").partition(":")
        url = f"{'https' if scheme.lower() in ('ipps', 'https') else 'http'}:{rest}"
        if scheme.lower().startswith("ipp") and not _PORT.search(url):  # RFC 8010 section 4: IPP's own
            host, slash, path = rest[2:].partition("/")
            url = f"{url.partition(':')[0]}://{host}:631{slash}{path}"
        yield from self.fetch(url, "cups-browsed")

    def _carried(self, data: bytes, at_s: float) -> Iterator[Order]:
        """Have the command run that printing would run: it stands in a PPD, or in what becomes one (CVE-2024-47175)."""
        found = _COMMAND.search(data[:LOOKED_BYTES_MAX])
        if found:
            command = decode.html_entities(found[1])
            yield from self.attacked("cups-foomatic", "CVE-2024-47177", command)
            yield from self.obey(command, silently, at_s, holds=False)

    # --- HTTP ----------------------------------------------------------------------------------------

    def handle(self, request: Request, at_s: float) -> Iterator[Order]:
        """See `ApiRoom`."""
        path = decode.percent(request.path)
        if request.method == "POST" and request.header(b"content-type").lower().startswith(b"application/ipp"):
            yield from self._operated(request, at_s)
        elif path.startswith(b"/admin"):
            yield from self._locked(request, at_s)
        elif request.method not in ("GET", "HEAD"):
            yield from self.refused(request, at_s, 400)
        elif path in (b"/", b"/index.html"):
            yield from self.answer(request, at_s, 200, self.queue.page(), self.error_type, _kept_alive(request))
        else:
            yield from self.refused(request, at_s, 404)

    def _locked(self, request: Request, at_s: float) -> Iterator[Order]:
        scheme, _, credentials = request.header(b"authorization").partition(b" ")
        if scheme.lower() == b"basic":
            user, _, password = (decode.base64_text(credentials) or b"").partition(b":")
            yield Saw(LoginTried(printable(user, 256), printable(password, 256), accepted=False))
        page = self.error_page(401, request)
        extra = (("WWW-Authenticate", 'Basic realm="CUPS"'),)
        yield from self.answer(request, at_s, 401, page, self.error_type, extra)

    # --- IPP -----------------------------------------------------------------------------------------

    def _operated(self, request: Request, at_s: float) -> Iterator[Order]:
        try:
            asked = ipp.read(request.body)
        except PeerError:
            asked = Asked((1, 1), 0, 0)
            yield Keep(request.body, "payload", printable(request.path, 256), request.cut)
            yield from self._told(request, at_s, ipp.told(asked, _BAD, [], "Bad request."))
            return
        name, step = OPERATIONS.get(asked.operation, (f"operation {asked.operation:#06x}", Ipp._unsupported))
        target = asked.text(b"printer-uri") or asked.text(b"job-uri")
        yield Saw(CommandEntered(printable(name.encode() + b" " + target, 1024)))
        yield from self._carried(request.body, at_s)
        yield from step(self, request, asked, at_s)

    def _told(self, request: Request, at_s: float, body: bytes) -> Iterator[Order]:
        yield from self.answer(request, at_s, 200, body, _IPP, _kept_alive(request))

    def _unsupported(self, request: Request, asked: Asked, at_s: float) -> Iterator[Order]:
        message = f"{ipp_name(asked.operation)} not supported."
        yield from self._told(request, at_s, ipp.told(asked, _NO_OPERATION, [], message))

    def _described(self, request: Request, asked: Asked, at_s: float) -> Iterator[Order]:
        """Get-Printer-Attributes, and those of CUPS that list what there is: one printer."""
        wanted = asked.attributes.get(b"requested-attributes", [])
        told = self.queue.attributes(self._authority, at_s, tuple(OPERATIONS))
        if wanted and not {b"all", b"printer-description"} & set(wanted):
            told = [(name, one) for name, one in told if name.encode() in wanted]
        yield from self._told(request, at_s, ipp.told(asked, _OK, [(ipp.GROUP_PRINTER, [one for _, one in told])]))

    def _printed(self, request: Request, asked: Asked, at_s: float) -> Iterator[Order]:
        """Print-Job and Send-Document: what is to be printed is kept."""
        if asked.data:
            title = asked.text(b"job-name") or self._title or asked.text(b"document-name")
            yield Keep(asked.data, "upload", printable(title, 512), request.cut)
        yield from self._job(request, asked, at_s)

    def _job(self, request: Request, asked: Asked, at_s: float) -> Iterator[Order]:
        """Say how a job is: it has gone well."""
        number = asked.number_of(b"job-id")
        if not number:
            self._title = asked.text(b"job-name")[:_TITLE_BYTES_MAX]
            self._jobs += 1
            number = self.queue.first_job + self._jobs
        attributes = (
            attribute("job-id", ipp.INTEGER, number & 0x7FFFFFFF),
            attribute("job-uri", ipp.URI, f"ipp://{self._authority}/jobs/{number}"),
            attribute("job-state", ipp.ENUM, _COMPLETED),
            attribute("job-state-reasons", ipp.KEYWORD, "job-completed-successfully"),
        )
        groups = [(ipp.GROUP_JOB, [one.encoded() for one in attributes])]
        yield from self._told(request, at_s, ipp.told(asked, _OK, groups))

    def _succeeded(self, request: Request, asked: Asked, at_s: float) -> Iterator[Order]:
        """What only succeeds: a printer that is added, with its PPD kept; a job that is cancelled, or looked for."""
        if asked.data:
            yield Keep(asked.data, "script", "printer.ppd", request.cut)
        yield from self._told(request, at_s, ipp.told(asked, _OK, []))

    def _missing(self, request: Request, asked: Asked, at_s: float) -> Iterator[Order]:
        message = "The PPD file could not be opened."
        yield from self._told(request, at_s, ipp.told(asked, _NOT_FOUND, [], message))

    @property
    def _authority(self) -> str:
        local = self.visit.local
        return f"{f'[{local.ip}]' if ':' in local.ip else local.ip}:{local.port}"


def _kept_alive(request: Request) -> tuple[tuple[str, str], ...]:
    return (("Connection", "Keep-Alive"), ("Keep-Alive", "timeout=10")) if request.keeps_alive else ()


def ipp_name(operation: int) -> str:
    """Return an operation's name, as CUPS writes one that it does not know."""
    return f"Unknown-{operation:#06x}"


Step: TypeAlias = Callable[[Ipp, Request, Asked, float], Iterator[Order]]
# RFC 8011 section 5.4.15, and CUPS' own from 0x4001 on.
OPERATIONS: dict[int, tuple[str, Step]] = {
    0x0002: ("Print-Job", Ipp._printed), 0x0004: ("Validate-Job", Ipp._succeeded), 0x0005: ("Create-Job", Ipp._job),
    0x0006: ("Send-Document", Ipp._printed), 0x0008: ("Cancel-Job", Ipp._succeeded),
    0x0009: ("Get-Job-Attributes", Ipp._job), 0x000A: ("Get-Jobs", Ipp._succeeded),
    0x000B: ("Get-Printer-Attributes", Ipp._described), 0x0010: ("Pause-Printer", Ipp._succeeded),
    0x0011: ("Resume-Printer", Ipp._succeeded), 0x0012: ("Purge-Jobs", Ipp._succeeded),
    0x4001: ("CUPS-Get-Default", Ipp._described), 0x4002: ("CUPS-Get-Printers", Ipp._described),
    0x4003: ("CUPS-Add-Modify-Printer", Ipp._succeeded), 0x4004: ("CUPS-Delete-Printer", Ipp._succeeded),
    0x4005: ("CUPS-Get-Classes", Ipp._succeeded), 0x400A: ("CUPS-Set-Default", Ipp._succeeded),
    0x400F: ("CUPS-Get-PPD", Ipp._missing),
}  # fmt: skip
