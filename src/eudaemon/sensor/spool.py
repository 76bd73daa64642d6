"""Events on disk until the farm has them. Survives kill -9, a power cut and a full disk.

    append -> pending (memory) -> write: written, fsynced -> durable -> read in batches -> acknowledged -> deleted

Only what is durable is ever sent. Numbers are given when a record is written, never reused, and never missing within a
segment; every start begins a new segment, and a damaged one leaves a gap behind it, so that no number that the farm may
have seen is given again. Over the quota the oldest segment goes first.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from eudaemon.sensor import segments
from eudaemon.sensor.segments import BLOB, EVENT, FRAME_BYTES, RECORD_BYTES_MAX, Segment
from eudaemon.sensor.settings import SpoolSettings

log = logging.getLogger("eudaemon.sensor")

ID_BYTES = 16
REJECTED_BYTES_MAX = 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Place:
    """Where reading goes on: at byte `at` of a segment begins event `number`, or what it names."""

    segment: Segment
    at: int
    number: int


@dataclass(slots=True)
class Batch:
    """Events that follow each other without a gap. `blobs` are bytes that they name, by SHA-256."""

    first: int
    lines: list[bytes] = field(default_factory=list)
    blobs: dict[str, bytes] = field(default_factory=dict)
    end: _Place | None = None

    @property
    def next(self) -> int:
        """The number after its last event's."""
        return self.first + len(self.lines)


@dataclass(slots=True)
class Dropped:
    """What was dropped and not yet stated."""

    events: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Written:
    """What one `write` made durable."""

    bytes: int
    events: int


class Spool:
    """The spool in a folder of its own. `write` may run in a thread; all else belongs to the loop's."""

    def __init__(self, folder: Path, settings: SpoolSettings, random_bytes: Callable[[int], bytes]) -> None:
        self.folder = folder
        self.settings = settings
        self._random_bytes = random_bytes
        self.id = ""
        self.trouble = ""  # why the disk takes nothing, empty while it does
        self.dropped = Dropped()
        self.dropped_events = 0  # in all, since the start
        self._pending: deque[tuple[int, bytes]] = deque()
        self.pending_bytes = 0
        self._segments: deque[Segment] = deque()
        self._next = 0
        self._place: _Place | None = None
        self.acknowledged = 0  # everything below this number is safe at the farm
        self._file = -1  # of the last segment, -1 until the first write of this start
        self._begun: Segment | None = None  # by `write`, not yet noted
        self._skip_to = 0  # numbers below it are never given again

    # --- opening ------------------------------------------------------------------------------------

    def open(self) -> None:
        """Read what is there. Raises `OSError` if the folder cannot be used."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self.id = self._read_id()
        self.acknowledged = self._read_cursor()
        spool = bytes.fromhex(self.id)
        self._next = self.acknowledged
        for path in sorted(self.folder.glob(f"*{segments.SUFFIX}")):
            found = segments.recover(path, spool)
            if found is None:
                log.warning("spool: %s is no segment of this spool; set aside", path.name)
                path.rename(path.with_suffix(".damaged"))
                continue
            segment, behind = found
            self._segments.append(segment)
            self._next = max(self._next, segment.next)
            if behind:
                # What was torn off may have held events that the farm has seen: their numbers are not given again.
                log.warning("spool: %s is torn; %d bytes behind its last whole record", path.name, behind)
                self._next = max(self._next, segment.next + behind // FRAME_BYTES + 1)
        self._forget_acknowledged()

    def _read_id(self) -> str:
        path = self.folder / "id"
        try:
            text = path.read_text("ascii").strip()
            if len(bytes.fromhex(text)) == ID_BYTES:
                return text
        except (FileNotFoundError, ValueError):
            pass
        text = self._random_bytes(ID_BYTES).hex()
        _replace(path, text.encode(), sync=True)
        return text

    def _read_cursor(self) -> int:
        try:
            number, _, crc = (self.folder / "cursor").read_bytes().partition(b" ")
            if int(crc, 16) == zlib.crc32(number):
                return int(number)
        except (FileNotFoundError, ValueError):
            pass
        return 0

    # --- writing ------------------------------------------------------------------------------------

    def append(self, line: bytes) -> None:
        """Take an event, one JSON line without its end. Durable only after the next `write`."""
        self._append(EVENT, line)

    def append_blob(self, data: bytes) -> None:
        """Take bytes, at most `RECORD_BYTES_MAX`, that an event appended after them will name."""
        self._append(BLOB, data)

    def _append(self, kind: int, payload: bytes) -> None:
        if len(payload) > RECORD_BYTES_MAX:
            raise ValueError(f"a record of {len(payload)} bytes")
        self._pending.append((kind, payload))
        self.pending_bytes += len(payload) + FRAME_BYTES
        while self.pending_bytes > self.settings.memory_bytes_max and len(self._pending) > 1:
            kind, payload = self._pending.popleft()
            self.pending_bytes -= len(payload) + FRAME_BYTES
            self._count_dropped(int(kind == EVENT), len(payload))

    def take_pending(self) -> list[tuple[int, bytes]]:
        """Return what waits to be written, for `write`."""
        records, self._pending, self.pending_bytes = list(self._pending), deque(), 0
        return records

    def put_back(self, records: list[tuple[int, bytes]]) -> None:
        """Take back what could not be written, in front of what came meanwhile."""
        later, self._pending, self.pending_bytes = self._pending, deque(), 0
        for kind, payload in (*records, *later):
            self._append(kind, payload)

    def write(self, records: list[tuple[int, bytes]]) -> Written:
        """Write records and make them durable; all or, with `OSError`, none. Blocks; one at a time, in any thread."""
        events = 0
        data = bytearray()
        for kind, payload in records:
            data += segments.frame(kind, payload)
            events += kind == EVENT
        if self._skip_to > self._next:
            self._next = self._skip_to
            self._leave_segment()
        segment, is_new = self._segments[-1] if self._file >= 0 else None, False
        if segment is None or (segment.events and segment.bytes + len(data) > self.settings.segment_bytes_max):
            segment, is_new = self._begin(), True
        try:
            _write(self._file, data)
            os.fsync(self._file)
        except OSError:
            self._undo(segment, events)
            raise
        finally:
            if is_new:
                self._begun = segment
        return Written(len(data), events)

    def written(self, written: Written | None) -> None:
        """Note what `write` did, None if it failed; keep to the quota."""
        if self._begun is not None:
            if self._segments and self._segments[-1].path == self._begun.path:  # an earlier start's, without events
                self._segments.pop()
            self._segments.append(self._begun)
            self._begun = None
        if written is None:
            return
        self._segments[-1].bytes += written.bytes
        self._segments[-1].events += written.events
        self._next += written.events
        while len(self._segments) > 1 and self.bytes_on_disk > self.settings.bytes_max:
            self._drop_oldest()

    def _begin(self) -> Segment:
        path = self.folder / segments.name(self._next)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            _write(file, segments.header(bytes.fromhex(self.id), self._next))
            os.fsync(file)
            segments.sync_folder(self.folder)
        except OSError:
            os.close(file)
            path.unlink(missing_ok=True)
            raise
        self._leave_segment()
        self._file = file
        return Segment(path, self._next)

    def _undo(self, segment: Segment, events: int) -> None:
        """Cut off what a failed write left behind; where even that fails, leave segment and numbers to it."""
        try:
            os.ftruncate(self._file, segment.bytes)  # works on a full disk too
        except OSError:
            self._leave_segment()
            self._skip_to = self._next + events

    def _leave_segment(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _drop_oldest(self) -> None:
        oldest = self._segments.popleft()
        oldest.path.unlink(missing_ok=True)
        lost = oldest.next - max(oldest.first, min(self.acknowledged, oldest.next))
        self._count_dropped(lost, oldest.bytes)

    def _count_dropped(self, events: int, size: int) -> None:
        self.dropped.events += events
        self.dropped.bytes += size
        self.dropped_events += events

    def take_dropped(self) -> Dropped:
        """Return what was dropped since this was last asked."""
        dropped, self.dropped = self.dropped, Dropped()
        return dropped

    # --- reading ------------------------------------------------------------------------------------

    @property
    def bytes_on_disk(self) -> int:
        """How large the segments are together."""
        return sum(segment.bytes for segment in self._segments)

    @property
    def waiting_events(self) -> int:
        """How many durable events are not acknowledged."""
        return sum(s.next - max(s.first, min(self.acknowledged, s.next)) for s in self._segments)

    def read(self, events_max: int, bytes_max: int) -> Batch | None:
        """Return the oldest durable events that are not acknowledged, None if there are none.

        At least one event; beyond that at most `bytes_max` bytes of events and of what they name.
        """
        for segment in self._segments:
            place = self._place
            if place is None or place.segment is not segment:
                if segment.next <= self.acknowledged:
                    continue
                place = _Place(segment, segments.HEADER_BYTES, segment.first)
            try:
                batch = self._read_from(place, events_max, bytes_max)
            except OSError as error:
                log.error("spool: %s cannot be read: %s", segment.path.name, error)
                continue
            if batch is not None:
                return batch
        return None

    def _read_from(self, place: _Place, events_max: int, bytes_max: int) -> Batch | None:
        batch: Batch | None = None
        number, size = place.number, 0
        blobs: dict[str, bytes] = {}
        for record in segments.read(place.segment.path, place.at, place.segment.bytes):
            size += len(record.payload)
            if batch is not None and (size > bytes_max or len(batch.lines) >= events_max):
                break
            if record.kind == BLOB:
                blobs[hashlib.sha256(record.payload).hexdigest()] = record.payload
                continue
            if number >= self.acknowledged:
                batch = batch or Batch(number)
                batch.lines.append(record.payload)
                batch.blobs.update(blobs)
                batch.end = _Place(place.segment, record.end, number + 1)
            else:
                size = 0
            blobs.clear()
            number += 1
        return batch

    def acknowledge(self, next_number: int, batch: Batch | None = None) -> None:
        """Everything below `next_number` is safe at the farm. `batch`, if given, tells where reading goes on."""
        if next_number <= self.acknowledged:
            return
        if next_number > self._next:
            # It knows numbers that we have not given: this disk is an older copy. New events must not bear them again.
            log.error("spool: the farm has events up to %d, this spool only up to %d", next_number, self._next)
            self._skip_to = next_number
        self.acknowledged = min(next_number, self._next)
        if batch is not None and batch.next == self.acknowledged:
            self._place = batch.end
        number = b"%d" % self.acknowledged
        with contextlib.suppress(OSError):
            # Neither fsynced nor needed: an older one means that the farm is sent, and skips, what it has already.
            _replace(self.folder / "cursor", b"%s %08x" % (number, zlib.crc32(number)))
        self._forget_acknowledged()

    def _forget_acknowledged(self) -> None:
        """Delete the segments of which nothing is wanted any more; the last one is still written to."""
        while len(self._segments) > (self._file >= 0) and self._segments[0].next <= self.acknowledged:
            self._segments.popleft().path.unlink(missing_ok=True)

    def set_aside(self, line: bytes) -> None:
        """Keep a copy of an event that the farm refuses, for people to look at; no more than `REJECTED_BYTES_MAX`."""
        path = self.folder / "rejected"
        try:
            if path.exists() and path.stat().st_size + len(line) > REJECTED_BYTES_MAX:
                return
            with path.open("ab") as file:
                file.write(line + b"\n")
        except OSError as error:
            log.error("spool: a refused event could not be set aside: %s", error)

    def close(self) -> None:
        """Close the file."""
        self._leave_segment()


def _write(file: int, data: bytes | bytearray) -> None:
    done = 0
    while done < len(data):
        done += os.write(file, memoryview(data)[done:])


def _replace(path: Path, data: bytes, *, sync: bool = False) -> None:
    """Let a file have this content or, if power fails, the one it had."""
    new = path.with_suffix(".new")
    with new.open("wb") as file:
        file.write(data)
        file.flush()
        if sync:
            os.fsync(file.fileno())
    new.replace(path)
    if sync:
        segments.sync_folder(path.parent)
