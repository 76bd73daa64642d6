"""What keys mean (RFC 6143 section 7.5.4; X11's keysyms): lines as they were typed, with what was pressed besides.

Super+r, c, m, d, Return  -->  the line `<Super+r>cmd`
"""

from __future__ import annotations

LINE_CHARS_MAX = 4096
_MODIFIERS = {0xFFE3: "Ctrl", 0xFFE4: "Ctrl", 0xFFE9: "Alt", 0xFFEA: "Alt", 0xFFE7: "Alt", 0xFFE8: "Alt",
              0xFFEB: "Super", 0xFFEC: "Super", 0xFFE1: "", 0xFFE2: "", 0xFFE5: ""}  # fmt: skip
_RETURN = frozenset((0xFF0D, 0xFF8D))
_NAMES = {0xFF09: "Tab", 0xFF1B: "Escape", 0xFFFF: "Delete", 0xFF50: "Home", 0xFF51: "Left", 0xFF52: "Up",
          0xFF53: "Right", 0xFF54: "Down", 0xFF55: "PageUp", 0xFF56: "PageDown", 0xFF57: "End"}  # fmt: skip
_BACKSPACE = 0xFF08
_F1 = 0xFFBE


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
