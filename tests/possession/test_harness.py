"""The harness itself: what must be found out is found out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from possession.residue import look
from possession.running import Running, VictimError, running
from possession.victims import BY_NAME, SOURCES, missing, row

STEADY = BY_NAME["integer"]
pytestmark = pytest.mark.skipif(bool(missing(STEADY)), reason=missing(STEADY))


def test_a_killed_victim_is_reported() -> None:
    with running(STEADY) as victim:
        victim.process.kill()
        with pytest.raises(VictimError, match="is gone: status -9"):
            victim.advance()


def test_a_victim_that_stands_still_is_reported_with_its_threads() -> None:
    with running(STEADY) as victim:
        os.kill(victim.pid, signal.SIGSTOP)
        with pytest.raises(VictimError, match=r"(?s)stands still.*State|T \(stopped\)"):
            victim.advance(within_s=1)


def test_a_wrong_result_is_reported() -> None:
    says = "print('ready'); print('WRONG file.c:1 round 7: a == b')"
    process = subprocess.Popen([sys.executable, "-c", says], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with pytest.raises(VictimError, match="round 7"):
        Running("made up", process).heard("SOUND", 20)
    process.wait(20)


def test_every_source_has_its_row() -> None:
    used = {victim.source for victim in BY_NAME.values()} | {"plugin.c"}
    ours = {path.name for path in SOURCES.glob("*.c*") if not path.name.startswith("ctl_")}  # the controller's own
    assert ours == used


def test_a_looks_differences() -> None:
    before = look(os.getpid())
    leftover = replace(before, maps=(*before.maps, "10000000-10200000 rwxp 00000000 0"))
    opened = replace(before, fd=(*before.fd, "99999 -> /dev/null"))
    assert before.differs(before, frozenset()) == []
    assert len(before.differs(leftover, frozenset())) == 2
    assert len(before.differs(leftover, frozenset({"maps"}))) == 1  # below 2 GiB nobody has business
    assert before.differs(opened, frozenset()) == ["fd: new    99999 -> /dev/null"]
    assert before.differs(opened, frozenset({"fd"})) == []


def test_neighbours_of_one_kind_count_as_one_mapping() -> None:
    text = "1000-2000 rw-p 00000000 00:00 0 \n2000-3000 rw-p 00000000 00:00 0 \n3000-4000 r--p 00000000 00:00 0 \n"
    from possession import residue

    assert residue._merged(text) == ["1000-3000 rw-p 00000000 0", "3000-4000 r--p 00000000 0"]


def test_what_is_missing_is_said() -> None:
    assert (
        "apt-get install musl-tools" in missing(row("x.c", compiler="musl-gcc")) or Path("/usr/bin/musl-gcc").exists()
    )
    assert missing(row("x.c", needs="no-such-flag")) == "this processor has no no-such-flag"
