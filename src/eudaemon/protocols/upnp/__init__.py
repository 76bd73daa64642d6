"""A router's UPnP: found over UDP 1900, described and ordered about over HTTP, and broken into there.

`device` is who answers and how it describes itself, `mappings` the ports that one has it forward, `room` the dialogues.
"""

from eudaemon.protocols.upnp.room import Upnp

__all__ = ["Upnp"]
