"""Telnet as BusyBox's telnetd and login speak it, with the pretended host's shell behind. RFC 854, 855, 1073.

`iac` takes the protocol's commands out of the bytes, `room` is the conversation: login, password, shell.
"""

from eudaemon.protocols.telnet.room import Telnet

__all__ = ["Telnet"]
