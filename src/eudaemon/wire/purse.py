"""A budget in bytes that many hold a part of."""

from __future__ import annotations

LITTLE = 16  # who holds no more than this part of a parent's purse holds little


class Purse:
    """What may be taken in all: `bytes_max`. Whoever takes returns, whatever happens.

    A purse may have a parent: taking takes from both, so that a session has its share and all sessions together have
    theirs. Half of a parent's is for those who hold little, so that a few who hold much cannot stop all others.
    """

    __slots__ = ("_parent", "bytes_max", "bytes_taken")

    def __init__(self, bytes_max: int, parent: Purse | None = None) -> None:
        self.bytes_max = bytes_max
        self.bytes_taken = 0
        self._parent = parent

    def take(self, count: int) -> bool:
        """Take `count` bytes. False, and nothing taken, if they are not there."""
        if self.bytes_taken + count > self.bytes_max:
            return False
        parent = self._parent
        if parent is not None:
            holds_little = self.bytes_taken + count <= parent.bytes_max // LITTLE
            if not holds_little and parent.bytes_taken + count > parent.bytes_max // 2:
                return False
            if not parent.take(count):
                return False
        self.bytes_taken += count
        return True

    def give_back(self, count: int) -> None:
        """Return `count` bytes that were taken."""
        if count > self.bytes_taken:
            raise ValueError(f"{count} bytes returned, {self.bytes_taken} taken")
        self.bytes_taken -= count
        if self._parent is not None:
            self._parent.give_back(count)

    def close(self) -> None:
        """Return all that is still taken."""
        self.give_back(self.bytes_taken)
