"""Which shells a shellcode would open for whoever sent it, by what its signatures show: at a port, by a call, or here.

    Listens  --> bind      the attacker comes to the port
    Connects --> connect   the code calls the attacker
    Executes, over the connection --> here

A code for a second stage looks the same from outside, and does the same first: who waits for it sends the stage, and
that is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from eudaemon.payload.shellcode.behaviour import Connects, Executes, Listens
from eudaemon.payload.shellcode.signatures import Signature

SHELLS_MAX = 4  # of one payload
BIND, CONNECT, HERE = "bind", "connect", "here"


@dataclass(frozen=True, slots=True)
class Shell:
    """One shell. `host` and `port` are empty for one `here`; `system` is `windows` or `linux`."""

    way: str
    system: str
    host: str = ""
    port: int = 0

    @property
    def room(self) -> str:
        """The room that is this shell."""
        return {"windows": "cmd", "linux": "sh"}[self.system]


def shells(found: Iterable[Signature]) -> Iterator[Shell]:
    """Yield the shells of these signatures, each once, at most `SHELLS_MAX`."""
    seen: set[Shell] = set()
    for signature in found:
        match signature.behaviour:
            case Listens(host, port, "tcp"):
                shell = Shell(BIND, signature.system, host, port)
            case Connects(host, port, "tcp"):
                shell = Shell(CONNECT, signature.system, host, port)
            case Executes(_, "connection"):
                shell = Shell(HERE, signature.system)
            case _:
                continue
        if shell.system and shell not in seen and len(seen) < SHELLS_MAX:
            seen.add(shell)
            yield shell
