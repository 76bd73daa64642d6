"""The requests of a debugger: a table of set and command, and for each what is answered.

    (9, 6)  ObjectReference.InvokeMethod  --> method --> its row in `METHODS`, or a value of the type that it returns

A step gets the packet's fields and returns the answer's, or a command that is to run. Owns no packet and no shell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from eudaemon.protocols.jdwp.fields import Fields
from eudaemon.protocols.jdwp.machine import DEFINED_NAME, Machine
from eudaemon.wire import PeerError, Purse, decode
from eudaemon.world.host import Host

EVENTS_MAX = 64  # that are waited for
MODIFIERS_MAX = 16  # of one event
ARGUMENTS_MAX = 64
# Error constants of the specification.
INVALID_THREAD, INVALID_OBJECT, INVALID_CLASS, INVALID_METHOD, NOT_IMPLEMENTED, INVALID_ARRAY = 10, 20, 21, 23, 99, 508
RESUMING = ((1, 9), (11, 3))
DISPOSE, SET_ARRAY = (1, 6), (13, 3)
_NULL = b"L" + bytes(8)
_VALUE_BYTES = {b"B": 1, b"Z": 1, b"C": 2, b"S": 2, b"I": 4, b"F": 4, b"V": 0}  # any other tag: eight
_SHELLS = (b"sh", b"bash", b"ash", b"dash", b"cmd", b"cmd.exe", b"powershell", b"powershell.exe")
_READS = ("readLine", "nextLine")
_BREAKS = (1, 2, 40, 41)  # a step, a breakpoint, a method that is entered or left: those that come at once


class Error(Exception):
    """An answer that is an error. Not the end of anything."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Runs:
    """A command that a call leads to, and the value that it returns: if that is empty, what was printed.

    `whole` if that is all of it, else its next line. Without a command what was printed before is meant.
    """

    line: bytes = b""
    value: bytes = b""
    whole: bool = True


@dataclass
class Debugged:
    """What one debugger sees and has set."""

    host: Host
    purse: Purse
    awaited: dict[int, tuple[int, int, bytes]] = field(default_factory=dict)  # events: kind, thread, place
    requests: int = 0

    def __post_init__(self) -> None:
        self.machine = Machine(self.host, self.purse)


Step: TypeAlias = Callable[[Debugged, Fields], "bytes | Runs"]


def value(debugged: Debugged, text: bytes) -> bytes:
    """Return the value that a new string is."""
    return debugged.machine.text(text)


def _number(value: int, size: int = 4) -> bytes:
    return value.to_bytes(size, "big")


def _text(text: str) -> bytes:
    return _number(len(text)) + text.encode()


def _class(debugged: Debugged, fields: Fields) -> str:
    signature = debugged.machine.classes().get(fields.identity())
    if signature is None:
        raise Error(INVALID_CLASS)
    return signature


def _thread(debugged: Debugged, fields: Fields) -> tuple[str, int]:
    thread = debugged.machine.threads.get(fields.identity())
    if thread is None:
        raise Error(INVALID_THREAD)
    return thread


def _kind(signature: str) -> bytes:
    return b"\3" if signature.startswith("[") else b"\1"


# --- the virtual machine -----------------------------------------------------------------------------


def _version(debugged: Debugged, _fields: Fields) -> bytes:
    machine = debugged.machine
    minor = 6 if machine.version < "1.7" else 8 if machine.version.startswith("1.8") else 7
    told = (
        f"Java Debug Wire Protocol (Reference Implementation) version 1.{minor}\n"
        f"JVM Debug Interface version 1.2\nJVM version {machine.version} "
        f"({machine.name}, mixed mode, sharing)"
    )
    return _text(told) + _number(1) + _number(minor) + _text(machine.version) + _text(machine.name)


def _by_signature(debugged: Debugged, fields: Fields) -> bytes:
    signature = fields.text().decode("latin-1")
    number = debugged.machine.class_of(signature)
    return _number(1) + _kind(signature) + _number(number, 8) + _number(7) if number else _number(0)


def _all_classes(debugged: Debugged, *, generic: bool) -> bytes:
    there = debugged.machine.classes()
    return _number(len(there)) + b"".join(
        _kind(signature) + _number(number, 8) + _text(signature) + (_text("") if generic else b"") + _number(7)
        for number, signature in there.items()
    )


def _threads(debugged: Debugged, _fields: Fields) -> bytes:
    there = debugged.machine.threads
    return _number(len(there)) + b"".join(_number(number, 8) for number in there)


def _sizes(debugged: Debugged, _fields: Fields) -> bytes:
    size = debugged.machine.method_bytes
    return b"".join(map(_number, (size, size, 8, 8, 8)))


def _make_string(debugged: Debugged, fields: Fields) -> bytes:
    return _number(debugged.machine.string(fields.text()), 8)


# --- classes -------------------------------------------------------------------------------------------


def _signature(debugged: Debugged, fields: Fields) -> bytes:
    return _text(_class(debugged, fields))


def _methods(debugged: Debugged, fields: Fields, *, generic: bool) -> bytes:
    machine = debugged.machine
    methods = machine.methods(_class(debugged, fields))
    static = (
        "getRuntime",
        "getProperty",
        "getenv",
        "forName",
        "sleep",
        "currentThread",
        "getSystemClassLoader",
        "main",
    )
    return _number(len(methods)) + b"".join(
        _number(number, machine.method_bytes) + _text(name) + _text(signature) + (_text("") if generic else b"")
        + _number(9 if name in static else 1)
        for number, name, signature in methods
    )  # fmt: skip


def _class_object(debugged: Debugged, fields: Fields) -> bytes:
    """A class is its own object here."""
    number = fields.identity()
    if number not in debugged.machine.classes():
        raise Error(INVALID_CLASS)
    return _number(number, 8)


def _type_of(debugged: Debugged, fields: Fields) -> bytes:
    signature = debugged.machine.signature_of(fields.identity())
    if not signature:
        raise Error(INVALID_OBJECT)
    number = debugged.machine.class_of(signature) or debugged.machine.class_of("Ljava/lang/Object;")
    return _kind(signature) + _number(number, 8)


# --- calls ---------------------------------------------------------------------------------------------


def _static(debugged: Debugged, fields: Fields) -> bytes | Runs:
    _class(debugged, fields)
    fields.identity()  # the thread
    return _called(debugged, fields)


def _made(debugged: Debugged, fields: Fields) -> bytes | Runs:
    """ClassType.NewInstance: an object of the class, whatever it is made of."""
    signature = _class(debugged, fields)
    fields.identity()
    name, arguments = _call(debugged, fields)
    if name[1] != "<init>":
        raise Error(INVALID_METHOD)
    made = b"L" + _number(debugged.machine.thing(signature), 8)
    if signature == "Ljava/lang/ProcessBuilder;" and (line := _line(debugged, arguments)):
        return Runs(line, made)
    return made + _NULL


def _on_object(debugged: Debugged, fields: Fields) -> bytes | Runs:
    if not debugged.machine.signature_of(fields.identity()):
        raise Error(INVALID_OBJECT)
    fields.identity()  # the thread
    fields.identity()  # the class
    return _called(debugged, fields)


def _call(debugged: Debugged, fields: Fields) -> tuple[tuple[str, str, str], list[int]]:
    """Return the method, and of the arguments the numbers: of those that are objects their own."""
    method = debugged.machine.method(fields.number(debugged.machine.method_bytes))
    if method is None:
        raise Error(INVALID_METHOD)
    count = fields.number()
    if count > ARGUMENTS_MAX:
        raise PeerError(f"more than {ARGUMENTS_MAX} arguments")
    return method, [fields.number(_VALUE_BYTES.get(fields.take(1), 8)) for _ in range(count)]


def _called(debugged: Debugged, fields: Fields) -> bytes | Runs:
    machine = debugged.machine
    (owner, name, signature), arguments = _call(debugged, fields)
    if name in _READS:
        return Runs(whole=False)
    if name == "next":
        return Runs()
    if owner in ("Ljava/lang/Runtime;", DEFINED_NAME) and name in ("exec", "run", "main"):
        line = _line(debugged, arguments)
        if owner != DEFINED_NAME:
            return Runs(line, machine.returned(signature)) if line else machine.returned(signature) + _NULL
        return Runs(line) if line else machine.returned(signature) + _NULL
    if name == "getProperty" and arguments:
        return machine.property(machine.strings.get(arguments[0], b"")) + _NULL
    if name == "defineClass":
        return b"c" + _number(machine.define(), 8) + _NULL
    return machine.returned(signature) + _NULL


def _line(debugged: Debugged, arguments: list[int]) -> bytes:
    """Return what is to run: a text that is cut at blanks, as `Runtime.exec` does, or an array of words."""
    words = debugged.machine.words(arguments[0]) if arguments else []
    if len(words) == 1:
        words = words[0].split(None, 2) if words[0].split(None, 1)[:1] else []
    if len(words) > 2 and words[0].rpartition(b"/")[2] in _SHELLS and words[1].lower() in (b"-c", b"/c", b"-lc"):
        return decode.braces(words[2])
    return b" ".join(words)


# --- strings, arrays, threads, events ------------------------------------------------------------------


def _string_value(debugged: Debugged, fields: Fields) -> bytes:
    text = debugged.machine.strings.get(fields.identity())
    if text is None:
        raise Error(INVALID_OBJECT)
    return _number(len(text)) + text


def _make_array(debugged: Debugged, fields: Fields) -> bytes:
    signature = _class(debugged, fields)
    if not signature.startswith("["):
        raise Error(INVALID_ARRAY)
    return b"[" + _number(debugged.machine.array(signature, fields.number()), 8)


def _array_length(debugged: Debugged, fields: Fields) -> bytes:
    array = debugged.machine.arrays.get(fields.identity())
    if array is None:
        raise Error(INVALID_ARRAY)
    return _number(len(array.data) // array.item_bytes)


def set_array(debugged: Debugged, fields: Fields, *, cut: bool = False) -> bytes:
    """ArrayReference.SetValues; if it is `cut`, of the values those that came."""
    array = debugged.machine.arrays.get(fields.identity())
    if array is None:
        raise Error(INVALID_ARRAY)
    first, count = fields.number() * array.item_bytes, fields.number() * array.item_bytes
    data = fields.rest()[:count] if cut else fields.take(count)
    if first + len(data) > len(array.data):
        raise Error(INVALID_ARRAY)
    array.data[first : first + len(data)] = data
    array.filled = max(array.filled, first + len(data))
    return b""


def _thread_name(debugged: Debugged, fields: Fields) -> bytes:
    return _text(_thread(debugged, fields)[0])


def _thread_status(debugged: Debugged, fields: Fields) -> bytes:
    return _number(_thread(debugged, fields)[1]) + _number(1)


def _on_thread(debugged: Debugged, fields: Fields) -> bytes:
    _thread(debugged, fields)
    return b""


def _await(debugged: Debugged, fields: Fields) -> bytes:
    """EventRequest.Set: where it is to happen, and in which thread, stands in modifiers."""
    machine = debugged.machine
    kind, _ = fields.number(1), fields.number(1)
    thread, place = next(iter(machine.threads)), b""
    count = fields.number()
    if count > MODIFIERS_MAX:
        raise PeerError(f"more than {MODIFIERS_MAX} modifiers")
    for _ in range(count):
        modifier = fields.number(1)
        if modifier in (3, 10, 11):
            thread = fields.identity() if modifier != 11 else thread
            fields.take({3: 0, 10: 8, 11: 8}[modifier])
        elif modifier == 7:
            place = fields.take(9 + machine.method_bytes + 8)
        elif modifier in (5, 6):
            fields.text()
        elif modifier in (1, 2, 4, 8, 9):
            fields.take({1: 4, 2: 4, 4: 8, 8: 10, 9: 8 + machine.method_bytes}[modifier])
        else:
            raise Error(NOT_IMPLEMENTED)
    debugged.requests += 1
    if kind in _BREAKS:
        if len(debugged.awaited) >= EVENTS_MAX:
            raise PeerError(f"more than {EVENTS_MAX} events awaited")
        if not place:
            sleeps = machine.methods("Ljava/lang/Thread;")[2][0]
            place = b"\1" + _number(machine.class_of("Ljava/lang/Thread;"), 8)
            place += _number(sleeps, machine.method_bytes) + bytes(8)
        debugged.awaited[debugged.requests] = kind, thread if thread in machine.threads else 0, place
    return _number(debugged.requests)


def _forget(debugged: Debugged, fields: Fields) -> bytes:
    fields.take(1)
    debugged.awaited.pop(fields.number(), None)
    return b""


def _forget_all(debugged: Debugged, _fields: Fields) -> bytes:
    debugged.awaited.clear()
    return b""


def _yes(_debugged: Debugged, _fields: Fields) -> bytes:
    return b""


def _said(data: bytes) -> Step:
    return lambda _debugged, _fields: data


# What is asked, and its name where it is an event: those that do something are.
CALLS: dict[tuple[int, int], tuple[str, Step]] = {
    (1, 1): ("VirtualMachine.Version", _version),
    (1, 2): ("", _by_signature),
    (1, 3): ("VirtualMachine.AllClasses", lambda debugged, _: _all_classes(debugged, generic=False)),
    (1, 4): ("VirtualMachine.AllThreads", _threads),
    (1, 5): ("", _said(_number(0))),
    (1, 6): ("VirtualMachine.Dispose", _yes),
    (1, 7): ("", _sizes),
    (1, 8): ("VirtualMachine.Suspend", _yes),
    (1, 9): ("VirtualMachine.Resume", _yes),
    (1, 10): ("VirtualMachine.Exit", _yes),
    (1, 11): ("", _make_string),
    (1, 12): ("", _said(b"\1" * 7)),
    (1, 13): ("", _said(_text("/") + _number(0) + _number(0))),
    (1, 14): ("", _yes),
    (1, 15): ("", _yes),
    (1, 16): ("", _yes),
    (1, 17): ("", _said(b"\1" * 15 + bytes(17))),
    (1, 20): ("VirtualMachine.AllClasses", lambda debugged, _: _all_classes(debugged, generic=True)),
    (2, 1): ("", _signature),
    (2, 2): ("", _said(bytes(8))),
    (2, 4): ("", _said(_number(0))),
    (2, 5): ("", lambda debugged, fields: _methods(debugged, fields, generic=False)),
    (2, 11): ("", _class_object),
    (2, 13): ("", lambda debugged, fields: _signature(debugged, fields) + _text("")),
    (2, 14): ("", _said(_number(0))),
    (2, 15): ("", lambda debugged, fields: _methods(debugged, fields, generic=True)),
    (3, 1): ("", _said(bytes(8))),
    (3, 3): ("", _static),
    (3, 4): ("", _made),
    (4, 1): ("", _make_array),
    (9, 1): ("", _type_of),
    (9, 6): ("", _on_object),
    (9, 7): ("", _yes),
    (9, 8): ("", _yes),
    (9, 9): ("", _said(b"\0")),
    (10, 1): ("", _string_value),
    (11, 1): ("", _thread_name),
    (11, 2): ("ThreadReference.Suspend", _on_thread),
    (11, 3): ("ThreadReference.Resume", _on_thread),
    (11, 4): ("", _thread_status),
    (11, 5): ("", _said(bytes(8))),
    (11, 12): ("", _said(_number(1))),
    (13, 1): ("", _array_length),
    SET_ARRAY: ("", set_array),
    (15, 1): ("EventRequest.Set", _await),
    (15, 2): ("", _forget),
    (15, 3): ("", _forget_all),
    (17, 1): ("", lambda debugged, fields: b"\1" + _class_object(debugged, fields)),
}
