"""What came of a message of which more was to come. Encoded as it is, it may be all that there is of a file."""

from __future__ import annotations

from collections.abc import Iterator

from eudaemon.protocols._base import Keep

KEPT_BYTES_MIN = 512  # what is smaller is a word or two


def broken_off(held: bytes | bytearray, name: str) -> Iterator[Keep]:
    """Yield the order that keeps it. `name` says what it is of."""
    if len(held) >= KEPT_BYTES_MIN:
        yield Keep(bytes(held), "payload", f"unfinished {name}", partial=True)
