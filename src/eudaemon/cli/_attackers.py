"""Whom the sensor of this machine has met: read from its spool, as it is written, and remembered.

The spool's newest segment stays on disk also when the farm has all of it, so that who was met a moment ago is there; of
what was before we began, as much is known as lies there still. The folder is the sensor's, which we need not trust.
"""

from __future__ import annotations

import os
import stat
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

from eudaemon.events import from_json
from eudaemon.events.catalogue import SessionOpened
from eudaemon.events.codec import CodecError
from eudaemon.possession.eve import Address
from eudaemon.sensor import segments

ADDRESSES_MAX = 65_536  # that are remembered; those that were met longest ago go first
EVENTS_MAX = 2_000  # that are read in one look; the rest is read in the next
LOOK_S = 0.1
_OPENED = SessionOpened.kind.encode("ascii")


class Attackers:
    """The addresses that have spoken to the sensor, and when last."""

    def __init__(self, spool: Path) -> None:
        self._spool = spool
        self._met: OrderedDict[str, float] = OrderedDict()
        self._name = ""  # of the segment that is read, and to where
        self._at = segments.HEADER_BYTES
        self._look_s = 0.0

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._met)

    def has_met(self, address: Address, hours: float, now_s: float) -> bool:
        """Whether the sensor has met an address within so many hours before `now_s`, seconds since 1970."""
        return self._met.get(str(address), 0.0) >= now_s - hours * 3600

    def look(self, now_s: float) -> None:
        """Read what is new, now and then. `now_s` is of a clock that never goes back."""
        if now_s < self._look_s:
            return
        self._look_s = now_s + LOOK_S
        left = EVENTS_MAX
        with suppress(OSError):  # no sensor, or a segment that has just gone
            names = sorted(name for name in os.listdir(self._spool) if name.endswith(segments.SUFFIX))  # noqa: PTH208
            if names and names[-1] < self._name:
                self._name = ""  # a new spool in the old one's place
            for name in names:
                if name >= self._name and left > 0:
                    left -= self._read(name, left)

    def _read(self, name: str, count_max: int) -> int:
        if name != self._name:
            self._name, self._at = name, segments.HEADER_BYTES
        file = os.open(self._spool / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(file, "rb") as segment:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                return 0
            count = 0
            for record in segments.records(segment, self._at):
                self._at = record.end
                if record.kind == segments.EVENT and _OPENED in record.payload:
                    self._take(record.payload)
                count += 1
                if count == count_max:
                    break
        return count

    def _take(self, line: bytes) -> None:
        try:
            event = from_json(line)
        except CodecError:
            return
        if isinstance(event.fact, SessionOpened) and event.attacker is not None:
            ip = event.attacker.ip
            self._met[ip] = max(event.at_s, self._met.get(ip, 0.0))
            self._met.move_to_end(ip)
            if len(self._met) > ADDRESSES_MAX:
                self._met.popitem(last=False)
