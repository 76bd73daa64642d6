"""Notes: a few words of text that the shell wrote, and of which nothing was made. Not worth an artefact.

Mirai's loader leaves one in every writable mount, to see whether it can; the command that wrote it, which is an event,
says all there is to say. But text that is run, decoded, or laid where a device will run it later is never a note.
"""

from __future__ import annotations

import re

from eudaemon.world.files import Files, Written
from eudaemon.world.shell.limits import NOTE_BYTES_MAX

_LOOKED_AT_BYTES = 4096  # of what is run or decoded: a few words that came from a file stand near its beginning
_TEXT = bytes((*b"\t\n\r", *range(0x20, 0x7F)))
_RUN_LATER = re.compile(
    rb"/([^/]*cron[^/]*|init\.d|inittab|rc[^/]*|profile(\.d)?|\.profile|\.\w+rc|\.bash_\w+|\.ssh|authorized_keys"
    rb"|ld\.so\.preload|systemd|[^/]*\.(sh|service))(/|$)"
)
TURNING = frozenset(("base64", "xxd", "tr", "sed", "awk", "rev", "tac", "tar", "unzip", "gunzip", "zcat", "bunzip2",
                     "bzcat"))  # fmt: skip
"""The applets that make one thing of another."""
_AT_ONCE = frozenset(("base64", "xxd", "certutil", "tar", "gunzip", "zcat", "gzip", "cat", "dd", "copy", "type"))
_AT_ONCE_BYTES = 8  # that cost no more than one that is looked at


def reading_costs(name: str, data: bytes) -> int:
    """Return what it costs a command to read this: some copy or decode it at once, others look at each byte."""
    return len(data) // _AT_ONCE_BYTES if name in _AT_ONCE else len(data)


def is_note(path: bytes, file: Written) -> bool:
    """Say whether a file, at its resolved path, is no more than a note."""
    data = file.data
    return (len(data) <= NOTE_BYTES_MAX and not file.used and not file.mode & 0o111 and data[:2] != b"#!"
            and not data.translate(None, _TEXT) and not _RUN_LATER.search(path))  # fmt: skip


def note_used(files: Files, data: bytes) -> None:
    """Note that `data` is being run or decoded: the small files whose text is in it are no notes any more."""
    head = bytes(data[:_LOOKED_AT_BYTES])
    for _, file in files.written():
        if 0 < len(file.data) <= NOTE_BYTES_MAX and file.data.strip() in head:
            file.used = True
