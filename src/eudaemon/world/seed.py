"""Everything that must differ between installations, and stay the same within one, is drawn from the sensor's seed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Seed:
    """Draws that depend on nothing but the seed and the purpose, so that a restart changes nothing.

    `Seed(b"...").number("telnet.hostname", 10_000)` is in 0 ≤ n < 10,000. Different purposes are independent.
    """

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    def bytes(self, purpose: str, count: int) -> bytes:
        """Return `count` bytes for the purpose."""
        return hashlib.shake_256(len(self._key).to_bytes(2, "big") + self._key + purpose.encode()).digest(count)

    def number(self, purpose: str, below: int) -> int:
        """Return a number from 0 up to, but not including, `below`."""
        return int.from_bytes(self.bytes(purpose, 16), "big") % below

    def choice(self, purpose: str, options: Sequence[T]) -> T:
        """Return one of the options."""
        return options[self.number(purpose, len(options))]

    def child(self, purpose: str) -> Seed:
        """Return an independent seed, for one session or one part."""
        return Seed(self.bytes(purpose, 32))
