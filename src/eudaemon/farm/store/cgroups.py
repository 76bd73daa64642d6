"""The engine without control groups: it tells with a stack trace that it finds none, which is no fault."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
_TOLD = re.compile(rb"Cannot use cgroups reader: .*?\(version [\d.]+\)\n?", re.DOTALL)


@contextmanager
def without_cgroups() -> Iterator[None]:
    """Keep the engine from telling so, while it is imported and opened: what it needs it asks of the kernel.

    So it is within `ip netns exec`, whose /sys is a new one. What else comes to standard error is passed on.
    """
    if _are_there():
        yield
        return
    kept, held = os.dup(2), os.memfd_create("stderr")
    os.dup2(held, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        with os.fdopen(held, "rb") as file:
            file.seek(0)
            told = _TOLD.sub(b"", file.read())
        os.write(2, told)


def _are_there() -> bool:
    try:
        return any(CGROUPS.iterdir())
    except OSError:
        return False
