"""Reads PowerShell's texts, names and blanks: what stands below expressions. Holds the text and where reading is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from eudaemon.world.windows.limits import POWERSHELL_EXPRESSION_LEVELS_MAX
from eudaemon.world.windows.powershell.syntax import Constant, Expandable, Node, ParseError, Variable

if TYPE_CHECKING:
    from eudaemon.world.windows.powershell.syntax import Block

_BLANK = re.compile(r"(?:[ \t\xa0]|`\r?\n|<#(?s:.*?)#>|#[^\n]*)*")
_BLANK_LINES = re.compile(r"(?:[ \t\xa0\r\n;]|`\r?\n|<#(?s:.*?)#>|#[^\n]*)*")
_LINES = re.compile(r"(?:[ \t\xa0\r\n]|`\r?\n|<#(?s:.*?)#>|#[^\n]*)*")
_NAME = re.compile(r"\$(?:\{([^}\n]{1,128})\}|((?:[A-Za-z_]\w*:)?[A-Za-z_]\w*|[$^?_]|\d+))")
_NUMBER = re.compile(r"(?:0[xX][0-9a-fA-F]{1,16}|\d{1,18}(?:\.\d{1,18})?)(?:[kKmMgG][bB])?[lL]?(?![\w.]*[A-Za-z_])")
_HERE = re.compile(r"@(['\"])[ \t]*\r?\n(?s:(.*?))\r?\n\1@")
_UNITS = {"kb": 1024, "mb": 1024**2, "gb": 1024**3}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_SCOPES = ("script:", "global:", "local:", "private:", "variable:")
# Typographic quotes count as plain ones.
_QUOTES = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": "-"})


class Lexer:
    """The text of a script."""

    def __init__(self, text: str) -> None:
        self.text = text.translate(_QUOTES)
        self.at = 0
        self._levels = 0

    def enter(self) -> None:
        """One level deeper; pair it with `leave`. Raises `ParseError`."""
        self._levels += 1
        if self._levels > POWERSHELL_EXPRESSION_LEVELS_MAX:
            raise ParseError("too deep")

    def leave(self) -> None:
        """One level back."""
        self._levels -= 1

    def peek(self, count: int = 1) -> str:
        """Return the next characters."""
        return self.text[self.at : self.at + count]

    def skip(self) -> None:
        """Skip blanks and comments on this line."""
        self._skip(_BLANK)

    def skip_lines(self) -> None:
        """Skip blanks, comments and line ends."""
        self._skip(_LINES)

    def skip_separators(self) -> None:
        """Skip what may stand between statements."""
        self._skip(_BLANK_LINES)

    def _skip(self, pattern: re.Pattern[str]) -> None:
        found = pattern.match(self.text, self.at)
        if found is not None:
            self.at = found.end()

    def take(self, text: str) -> bool:
        """Read this, if it is what comes next."""
        if self.text.startswith(text, self.at):
            self.at += len(text)
            return True
        return False

    def want(self, text: str) -> None:
        """Read this. Raises `ParseError` if it is not what comes next."""
        if not self.take(text):
            raise ParseError(f"{text} expected at {self.at}")

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Read what a pattern means, if it comes next."""
        found = pattern.match(self.text, self.at)
        if found is not None:
            self.at = found.end()
        return found

    # --- names and numbers ---------------------------------------------------------------------------

    def variable(self) -> Variable | None:
        """Read `$name`, if it comes next."""
        found = self.match(_NAME)
        if found is None:
            return None
        name = (found[1] or found[2]).replace("`", "").lower()
        for scope in _SCOPES:
            name = name.removeprefix(scope)
        return Variable(name)

    def number(self) -> Constant | None:
        """Read a number, if it comes next."""
        found = self.match(_NUMBER)
        if found is None:
            return None
        text = found[0].lower().rstrip("l")
        unit = _UNITS.get(text[-2:], 1) if not text.startswith("0x") else 1
        text = text[:-2] if unit > 1 else text
        if text.startswith("0x"):
            return Constant(int(text, 16))
        return Constant(float(text) * unit if "." in text else int(text) * unit)

    # --- texts ---------------------------------------------------------------------------------------

    def plain_text(self) -> Constant:
        """Read a text in single quotes."""
        out, start = [], self.at + 1
        while True:
            end = self.text.find("'", start)
            if end < 0:
                raise ParseError("a text has no end")
            out.append(self.text[start:end])
            if self.text[end + 1 : end + 2] != "'":
                self.at = end + 1
                return Constant("'".join(out))
            start = end + 2

    def here_text(self) -> Node | None:
        """Read a text over several lines, if one comes next."""
        found = self.match(_HERE)
        if found is None:
            return None
        return Constant(found[2]) if found[1] == "'" else type(self)(found[2]).expandable(end="")

    def expandable(self, end: str = '"') -> Node:
        """Read a text with variables in it, up to a quote, or to the end of all."""
        parts: list[Node] = []
        out: list[str] = []
        if end:
            self.at += 1
        while True:
            char = self.peek()
            if char == "":
                if end:
                    raise ParseError("a text has no end")
                break
            if char == end:
                self.at += 1
                if self.peek() != end:
                    break
                out.append(end)
                self.at += 1
            elif char == "`":
                following = self.text[self.at + 1 : self.at + 2]
                out.append(_ESCAPES.get(following, following))
                self.at += 2
            elif char == "$" and (part := self.in_text()) is not None:
                parts += (Constant("".join(out)), part)
                out = []
            else:
                plain = _PLAIN.match(self.text, self.at)
                out.append(plain[0] if plain is not None else char)
                self.at = plain.end() if plain is not None else self.at + 1
        if not parts:
            return Constant("".join(out))
        return Expandable((*parts, Constant("".join(out))))

    def in_text(self) -> Node | None:
        """Read `$name` or `$( )` within a text."""
        if self.peek(2) == "$(":
            return self.subexpression()
        return self.variable()

    def subexpression(self) -> Node:
        """Read `$( )`."""
        raise NotImplementedError

    def block(self) -> Block:
        """Read `{ }`."""
        raise NotImplementedError


_PLAIN = re.compile(r'[^"`$]+')
