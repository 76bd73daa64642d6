"""The flow of a batch of Transact-SQL: statements without a mark between them, conditions, loops, blocks.

What a statement does is `batch`'s to say (`step`). The work of a batch yields orders, and results as `Result`,
`Said` and `Outcome` for the room to tell.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeAlias

from eudaemon.protocols._sql.parser import Parser
from eudaemon.protocols._sql.tokens import NAME, TSQL, WORD
from eudaemon.protocols._sql.values import evaluate, truth
from eudaemon.protocols.mssql.session import Session
from eudaemon.wire import PeerError

Steps: TypeAlias = Generator[Any, Any, None]
STATEMENTS_MAX = 10_000  # that a batch may carry out, loops and batches within it included
STARTS = (
    b"select insert update delete set declare exec execute if else begin end while print use go create drop alter "
    b"truncate reconfigure waitfor backup restore bulk dbcc raiserror return grant revoke deny kill shutdown commit "
    b"rollback save break continue fetch open close deallocate merge throw checkpoint with"
).split()


class _Leave(Exception):  # noqa: N818 - BREAK and RETURN, no error
    """What leaves a loop, or the whole batch."""

    def __init__(self, *, whole_batch: bool) -> None:
        super().__init__()
        self.whole_batch = whole_batch


class Flow:
    """One batch. `nested` says how deep it lies within others."""

    __slots__ = ("count", "nested", "parser", "session")

    def __init__(self, session: Session, sql: bytes, *, nested: int = 0, count: list[int] | None = None) -> None:
        self.session = session
        self.parser = Parser(sql, TSQL)
        self.count = count if count is not None else [0]  # statements carried out, shared with batches within
        self.nested = nested

    def step(self, word: bytes) -> Steps | None:
        """Return the work of a statement that begins with this word, None if none does."""
        raise NotImplementedError

    def call(self) -> Steps:
        """Call a procedure whose name comes next."""
        raise NotImplementedError

    def run(self) -> Steps:
        """Carry out all statements. Raises `SqlError`, and `PeerError` past a limit."""
        parser = self.parser
        first = True
        try:
            while not parser.over:
                if parser.sign(b";") or parser.word(b"go"):
                    continue
                yield from self._statement(first=first)
                first = False
        except _Leave:
            return

    def _statement(self, *, first: bool = False) -> Steps:
        self.count[0] += 1
        if self.count[0] > STATEMENTS_MAX:
            raise PeerError(f"more than {STATEMENTS_MAX} statements in one batch")
        parser = self.parser
        token = parser.next
        step = self.step(token.word) if token.kind is WORD else None
        if step is not None:
            yield from step
        elif first and token.kind in (WORD, NAME):
            yield from self.call()  # a procedure without EXEC, as the first of a batch may be called
        else:
            raise parser.error()

    # --- what controls -----------------------------------------------------------------------------------

    def if_(self) -> Steps:
        """IF condition statement [ELSE statement]."""
        parser = self.parser
        parser.take()
        condition = yield from evaluate(parser.expression(), self.session)
        if truth(condition):
            yield from self._statement()
            parser.sign(b";")
            if parser.word(b"else"):
                self._skip()
        else:
            self._skip()
            parser.sign(b";")
            if parser.word(b"else"):
                yield from self._statement()

    def while_(self) -> Steps:
        """WHILE condition statement."""
        parser = self.parser
        parser.take()
        start = parser.at
        while True:
            parser.at = start
            condition = yield from evaluate(parser.expression(), self.session)
            if not truth(condition):
                self._skip()
                return
            body = parser.at
            try:
                yield from self._statement()
            except _Leave as leave:
                if leave.whole_batch:
                    raise
                parser.at = body
                self._skip()
                return

    def begin_(self) -> Steps:
        """BEGIN … END, BEGIN TRY, BEGIN TRAN."""
        parser = self.parser
        parser.take()
        if parser.is_word(b"tran", b"transaction", b"distributed"):
            parser.skip(*STARTS)
            return
        kind = parser.take().word if parser.is_word(b"try", b"catch") else b""
        if kind == b"catch":
            self._to_end()
            return
        while not parser.over and not parser.word(b"end"):
            if not parser.sign(b";"):
                yield from self._statement()
        if kind:
            parser.word(kind)

    def _to_end(self) -> None:
        parser, depth = self.parser, 1
        while depth and not parser.over:
            token = parser.take()
            if token.kind is WORD:
                depth += (token.word in (b"begin", b"case")) - (token.word == b"end")
        parser.word(b"catch") or parser.word(b"try")

    def _skip(self) -> None:
        """Pass over one statement."""
        parser = self.parser
        parser.sign(b";")
        token = parser.take()
        if token.word == b"begin" and token.kind is WORD:
            self._to_end()
        elif token.word in (b"if", b"while") and token.kind is WORD:
            parser.skip(*STARTS)
            self._skip()
        else:
            if token.word == b"insert":
                parser.skip(b"select", b"exec", b"execute", b"values")
                parser.take()
            parser.skip(*STARTS)

    def break_(self) -> Steps:
        """BREAK."""
        self.parser.take()
        yield from ()
        raise _Leave(whole_batch=False)

    def return_(self) -> Steps:
        """RETURN."""
        yield from ()
        raise _Leave(whole_batch=True)
