"""Reads one command of cmd.exe, which may be many lines: what stands between brackets. Expands nothing but `^`.

Order and precedence are cmd.exe's: `|` binds closest, then `&&`, `||` and `&`; what `if` and `for` do takes all the
rest of the line.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from eudaemon.world.windows.limits import NESTING_LEVELS_MAX
from eudaemon.world.windows.syntax import (
    NOTHING,
    Chain,
    CommandError,
    For,
    Group,
    If,
    IncompleteError,
    Node,
    Redirect,
    Simple,
)

_PLAIN = re.compile(r'[^\^"<>|&()\n]+')
_BLANKS = re.compile(r"[ \t,;=]*")
_KEYWORD = re.compile(r"@*(if|for|rem)(?=[ \t,;=/(\n]|$)", re.IGNORECASE)
_ELSE = re.compile(r"[ \t]*else(?=[ \t(])", re.IGNORECASE)
_IF_OPTION = re.compile(r"[ \t]*(/i|not)(?=[ \t])", re.IGNORECASE)
_IF_TEST = re.compile(r"[ \t]*(exist|defined|errorlevel|cmdextversion)[ \t]+", re.IGNORECASE)
_COMPARES = re.compile(r"[ \t]*(==|(?:equ|neq|lss|leq|gtr|geq)(?=[ \t]))[ \t]*", re.IGNORECASE)
_FOR = re.compile(
    r'[ \t]*(?:/([dlfr])(?=[ \t"]))?[ \t]*("[^"\n]*"|[^%\s(][^\s(]*)?[ \t]*%([^\s%])[ \t]+in[ \t]*\(', re.IGNORECASE
)
_DO = re.compile(r"[ \t]*do(?=[ \t(@])", re.IGNORECASE)
_DELIMITERS = " \t,;=("


class Parser:
    """`more` gives the next line, expanded, or None: then `IncompleteError` is raised where one is wanted."""

    def __init__(self, text: str, more: Callable[[], str | None] = lambda: None) -> None:
        self._text = text
        self._more = more
        self._at = 0
        self._levels = 0  # brackets that are open
        self._nested = 0  # bodies of `if` and `for` that are being read

    def parse(self) -> Node:
        """Return the tree. Raises `CommandError` and `IncompleteError`."""
        found = self._sequence()
        if self._at < len(self._text):
            raise _unexpected(self._text[self._at :])
        return found

    # --- chains --------------------------------------------------------------------------------------

    def _sequence(self) -> Node:
        parts = [self._chain(0)]
        while True:
            self._skip_blanks()
            if self._peek() == "\n" and self._levels:
                self._at += 1
                self._skip_lines()
                if self._peek() == ")":
                    break
            elif self._peek() == "&":
                self._at += 1
                self._skip_blanks()
            else:
                break
            if self._peek() in ("", ")"):
                break
            parts.append(self._chain(0))
        return parts[0] if len(parts) == 1 else Chain("&", tuple(parts))

    def _chain(self, level: int, first: Node | None = None) -> Node:
        """Read commands joined by `||`, `&&` or `|`, the loosest first."""
        if level == 3:
            return self._command() if first is None else first
        op = ("||", "&&", "|")[level]
        parts = [self._chain(level + 1, first)]
        while True:
            self._skip_blanks()
            if not self._text.startswith(op, self._at) or (op == "|" and self._text.startswith("||", self._at)):
                break
            self._at += len(op)
            self._skip_lines()
            if self._at >= len(self._text):
                raise CommandError("The syntax of the command is incorrect.")
            parts.append(self._chain(level + 1))
        return parts[0] if len(parts) == 1 else Chain(op, tuple(parts))

    # --- commands ------------------------------------------------------------------------------------

    def _command(self) -> Node:
        self._skip_lines() if self._levels else self._skip_blanks()
        while self._peek() == "@":
            self._at += 1
            self._skip_blanks()
        if self._peek() == "(":
            return self._group()
        if keyword := _KEYWORD.match(self._text, self._at):
            match keyword[1].lower():
                case "if":
                    self._at = keyword.end()
                    return self._if()
                case "for":
                    self._at = keyword.end()
                    return self._for()
                case _:
                    end = self._text.find("\n", self._at)
                    self._at = len(self._text) if end < 0 else end
                    return NOTHING
        return self._simple()

    def _group(self) -> Node:
        self._enter()
        self._at += 1
        self._skip_lines()
        body: Node = NOTHING if self._peek() == ")" else self._sequence()
        self._skip_lines()
        if self._peek() != ")":
            raise _unexpected(self._text[self._at :])
        self._at += 1
        self._levels -= 1
        redirects: list[Redirect] = []
        while True:
            self._skip_blanks()
            fd = self._text[self._at : self._at + 1]
            digit = fd.isdecimal() and self._text[self._at + 1 : self._at + 2] in ("<", ">")
            if self._text[self._at + digit : self._at + digit + 1] not in ("<", ">"):
                return Group(body, tuple(redirects))
            self._at += digit
            redirects.append(self._redirect(int(fd) if digit else None))

    def _simple(self) -> Node:
        out: list[str] = []
        redirects: list[Redirect] = []
        while self._at < len(self._text):
            char = self._text[self._at]
            if plain := _PLAIN.match(self._text, self._at):
                out.append(plain[0])
                self._at = plain.end()
            elif char == "^":
                out.append(self._escaped())
            elif char == '"':
                end = self._text.find('"', self._at + 1)
                line_end = self._text.find("\n", self._at)
                line_end = len(self._text) if line_end < 0 else line_end
                end = line_end if end < 0 or end > line_end else end + 1
                out.append(self._text[self._at : end])
                self._at = end
            elif char in "<>":
                redirects.append(self._redirect(_handle(out)))
            elif char in "&|\n" or (char == ")" and self._levels):
                break
            else:  # a bracket that is none
                out.append(char)
                self._at += 1
        text = "".join(out)
        if not text.strip() and not redirects:
            if self._peek() in ("", ")", "\n"):
                return NOTHING
            raise _unexpected(self._text[self._at :])
        return Simple(text, tuple(redirects))

    def _redirect(self, fd: int | None) -> Redirect:
        char = self._text[self._at]
        self._at += 1
        op = char
        if char == ">" and self._peek() == ">":
            op, self._at = ">>", self._at + 1
        fd = fd if fd is not None else int(char == ">")
        if self._peek() == "&":
            self._at += 1
            target = self._peek()
            if not target.isdecimal():
                raise _unexpected(self._text[self._at :])
            self._at += 1
            return Redirect(fd, char + "&", target)
        self._skip_blanks()
        target = self._word()
        if not target:
            raise _unexpected(self._text[self._at :])
        return Redirect(fd, op, target)

    def _word(self, stops: str = " \t,;=<>|&\n") -> str:
        """Read up to a blank or an operator, quotes and all."""
        start, out = self._at, []
        while self._at < len(self._text):
            char = self._text[self._at]
            if char == '"':
                end = self._text.find('"', self._at + 1)
                end = len(self._text) if end < 0 else end + 1
                out.append(self._text[self._at : end])
                self._at = end
            elif char == "^":
                out.append(self._escaped())
            elif (
                char in stops
                or (char == ")" and self._levels)
                or (char == "=" and self._text.startswith("==", self._at) and self._at > start)
            ):
                break
            else:
                out.append(char)
                self._at += 1
        return "".join(out)

    def _escaped(self) -> str:
        """Return what `^` makes plain: the next character, of the next line if this one ends."""
        self._at += 1
        if self._peek() in ("", "\n"):
            if self._at >= len(self._text):
                self._pull()
            self._at += 1  # the line end
        char = self._peek()
        self._at += 1
        return char

    # --- if and for ----------------------------------------------------------------------------------

    def _if(self) -> Node:
        negated = ignores_case = False
        while option := _IF_OPTION.match(self._text, self._at):
            negated ^= option[1].lower() == "not"
            ignores_case |= option[1].lower() == "/i"
            self._at = option.end()
        left = right = ""
        if unary := _IF_TEST.match(self._text, self._at):
            test = unary[1].lower()
            self._at = unary.end()
            left = self._word()
        else:
            self._skip_blanks()
            left = self._word(" \t<>|&\n")
            compares = _COMPARES.match(self._text, self._at)
            if compares is None:
                raise _unexpected(self._text[self._at :] or left)
            test = compares[1].upper()
            self._at = compares.end()
            right = self._word(" \t<>|&\n(") or self._word(" \t<>|&\n")
        then, otherwise = self._branches()
        return If(test, left, right, negated, ignores_case, then, otherwise)

    def _branches(self) -> tuple[Node, Node | None]:
        self._enter(by_bracket=False)
        self._skip_blanks()
        if self._peek() in ("", "\n"):
            raise CommandError("The syntax of the command is incorrect.")
        then, otherwise = self._command(), None
        if isinstance(then, Group):
            if found := _ELSE.match(self._text, self._at):
                self._at = found.end()
                self._skip_blanks()
                otherwise = self._rest(self._command())
            else:
                then = self._rest(then)
        else:
            then = self._rest(then)
        self._nested -= 1
        return then, otherwise

    def _rest(self, first: Node) -> Node:
        """Return a command with what stands behind it on its line."""
        parts = [self._chain(0, first)]
        while True:
            self._skip_blanks()
            if self._peek() != "&":
                break
            self._at += 1
            self._skip_blanks()
            if self._peek() in ("", ")", "\n"):
                break
            parts.append(self._chain(0))
        return parts[0] if len(parts) == 1 else Chain("&", tuple(parts))

    def _for(self) -> Node:
        head = _FOR.match(self._text, self._at)
        if head is None:
            raise _unexpected(self._text[self._at :])
        self._at = head.end()
        items = self._items()
        do = _DO.match(self._text, self._at)
        if do is None:
            raise _unexpected(self._text[self._at :])
        self._at = do.end()
        self._enter(by_bracket=False)
        self._skip_blanks()
        body = self._rest(self._command())
        self._nested -= 1
        return For((head[1] or "").lower(), (head[2] or "").strip('"'), head[3], items, body)

    def _items(self) -> str:
        """Read what stands between the brackets of `in ( )`."""
        out: list[str] = []
        while True:
            char = self._peek()
            if char == "":
                self._pull()
            elif char == ")":
                self._at += 1
                return "".join(out)
            elif char == '"':
                end = self._text.find('"', self._at + 1)
                end = len(self._text) if end < 0 else end + 1
                out.append(self._text[self._at : end])
                self._at = end
            elif char == "^":
                out.append(self._escaped())
            else:
                out.append(" " if char == "\n" else char)
                self._at += 1

    # --- the text ------------------------------------------------------------------------------------

    def _enter(self, *, by_bracket: bool = True) -> None:
        if by_bracket:
            self._levels += 1
        else:
            self._nested += 1
        if self._levels + self._nested > NESTING_LEVELS_MAX:
            raise CommandError("The syntax of the command is incorrect.")

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _pull(self) -> None:
        line = self._more()
        if line is None:
            raise IncompleteError
        self._text = f"{self._text[self._at :]}\n{line}"
        self._at = 0

    def _skip_blanks(self) -> None:
        found = _BLANKS.match(self._text, self._at)
        if found is not None:
            self._at = found.end()

    def _skip_lines(self) -> None:
        """Skip blanks; between brackets also line ends, and lines are pulled while there is nothing left."""
        while True:
            self._skip_blanks()
            if self._levels and self._peek() == "\n":
                self._at += 1
            elif self._levels and self._at >= len(self._text):
                self._pull()
            else:
                return


def _handle(out: list[str]) -> int | None:
    """Take the digit that stands directly before a redirection, if it is a handle's."""
    last = out[-1] if out else ""
    if last[-1:].isdecimal() and last[-1:].isascii() and (len(last) == 1 or last[-2] in _DELIMITERS):
        if len(last) == 1 and len(out) > 1:
            return None
        out[-1] = last[:-1]
        return int(last[-1])
    return None


def _unexpected(rest: str) -> CommandError:
    token = rest.strip().split(" ")[0].split("\n")[0][:64]
    if not token:
        return CommandError("The syntax of the command is incorrect.")
    return CommandError(f"{token} was unexpected at this time.")
