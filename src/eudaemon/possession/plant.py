"""Plant: the engine is brought into the process, which goes on running meanwhile.

1. one thread stops, and maps the reservation                          undo: it unmaps it
2. mailbox, way home and image are written while all threads run
3. one thread stops, makes the image executable, and prepares it
"""

from __future__ import annotations

import errno
import struct
from pathlib import Path

from eudaemon.possession.errors import OperationFailed, PossessionError, Refused, Undone, Vanished
from eudaemon.possession.formats import write as write_formats
from eudaemon.possession.homeward import CODE
from eudaemon.possession.image import PROT_EXEC, PROT_READ, PROT_WRITE, SYMBOLS
from eudaemon.possession.layout import Layout, Sizes, fixed_spans, heap_bytes_least, sizes_for
from eudaemon.possession.mailbox import Mailbox
from eudaemon.possession.maps import low_room, read_maps
from eudaemon.possession.planted import Planted
from eudaemon.possession.refuse import refuse_crowd
from eudaemon.possession.remote import RemoteCallFailed
from eudaemon.possession.seizure import Seizure
from eudaemon.possession.taint import Files, Taint, write_files
from eudaemon.possession.target import Target

MAP_PRIVATE, MAP_ANONYMOUS, MAP_NORESERVE, MAP_FIXED_NOREPLACE = 0x2, 0x20, 0x4000, 0x100000
MAPPING = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE
PLACES_MAX = 5  # tried, when the process takes the one that was free


def plant(
    target: Target, mode: str, taint: Taint | None = None, formats: list[tuple[int, int]] | None = None,
    heap_bytes_max: int | None = None,
) -> Planted:  # fmt: skip
    """Plant the engine. Raises `Refused` if there is no room, `Undone` if that fails; nothing is left then.

    `heap_bytes_max` is what the engine's heap takes at the most; None: as much as it ever may.
    """
    threads = len(Seizure(target.kernel, target.pid).listing())
    refuse_crowd(target.pid, threads, target.abi["THREADS_MAX"])
    tight = is_limited(target.pid)
    sizes = sizes_for(target.engine, threads, tight=tight, confined=target.confined, heap_bytes_max=heap_bytes_max)
    least = heap_bytes_least(target.engine, sizes.slots)
    if heap_bytes_max is not None and heap_bytes_max < least:
        raise Refused(
            f"process {target.pid} has {threads} threads, for which the engine's records take {least >> 10} KiB at the "
            f"least, and may take {heap_bytes_max >> 10}"
        )
    layout = _reserve(target, sizes, threads)
    if heap_bytes_max is None:
        heap_bytes_max = layout.heap_bytes if tight else target.abi["HEAP_BYTES_MAX"]
    try:
        planted = Planted(target, _write(target, layout, mode, taint, heap_bytes_max))
        write_formats(planted.mailbox, formats or [])
        _prepare(planted)
    except Vanished:
        raise
    except PossessionError as error:
        target.note(0, 0)
        target.unmap(_spans(target, layout))
        raise Undone(f"planting failed: {error.reason}", error.do) from error
    return planted


def _spans(target: Target, layout: Layout) -> list[tuple[int, int]]:
    """Return what is mapped so far: as the mailbox notes it, if it is there."""
    mailbox = target.mailbox()
    if mailbox is None:
        return [(layout.low, layout.size)]
    return [(mapped.address, mapped.size) for mapped in mailbox.spans()]


def is_limited(pid: int) -> bool:
    """Whether the process may not map what it likes (RLIMIT_AS)."""
    try:
        lines = Path(f"/proc/{pid}/limits").read_text(encoding="ascii").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        raise Vanished(f"process {pid} has ended") from None
    return any(line.startswith("Max address space") and "unlimited" not in line.split()[3] for line in lines)


def _reserve(target: Target, sizes: Sizes, threads: int) -> Layout:
    for _ in range(PLACES_MAX):
        low = low_room(read_maps(target.pid), sizes.total, sizes.head, sizes.slot)
        if low is None:
            raise Refused(
                f"process {target.pid} has {threads} threads, which need {sizes.total >> 20} MiB in one piece below "
                "2 GiB, and has not so much free there"
            )
        try:
            with target.one_thread() as thread, target.outside_loan(thread) as loan:
                target.note(low, sizes.total)
                loan.system_call("mmap", low, sizes.total, PROT_READ | PROT_WRITE, MAPPING, -1, 0)
        except RemoteCallFailed as error:
            target.note(0, 0)
            if error.errno == errno.EEXIST:
                continue
            do = ""
            if error.errno == errno.ENOMEM:
                limit = f"prlimit --pid {target.pid} --as=unlimited"
                do = f"allow it: {limit if is_limited(target.pid) else 'sysctl vm.overcommit_memory=0'}"
            raise Refused(error.reason, do) from error
        except OperationFailed as error:
            target.tidy()
            raise Undone(f"planting failed: {error.reason}", error.do) from error
        return sizes.at(low)
    raise Undone(f"process {target.pid} takes memory below 2 GiB faster than we can", "try again")


def _write(target: Target, layout: Layout, mode: str, taint: Taint | None, heap_bytes_max: int) -> Mailbox:
    abi = target.abi
    record = abi.records["Mailbox"]
    raw = bytearray(record.size)
    record.pack(
        raw, magic=abi["MAGIC"], version=abi["VERSION"], mode=abi[f"mode::{mode.upper()}"],
        pid=inner_pid(target.pid), low=layout.low, low_bytes=layout.size, heap=layout.heap,
        heap_bytes=layout.heap_bytes, heap_bytes_max=heap_bytes_max, mapping_count=1, confined=target.confined,
        **(taint.fields(abi) if taint else {}),
    )  # fmt: skip
    # With its own mapping in it from the first: whoever finds the magic can unmap all there is.
    abi.records["Mapping"].pack(
        raw, record["mappings"].offset, address=layout.low, bytes=layout.size, kind=abi["mapping::LOW"]
    )
    target.memory.write(layout.low, raw.rstrip(b"\0"))  # the rest is zeros already, and takes no memory
    target.note(0, 0)
    mailbox = Mailbox(target.memory, abi, layout.low)
    if taint and taint.globs:
        write_files(mailbox, Files(taint.globs).find(target.pid, abi["FILES_MAX"]))
    target.memory.write(layout.home, CODE)
    target.memory.write(layout.image, target.engine.image.laid_out_at(layout.image))
    known = target.engine.image.symbols
    target.memory.write(layout.symbols, struct.pack(f"<{len(SYMBOLS)}I", *(known.get(name, 0) for name in SYMBOLS)))
    target.memory.write(layout.service.stack, layout.service.returning())
    slots = [layout.first_slot + index * layout.slot_bytes for index in range(layout.slots)]
    for slot in slots:
        target.memory.write(slot, bytes(abi.records["Context"].size))  # its page is there when the freeze comes
    mailbox.set_slots(slots)
    mailbox.write_code(read_maps(target.pid))
    return mailbox


def _prepare(planted: Planted) -> None:
    target, layout = planted.target, planted.layout
    with target.one_thread() as thread:
        with target.outside_loan(thread) as loan:
            for begin, end in fixed_spans(target.engine):
                loan.system_call("mprotect", layout.home + begin, end - begin, PROT_READ | PROT_EXEC)
        with planted.loan(thread) as loan:
            planted.call(loan, "seal_prepare")


def inner_pid(pid: int) -> int:
    """Return the pid as the process itself sees it."""
    return _inner(pid, pid)


def inner_tids(pid: int, tids: list[int]) -> dict[int, int]:
    """Return, for each thread, its number as the process itself sees it."""
    if inner_pid(pid) == pid:
        return {tid: tid for tid in tids}
    return {tid: _inner(pid, tid) for tid in tids}


def _inner(pid: int, tid: int) -> int:
    try:
        with open(f"/proc/{pid}/task/{tid}/status", encoding="utf-8", errors="replace") as status:  # noqa: PTH123
            return next((int(line.split()[-1]) for line in status if line.startswith("NSpid:")), tid)
    except (FileNotFoundError, ProcessLookupError):
        raise Vanished(f"thread {tid} has ended") from None
