"""The facts of what a shellcode does, as values. Each has a `kind`, its own fields, and one sentence for people."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from eudaemon.world.outside import Download

WISHES_MAX = 32
TOOL = "shellcode"
_INTERPRETER = re.compile(r"(?i)^\s*(?:[a-z]:\S*\\)?cmd(?:\.exe)?\s*/[ck]\s*")


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One thing that the code does. Texts are what stood in the attacker's memory, a character a byte."""

    kind: ClassVar[str] = ""

    def __str__(self) -> str:
        return self.kind


@dataclass(frozen=True, slots=True)
class Connects(Behaviour):
    """Calls somebody: the connect-back."""

    kind: ClassVar[str] = "connects"
    host: str
    port: int
    transport: str = "tcp"

    def __str__(self) -> str:
        return f"connects to {_place(self.host, self.port)} ({self.transport})"


@dataclass(frozen=True, slots=True)
class Listens(Behaviour):
    """Opens a door of its own. `host` is the address bound, as a rule 0.0.0.0."""

    kind: ClassVar[str] = "listens"
    host: str
    port: int
    transport: str = "tcp"

    def __str__(self) -> str:
        return f"listens on {_place(self.host, self.port)} ({self.transport})"


@dataclass(frozen=True, slots=True)
class Downloads(Behaviour):
    """Fetches a URL; into the file `path`, if it is kept in one."""

    kind: ClassVar[str] = "downloads"
    url: str
    path: str = ""

    def __str__(self) -> str:
        return f"downloads {self.url}" + (f" to {self.path}" if self.path else "")


@dataclass(frozen=True, slots=True)
class Executes(Behaviour):
    """Starts a program. `over` says with what its input and output are tied: `connection` or nothing."""

    kind: ClassVar[str] = "executes"
    command: str
    over: str = ""

    @property
    def line(self) -> bytes:
        """Return the command as a shell reads it: of `cmd /c LINE` the line."""
        return _INTERPRETER.sub("", self.command).encode("latin-1", "replace")

    def __str__(self) -> str:
        return f"executes {self.command}" + (f" over the {self.over}" if self.over else "")


@dataclass(frozen=True, slots=True)
class Transfers(Behaviour):
    """Writes what the connection brings into a file."""

    kind: ClassVar[str] = "transfers"
    path: str

    def __str__(self) -> str:
        return f"receives a file and writes it to {self.path}"


@dataclass(frozen=True, slots=True)
class RunsReceived(Behaviour):
    """Runs what the connection brings: it was the first stage of two."""

    kind: ClassVar[str] = "runs-received"

    def __str__(self) -> str:
        return "receives code and runs it (a second stage)"


@dataclass(frozen=True, slots=True)
class Sends(Behaviour):
    """Sends a file, a datagram, or text over its connection. `text` is the beginning of what is sent."""

    kind: ClassVar[str] = "sends"
    text: str
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        where = f" to {_place(self.host, self.port)}" if self.host else ""
        return f"sends {self.text!r}{where}"


@dataclass(frozen=True, slots=True)
class Touches(Behaviour):
    """Does something to a file, a registry key, an account: `how` is the verb."""

    kind: ClassVar[str] = "touches"
    how: str
    path: str

    def __str__(self) -> str:
        return f"{self.how} {self.path}"


@dataclass(frozen=True, slots=True)
class Hunts(Behaviour):
    """Searches the memory for a mark before which the real code stands (an egg hunter)."""

    kind: ClassVar[str] = "hunts"

    def __str__(self) -> str:
        return "searches the memory for more code (an egg hunter)"


_LOOKS = "opens"  # what a code does to a file before it does something to it
_PATH_CHARS_MIN = 4  # of a path that was meant: shorter texts are met by chance
# What says enough of a code's purpose that no further place in the bytes need be tried.
PURPOSES = (Connects, Listens, Downloads, Executes, Transfers, RunsReceived, Sends, Hunts)


def is_understood(behaviours: Iterable[Behaviour]) -> bool:
    """Whether these say what the code is for."""
    return any(
        isinstance(behaviour, PURPOSES)
        or (
            isinstance(behaviour, Touches)
            and not behaviour.how.startswith(_LOOKS)
            and len(behaviour.path) >= _PATH_CHARS_MIN
        )
        for behaviour in behaviours
    )


def wishes(behaviours: Iterable[Behaviour]) -> Iterator[Download]:
    """Yield what a fetcher can get of that: URLs, and what would come over its connection to be run or written."""
    behaviours = tuple(behaviours)
    brings = any(isinstance(behaviour, RunsReceived | Transfers) for behaviour in behaviours)
    seen: set[str] = set()
    for behaviour in behaviours:
        if isinstance(behaviour, Downloads):
            wish = Download(behaviour.url, TOOL, behaviour.path.replace("\\", "/").rpartition("/")[2])
        elif isinstance(behaviour, Connects) and behaviour.transport == "tcp" and brings:
            wish = Download(f"tcp://{_place(behaviour.host, behaviour.port)}/", TOOL)
        elif isinstance(behaviour, Listens) and behaviour.transport == "tcp" and brings:
            wish = Download(f"creceive://{_place(behaviour.host, behaviour.port)}/", TOOL)
        else:
            continue
        if wish.url not in seen and len(seen) < WISHES_MAX:
            seen.add(wish.url)
            yield wish


def as_json(behaviour: Behaviour) -> dict[str, Any]:
    """Return a behaviour as an object for machines."""
    return {"kind": behaviour.kind, **asdict(behaviour), "says": str(behaviour)}


def _place(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
