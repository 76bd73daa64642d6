"""The server's machine as a database reaches it: a container of its own, with files and a shell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from eudaemon.protocols._base import Keep, Visit
from eudaemon.protocols._shell import Captured, left_in
from eudaemon.world.container import Container
from eudaemon.world.files import FileError, Files, Fixed, Written


class Machine:
    """One session's view of it. `places` are the server's own directories, `starts_in` is where commands begin."""

    __slots__ = ("files", "inside", "starts_in")

    def __init__(self, visit: Visit, host: Container, places: tuple[bytes, ...], at_s: float) -> None:
        self.inside = replace(visit, host=host)
        self.files = Files(host.tree, host.writable, visit.purse)
        self.starts_in = places[0]
        for place in places:
            for end in range(1, len(place) + 1):
                if place[end : end + 1] in (b"/", b"") and self.files.find(place[:end]) is None:
                    self._make(place[:end], at_s)

    def shell(self) -> Captured:
        """Return the shell that the server's commands run in."""
        return Captured(self.inside, self.files, self.starts_in)

    def read(self, path: bytes, at_s: float) -> bytes | None:
        """Return a file's content, None if there is none."""
        node = self.files.find(path, self.starts_in)
        if isinstance(node, Written):
            return bytes(node.data)
        if isinstance(node, Fixed):
            return node.content if isinstance(node.content, bytes) else node.content(at_s)
        return None

    def write(self, path: bytes, data: bytes, at_s: float) -> str:
        """Put a file, which the room keeps itself; return what the system says against it, empty if nothing."""
        try:
            resolved = self.files.resolve(path, self.starts_in)
            file = self.files.create(resolved, at_s, 0o644)
            self.files.truncate(file)
            self.files.append(file, data, at_s)
        except FileError as error:
            return str(error)
        file.kept = True
        return ""

    def left(self) -> Iterator[Keep]:
        """Yield what commands wrote and nobody kept. Call it when the session is over."""
        yield from left_in(self.files, self.inside)

    def _make(self, path: bytes, at_s: float) -> None:
        try:
            self.files.make_directory(path, at_s)
        except FileError:
            return  # no room for it: then it is not there
