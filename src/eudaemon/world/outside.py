"""What the pretended host wishes from the outside, and what it is told came of it. Nothing here fetches."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Download:
    """A wish: get this. `url` is absolute: `scheme://[user:password@]host[:port]/path`, the host in brackets if IPv6.

    `tool` is the command or protocol that wished (`wget`, `tftp`, `class loading`), `name` the name it was to get.
    """

    url: str
    tool: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Downloaded:
    """The answer to a `Download`.

    `outcome` is `ok`, `partial`, `missing` (the server has no such file), `failed` (no answer, reset, nonsense) or
    `refused` (by our policy; to the attacker it must look like `failed`). `head` is the start of the content, at
    most `HEAD_BYTES_MAX`; `size` is that of the whole, which lies on disk under `sha256`.
    """

    url: str
    outcome: str
    reason: str = ""
    head: bytes = b""
    size: int = 0
    sha256: str = ""


HEAD_BYTES_MAX = 256 * 1024
