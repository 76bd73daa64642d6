"""Real telnet clients at a whole sensor, on a terminal, as a person would sit there."""

from __future__ import annotations

import asyncio
import os
import pty
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from eudaemon.events.catalogue import LoginTried
from sensor.harness import events, running

HOW_LONG_S_MAX = 15.0


class Seat:
    """A terminal with a program on it."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self.seen = b""
        self._read = 0

    async def until(self, mark: bytes) -> bytes:
        """Read until the mark shows up after what was read before; return what came."""
        async with asyncio.timeout(HOW_LONG_S_MAX):
            while mark not in self.seen[self._read :]:
                await asyncio.sleep(0.005)
        end = self.seen.index(mark, self._read) + len(mark)
        piece, self._read = self.seen[self._read : end], end
        return piece

    def type(self, text: bytes) -> None:
        os.write(self._terminal, text)

    def readable(self) -> None:
        try:
            self.seen += os.read(self._terminal, 65_536)
        except (BlockingIOError, OSError):
            asyncio.get_running_loop().remove_reader(self._terminal)


@asynccontextmanager
async def seated(
    *command: str, env: dict[str, str] | None = None
) -> AsyncIterator[tuple[Seat, asyncio.subprocess.Process]]:
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    process = await asyncio.create_subprocess_exec(
        *command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        env={"TERM": "vt100", "PATH": "/usr/bin:/bin", **(env or {})},
    )  # fmt: skip
    os.close(theirs)
    seat = Seat(ours)
    loop = asyncio.get_running_loop()
    loop.add_reader(ours, seat.readable)
    try:
        yield seat, process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.wait()
        loop.remove_reader(ours)
        os.close(ours)


def client(name: str) -> list[str]:
    if name == "busybox":
        found = shutil.which("busybox")
        if found is None:
            pytest.skip("install busybox-static: its telnet is one of the clients")
        return [found, "telnet"]
    found = shutil.which("inetutils-telnet") or shutil.which("telnet")
    if found is None:
        pytest.skip("install inetutils-telnet: it is one of the clients")
    return [found]


@pytest.mark.parametrize("name", ["busybox", "inetutils"])
async def test_a_person_logs_in_looks_round_and_leaves(name: str, tmp_path: Path) -> None:
    async with (
        running(tmp_path, "telnet", persona="router") as net,
        seated(*client(name), "127.0.0.1", str(net.port)) as (
            seat,
            process,
        ),
    ):
        await seat.until(b" login: ")
        seat.type(b"root\r")
        await seat.until(b"root")
        await seat.until(b"Password: ")
        seat.type(b"xc3511\r")
        assert b"xc3511" not in await seat.until(b"list of built-in commands.\r\n")
        seat.type(b"echo $((40+2)) is it\r")
        await seat.until(b"\n42 is it\r\n")
        seat.type(b"echo -ne '\\x7fELF\\x00\\xff\\r\\n' > /tmp/a; hexdump -C /tmp/a\r")
        await seat.until(b"00000000  7f 45 4c 46 00 ff 0d 0a")
        seat.type(b"mistake\x7f\x7f\x7f\x7f\x7f\x7f\x7fecho right\r")
        await seat.until(b"\nright\r\n")
        seat.type(b"exit\r")
        async with asyncio.timeout(HOW_LONG_S_MAX):
            await process.wait()
        await net.until("session.closed")
    lines = [event.fact.line for event in events(tmp_path, "command.entered")]  # type: ignore[attr-defined]
    assert lines == [
        "echo $((40+2)) is it",
        "echo -ne '\\x7fELF\\x00\\xff\\r\\n' > /tmp/a; hexdump -C /tmp/a",
        "echo right",
        "exit",
    ]
    assert [event.fact for event in events(tmp_path, "login.tried")] == [LoginTried("root", "xc3511", accepted=True)]


async def test_an_interrupt_is_answered(tmp_path: Path) -> None:
    """inetutils sends IAC IP and DO TIMING-MARK for Ctrl-C, and shows nothing until the mark is answered."""
    async with (
        running(tmp_path, "telnet", persona="router") as net,
        seated(*client("inetutils"), "127.0.0.1", str(net.port)) as (
            seat,
            _,
        ),
    ):
        await seat.until(b" login: ")
        seat.type(b"root\r")
        await seat.until(b"Password: ")
        seat.type(b"xc3511\r")
        await seat.until(b"list of built-in commands.\r\n")
        seat.type(b"echo abandoned\x03")
        await asyncio.sleep(0.2)
        seat.type(b"echo still $((1+1))\r")
        await seat.until(b"still 2")
    lines = [event.fact.line for event in events(tmp_path, "command.entered")]  # type: ignore[attr-defined]
    assert lines == ["echo still $((1+1))"]
