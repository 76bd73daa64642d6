"""The service control manager (MS-SCMR): a service that is started is a command that somebody wants run."""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator

from eudaemon.events.catalogue import CommandEntered
from eudaemon.protocols._base import Order, Saw
from eudaemon.protocols._dcerpc.host import COMMAND_CHARS_MAX, NOT_ENOUGH_MEMORY, Handler, RpcHost, shown
from eudaemon.protocols._dcerpc.ndr import Reader, Writer
from eudaemon.wire import clipped
from eudaemon.world.personas import words
from eudaemon.world.windows.machine import SERVICES
from eudaemon.world.windows.registry import path_of, start_of

SERVICES_MAX = 64  # that one client makes
_DONE, _DENIED, _TOO_SMALL, _TIMED_OUT, _RUNS, _NO_SUCH, _NOT_ACTIVE, _EXISTS = 0, 5, 122, 1053, 1056, 1060, 1062, 1073
_STOPPED, _RUNNING = 1, 4
_STOP = 1  # what a service can be told
_OWN_PROCESS, _ON_DEMAND, _NORMAL = 0x10, 3, 1
_ACTIVE, _INACTIVE, _MORE = 1, 2, 234
LISTED_BYTES_MAX = 64 * 1024  # of one answer, whatever room there is for it
# Of what a Windows has, that which attackers ask for.
_ITS_OWN = frozenset(
    words(
        "spooler remoteregistry wuauserv windefend mpssvc schedule eventlog lanmanserver lanmanworkstation bits "
        "termservice winmgmt themes browser dnscache msiexec trustedinstaller sharedaccess wscsvc"
    )
)
_SHELLS = ("cmd", "powershell", "%comspec%", "mshta", "rundll32", "regsvr32", "wscript", "cscript")
Text = Callable[[Reader], str]


def _open_manager(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    if not host.identity.administers:
        return bytes(20) + Writer().long(_DENIED).data
    return host.open("manager") + Writer().long(_DONE).data


def _close(host: RpcHost, read: Reader, at_s: float) -> Generator[Order, None, bytes]:  # noqa: ARG001
    yield from host.close(read.handle())
    return bytes(20) + Writer().long(_DONE).data


def _opener(text: Text) -> Handler:
    def open_service(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
        host.get(read.handle(), "manager")
        name = text(read)
        own = host.has_service(name)
        if name.lower() not in host.services and own is None and name.lower() not in _ITS_OWN:
            return bytes(20) + Writer().long(_NO_SUCH).data
        return host.open("service", own or name) + Writer().long(_DONE).data

    return open_service


def _creator(text: Text, maybe: Text) -> Handler:
    def create(host: RpcHost, read: Reader, at_s: float) -> Generator[Order, None, bytes]:  # noqa: ARG001
        host.get(read.handle(), "manager")
        name = text(read)
        maybe(read)  # the name that is shown
        for _ in range(4):  # rights, kind, when it is started, what happens if it cannot be
            read.long()
        path = text(read)
        yield Saw(CommandEntered(shown(f"sc create {name} binPath= {path}")))
        if name.lower() in host.services or name.lower() in _ITS_OWN or host.has_service(name):
            return Writer().long(0).put(bytes(20)).long(_EXISTS).data
        if len(host.services) >= SERVICES_MAX:
            return Writer().long(0).put(bytes(20)).long(NOT_ENOUGH_MEMORY).data
        host.make_service(name, clipped(path, COMMAND_CHARS_MAX))
        return Writer().long(0).put(host.open("service", name)).long(_DONE).data

    return create


def _change(host: RpcHost, read: Reader, at_s: float) -> Generator[Order, None, bytes]:  # noqa: ARG001
    name = host.get(read.handle(), "service").name
    for _ in range(3):
        read.long()
    path = read.maybe_wide()
    if path and len(host.services) < SERVICES_MAX:
        yield Saw(CommandEntered(shown(f"sc config {name} binPath= {path}")))
        host.make_service(name, clipped(path, COMMAND_CHARS_MAX))
    return Writer().long(0, _DONE).data


def _start(host: RpcHost, read: Reader, at_s: float) -> Generator[Order, None, bytes]:
    name = host.get(read.handle(), "service").name
    made = host.services.get(name.lower())
    path = made.path if made is not None else ""
    if not path and (own := host.has_service(name)):
        runs, host.switched[own] = host.is_running(own), True
        return Writer().long(_RUNS if runs else _DONE).data
    if path:
        yield from host.run(path, at_s)
    # A shell never tells the manager that it has started: the manager gives up after half a minute.
    is_shell = path.lower().lstrip('"').rpartition("\\")[2].startswith(_SHELLS) or path.lower().startswith(_SHELLS)
    return Writer().long(_TIMED_OUT if is_shell else _DONE).data


def _delete(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    host.drop_service(host.get(read.handle(), "service").name)
    return Writer().long(_DONE).data


def _state(host: RpcHost, name: str) -> int:
    own = host.has_service(name)
    if name.lower() in host.services:
        return _STOPPED
    return _RUNNING if own is None or host.is_running(own) else _STOPPED


def _told(state: int, code: int = _DONE) -> bytes:
    return Writer().long(_OWN_PROCESS, state, 1 if state == _RUNNING else 0, 0, 0, 0, 0, code).data


def _status(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    return _told(_state(host, host.get(read.handle(), "service").name))


def _control(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    name = host.get(read.handle(), "service").name
    own = host.has_service(name)
    if own is None or read.long() != _STOP:
        return _told(_STOPPED if own is None else _state(host, name))
    runs, host.switched[own] = host.is_running(own), False
    return _told(_STOPPED if runs else 0, _DONE if runs else _NOT_ACTIVE)


def _all(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    """All services: their rows, with offsets of the names behind them."""
    host.get(read.handle(), "manager")
    _, wanted, room = read.long(), read.long(), read.long()
    found = [(name, title, _state(host, name)) for name, title in sorted(SERVICES.items())]
    found += [(one.name, one.name, _STOPPED) for one in host.services.values() if not host.has_service(one.name)]
    found = [row for row in found if wanted & (_INACTIVE if row[2] == _STOPPED else _ACTIVE)]
    rows, texts, at = b"", b"", 36 * len(found)
    for name, title, state in found:
        first, second = (f"{text}\0".encode("utf-16-le", "replace") for text in (name, title))
        places = (at + len(texts), at + len(texts) + len(first))
        accepted = 1 if state == _RUNNING else 0
        rows += struct.pack("<9I", *places, _OWN_PROCESS, state, accepted, 0, 0, 0, 0)
        texts += first + second
    whole = rows + texts
    fits = len(whole) <= room
    told = (whole if fits else b"").ljust(min(room, LISTED_BYTES_MAX), b"\0")
    write = Writer().long(len(told)).put(told).align().long(len(whole), len(found) if fits else 0)
    return write.pointer(is_there=False).long(_DONE if fits else _MORE).data


def _configuration(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    name = host.get(read.handle(), "service").name
    own = host.has_service(name)
    path, start = (path_of(own), start_of(host.windows.machine, own)) if own else ("", _ON_DEMAND)
    made = host.services.get(name.lower())
    path = made.path if made is not None else path
    texts = (path, "", "", "LocalSystem", SERVICES[own] if own else name)
    needed = 36 + sum(2 * len(text) + 2 for text in texts)
    write = Writer()
    if read.long() < needed:
        return write.long(*(0,) * 9, needed, _TOO_SMALL).data
    write.long(_OWN_PROCESS, start, _NORMAL).text(texts[0]).text(texts[1]).long(0)
    return write.text(texts[2]).text(texts[3]).text(texts[4]).deferred().long(needed, _DONE).data


_wide, _maybe_wide, _narrow, _maybe_narrow = Reader.wide, Reader.maybe_wide, Reader.narrow, Reader.maybe_narrow
HANDLERS: dict[str, Handler] = {
    "OpenSCManagerW": _open_manager,
    "OpenSCManagerA": _open_manager,
    "CloseServiceHandle": _close,
    "OpenServiceW": _opener(_wide),
    "OpenServiceA": _opener(_narrow),
    "CreateServiceW": _creator(_wide, _maybe_wide),
    "CreateServiceA": _creator(_narrow, _maybe_narrow),
    "CreateServiceWOW64W": _creator(_wide, _maybe_wide),
    "CreateServiceWOW64A": _creator(_narrow, _maybe_narrow),
    "ChangeServiceConfigW": _change,
    "StartServiceW": _start,
    "StartServiceA": _start,
    "DeleteService": _delete,
    "QueryServiceStatus": _status,
    "QueryServiceConfigW": _configuration,
    "EnumServicesStatusW": _all,
    "ControlService": _control,
}
