"""Android's debug bridge, open to everybody. AOSP: packages/modules/adb, protocol.txt, SYNC.TXT and SERVICES.TXT.

bytes --> messages --> streams: shell, sync, …     `messages` frames, `streams` and `sync` are services on a stream,
                                                   `room` is the connection that holds them
"""

from eudaemon.protocols.adb.room import Adb

__all__ = ["Adb"]
