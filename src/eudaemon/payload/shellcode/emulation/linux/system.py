"""Answers to system calls: from the trap to the handler and back. One table of handlers serves every CPU."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass

import unicorn as uc
from unicorn import mips_const as mips
from unicorn import x86_const as x86

from eudaemon.payload.shellcode.behaviour import Touches
from eudaemon.payload.shellcode.emulation.deeds import Deeds, Handle, is_text, place_of
from eudaemon.payload.shellcode.emulation.limits import SHOWN_CHARS_MAX
from eudaemon.payload.shellcode.emulation.linux.numbers import ARGUMENTS, NUMBERS, OABI, SOCKETCALLS
from eudaemon.payload.shellcode.emulation.machine import STACK_TOP, Machine
from eudaemon.payload.shellcode.emulation.trace import Trace
from eudaemon.wire import printable

# What unicorn calls the traps (QEMU's exception numbers), and what of Windows' x86 traps is none of Linux's.
_INT_80, _ARM_SVC, _MIPS_SYSCALL = 0x80, 2, 17
_TRAPS = {
    "x86": _INT_80,
    "x86-64": _INT_80,
    "arm": _ARM_SVC,
    "aarch64": _ARM_SVC,
    "mips": _MIPS_SYSCALL,
    "mipsel": _MIPS_SYSCALL,
}
_MIPS_UNALIGNED = (12, 13)
UNALIGNED = "unaligned access"  # what a run ends with that wants `careful`
_MIPS_MOVES = {0x23: (4, False), 0x25: (2, False), 0x2B: (4, True), 0x29: (2, True)}  # lw, lhu, sw, sh: bytes, stores
_MIPS_STACK_ARGUMENTS = 16  # O32: where the fifth argument lies above the stack pointer
_THUMB = 1 << 5
_SOCK_DGRAM_MIPS = 1  # MIPS has SOCK_STREAM and SOCK_DGRAM the other way round
_BAD = -14  # EFAULT
_NOT_THERE = -2  # ENOENT
_NO_CALL = -38  # ENOSYS
_NO_MEMORY = -12  # ENOMEM
_NAMES = (b"Linux", b"localhost", b"3.10.14", b"#1", b"mips", b"(none)")  # struct new_utsname
_ARGUMENTS_MAX, _WORDS_MAX = 6, 24
_WRITING = 3  # O_WRONLY | O_RDWR
# How many unknown calls in a row are made by what is no code at all.
_UNKNOWN_MAX = 8
_FORKS_MANY = 16
_CHILD = 1235  # the number of every process that is begun
FORKS = ("fork", "vfork", "clone")
_NT_CALLS_HUNTED_BY = {0x02, 0x43, 0x1C9, 0x1C6}  # NtAccessCheckAndAlarm, NtDisplayString: what egg hunters ask with


@dataclass(slots=True)
class Trapped:
    """One system call, as its handler sees it."""

    machine: Machine
    deeds: Deeds
    name: str
    arguments: tuple[int, ...]

    def text(self, number: int) -> str:
        """Return a text argument."""
        return self.machine.text(self.arguments[number])

    def texts(self, number: int) -> list[str]:
        """Return a list of texts (`argv`)."""
        found: list[str] = []
        at = self.arguments[number]
        while at and len(found) < _WORDS_MAX and (address := self.machine.word(at)):
            found.append(self.machine.text(address))
            at += self.machine.cpu.word_bytes
        return found


class Linux:
    """Linux around one machine, however its CPU calls it. `careful` looks at each of a MIPS' instructions first."""

    def __init__(self, machine: Machine, deeds: Deeds, trace: Trace, *, careful: bool = False) -> None:
        self.machine, self.deeds, self.trace = machine, deeds, trace
        self._numbers = NUMBERS[machine.cpu.name]
        self._unknown = 0
        if machine.cpu.name.startswith("mips"):
            deeds.datagram = _SOCK_DGRAM_MIPS
            if careful:
                machine.hook(uc.UC_HOOK_CODE, self._before)
        machine.hook(uc.UC_HOOK_INTR, self._trapped)
        if machine.cpu.name == "x86":
            machine.hook(uc.UC_HOOK_INSN, self._syscall, aux1=x86.UC_X86_INS_SYSENTER)
        if machine.cpu.name == "x86-64":
            machine.hook(uc.UC_HOOK_INSN, self._syscall, aux1=x86.UC_X86_INS_SYSCALL)
        machine.put(machine.cpu.sp, STACK_TOP - 0x1000)

    def _syscall(self, _engine: uc.Uc, _data: object) -> None:
        self._answer(self.machine.get(self.machine.cpu.number) & 0xFFFF_FFFF)

    def _trapped(self, _engine: uc.Uc, number: int, _data: object) -> None:
        machine = self.machine
        if number == _TRAPS[machine.cpu.name]:
            if machine.cpu.name == "arm":
                self._answer(self._arm_number())
            else:
                self._answer(machine.get(machine.cpu.number))
        elif number in _MIPS_UNALIGNED and machine.cpu.name.startswith("mips"):
            machine.stop(UNALIGNED)  # where, the engine does not know any more
        elif number == 0x2E and machine.cpu.name == "x86":
            self._windows_trap()
        elif number == 3 and self.deeds.received_from:
            self.deeds.runs_received()
            machine.stop("runs what it received")
        else:
            machine.stop(f"trap {number:#x}")

    def _before(self, _engine: uc.Uc, address: int, _size: int, _data: object) -> None:
        """Do what a load or store at an odd address means, as Linux does in place of a MIPS, and step over it."""
        machine = self.machine
        instruction = machine.word(address)
        count, stores = _MIPS_MOVES.get(instruction >> 26, (1, False))
        offset = (instruction & 0xFFFF) - ((instruction & 0x8000) << 1)
        target = machine.get(mips.UC_MIPS_REG_0 + (instruction >> 21 & 31)) + offset & 0xFFFF_FFFF
        if target % count == 0:
            return
        register = mips.UC_MIPS_REG_0 + (instruction >> 16 & 31)
        if stores:
            value = machine.get(register) & ((1 << 8 * count) - 1)
            machine.write(target, value.to_bytes(count, machine.cpu.order))
        else:
            machine.put(register, int.from_bytes(machine.read(target, count), machine.cpu.order))
        machine.go_to(address + 4)

    def _windows_trap(self) -> None:
        """Answer `int 0x2e`, which egg hunters use to ask whether memory is there."""
        machine = self.machine
        number = machine.get(x86.UC_X86_REG_EAX)
        if number not in _NT_CALLS_HUNTED_BY:
            machine.stop(f"Windows system call {number:#x}")
            return
        address = machine.get(x86.UC_X86_REG_EDX)
        machine.put(x86.UC_X86_REG_EAX, 0 if machine.read(address, 4) else 0xC000_0005)
        self.deeds.hunts()
        self.trace.add(machine.get(machine.cpu.pc), "int 0x2e", (f"{number:#x}", f"{address:#x}"), 0)

    def _arm_number(self) -> int:
        machine = self.machine
        pc = machine.get(machine.cpu.pc)
        instruction = machine.word(pc - 4)
        if machine.status() & _THUMB or instruction >> 24 != 0xEF:
            return machine.get(machine.cpu.number)
        immediate = instruction & 0xFF_FFFF
        return immediate - OABI if OABI <= immediate < OABI + 0x1000 else machine.get(machine.cpu.number)

    def _argument(self, index: int) -> int:
        cpu = self.machine.cpu
        if index < len(cpu.arguments):
            return self.machine.get(cpu.arguments[index])
        if cpu.name.startswith("mips"):
            return self.machine.word(self.machine.get(cpu.sp) + _MIPS_STACK_ARGUMENTS + 4 * (index - 4))
        return 0

    def _answer(self, number: int) -> None:
        machine = self.machine
        name = self._numbers.get(number, "")
        if not name:
            self._unknown += 1
            self._give(_NO_CALL)
            if self._unknown >= _UNKNOWN_MAX:
                machine.stop("unknown system calls")
            return
        arguments = tuple(self._argument(index) for index in range(len(ARGUMENTS[name])))
        if name == "socketcall":
            name = SOCKETCALLS.get(arguments[0], "")
            if not name:
                self._give(_BAD)
                return
            at = arguments[1]
            arguments = tuple(machine.word(at + machine.cpu.word_bytes * i) for i in range(len(ARGUMENTS[name])))
        call = Trapped(machine, self.deeds, name, arguments)
        shown = tuple(_shown(call, index) for index in range(len(arguments)))
        handler = HANDLERS.get(name)
        result = handler(call) if handler else 0
        self._give(result)
        machine.calls_answered += 1
        self.trace.add(machine.get(machine.cpu.pc), name, shown, result & ((1 << machine.cpu.bits) - 1))

    def _give(self, result: int) -> None:
        machine = self.machine
        if machine.cpu.name.startswith("mips"):
            # $a3 says whether $v0 is a result or an error's number.
            machine.put(mips.UC_MIPS_REG_A3, 1 if result < 0 else 0)
            result = abs(result)
        machine.put(machine.cpu.result, result)


def _exit(call: Trapped) -> int:
    call.machine.stop(f"exits ({call.name})")
    return 0


def _execve(call: Trapped) -> int:
    first = 1 if call.name == "execveat" else 0
    path, words = call.text(first), call.texts(first + 1)
    if not is_text(path):
        return _NOT_THERE
    # `argv[0]` may say anything; the path is what is run.
    call.deeds.executes(shlex.join([path, *words[1:]]), 0, 1, 2)
    call.machine.stop(f"becomes another program ({call.name})")
    return 0


def _open(call: Trapped) -> int:
    first = 1 if call.name == "openat" else 0
    path = call.text(first)
    if not is_text(path):
        return _NOT_THERE
    writing = call.arguments[first + 1] & _WRITING
    how = "creates" if call.name == "creat" else "opens for writing" if writing else "opens"
    call.deeds.note(Touches(how, path))
    return call.deeds.open(Handle("file", path))


def _read(call: Trapped) -> int:
    number, buffer, count = call.arguments[:3]
    data = call.deeds.brings(number, buffer, count)
    call.machine.write(buffer, data)
    return len(data)


def _write(call: Trapped) -> int:
    number, buffer, count = call.arguments[:3]
    data = call.machine.read(buffer, min(count, 256))
    if number in (1, 2) and number not in call.deeds.handles:
        call.deeds.sends("", 0, data)
    call.deeds.writes(number, data)
    return count


def _sendto(call: Trapped) -> int:
    number, buffer, count, _, address, length = call.arguments
    host, port = place_of(call.machine.read(address, min(length, 28)), call.machine.cpu.order)
    data = call.machine.read(buffer, min(count, 256))
    if host:
        call.deeds.sends(host, port, data)
    else:
        call.deeds.writes(number, data)
    return count


def _dup(call: Trapped) -> int:
    handle = call.deeds.handles.get(call.arguments[0])
    if call.name == "dup":
        return call.deeds.open(handle) if handle else 3
    if handle is not None:
        call.deeds.handles[call.arguments[1]] = handle
    return call.arguments[1]


def _fcntl(call: Trapped) -> int:
    number, command, to = call.arguments
    if command == 0 and number in call.deeds.handles:  # F_DUPFD
        call.deeds.handles[to] = call.deeds.handles[number]
        return to
    return 0


def _close(call: Trapped) -> int:
    call.deeds.handles.pop(call.arguments[0], None)
    return 0


def _pipe(call: Trapped) -> int:
    ends = [call.deeds.open(Handle("pipe")) for _ in range(2)]
    call.machine.write(call.arguments[0], b"".join(n.to_bytes(4, call.machine.cpu.order) for n in ends))
    return 0


def _socket(call: Trapped) -> int:
    return call.deeds.socket(call.arguments[1])


def _connect(call: Trapped) -> int:
    number, address, length = call.arguments
    call.deeds.connect(number, call.machine.read(address, min(length, 28) or 16))
    return 0


def _bind(call: Trapped) -> int:
    number, address, length = call.arguments
    call.deeds.bind(number, call.machine.read(address, min(length, 28) or 16))
    return 0


def _accept(call: Trapped) -> int:
    return call.deeds.accept(call.arguments[0])


def _mmap(call: Trapped) -> int:
    if call.name == "old_mmap":
        near, count = (call.machine.word(call.arguments[0] + call.machine.cpu.word_bytes * i) for i in range(2))
    else:
        near, count = call.arguments[:2]
    return call.machine.allocate(count, near) or _NO_MEMORY


def _mprotect(call: Trapped) -> int:
    """Refuse what is not there, to whom asks so whether it is; what is there may do everything as it is."""
    if call.arguments[1] and not call.machine.read(call.arguments[0], 1):
        call.deeds.hunts()
        return _NO_MEMORY
    return 0


def _uname(call: Trapped) -> int:
    call.machine.write(call.arguments[0], b"".join(name.ljust(65, b"\0") for name in _NAMES))
    return 0


def _does(how: str, argument: int = 0) -> Callable[[Trapped], int]:
    def handle(call: Trapped) -> int:
        if not is_text(call.text(argument)):
            return _NOT_THERE
        call.deeds.note(Touches(how, call.text(argument)))
        return 0

    return handle


def _fork(call: Trapped) -> int:
    call.deeds.forks += 1
    if call.deeds.forks == _FORKS_MANY:
        call.deeds.note(Touches("fills the machine with", "its own processes"))
    return _CHILD if call.deeds.is_parent else 0


def _reboot(call: Trapped) -> int:
    call.deeds.note(Touches("reboots", "the machine"))
    return 0


def _kill(call: Trapped) -> int:
    call.deeds.note(Touches("kills", f"process {call.arguments[0] & 0xFFFF_FFFF:#x}"))
    return 0


def _access(call: Trapped) -> int:
    """Say whether memory is there, to whom asks by giving the kernel addresses at random."""
    address = call.arguments[1 if call.name == "faccessat" else 0]
    if not call.machine.read(address, 1):
        call.deeds.hunts()
        return _BAD
    return _NOT_THERE


def _sigaction(call: Trapped) -> int:
    address = call.arguments[1]
    if address and not call.machine.read(address, 4):
        call.deeds.hunts()
        return _BAD
    return 0


HANDLERS: dict[str, Callable[[Trapped], int]] = {
    "exit": _exit, "exit_group": _exit, "execve": _execve, "execveat": _execve, "open": _open, "openat": _open,
    "creat": _open, "read": _read, "recv": _read, "recvfrom": _read, "write": _write, "send": _write,
    "sendto": _sendto, "dup": _dup, "dup2": _dup, "dup3": _dup, "fcntl": _fcntl, "close": _close, "pipe": _pipe,
    "pipe2": _pipe, "socket": _socket, "connect": _connect, "bind": _bind, "accept": _accept, "accept4": _accept,
    "mmap": _mmap, "mmap2": _mmap, "old_mmap": _mmap, "chmod": _does("changes the mode of"),
    "fchmodat": _does("changes the mode of", 1), "chown": _does("changes the owner of"),
    "lchown": _does("changes the owner of"), "fchownat": _does("changes the owner of", 1),
    "truncate": _does("empties"), "mprotect": _mprotect, "uname": _uname, "unlink": _does("deletes"),
    "unlinkat": _does("deletes", 1),
    "mkdir": _does("makes the folder"),
    "mkdirat": _does("makes the folder", 1), "rmdir": _does("removes the folder"), "link": _does("links to", 1),
    "symlink": _does("links to", 1), "setdomainname": _does("names the domain"), "swapon": _does("swaps to"),
    "swapoff": _does("swaps no more to"), "pwrite64": _write, "fork": _fork, "vfork": _fork, "clone": _fork,
    "rename": _does("moves"), "chroot": _does("changes its root to"),
    "mount": _does("mounts"), "umount2": _does("unmounts"), "sethostname": _does("names the host"),
    "memfd_create": lambda call: call.deeds.open(Handle("file", "memory")), "reboot": _reboot, "kill": _kill,
    "access": _access, "faccessat": _access, "sigaction": _sigaction, "rt_sigaction": _sigaction,
    "getpid": lambda _: 1234, "getppid": lambda _: 1, "umask": lambda _: 0o22, "time": lambda _: 0x4630_0000,
}  # fmt: skip


def _shown(call: Trapped, index: int) -> str:
    kind, value = ARGUMENTS[call.name][index], call.arguments[index]
    if kind == "s":
        return f'"{printable(call.text(index).encode("latin-1"), SHOWN_CHARS_MAX)}"'
    if kind == "v" and value:
        words = (f'"{printable(text.encode("latin-1"), SHOWN_CHARS_MAX)}"' for text in call.texts(index)[:8])
        return f"[{', '.join(words)}]"
    if kind == "a":
        host, port = place_of(call.machine.read(value, 28), call.machine.cpu.order)
        return f"{host}:{port}" if host else f"{value:#x}"
    return f"{value:#x}" if value > 9 else str(value)
