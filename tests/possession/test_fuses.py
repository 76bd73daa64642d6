"""Whatever fails, and wherever a controller is killed: the process runs on as if nothing had been."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from eudaemon.possession import PossessionError, Refused, adopt, possess
from eudaemon.possession.engine import Engine
from eudaemon.possession.ptrace import Kernel
from possession.ctl import Victim, Victims, residue
from possession.fuses import Death, Fuse

pytestmark = pytest.mark.soak

VICTIMS = {"ctl_loop": (), "ctl_threads": ("5",)}
OPERATIONS_MAX = 2000


def free(pid: int, engine: Engine) -> None:
    """Let go whatever is left of a possession, as a later controller would."""
    try:
        adopt(pid, engine=engine).release()
    except Refused:
        return


def good(victim: Victim) -> None:
    """Make sure that it lives."""
    victim.good(1)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", VICTIMS)
def test_a_fuse_at_every_operation_of_possessing(
    victims: Victims, started: list[Victim], engine: Engine, name: str
) -> None:
    victim = victims.start(name, *VICTIMS[name])
    started.append(victim)
    good(victim)
    before = residue(victim.pid)
    for nth in range(OPERATIONS_MAX):
        fuse = Fuse(nth)
        try:
            possession = possess(victim.pid, engine=engine, kernel=fuse)
        except PossessionError:
            assert fuse.blown
            assert victim.process.poll() is None, f"operation {nth}, {fuse.blown}: the victim died of it"
            left = residue(victim.pid)
            assert left == before, f"operation {nth}, {fuse.blown}"
            continue
        was_blown = fuse.blown
        fuse.left = -1
        possession.release()
        if not was_blown:
            break
    else:
        raise AssertionError("it never came to an end")
    good(victim)
    assert residue(victim.pid) == before


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", VICTIMS)
def test_a_fuse_at_every_operation_of_releasing(
    victims: Victims, started: list[Victim], engine: Engine, name: str
) -> None:
    victim = victims.start(name, *VICTIMS[name])
    started.append(victim)
    good(victim)
    before = residue(victim.pid)
    for nth in range(OPERATIONS_MAX):
        possess(victim.pid, engine=engine)
        fuse = Fuse(nth)
        try:
            adopt(victim.pid, engine=engine, kernel=fuse).release()
        except PossessionError:
            assert fuse.blown
            free(victim.pid, engine)  # a second try succeeds
        assert residue(victim.pid) == before, f"operation {nth}, {fuse.blown}"
        if not fuse.blown:
            break
    else:
        raise AssertionError("it never came to an end")
    good(victim)


def killed_at(nth: int, pid: int, engine: Engine, verb: str) -> bool:
    """Run a controller that is killed at its nth operation. False: it had done before."""
    child = os.fork()
    if child == 0:
        try:
            kernel: Kernel = Death(nth)
            if verb == "possess":
                possess(pid, engine=engine, kernel=kernel)
            else:
                adopt(pid, engine=engine, kernel=kernel).release()
        except PossessionError as error:
            print(error, file=sys.stderr)
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert not (os.WIFEXITED(status) and os.WEXITSTATUS(status)), f"operation {nth}"
    return os.WIFSIGNALED(status)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", VICTIMS)
@pytest.mark.parametrize("verb", ["possess", "release"])
def test_a_controller_killed_at_every_operation(
    victims: Victims, started: list[Victim], engine: Engine, name: str, verb: str
) -> None:
    victim = victims.start(name, *VICTIMS[name])
    started.append(victim)
    good(victim)
    before = residue(victim.pid)
    for nth in range(OPERATIONS_MAX):
        if verb == "release":
            possess(victim.pid, engine=engine)
        was_killed = killed_at(nth, victim.pid, engine, verb)
        assert victim.process.poll() is None, f"operation {nth} of {verb}: the victim died of it"
        free(victim.pid, engine)
        assert residue(victim.pid) == before, f"operation {nth} of {verb}"
        if nth % 16 == 0:
            good(victim)
        if not was_killed:
            break
    else:
        raise AssertionError("it never came to an end")
    good(victim)
    assert residue(victim.pid) == before


@pytest.mark.parametrize("when", ["possessing", "possessed", "releasing"])
def test_a_victim_killed_meanwhile(victims: Victims, started: list[Victim], engine: Engine, when: str) -> None:
    """The tracee ends by SIGKILL at every tenth operation: the controller says so, and nothing else."""

    class Murder(Kernel):
        left = 0

        def before(self, operation: str, tid: int) -> None:
            if self.left == 0:
                os.kill(victim.pid, signal.SIGKILL)
            self.left -= 1

    for nth in range(0, 200, 10):
        victim = victims.start("ctl_threads", "3")
        good(victim)
        kernel = Murder()
        kernel.left = nth if when == "possessing" else -1
        try:
            possession = possess(victim.pid, engine=engine, kernel=kernel)
            if when == "possessed":
                victim.end()
            elif when == "releasing":
                kernel.left = nth
            possession.release()
        except PossessionError as error:
            if "ended" not in str(error) and "no process" not in str(error):
                raise
        victim.end()


def test_the_engine_folder_is_no_secret(tmp_path: Path) -> None:
    """A half-copied engine is refused in words."""
    from eudaemon.possession.engine import load_engine

    (tmp_path / "seal.image").write_bytes(b"no image")
    (tmp_path / "seal.abi.json").write_text("{}")
    with pytest.raises(PossessionError, match="no 64-bit ELF"):
        load_engine(tmp_path)
