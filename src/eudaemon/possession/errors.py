"""What can go wrong, by whose hands the way out lies in: refused, gone, or failed and undone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager


class PossessionError(Exception):
    """Why a process could not be possessed or released, and what to do about it."""

    def __init__(self, reason: str, do: str = "") -> None:
        super().__init__(f"{reason}; {do}" if do else reason)
        self.reason = reason
        self.do = do


class Refused(PossessionError):  # noqa: N818  # a verdict, not a fault of ours
    """This process cannot be possessed. Nothing of it was changed."""


class Busy(Refused):
    """A thread cannot be stopped just now: its child has to go first, or a disk has to answer. Nothing was changed."""


class Vanished(PossessionError):  # noqa: N818
    """The process, or the thread that was needed, ended meanwhile."""


class Replaced(Vanished):
    """The process has executed another program meanwhile: nothing is left there of what we did, or were about to do."""


class Undone(PossessionError):  # noqa: N818
    """A step failed; all that had been borrowed was given back, and the process runs natively."""


class OperationFailed(PossessionError):  # noqa: N818
    """The kernel refused one operation on a tracee. `errno` is its reason."""

    def __init__(self, operation: str, tid: int, errno: int, text: str) -> None:
        super().__init__(f"{operation} of thread {tid}: {text}")
        self.operation = operation
        self.tid = tid
        self.errno = errno


@contextmanager
def undoing(undo: Callable[[], None]) -> Iterator[None]:
    """If what is done within fails, undo it."""
    with ExitStack() as stack:
        stack.callback(undo)
        yield
        stack.pop_all()
