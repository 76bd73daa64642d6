"""Which shells a shellcode would open for whoever sent it, by what it shows or does: at a port, by a call, or here.

    Listens  --> bind      the attacker comes to the port
    Connects --> connect   the code calls the attacker
    Executes, over the connection, and neither of these --> here

A code for a second stage looks the same from outside, and does the same first: who waits for it sends the stage, and
that is kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from eudaemon.payload.shellcode.behaviour import Behaviour, Connects, Executes, Listens

SHELLS_MAX = 4  # of one payload
BIND, CONNECT, HERE = "bind", "connect", "here"
_ROOMS = {"windows": "cmd", "linux": "sh"}


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
        return _ROOMS[self.system]

    def as_json(self) -> dict[str, Any]:
        """Return it as an object for machines. `from_json` reads it."""
        return asdict(self)

    @classmethod
    def from_json(cls, found: Any) -> Shell:
        """Return the shell that `as_json` gave. Raises `ValueError` for what is none."""
        try:
            shell = cls(found["way"], found["system"], found["host"], found["port"])
            is_one = shell.way in (BIND, CONNECT, HERE) and shell.system in _ROOMS and isinstance(shell.host, str)
        except (KeyError, TypeError):
            raise ValueError("no shell of a shellcode") from None
        if not is_one or type(shell.port) is not int or not 0 <= shell.port < 1 << 16:
            raise ValueError("no shell of a shellcode")
        return shell


def shells(found: Iterable[tuple[Behaviour, str]]) -> tuple[Shell, ...]:
    """Return the shells of behaviours and their systems, at most `SHELLS_MAX`; none whose system is not known."""
    away: dict[Shell, None] = {}
    here: dict[Shell, None] = {}
    for behaviour, system in found:
        if system not in _ROOMS:
            continue
        match behaviour:
            case Listens(host, port, "tcp"):
                away[Shell(BIND, system, host, port)] = None
            case Connects(host, port, "tcp"):
                away[Shell(CONNECT, system, host, port)] = None
            case Executes(_, "connection"):
                here[Shell(HERE, system)] = None
            case _:
                continue
    return tuple(away or here)[:SHELLS_MAX]
