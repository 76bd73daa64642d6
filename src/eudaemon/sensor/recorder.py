"""What both sides said, as it is said: in memory while it is short, on disk when it is not, an artefact at the end.

A conversation of up to `BLOB_BYTES_MAX` travels through the spool beside the event that names it: no file, no fsync of
its own. A longer one is a file like any other artefact.
"""

from __future__ import annotations

import hashlib

from eudaemon.payload.fetch.transfer import NoRoomError
from eudaemon.sensor.artefacts import BUFFER_BYTES_MAX, ArtefactStore, Sink
from eudaemon.sensor.spool import Spool
from eudaemon.wire import Purse
from eudaemon.wire.conversation import MAGIC, encode

BLOB_BYTES_MAX = 8 * 1024


class Recorder:
    """Records one conversation, up to a limit; beyond it, and while captures are stopped, nothing.

    What it holds in memory it takes from `purse`, which all sessions share.
    """

    __slots__ = ("_bytes_left", "_memory", "_purse", "_sink", "_store", "_taken")

    def __init__(self, store: ArtefactStore, purse: Purse, conversation_bytes_max: int) -> None:
        self._store = store
        self._purse = purse
        self._bytes_left = conversation_bytes_max
        self._memory = b""
        self._taken = 0
        self._sink: Sink | None = None

    def note(self, side: int, ms: int, data: bytes) -> None:
        """Note what one side said."""
        if self._bytes_left <= 0:
            return
        record = encode(side, ms, data[: self._bytes_left])
        self._bytes_left -= len(data)
        if self._sink is None and len(self._memory) + len(record) <= BLOB_BYTES_MAX and self._take(len(record)):
            self._memory += record
            return
        try:
            if self._sink is None:
                self._sink = self._begun()
            self._sink.write(record)
        except NoRoomError:
            self.forget()

    def finish(self, spool: Spool) -> str:
        """End; return the SHA-256 under which the conversation is kept, empty if it is not."""
        sha256 = ""
        if self._sink is not None:
            try:
                sha256, _ = self._sink.commit()
                self._sink = None
            except NoRoomError:
                pass
        elif self._memory and not self._store.stopped:
            whole = MAGIC + self._memory
            spool.append_blob(whole)
            sha256 = hashlib.sha256(whole).hexdigest()
        self.forget()
        return sha256

    def forget(self) -> None:
        """Give up what is not finished: nothing more is recorded."""
        self._bytes_left = 0
        self._memory = b""
        self._purse.give_back(self._taken)
        self._taken = 0
        if self._sink is not None:
            self._sink.abort()
            self._sink = None

    def _begun(self) -> Sink:
        """Return a file for what was in memory so far. Raises `NoRoomError`."""
        start, self._memory = MAGIC + self._memory, b""
        self._purse.give_back(self._taken)
        self._taken = 0
        if not self._take(BUFFER_BYTES_MAX):
            raise NoRoomError("no memory for it")
        sink = Sink(self._store)
        sink.write(start)
        return sink

    def _take(self, count: int) -> bool:
        taken = self._purse.take(count)
        self._taken += count * taken
        return taken
