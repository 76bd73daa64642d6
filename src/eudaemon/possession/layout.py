"""What lies where in the reservation below 2 GiB.

low   Mailbox          its magic is the mapping's first word: so a later controller finds it
      way home         a page of code that brings a borrowed thread back (`homeward`), and the engine's symbols,
                       so that any controller that speaks this contract can call it
      image            the engine
      service stack    for functions that concern the whole process; the way home's block is at its top
      heap             the engine's, of which most lies elsewhere
      slots            one a thread, aligned to their size
"""

from __future__ import annotations

from dataclasses import dataclass

from eudaemon.possession.engine import Engine
from eudaemon.possession.image import PROT_WRITE
from eudaemon.possession.mailbox import Mailbox
from eudaemon.possession.memory import PAGE, Remote, up
from eudaemon.possession.remote import Site

TOP_BYTES = 256  # at the top of a stack: the way home's block, and below it the address to return to
_SYMBOLS_AT = 1024
SPARE_SLOTS_MIN = 4  # for threads that begin between planting and waking, and after
SPARE_SLOTS_CONFINED = 16  # where it may be forbidden to map more


@dataclass(frozen=True, slots=True)
class Layout:
    """Addresses for one process. `slots` is the number of slots in the reservation."""

    low: Remote
    size: int
    home: Remote
    image: Remote
    service_stack: Remote  # its top
    heap: Remote
    heap_bytes: int
    first_slot: Remote
    slot_bytes: int
    slots: int

    @property
    def service(self) -> Site:
        """The way home of a thread that runs a function on the service stack."""
        return Site(self.home, self.service_stack + -TOP_BYTES)

    def of_slot(self, slot: Remote, stack_top: int) -> Site:
        """The way home of a thread that runs a function on its slot's stack."""
        return Site(self.home, slot + (stack_top - TOP_BYTES))

    @property
    def symbols(self) -> Remote:
        """Where the engine's symbols are noted, as 32-bit offsets in the order of `image.SYMBOLS`; 0: it has none."""
        return self.home + _SYMBOLS_AT


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large the parts are, before an address is chosen."""

    mailbox: int
    image: int
    service_stack: int
    heap: int
    slot: int
    slots: int

    @property
    def head(self) -> int:
        """Bytes before the first slot."""
        return self.mailbox + PAGE + self.image + self.service_stack + self.heap

    @property
    def total(self) -> int:
        """Bytes of the reservation."""
        return self.head + self.slot * self.slots

    def at(self, low: int) -> Layout:
        """Return the layout that begins at `low`."""
        home = Remote(low + self.mailbox)
        image = home + PAGE
        stack_end = image + (self.image + self.service_stack)
        first_slot = Remote(low + self.head)
        return Layout(
            Remote(low), self.total, home, image, stack_end, stack_end, self.heap, first_slot, self.slot, self.slots
        )  # fmt: skip


def layout_of(mailbox: Mailbox) -> Layout:
    """Return the layout of what is planted already."""
    low, size, heap, heap_bytes = mailbox.get("low", "low_bytes", "heap", "heap_bytes")
    home = Remote(low + up(mailbox.record.size))
    slot_bytes = mailbox.abi["SLOT_BYTES"]
    first_slot = Remote(heap + heap_bytes)
    slots = (low + size - first_slot) // slot_bytes
    return Layout(
        Remote(low), size, home, home + PAGE, Remote(heap), Remote(heap), heap_bytes, first_slot, slot_bytes, slots
    )


def sizes_for(
    engine: Engine, threads: int, *, tight: bool = False, confined: bool = False, heap_bytes_max: int | None = None
) -> Sizes:
    """Return the sizes for a process of so many threads, whose address space is limited, or whose calls are."""
    abi = engine.abi
    spare = SPARE_SLOTS_CONFINED if confined and not tight else SPARE_SLOTS_MIN
    slots = min(threads + max(spare, threads // 4), abi["THREADS_MAX"])
    least = up(heap_bytes_least(engine, slots))
    low_heap = min(abi["HEAP_BYTES"], up(heap_bytes_max or abi["HEAP_BYTES"]))
    return Sizes(
        mailbox=up(abi.records["Mailbox"].size),
        image=engine.image.size,
        service_stack=abi["SERVICE_STACK_BYTES"],
        heap=max(low_heap, least) if tight else low_heap,
        slot=abi["SLOT_BYTES"],
        slots=slots,
    )


def heap_bytes_least(engine: Engine, slots: int) -> int:
    """Return how large a heap has to be for so many threads to get on at all, an instruction at a time."""
    return engine.abi["HEAP_BYTES_MIN"] + slots * engine.abi["HEAP_THREAD_BYTES_MIN"] * 3 // 2


def fixed_spans(engine: Engine) -> list[tuple[int, int]]:
    """Return what is made executable and no longer writable, from the way home's page on: that page, text, constants.

    Constants may be executed along with the text: one protection, one call, one mapping fewer.
    """
    spans = [(0, PAGE)]
    for part in engine.image.parts:
        if not part.protection & PROT_WRITE:
            if spans[-1][1] == part.begin + PAGE:
                spans[-1] = (spans[-1][0], part.end + PAGE)
            else:
                spans.append((part.begin + PAGE, part.end + PAGE))
    return spans
