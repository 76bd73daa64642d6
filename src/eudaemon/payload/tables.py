r"""The texts that a program keeps behind a XOR of one byte: Mirai's table, and those of its many descendants.

    "\x4d\x4c\x51\x57\x4e\x56\x22" NUL        each text with its own NUL, all XORed, and C's NUL behind

A key of four bytes, applied one byte after the other, is one of a single byte (0xdeadbeef is 0x22). It shows by two
words that such programs have in their table, whose characters differ as they do without a key.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass

from eudaemon.payload.shellcode.signatures import xored

BYTES_MAX = 8 * 1024 * 1024  # of a program that are looked at
KEYS_MAX = 2
TEXTS_MAX = 200
_WORDS_MIN = 2
_PLAIN = (0, 0x20)  # no key, and the other case of letters
_CHARS_MIN, _CHARS_MAX = 3, 512
_WORDS = (
    b"/bin/busybox", b"/dev/watchdog", b"/dev/misc/watchdog", b"/proc/", b"/proc/net/tcp", b"listening tun0",
    b"enable\0", b"system\0", b"linuxshell\0", b"assword\0", b"ncorrect\0", b"applet not found",
    b"TSource Engine Query", b"User-Agent:", b"HTTP/1.1", b"Mozilla/5.0 ",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Table:
    """One key, and the texts behind it in the order in which they stand."""

    key: int
    texts: tuple[str, ...]


def tables(program: bytes) -> list[Table]:
    """Return the tables of texts in a program, at most `KEYS_MAX`."""
    program = program[:BYTES_MAX]
    differing = xored(program[:-1], program[1:]) if len(program) > 1 else b""
    found: defaultdict[int, set[bytes]] = defaultdict(set)
    for word in _WORDS:
        at = differing.find(xored(word[:-1], word[1:]))
        while at >= 0:
            found[program[at] ^ word[0]].add(word)
            at = differing.find(xored(word[:-1], word[1:]), at + len(word))
    keys = [key for key, words in found.items() if key not in _PLAIN and len(words) >= _WORDS_MIN]
    keys.sort(key=lambda key: -len(found[key]))
    return [Table(key, _texts(program, key)) for key in keys[:KEYS_MAX]]


def _texts(program: bytes, key: int) -> tuple[str, ...]:
    # C's NULs are sought as they stand: behind the XOR they would be a character like others.
    characters = b"".join(re.escape(bytes((code ^ key,))) for code in range(0x20, 0x7F) if code != key)
    form = re.compile(rb"[%b]{%d,%d}(?=%b\0)" % (characters, _CHARS_MIN, _CHARS_MAX, re.escape(bytes((key,)))))
    texts: dict[str, None] = {}
    for text in form.finditer(program):
        texts[xored(text[0], bytes((key,))).decode("ascii")] = None
        if len(texts) == TEXTS_MAX:
            break
    return tuple(texts)
