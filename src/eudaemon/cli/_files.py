"""Reading a file that somebody names on the command line, with a plain word where it cannot be read."""

from __future__ import annotations

import sys
from pathlib import Path

FILE_BYTES_MAX = 256 * 1024 * 1024
STANDARD_INPUT = Path("-")


class UnreadableError(Exception):
    """A file that cannot be used. The message names it and says why."""


def read(path: Path) -> bytes:
    """Return a file's bytes, or standard input's for `-`. Raises `UnreadableError`."""
    try:
        if path == STANDARD_INPUT:
            data = sys.stdin.buffer.read(FILE_BYTES_MAX + 1)
            if len(data) > FILE_BYTES_MAX:
                raise UnreadableError(f"standard input: over {FILE_BYTES_MAX} bytes")
            return data
        if path.is_file() and path.stat().st_size > FILE_BYTES_MAX:
            raise UnreadableError(f"{path}: over {FILE_BYTES_MAX} bytes")
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise UnreadableError(f"{path}: {(error.strerror or str(error)).lower()}") from None
    if len(data) > FILE_BYTES_MAX:
        raise UnreadableError(f"{path}: over {FILE_BYTES_MAX} bytes")
    return data
