"""The lines that are appended to a log, through its rotation and truncation. Nothing is asked of who writes it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

READ_BYTES_MAX = 1024 * 1024  # at one look; the rest is read at the next
LINE_BYTES_MAX = 1024 * 1024  # a longer one is left out
_PIECE_BYTES = 64 * 1024


class Tail:
    """Follows one file by its name: from its end where it is there already, from its beginning where it comes later.

    renamed, and a new one made     the old one is read to its end, then the new one from its beginning
    truncated (copytruncate)        read from its beginning
    not there, or no regular file   nothing, until it is
    """

    def __init__(self, path: Path) -> None:
        """Open it, if it is there. Never raises."""
        self.path = path
        self.long_lines = 0  # that were left out
        self._file = -1
        self._at = 0
        self._rest = bytearray()
        self._is_skipping = False  # the rest of a line of which we do not have the beginning
        if self._open():
            self._at = os.fstat(self._file).st_size
            self._is_skipping = self._at > 0 and os.pread(self._file, 1, self._at - 1) != b"\n"

    def close(self) -> None:
        """Close it."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    @property
    def is_open(self) -> bool:
        """Whether there is such a file."""
        return self._file >= 0

    def lines(self) -> Iterator[bytes]:
        """Yield the lines that were finished since the last time, without their ends."""
        read = 0
        while read < READ_BYTES_MAX:
            piece = os.pread(self._file, _PIECE_BYTES, self._at) if self.is_open else b""
            if piece:
                self._at += len(piece)
                read += len(piece)
                yield from self._split(piece)
            elif not self._turn():
                return

    def _split(self, piece: bytes) -> Iterator[bytes]:
        *ended, rest = piece.split(b"\n")
        for line in ended:
            whole, self._rest = bytes(self._rest) + line, bytearray()
            if self._is_skipping:
                self._is_skipping = False
            elif len(whole) > LINE_BYTES_MAX:
                self.long_lines += 1
            else:
                yield whole
        if self._is_skipping:
            return
        self._rest += rest
        if len(self._rest) > LINE_BYTES_MAX:
            self.long_lines += 1
            self._rest.clear()
            self._is_skipping = True

    def _turn(self) -> bool:
        """At the end of what there is: go to the beginning of what has taken its place, if anything has."""
        if not self.is_open:
            return self._open()
        ours = os.fstat(self._file)
        if ours.st_size < self._at:
            self._begin()
            return True
        with suppress(OSError):
            named = self.path.stat()
            if (named.st_dev, named.st_ino) != (ours.st_dev, ours.st_ino):
                self.close()
                return self._open()
        return False

    def _open(self) -> bool:
        """Open what has the name now, at its beginning."""
        self._begin()
        try:
            file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return False
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            return False
        self._file = file
        return True

    def _begin(self) -> None:
        self._at = 0
        self._rest.clear()
        self._is_skipping = False
