"""From text to syntax tree, by recursive descent over the bytes. POSIX.1 XCU 2.2 (quoting), 2.3 (tokens), 2.10.

A shell's tokens depend on where they stand, so lexer and grammar are one machine: `_Words` (in words.py) reads what
may stand inside a word, this file what words make up. `Parser.next_line` gives one complete line of commands at a
time, as a shell reads: what stands before a syntax error has been run when the error is met.

Every construct that can hold another goes through `_Words.deeper`, which refuses what is nested too deep.
"""

from __future__ import annotations

import re
from typing import ClassVar

from eudaemon.world.shell.limits import LINE_BYTES_MAX
from eudaemon.world.shell.syntax import (
    AndOr,
    Case,
    Command,
    For,
    Function,
    Group,
    If,
    Pipeline,
    Redirect,
    Simple,
    Text,
    While,
    Word,
)
from eudaemon.world.shell.words import NAME, IncompleteError, ShellSyntaxError, Words, assignment, braces

_OPERATORS = (b"<<<", b"<<-", b"&>>", b"&&", b"||", b";;", b"<<", b">>", b"<&", b">&", b"<>", b">|", b"&>",
              b"|", b"&", b";", b"<", b">", b"(", b")")  # fmt: skip
_OPERATOR_START = frozenset(b"|&;<>()")
_REDIRECTS = frozenset((b"<<<", b"<<-", b"<<", b">>", b"<&", b">&", b"<>", b">|", b"&>", b"&>>", b"<", b">"))
_CLOSERS = frozenset((b"then", b"else", b"elif", b"fi", b"do", b"done", b"esac", b"}"))
_INDENT = re.compile(rb"^\t+", re.MULTILINE)
_EXPANDED = re.compile(rb"[\\`$]")
_COMMANDS = re.compile(rb"[\w)][ \t\n]+[\w(./$-]*[A-Za-z./]|[;`]")  # what is no expression: two words beside each other
_REGULAR = re.compile(rb"(?:\\.|[^\s\\])+")
_TAB, _LINE_END = 9, 10
Commands = tuple[AndOr, ...]


class Parser(Words):
    """Reads commands from `text`. `line_number` counts from 1."""

    __slots__ = ("_pending_documents",)

    def __init__(self, text: bytes, nesting: int = 0) -> None:
        super().__init__(text, nesting)
        self._pending_documents: list[tuple[Redirect, bytes, bool, bool]] = []

    def next_line(self) -> Commands | None:
        """Return the commands up to the next line end, or None when there is nothing left.

        Raises `IncompleteError` if the text ends inside a construct, `ShellSyntaxError` if it is wrong.
        """
        while self.at < len(self.text):
            commands = self._list(stop_at_newline=True)
            whole_line = self.at and self.text[self.at - 1] == 10
            if self._closes() and not (commands and whole_line):
                raise self._unexpected()
            if commands:
                return commands
        return None

    def commands_until(self, closer: bytes) -> Commands:
        """Return the commands up to `)` and step over it. For substitutions."""
        commands = self._list()
        self._expect_operator(closer, closer)
        return commands

    # --- lists -----------------------------------------------------------------------------------

    def _list(self, *, stop_at_newline: bool = False) -> Commands:
        found: list[AndOr] = []
        while True:
            self._blanks()
            if self._newline():
                if stop_at_newline:
                    break
                continue
            if self.at >= len(self.text) or self._closes():
                break
            and_or = self._and_or()
            found.append(and_or)
            self._blanks()
            operator = self._operator()
            if operator == b"&":
                self.at += 1
                and_or.background = True
            elif operator == b";":
                self.at += 1
            elif (operator and operator not in (b")", b";;")) or (
                not operator and self.at < len(self.text) and self.text[self.at] != 10 and not self._closes()
            ):
                raise self._unexpected()
        if self._pending_documents and self.at >= len(self.text):
            _, delimiter, _, strips = self._pending_documents[0]
            raise IncompleteError(delimiter, is_document=True, strips=strips)
        return tuple(found)

    def _closes(self) -> bool:
        if self._operator() in (b")", b";;"):
            return True
        return self._peek_reserved() in _CLOSERS

    def _and_or(self) -> AndOr:
        pipelines = [(b"", self._pipeline())]
        while True:
            self._blanks()
            operator = self._operator()
            if operator not in (b"&&", b"||"):
                return AndOr(pipelines, background=False)
            self.at += 2
            self._skip_newlines(operator)
            pipelines.append((operator, self._pipeline()))

    def _pipeline(self) -> Pipeline:
        negated = False
        self._blanks()
        while self._peek_reserved() == b"!":
            self.at += 1
            negated = not negated
            self._blanks()
        commands = [self._command()]
        while True:
            self._blanks()
            if self._operator() != b"|":
                return Pipeline(commands, negated)
            self.at += 1
            self._skip_newlines(b"|")
            commands.append(self._command())

    # --- commands --------------------------------------------------------------------------------

    def _command(self) -> Command:
        self._blanks()
        end = self._arithmetic_end(self.at + 2) if self.text.startswith(b"((", self.at) else -1
        if end >= 0 and not _COMMANDS.search(self.text, self.at + 2, end):
            command: Command = self._let(end)
        elif self._operator() == b"(":
            with self.deeper():
                self.at += 1
                command = Group(self.commands_until(b")"), subshell=True)
        else:
            reader = self._COMPOUNDS.get(self._peek_reserved())
            if reader is None:
                return self._simple()
            with self.deeper():
                command = reader(self)
        self._redirects(command.redirects)
        return command

    def _let(self, end: int) -> Simple:
        """`((…))`: bash's, which BusyBox takes for two subshells."""
        expression = self._expression(self.text[self.at + 2 : end])
        self.at = end + 2
        return Simple([], [Word((Text(b"let", quoted=True),), b"let"), expression], [])

    def _expression(self, text: bytes) -> Word:
        with self.deeper():
            return self.document(text, quoted=False)

    def _counting(self) -> Command:
        """`for ((first; while; step))`."""
        end = self._arithmetic_end(self.at + 2)
        pieces = self.text[self.at + 2 : end].split(b";")
        if end < 0 or len(pieces) != 3:
            raise ShellSyntaxError("syntax error: bad for loop variable")
        first, goes_on, step = (self._expression(piece.strip() or b"1") for piece in pieces)
        self.at = end + 2
        self._blanks()
        if self._operator() == b";":
            self.at += 1
        self._skip_newlines(b"done")
        return For(b"", None, self._do(), counts=(first, goes_on, step))

    def _brace(self) -> Command:
        self.at += 1
        body = self._body(b"}")
        self._expect(b"}")
        return Group(body, subshell=False)

    def _if(self) -> Command:
        arms: list[tuple[Commands, Commands]] = []
        otherwise: Commands = ()
        self._expect(b"if")
        while True:
            condition = self._body(b"then")
            self._expect(b"then")
            arms.append((condition, self._body(b"fi")))
            if self._peek_reserved() != b"elif":
                break
            self.at += 4
        if self._peek_reserved() == b"else":
            self.at += 4
            otherwise = self._body(b"fi")
        self._expect(b"fi")
        return If(arms, otherwise)

    def _while(self) -> Command:
        until = self._peek_reserved() == b"until"
        self.at += 5
        condition = self._body(b"do")
        return While(condition, self._do(), until)

    def _for(self) -> Command:
        self.at += 3
        self._blanks()
        if self.text.startswith(b"((", self.at):
            return self._counting()
        name = self.word()
        if name is None or not NAME.fullmatch(name.literal):
            raise ShellSyntaxError("bad for loop variable")
        self._skip_newlines(b"done")
        words: list[Word] | None = None
        if self._peek_reserved() == b"in":
            self.at += 2
            words = self._words_until_end()
        elif self._operator() == b";":
            self.at += 1
        self._skip_newlines(b"done")
        return For(name.literal, words, self._do())

    def _words_until_end(self) -> list[Word]:
        words: list[Word] = []
        while True:
            self._blanks()
            word = self.word()
            if word is None:
                break
            words += braces(word)
        if self._operator() == b";":
            self.at += 1
        elif self.at < len(self.text) and self.text[self.at] != 10:
            raise self._unexpected()
        return words

    def _do(self) -> Commands:
        self._expect(b"do")
        body = self._body(b"done")
        self._expect(b"done")
        return body

    def _case(self) -> Command:
        self.at += 4
        self._blanks()
        word = self.word()
        if word is None:
            raise self._unexpected()
        self._skip_newlines(b"esac")
        self._expect(b"in")
        arms: list[tuple[list[Word], Commands]] = []
        while True:
            self._skip_newlines(b"esac")
            if self._peek_reserved() == b"esac":
                self.at += 4
                return Case(word, arms)
            if self._operator() == b"(":
                self.at += 1
            patterns: list[Word] = []
            while True:
                self._blanks()
                pattern = self.word()
                if pattern is None:
                    raise self._unexpected()
                patterns.append(pattern)
                self._blanks()
                if self._operator() != b"|":
                    break
                self.at += 1
            self._expect_operator(b")", b"esac")
            arms.append((patterns, self._list()))
            self._skip_newlines(b"esac")
            if self._operator() == b";;":
                self.at += 2
            elif self._peek_reserved() != b"esac":
                raise self._unexpected()

    def _body(self, closer: bytes) -> Commands:
        body = self._list()
        if not body:
            if self.at >= len(self.text):
                raise IncompleteError(closer)
            raise self._unexpected()
        return body

    _COMPOUNDS: ClassVar = {
        b"{": _brace, b"if": _if, b"while": _while, b"until": _while, b"for": _for, b"case": _case,
    }  # fmt: skip

    def _simple(self) -> Command:
        command = Simple([], [], [])
        while True:
            self._blanks()
            self._redirects(command.redirects)
            start = self.at
            word = self.word()
            if word is None:
                break
            if not command.words:
                split = assignment(word)
                if split is not None:
                    if isinstance(split.value, Word) and not split.value.parts and self._operator() == b"(":
                        split.value = self._items()
                    command.assignments.append(split)
                    continue
                if self._operator() == b"(":
                    return self._function(word)
            elif len(command.words) == 1 and command.words[0].literal == b"function":
                # `function name { …; }` is not POSIX, and common in what bots send.
                self._blanks()
                if self._operator() == b"(" or self._peek_reserved() == b"{":
                    return self._function(word)
            command.words += braces(word) if word.plain is not None and b"://" in word.plain else [word]
            if self.at == start:
                raise self._unexpected()
            if word.literal == b"[[" and len(command.words) == 1:
                self._condition(command.words)
                break
        if not (command.words or command.assignments or command.redirects):
            raise self._unexpected()
        return command

    def _items(self) -> list[Word]:
        """Read the values of an array, `(one two)`."""
        self.at += 1
        items: list[Word] = []
        while True:
            self._skip_newlines(b")")
            if self._operator() == b")":
                self.at += 1
                return items
            word = self.word()
            if word is None:
                if self.at < len(self.text) and self.text[self.at] != _LINE_END:
                    raise self._unexpected()
                continue
            items += braces(word)

    def _condition(self, words: list[Word]) -> None:
        """Read what stands between `[[` and `]]`, where operators are words, and a pattern of `=~` is one as it is."""
        while True:
            self._blanks()
            if self._newline():
                continue
            if self.at >= len(self.text):
                raise IncompleteError(b"]]")
            if words[-1].plain == b"=~" and (found := _REGULAR.match(self.text, self.at)):
                self.at = found.end()
                words.append(self.document(found[0].replace(b"\\ ", b" "), quoted=False))
                continue
            operator = self._operator()
            if operator:
                self.at += len(operator)
                words.append(Word((Text(operator, quoted=True),), operator))
                continue
            word = self.word()
            if word is None:
                raise self._unexpected()
            words.append(word)
            if word.literal == b"]]":
                return

    def _function(self, name: Word) -> Command:
        if self._operator() == b"(":
            self.at += 1
            self._blanks()
            self._expect_operator(b")", b")")
        if not name.literal:
            raise ShellSyntaxError("bad function name")
        self._skip_newlines(b"}")
        start = self.at
        with self.deeper():
            body = self._command()
        return Function(name.literal, body, self.at - start)

    # --- redirections ----------------------------------------------------------------------------

    def _redirects(self, found: list[Redirect]) -> None:
        while True:
            self._blanks()
            start = self.at
            while self.at < len(self.text) and 48 <= self.text[self.at] <= 57 and self.at - start < 4:
                self.at += 1
            operator = self._operator()
            if operator not in _REDIRECTS or (operator == b"<" and self.text.startswith(b"<(", self.at)):
                self.at = start
                return
            digits = self.text[start : self.at]
            self.at += len(operator)
            self._blanks()
            target = self.word()
            if target is None:
                raise self._unexpected()
            redirect = Redirect(int(digits) if digits else int(operator[:1] != b"<"), operator, target)
            found.append(redirect)
            if operator in (b"<<", b"<<-"):
                delimiter = b"".join(getattr(part, "value", b"") for part in target.parts)
                quoted = any(getattr(part, "quoted", False) for part in target.parts)
                self._pending_documents.append((redirect, delimiter, quoted, operator == b"<<-"))
                redirect.op = b"<<"

    def _read_documents(self) -> None:
        pending, self._pending_documents = self._pending_documents, []
        for redirect, delimiter, quoted, strips in pending:
            end = self._document_end(delimiter, strips=strips)
            body = self.text[self.at : end]
            after = self.text.find(b"\n", end)
            self.at = len(self.text) if after < 0 else after + 1
            if strips:
                body = _INDENT.sub(b"", body)
            if not quoted and len(body) > LINE_BYTES_MAX and _EXPANDED.search(body):
                raise ShellSyntaxError("out of memory")
            redirect.target = self.document(body, quoted=quoted)

    def _document_end(self, delimiter: bytes, *, strips: bool) -> int:
        """Return where the line stands that ends a here-document. No list of its lines is made: they may be many."""
        text, at = self.text, self.at
        while at < len(text):
            if strips and text[at] == _TAB:
                at += 1
                continue
            end = at + len(delimiter)
            if text.startswith(delimiter, at) and (end == len(text) or text[end] == _LINE_END):
                return at
            at = text.find(b"\n" if strips else b"\n" + delimiter, at) + 1 or len(text)
        raise IncompleteError(delimiter, is_document=True, strips=strips)

    # --- small steps -----------------------------------------------------------------------------

    def _newline(self) -> bool:
        if self.at < len(self.text) and self.text[self.at] == 10:
            self.at += 1
            if self._pending_documents:
                self._read_documents()
            return True
        return False

    def _skip_newlines(self, wanted: bytes) -> None:
        self._blanks()
        while self._newline():
            self._blanks()
        if self.at >= len(self.text):
            raise IncompleteError(wanted)

    def _operator(self) -> bytes:
        if self.at >= len(self.text) or self.text[self.at] not in _OPERATOR_START:
            return b""
        for operator in _OPERATORS:
            if self.text.startswith(operator, self.at):
                return operator
        return b""

    def _expect_operator(self, operator: bytes, wanted: bytes) -> None:
        self._blanks()
        if self.at >= len(self.text):
            raise IncompleteError(wanted)
        if not self.text.startswith(operator, self.at):
            raise self._unexpected(operator)
        self.at += len(operator)

    def _expect(self, reserved: bytes) -> None:
        self._skip_newlines(reserved)
        if self._peek_reserved() != reserved:
            raise self._unexpected(reserved)
        self.at += len(reserved)

    def _unexpected(self, wanted: bytes = b"") -> ShellSyntaxError:
        """Say it in BusyBox's words."""
        self._blanks()
        if self.at >= len(self.text):
            what = "end of file"
        elif self.text[self.at] == 10:
            what = "newline"
        elif operator := self._operator():
            what = f'"{operator.decode("latin-1")}"'
        elif (word := self._peek_reserved()) in _CLOSERS:
            what = f'"{word.decode("latin-1")}"'
        else:
            what = "word"
        expecting = f' (expecting "{wanted.decode("latin-1")}")' if wanted else ""
        return ShellSyntaxError(f"syntax error: unexpected {what}{expecting}")
