"""VNC: the RFB protocol 3.3, 3.7 and 3.8 (RFC 6143), a desktop with a password or with none.

`room` is the conversation, `screen` what is seen, `des` the answer to the challenge.
"""

from eudaemon.protocols.vnc.room import Vnc

__all__ = ["Vnc"]
