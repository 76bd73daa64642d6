"""The grammar of `awk`, POSIX.1 XCU: a program becomes rules of patterns and actions, each a tree of tuples.

    [BEGIN | END | expression | /re/] {print …; printf …; name = …; if (…) … else …; next; exit}

No loops, arrays or functions of one's own: without them every program ends.
"""

from __future__ import annotations

import re
from typing import Any, TypeAlias

from eudaemon.world.shell.regular import Regular
from eudaemon.world.shell.words import unescape

PROGRAM_BYTES_MAX = 4096
LEVELS_MAX = 12  # of brackets and statements in each other: each takes a dozen of Python's own
LINKS_MAX = 64  # operators in a row, which are as deep a tree
Tree: TypeAlias = "tuple[Any, ...]"  # what it is, and its parts
Rule: TypeAlias = "tuple[Tree | None, Tree | None]"  # pattern and action

_TOKENS = re.compile(
    rb'\s*(?:#[^\n]*)?(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)|(?P<name>[A-Za-z_]\w*)|(?P<text>"(?:[^"\\\n]|\\.)*")'
    rb"|(?P<mark>&&|\|\||[<>=!+\-*/%]=|!~|\+\+|--|[-+*/%<>=!~?:,;{}()$\n]))"
)
_COMPARED = {b"<", b"<=", b"==", b"!=", b">", b">="}
_ENDS = {b";", b"\n", b"}", b""}
_FUNCTIONS = {
    b"length": (0, 1),
    b"substr": (2, 3),
    b"index": (2, 2),
    b"tolower": (1, 1),
    b"toupper": (1, 1),
    b"int": (1, 1),
}


class ProgramError(Exception):
    """The program is wrong, or more than is known here."""


class Parser:
    """Recursive descent, loosest operator first. Raises `ProgramError` and `RegularError`."""

    def __init__(self, program: bytes) -> None:
        if len(program) > PROGRAM_BYTES_MAX:
            raise ProgramError("Too long")
        self._program = program
        self._at = 0
        self._levels = LEVELS_MAX
        self._links = LINKS_MAX
        self._kind = ""
        self.token = b""
        self._advance()

    def rules(self) -> list[Rule]:
        """Return pattern and action of each rule."""
        found: list[Rule] = []
        while True:
            while self.token in (b";", b"\n"):
                self._advance()
            if not self._kind:
                return found
            pattern = None if self.token == b"{" else self._expression()
            found.append((pattern, self._block() if self.token == b"{" else None))

    # --- statements --------------------------------------------------------------------------------

    def _block(self) -> Tree:
        self._expect(b"{")
        statements = []
        while self.token != b"}":
            if self.token in (b";", b"\n"):
                self._advance()
            else:
                statements.append(self._statement())
        self._advance()
        return ("block", statements)

    def _statement(self) -> Tree:
        self._enter()
        match self.token if self._kind == "name" else b"":
            case b"print" | b"printf":
                made = self._print()
            case b"if":
                made = self._if()
            case b"next" | b"exit":
                made = (self.token.decode(),)
                self._advance()
                if made == ("exit",) and self.token not in _ENDS:
                    made = ("exit", self._expression())
            case b"while" | b"for" | b"do" | b"delete" | b"getline" | b"function":
                raise ProgramError("Unexpected token")
            case _:
                made = self._block() if self.token == b"{" else ("expression", self._expression())
        self._levels += 1
        return made

    def _print(self) -> Tree:
        kind = self.token.decode()
        self._advance()
        given = []
        if self.token not in _ENDS:
            given.append(self._expression())
            while self.token == b",":
                self._advance()
                given.append(self._expression())
        if len(given) == 1 and given[0][0] == "list":
            given = given[0][1]
        return (kind, given)

    def _if(self) -> Tree:
        self._advance()
        self._expect(b"(")
        condition = self._expression()
        self._expect(b")")
        self._pass_lines()
        then = self._statement()
        here = (self._at, self._kind, self.token)
        while self.token in (b";", b"\n"):
            self._advance()
        if self._kind == "name" and self.token == b"else":
            self._advance()
            self._pass_lines()
            return ("if", condition, then, self._statement())
        self._at, self._kind, self.token = here
        return ("if", condition, then, None)

    # --- expressions -------------------------------------------------------------------------------

    def _expression(self) -> Tree:
        self._enter()
        left = self._choice()
        if self.token in (b"=", b"+=", b"-=", b"*=", b"/=", b"%=") and left[0] in ("name", "field"):
            operator = self.token[:-1]
            self._advance()
            right = self._expression()
            left = ("assign", left, ("binary", operator, left, right) if operator else right)
        self._levels += 1
        return left

    def _choice(self) -> Tree:
        left = self._either()
        if self.token != b"?":
            return left
        self._advance()
        then = self._expression()
        self._expect(b":")
        return ("choose", left, then, self._expression())

    def _either(self) -> Tree:
        left = self._both()
        while self.token == b"||":
            self._advance()
            left = self._linked("or", left, self._both())
        return left

    def _both(self) -> Tree:
        left = self._matched()
        while self.token == b"&&":
            self._advance()
            left = self._linked("and", left, self._matched())
        return left

    def _matched(self) -> Tree:
        left = self._compared()
        while self.token in (b"~", b"!~"):
            negated = self.token == b"!~"
            self._advance()
            left = self._linked("match", left, self._compared(), negated)
        return left

    def _compared(self) -> Tree:
        left = self._joined()
        if self.token in _COMPARED and self._kind == "mark":
            operator = self.token
            self._advance()
            left = ("compare", operator, left, self._joined())
        return left

    def _joined(self) -> Tree:
        left = self._sum()
        while self._kind in ("number", "text") or (self._kind == "name" and self.token not in (b"else", b"in")) or (
            self.token in (b"$", b"(")
        ):  # fmt: skip
            left = self._linked("join", left, self._sum())
        return left

    def _sum(self) -> Tree:
        left = self._product()
        while self.token in (b"+", b"-") and self._kind == "mark":
            operator = self.token
            self._advance()
            left = self._linked("binary", operator, left, self._product())
        return left

    def _product(self) -> Tree:
        left = self._signed()
        while self.token in (b"*", b"/", b"%") and self._kind == "mark":
            operator = self.token
            self._advance()
            left = self._linked("binary", operator, left, self._signed())
        return left

    def _signed(self) -> Tree:
        if self._kind == "mark" and self.token in (b"!", b"-", b"+"):
            self._enter()
            operator = self.token
            self._advance()
            made: Tree = ("unary", operator, self._signed())
            self._levels += 1
            return made
        return self._counted()

    def _counted(self) -> Tree:
        if self.token in (b"++", b"--"):
            operator = self.token[:1]
            self._advance()
            target = self._single()
            if target[0] not in ("name", "field"):
                raise ProgramError("Unexpected token")
            return ("assign", target, ("binary", operator, target, ("value", 1.0)))
        target = self._single()
        if self.token in (b"++", b"--") and target[0] in ("name", "field"):
            operator = self.token[:1]
            self._advance()
            return ("count", target, ("binary", operator, target, ("value", 1.0)))
        return target

    def _single(self) -> Tree:
        kind, token = self._kind, self.token
        if kind == "mark" and token in (b"/", b"/="):
            return ("match", ("field", ("value", 0.0)), self._regular(), False)
        self._advance()
        if kind == "number":
            return ("value", float(token))
        if kind == "text":
            return ("value", unescape(token[1:-1].replace(b'\\"', b'"').replace(b"\\/", b"/"))[0])
        if kind == "name":
            return self._function(token) if token in _FUNCTIONS else ("name", token)
        if token == b"$":
            self._enter()
            target = self._counted() if self.token in (b"++", b"--") else self._single()
            self._levels += 1
            return ("field", target)
        if token == b"(":
            inner = [self._expression()]
            while self.token == b",":
                self._advance()
                inner.append(self._expression())
            self._expect(b")")
            return inner[0] if len(inner) == 1 else ("list", inner)
        raise ProgramError("Unexpected token")

    def _function(self, name: bytes) -> Tree:
        given: list[Tree] = []
        low, high = _FUNCTIONS[name]
        if self.token == b"(":
            self._advance()
            while self.token != b")":
                given.append(self._expression())
                if self.token == b",":
                    self._advance()
            self._advance()
        if not low <= len(given) <= high:
            raise ProgramError("Too few arguments")
        return ("call", name, given)

    def _regular(self) -> Tree:
        # The token is the slash that begins it; `/=` may begin one too.
        start = self._at - (len(self.token) - 1)
        end = start
        in_bracket = False
        while end < len(self._program) and (self._program[end] != 0x2F or in_bracket):
            in_bracket = self._program[end] == 0x5B or (in_bracket and self._program[end] != 0x5D)
            end += 2 if self._program[end] == 0x5C else 1
        if end >= len(self._program):
            raise ProgramError("Unterminated regex")
        made = ("regular", Regular(self._program[start:end].replace(b"\\/", b"/"), extended=True))
        self._at = end + 1
        self._advance()
        return made

    # --- tokens ------------------------------------------------------------------------------------

    def _advance(self) -> None:
        while self._program[self._at : self._at + 1] in (b" ", b"\t", b"\r"):
            self._at += 1
        if self._program[self._at : self._at + 1] == b"\n":
            self._at, self._kind, self.token = self._at + 1, "mark", b"\n"
            return
        found = _TOKENS.match(self._program, self._at)
        if found is None:
            if self._program[self._at :].strip():
                raise ProgramError("Unexpected token")
            self._kind, self.token = "", b""
            return
        self._at = found.end()
        self._kind = found.lastgroup or ""
        self.token = found[self._kind]

    def _expect(self, token: bytes) -> None:
        if self.token != token or self._kind != "mark":
            raise ProgramError("Unexpected token" if self._kind else "Unexpected end of string")
        self._advance()

    def _pass_lines(self) -> None:
        while self.token == b"\n":
            self._advance()

    def _linked(self, *tree: Any) -> Tree:
        self._links -= 1
        if self._links < 0:
            raise ProgramError("Too long")
        return tree

    def _enter(self) -> None:
        self._levels -= 1
        if self._levels < 0 or not self._kind:
            raise ProgramError("Unexpected end of string" if not self._kind else "Too deep")
