"""What brings input past the engine is said."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from eudaemon.possession.blind import unseen

RING = "import ctypes; r = ctypes.CDLL(None).syscall(425, 4, ctypes.create_string_buffer(120))"
AIO = "import ctypes; r = ctypes.CDLL(None).syscall(206, 4, ctypes.byref(ctypes.c_ulong(0)))"
SOCKETS = "import socket; s = [socket.socket() for _ in 'ab']"
SHARED = "import mmap; m = mmap.mmap(-1, 4096)"


@contextmanager
def process(code: str) -> Iterator[int]:
    """Run Python code; yield the process when it is done with it and waits. Skip where the kernel does not allow it."""
    code = f"r = 0; {code}; print(r, flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as one:
        assert one.stdout is not None
        try:
            if int(one.stdout.readline()) < 0:
                pytest.skip("needs a kernel that allows it")
            yield one.pid
        finally:
            one.kill()


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("pass", []),
        (RING, ["it uses io_uring (1 ring): input that comes that way is not followed"]),
        (AIO, ["it uses the kernel's asynchronous input (AIO): what comes that way is not followed"]),
        (SOCKETS, ["what its 2 open sockets brought before now is not followed"]),
        (SHARED, ["it shares memory with others (/dev/zero (deleted)): what they write there is not followed"]),
    ],
)  # fmt: skip
def test_it_is_said(code: str, says: list[str]) -> None:
    with process(code) as pid:
        assert list(unseen(pid, ("inet",))) == says


def test_sockets_matter_where_they_are_sources() -> None:
    with process("import socket; s = socket.socket()") as pid:
        assert list(unseen(pid, ("stdin",))) == []


def test_who_has_ended_says_nothing() -> None:
    assert list(unseen(4_194_303, ("inet",))) == []
