"""To whom: each peer knows how to hand over items and how to read the answer. Blocking, each in a thread of its own."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol, runtime_checkable

from eudaemon.events import Fact
from eudaemon.farm.outputs.batch import Item

TIMEOUT_S = 10.0  # for a connection, and for each answer
ANSWER_CHARS_MAX = 200


class LaterError(Exception):
    """The peer does not take it now. The message says why; `after_s` is for how long it wants to be left alone."""

    def __init__(self, why: str, after_s: float | None = None) -> None:
        super().__init__(why)
        self.after_s = after_s


class RefusedError(Exception):
    """The peer will never take this. The message is its reason; `items` is how many it refused, if it took others."""

    def __init__(self, why: str, items: int | None = None) -> None:
        super().__init__(why)
        self.items = items


class TooLargeError(RefusedError):
    """The peer will never take so much at once; parts of it perhaps."""


class Peer(Protocol):
    """Whom an output tells."""

    items_max: int  # of one `send`
    pause_s: float  # between two

    def fits(self, item: Item) -> bool:
        """Say whether an item is small enough for this peer."""

    def send(self, items: Sequence[Item]) -> str:
        """Hand over items; return what the peer said. Raises `LaterError`, `RefusedError`: then none was taken.

        Save that a `RefusedError` may say how many of them were not.
        """

    def close(self) -> None:
        """Hang up; what another thread is waiting for here ends with `LaterError`."""


@runtime_checkable
class Teacher(Protocol):
    """A peer that is asked something, and whose answers the farm states."""

    def learnt(self) -> Sequence[Fact]:
        """Return what the last `send` taught, once."""


def without(text: str, secrets: Collection[str]) -> str:
    """Return a text without the secrets in it: a peer that tells us what we sent must not have it logged."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "…")
    return text


def clipped_answer(text: str) -> str:
    """Return a peer's answer for the log: one line, shortened, printable."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= ANSWER_CHARS_MAX else line[:ANSWER_CHARS_MAX] + "…"
