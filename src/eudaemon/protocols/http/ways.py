"""Which of the holes that no product of ours has are open to an address: those that it found first.

A scanner tries a hundred ways in. A host that is a router, a shop and a build server at once is none of them, so the
general rule shows an address the fruit of its first few attempts, and the same again at the same places. What it tries
elsewhere is taken just so, but answered as by a server on which there is no such page.
"""

from __future__ import annotations

import re

from eudaemon.protocols._base import Visit
from eudaemon.protocols._places import Look

WAYS_MAX = 4  # of an address
_PATH_BYTES_MAX = 96
_ENDS = re.compile(rb"\.\.|[;|`$&%{<\"'\s]|/etc/")
_SERVICE = "http ways"


def is_open(visit: Visit, look: Look) -> bool:
    """Say whether this address gets in here, and remember where it did."""
    way = _ENDS.split(look.path, maxsplit=1)[0][:_PATH_BYTES_MAX].lower() or b"/"
    known = visit.memory.recall(_SERVICE, visit.attacker.ip).split(b"\n")
    ways = [each for each in known if each]
    if way in ways:
        return True
    if len(ways) >= WAYS_MAX:
        return False
    visit.memory.remember(_SERVICE, visit.attacker.ip, b"\n".join((*ways, way.replace(b"\n", b""))))
    return True
