"""What a SET may bring about: net-snmp's table of commands to run, and Cisco's of configurations to copy.

Rows are put together from several variables, also of several messages; a row that is whole acts once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from eudaemon.protocols.snmp.messages import Oid, Varbind
from eudaemon.wire import PeerError, ber, printable

ROWS_MAX = 16
VALUE_BYTES_MAX = 4096
# NET-SNMP-EXTEND-MIB: nsExtendConfigTable's columns command, arguments, input and status; and what they printed.
EXTEND = (1, 3, 6, 1, 4, 1, 8072, 1, 3, 2, 2, 1)
OUTPUTS = (1, 3, 6, 1, 4, 1, 8072, 1, 3, 2, 3, 1)
_COMMAND, _ARGUMENTS = 2, 3
# CISCO-CONFIG-COPY-MIB: ccCopyTable's columns protocol, source, destination, server's address, file.
COPY = (1, 3, 6, 1, 4, 1, 9, 9, 96, 1, 1, 1, 1)
_SOURCE, _SERVER, _FILE = 3, 5, 6
_NETWORK_FILE = 1
_STATUS = {EXTEND: 21, COPY: 14}
_ACTIVE, _CREATE_AND_GO = 1, 4  # RFC 2579: RowStatus


@dataclass(frozen=True, slots=True)
class Deed:
    """What a whole row wants done: a command run, or a file fetched (or, without `command` and `url`, sent away)."""

    index: Oid
    command: bytes = b""
    url: str = ""
    to: str = ""


@dataclass(slots=True)
class Tables:
    """The rows of one session."""

    rows: dict[tuple[Oid, Oid], dict[int, bytes]] = field(default_factory=dict)

    def put(self, varbinds: tuple[Varbind, ...]) -> Iterator[Deed]:
        """Write variables; yield what the rows that they make active want. Raises `PeerError` past the limits."""
        touched: dict[tuple[Oid, Oid], None] = {}
        for name, _, value in varbinds:
            for table, status in _STATUS.items():
                if name[: len(table)] != table or len(name) < len(table) + 2:
                    continue
                if len(value) > VALUE_BYTES_MAX:
                    raise PeerError(f"SNMP: a value over {VALUE_BYTES_MAX} bytes")
                column, key = name[len(table)], (table, name[len(table) + 1 :])
                if key not in self.rows and len(self.rows) >= ROWS_MAX:
                    raise PeerError(f"SNMP: more than {ROWS_MAX} rows")
                self.rows.setdefault(key, {})[column] = value
                if column == status and value[-1:] in (bytes((_ACTIVE,)), bytes((_CREATE_AND_GO,))):
                    touched[key] = None
        for key in touched:
            deed = _deed_of(*key, self.rows[key])
            if deed:
                yield deed


def _deed_of(table: Oid, index: Oid, row: dict[int, bytes]) -> Deed | None:
    if table == EXTEND:
        command = b" ".join(filter(None, (row.get(_COMMAND, b""), row.get(_ARGUMENTS, b""))))
        return Deed(index, command) if command else None
    server, file = row.get(_SERVER, b""), printable(row.get(_FILE, b""), 255)
    if len(server) != 4 or not file:
        return None
    place = f"tftp://{IPv4Address(server)}/{file}"
    source = row.get(_SOURCE, b"")
    from_there = bool(source) and len(source) <= 4 and ber.integer(source) == _NETWORK_FILE
    return Deed(index, url=place) if from_there else Deed(index, to=place)
