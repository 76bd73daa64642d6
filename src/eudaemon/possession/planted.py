"""An engine that lies in a process: where everything of it is, and how its functions are called.

Made from the mailbox alone, so that a later controller finds its way, and one whose own engine is of another build.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

from eudaemon.possession.errors import PossessionError
from eudaemon.possession.image import SYMBOLS
from eudaemon.possession.layout import Layout, layout_of
from eudaemon.possession.mailbox import Mailbox
from eudaemon.possession.memory import Remote
from eudaemon.possession.remote import Loan, Site
from eudaemon.possession.target import Target
from eudaemon.possession.tracee import Thread


class Planted:
    """The engine in a process."""

    def __init__(self, target: Target, mailbox: Mailbox) -> None:
        self.target = target
        self.mailbox = mailbox
        self.layout: Layout = layout_of(mailbox)

    @cached_property
    def symbols(self) -> dict[str, Remote]:
        """Addresses of the engine's functions and stops, as they were noted when it was planted."""
        raw = self.target.memory.read(self.layout.symbols, 4 * len(SYMBOLS))
        offsets = struct.unpack(f"<{len(SYMBOLS)}I", raw)
        return {name: self.layout.image + offset for name, offset in zip(SYMBOLS, offsets, strict=True) if offset}

    @property
    def is_whole(self) -> bool:
        """Whether planting came so far that the engine's functions can be called; before that nobody was in it."""
        return bool(self.symbols)

    def owns(self, address: int) -> bool:
        """Whether an address lies in the engine's image."""
        return self.layout.home <= address < self.layout.service_stack

    def slot_site(self, slot: Remote) -> Site:
        """Return the way home of a function on a slot's stack."""
        return self.layout.of_slot(slot, self.target.abi["SLOT_STACK_TOP"])

    @contextmanager
    def loan(self, thread: Thread) -> Iterator[Loan]:
        """Borrow a stopped thread for functions of the engine on the service stack."""
        with self.target.loan(thread, self.layout.service) as loan:
            yield loan

    def call(self, loan: Loan, name: str) -> None:
        """Call a function that takes the mailbox. Raises `PossessionError` if it fails."""
        if name not in self.symbols:
            raise PossessionError(f"the engine in process {self.target.pid} has no {name}")
        loan.function(self.symbols[name], self.mailbox.address, name)
