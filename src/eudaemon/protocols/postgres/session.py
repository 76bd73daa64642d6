"""What one client's statements work on: its settings, large objects, functions, the files it writes."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from datetime import UTC, datetime
from typing import Any, ClassVar

from eudaemon.events.catalogue import ExploitRecognised
from eudaemon.protocols._base import Keep, Saw, Visit
from eudaemon.protocols._sql.cursors import Cursors
from eudaemon.protocols._sql.session import MachineSession
from eudaemon.protocols._sql.tables import Table
from eudaemon.protocols._sql.tokens import POSTGRES, SqlError
from eudaemon.protocols._sql.values import Value
from eudaemon.protocols.postgres.catalogue import catalogue
from eudaemon.protocols.postgres.functions import OWN_FUNCTIONS
from eudaemon.protocols.postgres.large import LargeObjects
from eudaemon.protocols.postgres.server import PLACES, Server
from eudaemon.wire import printable

SETTINGS_MAX = 256
ROLES_MAX = 64
_SCRIPT = re.compile(rb"cron|/\.ssh/|^/etc/|/\.bash|/(?:www|html|htdocs)|\.(?:php|jsp|sh|py|pl)$", re.IGNORECASE)


class Session(MachineSession):
    """One client's. See `MachineSession`."""

    __slots__ = ("cursors", "large", "opened", "pid", "roles", "server", "set_of", "settings", "user")
    product: ClassVar[str] = "postgres"

    def __init__(self, visit: Visit, server: Server, user: bytes, at_s: float) -> None:
        super().__init__(visit, server.host, POSTGRES, (b"postgres", b"template1", b"template0"), PLACES, at_s)
        self.database = b"postgres"
        self.functions = OWN_FUNCTIONS
        self.server = server
        self.user = user
        self.pid = server.pid(at_s)
        self.large = LargeObjects(self.tables)
        self.cursors = Cursors(visit.purse)
        self.opened: tuple[int, int] | None = None  # the large object that is open, and where
        self.settings: dict[bytes, bytes] = {}
        self.roles: list[bytes] = []
        self.set_of: list[list[Value]] | None = None  # the rows that the last function gave, if several
        for where, name, *columns in self.remembered.each(b"table"):
            if where in self.tables.databases and self.tables.find(where, name) is None:
                self.tables.databases[where][name] = Table(columns, [], [], shared=True)

    def left(self) -> Iterator[Keep]:
        """See `MachineSession`: large objects are left, too."""
        yield from super().left()
        for number in self.large.numbers():
            if number not in self.large.exported:
                yield Keep(bytes(self.large.read(number)), "upload", f"large object {number}")

    def now(self) -> bytes:
        """Return the time of the statement as SQL writes it."""
        return datetime.fromtimestamp(self.at_s, UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00").encode()

    def started(self) -> bytes:
        """Return when the server was started."""
        began_s = self.at_s - self.server.host.uptime_s(self.at_s)
        return datetime.fromtimestamp(began_s, UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00").encode()

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
        self.note_file(path)

    def library(self, path: bytes) -> bool:
        """Say whether there is such a library; `$libdir` and the suffix may be left out."""
        wanted = path.replace(b"$libdir/", b"/usr/local/lib/postgresql/")
        return any(one in self.files_written or self.machine.read(one, self.at_s) is not None
                   for one in (wanted, wanted + b".so"))  # fmt: skip
