"""Commands that come line by line, and what was said of one that is not finished: its text, and what may finish it.

    cat > f <<EOF        --> nothing runs: a line that is EOF ends it, whatever stands between
    f0VMRgIBAQ…          --> only held
    EOF                  --> the whole is read anew, and runs

A here-document may be as large as a file is, unless its lines are changed (`<<-`); all other text of an unfinished
command may be as long as a line.
"""

from __future__ import annotations

from eudaemon.wire import PeerError
from eudaemon.world.shell.limits import (
    CONTINUATION_LINES_MAX,
    DOCUMENT_BYTES_MAX,
    LARGE_READ_AGAIN_MAX,
    LINE_BYTES_MAX,
)
from eudaemon.world.shell.parser import Commands, Parser
from eudaemon.world.shell.words import IncompleteError


class Unfinished:
    """One command's."""

    __slots__ = ("_document_bytes", "_lines", "_read_again", "_text", "_why")

    def __init__(self) -> None:
        self._text = bytearray()
        self._document_bytes = 0  # of the text, that stands in here-documents
        self._lines = 0  # that do not
        self._read_again = 0  # how often a large text was
        self._why = IncompleteError(b"")

    def __len__(self) -> int:
        return len(self._text)

    @staticmethod
    def of(line: bytes) -> bytes:
        """Return a line with which a command begins. Raises `PeerError`."""
        if len(line) > LINE_BYTES_MAX:
            raise PeerError(f"shell line over {LINE_BYTES_MAX} bytes")
        return line

    @property
    def is_document(self) -> bool:
        """Whether what comes next belongs to a here-document."""
        return self._why.is_document

    @property
    def text(self) -> bytes:
        """All of it."""
        return bytes(self._text)

    def add(self, line: bytes) -> bytes | None:
        """Return the line with what it continues, or None while it surely ends nothing. Raises `PeerError`."""
        in_document = self.is_document and not self._why.strips
        if in_document and self._document_bytes + len(line) > DOCUMENT_BYTES_MAX:
            raise PeerError(f"here-document over {DOCUMENT_BYTES_MAX} bytes")
        if not in_document and len(self._text) - self._document_bytes + len(line) > LINE_BYTES_MAX:
            raise PeerError(f"shell line over {LINE_BYTES_MAX} bytes")
        if in_document:
            self._document_bytes += len(line) + 1
        else:
            self._lines += 1
            if self._lines > CONTINUATION_LINES_MAX:
                raise PeerError(f"shell command over {CONTINUATION_LINES_MAX} lines")
        self._text += b"\n"
        self._text += line
        if not self._why.may_end_with(line):
            return None
        if len(self._text) > LINE_BYTES_MAX:
            self._read_again += 1
            if self._read_again > LARGE_READ_AGAIN_MAX:
                raise PeerError(f"shell command that goes on behind {LARGE_READ_AGAIN_MAX} large here-documents")
        return bytes(self._text)

    def wait(self, text: bytes, why: IncompleteError) -> None:
        """It is not finished yet, and this is why."""
        if len(text) != len(self._text):
            self._text[:] = text
        self._why = why


class Reader:
    """Makes commands of lines. `unfinished` is what waits for more of them, if anything does."""

    __slots__ = ("unfinished",)

    def __init__(self) -> None:
        self.unfinished: Unfinished | None = None

    def __len__(self) -> int:
        return len(self.unfinished or b"")

    def whole(self, line: bytes) -> bytes | None:
        """Return the line with what it continues, or None while it surely ends nothing. Raises `PeerError`."""
        return self.unfinished.add(line) if self.unfinished else Unfinished.of(line)

    def commands(self, text: bytes) -> list[Commands] | None:
        """Return what a text says, None if that is not finished. Raises `PeerError` and `ShellSyntaxError`.

        All of it is read before any of it runs: what is not finished must not run twice.
        """
        parser = Parser(text)
        found: list[Commands] = []
        before, self.unfinished = self.unfinished, None
        try:
            while (commands := parser.next_line()) is not None:
                found.append(commands)
        except IncompleteError as error:
            self.unfinished = before or Unfinished()
            self.unfinished.wait(text, error)
            return None
        return found
