"""The service control manager (MS-SCMR): a service that is started is a command that somebody wants run."""

from __future__ import annotations

from collections.abc import Callable, Generator

from eudaemon.events.catalogue import CommandEntered
from eudaemon.protocols._base import Order, Saw
from eudaemon.protocols._dcerpc.host import COMMAND_CHARS_MAX, NOT_ENOUGH_MEMORY, Handler, RpcHost, shown
from eudaemon.protocols._dcerpc.ndr import Reader, Writer
from eudaemon.wire import clipped
from eudaemon.world.personas import words

SERVICES_MAX = 64  # that one client makes
_DONE, _DENIED, _TIMED_OUT, _NO_SUCH, _EXISTS = 0, 5, 1053, 1060, 1073  # MS-ERREF 2.2
_STOPPED, _RUNNING = 1, 4
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
        if name.lower() not in host.services and name.lower() not in _ITS_OWN:
            return bytes(20) + Writer().long(_NO_SUCH).data
        return host.open("service", name) + Writer().long(_DONE).data

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
        if name.lower() in host.services or name.lower() in _ITS_OWN:
            return Writer().long(0).put(bytes(20)).long(_EXISTS).data
        if len(host.services) >= SERVICES_MAX:
            return Writer().long(0).put(bytes(20)).long(NOT_ENOUGH_MEMORY).data
        host.services[name.lower()] = clipped(path, COMMAND_CHARS_MAX)
        return Writer().long(0).put(host.open("service", name)).long(_DONE).data

    return create


def _change(host: RpcHost, read: Reader, at_s: float) -> Generator[Order, None, bytes]:  # noqa: ARG001
    name = host.get(read.handle(), "service").name
    for _ in range(3):
        read.long()
    path = read.maybe_wide()
    if path and len(host.services) < SERVICES_MAX:
        yield Saw(CommandEntered(shown(f"sc config {name} binPath= {path}")))
        host.services[name.lower()] = clipped(path, COMMAND_CHARS_MAX)
    return Writer().long(0, _DONE).data


def _start(host: RpcHost, read: Reader, at_s: float) -> Generator[Order, None, bytes]:
    name = host.get(read.handle(), "service").name.lower()
    path = host.services.get(name, "")
    if path:
        yield from host.run(path, at_s)
    # A shell never tells the manager that it has started: the manager gives up after half a minute.
    is_shell = path.lower().lstrip('"').rpartition("\\")[2].startswith(_SHELLS) or path.lower().startswith(_SHELLS)
    return Writer().long(_TIMED_OUT if is_shell else _DONE).data


def _delete(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    host.services.pop(host.get(read.handle(), "service").name.lower(), None)
    return Writer().long(_DONE).data


def _status(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    name = host.get(read.handle(), "service").name.lower()
    state = _STOPPED if name in host.services else _RUNNING
    return Writer().long(0x10, state, 1 if state == _RUNNING else 0, 0, 0, 0, 0, _DONE).data


def _control(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    host.get(read.handle(), "service")
    return Writer().long(0x10, _STOPPED, 0, 0, 0, 0, 0, _DONE).data


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
    "ControlService": _control,
}
