"""What is asked of taint analysis: whose input is followed, and what happens when it takes control.

inet                    IPv4 and IPv6 sockets
unix                    Unix sockets, and pipes but for standard input
stdin                   standard input
file:GLOB               files, as the process sees their paths
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from eudaemon.possession.abi import Abi
from eudaemon.possession.mailbox import Mailbox

SOURCES = ("inet", "unix", "stdin", "file")
VERDICTS = ("observe", "contain", "kill", "release")
PATIENCE_MS = 2000  # how long a thread waits for a verdict, should we be gone; nobody waits where we have detached
GLOBS_MAX = 16
PATHS_MAX = 4096  # looked at for one pattern


@dataclass(frozen=True, slots=True)
class Taint:
    """The policy. `sources` are of `SOURCES`, in that order; `globs` are absolute."""

    sources: tuple[str, ...] = ("inet",)
    globs: tuple[str, ...] = ()
    on_alert: str = "contain"
    stores: bool = False  # whether a tagged address of a store is an alert, too
    patience_ms: int = PATIENCE_MS

    def __post_init__(self) -> None:
        if self.on_alert not in VERDICTS:
            raise ValueError(f"on alert {self.on_alert!r} is none of {', '.join(VERDICTS)}")

    @staticmethod
    def of(text: str, on_alert: str = "contain", *, stores: bool = False) -> Taint:
        """Read `inet,unix,stdin,file:GLOB`. Raises `ValueError` with what is wrong with it."""
        sources: set[str] = set()
        globs: list[str] = []
        for word in (word.strip() for word in text.split(",")):
            kind, colon, pattern = word.partition(":")
            if kind not in SOURCES or bool(colon) != (kind == "file"):
                raise ValueError(f"{word!r} is no source of input: inet, unix, stdin or file:GLOB")
            if kind == "file" and not pattern.startswith("/"):
                raise ValueError(f"{word!r}: the pattern of files begins with a slash, as in file:/srv/upload/*")
            sources.add(kind)
            if pattern and pattern not in globs:
                globs.append(pattern)
        if len(globs) > GLOBS_MAX:
            raise ValueError(f"there are {len(globs)} patterns of files, of {GLOBS_MAX} that are possible")
        ordered = tuple(name for name in SOURCES if name in sources)
        return Taint(ordered, tuple(globs), on_alert, stores)

    @staticmethod
    def in_mailbox(mailbox: Mailbox) -> Taint:
        """Return the policy of what somebody else has possessed: without patterns, which only he knows."""
        sources, on_alert, stores, patience_ms = mailbox.get("sources", "on_alert", "store_alerts", "patience_ms")
        named = tuple(name for name in SOURCES if sources & mailbox.abi[f"source::{name.upper()}"])
        verdict = mailbox.abi.name_of("verdict", on_alert)
        return Taint(named, (), verdict if verdict in VERDICTS else "contain", bool(stores), patience_ms)

    def fields(self, abi: Abi) -> dict[str, int]:
        """Return the fields of a mailbox that say so."""
        return {
            "sources": sum(abi[f"source::{name.upper()}"] for name in self.sources),
            "on_alert": abi[verdict_constant(self.on_alert)],
            "patience_ms": self.patience_ms,
            "store_alerts": int(self.stores),
        }


def verdict_constant(verdict: str) -> str:
    """Return the engine's name for a verdict. Who is to be released goes no further meanwhile: it is contained."""
    return f"verdict::{('contain' if verdict == 'release' else verdict).upper()}"


class Files:
    """Files that are sources of a process, found by pattern, again and again; as the mailbox has them."""

    def __init__(self, globs: tuple[str, ...]) -> None:
        self._globs = globs
        self.are_too_many = False

    def find(self, pid: int, most: int) -> list[tuple[int, int]]:
        """Return device and inode of at most so many files, as the process itself would find them."""
        found: dict[tuple[int, int], None] = {}
        for pattern in self._globs:
            root = glob.escape(f"/proc/{pid}/root")  # where its paths begin: it may live in a container
            paths = glob.iglob(root + pattern, recursive=True)  # noqa: PTH207  # a pattern with a root of its own
            for path in islice(paths, PATHS_MAX):
                try:
                    seen = os.stat(path)  # noqa: PTH116  # thousands, several times a second
                except OSError:
                    continue
                found[seen.st_dev, seen.st_ino] = None
        self.are_too_many = len(found) > most
        return list(found)[:most]


def write_files(mailbox: Mailbox, files: Iterable[tuple[int, int]]) -> None:
    """Write which files are sources. The rest of the table is zeros, which is nobody's inode."""
    entry, field = mailbox.abi.records["File"], mailbox.record["files"]
    raw = bytearray(field.size)
    count = 0
    for device, inode in files:
        entry.pack(raw, count * entry.size, device=device, inode=inode)
        count += 1
    mailbox.memory.write(mailbox.address + field.offset, raw)
    mailbox.set("file_count", count)
