"""The texts that stand in a file: ASCII and UTF-16LE, and which of them say something. Bounded; reads no format."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import merge
from itertools import islice

CHARS_MIN = 5
CHARS_MAX = 1024  # of one text; a longer run is cut into several
STRINGS_MAX = 5000
_ASCII = re.compile(rb"[\t\x20-\x7e]{%d,%d}" % (CHARS_MIN, CHARS_MAX))
_WIDE = re.compile(rb"(?:[\t\x20-\x7e]\0){%d,%d}" % (CHARS_MIN, CHARS_MAX))
_TELLING = re.compile(
    r"(?i)(?:https?|ftp|tftp|ldap|stratum\+\w+|tcp|wss?)://|\b\d{1,3}(?:\.\d{1,3}){3}\b|[\w.+-]+@[\w-]+\.[a-z]{2,}"
    r"|/(?:bin|dev|etc|proc|tmp|var|usr|sbin)/|wget|curl|tftp|busybox|chmod|iptables|crontab|authorized_keys"
    r"|user-agent|^(?:get|post) /|\.onion\b|password|xmrig|stratum|[a-z]:\\|powershell|cmd\.exe|hkey_|software\\"
)


@dataclass(frozen=True, slots=True)
class Text:
    """One text, where it stands, and whether its characters are two bytes wide."""

    offset: int
    text: str
    wide: bool = False

    @property
    def telling(self) -> bool:
        """Whether it names a place, a path, or a tool."""
        return _TELLING.search(self.text) is not None


def strings(data: bytes, *, count_max: int = STRINGS_MAX) -> Iterator[Text]:
    """Yield the texts of a file in the order in which they stand, ASCII and UTF-16LE together, at most `count_max`."""
    for found in islice(merge(_ASCII.finditer(data), _WIDE.finditer(data), key=re.Match.start), count_max):
        wide = found.re is _WIDE
        yield Text(found.start(), found[0].decode("utf-16-le" if wide else "ascii"), wide)
