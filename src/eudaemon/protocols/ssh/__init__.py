"""SSH 2 as Dropbear or OpenSSH speaks it, with the pretended host's shell and files behind. RFC 4250 to 4254.

    products      which server is pretended: its identification and lists
    transport     identification, key exchange, packets; `agreement`, `keys`, `packets`, `primitives` serve it
    login         passwords and public keys
    connection    channels and their windows; `programs` is what runs in them
    room          puts these together

The primitives are the library `cryptography`'s. It is loaded, and with it all of this, when the first peer comes: a
sensor that nobody speaks SSH with does without its 9 MiB.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import ClassVar

from eudaemon.protocols._base import Claim, Occasion, Order, Room, Visit

_BEGINS = b"SSH-"
LATER = "eudaemon.protocols.ssh.room"


class Ssh(Room):
    """See the module."""

    __slots__ = ("_conversation",)
    name: ClassVar[str] = "ssh"
    speaks_first: ClassVar[bool] = True
    recorded: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ("cryptography",)

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._conversation: Room = import_module(LATER).Conversation(visit)

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """A client says who it is before anything else."""
        if first[:4] == _BEGINS:
            return Claim.YES
        return Claim.UNSURE if _BEGINS.startswith(first) else Claim.NO

    def tell(self, occasion: Occasion) -> Iterable[Order]:
        """See `Room`."""
        return self._conversation.tell(occasion)
