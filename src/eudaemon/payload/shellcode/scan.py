"""Where in bytes machine code may begin, and for which CPU. Patterns and counts alone; runs nothing.

A code that can lie anywhere must first find out where it is; how it does so shows on x86 (GetPC): `call` over a short
distance, `fnstenv`, a jump to a `call` back. Or it asks its thread for the loader's lists at once. As a rule the code
begins a little before that, so that starts go backwards from there. On ARM and MIPS instructions are words, which can
be counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

SCANNED_BYTES_MAX = 256 * 1024
SITES_MAX = 24
SHORT_BYTES_MAX = 1024  # of a code that is tried on every CPU from its first byte
_BACK_BYTES_MAX = 40  # before a site that a start may lie
_CALL_BYTES_MAX = 0x800  # over which a `call` that looks for its own address goes
_WORDS_BACK_MAX = 64
_SLED = re.compile(rb"[\x90\x41-\x4f\x97\x98\x99\xf5\xf8\xf9\xfc]{16,}")
_SLED_END_BYTES = 8  # of a sled that are run
_CALL = re.compile(rb"\xe8")
_SITES = re.compile(
    rb"\xd9\x74\x24[\xf0-\xfc]|\xd9\x34\x24"  # fnstenv [esp-12], fnstenv [esp]
    rb"|\x64\xa1\x30\0\0\0|\x64\x8b.\x30|\x64\x8b[\x05\x0d\x15\x1d\x25\x2d\x35\x3d]\x30\0\0\0"  # mov reg, fs:[30h]
    rb"|\x64\xa1\0\0\0\0|\x64\x8b[\x00-\x3f]|\x67\x64\xa1"  # fs:[0], and fs:[register]
    rb"|\x6a\x30[\x58-\x5f]\x64\x8b"
    rb"|\x65\x48\x8b.{0,2}\x60|\x65\x4c\x8b|\x65\x48\x8b[\x00-\x3f]"  # mov reg, gs:[60h]
    rb"|\xcd\x80|\x0f\x05|\xcd\x2e",
    re.DOTALL,
)
_X64 = re.compile(rb"\x0f\x05|\x65[\x48\x4c]\x8b|[\x48\x49][\x31\x83\x89\x8b\x8d\xb8-\xbf\xc7\xff]|\x41[\x50-\x5f]")
_X64_SHARE = 40  # one such place in so many bytes
WORDS = ("arm", "aarch64", "mips", "mipsel")  # whose instructions are words
_WORDS_MIN, _WORDS_SURE = 5, 16
_WORDS_BEHIND_MAX = 16  # after the beginning of a stretch that a start may lie
_TO_THUMB = re.compile(rb"\x01[\x00\x10\x20\x30\x40\x50\x60]\x8f\xe2[\x10-\x16]\xff\x2f\xe1")  # add rN, pc, #1; bx rN
_MIPS_OPCODES = frozenset((0x00, 0x01, 0x04, 0x05, 0x07, 0x08, 0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x0E, 0x0F, 0x14, 0x20,
                           0x23, 0x24, 0x28, 0x29, 0x2B, 0x1F))  # fmt: skip


def architectures(data: bytes) -> tuple[str, ...]:
    """Return the CPUs that the bytes may be code for, the likelier first. x86 is never excluded."""
    data = data[:SCANNED_BYTES_MAX]
    longest = {name: max(map(_length, _stretches(data, name)), default=0) for name in WORDS}
    found = [name for name, words in longest.items() if words]
    # A few words may look like instructions by chance: then x86 comes first.
    if _TO_THUMB.search(data):
        longest["arm"] = max(longest["arm"], _WORDS_SURE)
    sure = [name for name in found if longest[name] >= _WORDS_SURE or longest[name] * 8 >= len(data)]
    wide = len(_X64.findall(data))
    is_wide = wide * _X64_SHARE >= min(len(data), 2048)
    # What asks the kernel in the new way alone.
    is_wide |= len(data) <= SHORT_BYTES_MAX and b"\x0f\x05" in data and b"\xcd\x80" not in data
    x86 = ["x86-64", "x86"] if wide and is_wide else ["x86"]
    if "x86-64" not in x86 and re.search(rb"\x0f\x05|\x65[\x48\x4c]\x8b", data):
        x86.append("x86-64")
    # A short one is tried on all: it costs little, and few words tell little.
    others = found if len(data) > SHORT_BYTES_MAX else WORDS
    return (*sure, *x86, *(name for name in others if name not in sure))


def starts(data: bytes, architecture: str) -> Iterator[int]:
    """Yield the offsets at which code may begin, each once, the likelier first."""
    data = data[:SCANNED_BYTES_MAX]
    seen: set[int] = set()
    found = _x86_starts(data) if architecture.startswith("x86") else _word_starts(data, architecture)
    for start in found:
        if 0 <= start < len(data) and start not in seen:
            seen.add(start)
            yield start


def _x86_starts(data: bytes) -> Iterator[int]:
    yield 0
    for sled in islice(_SLED.finditer(data), SITES_MAX):
        yield sled.end() - _SLED_END_BYTES
    sites = list(islice(_sites(data), SITES_MAX))
    yield from sites
    for site in sites:
        yield from range(site - 1, max(site - _BACK_BYTES_MAX, 0) - 1, -1)


def _sites(data: bytes) -> Iterator[int]:
    """Yield where a code asks where it is: first the ways that nothing else looks like."""
    yield from (found.start() for found in islice(_SITES.finditer(data), SITES_MAX // 2))
    for found in _CALL.finditer(data):
        at = found.start()
        distance = int.from_bytes(data[at + 1 : at + 5], "little", signed=True)
        if -_CALL_BYTES_MAX <= distance <= _CALL_BYTES_MAX and 0 <= at + 5 + distance < len(data):
            # `jmp` to the `call` that calls back: the code begins at the jump.
            if distance < 0:
                jump = data.find(b"\xeb", max(at - 0x82, 0), at)
                while jump >= 0:
                    if jump + 2 + data[jump + 1] == at:
                        yield jump
                    jump = data.find(b"\xeb", jump + 1, at)
            yield at


def _word_starts(data: bytes, architecture: str) -> Iterator[int]:
    """Yield starts where words are instructions: the beginning of each stretch around a system call, and behind it."""
    for first, site, _ in _stretches(data, architecture):
        yield first
        yield from range(first + 4, min(site, first + 4 * _WORDS_BEHIND_MAX), 4)
    yield 0


def _stretches(data: bytes, architecture: str) -> Iterator[tuple[int, int, int]]:
    """Yield the stretches of plausible instructions: where each begins, where its system call is, where we stop."""
    order = "big" if architecture == "mips" else "little"
    for site in islice(_word_calls(data, architecture), SITES_MAX):
        first, end = site, site + 4
        while first >= 4 and site - first < 4 * _WORDS_BACK_MAX and _plausible(data, first - 4, architecture, order):
            first -= 4
        while end - site < 4 * _WORDS_MIN and _plausible(data, end, architecture, order):
            end += 4
        if end - first >= 4 * _WORDS_MIN or _TO_THUMB.match(data, site - 4):
            yield first, site, end


def _length(stretch: tuple[int, int, int]) -> int:
    """Return how many words a stretch has."""
    first, _, end = stretch
    return (end - first) // 4


def _word_calls(data: bytes, architecture: str) -> Iterator[int]:
    """Yield where system calls are; for ARM also where it changes to Thumb, which its codes do to have no zeros."""
    if architecture == "arm":
        for found in re.finditer(rb"[\x00-\xff]{2}[\x00\x90]\xef|[\x10-\x1e]\xff\x2f\xe1", data, re.DOTALL):
            yield found.start()
        return
    if architecture == "aarch64":
        yield from (
            found.start()
            for found in re.finditer(rb"[\x01\x21\x41\x61\x81\xa1\xc1\xe1].[\0-\x1f]\xd4", data, re.DOTALL)
        )
        return
    pattern = rb"[\0\x01][\0-\xff]{2}\x0c" if architecture == "mips" else rb"\x0c[\0-\xff]{2}[\0\x01]"
    for found in re.finditer(pattern, data, re.DOTALL):
        word = int.from_bytes(found[0], "big" if architecture == "mips" else "little")
        if word >> 26 == 0 and word & 0x3F == 0x0C:
            yield found.start()


def _plausible(data: bytes, at: int, architecture: str, order: str) -> bool:
    word = int.from_bytes(data[at : at + 4], "big" if order == "big" else "little")
    if at + 4 > len(data) or word in (0, 0xFFFF_FFFF):
        return False
    if architecture == "arm":
        return word >> 28 in (0xE, 0x0, 0x1)  # always, equal, not equal
    if architecture == "aarch64":
        return word >> 25 & 15 >= 4  # the others are not given to any instruction
    return word >> 26 in _MIPS_OPCODES
