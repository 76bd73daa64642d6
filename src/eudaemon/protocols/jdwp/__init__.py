"""Java's debugger wire protocol: a JVM that was started to be debugged, by anybody."""

from eudaemon.protocols.jdwp.room import Jdwp

__all__ = ["Jdwp"]
