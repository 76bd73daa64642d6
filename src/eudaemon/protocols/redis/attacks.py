"""What attackers make Redis do: files that something else will read, modules, and Lua that leaves its box. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from eudaemon.wire import decode

RDB_VERSION = 9  # of Redis 5


@dataclass(frozen=True, slots=True)
class Target:
    """A place where a dump of the database is no dump. `origin` is as in `ArtefactKept`."""

    exploit: str
    origin: str


_TARGETS = (
    (re.compile(rb"cron"), Target("redis-cron", "script")),
    (re.compile(rb"/\.ssh/|authorized_keys"), Target("redis-ssh-key", "upload")),
    (re.compile(rb"/(?:www|html|htdocs|wwwroot|webapps|nginx|apache)|\.(?:php|jsp|aspx?)$"),
     Target("redis-web-shell", "script")),
    (re.compile(rb"^/etc/|/\.(?:bash|profile)|ld\.so\.preload|\.service$"), Target("redis-startup-file", "script")),
    (re.compile(rb"\.so$"), Target("redis-module", "upload")),
)  # fmt: skip
_LUA_CALL = re.compile(
    rb"\b(?:popen|execute)\s*\(\s*(?:\[\[(.*?)\]\]|\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)'|ARGV\[(\d)\]|KEYS\[(\d)\])",
    re.DOTALL,
)
LUA_COMMANDS_MAX = 8


def target_of(path: bytes) -> Target | None:
    """Return what a dump at this path is meant for, None if it may be just a dump."""
    return next((target for pattern, target in _TARGETS if pattern.search(path)), None)


def lua_commands(script: bytes, keys: Sequence[bytes], arguments: Sequence[bytes]) -> Iterator[bytes]:
    """Yield the commands that a script gives to `io.popen` and `os.execute`, which no script should reach.

    CVE-2022-0543: Debian's Lua had kept `package.loadlib`, through which both come back.
    """
    for count, found in enumerate(_LUA_CALL.finditer(script)):
        if count >= LUA_COMMANDS_MAX:
            return
        long, double, single, argument, key = found.groups()
        if argument or key:
            among, number = (arguments, int(argument)) if argument else (keys, int(key))
            if 0 < number <= len(among):
                yield among[number - 1]
        else:
            yield long if long is not None else decode.backslashes(double if double is not None else single)


def dump(databases: dict[int, dict[bytes, bytes]], *, version: str, at_s: float) -> bytes:
    """Return the databases as an RDB file (rdb.h), strings plain and without its checksum, as settings allow."""
    out = bytearray(b"REDIS%04d" % (RDB_VERSION if version.startswith("5") else RDB_VERSION - 1))
    for name, value in ((b"redis-ver", version.encode()), (b"redis-bits", b"64"), (b"ctime", b"%d" % at_s)):
        out += b"\xfa" + _string(name) + _string(value)
    for number, keys in sorted(databases.items()):
        if keys:
            out += b"\xfe" + _length(number) + b"\xfb" + _length(len(keys)) + b"\0"
            for name, value in keys.items():
                out += b"\0" + _string(name) + _string(value)
    return bytes(out) + b"\xff" + bytes(8)


def _string(data: bytes) -> bytes:
    return _length(len(data)) + data


def _length(value: int) -> bytes:
    if value < 1 << 6:
        return bytes((value,))
    if value < 1 << 14:
        return (0x4000 | value).to_bytes(2, "big")
    return b"\x80" + value.to_bytes(4, "big")
