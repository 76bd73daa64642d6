"""Remote Desktop (MS-RDPBCGR) up to the login: with Network Level Authentication or without, as the seed has it.

`pdus` is how bytes are packets, `room` the conversation.
"""

from eudaemon.protocols.rdp.room import Rdp

__all__ = ["Rdp"]
