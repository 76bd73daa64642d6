"""What old worms left open for others: Bagle's, Mydoom's, Kuang2's, Optix Pro's and Sub7's ways to bring a program.

    Bagle    2745    its pass --> eight bytes --> a URL to fetch, or a size and the program
    Mydoom   3127    five bytes, and the program to the end
    Optix    3140    022¬… --> 001¬ --> 019¬ --> 020¬
              500    path and size --> +OK REDY --> the program --> +OK RECVD
    Kuang2  17300    messages of command, number and name: upload, run, quit, each answered DONE
    Sub7    27347    greeted with PWD --> PWD and one's own --> TID --> SFT05 and the size --> the program --> +OK RECVD

The first bytes say whose way it is, whatever the port. The handshakes are those that Nepenthes (2006) found sufficient
for the bots that used these doors. What is brought is kept; nothing is answered beyond what makes the bot go on.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import ClassVar, TypeAlias

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised
from eudaemon.protocols._base import (
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
)  # fmt: skip
from eudaemon.wire import PeerError, printable
from eudaemon.world.outside import Download

PROGRAM_BYTES_MAX = 16 * 1024 * 1024
HEAD_BYTES_MAX = 1024  # of a handshake; also the size of Kuang2's messages
COMMANDS_MAX = 64  # of one session
_BAGLE_PASSES = (  # of the variants A to B, and C to K
    b"\x43\xff\xff\xff000\x01\x0a\x1f\x2b\x28\x2b\xa1\x32\x01",
    b"\x43\xff\xff\xff000\x01\x0a\x28\x91\xa1\x2b\xe6\x60\x2f\x32\x8f\x60\x15\x1a\x20\x1a",
)
_MYDOOM = b"\x85\x13\x3c\x9e\xa2"
_OPTIX = b"022\xac"
_OPTIX_FILE = re.compile(rb"[A-Za-z]:[^\r\n]{1,512}\r\n")
_SUB7 = b"PWD"
_SUB7_PORT = 27347  # where it is the first to speak: nothing else here asks who one is
_SUB7_VERSIONS = ("Legends 2.1", "BoNuS 2.1", "M.U.I.E. 2.1")
_KUANG2 = struct.Struct("<4sI")
_KUANG2_DONE = b"DONE"
_KUANG2_COMMANDS = {b"UPDF": "upload", b"RUNF": "run", b"DELF": "delete", b"DWNF": "download", b"INFF": "list",
                    b"QUIT": "quit"}  # fmt: skip
_SUB7_WORD = re.compile(rb"PWD|TID|SFT05(?P<size>\d{1,9})(?!\d|\Z)")
_URL = re.compile(rb"(?:https?|ftp)://[!-~]{4,1024}", re.IGNORECASE)

Step: TypeAlias = Callable[["Backdoor"], Iterator[Order]]


class Backdoor(Room):
    """One caller at a door that a worm left open."""

    name: ClassVar[str] = "backdoor"

    __slots__ = ("_at_s", "_buffer", "_commands", "_done", "_held", "_over", "_padding", "_program", "_size", "_step",
                 "_then", "_title")  # fmt: skip

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._at_s = 0.0
        self._buffer = bytearray()
        self._held = 0
        self._commands = 0
        self._over = False
        self._padding = 0  # how many zeros may follow Kuang2's last message
        self._step: Step | None = None  # what reads on, once it is clear whose way it is
        self._then: Step = Backdoor._ignore  # what reads on behind the program
        self._program = bytearray()
        self._size = 0  # of the program; 0: all that comes
        self._done = b""  # what is said when the program is there
        self._title = ""  # its name as the caller gave it

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """Say whether these first bytes are a handshake of the table."""
        if _whose(first) is not None:
            return Claim.YES
        return Claim.UNSURE if any(mark.startswith(first) for mark, *_ in DOORS) else Claim.NO

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """Take one occasion and yield the orders that follow from it."""
        match occasion:
            case Received(at_s, data):
                self._at_s = at_s
                if not self._over:
                    self._buffer += data
                    yield from self._read()
            case Opened() if self.visit.local.port == _SUB7_PORT:
                yield Send(_SUB7)
            case HalfClosed():
                yield HangUp()
            case Ended():
                if self._program:
                    yield from self._keep(partial=len(self._program) < self._size)
                elif self._step is None and len(self._buffer) > len(_MYDOOM):
                    is_cut = len(self._buffer) > HEAD_BYTES_MAX
                    yield Keep(bytes(self._buffer[:HEAD_BYTES_MAX]), "payload", partial=is_cut)

    # --- reading -------------------------------------------------------------------------------------

    def _read(self) -> Iterator[Order]:
        self._account()
        while not self._over:
            before = len(self._buffer), self._step, self._title
            if self._step is None:
                yield from self._begin()
            else:
                yield from self._step(self)
            self._account()
            if before == (len(self._buffer), self._step, self._title):
                break
        if len(self._buffer) > HEAD_BYTES_MAX and not self._over:
            raise PeerError(f"over {HEAD_BYTES_MAX} bytes that are no handshake")

    def _begin(self) -> Iterator[Order]:
        door = _whose(bytes(self._buffer[:HEAD_BYTES_MAX]))
        if door is not None:
            _, name, self._step = door
            yield Saw(ExploitRecognised(f"{name}-backdoor"))

    def _account(self) -> None:
        more = len(self._buffer) + len(self._program) - self._held
        if more > 0 and not self.visit.purse.take(more):
            raise PeerError("the session holds too many bytes")
        if more < 0:
            self.visit.purse.give_back(-more)
        self._held += more

    def _take(self, count: int) -> bytes:
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\n")
        return None if end < 0 else self._take(end + 1).strip()

    # --- the program ---------------------------------------------------------------------------------

    def _await_program(self, size: int, done: bytes = b"", then: Step | None = None) -> None:
        """Read the program next: so many bytes, or to the end if `size` is 0; say `done`, and go on with `then`."""
        if size > PROGRAM_BYTES_MAX:
            raise PeerError(f"program over {PROGRAM_BYTES_MAX} bytes")
        self._size, self._done, self._then = size, done, then or Backdoor._ignore
        self._step = Backdoor._more_of_the_program

    def _more_of_the_program(self) -> Iterator[Order]:
        if self._padding:
            zeros = len(self._buffer) - len(self._buffer.lstrip(b"\0"))
            del self._buffer[: min(zeros, self._padding)]
            self._padding = 0 if self._buffer else self._padding - zeros
        self._program += self._take((self._size or PROGRAM_BYTES_MAX + 1) - len(self._program))
        if len(self._program) > PROGRAM_BYTES_MAX:
            yield from self._keep(partial=True)
            raise PeerError(f"program over {PROGRAM_BYTES_MAX} bytes")
        if self._size and len(self._program) == self._size:
            yield from self._keep(partial=False)
            if self._done:
                yield Send(self._done)
            self._step = self._then

    def _keep(self, *, partial: bool) -> Iterator[Order]:
        yield Keep(bytes(self._program), "upload", self._title, partial)
        self._program = bytearray()
        self._size = 0

    def _ignore(self) -> Iterator[Order]:
        self._buffer.clear()
        yield from ()

    # --- whose way it is -----------------------------------------------------------------------------

    def _bagle(self) -> Iterator[Order]:
        for known in _BAGLE_PASSES:
            if self._buffer.startswith(known):
                self._take(len(known))
                yield Send(self.visit.seed.bytes("bagle", 8).hex()[:8].encode())
                self._step = Backdoor._bagle_brings

    def _bagle_brings(self) -> Iterator[Order]:
        if len(self._buffer) < 4:
            return
        if bytes(self._buffer[:4]).lower() not in (b"http", b"ftp:"):
            self._await_program(int.from_bytes(self._take(4), "big"))
            return
        end = next((at for at, byte in enumerate(self._buffer) if not 0x21 <= byte <= 0x7E), None)
        if end is None:
            return
        yield from self._fetch(self._take(end))
        self._step = Backdoor._ignore

    def _fetch(self, url: bytes) -> Iterator[Order]:
        if _URL.fullmatch(url):
            yield Fetch(Download(url.decode("ascii"), "bagle"))

    def _mydoom(self) -> Iterator[Order]:
        self._take(len(_MYDOOM))
        self._await_program(0)
        yield from ()

    def _optix(self) -> Iterator[Order]:
        line = self._line()
        if line is None:
            return
        yield from self._command(line)
        if line.startswith(_OPTIX):
            yield Send(b"001\xacYour client version is outdated!\r\n")
        elif line.startswith(b"019\xac"):
            yield Send(b"020\xac\r\n")

    def _optix_file(self) -> Iterator[Order]:
        if self._buffer.count(b"\n") < 2:
            return
        path, size = self._line() or b"", self._line() or b""
        self._title = printable(path, 512)
        yield Send(b"+OK REDY")
        self._await_program(_number(size), b"+OK RECVD")

    def _sub7(self) -> Iterator[Order]:
        """PWD, TID and SFT05 come without a line's end: what follows the letters is theirs up to the next of them."""
        found = _SUB7_WORD.search(bytes(self._buffer), len(self._title) and 1)
        if found is None:
            return
        if self._title:
            yield from self._command(bytes(self._buffer[: found.start()]))
        self._take(found.start())
        if found["size"]:
            self._take(5 + len(found["size"]))
            self._title = ""
            yield from self._command(found[0])
            self._await_program(_number(found["size"]), b"+OK RECVD")
            return
        self._title = found[0].decode()
        yield Send(self._sub7_greeting() if found[0] == _SUB7 else b"UPS")

    def _sub7_greeting(self) -> bytes:
        """What it says of itself; without the time, as honeypots leave it out, it would be known for one."""
        version = self.visit.host.seed.child("backdoor").choice("sub7", _SUB7_VERSIONS)
        now = datetime.fromtimestamp(self._at_s, UTC)
        return f"connected. time/date: {now:%H:%M.%S - %B %d, %Y, %A}, ver: {version}".encode()

    def _kuang2(self) -> Iterator[Order]:
        if self._padding and self._buffer:
            zeros = len(self._buffer) - len(self._buffer.lstrip(b"\0"))
            self._take(min(zeros, self._padding))
            self._padding = 0 if self._buffer else self._padding - zeros
        end = self._buffer.find(b"\0", _KUANG2.size) if len(self._buffer) > _KUANG2.size else -1
        if bytes(self._buffer[:4]) == b"QUIT":
            yield from self._command(b"quit")
            self._over = True
            yield HangUp()
            return
        if end < 0:
            return
        command, number = _KUANG2.unpack_from(self._buffer)
        message = self._take(end + 1)
        self._padding = HEAD_BYTES_MAX - len(message)
        name = message[_KUANG2.size : -1]
        yield from self._command(f"{_KUANG2_COMMANDS.get(command, printable(command, 16))} ".encode() + name)
        yield Send(_KUANG2_DONE)
        if command == b"UPDF" and number:
            self._title = printable(name, 512)
            self._await_program(number, _KUANG2_DONE, Backdoor._kuang2)

    def _command(self, line: bytes) -> Iterator[Order]:
        self._commands += 1
        if self._commands > COMMANDS_MAX:
            raise PeerError(f"more than {COMMANDS_MAX} commands in one session")
        yield Saw(CommandEntered(printable(line, HEAD_BYTES_MAX)))


def _number(digits: bytes) -> int:
    return int(digits) if digits.isdigit() and len(digits) < 10 else 0


# What a handshake begins with, whose it is, and what reads it.
DOORS: tuple[tuple[bytes, str, Step], ...] = (
    (_BAGLE_PASSES[0], "bagle", Backdoor._bagle),
    (_BAGLE_PASSES[1], "bagle", Backdoor._bagle),
    (_MYDOOM, "mydoom", Backdoor._mydoom),
    (_OPTIX, "optix", Backdoor._optix),
    (_SUB7, "sub7", Backdoor._sub7),
    *((command, "kuang2", Backdoor._kuang2) for command in _KUANG2_COMMANDS),
)


def _whose(first: bytes) -> tuple[bytes, str, Step] | None:
    """Return the row of `DOORS` that these first bytes are of, None if they are of none or not yet."""
    for row in DOORS:
        if first.startswith(row[0]):
            return row
    return (b"", "optix", Backdoor._optix_file) if _OPTIX_FILE.match(first) else None
