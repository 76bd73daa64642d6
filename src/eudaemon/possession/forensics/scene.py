"""The copy of what a report is made from, taken while the thread stands: a few system calls, about a millisecond."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from eudaemon.evidence.model import Process, Window, labels_of
from eudaemon.evidence.provenance import Kept
from eudaemon.possession.alerts import RawAlert, RawStream, read_input, read_streams
from eudaemon.possession.errors import PossessionError
from eudaemon.possession.look import socket_of
from eudaemon.possession.mailbox import GENERAL, Mailbox
from eudaemon.possession.maps import Area, read_maps
from eudaemon.possession.memory import PAGE
from eudaemon.possession.plant import inner_tids
from eudaemon.possession.ptrace import Kernel
from eudaemon.possession.tags import tags_at

CODE_BYTES = 64  # on either side of the instruction
NEAR_BYTES = 32 * 1024  # around the value, on either side: what came in with it
STACK_BELOW_BYTES, STACK_BYTES = 128, 64 * 1024
INJECTED_BYTES_MAX = 64 * 1024
COMMAND_BYTES_MAX = 4096
MODULES_MAX = 64
POINTED_BYTES = 512
_TRANSPORTS = {socket.IPPROTO_TCP: "tcp", socket.IPPROTO_UDP: "udp"}
_RSP = GENERAL.index("rsp")


@dataclass(frozen=True)
class Scene:
    """What was there. Windows may be shorter than asked for, or empty: what is not mapped is not there."""

    alert: RawAlert
    process: Process
    areas: tuple[Area, ...]
    own: tuple[tuple[int, int], ...]  # spans of the engine
    streams: tuple[RawStream, ...]
    kept: tuple[Kept, ...]  # input, of the streams that matter
    transports: dict[int, str]  # of the streams, by label
    code: Window
    near: Window  # around the value's place in memory
    at_target: Window
    stack: Window
    pointed: dict[str, Window]  # where registers point
    modules: dict[str, int | bytes]  # by path: the file, open, or what is in memory of the vDSO

    def close(self) -> None:
        """Close the files."""
        for source in self.modules.values():
            if isinstance(source, int):
                os.close(source)
        self.modules.clear()


def take(pid: int, mailbox: Mailbox, alert: RawAlert) -> Scene:
    """Copy the scene of an alert. Raises `PossessionError` if the process is gone."""
    areas = tuple(read_maps(pid))
    streams = tuple(read_streams(mailbox))
    place, rsp = alert.place, alert.registers[_RSP]
    near = _window(mailbox, areas, place - NEAR_BYTES, place, place + NEAR_BYTES) if place else Window(0, b"")
    at_target = _window(mailbox, areas, alert.target - NEAR_BYTES, alert.target, alert.target + INJECTED_BYTES_MAX)
    wanted = set(labels_of(alert.tags + near.tags + at_target.tags)) or {stream.label for stream in streams}
    kernel = Kernel()
    return Scene(
        alert=alert,
        process=_process(pid, mailbox, alert.tid),
        areas=areas,
        own=joined((mapped.address, mapped.address + mapped.size) for mapped in mailbox.mappings()),
        streams=streams,
        kept=tuple(Kept(stream.label, *read_input(mailbox, stream)) for stream in streams if stream.label in wanted),
        transports={stream.label: _transport(kernel, pid, stream) for stream in streams if stream.label in wanted},
        code=_window(mailbox, areas, alert.pc - CODE_BYTES, alert.pc, alert.pc + CODE_BYTES),
        near=near,
        at_target=at_target,
        stack=_window(mailbox, areas, rsp - STACK_BELOW_BYTES, rsp, rsp + STACK_BYTES),
        pointed=_pointed(mailbox, areas, alert),
        modules=_modules(pid, mailbox, areas),
    )


def joined(spans: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return spans with those joined that touch: the kernel shows as one area what is mapped side by side."""
    found: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if found and begin <= found[-1][1]:
            begin, end = found[-1][0], max(end, found.pop()[1])
        found.append((begin, end))
    return tuple(found)


def _window(mailbox: Mailbox, areas: Iterable[Area], begin: int, core: int, end: int) -> Window:
    """Return what is mapped in one piece around `core`, from `begin` to `end` at most, with tags."""
    low, high = next(((low, high) for low, high in _pieces(areas) if low <= core < high), (0, 0))
    page = core & -PAGE
    # A file that has become shorter than its mapping cannot be read to the end: then the core's page has to do.
    for first, last in ((max(begin, low), min(end, high)), (max(begin, page), min(end, page + PAGE))):
        with suppress(PossessionError):
            if data := mailbox.memory.read(first, max(last - first, 0)):
                return Window(first, data, tags_at(mailbox, first, len(data)))
    return Window(0, b"")


def _pointed(mailbox: Mailbox, areas: Iterable[Area], alert: RawAlert) -> dict[str, Window]:
    """Return what lies where the registers point, if a value is in registers alone and something there is tagged."""
    if alert.place:
        return {}
    found = {}
    for name, address in zip(GENERAL, alert.registers, strict=True):
        window = _window(mailbox, areas, address, address, address + POINTED_BYTES)
        if any(window.tags):
            found[name] = window
    return found


def _pieces(areas: Iterable[Area]) -> list[tuple[int, int]]:
    """Return what may be read, neighbours joined."""
    pieces: list[tuple[int, int]] = []
    for area in areas:
        if area.rights[0] != "r" or area.path in ("[vsyscall]", "[vvar]", "[vvar_vclock]"):
            continue
        if pieces and pieces[-1][1] == area.begin:
            pieces[-1] = (pieces[-1][0], int(area.end))
        else:
            pieces.append((int(area.begin), int(area.end)))
    return pieces


def _modules(pid: int, mailbox: Mailbox, areas: Iterable[Area]) -> dict[str, int | bytes]:
    """Open the files of code while they can be named: the process may be gone afterwards."""
    found: dict[str, int | bytes] = {}
    for area in areas:
        if area.rights[2] != "x" or area.path in found or len(found) == MODULES_MAX:
            continue
        if area.path == "[vdso]":
            with suppress(PossessionError):
                found[area.path] = mailbox.memory.read(area.begin, area.end - area.begin)
        elif area.path.startswith("/"):
            # As mapped, also where the file's name is another's by now; that wants more rights than we may have.
            for name in (f"map_files/{area.begin:x}-{area.end:x}", f"root{area.path}"):
                with suppress(OSError):
                    found[area.path] = os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
                    break
    return found


def _transport(kernel: Kernel, pid: int, stream: RawStream) -> str:
    """Return what carries a stream, if its descriptor is still the same socket."""
    if stream.kind != "inet":
        return ""
    with suppress(OSError, PossessionError), socket_of(kernel, pid, stream.descriptor) as one:
        if os.fstat(one.fileno()).st_ino == stream.inode:
            return _TRANSPORTS.get(one.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL), "")
    return ""


def _process(pid: int, mailbox: Mailbox, inner_tid: int) -> Process:
    folder = Path(f"/proc/{pid}")
    exe, uid, command, name, started_s = "", 0, b"", "?", 0.0
    with suppress(OSError):
        exe = os.readlink(folder / "exe")  # noqa: PTH115
    with suppress(OSError):
        uid = folder.stat().st_uid
        command = _head(folder / "cmdline")
        name = _head(folder / "comm").decode(errors="replace").strip()
        ticks = int(_head(folder / "stat").rpartition(b")")[2].split()[19])
        since_boot_s = time.clock_gettime(time.CLOCK_BOOTTIME)
        started_s = round(time.time() - since_boot_s + ticks / os.sysconf("SC_CLK_TCK"), 2)
    tid = inner_tid
    with suppress(OSError, PossessionError):
        tasks = [int(task.name) for task in (folder / "task").iterdir()]
        tid = next((outer for outer, inner in inner_tids(pid, tasks).items() if inner == inner_tid), inner_tid)
    words = tuple(word.decode(errors="backslashreplace") for word in command.split(b"\0") if word)
    return Process(pid, tid, mailbox.one("parent"), name, exe, words, uid, started_s)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(COMMAND_BYTES_MAX)
