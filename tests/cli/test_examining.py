"""What an alert's code does is found while the command goes on: late, once, and never at the command's cost."""

from __future__ import annotations

import signal
import threading
import time
from typing import Any

import pytest

from eudaemon.cli import _examining
from eudaemon.cli._examining import WAITING_MAX, Examined, Examiner
from eudaemon.demo.victim import shellcode
from eudaemon.payload.shellcode.apart import ApartError, Bench
from payload.shellcode.assembling import under_feedback_64

URL = "http://127.0.0.1:8000/file"


def test_a_code_that_decodes_itself_yields_its_download() -> None:
    """Where the CPU is known; no text of it shows."""
    pytest.importorskip("unicorn")
    code = under_feedback_64(shellcode(URL), 0x5A) + b"\x90" * 64
    assert b"http" not in code
    examiner = Examiner(Bench())
    assert examiner.ask("one", [(code, "x86-64")])
    assert examiner.ask("two", [(b"GET / HTTP/1.0\r\n\r\n", "")])
    first, second = examiner.finish()
    assert first.id == "one"
    assert first.downloads == ((URL, "wget"),)
    assert any("/bin/sh" in sentence for sentence in first.does)
    assert second == Examined("two", (), ())


class Slow(Bench):
    """A bench whose answers one can hold back. It is no process."""

    def __init__(self) -> None:
        self.is_free = threading.Event()
        self.masks: set[signal.Signals | int] = set()

    def examine(self, data: bytes, architecture: str = "") -> dict[str, Any]:
        self.masks = signal.pthread_sigmask(signal.SIG_BLOCK, ())  # type: ignore[assignment]
        self.is_free.wait(20)
        if data == b"hangs":
            raise ApartError("it took too long")
        return {"says": [data.decode()] * 20, "downloads": []}

    def close(self) -> None:
        self.is_free.set()


def test_nobody_waits_for_it_and_no_more_are_asked_than_may_be() -> None:
    slow = Slow()
    examiner = Examiner(slow)
    assert examiner.ask("first", [(b"hangs", ""), (b"x", "")])
    while not slow.masks:
        time.sleep(0.001)
    assert signal.SIGTERM in slow.masks  # the command's signals are the command's
    assert signal.SIGCHLD in slow.masks
    assert all(examiner.ask("more", [(b"y", "")]) for _ in range(WAITING_MAX))
    assert not examiner.ask("one too many", [])
    assert list(examiner.answers()) == []
    slow.is_free.set()
    found = list(examiner.finish())
    assert len(found) == WAITING_MAX + 1
    assert found[0].does == ("x",) * _examining.SAID_MAX


def test_an_ending_command_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_examining, "FINISH_S_MAX", 0.05)
    examiner = Examiner(Slow())
    examiner.ask("one", [(b"x", "")])
    assert list(examiner.finish()) == []
