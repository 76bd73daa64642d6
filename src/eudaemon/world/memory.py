"""What services remember of an address from one session to the next: containers that were made, for one.

A room is a function of what it is told; this is told to it as well. Everything has a limit: what an address left
longest ago is forgotten first, and a restart forgets all.
"""

from __future__ import annotations

from collections import OrderedDict

from eudaemon.world.left import Left

BYTES_MAX = 2 * 1024 * 1024  # of all addresses together
ENTRY_BYTES_MAX = 64 * 1024  # of one service and one address
_ENTRY_BYTES = 256  # what an entry costs besides


class Memory:
    """Bytes by service and address; `left` is what addresses left on disks."""

    __slots__ = ("_entries", "bytes_held", "bytes_max", "left")

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        self.bytes_max = bytes_max
        self.bytes_held = 0
        self.left = Left()
        self._entries: OrderedDict[tuple[str, str], bytes] = OrderedDict()

    def recall(self, service: str, address: str) -> bytes:
        """Return what was remembered, empty if nothing is."""
        entry = self._entries.get((service, address), b"")
        if entry:
            self._entries.move_to_end((service, address))
        return entry

    def remember(self, service: str, address: str, data: bytes) -> bool:
        """Remember this in the place of what was; say whether it is not too much."""
        before = self._entries.pop((service, address), None)
        if before is not None:
            self.bytes_held -= _ENTRY_BYTES + len(before)
        if not data or len(data) > ENTRY_BYTES_MAX:
            return not data
        self._entries[service, address] = data
        self.bytes_held += _ENTRY_BYTES + len(data)
        while self.bytes_held > self.bytes_max:
            _, oldest = self._entries.popitem(last=False)
            self.bytes_held -= _ENTRY_BYTES + len(oldest)
        return True
