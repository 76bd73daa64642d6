"""What makes one thing of another: `certutil` with all its verbs, and `debug.exe` with a script.

Both are how a binary is put together from text that was echoed; what comes out is the artefact, byte for byte.
"""

from __future__ import annotations

import base64
import hashlib
import re

from eudaemon.wire import decode
from eudaemon.world.files import FileError
from eudaemon.world.windows.call import BROUGHT, Call, Command, Run, name_in
from eudaemon.world.windows.paths import NO_FILE

_DONE = "CertUtil: -{} command completed successfully."
_FAILED = "CertUtil: -{} command FAILED: {}"
_ARMOUR = re.compile(rb"-----[^\r\n]*-----")
_HEX_LINE = re.compile(rb"^\s*(?:[0-9a-fA-F]{4,8}\s{1,4})?((?:[0-9a-fA-F]{2}[ \t-]*)+)(?:\s{2,}.*)?$")
_DEBUG_BYTES_MAX = 1024 * 1024
_DEBUG_START = 0x100  # where a .com file stands in memory, and what `w` writes from
_HASHES = {"md5": hashlib.md5, "sha1": hashlib.sha1, "sha256": hashlib.sha256, "sha512": hashlib.sha512}


def certutil(call: Call) -> Run:
    """`-urlcache`, `-decode`, `-decodehex`, `-encode`, `-encodehex`, `-hashfile`."""
    verb, rest = "", []
    for arg in call.args:
        if arg[:1] in "-/" and len(arg) > 1:
            name = arg[1:].lower()
            verb = name if name in _VERBS else verb
        else:
            rest.append(arg)
    handler = _VERBS.get(verb)
    if handler is None:
        return call.error("CertUtil: -dump command completed successfully." if not rest else
                          f"{_FAILED.format('dump', '0x80070002 (WIN32: 2 ERROR_FILE_NOT_FOUND)')}")  # fmt: skip
    try:
        return (yield from handler(call, rest))
    except FileError:
        return call.error(f"DecodeFile returned {NO_FILE} 0x80070002 (WIN32: 2)\r\n"
                          f"{_FAILED.format(verb, '0x80070002 (WIN32: 2)')}\r\nCertUtil: {NO_FILE}", 2)  # fmt: skip


def _urlcache(call: Call, rest: list[str]) -> Run:
    urls = [arg for arg in rest if "://" in arg]
    if not urls:
        call.line(_DONE.format("URLCache"))
        return 0
    names = [arg for arg in rest if arg not in urls and arg != "*"]
    if "delete" in (arg.lower() for arg in rest):
        call.line(_DONE.format("URLCache"))
        return 0
    target = names[0] if names else name_in(urls[0])
    got = yield from call.fetch(urls[0], "certutil", target)
    call.line("****  Online  ****")
    if got.outcome not in BROUGHT:
        return call.error(f"{_FAILED.format('URLCache', '0x80072efd (WIN32: 12029)')}\r\n"
                          "CertUtil: A connection with the server could not be established", 12029)  # fmt: skip
    call.line(f"  0000  ...\r\n  {got.size:04x}")
    call.line(_DONE.format("URLCache"))
    return 0


def _decode(call: Call, rest: list[str]) -> Run:
    data = call.use(call.read(rest[0] if rest else ""))
    body = _ARMOUR.sub(b"", data)
    return (yield from _written(call, rest, len(data), decode.base64_text(body), "decode"))


def _decodehex(call: Call, rest: list[str]) -> Run:
    data = call.use(call.read(rest[0] if rest else ""))
    return (yield from _written(call, rest, len(data), hex_of(data), "decodehex"))


def hex_of(data: bytes) -> bytes | None:
    """Return what hexadecimal text means, with or without addresses and a column of text; None if it is none."""
    plain = data.translate(None, b" \t\r\n")
    plain = plain[2:] if plain[:2].lower() == b"0x" else plain
    is_dump = re.match(rb"\s*0000\s{1,4}[0-9a-fA-F]{2} ", data)  # as -encodehex writes: with addresses
    if plain and not is_dump and len(plain) % 2 == 0 and not plain.translate(None, b"0123456789abcdefABCDEF"):
        return bytes.fromhex(plain.decode("ascii"))
    out = bytearray()
    for line in data.replace(b"\r\n", b"\n").split(b"\n"):
        if not line.strip():
            continue
        found = _HEX_LINE.match(line)
        if found is None:
            return None
        out += bytes.fromhex(found[1].translate(None, b" \t-").decode("ascii"))
    return bytes(out) or None


def _written(call: Call, rest: list[str], length: int, data: bytes | None, verb: str) -> Run:
    if data is None or len(rest) < 2:
        failed = _FAILED.format(verb, "0x8007000d (WIN32: 13)")
        return call.error(f"DecodeFile returned The data is invalid. 0x8007000d (WIN32: 13)\r\n{failed}\r\n"
                          "CertUtil: The data is invalid.", 13)  # fmt: skip
    yield from call.write(rest[1], data)
    call.line(f"Input Length = {length}\r\nOutput Length = {len(data)}\r\n{_DONE.format(verb)}")
    return 0


def _encode(call: Call, rest: list[str]) -> Run:
    data = call.read(rest[0] if rest else "")
    text = base64.b64encode(data)
    lines = b"\r\n".join(text[start : start + 64] for start in range(0, len(text), 64))
    made = b"-----BEGIN CERTIFICATE-----\r\n" + lines + b"\r\n-----END CERTIFICATE-----\r\n"
    yield from call.write(rest[1] if len(rest) > 1 else "", made)
    call.line(f"Input Length = {len(data)}\r\nOutput Length = {len(made)}\r\n{_DONE.format('encode')}")
    return 0


def _encodehex(call: Call, rest: list[str]) -> Run:
    data = call.read(rest[0] if rest else "")
    made = data.hex().encode() + b"\r\n"
    yield from call.write(rest[1] if len(rest) > 1 else "", made)
    call.line(f"Input Length = {len(data)}\r\nOutput Length = {len(made)}\r\n{_DONE.format('encodehex')}")
    return 0


def _hashfile(call: Call, rest: list[str]) -> Run:
    yield from ()
    data = call.read(rest[0] if rest else "")
    name = rest[1].lower() if len(rest) > 1 else "sha1"
    digest = _HASHES.get(name, hashlib.sha1)(data).hexdigest()
    call.line(f"{name.upper()} hash of file {rest[0]}:\r\n{digest}\r\n{_DONE.format('hashfile')}")
    return 0


_VERBS = {"urlcache": _urlcache, "verifyctl": _urlcache, "url": _urlcache, "decode": _decode, "decodehex": _decodehex,
          "encode": _encode, "encodehex": _encodehex, "hashfile": _hashfile}  # fmt: skip


class _Debug:
    """One debug.exe: its memory, registers and the name of its file."""

    def __init__(self) -> None:
        self.memory = bytearray(_DEBUG_START)
        self.name = ""
        self.registers = {"cx": 0, "bx": 0}
        self._waits_for = ""
        self._assembling = False

    def take(self, line: str) -> bytes | None:
        """Take a line; return what it wants written."""
        words = line.split()
        if self._assembling:
            self._assembling = bool(words)
        elif self._waits_for:
            self.registers[self._waits_for] = _hex(words[0]) if words else self.registers[self._waits_for]
            self._waits_for = ""
        elif words:
            return self._command(words[0][:1].lower(), [*filter(None, [words[0][1:]]), *words[1:]])
        return None

    def _command(self, verb: str, rest: list[str]) -> bytes | None:
        if verb == "e" and rest:
            _enter(self.memory, _hex(rest[0].rpartition(":")[2]), rest[1:])
        elif verb == "f" and len(rest) > 2:
            _fill(self.memory, rest)
        elif verb == "n" and rest:
            self.name = rest[0]
        elif verb == "r" and rest and rest[0].lower() in self.registers:
            self._waits_for = rest[0].lower()
            if len(rest) > 1:
                self.registers[self._waits_for], self._waits_for = _hex(rest[1]), ""
        elif verb == "a":
            self._assembling = True
        elif verb == "w" and self.name:
            size = min((self.registers["bx"] << 16) + self.registers["cx"], _DEBUG_BYTES_MAX)
            return bytes(self.memory[_DEBUG_START : _DEBUG_START + size]).ljust(size, b"\0")
        return None


def debug(call: Call) -> Run:
    """`debug < script`: `e` enters bytes, `n` names a file, `rcx` its length, `w` writes it."""
    session = _Debug()
    said = []
    while line := (yield from call.input_line()):
        said.append(line)
        text = line.decode("latin-1").rstrip("\r\n")
        if text.strip().lower() == "q":
            break
        data = session.take(text)
        if data is not None:
            call.shell.budget.work(len(data))
            yield from call.write(session.name, data)
            call.line(f"Writing {len(data):05X} bytes")
    call.use(b"".join(said))
    return 0


def _hex(word: str) -> int:
    try:
        return int(word[:8], 16)
    except ValueError:
        return 0


def _enter(memory: bytearray, at: int, values: list[str]) -> None:
    data = bytearray()
    for word in values:
        if word[:1] in "'\"":
            data += word.strip("'\"").encode("latin-1")
        elif len(word) <= 2:
            data.append(_hex(word) & 0xFF)
    if at + len(data) > _DEBUG_BYTES_MAX:
        return
    if len(memory) < at + len(data):
        memory += bytes(at + len(data) - len(memory))
    memory[at : at + len(data)] = data


def _fill(memory: bytearray, rest: list[str]) -> None:
    start = _hex(rest[0].rpartition(":")[2])
    length = _hex(rest[1][1:]) if rest[1][:1].lower() == "l" else _hex(rest[1]) - start + 1
    if rest[1].lower() == "l":
        length, rest = _hex(rest[2]), rest[1:]
    value = _hex(rest[2]) & 0xFF if len(rest) > 2 else 0
    if length > 0 and start + length <= _DEBUG_BYTES_MAX:
        if len(memory) < start + length:
            memory += bytes(start + length - len(memory))
        memory[start : start + length] = bytes([value]) * length


TABLE: dict[str, Command] = {"certutil": certutil, "debug": debug}
