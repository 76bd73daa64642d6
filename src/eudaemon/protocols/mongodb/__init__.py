"""MongoDB 4.4 to 6.0 without authentication, as ransom's bots look for it: what they read, drop and leave behind.

`bson` is how documents are written, `messages` how they travel, `server` who answers, `collections` what is stored,
`commands` what can be said, `room` the connection.
"""

from __future__ import annotations

from typing import ClassVar

from eudaemon.protocols._base import Claim
from eudaemon.protocols._later import Later

# Kinds of messages, of today and of before.
_KINDS = frozenset((2001, 2002, 2004, 2005, 2006, 2007, 2012, 2013))


class MongoDb(Later):
    """See the module."""

    __slots__ = ()
    name: ClassVar[str] = "mongodb"
    conversation: ClassVar[str] = "eudaemon.protocols.mongodb.room:Conversation"

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """A message of a kind that there is."""
        if len(first) < 16:
            return Claim.UNSURE if len(first) < 4 or int.from_bytes(first[:4], "little") < 1 << 16 else Claim.NO
        return Claim.YES if int.from_bytes(first[12:16], "little") in _KINDS else Claim.NO
