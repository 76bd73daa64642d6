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

from eudaemon.possession import adopt, possess, refuse
from eudaemon.possession.engine import BUILT
from eudaemon.possession.ptrace import Kernel

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


def test_it_is_said_who_stays_possessed(forking: subprocess.Popen[str]) -> None:
    assert run("possess", str(forking.pid), "--detach").returncode == 0
    child = int(order(forking, "(while :; do read x < /dev/zero; done) & echo $!"))
    try:
        Kernel().seize(child, 0)
        done = run("release", str(forking.pid))
        assert done.returncode == 3
        assert f"! its child {child} stays possessed → eudaemon release {child}" in done.stdout
        assert f"process {child} is traced by" in done.stderr
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


def test_a_watch_ends_with_its_process(sleeper: int) -> None:
    assert run("possess", str(sleeper), "--detach").returncode == 0
    command = [*COMMAND, "status", str(sleeper), "--watch", "--every", "0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.kill(sleeper, signal.SIGKILL)
        _, said = process.communicate(timeout=30)
    assert said == f"eudaemon: process {sleeper} has ended\n"


def test_nobody_stays_possessed_if_nobody_listens(sleeper: int) -> None:
    with open("/dev/full", "w") as full:
        for words in ("status",), ("possess", str(sleeper)):
            done = subprocess.run([*COMMAND, *words], stdout=full, stderr=subprocess.PIPE, timeout=60)
            assert done.returncode == 3
            assert b"Traceback" not in done.stderr
    assert run("status", str(sleeper)).returncode == 1


def test_a_pid_counts_once(sleeper: int) -> None:
    done = run("possess", str(sleeper), str(sleeper), "--for", "1ms", "--json")
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 2), done.stderr


def test_doctor_looks_at_a_process(sleeper: int) -> None:
    findings = json.loads(run("doctor", str(sleeper), "--json").stdout)
    assert {"what": f"process {sleeper}"[:14], "state": "good", "says": "sleep can be possessed", "do": ""} in findings


def test_doctor_says_that_it_is_possessed_already(sleeper: int) -> None:
    assert run("possess", str(sleeper), "--detach").returncode == 0
    done = run("doctor", str(sleeper))
    assert done.returncode == 1
    assert f"process {sleeper} is possessed already" in done.stdout
    assert run("release", str(sleeper)).returncode == 0


def test_status_of_one_that_is_not_possessed_is_the_error_alone(sleeper: int) -> None:
    done = run("status", str(sleeper), "--watch")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"eudaemon: process {sleeper} is not possessed\n"


@pytest.mark.parametrize("every", ["0", "-1", "nan", "inf", "x"])
def test_a_pause_is_a_length_of_time(every: str) -> None:
    done = run("status", "--watch", "--every", every)
    assert done.returncode == 2
    assert "is no number of seconds" in done.stderr


def test_without_rights_it_is_said_what_may_not_be_looked_into(sleeper: int) -> None:
    def words(*words: str) -> subprocess.CompletedProcess[str]:
        # Python may lie where only root may read: all is loaded by a first turn.
        code = f"import os, sys; from eudaemon import cli; cli.main({list(words)!r}); print('mark', flush=True); "
        code += f"os.setgid(65534); os.setuid(65534); sys.exit(cli.main({list(words)!r}))"
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)

    done = words("status", str(sleeper))
    assert (done.returncode, done.stdout) == (3, "mark\n"), done.stderr
    assert f"process {sleeper} may not be looked into" in done.stderr
    assert "run as root" in done.stderr
    assert "may not be looked into" in words("status").stderr


def test_doctor_says_what_may_not_be_looked_into(sleeper: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_maps(pid: int) -> None:
        raise PermissionError

    monkeypatch.setattr(refuse, "read_maps", read_maps)
    ((reason, do),) = refuse.reasons(sleeper)
    assert reason == f"process {sleeper} may not be looked into"
    assert "run as root" in do


def test_signs_are_no_reason_to_fail(sleeper: int) -> None:
    surroundings = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([*COMMAND, "doctor", str(sleeper)], capture_output=True, timeout=60, env=surroundings)
    assert b"Traceback" not in done.stderr
    assert b"can be possessed" in done.stdout


def test_release_says_who_traces(sleeper: int) -> None:
    assert run("possess", str(sleeper), "--detach").returncode == 0
    kernel = Kernel()
    kernel.seize(sleeper, 0)
    done = run("release", str(sleeper))
    assert done.returncode == 3
    assert f"eudaemon: process {sleeper} is traced by" in done.stderr


def test_wrong_arguments_touch_nothing(sleeper: int) -> None:
    with pytest.raises(ValueError, match="mode 'x' is none of none, shadow"):
        possess(sleeper, mode="x")
    for verb in (possess, adopt):
        with pytest.raises(TypeError, match="a pid is a number"):
            verb(str(sleeper))  # type: ignore[operator]


def test_what_is_wrong_is_said_with_what_to_do() -> None:
    if not (BUILT / "seal.image").exists():
        pytest.skip("needs the engine: make engine (with Rust)")
    done = run("possess", "4194303")
    assert done.returncode == 3
    assert "no process 4194303" in done.stderr
    assert "→" in done.stderr
    assert run("possess", "nginx").returncode == 2
    assert run("release", str(os.getpid())).returncode == 3
