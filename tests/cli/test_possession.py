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
from pathlib import Path

import pytest

from eudaemon.possession import adopt, possess, refuse
from eudaemon.possession.engine import BUILT, load_engine
from eudaemon.possession.ptrace import Kernel
from possession.ctl import wait_for
from possession.filling import Filled

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


@pytest.mark.parametrize(("user", "way"), [(1000, "run as root"), (0, "outside of the container")])
def test_doctor_says_what_may_not_be_looked_into(
    user: int, way: str, sleeper: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_maps(pid: int) -> None:
        raise PermissionError

    monkeypatch.setattr(refuse, "read_maps", read_maps)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    ((reason, do),) = refuse.reasons(sleeper)
    assert reason == f"process {sleeper} may not be looked into"
    assert way in do


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


@pytest.fixture
def place(tmp_path: Path) -> list[str]:
    """Return the words that say where alerts go."""
    return ["--data", str(tmp_path)]


def wait_for_line(process: subprocess.Popen[str]) -> dict[str, object]:
    assert process.stdout is not None
    fact: dict[str, object] = json.loads(process.stdout.readline())
    return fact


def test_an_alert_is_told_kept_and_answered(sleeper: int, place: list[str], tmp_path: Path) -> None:
    """The engine's side is a mock (`filling`)."""
    abi = load_engine().abi
    command = [*COMMAND, "possess", str(sleeper), "--taint", "inet,unix", "--on-alert", "observe", "--json", *place]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert wait_for_line(process)["did"] == "possessed"
        filled = Filled.of(sleeper, abi)
        filled.stream(3, b"GET /" + bytes(range(128)), peer="[2001:db8::7]:555")
        target = int.from_bytes(bytes(range(100, 108)), "little")
        filled.alert("CALL", target=target, tags=int.from_bytes(b"\x08" * 8, "little"))
        fact = wait_for_line(process)
        assert (fact["did"], fact["kind"], fact["verdict"], fact["in_time"]) == ("alert", "call", "observe", True)
        assert fact["culprits"] == [{"role": "value", "peer": "[2001:db8::7]:555", "offset": 105, "bytes": 8}]
        assert filled.verdict() == abi["verdict::OBSERVE"]
        assert json.loads(run("status", str(sleeper), "--json").stdout)[0]["alerts"] == 1
        process.send_signal(signal.SIGINT)
        assert wait_for_line(process)["did"] == "released"
        assert process.wait(30) == 4
    assert [path.name for path in (tmp_path / "alerts").iterdir()] == [fact["id"]]


def test_release_as_a_verdict(sleeper: int, place: list[str]) -> None:
    """The engine's side is a mock (`filling`)."""
    command = [*COMMAND, "possess", str(sleeper), "--taint", "inet", "--on-alert", "release", *place]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "possessed" in process.stdout.readline()
        Filled.of(sleeper, load_engine().abi).alert("RETURN", target=1, tags=1)
        said, _ = process.communicate(timeout=30)
        assert process.returncode == 4
    assert f"{sleeper}: ALERT: sleep: it was about to return to an address that came from outside" in said
    assert "→ eudaemon alert show 2" in said
    assert f"{sleeper}: released" in said
    assert run("status", str(sleeper)).returncode == 1


def test_what_nobody_heard_is_collected_at_the_release(sleeper: int, place: list[str], tmp_path: Path) -> None:
    """The engine's side is a mock (`filling`)."""
    assert run("possess", str(sleeper), "--taint", "inet", "--detach", *place).returncode == 0
    filled = Filled.of(sleeper, load_engine().abi)
    assert filled.mailbox.one("patience_ms") == 0
    filled.alert("RETURN", target=1, tags=1, state=load_engine().abi["verdict::CONTAIN"])
    done = run("release", str(sleeper), *place)
    assert done.returncode == 4, done.stderr
    assert "by the engine, for nobody had answered in time" in done.stdout
    assert f"{sleeper}: released" in done.stdout
    assert len(list((tmp_path / "alerts").iterdir())) == 1


def test_an_alert_of_a_child(forking: subprocess.Popen[str], place: list[str]) -> None:
    """The engine's side is a mock (`filling`)."""
    command = [*COMMAND, "possess", str(forking.pid), "--taint", "inet", "--json", *place]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert wait_for_line(process)["did"] == "possessed"
        Filled.of(forking.pid, load_engine().abi).alert("RETURN", target=1, tags=1)
        assert wait_for_line(process)["pid"] == forking.pid
        child = int(order(forking, "(while :; do read x < /dev/zero; done) & echo $!"))
        try:
            # Its mailbox is a copy, with its parent's alert in it, which is not told again.
            Filled.of(child, load_engine().abi).alert("JUMP", serial=2, target=2, tags=1)
            fact = wait_for_line(process)
            assert (fact["pid"], fact["kind"], fact["child_of"]) == (child, "jump", forking.pid)
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 4
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--taint", "inet,tcp"], "'tcp' is no source of input: inet, unix, stdin or file:GLOB"),
        (["--taint", "file"], "'file' is no source of input"),
        (["--taint", "inet:x"], "'inet:x' is no source of input"),
        (["--taint", "file:upload/*"], "begins with a slash"),
        (["--taint", ",".join(f"file:/{n}" for n in range(17))], "17 patterns of files, of 16"),
        (["--on-alert", "kill"], "belong to --taint SOURCES"),
        (["--taint", "inet", "--mode", "shadow"], "leave --mode away"),
        (["--taint", "inet", "--detach", "--on-alert", "release"], "leave --detach away"),
    ],
)
def test_a_policy_that_makes_no_sense_touches_nothing(words: list[str], says: str) -> None:
    done = run("possess", "1", *words)
    assert done.returncode == 2
    assert says in done.stderr


def test_what_the_engine_cannot_see_is_said(place: list[str]) -> None:
    code = "import mmap, socket; one = socket.socket(); m = mmap.mmap(-1, 8192); print('ready', flush=True); input()"
    if platform.machine() != "x86_64" or os.geteuid() != 0 or not (BUILT / "seal.image").exists():
        pytest.skip("needs an x86-64 machine, root and the engine")
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        done = run("possess", str(process.pid), "--taint", "inet", "--for", "1ms", "--json", *place)
        process.kill()
    remarks = json.loads(done.stdout.splitlines()[0])["remarks"]
    assert any("its 1 open socket brought before now" in remark for remark in remarks)
    assert any("it shares memory with others" in remark for remark in remarks)


def test_files_are_found_again_while_it_listens(sleeper: int, place: list[str], tmp_path: Path) -> None:
    (tmp_path / "one.png").touch()
    pattern = f"file:{tmp_path}/*.png"
    with subprocess.Popen(
        [*COMMAND, "possess", str(sleeper), "--taint", pattern, *place], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        mailbox = Filled.of(sleeper, load_engine().abi).mailbox
        assert mailbox.one("file_count") == 1
        new = tmp_path / "two.png"
        new.touch()
        wait_for(lambda: mailbox.one("file_count") == 2)
        entry = mailbox.abi.records["File"]
        raw = mailbox.memory.read(mailbox.address + mailbox.record["files"].offset, 2 * entry.size)
        found = {entry.unpack(raw, "device", "inode", at=at) for at in (0, entry.size)}
        assert (new.stat().st_dev, new.stat().st_ino) in found
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
