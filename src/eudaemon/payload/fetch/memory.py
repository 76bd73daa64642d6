"""What is known of earlier downloads: their answers, for a while, and how many started lately. Both are bounded."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from eudaemon.payload.fetch.policy import FetchSettings

if TYPE_CHECKING:
    from eudaemon.payload.fetch.service import FetchResult

_MINUTE_S = 60.0
_ENTRY_BYTES = 1024  # what an answer takes besides its head, about
_HOSTS_MAX = 1024


class Memory:
    """Answers by what was asked, oldest out first, within `remembered_bytes_max`."""

    __slots__ = ("_answers", "_bytes", "_settings")

    def __init__(self, settings: FetchSettings) -> None:
        self._settings = settings
        self._answers: OrderedDict[tuple[str, str, str], tuple[float, FetchResult]] = OrderedDict()
        self._bytes = 0

    def remember(self, key: tuple[str, str, str], result: FetchResult, now_s: float) -> None:
        """Keep an answer for as long as the settings say of its outcome."""
        lasts_s = self._settings.same_url_s if result.sha256 else self._settings.failed_url_s
        self._forget(key)
        self._answers[key] = (now_s + lasts_s, result)
        self._bytes += _ENTRY_BYTES + len(result.head)
        while self._bytes > self._settings.remembered_bytes_max:
            self._forget(next(iter(self._answers)))

    def recall(self, key: tuple[str, str, str], now_s: float) -> FetchResult | None:
        """Return the answer to the same question, if it is not too old."""
        until_s, result = self._answers.get(key, (now_s, None))
        if until_s <= now_s:
            self._forget(key)
            return None
        return result

    def _forget(self, key: tuple[str, str, str]) -> None:
        if key in self._answers:
            self._bytes -= _ENTRY_BYTES + len(self._answers.pop(key)[1].head)


class Rates:
    """How often something may start in a minute: a bucket each that fills again at an even pace."""

    __slots__ = ("_buckets",)

    def __init__(self) -> None:
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # what is left, and when that was true

    def may_start(self, what: str, now_s: float, per_minute_max: int) -> bool:
        """Say whether one more may start now, and count it if so."""
        left, then_s = self._buckets.pop(what, (float(per_minute_max), now_s))
        left = min(per_minute_max, left + (now_s - then_s) * per_minute_max / _MINUTE_S)
        may = left >= 1
        self._buckets[what] = (left - may, now_s)
        if len(self._buckets) > _HOSTS_MAX:
            self._buckets.popitem(last=False)
        return may
