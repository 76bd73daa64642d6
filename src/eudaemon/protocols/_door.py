"""What stands at a room's door: what a sensor must know of a room before somebody comes in.

    ROOMS["smb"] --> Door            name, speaks_first, needs, plain: a row of the table, nothing is imported
                 --> Door.load()     the room's class, with its first peer
                 --> Door(visit)     a conversation

A room that nobody speaks to costs its row. Its `claim` is the room's own and loads it: there is a peer by then.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

from eudaemon.protocols._base import Claim, Room, Visit


@dataclass(frozen=True, slots=True)
class Door:
    """A row of `ROOMS`. Usable in a class of rooms' place: it makes one of a visit, and claims first bytes."""

    name: str  # as the room's own, and as in the settings
    place: str  # a module, a colon, a class
    speaks_first: bool = False  # as the room's own
    needs: tuple[str, ...] = ()  # packages that it cannot do without, as the index names them
    plain: bool = False  # whether nothing of its kind begins with TLS: an answer in it would tell this from a real one

    @property
    def module(self) -> str:
        """What `load` imports."""
        return self.place.partition(":")[0]

    @property
    def lacking(self) -> list[str]:
        """Of what it needs, what is not installed."""
        return [package for package in self.needs if find_spec(package) is None]

    def load(self) -> type[Room]:
        """Return the room, imported if it was not."""
        room: type[Room] = getattr(import_module(self.module), self.place.partition(":")[2])
        return room

    def __call__(self, visit: Visit) -> Room:
        """Make the room for a visit."""
        return self.load()(visit)

    def claim(self, first: bytes) -> Claim:
        """See `Room.claim`."""
        return self.load().claim(first)
