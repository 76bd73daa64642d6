"""What injected code would do, asked of an emulated CPU while the command goes on: who listens must not wait for it.

keeper ──bytes──► thread ──► bench, a process that holds nothing (`payload.shellcode.apart`)
   ▲                                   │
   └──── what it does, would fetch ◄───┘
"""

from __future__ import annotations

import queue
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from eudaemon.payload.shellcode.apart import ApartError

if TYPE_CHECKING:
    from eudaemon.payload.shellcode.apart import Bench

WAITING_MAX = 32  # alerts that wait for their turn; more are not examined, but by the farm
FINISH_S_MAX = 15.0  # that an ending command waits for what has been asked
SAID_MAX = 16  # sentences of one alert


Piece: TypeAlias = tuple[bytes, str]  # and the CPU that it is code for, where that is known


@dataclass(frozen=True, slots=True)
class Examined:
    """What the code of an alert does, in sentences, and what it would download: URL and command."""

    id: str
    does: tuple[str, ...]
    downloads: tuple[tuple[str, str], ...]


class Examiner:
    """Asks the bench, one after the other, in a thread that takes no signal from the others."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._asked: queue.Queue[tuple[str, Sequence[Piece]]] = queue.Queue(WAITING_MAX)
        self._answers: queue.Queue[Examined] = queue.Queue()
        self._open = 0  # asked and not answered yet
        thread = threading.Thread(target=self._work, name="examiner", daemon=True)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            thread.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def ask(self, name: str, pieces: Sequence[Piece]) -> bool:
        """Ask about the bytes of an alert, the likeliest first. False: too many wait already."""
        with suppress(queue.Full):
            self._asked.put_nowait((name, pieces))
            self._open += 1
            return True
        return False

    def answers(self) -> Iterator[Examined]:
        """Yield what has been found since the last time."""
        while True:
            try:
                found = self._answers.get_nowait()
            except queue.Empty:
                return
            self._open -= 1
            yield found

    def finish(self) -> Iterator[Examined]:
        """Yield what is still to come, for a while; then end."""
        until_s = time.monotonic() + FINISH_S_MAX
        while self._open and (left_s := until_s - time.monotonic()) > 0:
            with suppress(queue.Empty):
                yield self._answers.get(timeout=left_s)
                self._open -= 1
        self._bench.close()

    def _work(self) -> None:
        while True:
            name, pieces = self._asked.get()
            found = Examined(name, (), ())
            for data, architecture in pieces:
                with suppress(ApartError):  # it hung, or crashed, as it was meant to
                    seen = self._bench.examine(data, architecture)
                    downloads = tuple((one["url"], one["tool"]) for one in seen["downloads"])
                    found = Examined(name, tuple(seen["says"][:SAID_MAX]), downloads)
                if found.does:
                    break
            self._answers.put(found)
