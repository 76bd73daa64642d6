"""The report, made from the copy of the scene: the process has gone on already."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator

from eudaemon.events.envelope import rfc3339
from eudaemon.evidence.model import (
    VERSION,
    Area,
    Blob,
    Culprit,
    Evidence,
    Frame,
    Injected,
    Instruction,
    Process,
    Register,
    Report,
    Stream,
    Window,
    labels_of,
)
from eudaemon.evidence.provenance import Kept, culprit
from eudaemon.possession.forensics import disassembly, unwind
from eudaemon.possession.forensics.elf import Elf, ElfError
from eudaemon.possession.forensics.scene import STACK_BELOW_BYTES, Scene
from eudaemon.possession.forensics.unwind import Place, call_stack
from eudaemon.possession.mailbox import GENERAL
from eudaemon.possession.maps import Area as Mapped
from eudaemon.possession.tags import TAGS_WINDOW_BYTES

AROUND_INSTRUCTIONS = 6  # shown on either side
LISTING_INSTRUCTIONS_MAX = 64
TEXT_BYTES_MAX = 4096
WINDOW_BYTES = 512  # of stack and code, in the report itself
_WORD = 8
_RSP = GENERAL.index("rsp")
_TEXTS = ("execute", "format")  # the value is the first byte of a text
_LEADS_ON = ("return", "jump", "call", "code", "rights")  # the value is where code lies, or is to


def examine(scene: Scene, verdict: str, *, in_time: bool) -> Evidence:
    """Return the report of a scene, with its files."""
    alert = scene.alert
    injected, code = _injected(scene)
    culprits = tuple(_culprits(scene))
    files = {f"input-{kept.label}.bin": kept.data for kept in scene.kept if kept.data}
    if injected:
        files[injected.code.file] = code
    at_s = alert.at_ns / 1e9
    stamp = rfc3339(at_s).replace("-", "").replace(":", "")
    report = Report(
        version=VERSION,
        id=f"{stamp}-{scene.process.pid}-{alert.serial}",
        at_s=at_s,
        kind=alert.kind,
        verdict=verdict,
        in_time=in_time,
        process=scene.process,
        pc=alert.pc,
        target=alert.target,
        place=alert.place,
        tags=alert.tags,
        rflags=alert.rflags,
        instruction=_instruction(scene),
        code=tuple(_around(scene)),
        registers=tuple(
            Register(name, value, tags)
            for name, value, tags in zip(GENERAL, alert.registers, alert.register_tags, strict=True)
        ),
        culprits=culprits,
        streams=tuple(_streams(scene)),
        frames=tuple(_frames(scene)),
        injected=injected,
        stack=_part(scene.stack, alert.registers[_RSP] - STACK_BELOW_BYTES, WINDOW_BYTES + STACK_BELOW_BYTES),
        place_window=_part(scene.near, alert.place - WINDOW_BYTES // 2, WINDOW_BYTES) if scene.near.data else None,
        maps=tuple(_areas(scene)),
        remarks=tuple(_remarks(scene, culprits)),
    )
    return Evidence(report, files)


def _instruction(scene: Scene) -> Instruction:
    return disassembly.at(scene.code.data[scene.alert.pc - scene.code.address :], scene.alert.pc)


def _around(scene: Scene) -> Iterator[Instruction]:
    code, pc = scene.code, scene.alert.pc
    if code.data:
        if scene.alert.kind != "code":  # before which there is nothing of a program
            yield from disassembly.before(code.data[: pc - code.address], pc, AROUND_INSTRUCTIONS)
        yield from disassembly.listing(code.data[pc - code.address :], pc, AROUND_INSTRUCTIONS + 1)


def _frames(scene: Scene) -> list[Frame]:
    elves: dict[str, Elf | None] = {}
    code = [area for area in scene.areas if area.rights[2] == "x"]

    def find(address: int) -> Place | None:
        area = next((area for area in code if area.begin <= address < area.end), None)
        if area is None:
            return None
        if area.path not in elves:
            elves[area.path] = _elf(scene, area.path)
        offset, elf = address - area.begin + area.offset, elves[area.path]
        own = elf.address_of(offset) if elf else None
        return Place(readable(area), own or offset, offset, elf if own is not None else None)

    registers = dict(zip(GENERAL, scene.alert.registers, strict=True))
    return call_stack(find, scene.alert.pc, registers, scene.stack, scene.alert.target)


def _elf(scene: Scene, path: str) -> Elf | None:
    if path not in scene.modules:
        return None
    try:
        return Elf(scene.modules[path])
    except (ElfError, struct.error):
        return None


def _culprits(scene: Scene) -> Iterator[Culprit]:
    """Yield whose bytes the value is, and whose the code that it leads to."""
    alert = scene.alert
    kept = [one for one in scene.kept if one.label in labels_of(alert.tags)] or list(scene.kept)
    found: Culprit | None = None
    if core := _tagged_part(alert.tags):
        if scene.near.data:
            role = "code" if alert.kind == "code" else "value"
            first, size = alert.place + core[0], core[1]
            if alert.kind in _TEXTS:
                size = max(size, _text_size(scene.near, first))
            found = _in_memory(role, scene.near, first, size, kept)
        else:  # in registers alone
            found = culprit("value", Window(0, alert.target.to_bytes(_WORD, "little")), *core, kept)
    found = found or _pointed(scene, kept)
    if found:
        yield found
    begin, end = _tagged_run(scene.at_target, alert.target)
    is_other = not found or not found.address <= alert.target < found.address + len(found.data)
    if alert.kind in _LEADS_ON and end > begin and is_other:
        code = _in_memory("code", scene.at_target, alert.target, min(_WORD, end - alert.target), scene.kept)
        if code:
            yield code


def _in_memory(role: str, window: Window, first: int, size: int, kept: Iterable[Kept]) -> Culprit | None:
    """Return whose bytes lie at `first`, with those around them; where tags are known, no others than have one."""
    begin, end = _tagged_run(window, first)
    if end > begin:
        window = _part(window, begin, end - begin)
    return culprit(role, window, first - window.address, min(size, window.end - first), kept)


def _pointed(scene: Scene, kept: Iterable[Kept]) -> Culprit | None:
    """Return whose bytes lie where a register points, the longest match: what the value was computed from, perhaps."""
    found = []
    for name, window in scene.pointed.items():
        if run := _tagged_part(window.tags):
            found.append(_in_memory(name, window, window.address + run[0], min(run[1], _WORD), kept))
    return max((one for one in found if one), key=lambda one: len(one.data), default=None)


def _text_size(window: Window, first: int) -> int:
    """Return how long the text is that begins there, as far as it is tagged."""
    at = first - window.address
    text = window.data[at : at + TEXT_BYTES_MAX].partition(b"\0")[0]
    return len(text) - len(window.tags[at : at + len(text)].lstrip(b"\1\2\4\x08\x10\x20\x40\x80"))


def _tagged_part(tags: bytes) -> tuple[int, int] | None:
    """Return where the longest run of tagged bytes begins, and its length; None: there is none."""
    best: tuple[int, int] | None = None
    at = 0
    while at < len(tags):
        end = at
        while end < len(tags) and tags[end]:
            end += 1
        if end > at and (best is None or end - at > best[1]):
            best = at, end - at
        at = end + 1
    return best


def _tagged_run(window: Window, address: int) -> tuple[int, int]:
    """Return the addresses between which every byte around one is tagged; nothing, if that one is not."""
    at = address - window.address
    if not 0 <= at < len(window.tags) or not window.tags[at]:
        return address, address
    begin, end = window.tags.rfind(0, 0, at) + 1, window.tags.find(0, at)
    return window.address + begin, window.address + (len(window.tags) if end < 0 else end)


def _injected(scene: Scene) -> tuple[Injected | None, bytes]:
    """Return the tagged bytes at the target, where a branch would have executed them."""
    if scene.alert.kind not in _LEADS_ON:
        return None, b""
    begin, end = _tagged_run(scene.at_target, scene.alert.target)
    if end <= begin:
        return None, b""
    window, target = scene.at_target, scene.alert.target
    data = window.data[target - window.address : end - window.address]
    name = "code.bin"
    return (
        Injected(
            target, _blob(name, data), _part(window, target, min(WINDOW_BYTES, len(data))),
            disassembly.listing(data, target, LISTING_INSTRUCTIONS_MAX),
        ),
        data,
    )  # fmt: skip


def _streams(scene: Scene) -> Iterator[Stream]:
    kept = {one.label: one for one in scene.kept}
    for raw in scene.streams:
        own = kept.get(raw.label, Kept(raw.label, raw.received, b""))
        blob = _blob(f"input-{raw.label}.bin", own.data) if own.data else None
        yield Stream(
            raw.label,
            raw.serial,
            raw.kind,
            raw.descriptor,
            raw.inode,
            raw.local,
            raw.peer,
            raw.received,
            own.at,
            blob,
            scene.transports.get(raw.label, ""),
        )


def _areas(scene: Scene) -> Iterator[Area]:
    for area in scene.areas:
        is_own = any(begin <= area.begin and area.end <= end for begin, end in scene.own)
        yield Area(int(area.begin), int(area.end), area.rights, "engine" if is_own else readable(area))


def readable(area: Mapped) -> str:
    """Return an area's path as text for people: bytes that are no UTF-8 stand as `\\xNN`."""
    return area.path.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _remarks(scene: Scene, culprits: tuple[Culprit, ...]) -> Iterator[str]:
    if not disassembly.is_there():
        yield "nothing is disassembled: pip install capstone"
    if not unwind.is_there():
        yield "the call stack is read without call frame information: pip install pyelftools"
    if not scene.near.tags and not scene.stack.tags:
        yield "the tags of memory could not be read"
    if not culprits:
        yield (
            "the bytes are not in the input that is kept as they stand in memory: they were changed on their way "
            "(decoded, computed with), or later ones have pushed them out"
        )
    if not scene.streams:
        yield "no stream is known from which the tags come"
    if double := _double(scene):
        yield (
            f"the tag may be that of {double:#x}, which shares its place in the shadow (a multiple of 4 GiB apart): "
            "where nothing else speaks for an attack, it may be none"
        )


def _double(scene: Scene) -> int:
    """Return another address of the process's own data that shares its tag with the value's; 0 if there is none."""
    place = scene.alert.place
    for area in scene.areas if place else ():
        other = area.begin + (place - area.begin) % TAGS_WINDOW_BYTES
        is_own = any(begin <= area.begin and area.end <= end for begin, end in scene.own)
        if other != place and other < area.end and "w" in area.rights and not is_own:
            return int(other)
    return 0


def _part(window: Window, begin: int, size: int) -> Window:
    """Return a part of a window, as far as it is there."""
    first = max(begin - window.address, 0)
    last = max(begin + size - window.address, first)
    return Window(window.address + first if window.data else begin, window.data[first:last], window.tags[first:last])


def _blob(name: str, data: bytes) -> Blob:
    return Blob(name, len(data), hashlib.sha256(data).hexdigest())


__all__ = ["Process", "examine", "readable"]
