"""Microsoft SQL Server 2008 to 2019 whose `sa` has a weak password: commands, OLE automation, assemblies.

`tds` is the protocol, `logins` and `calls` what comes in it, `answers` what goes out, `server` who answers, `batch`
what Transact-SQL does, `procedures` and `automation` what its procedures do, `session` what all work on, `room` the
connection.
"""

from __future__ import annotations

from typing import ClassVar

from eudaemon.protocols._base import Claim
from eudaemon.protocols._later import Later


class MsSql(Later):
    """See the module."""

    __slots__ = ()
    name: ClassVar[str] = "mssql"
    conversation: ClassVar[str] = "eudaemon.protocols.mssql.room:Conversation"

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """A PRELOGIN or a login in one packet or the first of several."""
        if first[:1] not in (b"\x12", b"\x10", b"\x02") or (len(first) > 1 and first[1] not in (0, 1)):
            return Claim.NO
        return Claim.YES if len(first) >= 8 and first[:1] == b"\x12" and first[4:6] == b"\0\0" else Claim.UNSURE
