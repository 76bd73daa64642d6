"""What is answered: the operations that scanners and worms need an answer of, by interface and name.

A handler takes the client's state, the stub and the time, and gives the answer's stub, at once or after having said
what it saw. Whatever has no handler is refused as access denied; a row of `HANDLERS` is a module that is loaded when
it is needed."""

from __future__ import annotations

from collections.abc import Callable, Generator
from importlib import import_module
from typing import TypeAlias

from eudaemon.protocols._base import Order
from eudaemon.protocols._dcerpc.host import RpcHost
from eudaemon.protocols._dcerpc.ndr import Reader

Handler: TypeAlias = Callable[[RpcHost, Reader, float], bytes | Generator[Order, None, bytes]]

MODULES = {
    "epm": "mapper",
    "IObjectExporter": "mapper",
    "svcctl": "service_control",
    "srvsvc": "server",
    "wkssvc": "server",
    "spoolss": "spooler",
    "IRemoteWinspool": "spooler",
    "atsvc": "scheduler",
    "ITaskSchedulerService": "scheduler",
}


def handler_of(interface: str, operation: str) -> Handler | None:
    """Return what answers this operation of this interface, None if nothing does."""
    module = MODULES.get(interface)
    if module is None or not operation:
        return None
    handlers: dict[str, Handler] = import_module(f"{__name__}.{module}").HANDLERS
    return handlers.get(operation)
