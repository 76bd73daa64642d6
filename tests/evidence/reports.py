"""A report made by hand, of a process and a peer that do their worst to whoever shows it."""

from __future__ import annotations

import hashlib

from eudaemon.evidence.model import (
    VERSION,
    Area,
    Blob,
    Culprit,
    Evidence,
    Frame,
    Injected,
    Instruction,
    Process,
    Register,
    Report,
    Stream,
    Window,
)  # fmt: skip
from eudaemon.possession.mailbox import GENERAL

HOSTILE = "<script>alert('x')</script>"
SENT = b"POST /x HTTP/1.1\r\n" + HOSTILE.encode() + bytes(range(128, 256)) * 2
STACK = 0x7FFC_0000_1000


def evidence(sent: bytes = SENT, *, peer: str = "192.0.2.7:4444", kind: str = "inet") -> Evidence:
    """Return the evidence: bytes 5 to 205 of `sent` lie on the stack, 8 of them where the return address was."""
    data = sent[5:205]
    code = b"\x90\x90\x31\xc0\x0f\x05"
    target = int.from_bytes(data[72:80], "little")
    own = f"name\x1b[2J{HOSTILE}"
    report = Report(
        version=VERSION, id="20261126T103000.123456Z-4711-1", at_s=1795689000.25, kind="return", verdict="contain",
        in_time=True, process=Process(4711, 4712, 0, own, f"/srv/{HOSTILE}", ("x", "\n", HOSTILE), 33, 1.5),
        pc=0x5555_0000_1234, target=target, place=STACK + 72, tags=b"\1" * 8, rflags=0x246,
        instruction=Instruction(0x5555_0000_1234, b"\xc3", "ret"),
        code=(Instruction(0x5555_0000_1233, b"\x5d", "pop rbp"), Instruction(0x5555_0000_1234, b"\xc3", "ret")),
        registers=tuple(Register(name, STACK + 72 if name == "rsp" else at, bytes(7) + b"\2")
                        for at, name in enumerate(GENERAL)),
        culprits=(Culprit("value", 0, 105, data, STACK, 72, 8, True, "200 bytes in a row agree",
                          Window(100, sent)),),
        streams=(Stream(0, 1, kind, 5, 77, "10.0.0.1:80", peer, 100 + len(sent), 100,
                        Blob("input-0.bin", len(sent), hashlib.sha256(sent).hexdigest())),),
        frames=(Frame(0x5555_0000_1234, own, 0x1234, f"{HOSTILE}+0x4", "registers"), Frame(target, "", 0, "", "cfi")),
        injected=Injected(STACK + 300, Blob("code.bin", len(code), hashlib.sha256(code).hexdigest()),
                          Window(STACK + 300, code, b"\1" * len(code)), (Instruction(STACK + 300, b"\x90", "nop"),)),
        stack=Window(STACK - 8, bytes(8) + data, bytes(8) + b"\1" * 200),
        place_window=Window(STACK, data, b"\1" * 200), maps=(Area(0x5555_0000_0000, 0x5555_0000_2000, "r-xp", own),),
        remarks=(f"a remark {HOSTILE}",),
    )  # fmt: skip
    return Evidence(report, {"input-0.bin": sent, "code.bin": code})
