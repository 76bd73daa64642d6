"""Keeping the parts alive: each is a process of its own, started in order, restarted when it dies.

Parent and part share one socket, `Channel`: the part says on it that it is ready and what it has to tell; when the
parent is gone, however it went, the channel ends and the part stops. So nothing is left behind by a kill -9.

    start  ->  hello (what the parent wants known)  ->  bind, give up root  ->  ready (what the part wants known)
    died before it was ready: once more, then give up;  died later: again after `restart_s`, doubled up to a minute
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

RESTART_S_MIN, RESTART_S_MAX = 0.25, 60.0
STEADY_S = 60.0  # who lived this long begins again at the shortest pause
READY_S_MAX = 120.0
STOP_S_MAX = 20.0
MESSAGE_BYTES_MAX = 64 * 1024
CHANNEL_VARIABLE = "EUDAEMON_CHANNEL"


class PartError(Exception):
    """A part could not be started. The message names it and where its reason stands."""


class PartRefusedError(PartError):
    """A part that will not start, and has said why: it is not tried again."""


REFUSALS = (2, 3)  # exit codes, as in `eudaemon.cli`: wrong settings, or what it needs is not to be had


class Channel:
    """A part's end of the socket to its supervisor; without a supervisor it says nothing and never ends."""

    def __init__(self) -> None:
        number = os.environ.pop(CHANNEL_VARIABLE, "")
        self._socket = socket.socket(fileno=int(number)) if number else None
        self._unread = b""

    def hello(self) -> dict[str, Any]:
        """Wait for the supervisor's message; nothing without a supervisor."""
        if self._socket is None:
            return {}
        while b"\n" not in self._unread:
            piece = self._socket.recv(MESSAGE_BYTES_MAX)
            if not piece or len(self._unread) > MESSAGE_BYTES_MAX:
                raise PartError("the supervisor is gone")
            self._unread += piece
        line, _, self._unread = self._unread.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    def ready(self, message: dict[str, Any]) -> None:
        """Say that the part serves, and what the supervisor should know of it. Raises `PartError`."""
        if self._socket is not None:
            try:
                self._socket.sendall(json.dumps(message).encode() + b"\n")
            except OSError:
                raise PartError("the supervisor is gone") from None

    def watch(self, gone: Callable[[], None]) -> None:
        """Call `gone` when the supervisor has ended. Needs the running loop."""
        if self._socket is not None:
            self._socket.setblocking(False)
            loop = asyncio.get_running_loop()

            def ended() -> None:
                loop.remove_reader(channel)
                gone()

            channel = self._socket
            loop.add_reader(channel, ended)


@dataclass
class Part:
    """One supervised process. `hello` is asked anew at each start; `ready` is what the part answered."""

    name: str
    command: list[str]
    hello: Callable[[], dict[str, Any]]
    ready: dict[str, Any] = field(default_factory=dict)
    starts: int = 0
    process: asyncio.subprocess.Process | None = None
    channel: socket.socket | None = None


class Supervisor:
    """Starts parts one after the other, and keeps them until told to stop."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._stop = asyncio.Event()
        self._keepers: list[asyncio.Task[None]] = []
        self._parts: list[Part] = []

    async def start(self, part: Part) -> None:
        """Start a part and wait until it is ready. Raises `PartError`."""
        try:
            await self._launch(part)
        except PartRefusedError:
            raise
        except PartError:
            self._say(f"{part.name} did not start; once more")
            await self._launch(part)
        self._parts.append(part)
        self._keepers.append(asyncio.create_task(self._keep(part)))

    def stop(self) -> None:
        """Begin to stop; `wait` returns when all is down."""
        self._stop.set()

    async def wait(self) -> None:
        """Wait for `stop`, then end the parts in reverse order of starting: sensors flush to a farm that still runs."""
        await self._stop.wait()
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for part in reversed(self._parts):
            await self._end(part)

    async def _keep(self, part: Part) -> None:
        pause_s = RESTART_S_MIN
        while True:
            began_s = time.monotonic()
            code = await _exit_code(part)
            if time.monotonic() - began_s > STEADY_S:
                pause_s = RESTART_S_MIN
            self._say(f"{part.name} ended ({_how(code)}); it is started again in {pause_s:g} s")
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, RESTART_S_MAX)
            try:
                await self._launch(part)
            except PartError as error:
                self._say(str(error))

    async def _launch(self, part: Part) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            environment = {**os.environ, CHANNEL_VARIABLE: str(theirs.fileno())}
            part.process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "eudaemon", *part.command),
                env=environment,
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the supervisor, which ends the parts in their order
            )
        part.starts += 1
        if part.channel is not None:
            part.channel.close()
        part.channel = ours
        ours.setblocking(False)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(READY_S_MAX):
                await loop.sock_sendall(ours, json.dumps(part.hello()).encode() + b"\n")
                answer = b""
                while not answer.endswith(b"\n"):
                    piece = await loop.sock_recv(ours, MESSAGE_BYTES_MAX)
                    if not piece:
                        raise await _not_started(part)
                    answer += piece
        except TimeoutError:
            await self._end(part)
            raise PartError(f"{part.name} was not ready after {READY_S_MAX:g} s") from None
        except (BrokenPipeError, ConnectionResetError):
            raise await _not_started(part) from None
        part.ready = json.loads(answer)

    async def _end(self, part: Part) -> None:
        process = part.process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(STOP_S_MAX):
                await _exit_code(part)
        except TimeoutError:
            self._say(f"{part.name} did not stop within {STOP_S_MAX:g} s; it is killed")
            process.kill()
            await _exit_code(part)


async def _not_started(part: Part) -> PartError:
    code = await _exit_code(part)
    kind = PartRefusedError if code in REFUSALS else PartError
    return kind(f"{part.name} did not start ({_how(code)}); its reason stands above")


async def _exit_code(part: Part) -> int:
    return 0 if part.process is None else await part.process.wait()


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
