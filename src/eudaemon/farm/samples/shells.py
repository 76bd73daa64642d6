"""Which shells new samples would open, told to the sensors that brought them.

A sensor knows a shellcode's shell by its signatures, or not at all; the farm, by running it. So the farm's word goes
back, with the answer to a batch or to a heartbeat: whoever sent the code may still wait for its shell. It is kept in
memory alone: an hour later nobody waits, and a sensor remembers it for the next sender.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

SAMPLES_MAX = 4096  # whose shells are known, or asked for
SENSORS_MAX = 64  # that ask for one sample
WORDS_MAX = 64  # that wait for one sensor


class Board:
    """See the module. Used in the farm's loop."""

    def __init__(self) -> None:
        self._found: OrderedDict[str, list[dict[str, Any]]] = OrderedDict()  # by SHA-256
        self._asked: OrderedDict[str, dict[str, None]] = OrderedDict()  # by SHA-256: which sensors
        self._words: dict[str, dict[str, None]] = {}  # by sensor: SHA-256 of what is to be told

    def brought(self, sensor: str, samples: Iterable[str]) -> None:
        """A sensor has kept these payloads: it wants to know of their shells."""
        for sha256 in samples:
            if sha256 in self._found:
                self._tell(sensor, sha256)
                continue
            asking = self._asked.setdefault(sha256, {})
            if len(asking) < SENSORS_MAX:
                asking[sensor] = None
            if len(self._asked) > SAMPLES_MAX:
                self._asked.popitem(last=False)

    def found(self, sha256: str, shells: list[dict[str, Any]]) -> None:
        """A sample was examined."""
        asking = self._asked.pop(sha256, {})
        if not shells:
            return
        self._found[sha256] = shells
        if len(self._found) > SAMPLES_MAX:
            self._found.popitem(last=False)
        for sensor in asking:
            self._tell(sensor, sha256)

    def take(self, sensor: str) -> list[dict[str, Any]]:
        """Return what a sensor is to be told, once: `{"sha256": …, "shells": […]}`."""
        words = self._words.pop(sensor, {})
        return [{"sha256": sha256, "shells": self._found[sha256]} for sha256 in words if sha256 in self._found]

    def _tell(self, sensor: str, sha256: str) -> None:
        words = self._words.setdefault(sensor, {})
        if len(words) < WORDS_MAX:
            words[sha256] = None
