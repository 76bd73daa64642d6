"""A mock of the engine's side of an alert: it writes streams, input, tags and an alert into a process's mailbox.

The controller meets in it what the contract (`native/seal/src/abi.rs`) says that the engine writes, in that order.
"""

from __future__ import annotations

import socket
import struct
import time
from dataclasses import dataclass

from eudaemon.possession.abi import Abi
from eudaemon.possession.mailbox import GENERAL, Mailbox, find_mailbox
from eudaemon.possession.maps import read_maps
from eudaemon.possession.memory import Memory
from eudaemon.possession.ptrace import Kernel, Registers
from eudaemon.possession.tracee import Thread

_INPUT_AT = 1 << 20  # in the heap, which a process that sleeps has not come to use
_TAGS_AT = 2 << 20


@dataclass
class Filled:
    """A possessed process's mailbox that a test writes to."""

    pid: int
    mailbox: Mailbox

    @staticmethod
    def of(pid: int, abi: Abi) -> Filled:
        """Find the mailbox."""
        memory = Memory(Kernel(), pid)
        address = find_mailbox(read_maps(pid), memory, abi)
        assert address is not None
        return Filled(pid, Mailbox(memory, abi, address))

    def stream(self, label: int, data: bytes, *, received: int = 0, peer: str = "", kind: str = "INET") -> None:
        """Let a stream have this label, with `data` as the latest of its `received` bytes."""
        abi, memory = self.mailbox.abi, self.mailbox.memory
        received = received or len(data)
        size = abi["INPUT_BYTES"]
        ring = bytearray(size)
        for at, byte in enumerate(data[-size:], received - len(data[-size:])):
            ring[at % size] = byte
        place = self.mailbox.one("heap") + _INPUT_AT
        memory.write(place + label * size, ring)
        self.mailbox.set("input", place)
        record = abi.records["Stream"]
        raw = bytearray(record.size)
        record.pack(raw, serial=label + 1, received=received, inode=77, descriptor=5, kind=abi[f"source::{kind}"])
        if peer:
            for name, address in ("local", "10.0.0.1:80"), ("peer", peer):
                at = record[name].offset
                raw[at : at + 28] = _sockaddr(address)
        memory.write(self.mailbox.address + self.mailbox.record["streams"].offset + label * record.size, raw)

    def tag(self, address: int, tags: bytes) -> None:
        """Let memory have these tags, and all around it none."""
        place = self.mailbox.one("heap") + _TAGS_AT + (address & 0xFFFF)
        self.mailbox.memory.write(place, tags)
        aside = self.mailbox.abi["SHADOW_ASIDE"]
        self.mailbox.set("shadow_offset", (place - address % (1 << 32) - aside) % (1 << 64))

    def alert(self, kind: str, *, serial: int = 1, registers: Registers | None = None, index: int | None = None,
              register_tags: dict[str, bytes] | None = None, **values: int) -> None:  # fmt: skip
        """Raise an alert: everything, then its serial, then the count."""
        abi, memory = self.mailbox.abi, self.mailbox.memory
        record = abi.records["Alert"]
        raw = bytearray(record.size)
        record.pack(raw, kind=abi[f"alert::{kind}"], **{"tid": self.pid, "at_ns": time.time_ns(), **values})
        if registers is not None:
            words = [getattr(registers, name) for name in GENERAL]
            struct.pack_into("<16Q", raw, record["regs"].offset, *words)
        for name, tags in (register_tags or {}).items():
            at = record["register_tags"].offset + 8 * GENERAL.index(name)
            raw[at : at + 8] = tags
        place = self.address_of((serial - 1) % abi["ALERTS_MAX"] if index is None else index)
        memory.write(place, raw)
        memory.write(place, struct.pack("<Q", serial))
        self.mailbox.set("alert_count", max(serial, self.mailbox.one("alert_count")))

    def address_of(self, index: int) -> int:
        """Return where an entry stands."""
        return self.mailbox.address + self.mailbox.record["alerts"].offset + index * self._record_size

    @property
    def _record_size(self) -> int:
        return self.mailbox.abi.records["Alert"].size

    def verdict(self, index: int = 0) -> int:
        """Return what the controller has answered."""
        record = self.mailbox.abi.records["Alert"]
        (verdict,) = record.unpack(self.mailbox.memory.read(self.address_of(index), record.size), "verdict")
        return verdict

    def heed(self, index: int, state: int) -> None:
        """Let the thread have gone on by itself."""
        record = self.mailbox.abi.records["Alert"]
        self.mailbox.memory.write(self.address_of(index) + record["state"].offset, struct.pack("<I", state))


def registers_of(pid: int) -> Registers:
    """Return the registers of a process's first thread, which waits in a system call."""
    kernel = Kernel()
    kernel.seize(pid, 0)
    kernel.interrupt(pid)
    thread = Thread(kernel, pid)
    thread.take()
    thread.detach()
    return thread.registers


def _sockaddr(address: str) -> bytes:
    host, _, port = address.rpartition(":")
    if ":" in host:
        packed = socket.inet_pton(socket.AF_INET6, host.strip("[]"))
        return struct.pack("<H", socket.AF_INET6) + struct.pack(">HI", int(port), 0) + packed + bytes(4)
    return (struct.pack("<H", socket.AF_INET) + struct.pack(">H", int(port)) + socket.inet_aton(host)).ljust(28, b"\0")
