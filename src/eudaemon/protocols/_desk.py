"""Somebody at the desktop of the pretended Windows, over VNC or Remote Desktop: what keys mean, what comes of a line.

    Super+r, c, m, d, Return  -->  the box opens, and `cmd` goes to the pretended cmd.exe
    w, h, o, a, m, i, Return  -->  so does `whoami`, for a window is open that takes it

Keys are X11's keysyms, as RFC 6143 section 7.5.4 has them. A line that nothing takes is an event, with what was pressed
besides in brackets, `half<Ctrl+c>`; URLs in it are fetched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

from eudaemon.events.catalogue import CommandEntered
from eudaemon.protocols._base import Answered, Keep, Order, Saw, Visit, Woken
from eudaemon.protocols._command_prompt import CommandPrompt
from eudaemon.wire import PeerError, printable

LINES_MAX = 1000  # typed in one session
KEPT_MAX = 64  # lines and clipboards of one session that become artefacts
LINE_CHARS_MAX = 4096
_MODIFIERS = {0xFFE3: "Ctrl", 0xFFE4: "Ctrl", 0xFFE9: "Alt", 0xFFEA: "Alt", 0xFFE7: "Alt", 0xFFE8: "Alt",
              0xFFEB: "Super", 0xFFEC: "Super", 0xFFE1: "", 0xFFE2: "", 0xFFE5: ""}  # fmt: skip
_RETURN = frozenset((0xFF0D, 0xFF8D))
_NAMES = {0xFF09: "Tab", 0xFF1B: "Escape", 0xFFFF: "Delete", 0xFF50: "Home", 0xFF51: "Left", 0xFF52: "Up",
          0xFF53: "Right", 0xFF54: "Down", 0xFF55: "PageUp", 0xFF56: "PageDown", 0xFF57: "End"}  # fmt: skip
_BACKSPACE = 0xFF08
_F1 = 0xFFBE
_CTRL_Z = "\x1a"
_KEYS = re.compile(r"<(?:Ctrl|Alt|Super|Tab|Delete|Home|Left|Up|Right|Down|Page|End|F\d|0x)[^>]{0,24}>")
_WINDOW = re.compile(r"\s*(?:cmd|powershell|pwsh)(?:\.exe)?(?:\s+/k.*|\s+-noexit.*)?\s*", re.IGNORECASE)


class Keyboard:
    """One keyboard. `box` is what stands in Super+r's box, None while it is closed; `clipboard` what Ctrl+v adds."""

    __slots__ = ("_held", "_line", "box", "clipboard")

    def __init__(self) -> None:
        self._held: set[str] = set()
        self._line = ""
        self.box: str | None = None
        self.clipboard = ""

    def press(self, key: int, *, down: bool) -> str | None:
        """Take a key; return the line that is finished by it, None if none is."""
        if key in _MODIFIERS:
            (self._held.add if down else self._held.discard)(_MODIFIERS[key])
            return None
        if not down:
            return None
        held = "+".join(name for name in ("Ctrl", "Alt", "Super") if name in self._held)
        if key in _RETURN and not held:
            return self.finish()
        if held:
            return self._chord(held, _name(key))
        if key == _BACKSPACE:
            if not self._line.endswith(">"):
                self._line = self._line[:-1]
            self.box = self.box[:-1] if self.box else self.box
        elif len(name := _name(key)) == 1:
            return self._add(name)
        elif key == 0xFF1B:
            self.box = None
            return self.finish()
        else:
            return self._mark(name)
        return None

    def finish(self) -> str | None:
        """Return what stands in the line, and begin a new one; None if there is nothing."""
        line, self._line, self.box = self._line, "", None
        return line or None

    def _chord(self, held: str, name: str) -> str | None:
        if (held, name.lower()) == ("Ctrl", "v") and self.clipboard:
            return self._add(self.clipboard[:LINE_CHARS_MAX])
        if (held, name.lower()) == ("Super", "r"):
            line = self.finish()
            self.box, self._line = "", "<Super+r>"
            return line
        return self._mark(f"{held}+{name}")

    def _mark(self, name: str) -> str | None:
        line = self.finish() if len(self._line) + len(name) + 2 > LINE_CHARS_MAX else None
        self._line += f"<{name}>"
        return line

    def _add(self, typed: str) -> str | None:
        line = self.finish() if len(self._line) + len(typed) > LINE_CHARS_MAX else None
        self._line += typed
        if self.box is not None:
            self.box += typed
        return line


def _name(key: int) -> str:
    """Return a key's character, or its name."""
    if 0x20 <= key <= 0x7E or 0xA0 <= key <= 0xFF:
        return chr(key)
    if 0x0100_00A0 <= key <= 0x0110_FFFF and not 0xD800 <= key & 0xFF_FFFF <= 0xDFFF:
        return chr(key & 0xFF_FFFF)
    if _F1 <= key < _F1 + 12:
        return f"F{key - _F1 + 1}"
    if 0xFFAA <= key <= 0xFFB9:  # the keypad
        return chr(key & 0x7F)
    return _NAMES.get(key, f"{key:#x}")


class _Window(CommandPrompt):
    """A window of cmd.exe, whose commands read what is typed into it."""

    __slots__ = ()
    gives_input: ClassVar[bool] = True


class Desk:
    """One person at the desktop. `computer` is what it is called, for `whoami`."""

    __slots__ = ("_computer", "_kept", "_lines", "_prompt", "_visit", "_window", "keyboard")

    def __init__(self, visit: Visit, computer: str) -> None:
        self._visit = visit
        self._computer = computer
        self.keyboard = Keyboard()
        self._lines = self._kept = 0
        self._window = False  # whether a cmd.exe or PowerShell is open, into which one types
        self._prompt: CommandPrompt | None = None  # what runs, once something was typed into the box

    def press(self, key: int, *, down: bool, at_s: float) -> Iterator[Order]:
        """Take a key. Raises `PeerError` past a limit."""
        line = self.keyboard.press(key, down=down)
        if line is not None:
            self._lines += 1
            if self._lines > LINES_MAX:
                raise PeerError(f"more than {LINES_MAX} lines typed in one session")
            yield from self._line(line, at_s)

    def paste(self, text: bytes) -> Iterator[Order]:
        """Take what is put on the clipboard."""
        self.keyboard.clipboard = printable(text)
        yield Saw(CommandEntered(f"clipboard: {printable(text)}"))
        yield from self._look_into(text)

    def go_on(self, occasion: Answered | Woken) -> Iterator[Order]:
        """Go on with what a download brought, or with a command whose time has passed."""
        if self._prompt is not None:
            yield from self._prompt.go_on(occasion)

    def ended(self) -> Iterator[Order]:
        """The session is over: state what was half typed, keep what was written and not kept."""
        line = self.keyboard.finish()
        if line and self._lines < LINES_MAX:
            yield Saw(CommandEntered(line))
        if self._prompt is not None:
            yield from self._prompt.ended()

    def _line(self, line: str, at_s: float) -> Iterator[Order]:
        """Run what was typed where it would run; of all else it is told that it was typed."""
        command = line.removeprefix("<Super+r>")
        if command == line and self._prompt is not None and self._prompt.listening:
            if command == "<Ctrl+c>":
                self._prompt.interrupt()
            else:
                typed = command.replace("<Ctrl+z>", _CTRL_Z).replace("<F6>", _CTRL_Z)
                yield from self._prompt.enter(typed.encode("latin-1", "replace"), at_s)
            return
        if (command == line and not self._window) or _KEYS.search(command):
            yield Saw(CommandEntered(line))
            yield from self._look_into(line.encode("utf-8", "replace"))
            return
        if self._prompt is None:
            self._prompt = _Window(self._visit, f"{self._computer.lower()}\\administrator", muted=True)
        self._window = (self._window and command == line) or _WINDOW.fullmatch(command) is not None
        yield from self._prompt.enter(command.encode("utf-8", "replace"), at_s)
        if self._prompt.over or command.strip().lower() == "exit":
            yield from self._prompt.ended()
            self._window, self._prompt = False, None

    def _look_into(self, text: bytes) -> Iterator[Order]:
        """What names an address, or is long, is kept; the sensor fetches what a script would fetch."""
        if (b"://" in text or b"\\\\" in text or len(text) > 1024) and self._kept < KEPT_MAX:
            self._kept += 1
            yield Keep(text, "script", "typed")
