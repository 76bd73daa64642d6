"""What one client's statements work on where the database runs on a machine of its own: files, and functions of files.

A function that the attacker made out of a library runs what it is given, as the libraries of that name do:
`sys_exec` gives 0, `sys_eval` what the command printed, and one that is given a URL fetches it.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from typing import Any, ClassVar

from eudaemon.events.catalogue import ExploitRecognised
from eudaemon.protocols._base import Fetch, Keep, Saw, Visit
from eudaemon.protocols._machine import Machine
from eudaemon.protocols._remembered import Remembered
from eudaemon.protocols._sql.engine import Engine
from eudaemon.protocols._sql.parameters import number_of
from eudaemon.protocols._sql.tables import Tables
from eudaemon.protocols._sql.tokens import Dialect, SqlError
from eudaemon.protocols._sql.values import Value, text
from eudaemon.protocols._work import Run, Worker
from eudaemon.wire import printable
from eudaemon.world.container import Container
from eudaemon.world.outside import Download

FUNCTIONS_MAX = 64  # that a session may make
STATEMENTS_MAX = 64  # that a session may prepare in SQL
FILES_MAX = 256  # that a session may write
_FACT_CHARS_MAX = 2048
_URL = re.compile(rb"(?:https?|ftp)://[\x21-\x7e]{4,1024}", re.IGNORECASE)


class MachineSession(Engine):
    """One client's. `at_s` is the time of the statement at hand."""

    __slots__ = ("_machine", "_places", "at_s", "files_written", "host", "made", "parameters", "remembered",
                 "statements", "visit", "worker")  # fmt: skip
    product: ClassVar[str]  # as the room, and what its exploits begin with

    def __init__(
        self, visit: Visit, host: Container, dialect: Dialect, own: tuple[bytes, ...], places: tuple[bytes, ...],
        at_s: float,
    ) -> None:  # fmt: skip
        """Own are the databases that every such server has, places its directories on the machine."""
        super().__init__(dialect, Tables(host, visit.purse, own), b"")
        self.visit = visit
        self.host = host
        self.at_s = at_s
        self._places = places
        self._machine: Machine | None = None
        self.worker = Worker(lambda: self.machine.shell())  # noqa: PLW0108 (no machine is made before)
        self.parameters: list[Value] = []  # of the prepared statement at hand
        self.statements: dict[bytes, bytes] = {}  # that were prepared in SQL, by name
        self.remembered = Remembered(visit, self.product)
        self.files_written: set[bytes] = {path for (path,) in self.remembered.each(b"file")}
        self.made: dict[bytes, bytes] = dict(self.remembered.each(b"function"))  # functions, by their libraries

    @property
    def machine(self) -> Machine:
        """The server's machine."""
        if self._machine is None:
            self._machine = Machine(self.visit, self.host, self._places, self.at_s)
        return self._machine

    def left(self) -> Iterator[Keep]:
        """Yield what was brought and is kept nowhere yet."""
        yield from self.tables.left()
        if self._machine is not None:
            yield from self._machine.left()

    def note_file(self, path: bytes) -> None:
        """Remember that a file was written, up to the limit."""
        if len(self.files_written) < FILES_MAX:
            self.files_written.add(path)
            self.remembered.add(b"file", path)

    def make_function(self, name: bytes, library: bytes) -> None:
        """Make a function out of a library, up to the limit."""
        name, library = name.lower()[:64], library[:256]
        if len(self.made) < FUNCTIONS_MAX:
            self.made[name] = library
            self.remembered.add(b"function", name, library)

    def drop_function(self, name: bytes) -> bool:
        """Forget a function; say whether it was there."""
        self.remembered.forget(b"function", name.lower())
        return self.made.pop(name.lower(), None) is not None

    def variable(self, name: bytes) -> Value:
        """See `Scope`: what begins with `?` or `$` is a parameter."""
        number = number_of(name)
        if not number:
            return super().variable(name)
        return self.parameters[number - 1] if number <= len(self.parameters) else None

    def keep_statement(self, name: bytes, sql: bytes) -> None:
        """Keep a statement that is prepared. Raises `SqlError`."""
        if len(self.statements) >= STATEMENTS_MAX or not self.visit.purse.take(len(sql)):
            raise SqlError("full")
        self.statements[name] = sql

    def drop_statement(self, name: bytes) -> bool:
        """Forget a statement; say whether it was there."""
        sql = self.statements.pop(name, None)
        self.visit.purse.give_back(len(sql or b""))
        return sql is not None

    def call(self, name: bytes, values: list[Value]) -> Any:
        """See `Scope`: functions made out of libraries come first."""
        return self._made(name, values) if name in self.made else super().call(name, values)

    def _made(self, name: bytes, values: list[Value]) -> Generator[Any, Any, Value]:
        line = text(values[0]) if values else b""
        shown = printable(b" ".join(map(text, values)), _FACT_CHARS_MAX)
        yield Saw(ExploitRecognised(f"{self.product}-udf-command", "", f"{printable(name, 64)} {shown}"))
        url = next((found[0] for value in values if (found := _URL.match(text(value).strip()))), None)
        if url is not None:
            target = text(values[1]) if len(values) > 1 else url.rpartition(b"/")[2]
            yield Fetch(Download(url.decode("ascii"), printable(name, 64), printable(target, 256)))
            return 0
        printed = yield Run(line)
        return 0 if b"exec" in name and b"shell" not in name else bytes(printed)
