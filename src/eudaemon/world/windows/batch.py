"""A batch file that is being read: its lines, its labels, its arguments, and the jumps in it."""

from __future__ import annotations

from eudaemon.world.shell.limits import SCRIPT_BYTES_MAX


class Goto(Exception):  # noqa: N818 - a jump, no error
    """`goto label`, in small letters and without its colon."""

    def __init__(self, label: str) -> None:
        super().__init__()
        self.label = label


class Leave(Exception):  # noqa: N818
    """`exit /b`: the batch file, or what `call :label` called, is over."""


class Exit(Exception):  # noqa: N818
    """`exit`: this cmd.exe is over."""


class Batch:
    """`arguments` begin with the name by which it was called; `at` is the next line."""

    __slots__ = ("_labels", "arguments", "at", "lines", "path")

    def __init__(self, lines: list[str], arguments: tuple[str, ...], path: str) -> None:
        self.lines = lines
        self.arguments = arguments
        self.path = path
        self.at = 0
        self._labels: dict[str, int] | None = None

    @classmethod
    def read(cls, data: bytes, arguments: tuple[str, ...], path: str) -> Batch:
        """Return the batch file that these bytes are; what stands behind a Ctrl-Z is none of it."""
        text = data[:SCRIPT_BYTES_MAX].partition(b"\x1a")[0].removeprefix(b"\xef\xbb\xbf").decode("latin-1")
        return cls(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), arguments, path)

    def called(self, label: str, arguments: tuple[str, ...]) -> Batch | None:
        """Return what `call :label` reads, None if there is no such label."""
        at = self.line_of(label)
        if at is None:
            return None
        below = Batch(self.lines, arguments, self.path)
        below.at, below._labels = at, self._labels
        return below

    def line_of(self, label: str) -> int | None:
        """Return the line behind a label."""
        if self._labels is None:
            self._labels = {}
            for number, line in enumerate(self.lines):
                text = line.lstrip(" \t,;=")
                if text.startswith(":") and not text.startswith("::"):
                    words = text[1:].replace(":", " ").split(None, 1)
                    self._labels.setdefault(words[0].lower() if words else "", number + 1)
        return self._labels.get(label)

    def next_line(self) -> str | None:
        """Return the next line, None at the end."""
        if self.at >= len(self.lines):
            return None
        self.at += 1
        return self.lines[self.at - 1]
