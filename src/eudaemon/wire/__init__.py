"""Bytes without meaning: limits, readers, and the peer's fault. No sockets; imports nothing of ours."""

from eudaemon.wire.faults import PeerError
from eudaemon.wire.purse import Purse
from eudaemon.wire.readers import ByteReader, LineReader
from eudaemon.wire.text import clipped, printable

__all__ = ["ByteReader", "LineReader", "PeerError", "Purse", "clipped", "printable"]
