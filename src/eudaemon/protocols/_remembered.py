"""What a database remembers of an address from one connection to the next: names of what it made, no content.

Bots give their statements to a client one after the other, each in a connection of its own: what the first made has to
be there for the second.
"""

from __future__ import annotations

from collections.abc import Iterator

from eudaemon.protocols._base import Visit

ENTRIES_MAX = 64  # of one address and service
ENTRY_BYTES_MAX = 512


class Remembered:
    """Entries of words, the first of which is what kind they are."""

    __slots__ = ("_entries", "_service", "_visit")

    def __init__(self, visit: Visit, service: str) -> None:
        self._visit = visit
        self._service = service
        known = visit.memory.recall(service, visit.attacker.ip)
        self._entries: dict[bytes, None] = dict.fromkeys(known.split(b"\0\0") if known else ())

    def each(self, kind: bytes) -> Iterator[list[bytes]]:
        """Yield the words of all entries of a kind."""
        for entry in self._entries:
            found, *words = entry.split(b"\0")
            if found == kind:
                yield words

    def add(self, kind: bytes, *words: bytes) -> None:
        """Remember an entry; too many and too long ones are not."""
        entry = b"\0".join((kind, *words))
        whole = all(words) and not any(b"\0" in word for word in words)
        if whole and len(entry) <= ENTRY_BYTES_MAX and (entry in self._entries or len(self._entries) < ENTRIES_MAX):
            self._entries[entry] = None
            self._write()

    def forget(self, kind: bytes, *words: bytes) -> None:
        """Forget the entries that begin with these words."""
        begin = [kind, *words]
        gone = [entry for entry in self._entries if entry.split(b"\0")[: len(begin)] == begin]
        for entry in gone:
            del self._entries[entry]
        if gone:
            self._write()

    def _write(self) -> None:
        self._visit.memory.remember(self._service, self._visit.attacker.ip, b"\0\0".join(self._entries))
