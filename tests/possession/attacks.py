"""The attacks: one row a technique. Which victim, what is sent, and what the engine is to say to it.

Owns the table and the bytes. They are crash-level: what takes over writes one word and ends its process, and each goes
to a victim of `tests/victims/taint` alone, which tells its own addresses.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from possession.victims import Victim

At = Mapping[str, int]  # what a victim has told at its start

# The mistakes are to be in the programs as they are written: nothing of the compiler's is to catch them.
BARE = ("-O1", "-fno-stack-protector", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=0", "-fcf-protection=none")
EXECUTABLE_STACK = ("-z", "execstack")

# write(2, "HIJACKED", 8); exit_group(77), wherever it lies.
HIJACK = bytes.fromhex("b801000000 bf02000000 488d3513000000 ba08000000 0f05 b8e7000000 bf4d000000 0f05") + b"HIJACKED"


@dataclass(frozen=True, slots=True)
class Attack:
    """One technique against one victim.

    `kinds`: the alerts of which the first must be; none where the default policy has nothing to say.
    `ways`: by which input it is played. `benign`: what the victim is to answer without an alert.
    """

    name: str
    victim: Victim
    payload: Callable[[At], bytes]
    kinds: frozenset[str]
    ways: tuple[str, ...] = ("tcp",)
    benign: tuple[bytes, ...] = (b"hello", b"A" * 40, bytes(16))


def row(source: str, payload: Callable[[At], bytes], kinds: str, *flags: str, **more: object) -> Attack:
    """Write one line of the table; `kinds` and `ways` are words."""
    ways = str(more.pop("ways", "tcp")).split()
    name = str(more.pop("name", source.partition(".")[0].replace("_", "-")))
    compiler = "g++" if source.endswith(".cc") else "gcc"
    victim = Victim(name, f"taint/{source}", (*BARE, *flags), compiler=compiler)
    attack = Attack(name, victim, payload, frozenset(kinds.split()), tuple(ways))
    return replace(attack, **more)  # type: ignore[arg-type]


def words(*numbers: int) -> bytes:
    """Pack 64-bit words."""
    return struct.pack(f"<{len(numbers)}Q", *numbers)


def all_over(at: At) -> bytes:
    """Write one address again and again: whichever word is the one, it is hit."""
    return words(at["hijacked"]) * 20


def after_name(at: At) -> bytes:
    """Fill a name of 64 bytes; the function pointer is behind it."""
    return b"A" * 64 + words(at["hijacked"])


def injected(at: At) -> bytes:
    """Return to `jmp rsp`; the code is behind, after a slide that the return addresses themselves would spoil."""
    return b"A" * (at["distance"]) + words(at["jump_rsp"]) + HIJACK


ALL = "tcp tcp-fork tcp-threads fetch fetch-threads stdin pair file"

ATTACKS = [
    row("return_memcpy.c", all_over, "return", ways=ALL),
    row("pointer.c", after_name, "call", "-DWHERE=STACK", name="pointer-stack", ways="tcp tcp-fork"),
    row("pointer.c", after_name, "call", "-DWHERE=HEAP", name="pointer-heap", ways="tcp tcp-threads fetch"),
    row("pointer.c", after_name, "call", "-DWHERE=STATIC", name="pointer-static", ways="tcp stdin"),
    row("injected.c", injected, "return", *EXECUTABLE_STACK, ways="tcp tcp-fork fetch"),
]

BY_NAME = {attack.name: attack for attack in ATTACKS}
EACH = [(attack.name, way) for attack in ATTACKS for way in attack.ways]
