"""What of a process's input the engine cannot see or has come too late for: said, never passed over."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from eudaemon.possession.errors import PossessionError
from eudaemon.possession.maps import read_maps

_NAMED_MAX = 3  # mappings that are named in one remark


def unseen(pid: int, sources: tuple[str, ...]) -> Iterator[str]:
    """Yield remarks: what brings input past the engine, and what came before it."""
    links = list(_links(pid))
    rings = sum(link == "anon_inode:[io_uring]" for link in links)
    if rings:
        yield f"it uses io_uring ({_count(rings, 'ring')}): input that comes that way is not followed"
    with suppress(PossessionError):
        areas = read_maps(pid)
        if any(area.path.startswith("/[aio]") for area in areas):
            yield "it uses the kernel's asynchronous input (AIO): what comes that way is not followed"
        named = {area.path for area in areas if area.rights[1] == "w" and area.rights[3] == "s"}
        shared = sorted(path for path in named if not path.startswith(("anon_inode:", "/[aio]")))
        if shared:
            more = f" and {len(shared) - _NAMED_MAX} more" if len(shared) > _NAMED_MAX else ""
            some = ", ".join(path or "(no name)" for path in shared[:_NAMED_MAX])
            yield f"it shares memory with others ({some}{more}): what they write there is not followed"
    sockets = sum(link.startswith("socket:") for link in links)
    if sockets and {"inet", "unix"} & set(sources):
        yield f"what its {_count(sockets, 'open socket')} brought before now is not followed"


def _links(pid: int) -> Iterator[str]:
    folder = f"/proc/{pid}/fd"
    with suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208
            with suppress(OSError):  # closed meanwhile
                yield os.readlink(f"{folder}/{name}")  # noqa: PTH115


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("s" if number != 1 else "")
