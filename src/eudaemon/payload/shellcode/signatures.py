"""What tells without running: texts behind a XOR, addresses pushed as constants, hashes of functions. Standard library.

A text under a XOR keeps what its characters differ by: where the key is n bytes long, each byte XORed with the n-th
after it is the same with the key and without. So every key of 1, 2 and 4 bytes is found at once, in linear time:

    h t t p : / /     n=1:  h^t t^t t^p p^: :^/ /^/      sought in      d[i] ^ d[i+1]
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice

from eudaemon.payload.shellcode.behaviour import Behaviour, Connects, Downloads, Executes, Listens

BYTES_MAX = 64 * 1024  # that are looked at
FOUND_MAX = 32
LAYERS_MAX = 8
_LOOPS_MAX = 4  # of one kind in one layer
_KEYS_MAX = 16  # that are tried at length
_KEY_BYTES = (1, 2, 4)
_OF_WS2_32 = b"32"  # pushed as the end of `ws2_32`, and no port
_SURE_BYTES = 4  # of a mark's differences: fewer are found by chance
_MARKS = (b"http://", b"https://", b"ftp://", b"cmd.exe", b"cmd /c ", b"/bin/sh\0", b"//bin/sh", b"LoadLibraryA",
          b"GetProcAddress", b"URLDownloadToFile", b"urlmon.dll", b"ws2_32.dll", b"WinExec\0")  # fmt: skip
_URL = re.compile(rb"(?:https?|t?ftp)://[!-~]{4,512}")
_COMMAND = re.compile(
    rb"(?:cmd(?:\.exe)?|command\.com|powershell(?:\.exe)?) ?/?-?[ck ][ -~]{3,512}|/{1,2}bin/{1,3}sh\b"
)
_CODE = re.compile(
    rb"\xcd\x80|\x0f\x05|\x64\xa1\x30|\x64\x8b.\x30|\x65\x48\x8b|\x00\x00\x00\xef|\xd9\x74\x24", re.DOTALL
)
_ON_WINDOWS = re.compile(rb"\x64\xa1\x30|\x64\x8b.\x30|\x65\x48\x8b", re.DOTALL)  # asks its thread for its process
_ON_LINUX = re.compile(rb"\xcd\x80|\x0f\x05")  # asks the kernel
# The names of shells, pushed as constants or moved into a register.
_SHELLS = (
    ("push of a shell's name", "/bin/sh", re.compile(rb"\x68(?://sh\x68|/sh\0\x68)/bin|[\x48\x49][\xb8-\xbf]/bin/(?:/sh|sh\0)")),
    ("push of a shell's name", "cmd", re.compile(rb"\x68cmd[\0 .]")),
)  # fmt: skip
_SYSTEM_OF = {"/bin/sh": "linux", "cmd": "windows"}


@dataclass(frozen=True, slots=True)
class Signature:
    """One thing that stands in the bytes. `name` says by what it was found, `behaviour` what it means.

    `system` is what the code is for, `windows` or `linux`, where it shows.
    """

    offset: int
    name: str
    behaviour: Behaviour
    system: str = ""


# Constants with which codes fill a sockaddr_in: where the port and the address are.
# (Pushes of two bytes are as a rule Linux's, those of a whole sockaddr Windows'.
# `68` is push, `66 68` push of two bytes, `48 b9` and its like a move of eight; 02 00 is AF_INET.)
_ADDRESSES = (
    ("push of an address and of a port", re.compile(rb"\x68(?P<ip>.{4})\x66\x68(?P<port>..)", re.DOTALL)),
    ("push of an address and of a sockaddr", re.compile(rb"\x68(?P<ip>.{4})\x68\x02\0(?P<port>..)", re.DOTALL)),
    ("sockaddr in a register", re.compile(rb"[\x48\x49][\xb8-\xbf]\x02\0(?P<port>..)(?P<ip>.{4})", re.DOTALL)),
    ("move of a sockaddr", re.compile(rb"\xc7\x04\x24\x02\0(?P<port>..)", re.DOTALL)),
    ("push of a port",
     re.compile(rb"\x66\x68(?P<port>..)(?:\x66[\x50-\x57]|\x66\x6a\x02|\x43\x66\x53)", re.DOTALL)),
    ("push of a sockaddr", re.compile(rb"\x68\x02\0(?P<port>..)\x89[\xe0-\xe3\xe5-\xe7]\x6a[\x10\x1c]", re.DOTALL)),
)  # fmt: skip
# Loops that decode what stands right behind them; `key` is what they XOR with. (`e2` is loop.)
_LOOPS = (
    # xor dword [reg+disp8], key; sub reg, -4; loop: Metasploit's Pex, PexFnstenvMov and their heirs
    ("dword XOR loop", re.compile(rb"\x81[\x70-\x77][\x00-\x7f](?P<key>.{4})\x83[\xe8-\xef]\xfc\xe2.", re.DOTALL)),
    # xor byte [reg+index], key; loop; jmp; call back: what was handed around since 2000
    ("byte XOR loop", re.compile(rb"\x80\x34[\x00-\x3f](?P<key>.)\xe2.(?:\xeb\x05\xe8.{4})?", re.DOTALL)),
    # xor byte [reg], key; inc reg; loop or dec and jump
    ("byte XOR loop", re.compile(
        rb"\x80[\x30-\x37](?P<key>.)[\x40-\x47](?:\xe2.|[\x48-\x4f]\x75.)(?:\xeb\x05\xe8.{4})?", re.DOTALL)),
)  # fmt: skip


def signatures(data: bytes) -> list[Signature]:
    """Return what stands in the bytes, in the order found, at most `FOUND_MAX`. Reads `BYTES_MAX` bytes."""
    data = data[:BYTES_MAX]
    found: dict[Signature, None] = {}
    for how, layer, at in _layers(data):
        for find in (_hidden, _addresses):
            for signature in find(layer):
                if len(found) >= FOUND_MAX:
                    return list(found)
                name = f"{how}, {signature.name}" if how else signature.name
                found[replace(signature, offset=signature.offset + at, name=name)] = None
    return list(found)


def _layers(data: bytes) -> Iterator[tuple[str, bytes, int]]:
    """Yield the bytes, and what known loops would decode, layer upon layer: by which loop, the bytes, their offset."""
    waiting = [("", data, 0)]
    for _ in range(LAYERS_MAX):
        if not waiting:
            return
        how, layer, at = waiting.pop(0)
        yield how, layer, at
        for name, pattern in _LOOPS:
            for found in islice(pattern.finditer(layer), _LOOPS_MAX):
                key, start = found["key"], found.end()
                if any(key) and len(waiting) < LAYERS_MAX:
                    waiting.append((f"{name} {key.hex()}", xored(layer[start:], key), at + start))


def keys(data: bytes) -> Iterator[bytes]:
    """Yield keys (1, 2 or 4 bytes) under which a known word stands in the bytes, aligned to their first byte."""
    seen: set[bytes] = set()
    for size in _KEY_BYTES:
        differing = _differences(data, size)
        for mark in _MARKS:
            sought = _differences(mark, size)
            if len(sought) < _SURE_BYTES:
                continue
            at = differing.find(sought)
            if at < 0:
                continue
            key = bytearray(size)
            for index in range(size):
                key[(at + index) % size] = data[at + index] ^ mark[index]
            found = bytes(key)
            if any(found) and not any(found == shorter * (size // len(shorter)) for shorter in seen):
                seen.add(found)
                yield found


def xored(data: bytes, key: bytes) -> bytes:
    """Return the bytes under a repeated key."""
    if not data:
        return b""
    whole = (key * (len(data) // len(key) + 1))[: len(data)]
    return (int.from_bytes(data, "little") ^ int.from_bytes(whole, "little")).to_bytes(len(data), "little")


def _hidden(data: bytes) -> Iterator[Signature]:
    for _, key in zip(range(_KEYS_MAX), keys(data), strict=False):
        text = xored(data, key)
        name = f"XOR {key.hex()}"
        for url in _URL.finditer(text):
            yield Signature(url.start(), name, Downloads(url[0].decode("ascii")))
        for command in _COMMAND.finditer(text):
            yield Signature(command.start(), name, Executes(command[0].decode("latin-1").rstrip()))


def _addresses(data: bytes) -> Iterator[Signature]:
    if not _CODE.search(data) and not _names_functions(data):
        return
    system = _system(data)
    called, is_any = set(), False
    for name, pattern in _ADDRESSES:
        for found in pattern.finditer(data):
            port = int.from_bytes(found["port"], "big")
            if not port or found["port"] == _OF_WS2_32:
                continue
            is_any = True
            if "ip" in pattern.groupindex and any(found["ip"]):
                host = ipaddress.IPv4Address(found["ip"])
                if host.is_multicast or host.is_reserved or int(host) >> 24 == 0:
                    continue
                called.add(port)
                yield Signature(found.start(), name, Connects(str(host), port), system)
            elif port not in called:
                yield Signature(found.start(), name, Listens("0.0.0.0", port), system)
    if is_any:
        return
    # A shell without an address is one on the connection that brought the code.
    for name, shell, pattern in _SHELLS:
        pushed = pattern.search(data)
        if pushed and system == _SYSTEM_OF[shell]:
            yield Signature(pushed.start(), name, Executes(shell, "connection"), system)


def _system(data: bytes) -> str:
    """Return what the code is for, `windows` or `linux`; empty where nothing tells."""
    if _names_functions(data) or _ON_WINDOWS.search(data):
        return "windows"
    return "linux" if _ON_LINUX.search(data) else ""


def _names_functions(data: bytes) -> bool:
    """Whether hashes of functions' names stand in the bytes, as `push` or in a table."""
    return sum(constant in data for constant in _hashes()) >= 2


@cache
def _hashes() -> tuple[bytes, ...]:
    """Return the two hashes that most codes look functions up by: each character added after a turn to the right by 13.

    One is of the name alone, the other of the module's UTF-16 name in capitals and of the name with its NUL, added.
    """
    found = []
    for module, names in _LOOKED_UP.items():
        of_module = _ror13((module.upper() + "\0").encode("utf-16-le"))
        for name in names.split():
            text = name.encode("ascii")
            found.append(_ror13(text).to_bytes(4, "little"))
            found.append((of_module + _ror13(text + b"\0") & 0xFFFF_FFFF).to_bytes(4, "little"))
    return tuple(found)


def _ror13(data: bytes) -> int:
    value = 0
    for byte in data:
        value = ((value >> 13 | value << 19) + byte) & 0xFFFF_FFFF
    return value


_LOOKED_UP = {
    "kernel32.dll": "LoadLibraryA GetProcAddress CreateProcessA WinExec ExitProcess ExitThread VirtualAlloc"
    " WaitForSingleObject CreateFileA WriteFile CloseHandle",
    "ws2_32.dll": "WSAStartup WSASocketA socket connect bind listen accept recv send closesocket",
    "urlmon.dll": "URLDownloadToFileA",
    "wininet.dll": "InternetOpenA InternetConnectA HttpOpenRequestA InternetReadFile",
}


def _differences(data: bytes, size: int) -> bytes:
    """Return every byte XORed with the `size`-th after it."""
    return xored(data[:-size], data[size:]) if len(data) > size else b""
