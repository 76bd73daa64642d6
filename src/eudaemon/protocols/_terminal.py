"""The line discipline: what is typed becomes lines, and is echoed as a terminal echoes it.

Lines end with CR LF, CR NUL, a lone CR or a lone LF (RFC 854 and what bots make of it). The echo of a piece depends
on the bytes alone, not on how they were cut.
"""

from __future__ import annotations

import re

from eudaemon.wire import PeerError, Purse
from eudaemon.world.shell.limits import LINE_BYTES_MAX

HISTORY_LINES_MAX, HISTORY_LINE_BYTES_MAX = 8, 256  # what the cursor keys bring back; longer lines are nobody's typing
INTERRUPT, END = b"\x03", b"\x04"  # Ctrl-C, Ctrl-D: the two that are no line
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_LF, _CR, _NUL = 0x0A, 0x0D, 0x00
_ERASE = frozenset((0x08, 0x7F))
_KILL, _WORD = 0x15, 0x17  # Ctrl-U, Ctrl-W


class Terminal:
    """One line that is being typed. `echoes` is switched off for passwords. What it holds is taken from the purse."""

    __slots__ = ("_after_cr", "_back", "_escape", "_history", "_line", "_purse", "echoes")

    def __init__(self, purse: Purse) -> None:
        self.echoes = True
        self._purse = purse
        self._line = b""
        self._after_cr = False
        self._escape = 0  # bytes seen of an escape sequence
        self._history: list[bytes] | None = None
        self._back = 0  # how many lines before this one is shown

    def remember(self, line: bytes) -> None:
        """Let the cursor keys bring this line back."""
        history = self._history = self._history or []
        if not line.strip() or len(line) > HISTORY_LINE_BYTES_MAX or line in history[-1:]:
            return
        if len(history) >= HISTORY_LINES_MAX:
            self._purse.give_back(len(history.pop(0)))
        if self._purse.take(len(line)):
            history.append(line)

    def take(self, data: bytes, at: int) -> tuple[int, bytes | None, bytes]:
        """Read on from position `at`, up to the end of one line at most.

        Returns the new position, the line (or `INTERRUPT`, `END`) if one is whole, and the echo.
        Raises `PeerError` for a line over the limit.
        """
        echo = bytearray()
        while at < len(data):
            if self._after_cr or self._escape:
                at = self._swallow(data, at, echo)
                continue
            found = _CONTROL.search(data, at)
            end = len(data) if found is None else found.start()
            if end > at:
                self._hold(data[at:end])
                echo += data[at:end]
                at = end
            if found is None:
                break
            byte = data[at]
            at += 1
            if byte in (_CR, _LF):
                self._after_cr = byte == _CR
                line = self._release()
                return at, line, bytes(echo) + b"\r\n" if self.echoes else b"\r\n"
            if byte in INTERRUPT or (byte in END and not self._line):
                self._release()
                return at, bytes((byte,)), bytes(echo) if self.echoes else b""
            self._edit(byte, echo)
        return at, None, bytes(echo) if self.echoes else b""

    def _swallow(self, data: bytes, at: int, echo: bytearray) -> int:
        byte = data[at]
        if self._after_cr:
            self._after_cr = False
            return at + (byte in (_LF, _NUL))
        # Cursor keys: ESC [ letter, ESC O letter, ESC [ digits ~
        self._escape += 1
        if self._escape == 2 and byte in b"[O":
            return at + 1
        if self._escape == 2 and byte in b":":  # Escape alone, and then what an editor is told
            self._escape = 0
            return at
        if self._escape > 2 and byte in b"0123456789;" and self._escape < 8:
            return at + 1
        if self._escape == 3 and byte in b"AB":
            self._recall(1 if byte in b"A" else -1, echo)
        self._escape = 0
        return at + 1

    def _recall(self, step: int, echo: bytearray) -> None:
        """Show an earlier or a later line instead of this one, as BusyBox's ash does."""
        history = self._history or []
        back = self._back + step
        if not self.echoes or not 0 <= back <= len(history):
            return
        recalled = history[-back] if back else b""
        echo += b"\b \b" * len(self._line)
        self._release()
        self._hold(recalled)
        echo += recalled
        self._back = back

    def _edit(self, byte: int, echo: bytearray) -> None:
        count = 0
        if byte in _ERASE:
            count = min(1, len(self._line))
        elif byte == _KILL:
            count = len(self._line)
        elif byte == _WORD:
            count = len(self._line) - (self._line.rstrip(b" ").rfind(b" ") + 1)
        elif byte == 0x1B:
            self._escape = 1
        elif byte == 0x09:
            self._hold(b"\t")  # no name to complete: what a script sends is meant
        if count:
            self._purse.give_back(count)
            self._line = self._line[: len(self._line) - count]
            echo += b"\b \b" * count

    def _hold(self, piece: bytes) -> None:
        if len(self._line) + len(piece) > LINE_BYTES_MAX:
            raise PeerError(f"line over {LINE_BYTES_MAX} bytes")
        if not self._purse.take(len(piece)):
            raise PeerError("the session holds too many bytes")
        self._line += piece

    def _release(self) -> bytes:
        line, self._line, self._back = self._line, b"", 0
        self._purse.give_back(len(line))
        return line
