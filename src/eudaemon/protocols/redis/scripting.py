"""EVAL and its like: scripts are kept and run, and what leaves the box of Lua (CVE-2022-0543) goes to the shell.

A script that needs more of Lua than is known here gets nothing as its reply, as it did not say what would be wrong.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from eudaemon.events.catalogue import ExploitRecognised
from eudaemon.protocols._base import Keep, Order, Saw, Send
from eudaemon.protocols.redis.attacks import lua_commands
from eudaemon.protocols.redis.lua import (
    Library,
    LuaError,
    Pairs,
    Script,
    Table,
    arithmetic,
    joined,
    kind_of,
    number_of,
    reply_of,
    truth,
    value_of,
    written,
)
from eudaemon.protocols.redis.lua_parser import LuaSyntaxError, UnsupportedError, parsed
from eudaemon.protocols.redis.resp import OK, Failure, Reply, Status, encode
from eudaemon.wire import printable

if TYPE_CHECKING:
    from eudaemon.protocols.redis.room import Redis

SCRIPTS_MAX = 64  # that one session may load
_TEXT_BYTES_MAX = 1024 * 1024
# Flagged `s` in server.c of 5.0.
UNSCRIPTED = frozenset(
    b"auth eval evalsha script config save bgsave slaveof replicaof module shutdown debug monitor client replconf "
    b"bgrewriteaof role quit".split()
)


def evaluate(room: Redis, words: list[bytes], at_s: float) -> Iterator[Order]:
    """EVAL script count name… argument…."""
    yield Keep(words[1], "script", "eval.lua")
    yield from _evaluate(room, words[1], words, at_s)


def evaluate_known(room: Redis, words: list[bytes], at_s: float) -> Iterator[Order]:
    """EVALSHA sha1 count name… argument…."""
    known = room.scripts.get(words[1].lower())
    if known is None:
        yield Send(encode(Failure(b"NOSCRIPT No matching script. Please use EVAL.")))
    else:
        yield from _evaluate(room, known, words, at_s)


def script(room: Redis, words: list[bytes], at_s: float) -> Iterator[Order]:  # noqa: ARG001
    """SCRIPT LOAD keeps the script, EXISTS tells which are loaded, FLUSH forgets them."""
    verb = words[1].lower()
    if verb == b"load" and len(words) == 3:
        yield Keep(words[2], "script", "script.lua")
        try:
            parsed(words[2])
        except LuaSyntaxError as error:
            yield Send(encode(_not_compiled(error)))
            return
        except UnsupportedError:
            pass
        _load(room, words[2])
        yield Send(encode(_name_of(words[2])))
    elif verb == b"exists":
        yield Send(encode([int(name.lower() in room.scripts) for name in words[2:]]))
    elif verb == b"flush":
        room.visit.purse.give_back(sum(map(len, room.scripts.values())))
        room.scripts.clear()
        yield Send(encode(OK))
    else:
        yield Send(encode(Failure(b"NOTBUSY No scripts in execution right now.") if verb == b"kill" else OK))


def _load(room: Redis, text: bytes) -> None:
    name = _name_of(text)
    if name not in room.scripts and len(room.scripts) < SCRIPTS_MAX and room.visit.purse.take(len(text)):
        room.scripts[name] = text


def _name_of(text: bytes) -> bytes:
    return hashlib.sha1(text, usedforsecurity=False).hexdigest().encode()


def _evaluate(room: Redis, text: bytes, words: list[bytes], at_s: float) -> Iterator[Order]:
    if not words[2].isdigit() or len(words[2]) > 5:
        yield Send(encode(Failure(b"ERR value is not an integer or out of range")))
        return
    count = int(words[2])
    if count > len(words) - 3:
        yield Send(encode(Failure(b"ERR Number of keys can't be greater than number of args")))
        return
    keys, arguments = words[3 : 3 + count], words[3 + count :]
    commands = list(lua_commands(text, keys, arguments))
    if commands:
        shown = printable(b"; ".join(commands), 2048)
        yield Saw(ExploitRecognised("redis-lua-sandbox", "CVE-2022-0543", shown))
        yield from room.run(commands, lambda printed: printed, at_s)
    else:
        yield Send(encode(_run(room, text, keys, arguments, at_s)))


def _run(room: Redis, text: bytes, keys: list[bytes], arguments: list[bytes], at_s: float) -> Reply:
    run = Script(_library(room, keys, arguments, at_s), room.budget)
    try:
        block = parsed(text)
        _load(room, text)
        return reply_of(run.run(block))
    except LuaSyntaxError as error:
        return _not_compiled(error)
    except UnsupportedError:
        return None
    except LuaError as error:
        place = b"user_script:%d: " % run.line
        before = {"script": b"@" + place + place, "redis": b"@" + place, "guard": b"@enable_strict_lua:15: " + place}
        said = before[error.source] + error.said[:1024].replace(b"\r", b" ").replace(b"\n", b" ")
        return Failure(b"ERR Error running script (call to f_%s): %s" % (_name_of(text), said))


def _not_compiled(error: LuaSyntaxError) -> Failure:
    near = error.near[:64].replace(b"\r", b" ").replace(b"\n", b" ")
    return Failure(b"ERR Error compiling script (new function): user_script:%d: unexpected symbol near '%s'"
                   % (error.line, near))  # fmt: skip


# --- what a script has -----------------------------------------------------------------------------------


def _library(room: Redis, keys: list[bytes], arguments: list[bytes], at_s: float) -> dict[bytes, Any]:
    def call(given: list[Any]) -> Any:
        reply = _called(room, given, at_s)
        if isinstance(reply, Failure):
            raise LuaError(bytes(reply), "redis")
        return value_of(reply)

    def protected(given: list[Any]) -> Any:
        try:
            return value_of(_called(room, given, at_s))
        except LuaError as error:
            return value_of(Failure(error.said))

    redis = Library({
        b"call": call, b"pcall": protected, b"log": lambda _: None,
        b"sha1hex": lambda given: _name_of(_text(given)),
        b"error_reply": lambda given: value_of(Failure(_text(given))),
        b"status_reply": lambda given: value_of(Status(_text(given))),
        b"LOG_DEBUG": 0.0, b"LOG_VERBOSE": 1.0, b"LOG_NOTICE": 2.0, b"LOG_WARNING": 3.0,
    })  # fmt: skip
    return {**_GLOBALS, b"redis": redis, b"KEYS": Table(keys), b"ARGV": Table(arguments)}


def _called(room: Redis, given: list[Any], at_s: float) -> Reply:
    place = b"@user_script: 1: "
    if not given:
        raise LuaError(place + b"Please specify at least one argument for redis.call()", "redis")
    words: list[bytes] = []
    for value in given:
        if kind_of(value) not in (b"string", b"number"):
            raise LuaError(place + b"Lua redis() command arguments must be strings or integers", "redis")
        words.append(b"%.17g" % value if isinstance(value, float) else value)
    return room.called(words, at_s)


def _at(given: list[Any], at: int, default: Any = None) -> Any:
    return given[at] if at < len(given) and given[at] is not None else default


def _text(given: list[Any], at: int = 0) -> bytes:
    value = _at(given, at)
    if kind_of(value) not in (b"string", b"number"):
        raise LuaError(b"bad argument #%d (string expected, got %s)" % (at + 1, kind_of(value)))
    return written(value)


def _whole(given: list[Any], at: int, default: float) -> int:
    value = arithmetic(_at(given, at, default))
    return int(max(-1e9, min(1e9, value))) if value == value else 0


def _table(given: list[Any]) -> Table:
    value = _at(given, 0)
    if not isinstance(value, Table):
        raise LuaError(b"bad argument #1 (table expected, got %s)" % kind_of(value))
    return value


def _part(given: list[Any]) -> bytes:
    text, start, stop = _text(given), _whole(given, 1, 1.0), _whole(given, 2, -1.0)
    start = max(1, start if start >= 0 else len(text) + start + 1)
    stop = min(len(text), stop if stop >= 0 else len(text) + stop + 1)
    return text[start - 1 : stop] if start <= stop else b""


def _repeated(given: list[Any]) -> bytes:
    text, count = _text(given), max(0, _whole(given, 1, 0.0))
    if len(text) * count > _TEXT_BYTES_MAX:
        raise LuaError(b"not enough memory")
    return text * count


def _found(given: list[Any]) -> Any:
    """`string.find` for a plain text; a pattern is not known."""
    text, wanted, start = _text(given), _text(given, 1), max(1, _whole(given, 2, 1.0))
    if not truth(_at(given, 3)) and any(byte in b"^$()%.[]*+-?" for byte in wanted):
        raise UnsupportedError
    at = text.find(wanted, start - 1)
    return None if at < 0 else float(at + 1)


def _byte(given: list[Any]) -> Any:
    one = _part([_text(given), *given[1:2], *given[1:2]] if len(given) > 1 else [_text(given), 1.0, 1.0])
    return float(one[0]) if one else None


def _concat(given: list[Any]) -> bytes:
    values = _table(given).values()[_whole(given, 2, 1.0) - 1 :]
    between = written(_at(given, 1, b""))
    return joined([piece for value in values for piece in (between, value)][1:])


def _insert(given: list[Any]) -> None:
    table = _table(given)
    if len(given) < 3:
        table.set(float(len(table) + 1), _at(given, 1))
        return
    at = _whole(given, 1, 1.0)
    for number in range(len(table), max(0, at - 1), -1):
        table.set(float(number + 1), table.get(float(number)))
    table.set(float(at), given[2])


def _remove(given: list[Any]) -> Any:
    table = _table(given)
    last = len(table)
    at = _whole(given, 1, float(last))
    gone = table.get(float(at))
    for number in range(at, last + 1):
        table.set(float(number), table.get(float(number + 1)))
    return gone


def _unpacked(given: list[Any]) -> Any:
    """`unpack` gives several values; where one is looked for, it is the first."""
    return _table(given).get(1.0)


def _number(given: list[Any]) -> Any:
    base = _whole(given, 1, 10.0)
    if base == 10:
        return number_of(_at(given, 0))
    try:
        return float(int(_text(given)[:64], base))
    except ValueError:
        return None


def _raise(given: list[Any]) -> Any:
    value = _at(given, 0)
    said = value.get(b"err") if isinstance(value, Table) else value
    raise LuaError(written(said), "redis" if isinstance(value, Table) else "script")


def _assert(given: list[Any]) -> Any:
    if truth(_at(given, 0)):
        return given[0]
    raise LuaError(written(_at(given, 1, b"assertion failed!")), "redis")


def _of_numbers(function: Callable[..., float]) -> Callable[[list[Any]], float]:
    return lambda given: float(function(*map(arithmetic, given or [None])))


_GLOBALS: dict[bytes, Any] = {
    b"tonumber": _number, b"tostring": lambda given: written(_at(given, 0)), b"error": _raise, b"assert": _assert,
    b"type": lambda given: kind_of(_at(given, 0)), b"unpack": _unpacked,
    b"ipairs": lambda given: Pairs([(float(at), value) for at, value in enumerate(_table(given).values(), 1)]),
    b"pairs": lambda given: Pairs(list(_table(given).entries.items())),
    b"string": Library({
        b"len": lambda given: float(len(_text(given))), b"sub": _part, b"rep": _repeated, b"byte": _byte,
        b"upper": lambda given: _text(given).upper(), b"lower": lambda given: _text(given).lower(),
        b"reverse": lambda given: _text(given)[::-1], b"find": _found,
        b"char": lambda given: bytes(_whole(given, at, 0.0) & 0xFF for at in range(len(given))),
    }),
    b"table": Library({b"concat": _concat, b"insert": _insert, b"remove": _remove,
                      b"getn": lambda given: float(len(_table(given)))}),
    b"math": Library({
        b"floor": _of_numbers(lambda value: value // 1), b"ceil": _of_numbers(lambda value: -(-value // 1)),
        b"abs": _of_numbers(abs), b"max": _of_numbers(lambda *values: max(values)),
        b"min": _of_numbers(lambda *values: min(values)),
    }),
}  # fmt: skip
