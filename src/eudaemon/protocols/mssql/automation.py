"""OLE automation: the objects that sp_OACreate makes, as far as attackers use them.

WScript.Shell runs commands, Scripting.FileSystemObject and ADODB.Stream write files, MSXML2.XMLHTTP and its like fetch,
Shell.Application runs. An object is known by the number that is its token.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from eudaemon.events.catalogue import ExploitRecognised
from eudaemon.protocols._base import Fetch, Keep, Saw
from eudaemon.protocols._sql.tokens import Binary
from eudaemon.protocols._sql.values import Value, text, whole
from eudaemon.wire import printable
from eudaemon.world.outside import Download

if TYPE_CHECKING:
    from eudaemon.protocols.mssql.session import Session

Answer: TypeAlias = "Generator[Any, Any, Value]"
OBJECTS_MAX = 64
CONTENT_BYTES_MAX = 16 * 1024 * 1024  # of one stream
OK, INVALID_CLASS, UNKNOWN_NAME, BAD_OBJECT, FAILED = 0, -2147221005, -2147352570, -2147211494, -2146828212


@dataclass(slots=True)
class Object:
    """One object. `content` is what a stream or a file holds, `path` where it goes."""

    kind: str
    content: bytearray = field(default_factory=bytearray)
    path: bytes = b""
    properties: dict[bytes, Value] = field(default_factory=dict)
    is_saved: bool = True


class Objects:
    """One session's objects."""

    __slots__ = ("_known", "_session")

    def __init__(self, session: Session) -> None:
        self._session = session
        self._known: dict[int, Object] = {}

    def make(self, name: bytes) -> tuple[int, int]:
        """Return a status and the token of a new object; `name` is its ProgID or CLSID."""
        kind = _CLASSES.get(name.lower().strip(b"{} "))
        if kind is None or len(self._known) >= OBJECTS_MAX:
            return INVALID_CLASS, 0
        return OK, self._add(Object(kind))

    def _add(self, made: Object) -> int:
        token = 0x00010000 | (0xFF + (len(self._known) + 1) * 0x100 & 0xFFFF)
        while token in self._known:
            token += 0x100
        self._known[token] = made
        return token

    def find(self, token: Value) -> Object | None:
        """Return an object by its token."""
        return self._known.get(whole(token))

    def drop(self, token: Value) -> int:
        """Forget an object."""
        made = self._known.pop(whole(token), None)
        if made is None:
            return BAD_OBJECT
        self._session.visit.purse.give_back(len(made.content))
        return OK

    def set(self, token: Value, name: bytes, value: Value) -> int:
        """Set a property."""
        made = self.find(token)
        if made is None:
            return BAD_OBJECT
        if len(made.properties) < OBJECTS_MAX and len(text(value)) <= 4096:
            made.properties[name.lower()[:64]] = value
        return OK

    def call(self, token: Value, name: bytes, values: list[Value]) -> Generator[Any, Any, tuple[int, Value]]:
        """Call a method or get a property; return a status and what it gives."""
        made = self.find(token)
        if made is None:
            return BAD_OBJECT, None
        word, _, inside = name.partition(b"(")  # 'run("cmd /c dir")' is a call, too
        if inside:
            values = [inside.strip(b") '\"").replace(b'""', b'"'), *values]
        method = _METHODS.get((made.kind, word.strip().lower()))
        if method is None:
            known = made.properties.get(word.lower())
            return (OK, known) if word.lower() in made.properties or word.lower() in _PASSIVE else (UNKNOWN_NAME, None)
        return OK, (yield from method(self, made, values))

    def left(self) -> Iterator[Keep]:
        """Yield what was written to streams and never saved."""
        for made in self._known.values():
            if not made.is_saved and made.content:
                yield Keep(bytes(made.content), "upload", printable(made.path, 1024) or made.kind, partial=True)

    # --- what objects do ---------------------------------------------------------------------------------

    def _grow(self, made: Object, data: bytes) -> None:
        if len(made.content) + len(data) <= CONTENT_BYTES_MAX and self._session.visit.purse.take(len(data)):
            made.content += data
            made.is_saved = False

    def _run(self, made: Object, values: list[Value]) -> Answer:  # noqa: ARG002
        line = b" ".join(text(value) for value in values[:2] if isinstance(value, bytes))
        yield Saw(ExploitRecognised("mssql-ole-automation", "", printable(line, 2048)))
        yield from self._session.run(line)
        return 0

    def _exec(self, made: Object, values: list[Value]) -> Answer:  # noqa: ARG002
        line = text(values[0] if values else None)
        yield Saw(ExploitRecognised("mssql-ole-automation", "", printable(line, 2048)))
        printed = yield from self._session.run(line)
        process = Object("process")
        if len(self._known) >= OBJECTS_MAX:
            return None
        token = self._add(process)
        self._grow(process, printed)
        process.is_saved = True
        return token

    def _output(self, made: Object, values: list[Value]) -> Answer:  # noqa: ARG002
        yield from ()
        return next((token for token, one in self._known.items() if one is made), None)

    def _all(self, made: Object, values: list[Value]) -> Answer:  # noqa: ARG002
        yield from ()
        return bytes(made.content)

    def _file(self, made: Object, values: list[Value]) -> Answer:  # noqa: ARG002
        yield from ()
        if len(self._known) >= OBJECTS_MAX:
            return None
        return self._add(Object("file", path=text(values[0] if values else None)))

    def _write(self, made: Object, values: list[Value]) -> Answer:
        yield from ()
        self._grow(made, text(values[0] if values else None))
        return None

    def _write_line(self, made: Object, values: list[Value]) -> Answer:
        yield from ()
        self._grow(made, text(values[0] if values else None) + b"\r\n")
        return None

    def _close(self, made: Object, values: list[Value]) -> Answer:  # noqa: ARG002
        if made.kind == "file" and not made.is_saved:
            made.is_saved = True
            yield from self._session.write(made.path, bytes(made.content))
        return None

    def _save(self, made: Object, values: list[Value]) -> Answer:
        path = text(values[0] if values else None)
        made.is_saved = True
        if made.path and not made.content:
            return None  # what was fetched is kept already
        yield from self._session.write(path, bytes(made.content))
        return None

    def _open(self, made: Object, values: list[Value]) -> Answer:
        yield from ()
        if made.kind == "http":
            made.path = text(values[1] if len(values) > 1 else None)[:1024]
        return None

    def _send(self, made: Object, values: list[Value]) -> Answer:  # noqa: ARG002
        url = made.path.strip()
        if url.lower().startswith((b"http://", b"https://", b"ftp://")) and url.isascii():
            yield Saw(ExploitRecognised("mssql-ole-automation", "", printable(url, 2048)))
            name = url.rpartition(b"/")[2].decode("ascii", "replace")[:256]
            yield Fetch(Download(url.decode("ascii"), "XMLHTTP", name))
        return None

    def _body(self, made: Object, values: list[Value]) -> Answer:  # noqa: ARG002
        yield from ()
        return Binary(made.content)

    def _nothing(self, made: Object, values: list[Value]) -> Answer:  # noqa: ARG002
        yield from ()
        return None

    def _exists(self, made: Object, values: list[Value]) -> Answer:  # noqa: ARG002
        yield from ()
        return 0


_CLASSES = {
    b"wscript.shell": "shell", b"wscript.shell.1": "shell", b"72c24dd5-d70a-438b-8a42-98424b88afb8": "shell",
    b"shell.application": "application", b"13709620-c279-11ce-a49e-444553540000": "application",
    b"scripting.filesystemobject": "files", b"0d43fe01-f093-11cf-8940-00a0c9054228": "files",
    b"adodb.stream": "stream", b"00000566-0000-0010-8000-00aa006d2ea4": "stream",
    b"microsoft.xmlhttp": "http", b"msxml2.xmlhttp": "http", b"msxml2.serverxmlhttp": "http",
    b"msxml2.xmlhttp.3.0": "http", b"msxml2.serverxmlhttp.3.0": "http", b"msxml2.serverxmlhttp.6.0": "http",
    b"winhttp.winhttprequest.5.1": "http",
}  # fmt: skip
_METHODS: dict[tuple[str, bytes], Callable[[Objects, Object, list[Value]], Answer]] = {
    ("shell", b"run"): Objects._run, ("shell", b"exec"): Objects._exec, ("shell", b"regwrite"): Objects._nothing,
    ("application", b"shellexecute"): Objects._run, ("process", b"stdout"): Objects._output,
    ("process", b"stderr"): Objects._output, ("process", b"readall"): Objects._all,
    ("files", b"createtextfile"): Objects._file, ("files", b"opentextfile"): Objects._file,
    ("files", b"fileexists"): Objects._exists, ("files", b"copyfile"): Objects._nothing,
    ("files", b"deletefile"): Objects._nothing, ("file", b"write"): Objects._write,
    ("file", b"writeline"): Objects._write_line,
    ("file", b"close"): Objects._close, ("stream", b"open"): Objects._open, ("stream", b"write"): Objects._write,
    ("stream", b"writetext"): Objects._write, ("stream", b"savetofile"): Objects._save,
    ("stream", b"close"): Objects._close,
    ("stream", b"flush"): Objects._nothing, ("http", b"open"): Objects._open, ("http", b"send"): Objects._send,
    ("http", b"responsebody"): Objects._body, ("http", b"responsetext"): Objects._body,
    ("http", b"setrequestheader"): Objects._nothing,
}  # fmt: skip
_PASSIVE = frozenset((b"status", b"type", b"mode", b"charset", b"position", b"exitcode", b"size", b"readystate"))
