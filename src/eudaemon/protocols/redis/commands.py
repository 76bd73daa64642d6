"""The table of what can be said: name, number of words (at least, if negative), and what comes of it.

A step gets the room, the words and the time; it returns a reply, or yields orders and sends its reply itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias

from eudaemon.events.catalogue import ExploitRecognised, LoginTried
from eudaemon.protocols._base import Order, Saw, Send
from eudaemon.protocols.redis.keys import DATABASES
from eudaemon.protocols.redis.resp import OK, Failure, Reply, Status, encode
from eudaemon.protocols.redis.scripting import evaluate, evaluate_known, script
from eudaemon.wire import printable
from eudaemon.world.files import Directory, FileError
from eudaemon.world.shell.patterns import matches

if TYPE_CHECKING:
    from eudaemon.protocols.redis.room import Redis

Words = list[bytes]
Step: TypeAlias = "Callable[[Redis, Words, float], Reply | Iterator[Order]]"
VALUE_BYTES_MAX = 16 * 1024 * 1024  # what APPEND may grow a value to
MODULES_MAX = 16
_SYNTAX = Failure(b"ERR syntax error")
_NO_INTEGER = Failure(b"ERR value is not an integer or out of range")
_NOTHING_TO_LOAD = Failure(b"ERR Error loading the extension. Please check the server logs.")


# --- who and how -----------------------------------------------------------------------------------


def ping(room: Redis, words: Words, at_s: float) -> Reply:  # noqa: ARG001
    """PING [text]."""
    return words[1] if len(words) > 1 else Status(b"PONG")


def echo(room: Redis, words: Words, at_s: float) -> Reply:  # noqa: ARG001
    """ECHO text."""
    return words[1]


def ok(room: Redis, words: Words, at_s: float) -> Reply:  # noqa: ARG001
    """What only succeeds."""
    return OK


def auth(room: Redis, words: Words, at_s: float) -> Iterator[Order]:  # noqa: ARG001
    """AUTH password: there is none."""
    yield Saw(LoginTried("", printable(words[1], 256), accepted=False))
    yield Send(encode(Failure(b"ERR Client sent AUTH, but no password is set")))


def info(room: Redis, words: Words, at_s: float) -> Reply:
    """INFO [section]."""
    text = room.server.info(at_s, port=room.visit.local.port, master=room.master, replicas=0, keys=room.keys.counts)
    if len(words) == 1 or words[1].lower() in (b"all", b"default", b"everything"):
        return text
    wanted = b"# " + words[1].lower() + b"\r\n"
    return next((part for part in text.split(b"\r\n\r\n") if (part.lower() + b"\r\n").startswith(wanted)), b"")


def select(room: Redis, words: Words, at_s: float) -> Reply:  # noqa: ARG001
    """SELECT database."""
    if not words[1].isdigit() or len(words[1]) > 4:
        return Failure(b"ERR invalid DB index")
    if int(words[1]) >= DATABASES:
        return Failure(b"ERR DB index is out of range")
    room.database = int(words[1])
    return OK


def client(room: Redis, words: Words, at_s: float) -> Reply:  # noqa: ARG001
    """CLIENT LIST, SETNAME, GETNAME and their like."""
    verb = words[1].lower()
    if verb == b"setname" and len(words) == 3:
        room.client_name = words[2][:256]
    elif verb == b"getname":
        return room.client_name or None
    elif verb == b"id":
        return 3 + room.visit.seed.number("client id", 900)
    elif verb == b"list":
        peer = room.visit.attacker
        return (f"id={3 + room.visit.seed.number('client id', 900)} addr={peer.ip}:{peer.port} fd=8 name= age=0 idle=0 "
                f"flags=N db={room.database} sub=0 psub=0 multi=-1 qbuf=26 qbuf-free=32742 obl=0 oll=0 omem=0 events=r "
                f"cmd=client\n").encode()  # fmt: skip
    return OK


def time(room: Redis, words: Words, at_s: float) -> Reply:  # noqa: ARG001
    """TIME."""
    return [b"%d" % at_s, b"%d" % (at_s % 1 * 1_000_000)]


def role(room: Redis, words: Words, at_s: float) -> Reply:  # noqa: ARG001
    """ROLE."""
    if not room.master:
        return [b"master", 0, []]
    host, _, port = room.master.partition(" ")
    return [b"slave", host.encode(), int(port) if port.isdecimal() else 0, b"connected", 1]


def command(room: Redis, words: Words, at_s: float) -> Reply:  # noqa: ARG001
    """COMMAND [COUNT]: names and numbers of words."""
    if words[1:2] and words[1].lower() == b"count":
        return len(COMMANDS)
    if words[1:2] and words[1].lower() == b"docs":
        return Failure(b"ERR Unknown subcommand or wrong number of arguments for 'docs'. Try COMMAND HELP.")
    return [[name, arity, [], 0, 0, 0] for name, (arity, _) in COMMANDS.items() if not name.startswith(b"system.")]


def shutdown(room: Redis, words: Words, at_s: float) -> Iterator[Order]:
    """SHUTDOWN [NOSAVE]: saves, and is gone for this client."""
    if words[-1].lower() != b"nosave":
        yield from room.save(at_s)


# --- keys ------------------------------------------------------------------------------------------


def get(room: Redis, words: Words, at_s: float) -> Reply:  # noqa: ARG001
    """GET name."""
    return room.keys.get(room.database, words[1])


def get_many(room: Redis, words: Words, at_s: float) -> Reply:  # noqa: ARG001
    """MGET name…."""
    return [room.keys.get(room.database, name) for name in words[1:]]


def put(room: Redis, words: Words, at_s: float) -> Reply:  # noqa: ARG001
    """SET name value [NX | XX] [EX seconds | PX milliseconds]: nothing expires while a session lasts."""
    wishes = {word.lower() for word in words[3:] if not word.isdigit()}
    if wishes - {b"nx", b"xx", b"ex", b"px"}:
        return _SYNTAX
    is_there = room.keys.get(room.database, words[1]) is not None
    if (b"nx" in wishes and is_there) or (b"xx" in wishes and not is_there):
        return None
    room.keys.put(room.database, words[1], words[2])
    return OK


def put_new(room: Redis, words: Words, at_s: float) -> Reply:  # noqa: ARG001
    """SETNX name value."""
    if room.keys.get(room.database, words[1]) is not None:
        return 0
    room.keys.put(room.database, words[1], words[2])
    return 1


def put_for(room: Redis, words: Words, at_s: float) -> Reply:  # noqa: ARG001
    """SETEX name seconds value."""
    if not words[2].isdigit():
        return _NO_INTEGER
    room.keys.put(room.database, words[1], words[3])
    return OK


def put_many(room: Redis, words: Words, at_s: float) -> Reply:  # noqa: ARG001
    """MSET name value …."""
    if len(words) % 2 == 0:
        return Failure(b"ERR wrong number of arguments for MSET")
    for at in range(1, len(words), 2):
        room.keys.put(room.database, words[at], words[at + 1])
    return OK


def append(room: Redis, words: Words, at_s: float) -> Reply:  # noqa: ARG001
    """APPEND name value."""
    value = (room.keys.get(room.database, words[1]) or b"") + words[2]
    if len(value) > VALUE_BYTES_MAX:
        return Failure(b"ERR string exceeds maximum allowed size (512MB)")
    room.keys.put(room.database, words[1], value)
    return len(value)


def increase(room: Redis, words: Words, at_s: float) -> Reply:  # noqa: ARG001
    """INCR, DECR name."""
    known = room.keys.get(room.database, words[1]) or b"0"
    if not known.removeprefix(b"-").isdigit() or len(known) > 18:
        return _NO_INTEGER
    value = int(known) + (1 if words[0].lower() == b"incr" else -1)
    room.keys.put(room.database, words[1], b"%d" % value)
    return value


def length(room: Redis, words: Words, at_s: float) -> Reply:  # noqa: ARG001
    """STRLEN name."""
    return len(room.keys.get(room.database, words[1]) or b"")


def drop(room: Redis, words: Words, at_s: float) -> Reply:  # noqa: ARG001
    """DEL, UNLINK name…."""
    return sum(room.keys.drop(room.database, name) for name in words[1:])


def exists(room: Redis, words: Words, at_s: float) -> Reply:  # noqa: ARG001
    """EXISTS name…."""
    return sum(room.keys.get(room.database, name) is not None for name in words[1:])


def names(room: Redis, words: Words, at_s: float) -> Reply:  # noqa: ARG001
    """KEYS pattern."""
    return room.keys.matching(room.database, words[1], room.budget)


def scan(room: Redis, words: Words, at_s: float) -> Reply:  # noqa: ARG001
    """SCAN cursor [MATCH pattern] [COUNT n]: all at once."""
    wishes = {words[at].lower(): words[at + 1] for at in range(2, len(words) - 1, 2)}
    return [b"0", room.keys.matching(room.database, wishes.get(b"match", b"*"), room.budget)]


def any_name(room: Redis, words: Words, at_s: float) -> Reply:  # noqa: ARG001
    """RANDOMKEY."""
    return next(iter(room.keys.databases.get(room.database, {})), None)


def kind(room: Redis, words: Words, at_s: float) -> Reply:  # noqa: ARG001
    """TYPE name."""
    return Status(b"none" if room.keys.get(room.database, words[1]) is None else b"string")


def time_left(room: Redis, words: Words, at_s: float) -> Reply:  # noqa: ARG001
    """TTL, PTTL name."""
    return -2 if room.keys.get(room.database, words[1]) is None else -1


def size(room: Redis, words: Words, at_s: float) -> Reply:  # noqa: ARG001
    """DBSIZE."""
    return room.keys.counts.get(room.database, 0)


def flush(room: Redis, words: Words, at_s: float) -> Reply:  # noqa: ARG001
    """FLUSHDB, FLUSHALL."""
    for number in range(DATABASES) if words[0].lower() == b"flushall" else (room.database,):
        room.keys.empty(number)
    return OK


# --- configuration and files -----------------------------------------------------------------------


def config(room: Redis, words: Words, at_s: float) -> Reply:  # noqa: ARG001
    """CONFIG GET pattern, CONFIG SET name value, and what only succeeds."""
    verb = words[1].lower()
    if verb == b"get" and len(words) == 3:
        found: list[bytes] = []
        for name, value in room.settings.items():
            if matches(words[2].lower(), name, room.budget):
                found += (name, value)
        return found
    if verb == b"set" and len(words) == 4:
        return _set(room, words[2].lower(), words[3])
    if verb in (b"resetstat", b"rewrite") and len(words) == 2:
        return OK if verb == b"resetstat" else Failure(b"ERR The server is running without a config file")
    return Failure(b"ERR Unknown subcommand or wrong number of arguments for '%s'. Try CONFIG HELP." % words[1][:64])


def _set(room: Redis, name: bytes, value: bytes) -> Reply:
    if name not in room.settings:
        return Failure(b"ERR Unsupported CONFIG parameter: %s" % name[:128].replace(b"\n", b" ").replace(b"\r", b" "))
    if name == b"dir":
        try:
            value = room.files.resolve(value, room.settings[b"dir"])
            if not isinstance(room.files.get(value), Directory):
                return Failure(b"ERR Changing directory: Not a directory")
        except FileError as error:
            return Failure(b"ERR Changing directory: " + str(error).encode())
    if name == b"dbfilename" and b"/" in value:
        return Failure(b"ERR Invalid argument '%s' for CONFIG SET 'dbfilename'" % value[:256])
    room.set(name, value)
    return OK


def save(room: Redis, words: Words, at_s: float) -> Iterator[Order]:
    """SAVE, BGSAVE."""
    yield from room.save(at_s)
    yield Send(encode(OK if words[0].lower() == b"save" else Status(b"Background saving started")))


def saved_at(room: Redis, words: Words, at_s: float) -> Reply:  # noqa: ARG001
    """LASTSAVE."""
    return int(at_s - room.server.host.uptime_s(at_s))


def slave_of(room: Redis, words: Words, at_s: float) -> Iterator[Order]:  # noqa: ARG001
    """SLAVEOF, REPLICAOF host port, or NO ONE."""
    if (words[1].lower(), words[2].lower()) == (b"no", b"one"):
        room.master = ""
        yield Send(encode(OK))
    elif not words[2].isdigit() or len(words[2]) > 5:
        yield Send(encode(_NO_INTEGER))
    elif room.master == f"{printable(words[1], 256)} {printable(words[2], 8)}":
        yield Send(encode(Status(b"OK Already connected to specified master")))
    else:
        yield Send(encode(OK))
        yield from room.replicate(words[1], words[2])


# --- code ------------------------------------------------------------------------------------------


def module(room: Redis, words: Words, at_s: float) -> Iterator[Order]:  # noqa: ARG001
    """MODULE LOAD path, LIST, UNLOAD name. Whatever was brought is believed to be the module that worms bring."""
    verb = words[1].lower()
    if verb == b"list":
        yield Send(encode([[b"name", name, b"ver", 1] for name in room.modules]))
    elif verb == b"load" and len(words) > 2:
        path = words[2] if words[2][:1] == b"/" else room.settings[b"dir"] + b"/" + words[2]
        yield Saw(ExploitRecognised("redis-module", "", printable(b" ".join(words[2:]), 1024)))
        if room.master or room.files.find(path) is not None:
            if b"system" not in room.modules and len(room.modules) < MODULES_MAX:
                room.modules.append(b"system")
            yield Send(encode(OK))
        else:
            yield Send(encode(_NOTHING_TO_LOAD))
    elif verb == b"unload" and len(words) == 3:
        if words[2] in room.modules:
            room.modules.remove(words[2])
            yield Send(encode(OK))
        else:
            yield Send(encode(Failure(b"ERR Error unloading module: no such module with that name")))
    else:
        yield Send(encode(Failure(b"ERR Unknown subcommand or wrong number of arguments for '%s'. Try MODULE HELP."
                                  % words[1][:64])))  # fmt: skip


def execute(room: Redis, words: Words, at_s: float) -> Iterator[Order]:
    """system.exec command: the module's own."""
    if not room.modules:
        yield Send(encode(room.unknown(words)))
        return
    line = b" ".join(words[1:])
    yield Saw(ExploitRecognised("redis-module-command", "", printable(line, 2048)))
    yield from room.run([line], lambda printed: printed, at_s)


def reverse(room: Redis, words: Words, at_s: float) -> Iterator[Order]:  # noqa: ARG001
    """system.rev host port: a shell that calls home. Nobody is called."""
    if not room.modules:
        yield Send(encode(room.unknown(words)))
        return
    yield Saw(ExploitRecognised("redis-reverse-shell", "", printable(b" ".join(words[1:]), 256)))
    yield Send(encode(OK))


COMMANDS: dict[bytes, tuple[int, Step]] = {
    b"ping": (-1, ping), b"echo": (2, echo), b"auth": (2, auth), b"info": (-1, info), b"select": (2, select),
    b"client": (-2, client), b"time": (1, time), b"role": (1, role), b"command": (-1, command), b"quit": (-1, ok),
    b"shutdown": (-1, shutdown), b"monitor": (1, ok), b"debug": (-2, ok), b"bgrewriteaof": (1, ok),
    b"replconf": (-1, ok), b"get": (2, get), b"mget": (-2, get_many), b"set": (-3, put), b"setnx": (3, put_new),
    b"setex": (4, put_for), b"psetex": (4, put_for), b"mset": (-3, put_many), b"append": (3, append),
    b"incr": (2, increase), b"decr": (2, increase), b"strlen": (2, length), b"del": (-2, drop), b"unlink": (-2, drop),
    b"exists": (-2, exists), b"keys": (2, names), b"scan": (-2, scan), b"randomkey": (1, any_name), b"type": (2, kind),
    b"ttl": (2, time_left), b"pttl": (2, time_left), b"dbsize": (1, size), b"flushdb": (-1, flush),
    b"flushall": (-1, flush), b"config": (-2, config), b"save": (1, save), b"bgsave": (-1, save),
    b"lastsave": (1, saved_at), b"slaveof": (3, slave_of), b"replicaof": (3, slave_of), b"module": (-2, module),
    b"system.exec": (-2, execute), b"system.rev": (3, reverse), b"eval": (-3, evaluate),
    b"evalsha": (-3, evaluate_known), b"script": (-2, script),
}  # fmt: skip
