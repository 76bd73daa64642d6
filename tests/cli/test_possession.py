"""possess, status and release as one types them."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from eudaemon.possession.engine import BUILT

COMMAND = [sys.executable, "-m", "eudaemon"]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *words], capture_output=True, text=True, timeout=60)


@pytest.fixture
def sleeper() -> Iterator[int]:
    """Return the pid of a process that may be possessed."""
    if platform.machine() != "x86_64" or os.geteuid() != 0:
        pytest.skip("needs an x86-64 machine and root")
    if not (BUILT / "seal.image").exists():
        pytest.skip("needs the engine: make engine (with Rust)")
    with subprocess.Popen(["/bin/sleep", "1000"]) as process:
        yield process.pid
        process.kill()


def test_possess_for_a_while(sleeper: int) -> None:
    done = run("possess", str(sleeper), "--for", "100ms", "--json")
    assert done.returncode == 0, done.stderr
    facts = [json.loads(line) for line in done.stdout.splitlines()]
    assert [fact["did"] for fact in facts] == ["possessed", "released"]
    assert all(fact["frozen_ns"] > 0 for fact in facts)


def test_detach_status_release(sleeper: int) -> None:
    assert run("possess", str(sleeper), "--detach").returncode == 0
    (status,) = json.loads(run("status", str(sleeper), "--json").stdout)
    assert (status["pid"], status["name"], status["state"]) == (sleeper, "sleep", "possessed")
    assert str(sleeper) in run("status").stdout
    assert run("possess", str(sleeper)).returncode == 3
    done = run("release", str(sleeper))
    assert done.returncode == 0, done.stderr
    assert "released" in done.stdout
    assert run("status", str(sleeper)).returncode == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_releases_when_it_is_told_to_stop(sleeper: int, number: int) -> None:
    with subprocess.Popen([*COMMAND, "possess", str(sleeper)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "possessed" in process.stdout.readline()
        process.send_signal(number)
        assert "released" in process.stdout.readline()
        assert process.wait(30) == 0
    assert run("status", str(sleeper)).returncode == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_on_the_way_leaves_nobody_possessed(sleeper: int, number: int) -> None:
    for delay_s in (0.3, 0.45, 0.6):
        with subprocess.Popen(
            [*COMMAND, "possess", str(sleeper)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            time.sleep(delay_s)
            process.send_signal(number)
            assert process.wait(30) in (0, 130, 128 + number, -number)
        assert run("status", str(sleeper)).returncode == 1


@pytest.mark.parametrize("end", ["ended", "released"])
def test_it_ends_when_nobody_is_possessed_any_more(sleeper: int, end: str) -> None:
    with subprocess.Popen([*COMMAND, "possess", str(sleeper), "--json"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        if end == "ended":
            os.kill(sleeper, signal.SIGKILL)
        else:
            assert run("release", str(sleeper)).returncode == 0
        assert json.loads(process.stdout.readline())["why"] == end
        assert process.wait(30) == 3


@pytest.fixture
def forking(sleeper: int) -> Iterator[subprocess.Popen[str]]:
    """Return a shell that forks a child for each line it is told, and executes what `exec` tells it."""
    with subprocess.Popen(["/bin/sh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as shell:
        yield shell
        shell.kill()


def order(shell: subprocess.Popen[str], line: str) -> str:
    assert shell.stdin is not None
    assert shell.stdout is not None
    print(line, file=shell.stdin, flush=True)
    return shell.stdout.readline().strip()


def test_children_are_released_too(forking: subprocess.Popen[str]) -> None:
    assert run("possess", str(forking.pid), "--detach").returncode == 0
    child = int(order(forking, "(while :; do read x < /dev/zero; done) & echo $!"))
    try:
        assert run("status", str(child)).returncode == 0
        done = run("release", str(forking.pid))
        assert done.returncode == 0, done.stderr
        assert f"{child}: released, a child of {forking.pid}" in done.stdout
        assert run("status", str(child)).returncode == 1
    finally:
        os.kill(child, signal.SIGKILL)


def test_it_ends_when_another_program_is_executed(forking: subprocess.Popen[str]) -> None:
    command = [*COMMAND, "possess", str(forking.pid)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert order(forking, "exec sh -c 'echo on; exec sleep 1000'") == "on"
        assert "has executed another program" in process.stdout.readline()
        assert process.wait(30) == 3


def test_nobody_stays_possessed_if_nobody_listens(sleeper: int) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([*COMMAND, "possess", str(sleeper)], stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 3
    assert done.stderr == b""
    assert run("status", str(sleeper)).returncode == 1


def test_a_pid_counts_once(sleeper: int) -> None:
    done = run("possess", str(sleeper), str(sleeper), "--for", "1ms", "--json")
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 2), done.stderr


def test_doctor_looks_at_a_process(sleeper: int) -> None:
    findings = json.loads(run("doctor", str(sleeper), "--json").stdout)
    assert {"what": f"process {sleeper}"[:14], "state": "good", "says": "sleep can be possessed", "do": ""} in findings


def test_what_is_wrong_is_said_with_what_to_do() -> None:
    if not (BUILT / "seal.image").exists():
        pytest.skip("needs the engine: make engine (with Rust)")
    done = run("possess", "4194303")
    assert done.returncode == 3
    assert "no process 4194303" in done.stderr
    assert "→" in done.stderr
    assert run("possess", "nginx").returncode == 2
    assert run("release", str(os.getpid())).returncode == 3
