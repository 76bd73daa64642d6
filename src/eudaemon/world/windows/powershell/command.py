"""How PowerShell is called: `powershell [-options] [-EncodedCommand …] [-Command] text`."""

from __future__ import annotations

from eudaemon.world.windows.call import Call, Run


def powershell(call: Call) -> Run:
    """Run what stands on the line, or is piped in."""
    yield from ()
    call.line("Windows PowerShell")
    return 0
