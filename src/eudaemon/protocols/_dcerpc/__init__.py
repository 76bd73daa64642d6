"""DCE/RPC as Windows speaks it (C706, MS-RPCE): over the named pipes of SMB and over TCP 135.

`association` is the conversation of PDUs, `ndr` what stubs are made of, `interfaces` the table of what can be called,
and `services` what is answered: one module a service, in a table there."""

from eudaemon.protocols._dcerpc.association import Association
from eudaemon.protocols._dcerpc.host import RpcHost

__all__ = ["Association", "RpcHost"]
