"""What is answered: the operations that scanners and worms need an answer of, by interface and name.

A handler takes the client's state, the stub and the time, and gives the answer's stub, at once or after having said
what it saw. Whatever has no handler is refused as access denied.
"""

from __future__ import annotations

from eudaemon.protocols._dcerpc.host import Handler
from eudaemon.protocols._dcerpc.services import (
    accounts,
    mapper,
    policy,
    registry,
    scheduler,
    server,
    service_control,
    spooler,
)

HANDLERS: dict[str, dict[str, Handler]] = {
    "samr": accounts.HANDLERS,
    "lsarpc": policy.HANDLERS,
    "epm": mapper.HANDLERS,
    "IObjectExporter": mapper.HANDLERS,
    "svcctl": service_control.HANDLERS,
    "srvsvc": server.HANDLERS,
    "wkssvc": server.HANDLERS,
    "spoolss": spooler.HANDLERS,
    "IRemoteWinspool": spooler.HANDLERS,
    "winreg": registry.HANDLERS,
    "atsvc": scheduler.HANDLERS,
    "ITaskSchedulerService": scheduler.HANDLERS,
}


def handler_of(interface: str, operation: str) -> Handler | None:
    """Return what answers this operation of this interface, None if nothing does."""
    return HANDLERS.get(interface, {}).get(operation)
