"""A room whose conversation is loaded when its first peer comes: until then a sensor does without its code."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import ClassVar

from eudaemon.protocols._base import Occasion, Order, Room, Visit


class Later(Room):
    """What stands at the door. `conversation` is where the rest is, as in `ROOMS`: a module, a colon, a class."""

    __slots__ = ("_conversation",)
    conversation: ClassVar[str]

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        module, _, name = self.conversation.partition(":")
        self._conversation: Room = getattr(import_module(module), name)(visit)

    def tell(self, occasion: Occasion) -> Iterable[Order]:
        """See `Room`."""
        return self._conversation.tell(occasion)
