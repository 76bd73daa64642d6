"""Real servers are possessed and released under load, and every reply is checked.

The server's processes are all possessed, run on, and are all released, `EUDAEMON_CYCLES` times over. In both states the
clients must get on; at the end none has seen a wrong byte, an error or a lost connection, and /proc is as before.
"""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from eudaemon.possession.errors import PossessionError
from possession import cycles
from possession.residue import GROWN_KIB_MAX, Look, look
from possession.running import Running, where
from possession.servers import SERVERS, Served, end_of_load

CYCLES = max(4, cycles.CYCLES // 3)
STAY_S_MAX = 0.1
MOVING = frozenset({"fd", "maps", "task", "signals"})  # connections come and go, and with them memory and threads


# What cannot have a shadow, and why.
NO_SHADOW = {
    "vsftpd": "its address space is limited",
}


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.timeout(180 + 6 * CYCLES)
def test_serves_possessed_and_released(name: str, tmp_path: Path) -> None:
    if cycles.MODE in ("shadow", "taint") and name in NO_SHADOW:
        pytest.skip(NO_SHADOW[name])
    with SERVERS[name](tmp_path) as served, ExitStack() as stack:
        speakers = [start(stack, line) for line in served.clients]
        if served.speaks:
            speakers.append(served.speaks)
        loads = [
            (load, subprocess.Popen(load.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
            for load in served.loads
        ]
        for _, load in loads:
            stack.callback(load.kill)
        _warm_up(speakers)
        before = _looks(served.pids())
        _cycles(served, speakers)
        for speaker in speakers:
            speaker.advance()
        failures = [said for load, process in loads if (said := end_of_load(load, process))]
        assert not failures
        _compare(before, served)
        for speaker in speakers:
            stop(speaker, tmp_path)


def start(stack: ExitStack, line: list[str]) -> Running:
    process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    stack.callback(process.wait)
    stack.callback(process.kill)
    one = Running(line[2], process)
    one.heard("ready", 60)
    return one


def stop(speaker: Running, place: Path) -> None:
    (place / "go-on").unlink(missing_ok=True)  # the shell's way to be told
    speaker.stop()


def _warm_up(speakers: list[Running]) -> None:
    end_s = time.monotonic() + 1.0
    while time.monotonic() < end_s:
        for speaker in speakers:
            speaker.advance()


def _cycles(served: Served, speakers: list[Running]) -> None:
    dice = random.Random(7)
    try:
        for number in range(CYCLES):
            with ExitStack() as possessed:
                for pid in served.pids():
                    _possess(possessed, pid)
                _stay(speakers, dice, number)
            for pid in served.pids():
                cycles.release_child(pid)
            _stay(speakers, dice, number + 2)
    except AssertionError as error:
        threads = "\n".join(line for pid in served.pids() for line in where(pid))
        raise AssertionError(f"{error}\nthe server's:\n{threads}") from error


def _possess(possessed: ExitStack, pid: int) -> None:
    """Possess one process of a server; one that has ended or executed another program meanwhile is no loss."""
    program = _program(pid)
    try:
        possessed.enter_context(cycles.possess_or_adopt(pid))
    except PossessionError:
        if program and program == _program(pid):
            raise


def _program(pid: int) -> str:
    with suppress(OSError):
        return os.readlink(f"/proc/{pid}/exe")  # of a zombie there is none
    return ""


def _stay(speakers: list[Running], dice: random.Random, number: int) -> None:
    if number % 4 == 0:
        for speaker in speakers:
            speaker.advance()
    if number % 4 != 3:
        time.sleep(dice.random() * STAY_S_MAX)
    for speaker in speakers:
        speaker.read()


def _looks(pids: Iterable[int]) -> dict[int, Look]:
    """Look at each process, but for those that have ended."""
    looks = {}
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            looks[pid] = look(pid)
    return looks


def _compare(before: dict[int, Look], served: Served) -> None:
    looks = _looks(before)
    found = [f"{pid} has ended" for pid in list(before)[:1] if pid not in looks]
    for pid, after in looks.items():
        found += [f"{pid}: {line}" for line in before[pid].differs(after, MOVING, CYCLES)]
        if served.speaks is None and after.resident_kib > 2 * before[pid].resident_kib + 4 * GROWN_KIB_MAX:
            found.append(f"{pid} has grown from {before[pid].resident_kib} to {after.resident_kib} KiB")
    assert not found
