"""Bytes that attackers brought, each kept once under its SHA-256, never executable, never half.

    write -> .part-N (mode 0600) -> commit: pending -> settle: fsync, mode 0400, rename to its hash, fsync the folder

`settle` runs in a thread, for many at once, before the events that name them become durable: an event that the farm has
acknowledged never names an artefact that a power cut took. Temporary files lie in the same folder, because Landlock's
first version forbids to rename from one folder into another.

When the quota or the disk is full captures stop, and say so; what is kept is not touched.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from eudaemon.events import Fact
from eudaemon.events.catalogue import CaptureResumed, CaptureStopped
from eudaemon.payload.fetch.transfer import NoRoomError
from eudaemon.sensor.settings import Capture

log = logging.getLogger("eudaemon.sensor")

BUFFER_BYTES_MAX = 4 * 1024  # of one sink in memory, before it becomes a file
LOOK_S = 1.0  # how often the disk is asked for its free space
_RESUME_AT = 0.95  # of a quota: where captures go on again
_PART = ".part-"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class ArtefactStore:
    """The folder of artefacts. All but `settle` belongs to the loop's thread."""

    def __init__(self, folder: Path, capture: Capture, state: Callable[[Fact], None]) -> None:
        self.folder = folder
        self._capture = capture
        self._state = state
        self.stopped = ""  # why nothing is kept, empty while things are
        self.bytes_kept = 0  # on disk, including what is being written
        self.files_kept = 0
        self._missed = 0
        self._parts = 0
        self._pending: dict[str, Path] = {}
        self._settling: dict[str, Path] = {}
        self._looked_s = 0.0

    def open(self) -> None:
        """Make the folder, remove what was never finished, count what is there."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        for path in self.folder.iterdir():
            if path.name.startswith(_PART):
                path.unlink()
            else:
                self.files_kept += 1
                self.bytes_kept += path.stat().st_size

    def path(self, sha256: str) -> Path:
        """Return where an artefact lies, or would."""
        return self.folder / sha256

    def has(self, sha256: str) -> bool:
        """Say whether these bytes are kept already."""
        return sha256 in self._pending or sha256 in self._settling or self.path(sha256).exists()

    def keep(self, data: bytes) -> str:
        """Keep bytes; return their SHA-256, empty if there is no room."""
        sha256 = hashlib.sha256(data).hexdigest()
        if self.has(sha256):
            return sha256
        sink = Sink(self)
        try:
            sink.write(data)
            sink.commit()
        except NoRoomError:
            sink.abort()
            return ""
        return sha256

    def remove(self, sha256: str) -> None:
        """Remove an artefact that is safe elsewhere."""
        path = self.path(sha256)
        try:
            size = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            return
        self.files_kept -= 1
        self.bytes_kept -= size

    def look(self) -> None:
        """Go on capturing if that was stopped and there is room again."""
        if self.stopped and not self._full(_RESUME_AT):
            log.warning("captures go on; %d artefacts were not kept", self._missed)
            self.stopped, missed, self._missed = "", self._missed, 0
            self._state(CaptureResumed(missed))

    # --- making it durable --------------------------------------------------------------------------

    def take_pending(self) -> dict[str, Path]:
        """Return what is committed but not yet durable, for `settle` and then `settled`."""
        self._settling, self._pending = self._pending, {}
        return self._settling

    def settle(self, parts: dict[str, Path]) -> list[str]:
        """Make these durable under their names; return the hashes that could not be. Blocks; for any thread."""
        failed = []
        for sha256, part in parts.items():
            try:
                _sync(part)
                part.chmod(0o400)
                part.rename(self.path(sha256))
            except OSError as error:
                log.error("artefact %s is lost: %s", sha256, error)
                failed.append(sha256)
        if len(failed) < len(parts):
            try:
                _sync(self.folder)
            except OSError as error:
                log.error("artefacts may not be durable: %s", error)
        return failed

    def settled(self, failed: Iterable[str]) -> None:
        """Note what `settle` did."""
        for sha256 in failed:
            self._settling[sha256].unlink(missing_ok=True)
            self.files_kept -= 1
        self._settling = {}

    # --- for sinks ----------------------------------------------------------------------------------

    def new_part(self) -> Path:
        """Return the name of a new temporary file."""
        self._parts += 1
        return self.folder / f"{_PART}{self._parts}"

    def append(self, part: Path, data: bytes | bytearray) -> None:
        """Append to a temporary file, within quota. Raises `NoRoomError`."""
        try:
            reason = self.stopped or self._full(1.0, len(data))
            written = 0 if reason else _append(part, data)
        except OSError as error:
            if error.errno not in _FULL:
                log.error("an artefact cannot be written: %s", error)
                raise NoRoomError(str(error.strerror)) from None
            reason = "the disk is full"
        if reason:
            raise self.no_room(reason)
        self.bytes_kept += written

    def no_room(self, reason: str) -> NoRoomError:
        """Stop captures for this reason, if that is news, and return the error to raise."""
        self._missed += 1
        if not self.stopped:
            self.stopped = reason
            log.error("captures stop: %s", reason)
            self._state(CaptureStopped(reason))
        return NoRoomError(reason)

    def forget_part(self, part: Path) -> None:
        """Remove a temporary file."""
        try:
            self.bytes_kept -= part.stat().st_size
            part.unlink()
        except FileNotFoundError:
            pass

    def commit(self, part: Path, sha256: str) -> None:
        """Let a temporary file become an artefact; if it is there already, once is enough."""
        if self.has(sha256):
            self.forget_part(part)
        else:
            self._pending[sha256] = part
            self.files_kept += 1

    def _full(self, fraction: float, more: int = 0) -> str:
        capture = self._capture
        if self.bytes_kept + more > capture.artefacts_bytes_max * fraction:
            return f"the quota of {capture.artefacts_bytes_max} bytes is reached"
        if self.files_kept >= capture.artefacts_max * fraction:
            return f"the quota of {capture.artefacts_max} artefacts is reached"
        now_s = time.monotonic()
        if self.stopped or now_s - self._looked_s >= LOOK_S:
            if free_bytes(self.folder) < capture.disk_free_bytes_min:
                return f"less than {capture.disk_free_bytes_min} bytes are free on the disk"
            self._looked_s = now_s
        return ""


class Sink:
    """One artefact being written, as `payload.fetch` and the recorder write it. Holds no file open."""

    __slots__ = ("_buffer", "_hash", "_part", "_store", "size")

    def __init__(self, store: ArtefactStore) -> None:
        self._store = store
        self._buffer = bytearray()
        self._part: Path | None = None
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        """Take the next bytes. Raises `NoRoomError`."""
        if self.size + len(data) > self._store._capture.artefact_bytes_max:
            raise NoRoomError(f"larger than {self._store._capture.artefact_bytes_max} bytes")
        self._hash.update(data)
        self.size += len(data)
        if len(self._buffer) + len(data) <= BUFFER_BYTES_MAX:
            self._buffer += data
        else:
            self._spill(data)  # as it is: a copy of what an attacker made as big as may be would be counted nowhere

    def commit(self) -> tuple[str, int]:
        """Keep it; return SHA-256 and size. Raises `NoRoomError`, and then `abort` is still due."""
        sha256 = self._hash.hexdigest()
        if self._part is None and self._store.has(sha256):
            return sha256, self.size
        self._store.commit(self._spill(), sha256)
        self._part = None
        return sha256, self.size

    def abort(self) -> None:
        """Forget it."""
        self._buffer.clear()
        if self._part is not None:
            self._store.forget_part(self._part)
            self._part = None

    def _spill(self, more: bytes = b"") -> Path:
        self._part = self._part or self._store.new_part()
        self._store.append(self._part, self._buffer)
        self._buffer.clear()
        if more:
            self._store.append(self._part, more)
        return self._part


def free_bytes(folder: Path) -> int:
    """Return how many bytes an unprivileged user may still write to this folder's disk."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


def _append(path: Path, data: bytes | bytearray) -> int:
    """Append all of it, or leave the file as it was. Raises `OSError`."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        before = os.fstat(file).st_size
        done = 0
        try:
            while done < len(data):
                done += os.write(file, memoryview(data)[done:])
        except OSError:
            os.ftruncate(file, before)
            raise
        return done
    finally:
        os.close(file)


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
