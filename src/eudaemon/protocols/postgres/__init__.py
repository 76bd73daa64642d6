"""PostgreSQL 9.6 to 14 whose administrator has a weak password: programs, libraries and files through SQL.

`messages` is the protocol, `server` who answers, `catalogue` what it tells of itself, `large` its large objects,
`functions`, `copying` and `statements` what can be said, `session` what it works on, `room` the connection.
"""

from __future__ import annotations

from typing import ClassVar

from eudaemon.protocols._base import Claim
from eudaemon.protocols._later import Later

# What a first message may ask for: TLS, GSSAPI, that a query is cancelled, or version 3 of the protocol.
_CODES = frozenset((80_877_103, 80_877_104, 80_877_102, 196_608))


class Postgres(Later):
    """See the module."""

    __slots__ = ()
    name: ClassVar[str] = "postgres"
    conversation: ClassVar[str] = "eudaemon.protocols.postgres.room:Conversation"

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """A start with version 3, or the wish to encipher."""
        if len(first) < 8:
            return Claim.UNSURE if first[:2] in (b"", b"\0", b"\0\0") else Claim.NO
        code = int.from_bytes(first[4:8], "big")
        return Claim.YES if first[:2] == b"\0\0" and code in _CODES else Claim.NO
