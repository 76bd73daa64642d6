"""A client of the debug bridge for tests: frames out, streams back. It answers each WRTE with OKAY, as adb does."""

from __future__ import annotations

import struct

from eudaemon.protocols.adb import Adb
from eudaemon.protocols.adb.messages import HEADER, Message
from eudaemon.testing.script import Table, visit
from eudaemon.wire import Purse
from eudaemon.world.android import android_of
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed


def host_with(version: str) -> Host:
    """Return a host whose Android box has this release."""
    for number in range(200):
        host = Host.from_seed(Seed(b"%d" % number))
        if android_of(host).release.version == version:
            return host
    raise AssertionError(version)


HOSTS = {version: host_with(version) for version in ("5.1.1", "6.0.1", "7.1.2", "9")}


def frame(command: bytes, arg0: int, arg1: int, payload: bytes = b"") -> bytes:
    return Message(command, arg0, arg1, payload).encode(summed=True)


CONNECT = frame(b"CNXN", 0x01000001, 1024 * 1024, b"host::features=shell_v2,cmd,stat_v2")


def request(verb: bytes, argument: bytes) -> bytes:
    """Return a request of the file service."""
    return verb + struct.pack("<I", len(argument)) + argument


def sent_file(path: bytes, data: bytes, step: int = 65536) -> bytes:
    """Return what `push` sends on its stream."""
    parts = b"".join(request(b"DATA", data[at : at + step]) for at in range(0, len(data), step))
    return request(b"SEND", path + b",33261") + parts + b"DONE" + struct.pack("<I", 1_700_000_000)


class Client:
    """One connection. `split`: everything is sent in pieces of so many bytes."""

    def __init__(
        self, version: str = "6.0.1", *, split: int = 0, bytes_max: int = 32 << 20, table: Table | None = None
    ) -> None:  # fmt: skip
        self.table = table or Table(Adb(visit(host=HOSTS[version], port=5555, purse=Purse(bytes_max)))).open()
        self.split = split
        self.opened = 0
        self.numbers: dict[int, int] = {}  # theirs by ours
        self.came: dict[int, bytes] = {}
        self.over: set[int] = set()
        self.refused: set[int] = set()
        self.connected = b""
        self._read = 0

    def connect(self) -> Client:
        self.say(CONNECT)
        return self

    def say(self, data: bytes) -> None:
        self.table.say(data, self.split)
        self._hear()

    def open(self, destination: bytes) -> int:
        self.opened += 1
        self.came[self.opened] = b""
        self.say(frame(b"OPEN", self.opened, 0, destination + b"\0"))
        return self.opened

    def write(self, ours: int, data: bytes, step: int = 4096) -> None:
        for at in range(0, len(data), step):
            self.say(frame(b"WRTE", ours, self.numbers[ours], data[at : at + step]))

    def close(self, ours: int) -> None:
        self.say(frame(b"CLSE", ours, self.numbers[ours]))

    def run(self, destination: bytes) -> bytes:
        """Open, and return all that comes."""
        stream = self.open(destination)
        return self.came[stream]

    def push(self, path: bytes, data: bytes, step: int = 4096) -> bytes:
        """Send a file; return what the file service answers."""
        stream = self.open(b"sync:")
        self.write(stream, sent_file(path, data), step)
        return self.came[stream]

    def _hear(self) -> None:
        while len(self.table.sent) - self._read >= HEADER.size:
            command, arg0, arg1, length, total, check = HEADER.unpack_from(self.table.sent, self._read)
            payload = self.table.sent[self._read + HEADER.size :][:length]
            self._read += HEADER.size + length
            assert len(payload) == length
            assert check == int.from_bytes(command, "little") ^ 0xFFFFFFFF
            assert total in (0, sum(payload))
            if command == b"CNXN":
                self.connected = payload
            elif command == b"OKAY":
                self.numbers[arg1] = arg0
            elif command == b"WRTE":
                self.came[arg1] += payload
                self.table.say(frame(b"OKAY", arg1, arg0), self.split)
            elif command == b"CLSE":
                (self.over if arg0 else self.refused).add(arg1)
