"""distccd on TCP 3632: compiles for whoever asks, and runs whatever he calls his compiler (CVE-2004-2687).

    DIST version | ARGC count | ARGV size, word … | DOTI size, source           (distcc's doc/protocol-1.txt)
    DONE version | STAT status | SERR size, text | SOUT size, text | DOTO size, object

Each number is eight digits in hexadecimal; there is nothing between the parts. The words are a command: it goes to the
pretended shell, and what that prints is the compiler's output. Owns no compiler: who really compiles hears of none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised
from eudaemon.protocols._base import (
    Answered,
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
    Woken,
)  # fmt: skip
from eudaemon.protocols._shell import Captured
from eudaemon.wire import PeerError, printable

PART_BYTES_MAX = 64 * 1024  # of a word
SOURCE_BYTES_MAX = 16 * 1024 * 1024
WORDS_MAX = 256
JOBS_MAX = 16  # of one session
_HEAD = 12  # four letters and eight digits
_NUMBER = re.compile(rb"[0-9a-fA-F]{8}")
_COMPILERS = re.compile(rb"(?:[\w/.+-]*-)?(?:cc|gcc|g\+\+|c\+\+|clang|clang\+\+)(?:-[\d.]+)?")
_PLAIN = re.compile(rb"[\w@%+=:,./-]+")  # a word that means itself
_SHELLS = (b"sh", b"bash", b"dash", b"ash")
_FAILED = 0x7F00  # a status as wait() has it: the command was not found


class Distcc(Room):
    """One client that wants something compiled."""

    name: ClassVar[str] = "distcc"

    __slots__ = ("_buffer", "_count", "_held", "_jobs", "_leaves", "_shell", "_version", "_words")

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._buffer = bytearray()
        self._held = 0
        self._version = 0
        self._count = 0  # of words that are to come
        self._words: list[bytes] = []
        self._jobs = 0
        self._shell: Captured | None = None
        self._leaves = False

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """`DIST` and a version."""
        if not b"DIST0000".startswith(first[:8]):
            return Claim.NO
        return Claim.YES if len(first) >= 8 else Claim.UNSURE

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """Take one occasion and yield the orders that follow from it."""
        match occasion:
            case Received(at_s, data):
                yield from self._received(data, at_s)
            case Answered(at_s) | Woken(at_s) if self._shell:
                yield from self._shell.go_on(occasion)
                yield from self._done()
                yield from self._read(at_s)
                yield from self._leave()
            case HalfClosed():
                self._leaves = True
                yield from self._leave()
            case Ended():
                yield from self._broken_off()
                if self._shell:
                    yield from self._shell.ended()

    def _received(self, data: bytes, at_s: float) -> Iterator[Order]:
        self._buffer += data
        self._account()
        yield from self._read(at_s)
        if len(self._buffer) > _HEAD + SOURCE_BYTES_MAX:
            raise PeerError(f"over {SOURCE_BYTES_MAX} bytes while a command runs")

    def _read(self, at_s: float) -> Iterator[Order]:
        while not (self._shell and self._shell.busy) and (part := self._part()) is not None:
            yield from self._take(*part, at_s)
        self._account()

    def _leave(self) -> Iterator[Order]:
        if self._leaves and not (self._shell and self._shell.busy):
            yield HangUp()

    def _part(self) -> tuple[bytes, int, bytes] | None:
        """Return the next part: its letters, its number, and the bytes that belong to it."""
        head = bytes(self._buffer[:_HEAD])
        if len(head) < _HEAD:
            return None
        letters, digits = head[:4], head[4:]
        if letters not in (b"DIST", b"ARGC", b"ARGV", b"DOTI") or not _NUMBER.fullmatch(digits):
            raise PeerError("no part of a job")
        number = int(digits, 16)
        size = 0 if letters in (b"DIST", b"ARGC") else number
        most = SOURCE_BYTES_MAX if letters == b"DOTI" else PART_BYTES_MAX
        if size > most:
            raise PeerError(f"a part over {most} bytes")
        if len(self._buffer) < _HEAD + size:
            return None
        data = bytes(self._buffer[_HEAD : _HEAD + size])
        del self._buffer[: _HEAD + size]
        return letters, number, data

    def _take(self, letters: bytes, number: int, data: bytes, at_s: float) -> Iterator[Order]:
        if letters == b"DIST":
            self._version, self._words = number, []
        elif letters == b"ARGC":
            if number > WORDS_MAX:
                raise PeerError(f"more than {WORDS_MAX} words")
            self._count = number
        elif letters == b"ARGV":
            if len(self._words) >= self._count:
                raise PeerError("more words than were announced")
            if not self.visit.purse.take(len(data)):
                raise PeerError("the session holds too many bytes")
            self._words.append(data)
        else:
            yield from self._job(data, at_s)

    def _job(self, source: bytes, at_s: float) -> Iterator[Order]:
        self._jobs += 1
        if self._jobs > JOBS_MAX:
            raise PeerError(f"more than {JOBS_MAX} jobs in one session")
        words, self._words = self._words, []
        self.visit.purse.give_back(sum(map(len, words)))
        if source:
            yield Keep(source, "upload", printable(words[-1] if words else b"", 256))
        if not words:
            yield Send(self._answer(_FAILED, b"", b""))
            return
        if _COMPILERS.fullmatch(words[0].rpartition(b"/")[2]):
            yield Saw(CommandEntered(printable(b" ".join(words), 4096)))
            yield Send(self._answer(_FAILED, b"distcc: %s: No such file or directory\n" % words[0], b""))
            return
        line = command_line(words)
        yield Saw(ExploitRecognised("distcc-command", "CVE-2004-2687", printable(line, 2048)))
        self._shell = self._shell or Captured(self.visit)
        yield from self._shell.enter(line, at_s)
        yield from self._done()

    def _done(self) -> Iterator[Order]:
        """Answer with what the command printed, once it is over."""
        if self._shell is None or self._shell.busy:
            return
        yield Send(self._answer(self._shell.status << 8 & 0xFF00, b"", self._shell.printed))
        self._shell.release()

    def _answer(self, status: int, errors: bytes, printed: bytes) -> bytes:
        head = b"DONE%08xSTAT%08xSERR%08x%s" % (max(1, self._version), status, len(errors), errors)
        return head + b"SOUT%08x%sDOTO%08x" % (len(printed), printed, 0)

    def _broken_off(self) -> Iterator[Order]:
        """Keep what came of a source of which more was to come."""
        head = bytes(self._buffer)
        if head[:4] == b"DOTI" and len(head) > _HEAD and _NUMBER.fullmatch(head[4:_HEAD]):
            partial = len(head) - _HEAD < int(head[4:_HEAD], 16)
            yield Keep(head[_HEAD:], "upload", partial=partial)

    def _account(self) -> None:
        more = len(self._buffer) - self._held
        if more > 0 and not self.visit.purse.take(more):
            raise PeerError("the session holds too many bytes")
        if more < 0:
            self.visit.purse.give_back(-more)
        self._held = len(self._buffer)


def command_line(words: list[bytes]) -> bytes:
    """Return the line that these words are for a shell: of `sh -c X` it is X."""
    if len(words) > 2 and words[0].rpartition(b"/")[2] in _SHELLS and words[1] == b"-c":
        return words[2]
    return b" ".join(word if _PLAIN.fullmatch(word) else b"'%s'" % word.replace(b"'", b"'\\''") for word in words)
