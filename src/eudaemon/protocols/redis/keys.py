"""What one session keeps in the pretended Redis: its databases, each name with its string."""

from __future__ import annotations

from eudaemon.wire import Purse
from eudaemon.world.shell.budget import Budget
from eudaemon.world.shell.patterns import matches

KEYS_MAX = 10_000  # of one session, in all databases
DATABASES = 16
_KEY_BYTES = 128  # what a key costs besides its name and value


class FullError(Exception):
    """There is no room for more."""


class Keys:
    """The databases. What they hold is taken from the purse."""

    __slots__ = ("_purse", "databases", "unsaved")

    def __init__(self, purse: Purse) -> None:
        self._purse = purse
        self.databases: dict[int, dict[bytes, bytes]] = {}
        self.unsaved = 0  # changes since the last save

    @property
    def counts(self) -> dict[int, int]:
        """How many keys each database has."""
        return {number: len(keys) for number, keys in self.databases.items()}

    def get(self, database: int, name: bytes) -> bytes | None:
        """Return a key's value, None if it is not there."""
        return self.databases.get(database, {}).get(name)

    def put(self, database: int, name: bytes, value: bytes) -> None:
        """Set a key. Raises `FullError`."""
        self.drop(database, name)
        if sum(self.counts.values()) >= KEYS_MAX or not self._purse.take(_KEY_BYTES + len(name) + len(value)):
            raise FullError
        self.databases.setdefault(database, {})[name] = value
        self.unsaved += 1

    def drop(self, database: int, name: bytes) -> bool:
        """Remove a key; say whether it was there."""
        value = self.databases.get(database, {}).pop(name, None)
        if value is None:
            return False
        self._purse.give_back(_KEY_BYTES + len(name) + len(value))
        self.unsaved += 1
        return True

    def empty(self, database: int) -> None:
        """Remove all keys of a database."""
        for name in list(self.databases.get(database, {})):
            self.drop(database, name)

    def matching(self, database: int, pattern: bytes, budget: Budget) -> list[bytes]:
        """Return the names that a pattern matches. Raises `LimitError`."""
        return [name for name in self.databases.get(database, {}) if matches(pattern, name, budget)]
