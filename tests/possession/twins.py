"""Twins of a running process: one runs natively, instruction by instruction, one in the engine; they must agree.

    with Twins(pid) as twins:
        twins.run(20_000)      # instructions; raises `Disagreement`

The engine is told to come back to its dispatcher after every fragment, and stands at a trap there each time: its word
of the application's registers and flags is compared with the native states in their order, one of which it must be. Now
and then all else is compared too: vectors, the x87 unit, and every page that either twin has written. Twins are ended
before they do what others could see: at their next system call. So are they where an instruction's outcome is not the
program's own.
"""

from __future__ import annotations

import os
import random
import signal
import struct
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from capstone import CS_ARCH_X86, CS_MODE_64, Cs
from elftools.elf.elffile import ELFFile

from eudaemon import possession
from eudaemon.possession.engine import Engine, load_engine
from eudaemon.possession.errors import PossessionError
from eudaemon.possession.layout import layout_of
from eudaemon.possession.mailbox import GENERAL, Context, Mailbox
from eudaemon.possession.maps import Area, read_maps
from eudaemon.possession.memory import PAGE, Memory
from eudaemon.possession.ptrace import OPTION_SYSGOOD, WALL, Registers
from eudaemon.possession.taint import Taint
from eudaemon.possession.target import opened
from possession.cycles import ENGINE
from possession.forked import Door, end, fork_twice

TRAP_FLAG, FLAGS, DIRECTION = 0x100, 0xCD5, 0x400
WRITTEN = 1 << 56 | 1 << 63  # of an entry in /proc/PID/pagemap: present, and nobody else's
VSYSCALL = 0xFFFFFFFFFF600000
CHUNK_MAX = 200  # fragments between two comparisons of all
WITHIN_MAX = 2_000  # native places between two fragments' ends
TAGGED = (0, 2, 6)  # registers that have tags where tags are followed: rax, rdx, rsi
_PUSHF = b"\x9c"
_INT3 = b"\xcc"
_IMAGE_BYTES_MAX = 16 << 20


class Disagreement(AssertionError):  # noqa: N818
    """The twins do not agree; says where and in what."""


@dataclass(frozen=True, slots=True)
class State:
    """What a program sees of itself between two instructions."""

    rip: int
    flags: int
    general: tuple[int, ...]

    def differences(self, other: State) -> Iterator[str]:
        """Yield in words what differs: natively, in the engine."""
        if self.rip != other.rip:
            yield f"it is at {self.rip:#x} natively, at {other.rip:#x} in the engine"
        for name, ours, theirs in zip(GENERAL, self.general, other.general, strict=True):
            if ours != theirs:
                yield f"{name} is {ours:#x} natively, {theirs:#x} in the engine"
        if self.flags != other.flags:
            yield f"flags are {self.flags:#x} natively, {other.flags:#x} in the engine"


class Native:
    """The twin that runs natively."""

    def __init__(self, kernel: Door, pid: int) -> None:
        self.pid = pid
        self.steps = 0
        self._kernel = kernel
        self._registers = Registers()
        self.memory = Memory(kernel, pid)

    def close(self) -> None:
        """End it."""
        end(self.pid)
        self.memory.close()

    def state(self) -> State:
        """Return where it is."""
        self._kernel.get_registers(self.pid, self._registers)
        return _state(self._registers)

    def next_is(self) -> str:
        """Say why its next instruction is the last to be compared, or nothing."""
        if self._registers.rip >= VSYSCALL:
            return "a system call"
        return _ends(self._code(4))

    def step(self) -> str:
        """Do one instruction; say what stopped it instead, if anything did."""
        pushes = self._code(1) == _PUSHF
        self._kernel.step(self.pid)
        _, status = os.waitpid(self.pid, WALL)
        if not os.WIFSTOPPED(status) or os.WSTOPSIG(status) != signal.SIGTRAP:
            return "a signal" if os.WIFSTOPPED(status) else "the end"
        self.steps += 1
        if pushes:  # the flags with the one that makes it stop
            self._kernel.get_registers(self.pid, self._registers)
            word = self.memory.read_word(self._registers.rsp)
            self.memory.write(self._registers.rsp, struct.pack("<Q", word & ~TRAP_FLAG))
        return ""

    def vectors(self) -> bytes:
        """Return what it has in vector registers and the x87 unit."""
        return _comparable(self._kernel.vectors(self.pid))

    def _code(self, size: int) -> bytes:
        """Return the first bytes of its next instruction, fewer at the end of a mapping."""
        for less in range(size):
            with suppress(PossessionError):
                return self.memory.read(self._registers.rip, size - less)
        return b""


class Possessed:
    """The twin in the engine: runs from fragment to fragment."""

    def __init__(self, kernel: Door, pid: int, engine: Engine) -> None:
        self.pid = pid
        self.fragments = 0
        self._kernel = kernel
        self._registers = Registers()
        self.memory = Memory(kernel, pid)
        with opened(pid, engine, kernel) as target:
            mailbox = target.mailbox()
        assert mailbox is not None
        self._mailbox = Mailbox(self.memory, engine.abi, mailbox.address)
        (self._context,) = (
            Context(self.memory, engine.abi, one.address)
            for one in self._mailbox.contexts()
            if one.one("state") != engine.abi["state::FREE"]
        )
        self._image = layout_of(self._mailbox).image
        self._trap = self._image + _symbol("seal_resume_begin")
        self._behind = self._trap + _skipped()
        self._issued = {self._image + at for at in _issues()}
        fields = self._context.record
        self._span = fields["regs"].offset, fields["rip"].offset, fields["rflags"].offset
        self._xmm = fields["xmm"].offset

    def close(self) -> None:
        """End it."""
        end(self.pid)
        self.memory.close()

    def begin(self, *, tagged: bool) -> None:
        """Seize it where it stands, by a stop of job control, before it has run any translated code."""
        if tagged:
            self._context.set("tracking", 1)
            self._context.set("followed_left", 1 << 40)
            at = self._context.record["tags"].offset
            for register in TAGGED:
                self.memory.write(self._context.address + at + 8 * register, b"\1" * 8)
        self._mailbox.set("unlinked", 1)
        self.memory.write(self._trap, _INT3)
        self._kernel.seize(self.pid, OPTION_SYSGOOD)
        os.waitpid(self.pid, WALL)
        os.kill(self.pid, signal.SIGCONT)

    def go_on(self) -> str:
        """Run to the end of the fragment; say what came instead, if anything did."""
        if self.fragments:
            self._registers.rip = self._behind
            self._kernel.set_registers(self.pid, self._registers)
        passed = 0
        while True:
            self._kernel.go_on_to_system_call(self.pid, passed)
            _, status = os.waitpid(self.pid, WALL)
            if not os.WIFSTOPPED(status):
                return "the end"
            number, event = os.WSTOPSIG(status), status >> 16
            self._kernel.get_registers(self.pid, self._registers)
            rip, passed = self._registers.rip, 0
            if number == signal.SIGTRAP and rip == self._trap + 1:
                self.fragments += 1
                return ""
            if number == signal.SIGTRAP | 0x80:
                if self._is_applications(rip):
                    return "a system call"
            elif not event and number != signal.SIGCONT:
                passed = number  # the engine sees to faults

    def state(self) -> State:
        """Return where the application is."""
        begin, rip, flags = self._span
        raw = self.memory.read(self._context.address, max(begin + 128, rip + 8, flags + 8))
        general = struct.unpack_from("<16Q", raw, begin)
        return State(*struct.unpack_from("<Q", raw, rip), *struct.unpack_from("<Q", raw, flags), general)

    def vectors(self) -> bytes:
        """Return what the application has in vector registers and the x87 unit."""
        whole = bytearray(self._kernel.vectors(self.pid))
        whole[160:416] = self.memory.read(self._context.address + self._xmm, 256)
        return _comparable(bytes(whole))

    def _is_applications(self, rip: int) -> bool:
        """Whether a system call is not the engine's own; where it stands behind the instruction."""
        in_image = self._image <= rip < self._image + _IMAGE_BYTES_MAX
        return not in_image or rip in self._issued


class Twins:
    """Two twins of one thread of a process, which goes on undisturbed.

    `past_a_call`: they come about behind the thread's next system call, and not where it is met. `tagged`: in mode
    `taint`, some registers have tags, which are followed.
    """

    def __init__(
        self, pid: int, mode: str = "none", seed: int = 1, *, past_a_call: bool = False, tagged: bool = False
    ) -> None:
        self.ends_by = ""
        self.mode = mode
        self._dice = random.Random(seed)
        self._kernel = Door()
        self._stack = ExitStack()
        engine = load_engine(ENGINE)
        with self._stack:
            native, frozen = fork_twice(self._kernel, pid, engine, self._dice, past_a_call=past_a_call)
            self._stack.callback(end, frozen)
            self._stack.callback(end, native)
            self.native = Native(self._kernel, native)
            self._stack.callback(self.native.close)
            taint = Taint.of("inet", "observe") if mode == "taint" else None
            possession.possess(frozen, mode="none" if taint else mode, taint=taint, engine=engine)
            self.possessed = Possessed(self._kernel, frozen, engine)
            self._stack.callback(self.possessed.close)
            self.possessed.begin(tagged=tagged)
            self._stack = self._stack.pop_all()

    def __enter__(self) -> Twins:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # ---- how they are compared

    def run(self, instructions: int) -> int:
        """Compare so many native instructions, or up to the next system call; return how many it were."""
        known = self.native.state()
        why = self.possessed.go_on()
        if not why and self.possessed.state().rip != known.rip:
            why = self.native.next_is() or self.native.step()  # a fault, which the engine has seen to already
        if not why:
            self._same(known, self.possessed.state(), "where they begin")
        while not why and self.native.steps < instructions:
            count = self._dice.randint(1, CHUNK_MAX)
            wanted = []
            while len(wanted) < count:
                why = self.possessed.go_on()
                if why:
                    break
                wanted.append(self.possessed.state())
            if not self._follow(wanted) or (not why and not self._compare_all()):
                break
        self.ends_by = self.ends_by or why
        return self.native.steps

    def _follow(self, wanted: list[State]) -> bool:
        """Let the native twin go through these states; answer false if it cannot be followed further."""
        before = 0
        for state in wanted:
            # Where a state comes again the engine may have begun anew, or have gone through a loop. See `_compare_all`.
            if any(self._differences(self.native.state(), state)) and not self._go_to(state, before):
                return False
            before = state.rip
        return True

    def _go_to(self, state: State, before: int) -> bool:
        """Let the native twin go on to this state; answer false if it cannot. Raises `Disagreement` if it does not."""
        places, last = 0, 0
        nearest: tuple[int, State] | None = None
        while places <= WITHIN_MAX:
            self.ends_by = self.native.next_is() or self.native.step()
            if self.ends_by:
                return False
            now = self.native.state()
            places += now.rip != last
            last = now.rip
            if last == state.rip:
                count = len(list(self._differences(now, state)))
                if not count:
                    return True
                if nearest is None or count < nearest[0]:
                    nearest = count, now
        self._same(now if nearest is None else nearest[1], state, f"behind the fragment at {before:#x}")
        return True

    def _flags(self, state: State) -> int:
        """Tests of the shadow leave those flags alone that somebody reads."""
        return state.flags & (FLAGS if self.mode == "none" else DIRECTION)

    def _same(self, native: State, within: State, where: str) -> None:
        if native.rip != within.rip:
            raise Disagreement(f"{where}: nobody comes to {within.rip:#x} natively; at {native.rip:#x} after long")
        if found := list(self._differences(native, within)):
            raise Disagreement(f"{where}, at {within.rip:#x}: {'; '.join(found)}")

    def _differences(self, native: State, within: State) -> Iterator[str]:
        seen = State(native.rip, self._flags(native), native.general)
        return seen.differences(State(within.rip, self._flags(within), within.general))

    def _compare_all(self) -> bool:
        """Compare all that is not in `State`; answer false if the native twin cannot be followed so far."""
        state = self.native.state()
        for _ in range(CHUNK_MAX):  # it may be turns of a loop behind that leave registers alone
            differences = list(self._other_differences())
            if not differences:
                return True
            try:
                if not self._go_to(state, state.rip):
                    return False
            except Disagreement:
                break
        raise Disagreement(f"at {state.rip:#x}: {'; '.join(differences)}")

    def _other_differences(self) -> Iterator[str]:
        ours, theirs = self.native.vectors(), self.possessed.vectors()
        if ours != theirs:
            at = next(at for at in range(len(ours)) if ours[at] != theirs[at])
            yield f"vectors differ, first at byte {at}"
        areas = [area for area in read_maps(self.native.pid) if _is_data(area)]
        for page in sorted(_written(self.native.pid, areas) | _written(self.possessed.pid, areas)):
            mine = self.native.memory.read(page, PAGE)
            its = self.possessed.memory.read(page, PAGE)
            if mine != its:
                wrong = [page + at for at in range(PAGE) if mine[at] != its[at]]
                yield f"{len(wrong)} bytes of memory differ, first at {wrong[0]:#x}"


def _is_data(area: Area) -> bool:
    return area.rights.startswith("rw") and area.rights[3] == "p" and not area.path.startswith(("[vvar", "[vsyscall"))


def _written(pid: int, areas: list[Area]) -> set[int]:
    """Return the pages that the process has had to itself since it was forked."""
    found = set()
    with Path(f"/proc/{pid}/pagemap").open("rb", buffering=0) as pages:
        for area in areas:
            pages.seek(area.begin // PAGE * 8)
            raw = pages.read((area.end - area.begin) // PAGE * 8)
            for number, (entry,) in enumerate(struct.iter_unpack("<Q", raw)):
                if entry & WRITTEN == WRITTEN:
                    found.add(area.begin + number * PAGE)
    return found


def _state(registers: Registers) -> State:
    general = tuple(getattr(registers, name) for name in GENERAL)
    return State(registers.rip, registers.eflags, general)


def _comparable(area: bytes) -> bytes:
    """Leave out what XSAVE may or may not store: where the x87 unit has last been, masks, the header."""
    return area[:6] + area[24:28] + area[32:416] + area[576:]


def _ends(code: bytes) -> str:
    """Say why nothing is compared from this instruction on: its outcome is not the program's own."""
    start = code.lstrip(b"\x66\xf2\xf3")
    while start[:1] and 0x40 <= start[0] <= 0x4F:
        start = start[1:]
    if start[:2] == b"\x0f\x05":
        return "a system call"
    if start[:1] in (b"\xcc", b"\xf1") or start[:2] == b"\xcd\x03":
        return "a trap"
    if start[:2] in (b"\x0f\x31", b"\x0f\xa2") or start[:3] == b"\x0f\x01\xf9":
        return "an instruction of the clock's"
    if start[:2] in (b"\x0f\xc7", b"\x0f\xae") and start[2:]:
        field, is_register = start[2] >> 3 & 7, start[2] >> 6 == 3
        if start[1] == 0xC7 and field >= 6 and is_register:
            return "an instruction of chance"
        if not is_register and field in ((3, 4, 5) if start[1] == 0xC7 else (4, 6)):
            return "a save of the processor's state"  # of what is in use, which is nobody's to tell
    return ""


@cache
def _symbol(name: str) -> int:
    with (ENGINE / "seal.image").open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        (symbol,) = table.get_symbol_by_name(name)
        return int(symbol["st_value"])


@cache
def _issues() -> list[int]:
    """Return where in the image the application's system calls have just been issued."""
    with (ENGINE / "seal.image").open("rb") as file:
        image = ELFFile(file)
        begin, until = _symbol("seal_issue"), _symbol("seal_issue_exit")
        found = [at + 2 for at in range(begin, until) if _bytes(image, at, 2) == b"\x0f\x05"]
    setting_the_mask = _symbol("seal_mask_syscall") + 2
    return [at for at in found if at != setting_the_mask]


@cache
def _skipped() -> int:
    """Return the bytes of the comparison and the branch with which a resumption begins; no signal is pending here."""
    with (ENGINE / "seal.image").open("rb") as file:
        image = ELFFile(file)
        data = _bytes(image, _symbol("seal_resume_begin"), 32)
    first, second = list(Cs(CS_ARCH_X86, CS_MODE_64).disasm(data, 0))[:2]
    assert (first.mnemonic, second.mnemonic) == ("cmp", "jne")
    return int(first.size + second.size)


def _bytes(image: ELFFile, at: int, size: int) -> bytes:
    segment = next(s for s in image.iter_segments() if s["p_vaddr"] <= at < s["p_vaddr"] + s["p_filesz"])
    return bytes(segment.data()[at - segment["p_vaddr"] :][:size])
