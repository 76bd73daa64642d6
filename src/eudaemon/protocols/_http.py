"""HTTP/1 as a server hears it (RFC 9112), for every room that speaks it. Sans-I/O.

Owns the reading of requests: bytes in any pieces go in with `feed`, whole requests come out of `next`.

    request line --> header lines --> no body
                                  --> Content-Length bytes
                                  --> chunks --> trailer lines

Lenient where a sloppy attacker would otherwise be lost (bare LF, blanks in the target, lines that are no header);
strict where two servers could read two different things (Content-Length against Transfer-Encoding): `BadRequestError`,
a `PeerError` that says with which status a product would answer. Refuses to know what a request means.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

from eudaemon.wire import PeerError, Purse

_TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")  # RFC 9110 5.6.2
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_SCHEME_BYTES_MAX = 8
METHOD_BYTES_MAX = 24  # `VERSION-CONTROL` (RFC 3253) has 15
METHODS = (
    b"GET", b"POST", b"HEAD", b"PUT", b"OPTIONS", b"DELETE", b"CONNECT", b"TRACE", b"PATCH",  # RFC 9110, 5789
    b"PROPFIND", b"PROPPATCH", b"MKCOL", b"COPY", b"MOVE", b"LOCK", b"UNLOCK", b"SEARCH",  # RFC 4918, 5323
    b"SUBSCRIBE", b"UNSUBSCRIBE", b"NOTIFY", b"M-SEARCH",  # UPnP Device Architecture 1.1
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What one peer may make us hold and do."""

    line_bytes_max: int = 16 * 1024  # request line, and each header line
    head_bytes_max: int = 64 * 1024  # all lines of a request together
    headers_max: int = 100
    body_bytes_max: int = 16 * 1024 * 1024
    chunk_line_bytes_max: int = 256
    unread_bytes_max: int = 256 * 1024  # pipelined behind a request that is still being answered
    requests_max: int = 100  # on one connection


class BadRequestError(PeerError):
    """A request that no server would serve. `status` is the answer that a careful one gives."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """One request, whole unless `cut` says that the peer stopped in the middle of its body."""

    method: str
    target: bytes
    version: tuple[int, int]
    headers: tuple[tuple[bytes, bytes], ...]  # names in lower case, in the order of arrival
    body: bytes = b""
    cut: bool = False
    is_last: bool = False  # no further one is read on this connection

    def header(self, name: bytes) -> bytes:
        """Return the values of a header (name in lower case), joined by commas (RFC 9110 section 5.3), or nothing."""
        return b", ".join(value for known, value in self.headers if known == name)

    @property
    def path(self) -> bytes:
        """The target without scheme, authority and query, still encoded."""
        return _origin_form(self.target).partition(b"?")[0]

    @property
    def query(self) -> bytes:
        """What follows the target's first question mark, still encoded."""
        return self.target.partition(b"?")[2]

    @property
    def keeps_alive(self) -> bool:
        """Whether the peer wants to send more on this connection (RFC 9112 section 9.3), and we read more."""
        if self.is_last:
            return False
        wishes = {wish.strip().lower() for wish in self.header(b"connection").split(b",")}
        return b"close" not in wishes and (self.version >= (1, 1) or b"keep-alive" in wishes)


class Expectation(Enum):
    """What `next` gives besides requests."""

    CONTINUE = "the peer waits for 100 (Continue) before it sends its body"


class _Stage(Enum):
    LINE = "request line"
    HEADERS = "headers"
    BODY = "body"
    CHUNK = "chunk size"
    CHUNK_DATA = "chunk"
    CHUNK_END = "line after a chunk"
    TRAILERS = "trailers"


_IN_BODY = frozenset((_Stage.BODY, _Stage.CHUNK, _Stage.CHUNK_DATA, _Stage.CHUNK_END, _Stage.TRAILERS))


class RequestReader:
    """Reads requests off one connection. What it holds, it takes from the purse."""

    __slots__ = (
        "_body", "_buffer", "_head_bytes", "_headers", "_held", "_left", "_limits", "_line", "_purse", "_stage",
        "count",
    )  # fmt: skip

    def __init__(self, purse: Purse, limits: HttpLimits) -> None:
        self._purse = purse
        self._limits = limits
        self._buffer = bytearray()
        self._held = 0
        self.count = 0  # requests begun
        self._begin()

    def _begin(self) -> None:
        self._stage = _Stage.LINE
        self._line: tuple[str, bytes, tuple[int, int]] = ("", b"", (1, 0))
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._body = bytearray()
        self._left = 0

    @property
    def in_body(self) -> bool:
        """Whether a request's head is read and its body is not."""
        return self._stage in _IN_BODY

    def feed(self, data: bytes) -> None:
        """Add bytes; then call `next` until it gives None. Raises `BadRequestError` if there is no room for them."""
        self._buffer += data
        self._account()

    def next(self) -> Request | Expectation | None:
        """Return the next whole request, or an expectation, or None if more bytes are needed.

        Raises `BadRequestError` for what no server would serve; nothing more can be read then.
        """
        while True:
            before = self._stage, len(self._buffer), len(self._headers)
            item = _STEPS[self._stage](self)
            self._account()
            if item is not None:
                return item
            if before == (self._stage, len(self._buffer), len(self._headers)):
                if len(self._buffer) > self._limits.unread_bytes_max:
                    raise BadRequestError(431, f"more than {self._limits.unread_bytes_max} bytes unread")
                return None

    def held_back(self) -> None:
        """Hold what was fed to its limit while nothing is read, because an answer is not ready yet."""
        if len(self._buffer) > self._limits.unread_bytes_max:
            raise BadRequestError(431, f"more than {self._limits.unread_bytes_max} bytes unread")

    def cut_short(self) -> Request | None:
        """Return the request whose body has begun and will not be finished, or None if there is none."""
        return self._finished(cut=True) if self.in_body else None

    def rest(self) -> bytes:
        """Return what was sent and not read: after a `BadRequestError`, the bytes that are none."""
        return bytes(self._buffer)

    def close(self) -> None:
        """Let go of all that is held."""
        self._buffer = bytearray()
        self._begin()
        self._account()

    # --- one step of each stage --------------------------------------------------------------------

    def _read_line(self) -> None:
        line = self._take_line(414 if self._stage is _Stage.LINE else 431)
        if not line:  # none yet; or RFC 9112 section 2.2: an empty line before a request is passed over
            return
        if self.count >= self._limits.requests_max:
            raise BadRequestError(503, f"more than {self._limits.requests_max} requests on one connection")
        self.count += 1
        try:
            self._line = _request_line(line)
        except BadRequestError:
            self._buffer[:0] = line + b"\n"  # for `rest`
            raise
        self._stage = _Stage.HEADERS

    def _read_header(self) -> Request | Expectation | None:
        line = self._take_line(431)
        if line is None:
            return None
        if not line:
            return self._head_ended()
        if line[:1] in (b" ", b"\t"):
            if self._headers:  # RFC 9112 section 5.2: an obsolete fold is read as a blank
                name, value = self._headers[-1]
                self._headers[-1] = name, value + b" " + line.strip()
            return None
        name, colon, value = line.partition(b":")
        if not colon:
            return None
        if b"\0" in line:
            raise BadRequestError(400, "NUL in a header")
        if name != name.rstrip():
            raise BadRequestError(400, "blank between a header's name and its colon")  # RFC 9112 section 5.1
        if len(self._headers) >= self._limits.headers_max:
            raise BadRequestError(431, f"more than {self._limits.headers_max} headers")
        self._headers.append((name.lower(), value.strip()))
        return None

    def _head_ended(self) -> Request | Expectation | None:
        size = _body_size(self._line[2], self._headers)
        if size is None:
            self._stage = _Stage.CHUNK
        elif size == 0:
            return self._finished()
        elif size > self._limits.body_bytes_max:
            raise BadRequestError(413, f"body over {self._limits.body_bytes_max} bytes")
        else:
            self._stage, self._left = _Stage.BODY, size
        waits = any(name == b"expect" and value.lower() == b"100-continue" for name, value in self._headers)
        # Sent even if the body is here already (RFC 9110 section 10.1.1 only allows to leave it out).
        return Expectation.CONTINUE if waits and self._line[2] >= (1, 1) else None

    def _read_body(self) -> Request | None:
        self._take_body()
        return None if self._left else self._finished()

    def _read_chunk_line(self) -> None:
        line = self._take_line(400, self._limits.chunk_line_bytes_max)
        if line is None:
            return
        digits = line.partition(b";")[0].strip()
        if not 0 < len(digits) <= 8 or digits.strip(b"0123456789abcdefABCDEF"):
            raise BadRequestError(400, "chunk without a size")
        self._left = int(digits, 16)
        if len(self._body) + self._left > self._limits.body_bytes_max:
            raise BadRequestError(413, f"body over {self._limits.body_bytes_max} bytes")
        self._stage = _Stage.CHUNK_DATA if self._left else _Stage.TRAILERS

    def _read_chunk(self) -> None:
        self._take_body()
        if not self._left:
            self._stage = _Stage.CHUNK_END

    def _read_chunk_end(self) -> None:
        line = self._take_line(400, 1)
        if line:
            raise BadRequestError(400, "chunk longer than its size")
        if line is not None:
            self._stage = _Stage.CHUNK

    def _read_trailer(self) -> Request | None:
        line = self._take_line(431)
        return self._finished() if line == b"" else None

    # --- taking from the buffer --------------------------------------------------------------------

    def _finished(self, *, cut: bool = False) -> Request:
        method, target, version = self._line
        is_last = self.count >= self._limits.requests_max
        request = Request(method, target, version, tuple(self._headers), bytes(self._body), cut, is_last)
        self._begin()
        return request

    def _take_body(self) -> None:
        part = self._buffer[: self._left]
        self._body += part
        self._left -= len(part)
        del self._buffer[: len(part)]

    def _take_line(self, status: int, bytes_max: int = 0) -> bytes | None:
        """Return a line without its CR LF or bare LF (RFC 9112 section 2.2), or None while it has no end."""
        bytes_max = bytes_max or self._limits.line_bytes_max
        end = self._buffer.find(b"\n", 0, bytes_max + 2)
        if end < 0 and len(self._buffer) < bytes_max + 2:
            return None
        line = bytes(self._buffer[:end]).removesuffix(b"\r")
        if end < 0 or len(line) > bytes_max:
            raise BadRequestError(status, f"line over {bytes_max} bytes")
        del self._buffer[: end + 1]
        if self._stage not in (_Stage.CHUNK, _Stage.CHUNK_END):
            self._head_bytes += end + 1
            if self._head_bytes > self._limits.head_bytes_max:
                raise BadRequestError(431, f"head over {self._limits.head_bytes_max} bytes")
        return line

    def _account(self) -> None:
        holds = len(self._buffer) + len(self._body) + self._head_bytes
        if holds > self._held:
            if not self._purse.take(holds - self._held):
                raise BadRequestError(503, "more bytes held than this session may")
        elif holds < self._held:
            self._purse.give_back(self._held - holds)
        self._held = holds


_STEPS = {
    _Stage.LINE: RequestReader._read_line,
    _Stage.HEADERS: RequestReader._read_header,
    _Stage.BODY: RequestReader._read_body,
    _Stage.CHUNK: RequestReader._read_chunk_line,
    _Stage.CHUNK_DATA: RequestReader._read_chunk,
    _Stage.CHUNK_END: RequestReader._read_chunk_end,
    _Stage.TRAILERS: RequestReader._read_trailer,
}


def looks_like_http(first: bytes) -> bool | None:
    """Say whether a conversation that begins with `first` is HTTP; None if it is too short to tell."""
    line = first.lstrip(b"\r\n")[: METHOD_BYTES_MAX + 10]
    method, blank, target = line.partition(b" ")
    if not blank:
        return None if any(known.startswith(method) for known in METHODS) else False
    if method not in METHODS:
        return False
    if not target or (target.isalpha() and len(target) < _SCHEME_BYTES_MAX and method != b"CONNECT"):
        return None  # the beginning of `http://`, perhaps
    return target[:1] in b"/*" or b":" in target or method == b"CONNECT"


def _request_line(line: bytes) -> tuple[str, bytes, tuple[int, int]]:
    # RFC 9112 section 3: the last word is the version; blanks between are the target's, as scanners send them.
    method, _, rest = line.strip().partition(b" ")
    target, _, version = rest.strip().rpartition(b" ")
    if not 0 < len(method) <= METHOD_BYTES_MAX or not _TOKEN.issuperset(method):
        raise BadRequestError(400, "no HTTP method")
    if not version.upper().startswith(b"HTTP/") or not target:
        raise BadRequestError(400, "request line without target or version")
    number = version[5:]
    if len(number) != 3 or number[1:2] != b"." or not (number[:1] + number[2:]).isdigit():
        raise BadRequestError(400, "HTTP version is no number")
    if number[:1] != b"1":
        raise BadRequestError(505, "HTTP version is not 1")
    return method.decode("ascii"), target.strip(), (1, int(number[2:]))


def _body_size(version: tuple[int, int], headers: list[tuple[bytes, bytes]]) -> int | None:
    """Return a body's size by RFC 9112 section 6.3, None for chunks."""
    codings = [value for name, value in headers if name == b"transfer-encoding"]
    lengths = {part.strip() for name, value in headers if name == b"content-length" for part in value.split(b",")}
    if codings:
        # Both, or an HTTP/1.0 coding, is how requests are smuggled past a proxy (RFC 9112 section 11.2).
        if lengths:
            raise BadRequestError(400, "Content-Length and Transfer-Encoding")
        if version < (1, 1):
            raise BadRequestError(400, "Transfer-Encoding in HTTP/1.0")
        if len(codings) > 1 or codings[0].lower() != b"chunked":
            raise BadRequestError(501, "Transfer-Encoding other than chunked")
        return None
    if not lengths:
        return 0
    if len(lengths) > 1:
        raise BadRequestError(400, "more than one Content-Length")
    digits = lengths.pop()
    if not digits.isdigit() or len(digits) > 18:
        raise BadRequestError(400, "Content-Length is no number")
    return int(digits)


def _origin_form(target: bytes) -> bytes:
    """Return the target without `http://authority` (RFC 9112 section 3.2.2)."""
    scheme, mark, rest = target.partition(b"://")
    if mark and scheme.isalpha():
        slash = rest.find(b"/")
        return rest[slash:] if slash >= 0 else b"/"
    return target


def http_date(at_s: float) -> str:
    """Return seconds since the epoch as RFC 9110 section 5.6.7 wants them: `Tue, 24 Nov 2026 01:53:27 GMT`."""
    moment = datetime.fromtimestamp(at_s, UTC)
    day, month = _DAYS[moment.weekday()], _MONTHS[moment.month - 1]
    return f"{day}, {moment.day:02d} {month} {moment.year} {moment:%H:%M:%S} GMT"
