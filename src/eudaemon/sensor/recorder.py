"""What both sides said, as it is said: in memory while it is short, on disk when it is not, an artefact at the end.

A conversation of up to `BLOB_BYTES_MAX` travels through the spool beside the event that names it: no file, no fsync of
its own. A longer one is a file like any other artefact.
"""

from __future__ import annotations

import hashlib

from eudaemon.payload.fetch.transfer import NoRoomError
from eudaemon.sensor.artefacts import ArtefactStore, Sink
from eudaemon.sensor.spool import Spool
from eudaemon.wire.conversation import ATTACKER, MAGIC, encode

BLOB_BYTES_MAX = 8 * 1024


class Recorder:
    """Records one conversation, up to a limit; beyond it, and while captures are stopped, nothing."""

    __slots__ = ("_bytes_left", "_memory", "_sink", "_store")

    def __init__(self, store: ArtefactStore, conversation_bytes_max: int) -> None:
        self._store = store
        self._bytes_left = conversation_bytes_max
        self._memory = b""
        self._sink: Sink | None = None

    def note(self, side: int, ms: int, data: bytes) -> None:
        """Note what one side said."""
        if self._bytes_left <= 0 or (not self._memory and self._sink is None and side != ATTACKER and not data):
            return
        record = encode(side, ms, data[: self._bytes_left])
        self._bytes_left -= len(data)
        if self._sink is None and len(self._memory) + len(record) <= BLOB_BYTES_MAX:
            self._memory += record
            return
        try:
            if self._sink is None:
                self._sink = Sink(self._store)
                self._sink.write(MAGIC + self._memory)
                self._memory = b""
            self._sink.write(record)
        except NoRoomError:
            self.forget()

    def finish(self, spool: Spool) -> str:
        """End; return the SHA-256 under which the conversation is kept, empty if it is not."""
        if self._sink is not None:
            try:
                sha256, _ = self._sink.commit()
            except NoRoomError:
                self.forget()
                return ""
            return sha256
        if not self._memory or self._store.stopped:
            return ""
        whole = MAGIC + self._memory
        spool.append_blob(whole)
        return hashlib.sha256(whole).hexdigest()

    def forget(self) -> None:
        """Give up: nothing more is recorded, and nothing of this conversation is kept."""
        self._bytes_left = 0
        self._memory = b""
        if self._sink is not None:
            self._sink.abort()
            self._sink = None
