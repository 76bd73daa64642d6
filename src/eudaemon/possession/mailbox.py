"""The mailbox and the contexts in a process, as typed views over its memory; and how a mailbox is found."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from eudaemon.possession.abi import Abi, Record
from eudaemon.possession.errors import PossessionError
from eudaemon.possession.maps import LOW_END, Area
from eudaemon.possession.memory import Memory, Remote
from eudaemon.possession.ptrace import Registers

# The order of `Registers` in the contract is that of instructions.
GENERAL = (
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
    "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mapped:
    """An entry of `Mailbox::mappings`."""

    address: int
    size: int
    kind: int
    index: int


class View:
    """A record in the process's memory: numbers by field name."""

    def __init__(self, memory: Memory, record: Record, address: Remote) -> None:
        self.memory = memory
        self.record = record
        self.address = address

    def get(self, *names: str) -> tuple[int, ...]:
        """Return fields' values; one read."""
        begin = min(self.record[name].offset for name in names)
        end = max(self.record[name].offset + self.record[name].size for name in names)
        return self.record.unpack(self.memory.read(self.address + begin, end - begin), *names, at=-begin)

    def one(self, name: str) -> int:
        """Return one field's value."""
        return self.get(name)[0]

    def set(self, name: str, value: int) -> None:
        """Write one field."""
        field = self.record[name]
        self.memory.write(self.address + field.offset, value.to_bytes(field.size, "little"))


class Mailbox(View):
    """`Mailbox` of the contract."""

    def __init__(self, memory: Memory, abi: Abi, address: Remote) -> None:
        super().__init__(memory, abi.records["Mailbox"], address)
        self.abi = abi

    def slots(self) -> list[Remote]:
        """Return the addresses of all slots that there are."""
        field = self.record["slots"]
        words = struct.unpack(f"<{field.size // 4}I", self.memory.read(self.address + field.offset, field.size))
        return [Remote(word) for word in words if word]

    def set_slots(self, slots: Iterable[int]) -> None:
        """Write the addresses of slots, from the first entry on."""
        words = list(slots)
        self.memory.write(self.address + self.record["slots"].offset, struct.pack(f"<{len(words)}I", *words))

    def contexts(self) -> list[Context]:
        """Return a view of every slot's context."""
        return [Context(self.memory, self.abi, slot) for slot in self.slots()]

    def mappings(self) -> list[Mapped]:
        """Return what the engine and we have mapped."""
        entry = self.abi.records["Mapping"]
        raw = self._entries("mappings", entry, self.one("mapping_count"))
        found = []
        for at in range(0, len(raw), entry.size):
            address, size, kind = entry.unpack(raw, "address", "bytes", "kind", at=at)
            if size:
                found.append(Mapped(address, size, kind, at // entry.size))
        return found

    def spans(self) -> list[Mapped]:
        """Return what is mapped, in the order in which it is to be unmapped: the reservation with these notes last."""
        low = self.abi["mapping::LOW"]
        return sorted(self.mappings(), key=lambda mapped: mapped.kind == low)

    def forget_mapping(self, mapped: Mapped) -> None:
        """Note that something is not mapped any more, so that nobody unmaps what has taken its place."""
        entry = self.abi.records["Mapping"]
        begin = self.address + self.record["mappings"].offset + mapped.index * entry.size + entry["bytes"].offset
        self.memory.write(begin, bytes(entry["bytes"].size))

    def add_mapping(self, address: int, size: int, kind: int) -> None:
        """Note something that a release unmaps."""
        entry, count = self.abi.records["Mapping"], self.one("mapping_count")
        if count >= self.abi["MAPPINGS_MAX"]:
            raise PossessionError("more is mapped than the mailbox can note", "release the process and try again")
        raw = bytearray(entry.size)
        entry.pack(raw, address=address, bytes=size, kind=kind)
        self.memory.write(self.address + self.record["mappings"].offset + count * entry.size, raw)
        self.set("mapping_count", count + 1)

    def write_code(self, areas: Iterable[Area]) -> None:
        """Write which memory may be executed, for a process that cannot read that itself."""
        entry = self.abi.records["Code"]
        raw = bytearray()
        for area in areas:
            if area.rights[2] == "x":
                one = bytearray(entry.size)
                protection = sum(1 << bit for bit, letter in enumerate("rwx") if letter in area.rights)
                entry.pack(one, low=area.begin, high=area.end, protection=protection, shared=area.rights[3] == "s")
                raw += one
        del raw[self.abi["CODE_MAX"] * entry.size :]
        self.memory.write(self.address + self.record["code"].offset, raw)
        self.set("code_count", len(raw) // entry.size)

    def write_snapshots(self, threads: Iterable[tuple[int, Registers]]) -> None:
        """Write threads' registers for `seal_recover`; one write, and the count."""
        entry = self.abi.records["Snapshot"]
        raw = bytearray()
        for tid, registers in threads:
            one = bytearray(entry.size)
            entry.pack(one, tid=tid)
            at = entry["regs"].offset
            one[at : at + Registers.BYTES] = bytes(registers)
            raw += one
        self.memory.write(self.address + self.record["snapshots"].offset, raw)
        self.set("snapshot_count", len(raw) // entry.size)

    def read_snapshots(self, count: int) -> list[tuple[int, int, Registers]]:
        """Return thread, status and registers of each snapshot."""
        entry = self.abi.records["Snapshot"]
        raw = self._entries("snapshots", entry, count)
        found = []
        for at in range(0, len(raw), entry.size):
            tid, status = entry.unpack(raw, "tid", "status", at=at)
            found.append((tid, status, Registers.from_buffer_copy(raw, at + entry["regs"].offset)))
        return found

    def _entries(self, name: str, entry: Record, count: int) -> bytes:
        field = self.record[name]
        size = min(count * entry.size, field.size)  # the process that it lies in may have written any count
        return self.memory.read(self.address + field.offset, size) if size else b""


class Context(View):
    """`Context` of the contract: one thread's record."""

    def __init__(self, memory: Memory, abi: Abi, address: Remote) -> None:
        super().__init__(memory, abi.records["Context"], address)

    def registers(self, like: Registers) -> Registers:
        """Return the application's registers that stand in it; segment registers as in `like`."""
        filled = like.copy()
        words = struct.unpack("<16Q", self.memory.read(self.address + self.record["regs"].offset, 128))
        for name, value in zip(GENERAL, words, strict=True):
            setattr(filled, name, value)
        filled.rip, filled.eflags = self.get("rip", "rflags")
        filled.orig_rax = (1 << 64) - 1
        return filled


def fill_context(record: Record, registers: Registers, **values: int) -> bytes:
    """Return the controller's part of a context that begins with these registers; what is not named is zero.

    From `service` on the record is the engine's, which has filled it in when it was prepared.
    """
    raw = bytearray(record["service"].offset)
    struct.pack_into("<16Q", raw, record["regs"].offset, *(getattr(registers, name) for name in GENERAL))
    record.pack(raw, rip=registers.rip, rflags=registers.eflags, **values)
    return bytes(raw)


def find_mailbox(areas: Iterable[Area], memory: Memory, abi: Abi) -> Remote | None:
    """Return where a mailbox begins: an anonymous mapping below 2 GiB whose first word is the magic. None: nowhere."""
    for area in candidates(areas):
        if memory.read_word(area.begin) == abi["MAGIC"]:
            return area.begin
    return None


def candidates(areas: Iterable[Area]) -> Iterator[Area]:
    """Yield the mappings that may begin with a mailbox."""
    return (area for area in areas if area.begin < LOW_END and area.is_anonymous and area.rights.startswith("rw"))
