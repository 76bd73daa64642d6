"""What the commands of possession share: reading pids, saying what went wrong, and lines about a process."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from eudaemon.possession.errors import PossessionError
from eudaemon.possession.status import Status

COLUMNS = ("pid", "name", "mode", "threads", "fragments", "cache", "frozen", "since", "trouble")


def add_pids(parser: argparse.ArgumentParser, number: str = "+") -> None:
    """Declare `PID…`."""
    parser.add_argument("pids", type=_pid, nargs=number, metavar="PID", help="process id, as `pidof NAME` prints it")


def tell(pid: int, error: PossessionError) -> None:
    """Say on standard error what went wrong with a process, and what to do."""
    print(f"eudaemon: {pid}: {error.reason}", file=sys.stderr)
    if error.do:
        print(f"  → {error.do}", file=sys.stderr)


def duration(nanoseconds: float) -> str:
    """Return a length of time as a person reads it."""
    for unit, size in (("h", 3.6e12), ("min", 6e10), ("s", 1e9), ("ms", 1e6)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.1f} {unit}"
    return f"{nanoseconds / 1e3:.0f} µs"


def size(number: int) -> str:
    """Return a number of bytes as a person reads it."""
    for unit, bytes_each in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if number >= bytes_each:
            return f"{number / bytes_each:.1f} {unit}"
    return f"{number} B"


def table(statuses: list[Status]) -> Iterator[str]:
    """Yield the lines of a table of possessed processes."""
    rows = [COLUMNS, *(_row(status) for status in statuses)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def values(status: Status) -> dict[str, Any]:
    """Return a status for `--json`."""
    return asdict(status)


def _row(status: Status) -> tuple[str, ...]:
    running = status.threads.get("running", 0)
    others = [f"{count} {state}" for state, count in status.threads.items() if state != "running"]
    since = duration(time.time_ns() - status.possessed_at_ns) if status.possessed_at_ns else status.state
    trouble = "" if status.trouble == "none" else status.trouble
    return (
        str(status.pid), status.name, status.mode, ", ".join([str(running), *others]), str(status.fragments),
        size(status.cache_bytes), duration(status.frozen_ns), since, trouble,
    )  # fmt: skip


def _pid(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no process id: a number, as `pidof NAME` prints it")
    return int(text)
