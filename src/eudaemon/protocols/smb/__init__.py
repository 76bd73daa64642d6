"""Windows' file sharing: SMB 1, 2.0.2 and 2.1 on TCP 445, and behind NetBIOS on 139.

    room          the framing
    smb1, smb2    the dialects; `files1` and `files2` are what they do with files, `connection` what they share
    transactions  what comes in several parts; with `doublepulsar`, what EternalBlue and its heirs do
    opens, disk   files, folders and pipes; the services behind the pipes are `_dcerpc`'s
    commands      what somebody wants run

All of this is loaded when the first peer comes.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import ClassVar

from eudaemon.protocols._base import Claim, Occasion, Order, Room, Visit
from eudaemon.world.windows import ENGINE

LATER = "eudaemon.protocols.smb.room"
_MAGICS = (b"\xffSMB", b"\xfeSMB")
_CALL = b"\x81\0\0\x44"


class Smb(Room):
    """See the module."""

    __slots__ = ("_conversation",)
    name: ClassVar[str] = "smb"
    loads_later: ClassVar[tuple[str, ...]] = (LATER, *ENGINE)

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._conversation: Room = import_module(LATER).Conversation(visit)

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """A message of SMB in its frame, or a call of NetBIOS."""
        if first[:1] == _CALL[:1]:
            return Claim.UNSURE if len(first) < len(_CALL) else Claim.YES if first.startswith(_CALL) else Claim.NO
        if first[:1] != b"\0":
            return Claim.NO
        if len(first) < 8:
            return Claim.UNSURE if any(magic.startswith(first[4:8]) for magic in _MAGICS) else Claim.NO
        return Claim.YES if first[4:8] in _MAGICS else Claim.NO

    def tell(self, occasion: Occasion) -> Iterable[Order]:
        """See `Room`."""
        return self._conversation.tell(occasion)
