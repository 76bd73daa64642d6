"""One password for a user, as far as one address can tell.

Rooms let in with many passwords, for bots try few. Whoever tries a whole list would find that many of them are right,
and others at each door, as at no real device. So what first let an address in as somebody is that user's password
from then on, at all doors of the same accounts. To others another may be: the scanner that finds a pair and the loader
that uses it come from different addresses.
"""

from __future__ import annotations

from eudaemon.protocols._base import Visit
from eudaemon.protocols._remembered import Remembered

DEVICE, WINDOWS = "device", "windows"  # whose accounts they are, besides those of each database


def admits(visit: Visit, user: bytes, password: bytes, *, right: bool, accounts: str = DEVICE) -> bool:
    """Say whether a login that is `right` as such lets its address in, and remember that it did."""
    if not right:
        return False
    remembered = Remembered(visit, f"logins {accounts}")
    for (known,) in remembered.each(user):
        return known == b"=" + password
    remembered.add(user, b"=" + password)
    return True


def is_settled(visit: Visit, user: bytes, accounts: str = DEVICE) -> bool:
    """Say whether a password of this user's is known to the address."""
    return any(Remembered(visit, f"logins {accounts}").each(user))
