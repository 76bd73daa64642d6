"""A process is possessed and released, and is what it was."""

from __future__ import annotations

import importlib
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from eudaemon.possession import MODES, PossessionError, Refused, Vanished, adopt, possess, seizure
from eudaemon.possession.engine import Engine
from eudaemon.possession.errors import Busy
from eudaemon.possession.image import Image
from eudaemon.possession.status import status_of
from eudaemon.possession.tracee import state_of
from possession import engines
from possession.ctl import Victim, Victims, residue, wait_for

CYCLES = 8


@pytest.mark.parametrize("flags", [(), ("-static",), ("-no-pie",), ("-static-pie",)], ids=" ".join)
def test_a_loop_keeps_its_registers(victims: Victims, started: list[Victim], engine: Engine, flags: tuple[str]) -> None:
    victim = victims.start("ctl_loop", flags=flags)
    started.append(victim)
    victim.good()
    before = residue(victim.pid)
    for _ in range(CYCLES):
        with possess(victim.pid, engine=engine):
            victim.good()
    victim.good()
    assert residue(victim.pid) == before


def test_a_reader_is_not_woken(victims: Victims, started: list[Victim], engine: Engine) -> None:
    victim = victims.start("ctl_read")
    started.append(victim)
    victim.say("begin\n")
    assert victim.line() == "begin"
    before = residue(victim.pid)
    for number in range(CYCLES):
        with possess(victim.pid, engine=engine):
            victim.say(f"possessed {number}\n")
            assert victim.line() == f"possessed {number}"
        victim.say(f"released {number}\n")
        assert victim.line() == f"released {number}"
    assert residue(victim.pid) == before


def counted(pid: int, engine: Engine) -> dict[str, int]:
    """Say how many threads of a possessed process are in which state."""
    status = status_of(pid, engine.abi)
    assert status is not None
    return status.threads


@pytest.mark.parametrize("threads", [2, 64])
def test_many_threads(victims: Victims, started: list[Victim], engine: Engine, threads: int) -> None:
    victim = victims.start("ctl_threads", str(threads))
    started.append(victim)
    victim.good()
    before = residue(victim.pid)
    for _ in range(CYCLES):
        with possess(victim.pid, engine=engine):
            victim.good(1)
            wait_for(lambda: counted(victim.pid, engine) == {"running": threads})
    victim.good()
    assert residue(victim.pid) == before


def test_threads_under_a_filter_make_no_call_that_it_forbids(victims: Victims, started: list[Victim]) -> None:
    """Not with the stub, which opens the mask only behind `seal_held`."""
    victim = victims.start("ctl_confined")
    started.append(victim)
    victim.good(1)
    before = residue(victim.pid)
    for _ in range(CYCLES):
        with possess(victim.pid, engine=engines.real()):
            victim.good()
        victim.good(1)
    assert residue(victim.pid) == before


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("word", ["together", "alone"])
def test_a_filter_that_is_installed_while_possessed(
    victims: Victims, started: list[Victim], word: str, mode: str
) -> None:
    victim = victims.start("ctl_confined", word)
    started.append(victim)
    assert victim.line() == "good"
    with possess(victim.pid, engine=engines.real(), mode=mode):
        victim.say("\n")
        victim.good()
    victim.good(1)
    with possess(victim.pid, engine=engines.real(), mode=mode):
        victim.good()
    victim.good(1)


@pytest.mark.parametrize("mode", MODES)
def test_memory_that_runs_out_while_possessed(victims: Victims, started: list[Victim], mode: str) -> None:
    """What there is has to do: it goes on, and its status says that it should be let go."""
    victim = victims.start("ctl_tight")
    started.append(victim)
    assert victim.line() == "good"
    engine = engines.real()
    with possess(victim.pid, engine=engine, mode=mode):
        victim.say("\n")
        victim.good(3)
        status = status_of(victim.pid, engine.abi)
        assert status is not None
        assert status.trouble == "no memory"
    victim.good()


def test_a_shadow_needs_address_space(victims: Victims, started: list[Victim], stub: Engine) -> None:
    victim = victims.start("ctl_loop")
    started.append(victim)
    resource.prlimit(victim.pid, resource.RLIMIT_AS, (1 << 28, 1 << 28))
    with pytest.raises(Refused, match="RLIMIT_AS"):
        possess(victim.pid, engine=stub, mode="shadow")
    with possess(victim.pid, engine=stub):
        victim.good()


def test_in_a_root_without_proc(victims: Victims, started: list[Victim], engine: Engine, tmp_path: Path) -> None:
    victim = victims.start("ctl_chroot", str(tmp_path))
    started.append(victim)
    victim.good(1)
    for _ in range(CYCLES):
        with possess(victim.pid, engine=engine):
            victim.good()
        victim.good(1)


def test_possessed_twice_is_refused(victims: Victims, started: list[Victim], engine: Engine) -> None:
    victim = victims.start("ctl_loop")
    started.append(victim)
    with possess(victim.pid, engine=engine):
        with pytest.raises(Refused, match="possessed already"):
            possess(victim.pid, engine=engine)
        victim.good()
    victim.good()


def test_anybody_may_release(victims: Victims, started: list[Victim], engine: Engine) -> None:
    victim = victims.start("ctl_loop")
    started.append(victim)
    victim.good(1)
    before = residue(victim.pid)
    possession = possess(victim.pid, engine=engine)
    adopt(victim.pid, engine=engine).release()
    assert residue(victim.pid) == before
    possession.release()  # nothing is left to do
    with pytest.raises(Refused, match="not possessed"):
        adopt(victim.pid, engine=engine)
    victim.good()


def test_a_stopped_process_stays_stopped(victims: Victims, started: list[Victim], engine: Engine) -> None:
    victim = victims.start("ctl_threads", "8")
    started.append(victim)
    victim.good(1)
    os.kill(victim.pid, signal.SIGSTOP)
    wait_for(lambda: state_of(victim.pid, victim.pid).startswith("T"))
    before = residue(victim.pid)
    with possess(victim.pid, engine=engine):
        wait_for(lambda: state_of(victim.pid, victim.pid).startswith("T"))
    wait_for(lambda: state_of(victim.pid, victim.pid).startswith("T"))
    assert residue(victim.pid) == before
    with possess(victim.pid, engine=engine):
        os.kill(victim.pid, signal.SIGCONT)
        victim.good()
        os.kill(victim.pid, signal.SIGSTOP)
        wait_for(lambda: state_of(victim.pid, victim.pid).startswith("T"))
    os.kill(victim.pid, signal.SIGCONT)
    victim.good()


def test_a_process_that_ends_while_possessed(victims: Victims, started: list[Victim], engine: Engine) -> None:
    victim = victims.start("ctl_read")
    started.append(victim)
    possession = possess(victim.pid, engine=engine)
    victim.end()
    with pytest.raises(Vanished):
        possession.release()


def test_what_is_moved_in_pieces_is_moved_to_its_end(victims: Victims, started: list[Victim]) -> None:
    victim = victims.start("ctl_write")
    started.append(victim)
    victim.good(1)
    for number in range(10):
        possession = possess(victim.pid, engine=engines.real())
        time.sleep(0.026 * (number % 2) * number)  # every other time at once
        possession.release()
        assert not possession.remarks
        time.sleep(0.007 * number)
    victim.good(5)


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare: apt-get install util-linux")
def test_a_process_that_has_another_number_inside(started: list[Victim], engine: Engine) -> None:
    """As in every container: its threads have other numbers in its own namespace than here."""
    outer = Victim(["unshare", "--pid", "--fork", "sh", "-c", "echo begin; while read line; do echo $line; done"])
    started.append(outer)
    assert outer.line() == "begin"
    inside = int(Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text())
    for number in range(CYCLES):
        with possess(inside, engine=engine):
            outer.say(f"possessed {number}\n")
            assert outer.line() == f"possessed {number}"
        outer.say(f"released {number}\n")
        assert outer.line() == f"released {number}"


def test_what_was_planted_by_half_is_released(victims: Victims, started: list[Victim], engine: Engine) -> None:
    """The controller was killed when nothing lay there but the mailbox."""
    victim = victims.start("ctl_loop")
    started.append(victim)
    victim.good(1)
    before = residue(victim.pid)
    if (controller := os.fork()) == 0:
        Image.laid_out_at = lambda *_: os._exit(9)  # type: ignore[method-assign]
        possess(victim.pid, engine=engine)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(controller, 0)[1]) == 9
    assert residue(victim.pid) != before
    adopt(victim.pid, engine=engine).release()
    assert residue(victim.pid) == before
    victim.good(1)


def test_a_parent_in_vfork_is_waited_for(victims: Victims, started: list[Victim], engine: Engine) -> None:
    victim = victims.start("ctl_vfork", "100")
    started.append(victim)
    victim.good(1)
    before = residue(victim.pid)
    for _ in range(3):
        with possess(victim.pid, engine=engine):
            victim.good(1)
        victim.good(1)
    assert residue(victim.pid) == before


def test_a_parent_in_vfork_whose_child_lives_on_is_let_be(
    victims: Victims, started: list[Victim], engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seizure, "BUSY_S_MAX", 0.1)
    victim = victims.start("ctl_vfork")
    started.append(victim)
    assert victim.line() == "good"
    before = residue(victim.pid)
    with pytest.raises(Busy, match=r"does not stop.*vfork"):
        possess(victim.pid, engine=engine)
    assert residue(victim.pid) == before
    victim.say("\n")
    assert victim.line() == "good"


def execute(victim: Victim) -> None:
    """Let a shell that waits for a line become `cat`."""
    victim.say("\n")
    wait_for(lambda: Path(f"/proc/{victim.pid}/comm").read_text() == "cat\n")


def is_cat(victim: Victim) -> bool:
    victim.say("echo\n")
    return victim.line() == "echo"


def test_a_process_that_executes_another_program_while_possessed(started: list[Victim], engine: Engine) -> None:
    victim = Victim(["sh", "-c", "echo ready; read line; exec cat"])
    started.append(victim)
    assert victim.line() == "ready"
    with possess(victim.pid, engine=engine) as possession:
        execute(victim)
    assert possession.is_gone
    assert "executed another program" in possession.remarks[-1]
    assert is_cat(victim)


@pytest.mark.parametrize("step", ["plant._write", "plant._prepare", "lifecycle.wake"])
def test_a_process_that_executes_another_program_between_two_steps(
    started: list[Victim], engine: Engine, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    victim = Victim(["sh", "-c", "echo ready; read line; exec cat"])
    started.append(victim)
    assert victim.line() == "ready"
    module, _, name = step.partition(".")
    whole = importlib.import_module(f"eudaemon.possession.{module}")
    then = getattr(whole, name)

    def meanwhile(*words: object) -> object:
        execute(victim)
        return then(*words)

    monkeypatch.setattr(whole, name, meanwhile)
    with possess(victim.pid, engine=engine) as possession:
        assert possession.is_gone
    assert possession.remarks == [f"process {victim.pid} has executed another program: nothing is left to release"]
    assert is_cat(victim)
    assert residue(victim.pid)["status"]


def test_threads_that_come_and_go(victims: Victims, started: list[Victim], engine: Engine) -> None:
    victim = victims.start("ctl_spawn")
    started.append(victim)
    victim.good(1)
    for _ in range(CYCLES):
        with possess(victim.pid, engine=engine):
            victim.good(1)
    victim.good()


def test_signals_are_neither_lost_nor_doubled(victims: Victims, started: list[Victim]) -> None:
    """Not with the stub: it takes over no handlers, and one that interrupts its prologue would return into it."""
    victim = victims.start("ctl_signals")
    started.append(victim)
    victim.good(1)
    for _ in range(CYCLES * 2):
        with possess(victim.pid, engine=engines.real()):
            pass
    victim.good()


@pytest.mark.parametrize("mode", MODES)
def test_modes(victims: Victims, started: list[Victim], engine: Engine, mode: str) -> None:
    victim = victims.start("ctl_loop")
    started.append(victim)
    victim.good(1)
    before = residue(victim.pid)
    with possess(victim.pid, engine=engine, mode=mode):
        victim.good()
        status = status_of(victim.pid, engine.abi)
        assert status is not None
        assert status.mode == mode
    victim.good()
    assert residue(victim.pid) == before


def test_a_crash_does_not_dump_the_shadow(victims: Victims, started: list[Victim]) -> None:
    """It is gigabytes of nothing, through which the kernel would go page by page."""
    victim = victims.start("ctl_loop")
    started.append(victim)
    with possess(victim.pid, engine=engines.real(), mode="shadow"):
        text = Path(f"/proc/{victim.pid}/smaps").read_text()
    mappings = re.findall(r"^Size:\s+(\d+) kB.*?^VmFlags:(.*?)$", text, re.MULTILINE | re.DOTALL)
    large = [flags.split() for kib, flags in mappings if int(kib) >= 1 << 22]
    assert large
    assert all("dd" in flags for flags in large)


def test_a_controller_that_is_killed_leaves_it_possessed(
    victims: Victims, started: list[Victim], engine: Engine
) -> None:
    victim = victims.start("ctl_threads", "4")
    started.append(victim)
    victim.good(1)
    before = residue(victim.pid)
    folder = engines.folder_of(engine)
    script = (
        "import os, sys; from pathlib import Path; from eudaemon.possession import possess\n"
        "from eudaemon.possession.engine import load_engine\n"
        f"possess({victim.pid}, engine=load_engine(Path({str(folder)!r}))); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    victim.good()
    adopt(victim.pid, engine=engine).release()
    victim.good()
    assert residue(victim.pid) == before


def test_two_controllers_at_once(victims: Victims, started: list[Victim], stub: Engine) -> None:
    victim = victims.start("ctl_loop")
    started.append(victim)
    import fcntl

    door = os.open(f"/proc/{victim.pid}", os.O_RDONLY)
    fcntl.flock(door, fcntl.LOCK_EX)
    with pytest.raises(Refused, match="another controller"):
        possess(victim.pid, engine=stub)
    os.close(door)
    with possess(victim.pid, engine=stub):
        victim.good()


def test_no_such_process(stub: Engine) -> None:
    with pytest.raises(Vanished, match="no process 4194303"):
        possess(4194303, engine=stub)


def test_without_an_engine_it_says_what_to_do(tmp_path: Path) -> None:
    from eudaemon.possession.engine import load_engine

    with pytest.raises(PossessionError, match="make engine"):
        load_engine(tmp_path)
