"""Inside a word: quotes, escapes, parameters, substitutions. POSIX.1 XCU 2.2, 2.6.

Refuses nesting past `NESTING_LEVELS_MAX` with a `PeerError`; that is what keeps the descent bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from eudaemon.wire import PeerError
from eudaemon.world.shell.limits import NESTING_LEVELS_MAX
from eudaemon.world.shell.syntax import Arithmetic, Assignment, Parameter, Part, Process, Substitution, Text, Word

if TYPE_CHECKING:
    from eudaemon.world.shell.syntax import AndOr

NAME = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*")
_PARAMETER = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?$!-]")
_SHORT_PARAMETER = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*|[0-9@*#?$!-]")
_OPERATION = re.compile(rb":[-=?+]|[-=?+]|##|#|%%|%|//|/#|/%|/|:|\^\^|\^|,,|,")
_PLAIN = re.compile(rb"[^ \t\n|&;<>()\\'\"`$]+")
_PLAIN_IN_DOUBLE_QUOTES = re.compile(rb'[^"\\`$]+')
_RESERVED = re.compile(rb"[!{}]|[a-z]+")
_BLANKS = re.compile(rb"(?:[ \t]|\\\n)*")
_WORD_ENDS = frozenset(b" \t\n|&;<>()")
_PATTERN = re.compile(rb"[*?\[]")
_ASSIGNMENT = re.compile(rb"([A-Za-z_][A-Za-z0-9_]*)(?:\[([^\]]{1,256})\])?(\+?)=")
_SUBSCRIPT = re.compile(rb"\[([^\]]{1,256})\]")
_BRACES = re.compile(rb"\{((\d{1,6})\.\.(\d{1,6})|[^{},]*(?:,[^{},]*)+)\}")
_BRACES_MAX = 1024  # words that one becomes
_ESCAPED_IN_BACKTICKS = re.compile(rb"\\([`$\\])")


class ShellSyntaxError(Exception):
    """What the text gets wrong, in BusyBox's words, without the leading `sh: `."""


class IncompleteError(ShellSyntaxError):
    """The text ends inside a construct; a line with `wanted` in it may end it.

    Of a here-document (`is_document`) it is a line that says nothing else, but for tabs if the document `strips` them.
    """

    def __init__(self, wanted: bytes, *, is_document: bool = False, strips: bool = False) -> None:
        super().__init__("syntax error: unterminated quoted string" if wanted in (b"'", b'"', b"`")
                         else "syntax error: unexpected end of file")  # fmt: skip
        self.wanted = wanted
        self.is_document = is_document
        self.strips = strips

    def may_end_with(self, line: bytes) -> bool:
        """Say whether this line may end it."""
        return (line.lstrip(b"\t") if self.strips else line) == self.wanted if self.is_document else self.wanted in line


class Words:
    """A position in a text, and what reads the word that stands there."""

    __slots__ = ("at", "nesting", "text")

    def __init__(self, text: bytes, nesting: int) -> None:
        self.text = text
        self.at = 0
        self.nesting = nesting

    @property
    def line_number(self) -> int:
        """The line that the position is on, from 1."""
        return self.text.count(b"\n", 0, self.at) + 1

    @contextmanager
    def deeper(self) -> Iterator[None]:
        """Stand around every construct that can hold another."""
        self.nesting += 1
        if self.nesting > NESTING_LEVELS_MAX:
            raise PeerError(f"shell constructs nested more than {NESTING_LEVELS_MAX} deep")
        yield
        self.nesting -= 1

    def commands_until(self, closer: bytes) -> tuple[AndOr, ...]:
        """Return the commands up to `closer` and step over it."""
        raise NotImplementedError

    def word(self) -> Word | None:
        """Read one word, or return None where none stands. A comment is no word."""
        text = self.text
        if self.at < len(text) and text[self.at] == 0x23:  # `#` at a word's start
            end = text.find(b"\n", self.at)
            self.at = len(text) if end < 0 else end
            return None
        parts: list[Part] = []
        while self.at < len(text):
            plain = _PLAIN.match(text, self.at)
            if plain is not None:
                parts.append(Text(plain.group(), quoted=False))
                self.at = plain.end()
                continue
            byte = text[self.at]
            if text.startswith(b"<(", self.at):
                self.at += 2
                with self.deeper():
                    parts.append(Process(self.commands_until(b")")))
                continue
            if byte in _WORD_ENDS:
                break
            self._part(byte, parts)
        return _finished(parts) if parts else None

    def document(self, body: bytes, *, quoted: bool) -> Word:
        """Return a here-document's body as a word: expanded as in double quotes, unless its delimiter was quoted."""
        if quoted:
            return Word((Text(body, quoted=True),), body)
        inner = type(self)(body, self.nesting)
        return _finished(inner.until_end())

    def until_end(self) -> list[Part]:
        """Read the whole text as if it stood in double quotes, in which `"` is nothing special."""
        parts: list[Part] = []
        while self.at < len(self.text):
            self._inside_double_quotes(parts, stop=-1)
        return parts

    # --- pieces ----------------------------------------------------------------------------------

    def _part(self, byte: int, parts: list[Part]) -> None:
        text = self.text
        if byte == 0x5C:  # backslash
            escaped = text[self.at + 1 : self.at + 2]
            self.at += 2
            if not escaped:
                parts.append(Text(b"\\", quoted=True))
            elif escaped != b"\n":
                parts.append(Text(escaped, quoted=True))
        elif byte == 0x27:  # single quote
            end = text.find(b"'", self.at + 1)
            if end < 0:
                raise IncompleteError(b"'")
            parts.append(Text(text[self.at + 1 : end], quoted=True))
            self.at = end + 1
        elif byte == 0x22:
            self.at += 1
            self._double_quoted(parts)
        elif byte == 0x60:
            parts.append(self._backticks(quoted=False))
        else:
            self._dollar(parts, quoted=False)

    def _double_quoted(self, parts: list[Part]) -> None:
        with self.deeper():
            empty = len(parts)
            while True:
                if self.at >= len(self.text):
                    raise IncompleteError(b'"')
                if self.text[self.at] == 0x22:
                    self.at += 1
                    break
                self._inside_double_quotes(parts, stop=0x22)
            if len(parts) == empty:
                parts.append(Text(b"", quoted=True))

    def _inside_double_quotes(self, parts: list[Part], stop: int) -> None:
        text = self.text
        plain = _PLAIN_IN_DOUBLE_QUOTES.match(text, self.at)
        if plain is not None:
            parts.append(Text(plain.group(), quoted=True))
            self.at = plain.end()
            return
        byte = text[self.at]
        if byte == 0x5C:
            escaped = text[self.at + 1 : self.at + 2]
            self.at += 2
            special = escaped in (b"$", b"`", b"\\", b"\n") or (escaped == b'"' and stop == 0x22)
            if escaped != b"\n":
                parts.append(Text(escaped if special and escaped else b"\\" + escaped, quoted=True))
        elif byte == 0x60:
            parts.append(self._backticks(quoted=True))
        elif byte == 0x24:
            self._dollar(parts, quoted=True)
        else:
            parts.append(Text(text[self.at : self.at + 1], quoted=True))
            self.at += 1

    def _backticks(self, *, quoted: bool) -> Part:
        start = self.at + 1
        end = start
        while True:
            end = self.text.find(b"`", end)
            if end < 0:
                raise IncompleteError(b"`")
            backslashes = end
            while backslashes > start and self.text[backslashes - 1] == 0x5C:
                backslashes -= 1
            if (end - backslashes) % 2 == 0:
                break
            end += 1
        inside = _ESCAPED_IN_BACKTICKS.sub(rb"\1", self.text[start:end])
        self.at = end + 1
        with self.deeper():
            inner = type(self)(inside + b"\n)", self.nesting)
            try:
                body = inner.commands_until(b")")
            except IncompleteError as error:
                raise ShellSyntaxError(str(error)) from None
        return Substitution(body, quoted)

    def _dollar(self, parts: list[Part], *, quoted: bool) -> None:
        text, at = self.text, self.at
        if text.startswith(b"$((", at):
            end = self._arithmetic_end(at + 3)
            if end >= 0:
                with self.deeper():
                    inner = type(self)(text[at + 3 : end], self.nesting)
                    parts.append(Arithmetic(_finished(inner.until_end()), quoted))
                self.at = end + 2
                return
        if text.startswith(b"$(", at):
            self.at += 2
            with self.deeper():
                parts.append(Substitution(self.commands_until(b")"), quoted))
        elif text.startswith(b"${", at):
            self.at += 2
            with self.deeper():
                parts.append(self._braced(quoted=quoted))
        elif not quoted and text.startswith(b"$'", at):
            self._ansi(parts)
        elif (name := _SHORT_PARAMETER.match(text, at + 1)) is not None:
            self.at = name.end()
            parts.append(Parameter(name.group(), b"", (), quoted))
        else:
            self.at += 1
            parts.append(Text(b"$", quoted=True))

    def _arithmetic_end(self, at: int) -> int:
        """Return where the `))` stands that closes an expression, or -1: then it is a subshell in a substitution."""
        depth = 0
        for found in re.compile(rb"[()]").finditer(self.text, at):
            if found.group() == b"(":
                depth += 1
            elif depth:
                depth -= 1
            else:
                return found.start() if self.text.startswith(b"))", found.start()) else -1
        return -1

    def _ansi(self, parts: list[Part]) -> None:
        """`$'…'`: BusyBox knows it with bash compatibility."""
        end = self.at + 2
        while end < len(self.text) and self.text[end] != 0x27:
            end += 2 if self.text[end] == 0x5C else 1
        if end >= len(self.text):
            raise IncompleteError(b"'")
        parts.append(Text(unescape(self.text[self.at + 2 : end])[0], quoted=True))
        self.at = end + 1

    def _braced(self, *, quoted: bool) -> Part:
        text = self.text
        if text.startswith(b"#", self.at) and not text.startswith(b"#}", self.at):
            name = _PARAMETER.match(text, self.at + 1)
            if name is None:
                raise ShellSyntaxError("syntax error: bad substitution")
            self.at = name.end()
            subscript = self._subscript()
            if not text.startswith(b"}", self.at):
                raise ShellSyntaxError("syntax error: bad substitution")
            self.at += 1
            return Parameter(name.group(), b"len", (), quoted, subscript)
        indirect = text.startswith(b"!", self.at) and NAME.match(text, self.at + 1) is not None
        self.at += indirect
        name = _PARAMETER.match(text, self.at)
        if name is None:
            raise (
                IncompleteError(b"}")
                if b"}" not in text[self.at :]
                else ShellSyntaxError("syntax error: bad substitution")
            )
        self.at = name.end()
        subscript = self._subscript()
        if self.at >= len(text):
            raise IncompleteError(b"}")
        if text[self.at] == 0x7D:
            self.at += 1
            return Parameter(name.group(), b"", (), quoted, subscript, indirect)
        operation = _OPERATION.match(text, self.at)
        if operation is None:
            raise ShellSyntaxError("syntax error: bad substitution")
        self.at = operation.end()
        op = operation.group()
        separator = {b":": 0x3A, b"/": 0x2F, b"//": 0x2F, b"/#": 0x2F, b"/%": 0x2F}.get(op, -1)
        words = [self._word_in_braces(separator, quoted=quoted)]
        if self.text[self.at] == separator:
            self.at += 1
            words.append(self._word_in_braces(-1, quoted=quoted))
        self.at += 1
        return Parameter(name.group(), op, tuple(words), quoted, subscript, indirect)

    def _subscript(self) -> bytes:
        found = _SUBSCRIPT.match(self.text, self.at)
        if found is None:
            return b""
        self.at = found.end()
        return found[1]

    def _word_in_braces(self, separator: int, *, quoted: bool) -> Word:
        text = self.text
        parts: list[Part] = []
        plain_until = re.compile(rb"[^}\\'\"`$" + (bytes((separator,)) if separator > 0 else b"") + rb"]+")
        while True:
            if self.at >= len(text):
                raise IncompleteError(b"}")
            plain = plain_until.match(text, self.at)
            if plain is not None:
                parts.append(Text(plain.group(), quoted=False))
                self.at = plain.end()
                continue
            byte = text[self.at]
            if byte in (0x7D, separator):
                return _finished(parts)
            if byte == 0x27 and quoted:
                parts.append(Text(b"'", quoted=True))
                self.at += 1
            else:
                self._part(byte, parts)

    def _blanks(self) -> None:
        found = _BLANKS.match(self.text, self.at)
        if found is not None:
            self.at = found.end()
        if self.at < len(self.text) and self.text[self.at] == 0x23:
            end = self.text.find(b"\n", self.at)
            self.at = len(self.text) if end < 0 else end

    def _peek_reserved(self) -> bytes:
        """Return the reserved word that may stand here, or nothing."""
        found = _RESERVED.match(self.text, self.at)
        if found is None:
            return b""
        end = found.end()
        return found.group() if end >= len(self.text) or self.text[end] in _WORD_ENDS else b""


def _finished(parts: list[Part]) -> Word:
    """Return the parts as a word; find out whether anything in it needs expansion."""
    plain: bytes | None
    if len(parts) == 1 and isinstance(parts[0], Text):
        plain = parts[0].value
        needs = not parts[0].quoted and (_PATTERN.search(plain) or plain.startswith(b"~"))
    else:
        needs = not all(isinstance(part, Text) and (part.quoted or not _PATTERN.search(part.value)) for part in parts)
        needs = needs or (bool(parts) and isinstance(parts[0], Text) and parts[0].value[:1] == b"~")
        plain = None if needs else b"".join(part.value for part in parts if isinstance(part, Text))
    return Word(tuple(parts), None if needs else plain)


def braces(word: Word) -> list[Word]:
    """Return what bash makes of `a{b,c}` and `{1..3}`, which BusyBox leaves as it is; else the word itself."""
    for index, part in enumerate(word.parts):
        found = _BRACES.search(part.value) if isinstance(part, Text) and not part.quoted else None
        if found is None or not isinstance(part, Text):
            continue
        first, last = found[2], found[3]
        pieces = found[1].split(b",")
        if first is not None:
            step = 1 if int(last) >= int(first) else -1
            digits = len(first) if first[:1] == b"0" else 0
            pieces = [b"%0*d" % (digits, number) for number in range(int(first), int(last) + step, step)[:_BRACES_MAX]]
        head, tail = part.value[: found.start()], part.value[found.end() :]
        made = [Text(head + piece + tail, quoted=False) for piece in pieces]
        return [_finished([*word.parts[:index], one, *word.parts[index + 1 :]]) for one in made]
    return [word]


def assignment(word: Word) -> Assignment | None:
    """Return what `name=value` says; None if the word is no assignment."""
    first = word.parts[0]
    if not isinstance(first, Text) or first.quoted:
        return None
    found = _ASSIGNMENT.match(first.value)
    if found is None:
        return None
    rest = first.value[found.end() :]
    parts: list[Part] = [Text(rest, quoted=False)] if rest else []
    return Assignment(found[1], _finished([*parts, *word.parts[1:]]), found[2] or b"", bool(found[3]))


# The first alternative takes whole runs of `\\xNN` at once: that is how loaders write their binaries.
_ESCAPE = re.compile(rb"((?:\\x[0-9A-Fa-f]{2})+)|\\(x[0-9A-Fa-f]{1,2}|0[0-7]{0,3}|[0-7]{1,3}|.)", re.DOTALL)
_LETTERS = {b"a": b"\a", b"b": b"\b", b"e": b"\x1b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v",
            b"\\": b"\\"}  # fmt: skip


def unescape(text: bytes) -> tuple[bytes, bool]:
    r"""Replace `\n`, `\x41`, `\0101`, `\101` … as `echo -e` does. True if a `\c` ended it."""
    if b"\\" not in text:
        return text, False
    ended = text.find(b"\\c")
    while ended > 0 and _backslashes_before(text, ended) % 2:
        ended = text.find(b"\\c", ended + 1)
    if ended >= 0:
        text = text[:ended]

    def replace(found: re.Match[bytes]) -> bytes:
        if found.lastindex == 1:
            return bytes.fromhex(found.group().replace(b"\\x", b"").decode("ascii"))
        code = found.group(2)
        if code[:1] == b"x" and len(code) > 1:
            return bytes((int(code[1:], 16),))
        if code[:1].isdigit() and code[:1] < b"8":
            return bytes((int(code, 8) & 0xFF,))
        return _LETTERS.get(code, b"\\" + code)

    return _ESCAPE.sub(replace, text), ended >= 0


def _backslashes_before(text: bytes, at: int) -> int:
    start = at
    while start and text[start - 1] == 0x5C:
        start -= 1
    return at - start
