"""MySQL 5.5 to 8.0 whose root has a weak password or none: libraries written as files, functions out of them, ransom.

`packets` is the protocol, `secrets` the logins, `server` who answers, `statements` and `shows` what can be said, `room`
the connection.
"""

from __future__ import annotations

from typing import ClassVar

from eudaemon.protocols._base import Claim
from eudaemon.protocols._later import Later


class MySql(Later):
    """See the module."""

    __slots__ = ()
    name: ClassVar[str] = "mysql"
    speaks_first: ClassVar[bool] = True
    conversation: ClassVar[str] = "eudaemon.protocols.mysql.room:Conversation"

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """A handshake response: packet number 1, of a plausible length."""
        if len(first) < 4:
            return Claim.UNSURE if first[1:3] in (b"", b"\0", b"\0\0") else Claim.NO
        return Claim.YES if first[1:4] == b"\0\0\x01" and first[0] >= 5 else Claim.NO
