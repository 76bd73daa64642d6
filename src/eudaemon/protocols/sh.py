"""A /bin/sh that stands open at a port, as shellcodes for Linux leave it, and back doors at 1524 (ingreslock).

Its input is no terminal: it shows no prompt and repeats nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from eudaemon.protocols._base import Order, Visit
from eudaemon.protocols._open_shell import OpenShell
from eudaemon.protocols._services import Lines, Service
from eudaemon.protocols._shell import left_in
from eudaemon.world.files import Files


class Sh(OpenShell):
    """One connection."""

    name: ClassVar[str] = "sh"

    __slots__ = ("_files",)
    _service: Lines

    def __init__(self, visit: Visit) -> None:
        self._files: Files = Files(visit.host.tree, visit.host.writable, visit.purse)
        super().__init__(visit)

    def service(self) -> Service:
        """See `OpenShell`."""
        return Lines(self.visit, self._files)

    def left(self) -> Iterator[Order]:
        """See `OpenShell`."""
        yield from self._service.broken_off()
        yield from left_in(self._files, self.visit)
