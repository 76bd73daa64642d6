"""What one address has made: images it pulled, containers and executions. Remembered from one connection to the next,
for the clients that open a new one for each request.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from eudaemon.world.memory import Memory

CONTAINERS_MAX = 12  # of one address; the oldest is forgotten
EXECUTIONS_MAX = 12
IMAGES_MAX = 32
FILES_MAX = 8  # that were copied into one container
HEAD_BYTES = 256  # of each of them
WORDS_MAX = 64  # of one command
WORD_CHARS_MAX = 24 * 1024
OUTPUT_CHARS_MAX = 1024  # what is remembered of what a container printed
_COMMAND_CHARS_MAX = 28 * 1024  # what is remembered of a command: two of them fit into what is of an address
_SERVICE = "docker"
SHELLS = frozenset(("sh", "bash", "ash", "/bin/sh", "/bin/bash", "/bin/ash"))


@dataclass(slots=True)
class Brought:
    """A file that was copied into a container; `head` is how it begins, bytes one to one."""

    path: str
    mode: int
    size: int
    head: str


@dataclass(slots=True)
class Made:
    """One container. `words` is the command line that it runs; `output` what that printed, bytes one to one."""

    id: str
    name: str
    image: str
    words: list[str]
    created_s: int
    tty: bool = False
    stdin: bool = False
    privileged: bool = False
    binds: list[str] = field(default_factory=list)
    directory: str = ""
    output: str = ""
    status: int = 0
    attached: bool = False  # whether somebody is at its shell
    files: list[Brought] = field(default_factory=list)

    def bring(self, file: Brought) -> None:
        """Remember a file; the oldest makes room."""
        self.files = [*self.files, file][-FILES_MAX:]


@dataclass(slots=True)
class Execution:
    """One command that is to be run in a container."""

    id: str
    container: str
    words: list[str]
    tty: bool = False
    stdin: bool = False
    status: int = 0


@dataclass(slots=True)
class Shelf:
    """All that an address has made, newest last."""

    containers: list[Made] = field(default_factory=list)
    executions: list[Execution] = field(default_factory=list)
    images: list[str] = field(default_factory=list)

    def container(self, name: str) -> Made | None:
        """Return the container of that id (or its beginning) or name."""
        wanted = name.lstrip("/")
        return next((made for made in reversed(self.containers)
                     if made.name == wanted or (len(wanted) >= 2 and made.id.startswith(wanted))), None)  # fmt: skip

    def execution(self, name: str) -> Execution | None:
        """Return the execution of that id."""
        return next((one for one in self.executions if one.id == name), None)

    def add(self, made: Made | Execution | str) -> None:
        """Put something on the shelf; the oldest makes room."""
        if isinstance(made, Made):
            self.containers = [*self.containers, made][-CONTAINERS_MAX:]
        elif isinstance(made, Execution):
            self.executions = [*self.executions, made][-EXECUTIONS_MAX:]
        elif made not in self.images:
            self.images = [*self.images, made][-IMAGES_MAX:]

    def keep(self, memory: Memory, address: str) -> None:
        """Let it be remembered, as much of it as may be: of what takes the most room the older half is forgotten."""
        small = asdict(self)
        for made in (*small["containers"], *small["executions"]):
            made["words"] = _clipped(made["words"])
        small |= {kind: _newest(small[kind]) for kind in ("containers", "executions")}
        while not memory.remember(_SERVICE, address, json.dumps(small).encode()):
            largest = max(small.values(), key=lambda rows: len(json.dumps(rows)))
            del largest[: max(1, len(largest) // 2)]

    @classmethod
    def of(cls, memory: Memory, address: str) -> Shelf:
        """Return what is remembered."""
        found: dict[str, Any] = json.loads(memory.recall(_SERVICE, address) or b"{}")
        for made in found.get("containers", []):
            made["files"] = [Brought(**file) for file in made["files"]]
        return cls([Made(**made) for made in found.get("containers", [])],
                   [Execution(**one) for one in found.get("executions", [])], found.get("images", []))  # fmt: skip


def words_of(value: Any) -> list[str]:
    """Return a command as the API takes it: a list of words, or a text for the shell."""
    if isinstance(value, str) and value:
        return ["/bin/sh", "-c", value[:WORD_CHARS_MAX]]
    if isinstance(value, list):
        return [word[:WORD_CHARS_MAX] for word in value[:WORDS_MAX] if isinstance(word, str)]
    return []


def _newest(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the newest, whose commands together are no longer than one may be."""
    room, kept = _COMMAND_CHARS_MAX, []
    for row in reversed(rows):
        room -= sum(map(len, row["words"]))
        if room < 0:
            break
        kept.append(row)
    return kept[::-1]


def _clipped(words: list[str]) -> list[str]:
    room, kept = _COMMAND_CHARS_MAX, []
    for word in words:
        kept.append(word[:room])
        room = max(0, room - len(word))
    return kept
