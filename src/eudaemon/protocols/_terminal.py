"""The line discipline: what is typed becomes lines, and is echoed as a terminal echoes it.

A shell edits its lines by itself (`take`); for a command that reads the kernel does it, as N_TTY's canonical mode
has it (`cook`): Ctrl-D hands over what stands in the line, Ctrl-V takes a key as it is, and control keys show as ^X.

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
_ERASE_KEY = 0x7F
_KILL, _WORD = 0x15, 0x17  # Ctrl-U, Ctrl-W
_END_KEY, _LITERAL, _AGAIN, _FLOW = 0x04, 0x16, 0x12, (0x11, 0x13)  # Ctrl-D, Ctrl-V, Ctrl-R, Ctrl-Q and Ctrl-S
SIGNALS = {0x03: b"^C\r\n", 0x1C: b"^\\Quit\r\n", 0x1A: b"^Z\r\n"}  # what is shown of what ends a command that reads


class Terminal:
    """One line that is being typed. `echoes` is switched off for passwords. What it holds is taken from the purse."""

    __slots__ = ("_after_cr", "_back", "_escape", "_history", "_line", "_literal", "_purse", "echoes")

    def __init__(self, purse: Purse) -> None:
        self.echoes = True
        self._purse = purse
        self._line = b""
        self._after_cr = False
        self._escape = 0  # bytes seen of an escape sequence
        self._literal = False  # whether the next key is taken as it is
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

    def cook(self, data: bytes, at: int) -> tuple[int, bytes | int | None, bytes]:
        """Read on from position `at` for a command that reads, up to what it gets at a time.

        Returns the new position, what the command gets (nothing where its input ends; None if that is not there yet;
        a key of `SIGNALS`), and the echo. Of a line that is longer than one may be it gets a part.
        """
        echo = bytearray()
        gets: bytes | int | None = None
        while at < len(data) and gets is None:
            if self._after_cr:
                self._after_cr = False
                at += data[at] in (_LF, _NUL)
                continue
            found = None if self._literal else _CONTROL.search(data, at)
            end = at + 1 if self._literal else len(data) if found is None else found.start()
            if end > at:
                end = min(end, at + LINE_BYTES_MAX - len(self._line))
                self._hold(data[at:end])
                echo += _visible(data[at:end]) if self._literal else data[at:end]
                self._literal = False
                at = end
                gets = self._release() if len(self._line) == LINE_BYTES_MAX else None
                continue
            byte = data[at]
            at += 1
            if byte in (_CR, _LF):
                self._after_cr = byte == _CR
                gets = self._release() + b"\n"
                return at, gets, bytes(echo) + b"\r\n" if self.echoes else b"\r\n"
            if byte in SIGNALS:
                self._release()
                return at, byte, bytes(echo) + SIGNALS[byte]
            if byte == _END_KEY:
                gets = self._release()
            elif byte == _LITERAL:
                self._literal = True
                echo += b"^\b"
            elif byte == _AGAIN:
                echo += b"^R\r\n" + _visible(self._line)
            elif byte == _ERASE_KEY or byte in (_KILL, _WORD):
                count = len(self._line) if byte == _KILL else min(1, len(self._line))
                if byte == _WORD:
                    count = len(self._line) - (self._line.rstrip(b" ").rfind(b" ") + 1)
                gone = self._line[len(self._line) - count :]
                self._purse.give_back(count)
                self._line = self._line[: len(self._line) - count]
                echo += b"\b \b" * len(_visible(gone))
            elif byte not in _FLOW:
                self._hold(data[at - 1 : at])
                echo += _visible(data[at - 1 : at])
                gets = self._release() if len(self._line) == LINE_BYTES_MAX else None
        return at, gets, bytes(echo) if self.echoes else b""

    def take_back(self) -> bytes:
        """Return what was typed of a line that was not finished, and forget it."""
        return self._release()

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


def _visible(data: bytes) -> bytes:
    """Return what a terminal shows of bytes that were typed: `^X` for what is a control key, but for a tab."""
    return _CONTROL.sub(lambda found: found[0] if found[0] == b"\t" else bytes((0x5E, found[0][0] ^ 0x40)), data)
