"""The room: one connection to the daemon, which exports what it has, and lets everybody push.

    git-upload-pack   --> references --> wants, haves, done --> the pack
    git-receive-pack  --> references --> updates --> a pack, which is kept --> the report

A line is preceded by its length in four hexadecimal digits, `0000` ends a group of them. What is pushed is there to
nobody afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from typing import ClassVar, TypeAlias

from eudaemon.events.catalogue import CommandEntered, FileRequested
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
from eudaemon.protocols.git.pack import PackEnd
from eudaemon.protocols.git.repository import Repository, name_of, repository_of, version_of
from eudaemon.wire import ByteReader, PeerError, printable

LINE_BYTES_MAX = 65_520  # gitprotocol-common: pkt-line
LINES_MAX = 4096  # of one session
UPDATES_MAX = 64
PACK_BYTES_MAX = 16 * 1024 * 1024
_BAND_BYTES_MAX = 65_515
_FLUSH = b"0000"
_NONE = "0" * 40
_FETCHES = (
    "multi_ack thin-pack side-band side-band-64k ofs-delta shallow deepen-since deepen-not deepen-relative no-progress "
    "include-tag multi_ack_detailed symref=HEAD:refs/heads/master agent=git/{version}"
)
_TAKES = "report-status delete-refs side-band-64k quiet atomic ofs-delta agent=git/{version}"


class Stage(Enum):
    """What comes next."""

    REQUEST = "what is wanted of which repository"
    WANTS = "wants, haves, done"
    UPDATES = "references to be changed"
    PACK = "a pack"
    OVER = "nothing"


class Git(Room):
    """One connection to the daemon."""

    name: ClassVar[str] = "git"

    __slots__ = (
        "_bands",
        "_deepens",
        "_end",
        "_lines",
        "_pack",
        "_path",
        "_reader",
        "_repository",
        "_stage",
        "_updates",
    )

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._reader = ByteReader(LINE_BYTES_MAX + 4 + 65_536)
        self._stage = Stage.REQUEST
        self._lines = 0
        self._path = ""
        self._repository: Repository | None = None
        self._bands = False  # whether the client takes a pack, or a report, in bands
        self._deepens = False
        self._updates: list[bytes] = []  # references
        self._end = PackEnd()
        self._pack = bytearray()

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """A length, then one of three services."""
        if len(first) < 9:
            is_sized = not first[:4].strip(b"0123456789abcdef")
            return Claim.UNSURE if is_sized and b"git-".startswith(first[4:8]) else Claim.NO
        return Claim.YES if first[4:8] == b"git-" and not first[:4].strip(b"0123456789abcdef") else Claim.NO

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """Take one occasion and yield the orders that follow from it."""
        match occasion:
            case Received(_, data):
                self._reader.feed(data)
                while self._stage not in (Stage.PACK, Stage.OVER) and (line := self._next()) is not None:
                    yield from STEPS[self._stage](self, line)
                if self._stage is Stage.PACK:
                    yield from self._more(self._reader.take_all())
            case HalfClosed():
                yield HangUp()
            case Ended() if self._pack:
                yield Keep(bytes(self._pack), "upload", f"{self._path}.pack", partial=True)
                self._let_go()

    def _next(self) -> bytes | None:
        """Return the next line, with the end of a group as an empty one."""
        digits = self._reader.peek()[:4]
        if len(digits) < 4:
            return None
        if digits.strip(b"0123456789abcdefABCDEF"):
            raise PeerError("git: no length before a line")
        size = int(digits, 16) or 4
        if size > LINE_BYTES_MAX or (size == 4 and digits != _FLUSH) or size < 4:
            raise PeerError("git: a line of no length, or too long")
        line = self._reader.take(size)
        if line is not None:
            self._lines += 1
            if self._lines > LINES_MAX:
                raise PeerError(f"more than {LINES_MAX} lines in one session")
        return line[4:].rstrip(b"\n") if line is not None else None

    # --- what is wanted ------------------------------------------------------------------------------

    def _requested(self, line: bytes) -> Iterator[Order]:
        words, *parameters = line.split(b"\0")
        service, _, path = words.partition(b" ")
        said = b" ".join(filter(None, (words, *parameters)))
        self._path = printable(path, 1024)
        self._repository = repository_of(self.visit.host, name_of(path))
        yield Saw(CommandEntered(printable(said, 2048)))
        action = "write" if service == b"git-receive-pack" else "read"
        known = service in (b"git-upload-pack", b"git-receive-pack")
        yield Saw(FileRequested(action, self._path, done=known and self._repository is not None))
        if self._repository is None or not known:
            why = "access denied or repository not exported" if self._repository is None else "service not enabled"
            yield Send(_line(f"ERR {why}: {self._path}"))
            yield from self._finish()
            return
        self._stage = Stage.WANTS if action == "read" else Stage.UPDATES
        can = (_FETCHES if action == "read" else _TAKES).format(version=version_of(self.visit.host))
        first = "HEAD" if action == "read" else "refs/heads/master"
        lines = [_line(f"{self._repository.head} {first}\0{can}\n")]
        lines += [_line(f"{self._repository.head} refs/heads/master\n")] if action == "read" else []
        yield Send(b"".join(lines) + _FLUSH)

    def _wanted(self, line: bytes) -> Iterator[Order]:
        self._bands = self._bands or (line.startswith(b"want ") and b" side-band" in line)
        if line.startswith(b"deepen"):
            self._deepens = True
        elif not line and self._deepens:  # its one commit has no parents that could be left out
            self._deepens = False
            yield Send(_FLUSH)
        elif line == b"done" and self._repository is not None:
            yield Send(_line("NAK\n"))
            yield from self._banded(1, self._repository.pack)
            yield from self._finish()

    # --- what is brought -----------------------------------------------------------------------------

    def _updated(self, line: bytes) -> Iterator[Order]:
        if line:
            words, _, can = line.partition(b"\0")
            if len(self._updates) >= UPDATES_MAX:
                raise PeerError(f"more than {UPDATES_MAX} references to be changed")
            _, new, reference = (*words.split(b" ", 2), b"", b"", b"")[:3]
            self._bands = self._bands or b"side-band-64k" in can
            self._updates.append((b"-" if new == _NONE.encode() else b"") + reference)
            yield Saw(CommandEntered(printable(words, 512)))
        elif not self._updates:
            yield from self._finish()
        elif all(update.startswith(b"-") for update in self._updates):  # what is deleted brings no pack
            yield from self._report()
        else:
            self._stage = Stage.PACK

    def _more(self, data: bytes) -> Iterator[Order]:
        if not data:
            return
        if not self.visit.purse.take(len(data)):
            raise PeerError("more bytes held than this session may")
        self._pack += data
        if len(self._pack) > PACK_BYTES_MAX:
            raise PeerError(f"pack over {PACK_BYTES_MAX} bytes")
        rest = self._end.feed(data)
        if rest is None:
            return
        yield Keep(bytes(self._pack[: len(self._pack) - len(rest)]), "upload", f"{self._path}.pack")
        self._let_go()
        yield from self._report()

    def _report(self) -> Iterator[Order]:
        told = _line("unpack ok\n") + b"".join(
            _line(f"ok {update.removeprefix(b'-').decode('latin-1')}\n") for update in self._updates
        )
        yield from self._banded(1, told + _FLUSH)
        yield from self._finish()

    def _banded(self, band: int, data: bytes) -> Iterator[Order]:
        if not self._bands:
            yield Send(data)
            return
        pieces = (data[at : at + _BAND_BYTES_MAX] for at in range(0, len(data), _BAND_BYTES_MAX))
        yield Send(b"".join(_line(bytes((band,)) + piece) for piece in pieces) + _FLUSH)

    def _finish(self) -> Iterator[Order]:
        self._stage = Stage.OVER
        yield HangUp()

    def _let_go(self) -> None:
        self.visit.purse.give_back(len(self._pack))
        self._pack = bytearray()


Step: TypeAlias = Callable[[Git, bytes], Iterator[Order]]
STEPS: dict[Stage, Step] = {
    Stage.REQUEST: Git._requested,
    Stage.WANTS: Git._wanted,
    Stage.UPDATES: Git._updated,
}


def _line(content: str | bytes) -> bytes:
    data = content.encode("latin-1", "replace") if isinstance(content, str) else content
    return b"%04x" % (len(data) + 4) + data
