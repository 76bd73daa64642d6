"""The task schedulers (MS-TSCH), the old and the new: what is to be run at some time is taken as to be run now."""

from __future__ import annotations

import re
from collections.abc import Generator
from datetime import UTC, datetime

from eudaemon.protocols._base import Order
from eudaemon.protocols._dcerpc.host import ACCESS_DENIED, COMMAND_CHARS_MAX, Handler, RpcFault, RpcHost
from eudaemon.protocols._dcerpc.ndr import Reader, Writer
from eudaemon.wire import clipped

COMMANDS_MAX = 16  # of one task
_COMMAND = re.compile(r"<Command>(.*?)</Command>(?:\s*<Arguments>(.*?)</Arguments>)?", re.DOTALL)
_ENTITIES = (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&apos;", "'"), ("&amp;", "&"))


def _add(host: RpcHost, read: Reader, at_s: float) -> Generator[Order, None, bytes]:
    _may(host)
    read.maybe_wide()
    for _ in range(3):  # when, on which days of the month, of the week with flags
        read.long()
    command = read.maybe_wide()
    yield from host.run(clipped(command, COMMAND_CHARS_MAX), at_s)
    return Writer().long(1 + host.visit.seed.number("job", 40), 0).data


def _version(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    return Writer().long(0x0001_0003, 0).data


def _register(host: RpcHost, read: Reader, at_s: float) -> Generator[Order, None, bytes]:
    _may(host)
    path, task = read.maybe_wide(), read.wide()
    for found, _ in zip(_COMMAND.finditer(task), range(COMMANDS_MAX), strict=False):
        command = " ".join(filter(None, found.groups()))
        for entity, meant in _ENTITIES:
            command = command.replace(entity, meant)
        yield from host.run(clipped(command, COMMAND_CHARS_MAX), at_s)
    return Writer().pointer().wide(path).pointer(is_there=False).long(0).data


def _run(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    return Writer().put(host.visit.seed.bytes("task run", 16)).long(0).data


def _last_run(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    now = datetime.fromtimestamp(at_s, UTC)
    write = Writer().short(now.year, now.month, now.isoweekday() % 7, now.day, now.hour, now.minute, now.second, 0)
    return write.long(0, 0).data


def _delete(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    return Writer().long(0).data


def _may(host: RpcHost) -> None:
    if not host.identity.administers:
        raise RpcFault(ACCESS_DENIED)


HANDLERS: dict[str, Handler] = {
    "NetrJobAdd": _add,
    "SchRpcHighestVersion": _version,
    "SchRpcRegisterTask": _register,
    "SchRpcRun": _run,
    "SchRpcDelete": _delete,
    "SchRpcGetLastRunInfo": _last_run,
}
