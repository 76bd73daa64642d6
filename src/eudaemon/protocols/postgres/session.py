"""What one client's statements work on: its settings, large objects, functions, the files it writes."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from datetime import UTC, datetime
from typing import Any

from eudaemon.events.catalogue import ExploitRecognised
from eudaemon.protocols._base import Fetch, Keep, Saw, Visit
from eudaemon.protocols._machine import Machine
from eudaemon.protocols._remembered import Remembered
from eudaemon.protocols._sql import POSTGRES, SqlError
from eudaemon.protocols._sql_engine import Engine
from eudaemon.protocols._sql_tables import Table, Tables
from eudaemon.protocols._sql_values import Value, text
from eudaemon.protocols._work import Run, Worker
from eudaemon.protocols.postgres.catalogue import catalogue
from eudaemon.protocols.postgres.functions import OWN_FUNCTIONS
from eudaemon.protocols.postgres.large import LargeObjects
from eudaemon.protocols.postgres.server import PLACES, Server
from eudaemon.wire import printable
from eudaemon.world.outside import Download

FUNCTIONS_MAX = 64  # that a session may make
FILES_MAX = 256  # that a session may write
SETTINGS_MAX = 256
ROLES_MAX = 64
_FACT_CHARS_MAX = 2048
_URL = re.compile(rb"(?:https?|ftp)://[\x21-\x7e]{4,1024}", re.IGNORECASE)
_SCRIPT = re.compile(rb"cron|/\.ssh/|^/etc/|/\.bash|/(?:www|html|htdocs)|\.(?:php|jsp|sh|py|pl)$", re.IGNORECASE)


class Session(Engine):
    """One client's. `at_s` is the time of the statement at hand."""

    __slots__ = (
        "_machine", "at_s", "files_written", "large", "made", "opened", "parameters", "pid", "remembered", "roles",
        "server",
        "set_of",
        "settings", "user", "visit", "worker",
    )  # fmt: skip

    def __init__(self, visit: Visit, server: Server, user: bytes, at_s: float) -> None:
        own = (b"postgres", b"template1", b"template0")
        super().__init__(POSTGRES, Tables(server.host, visit.purse, own), b"postgres")
        self.functions = OWN_FUNCTIONS
        self.visit = visit
        self.server = server
        self.user = user
        self.at_s = at_s
        self.pid = server.pid(at_s)
        self.large = LargeObjects(self.tables)
        self.opened: tuple[int, int] | None = None  # the large object that is open, and where
        self.made: dict[bytes, bytes] = {}  # functions, by their libraries
        self.settings: dict[bytes, bytes] = {}
        self.roles: list[bytes] = []
        self.files_written: set[bytes] = set()
        self.parameters: list[Value] = []
        self.set_of: list[list[Value]] | None = None  # the rows that the last function gave, if several
        self._machine: Machine | None = None
        self.remembered = Remembered(visit, "postgres")
        self.files_written |= {path for (path,) in self.remembered.each(b"file")}
        self.made |= dict(self.remembered.each(b"function"))
        for where, name, *columns in self.remembered.each(b"table"):
            if where in self.tables.databases and self.tables.find(where, name) is None:
                self.tables.databases[where][name] = Table(columns, [], [], shared=True)
        self.worker = Worker(lambda: self.machine.shell())  # noqa: PLW0108 (no machine is made before)

    @property
    def machine(self) -> Machine:
        """The server's machine."""
        if self._machine is None:
            self._machine = Machine(self.visit, self.server.host, PLACES, self.at_s)
        return self._machine

    def now(self) -> bytes:
        """Return the time of the statement as SQL writes it."""
        return datetime.fromtimestamp(self.at_s, UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00").encode()

    def started(self) -> bytes:
        """Return when the server was started."""
        began_s = self.at_s - self.server.host.uptime_s(self.at_s)
        return datetime.fromtimestamp(began_s, UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00").encode()

    def left(self) -> Iterator[Keep]:
        """Yield what was brought and is kept nowhere yet."""
        yield from self.tables.left()
        for number in self.large.numbers():
            if number not in self.large.exported:
                yield Keep(bytes(self.large.read(number)), "upload", f"large object {number}")
        if self._machine is not None:
            yield from self._machine.left()

    def status(self) -> int:
        """Return what the last program ended with."""
        return self.worker.status

    def setting(self, name: bytes) -> bytes:
        """Return a setting. Raises `SqlError`."""
        for known in (self.settings, self.server.settings):
            for key, value in known.items():
                if key.lower() == name.lower():
                    return value
        raise SqlError("variable", name)

    def set(self, name: bytes, value: bytes) -> None:
        """Change a setting, or one of a client's own with a dot in its name."""
        if len(self.settings) < SETTINGS_MAX and len(name) + len(value) <= 4096:
            self.settings[name] = value

    # --- what expressions reach ----------------------------------------------------------------------

    def variable(self, name: bytes) -> Value:
        """See `Scope`: `$1` is a parameter."""
        number = int(name[1:6]) if name[1:6].isdigit() else 0
        return self.parameters[number - 1] if 0 < number <= len(self.parameters) else None

    def place(self, name: tuple[bytes, ...]) -> tuple[bytes, bytes]:
        """See `Query`: what stands before a table is its schema, and all are one here."""
        return self.database, name[-1]

    def catalogue(self, name: tuple[bytes, ...]) -> Table | None:
        """See `Query`."""
        return catalogue(self, name)

    def changeable(self, name: tuple[bytes, ...]) -> Table:
        """See `Engine`: the pages of large objects can be changed as well."""
        return self.large.table if name[-1].lower() == b"pg_largeobject" else super().changeable(name)

    def rows_of(self, name: bytes, value: Value) -> Table:
        """See `Query`: some functions give several rows."""
        rows, self.set_of = self.set_of, None
        return Table([name], rows if rows is not None else [[value]])

    def call(self, name: bytes, values: list[Value]) -> Any:
        """See `Scope`: functions made out of libraries come first."""
        return self._made(name, values) if name in self.made else super().call(name, values)

    def _made(self, name: bytes, values: list[Value]) -> Generator[Any, Any, Value]:
        line = text(values[0]) if values else b""
        shown = printable(b" ".join(map(text, values)), _FACT_CHARS_MAX)
        yield Saw(ExploitRecognised("postgres-udf-command", "", f"{printable(name, 64)} {shown}"))
        url = next((found[0] for value in values if (found := _URL.match(text(value).strip()))), None)
        if url is not None:
            target = text(values[1]) if len(values) > 1 else url.rpartition(b"/")[2]
            yield Fetch(Download(url.decode("ascii"), printable(name, 64), printable(target, 256)))
            return 0
        printed = yield Run(line)
        return 0 if b"exec" in name and b"shell" not in name else bytes(printed)

    # --- files -----------------------------------------------------------------------------------------

    def write(self, path: bytes, data: bytes) -> Generator[Any, Any, None]:
        """Write a file as the server does. Raises `SqlError`."""
        shown = printable(path, 1024)
        library = path.lower().endswith((b".so", b".dll")) or data[:4] == b"\x7fELF" or data[:2] == b"MZ"
        yield Saw(ExploitRecognised("postgres-udf" if library else "postgres-file", "", shown))
        yield Keep(bytes(data), "script" if _SCRIPT.search(path) else "upload", shown)
        self.tables.export(bytes(data))
        wrong = self.machine.write(path, data, self.at_s)
        if wrong and path[1:3] not in (b":\\", b":/"):
            raise SqlError("write", path)
        if len(self.files_written) < FILES_MAX:
            self.files_written.add(path)
            self.remembered.add(b"file", path)

    def library(self, path: bytes) -> bool:
        """Say whether there is such a library; `$libdir` and the suffix may be left out."""
        wanted = path.replace(b"$libdir/", b"/usr/local/lib/postgresql/")
        return any(one in self.files_written or self.machine.read(one, self.at_s) is not None
                   for one in (wanted, wanted + b".so"))  # fmt: skip
