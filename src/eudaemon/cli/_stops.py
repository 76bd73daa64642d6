"""Signals that end a command, kept pending until it asks for them: it is never interrupted in the middle of a step."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # the last: the terminal was closed


class Stops:
    """What has come, while `held_back`."""

    def __init__(self, numbers: frozenset[signal.Signals]) -> None:
        self._numbers = numbers

    def within(self, length_s: float = 0) -> signal.Signals | None:
        """Wait so long for one of them, and take it."""
        came = signal.sigtimedwait(self._numbers, length_s)
        return None if came is None else signal.Signals(came.si_signo)


@contextmanager
def held_back() -> Iterator[Stops]:
    """Keep them pending, but those that were ignored when the command was called (`nohup`): they stay so."""
    numbers = frozenset(number for number in _ENDING if signal.getsignal(number) is not signal.SIG_IGN)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    stops = Stops(numbers)
    try:
        yield stops
    finally:
        while stops.within():
            pass  # a second Ctrl-C has been heeded with the first
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
