"""A network printer's port 9100: jobs, and HP's Printer Job Language (PJL Technical Reference, 1997 and 2003).

    UEL --> @PJL lines, each answered --> ENTER LANGUAGE --> a job up to the next UEL or the end

A job is kept, whatever language it is in; nothing is printed or interpreted. PJL's disk is a folder of the pretended
host, out of which `..` leads as it did on the real ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import ClassVar

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised, FileRequested
from eudaemon.protocols._base import (
    Claim,
    Ended,
    HalfClosed,
    HangUp,
    Keep,
    Occasion,
    Order,
    Received,
    Room,
    Saw,
    Send,
    Visit,
)  # fmt: skip
from eudaemon.protocols._printers import model_of
from eudaemon.wire import PeerError, printable
from eudaemon.world.files import Directory, FileError, Files, Fixed, Written, content_size
from eudaemon.world.host import Host

UEL = b"\x1b%-12345X"  # Universal Exit Language
LINE_BYTES_MAX = 4096
LINES_MAX = 2000  # of one session
JOB_BYTES_MAX = 16 * 1024 * 1024
JOBS_MAX = 32  # of one session that are kept
UPLOAD_BYTES_MAX = 256 * 1024  # of a file that is asked for at a time
_DISK = b"/tmp/.disk"
_FOLDERS = (b"PJL", b"PostScript", b"saveDevice", b"saveDevice/SavedJobs", b"webServer", b"webServer/home")
_OPTION = re.compile(rb'([A-Z]{1,32})\s{0,8}[=:]\s{0,8}(?:"([^"]*)"|(\S+))', re.IGNORECASE)
_NO_FILE, _NO_MEANS = 3, 1  # PJL Technical Reference, appendix D: file errors
_END = b"\r\n\x0c"


class Printer(Room):
    """One connection to a printer."""

    name: ClassVar[str] = "printer"

    __slots__ = ("_buffer", "_display", "_files", "_held", "_in_job", "_job", "_jobs", "_lines", "_spoke",
                 "_taking", "_title")  # fmt: skip

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._buffer = bytearray()
        self._held = 0
        self._job = bytearray()
        self._jobs = 0
        self._lines = 0
        self._spoke = False  # whether there was any PJL: blanks before it or behind it are nobody's
        self._in_job = False
        self._taking: tuple[bytes, int, bool] | None = None  # a file that comes: name, size, whether it is added to one
        self._title = ""
        self._display = b"Ready"
        self._files: Files | None = None

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """UEL or a line of PJL, and the beginnings of PostScript and PCL."""
        for mark in (UEL, b"@PJL", b"%!PS", b"\x1bE"):
            if first.startswith(mark):
                return Claim.YES
            if mark.startswith(first):
                return Claim.UNSURE
        return Claim.NO

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """Take one occasion and yield the orders that follow from it."""
        match occasion:
            case Received(at_s, data):
                self._buffer += data
                yield from self._read(at_s)
            case HalfClosed():
                yield HangUp()
            case Ended():
                yield from self._broken_off()

    @property
    def model(self) -> bytes:
        """What the printer calls itself."""
        return model_of(self.visit.host).encode()

    # --- reading -------------------------------------------------------------------------------------

    def _read(self, at_s: float) -> Iterator[Order]:
        self._account()
        while self._buffer:
            before = len(self._buffer), self._in_job
            if self._taking is not None:
                yield from self._file_comes(at_s)
            elif self._in_job:
                yield from self._more_of_the_job()
            else:
                yield from self._line(at_s)
            self._account()
            if before == (len(self._buffer), self._in_job):
                break

    def _line(self, at_s: float) -> Iterator[Order]:
        blanks = len(self._buffer) - len(self._buffer.lstrip(b"\r\n\0"))
        head = bytes(self._buffer[blanks : blanks + len(UEL)])
        may_be_pjl = UEL.startswith(head) or b"@PJL".startswith(head[:4].upper())
        if blanks and (self._spoke or head == UEL or head[:4].upper() == b"@PJL"):
            del self._buffer[:blanks]
        elif blanks and (not may_be_pjl or blanks > LINE_BYTES_MAX):
            self._in_job = True
            yield from self._more_of_the_job()
        elif head == UEL:
            self._spoke = True
            del self._buffer[: len(UEL)]
        elif self._buffer[:4].upper() == b"@PJL":
            end = self._buffer.find(b"\n", 0, LINE_BYTES_MAX + 1)
            if end < 0 and len(self._buffer) > LINE_BYTES_MAX:
                raise PeerError(f"line over {LINE_BYTES_MAX} bytes")
            if end >= 0:
                line = bytes(self._buffer[:end]).strip()
                del self._buffer[: end + 1]
                self._spoke = True
                yield from self._command(line, at_s)
        elif not may_be_pjl:
            self._in_job = True
            yield from self._more_of_the_job()

    def _more_of_the_job(self) -> Iterator[Order]:
        end = self._buffer.find(UEL)
        ready = end if end >= 0 else len(self._buffer) - _beginning(self._buffer)
        self._job += self._buffer[:ready]
        del self._buffer[:ready]
        if len(self._job) > JOB_BYTES_MAX:
            yield from self._keep(partial=True)
            raise PeerError(f"job over {JOB_BYTES_MAX} bytes")
        if end >= 0:
            yield from self._keep(partial=False)

    def _keep(self, *, partial: bool) -> Iterator[Order]:
        self._in_job = False
        if self._job and self._jobs < JOBS_MAX:
            self._jobs += 1
            yield Keep(bytes(self._job), "upload", self._title, partial)
        self._job = bytearray()

    def _broken_off(self) -> Iterator[Order]:
        if self._taking is not None:
            yield Keep(bytes(self._buffer), "upload", printable(self._taking[0], 512), partial=True)
        elif self._in_job or self._buffer:
            self._job += self._buffer
            yield from self._keep(partial=False)
        self._buffer.clear()

    def _account(self) -> None:
        more = len(self._buffer) + len(self._job) - self._held
        if more > 0 and not self.visit.purse.take(more):
            raise PeerError("the session holds too many bytes")
        if more < 0:
            self.visit.purse.give_back(-more)
        self._held += more

    # --- commands ------------------------------------------------------------------------------------

    def _command(self, line: bytes, at_s: float) -> Iterator[Order]:
        self._lines += 1
        if self._lines > LINES_MAX:
            raise PeerError(f"more than {LINES_MAX} lines of PJL in one session")
        words = line.split(None, 2)[1:]
        if not words:
            return
        yield Saw(CommandEntered(printable(line, LINE_BYTES_MAX)))
        name, rest = words[0].upper(), words[1] if len(words) > 1 else b""
        options = {found[1].upper(): found[2] if found[2] is not None else found[3] for found in _OPTION.finditer(rest)}
        if name in (b"INFO", b"INQUIRE", b"DINQUIRE"):
            yield Send(self._inquired(name, rest))
        elif name == b"ECHO":
            yield Send(b"@PJL ECHO %s%s" % (rest, _END))
        elif name == b"RDYMSG":
            self._display = options.get(b"DISPLAY", b"")[:64] or b"Ready"
        elif name == b"JOB":
            self._title = printable(options.get(b"NAME", b""), 512)
        elif name == b"ENTER":
            self._in_job = True
        elif name in (b"FSDOWNLOAD", b"FSAPPEND"):
            size = _number(options, b"SIZE")
            if size > JOB_BYTES_MAX:
                raise PeerError(f"file over {JOB_BYTES_MAX} bytes")
            self._taking = options.get(b"NAME", b""), size, name == b"FSAPPEND"
            yield from self._file_comes(at_s)
        elif name in _ON_FILES:
            yield from self._on_file(name, options, at_s)

    def _inquired(self, name: bytes, rest: bytes) -> bytes:
        what = rest.strip()
        if name != b"INFO":
            return b'@PJL %s %s%s"?"%s' % (name, what, b"\r\n", _END)
        seed = self.visit.host.seed.child("printer")
        memory = seed.choice("memory", (64, 80, 128, 256)) << 20
        free = 18_350_080 - 512 * seed.number("free", 900)
        said = {
            b"ID": b'"%s"' % self.model,
            b"STATUS": b'CODE=10001\r\nDISPLAY="%s"\r\nONLINE=TRUE' % self._display,
            b"PAGECOUNT": b"PAGECOUNT=%d" % (4000 + seed.number("pages", 200_000)),
            b"MEMORY": b"TOTAL=%d\r\nLARGEST=%d" % (memory, memory * 3 // 5),
            b"CONFIG": b"IN TRAYS [3 ENUMERATED]\r\n\tINTRAY1 MP\r\n\tINTRAY2 PC\r\n\tINTRAY3 LC\r\nDUPLEX\r\n"
                       b"LANGUAGES [2 ENUMERATED]\r\n\tPCL\r\n\tPOSTSCRIPT\r\nUSTATUS [4 ENUMERATED]\r\n\tDEVICE\r\n"
                       b"\tJOB\r\n\tPAGE\r\n\tTIMED\r\nMEMORY=%d\r\nDISPLAY LINES=4" % memory,
            b"VARIABLES": b"COPIES=1 [2 RANGE]\r\n\t1\r\n\t999\r\nPAPER=LETTER [2 ENUMERATED]\r\n\tLETTER\r\n\tA4\r\n"
                          b"PASSWORD=DISABLED [2 ENUMERATED]\r\n\tENABLED\r\n\tDISABLED",
            b"FILESYS": b"\tVOLUME\tTOTAL SIZE\tFREE SPACE\tLOCATION\tLABEL\tSTATUS\r\n"
                        b"\t0:\t%d\t%d\t<HT>\t<HT>\tREAD-WRITE" % (20_971_520, free),
            b"USTATUS": b"DEVICE=OFF [3 ENUMERATED]\r\n\tOFF\r\n\tON\r\n\tVERBOSE",
        }.get(what.upper().split(b" ")[0] if what else b"")  # fmt: skip
        return b"@PJL INFO %s\r\n%s%s" % (what, said if said is not None else b'"?"', _END)

    # --- its disk ------------------------------------------------------------------------------------

    def _disk(self, at_s: float) -> Files:
        """The session's view of the disk. Raises `FileError` where there is no room for it."""
        if self._files is None:
            host: Host = self.visit.host
            files = Files(host.tree, host.writable | {b"/tmp"}, self.visit.purse)
            for folder in (b"", *_FOLDERS):
                files.make_directory(_DISK + (b"/" + folder if folder else b""), at_s)
            self._files = files
        return self._files

    def _on_file(self, name: bytes, options: dict[bytes, bytes], at_s: float) -> Iterator[Order]:
        given = options.get(b"NAME", b"")
        action, step = _ON_FILES[name]
        yield from _climbing(given)
        try:
            said = step(self, self._disk(at_s), _place(given), options, at_s)
        except FileError:
            said = None
        yield Saw(FileRequested(action, printable(given, 1024), done=said is not None))
        if said is None:
            yield Send(b'@PJL %s NAME="%s"\r\nFILEERROR=%d%s' % (name, given, _NO_FILE, _END))
        elif said:
            yield Send(said)

    def _file_comes(self, at_s: float) -> Iterator[Order]:
        if self._taking is None or len(self._buffer) < self._taking[1]:
            return
        given, size, adds = self._taking
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        self._taking = None
        yield from _climbing(given)
        if data and self._jobs < JOBS_MAX:
            self._jobs += 1
            yield Keep(data, "upload", printable(given, 512))
        try:
            files = self._disk(at_s)
            file = files.create(files.resolve(_place(given)), at_s)
            if not adds:
                files.truncate(file)
            files.append(file, data, at_s)
            file.kept = done = True
        except FileError:
            done = False
        yield Saw(FileRequested("write", printable(given, 1024), done=done))

    def _listed(self, files: Files, path: bytes, options: dict[bytes, bytes], at_s: float) -> bytes:
        first = max(1, _number(options, b"ENTRY"))
        lines = [b". TYPE=DIR", b".. TYPE=DIR"]
        for name in files.names(files.resolve(path)):
            node = files.find(path + b"/" + name)
            is_folder = isinstance(node, Directory)
            size = b"" if is_folder or node is None else b" SIZE=%d" % content_size(node, at_s)
            lines.append(name + (b" TYPE=DIR" if is_folder else b" TYPE=FILE") + size)
        shown = lines[first - 1 :][: _number(options, b"COUNT") or len(lines)]
        return b'@PJL FSDIRLIST NAME="%s" ENTRY=%d\r\n%s%s' % (
            options.get(b"NAME", b""),
            first,
            b"\r\n".join(shown),
            _END,
        )

    def _asked(self, files: Files, path: bytes, options: dict[bytes, bytes], at_s: float) -> bytes:
        node = files.get(path)
        kind = b"DIR" if isinstance(node, Directory) else b"FILE SIZE=%d" % content_size(node, at_s)
        return b'@PJL FSQUERY NAME="%s" TYPE=%s%s' % (options.get(b"NAME", b""), kind, _END)

    def _shown(self, files: Files, path: bytes, options: dict[bytes, bytes], at_s: float) -> bytes:
        node = files.get(path)
        if not isinstance(node, Fixed | Written):
            raise FileError("Is a directory")
        content = bytes(node.data) if isinstance(node, Written) else node.content
        data = content if isinstance(content, bytes) else content(at_s)
        first = _number(options, b"OFFSET")
        piece = data[first : first + min(_number(options, b"SIZE") or len(data), UPLOAD_BYTES_MAX)]
        head = b'@PJL FSUPLOAD FORMAT:BINARY NAME="%s" OFFSET=%d SIZE=%d\r\n'
        return head % (options.get(b"NAME", b""), first, len(piece)) + piece + b"\x0c"

    def _removed(self, files: Files, path: bytes, _options: dict[bytes, bytes], _at_s: float) -> bytes:
        files.remove(files.resolve(path))
        return b""

    def _made(self, files: Files, path: bytes, _options: dict[bytes, bytes], at_s: float) -> bytes:
        files.make_directory(files.resolve(path), at_s)
        return b""


_ON_FILES: dict[bytes, tuple[str, Callable[[Printer, Files, bytes, dict[bytes, bytes], float], bytes]]] = {
    b"FSDIRLIST": ("list", Printer._listed),
    b"FSQUERY": ("read", Printer._asked),
    b"FSUPLOAD": ("read", Printer._shown),
    b"FSDELETE": ("remove", Printer._removed),
    b"FSMKDIR": ("make", Printer._made),
}


def _place(name: bytes) -> bytes:
    """Return where on the host `0:/name` or `0:\\name` lies."""
    return _DISK + b"/" + name.partition(b":")[2].replace(b"\\", b"/") if b":" in name else _DISK + b"/" + name


def _climbing(name: bytes) -> Iterator[Order]:
    if b".." in name.replace(b"\\", b"/").split(b"/"):
        yield Saw(ExploitRecognised("printer-traversal", "CVE-2010-4107", printable(name, 1024)))


def _number(options: dict[bytes, bytes], name: bytes) -> int:
    digits = options.get(name, b"")
    return int(digits) if digits.isdigit() and len(digits) < 12 else 0


def _beginning(data: bytearray) -> int:
    """Return how many bytes at the end may be the beginning of UEL."""
    return next((size for size in range(min(len(UEL) - 1, len(data)), 0, -1) if data.endswith(UEL[:size])), 0)
