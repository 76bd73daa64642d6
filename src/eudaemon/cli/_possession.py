"""What the commands of possession share: reading pids, saying what went wrong, and lines about a process."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from typing import Any, TextIO

from eudaemon.possession import PossessionError, Refused, Vanished, adopt
from eudaemon.possession.abi import Abi
from eudaemon.possession.errors import OperationFailed
from eudaemon.possession.refuse import Door, traced
from eudaemon.possession.status import Family, Status

COLUMNS = ("pid", "name", "mode", "threads", "fragments", "cache", "frozen", "since", "alerts", "trouble")
_ROUNDS_MAX = 20


def add_pids(parser: argparse.ArgumentParser, number: str = "+") -> None:
    """Declare `PID…`."""
    parser.add_argument("pids", type=_pid, nargs=number, metavar="PID", help="process id, as `pidof NAME` prints it")


def say(line: str, where: TextIO | None = None) -> bool:
    """Print a line. False: nobody hears it, the pipe or the terminal is closed or the disk full; nor any later one."""
    stream = where or sys.stdout
    try:
        print(line, file=stream, flush=True)
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())  # or the end of Python fails over what has not been written
        os.close(nowhere)
        return False
    return True


def tell(pid: int, error: PossessionError) -> None:
    """Say on standard error what went wrong with a process, and what to do."""
    if isinstance(error, OperationFailed):  # most often as there can be but one tracer
        with suppress(PossessionError):
            reason, do = next(traced(Door(pid)), (error.reason, error.do))
            error = Refused(reason, do)
    about = "" if str(pid) in error.reason else f"process {pid}: "
    say(f"eudaemon: {about}{error.reason}", sys.stderr)
    if error.do:
        say(f"  → {error.do}", sys.stderr)


def fact(pid: int, did: str, frozen_ns: int, remarks: list[str], *, as_json: bool, **more: object) -> str:
    """Return what was done with a process, in words or as JSON. No time is said where nothing was stopped."""
    if as_json:
        return json.dumps({"pid": pid, "did": did, "frozen_ns": frozen_ns, "remarks": remarks, **more})
    child = f", a child of {more['child_of']}" if "child_of" in more else ""
    stood = f"; it stood for {duration(frozen_ns)}" if frozen_ns else ""
    return "\n".join([f"{pid}: {did}{child}{stood}", *(f"  ! {remark}" for remark in remarks)])


def release_children(pid: int, family: Family, abi: Abi, *, as_json: bool) -> tuple[list[str], bool]:
    """Release those whom a process forked while it was possessed, and theirs. Return the lines, and if all are free."""
    lines: list[str] = []
    tried: set[int] = set()
    for _ in range(_ROUNDS_MAX):  # they may fork meanwhile
        new = [child.pid for child in family.living(abi) if child.pid not in tried]
        if not new:
            break
        for child in new:
            tried.add(child)
            try:
                possession = adopt(child)
                possession.release()
            except Vanished:
                continue
            except PossessionError as error:
                tell(child, error)
                continue
            if not possession.is_gone:
                spent = possession.released_ns, possession.remarks
                lines.append(fact(child, "released", *spent, as_json=as_json, child_of=pid))
    left = [str(child.pid) for child in family.living(abi)]
    if not left:
        return lines, True
    if as_json:
        lines.append(json.dumps({"pid": pid, "did": "left", "children": [int(child) for child in left]}))
    else:
        stay = f"its children {', '.join(left)} stay" if left[1:] else f"its child {left[0]} stays"
        lines.append(f"  ! {stay} possessed → eudaemon release {' '.join(left)}")
    return lines, False


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
        size(status.cache_bytes), duration(status.frozen_ns), since,
        str(status.alerts or ""), trouble,
    )  # fmt: skip


def _pid(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no process id: a number, as `pidof NAME` prints it")
    return int(text)
