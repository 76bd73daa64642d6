"""Remote Desktop (MS-RDPBCGR): with Network Level Authentication or without, as the seed has it, to a black screen.

`pdus` is how bytes are packets, `keys` what is typed, `room` the conversation.
"""

from eudaemon.protocols.rdp.room import Rdp

__all__ = ["Rdp"]
