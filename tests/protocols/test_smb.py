"""SMB: both dialects, EternalBlue's dialogue, DoublePulsar's payloads, files of every size, and the limits."""

from __future__ import annotations

import hmac
import struct

import pytest

from eudaemon.events.catalogue import ExploitRecognised, FileRequested, LoginTried, SmbClientIdentified
from eudaemon.protocols._base import Claim, Keep
from eudaemon.protocols._ntlm import nt_hash, signature_of
from eudaemon.protocols._windows import server_of
from eudaemon.protocols.smb import Smb, connection, doublepulsar, opens, room, smb2, transactions
from eudaemon.protocols.smb.doublepulsar import key_of, program_in, xored
from eudaemon.testing.script import Table, play, visit
from eudaemon.wire import Purse
from eudaemon.world.host import Host
from eudaemon.world.memory import Memory
from eudaemon.world.seed import Seed
from payload.servers import SIZES, content
from protocols import smb_client as client
from protocols.smb_client import Client2, framed, head1, unframed

HOST = Host.from_seed(Seed(b"test"))
INSUFFICIENT, NOT_IMPLEMENTED, INVALID = 0xC000_0205, 0xC000_0002, 0xC000_000D
SIGNED_UP_TO = 48


def host_with(*, implant: bool) -> Host:
    """Return a host that has DoublePulsar from the start, or has not."""
    hosts = (Host.from_seed(Seed(b"%d" % number)) for number in range(64))
    return next(host for host in hosts if (host.seed.number("doublepulsar", 2) == 0) is implant)


def talk(*, host: Host = HOST, memory: Memory | None = None, bytes_max: int = 32 << 20, port: int = 445) -> Table:
    return Table(Smb(visit(host=host, port=port, memory=memory, purse=Purse(bytes_max)))).open()


def entered(table: Table) -> Table:
    """Let nobody in, at IPC$."""
    for message in client.OPENING1:
        assert head1(unframed(table.say(message))[0])[1] == 0
    return table


def exploits(table: Table) -> list[tuple[str, str]]:
    return [(fact.name, fact.command) for fact in table.facts if isinstance(fact, ExploitRecognised)]


def ping(table: Table, opcode: int = 0x23, body: bytes = bytes(12)) -> tuple[int, int, bytes]:
    """Return status, number and signature of what DoublePulsar answers."""
    (answer,) = unframed(table.say(client.pulsar(opcode, body)))
    _, status, _, _, mid, signature = head1(answer)
    return status, mid, signature


# --- SMB 1 ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", [0, 1])
def test_what_a_scanner_of_2017_sees(split: int) -> None:
    table = talk()
    server = server_of(HOST)
    (answer,) = unframed(table.say(client.negotiate(), split))
    assert answer[32] == 17
    assert answer[33:36] == b"\1\0\3"  # the second dialect, users' security with challenges
    assert server.name.encode("utf-16-le") in answer
    (answer,) = unframed(table.say(client.nobody(), split))
    assert head1(answer)[1::2][:2] == (0, 0x800)
    assert server.system.encode("utf-16-le") in answer
    (answer,) = unframed(table.say(client.connect("\\\\x\\IPC$"), split))
    assert b"IPC\0" in answer
    assert head1(unframed(table.say(client.look(), split))[0])[:2] == (0x25, INSUFFICIENT)
    assert exploits(table) == [("ms17-010-check", "")]
    assert SmbClientIdentified((), "Windows 2000 2195", "Windows 2000 5.0") in table.facts
    assert not [fact for fact in table.facts if isinstance(fact, LoginTried)]


def test_names_behind_netbios() -> None:
    script = r"""
    > \x81\0\0\x44 CKFDENECFDEFFCFGEFFCCACACACACACA\0 EIFAFEEBEEENEJEOCACACACACACACACA\0
    < \x82\0\0\0
    > \x85\0\0\0
    > GET / HTTP/1.0\r\n\r\n
    / over
    """
    assert play(Smb, script, given=visit(host=HOST, port=139)).fault


def test_who_offers_smb_2_in_smb_1_gets_it() -> None:
    for names, dialect in (
        ((b"NT LM 0.12", b"SMB 2.002", b"SMB 2.???"), 0x02FF),
        ((b"NT LM 0.12", b"SMB 2.002"), 0x0202),
    ):
        (answer,) = unframed(talk().say(client.negotiate(dialects=(b"NT LM 0.12", *names))))
        assert answer[:4] == b"\xfeSMB"
        assert int.from_bytes(answer[68:70], "little") == dialect


def test_no_two_installations_are_alike() -> None:
    said = {talk(host=Host.from_seed(Seed(b"%d" % n))).say(client.negotiate(0xC801)) for n in range(12)}
    assert len(said) == 12


# --- EternalBlue and DoublePulsar ----------------------------------------------------------------------


@pytest.mark.parametrize("split", [0, 7])
def test_eternalblue_is_kept_and_leaves_what_its_users_look_for(split: int) -> None:
    memory = Memory()
    table = entered(talk(host=host_with(implant=False), memory=memory))
    assert ping(table)[:2] == (NOT_IMPLEMENTED, 0x41), "not there yet"
    shot = content(66_512)
    messages = client.blue(shot)
    assert head1(unframed(table.say(messages[0], split))[0])[:2] == (0xA0, 0), "an answer in between"
    for message in messages[1:-1]:
        assert table.say(message, split) == b""
    assert head1(unframed(table.say(messages[-1], split))[0])[:2] == (0x33, INVALID)
    assert [(keep.origin, keep.data, keep.partial) for keep in table.kept] == [("payload", shot, False)]
    assert exploits(table)[-1][0] == "eternalblue"
    later = entered(talk(host=host_with(implant=False), memory=memory))  # a connection of its own, as they do
    assert ping(later)[:2] == (NOT_IMPLEMENTED, 0x51)
    assert ping(later, 0x77)[:2] == (NOT_IMPLEMENTED, 0x51)
    assert ping(later)[:2] == (NOT_IMPLEMENTED, 0x41), "it was told to leave"


def test_what_breaks_off_is_kept_as_a_part() -> None:
    table = entered(talk())
    shot = content(20_000)
    for message in client.blue(shot)[:-1]:
        table.say(message)
    table.end()
    (keep,) = table.kept
    assert (keep.origin, keep.partial, len(keep.data)) == ("payload", True, len(shot))
    assert keep.data.startswith(shot[: 0x3D0 + 4096 * 3])
    filler = talk()  # what fills the kernel's memory meanwhile, and is never whole
    filler.say(b"\0\0\xff\xf7\xfeSMB" + content(5000))
    filler.end()
    assert filler.kept == [Keep(b"\xfeSMB" + content(5000), "payload", "smb", partial=True)]


def program(size: int) -> bytes:
    return (b"MZ" + bytes(58) + (64).to_bytes(4, "little") + b"PE\0\0" + content(size))[:size]


@pytest.mark.parametrize("size", [1, 4095, 4096, 4097, 65_536, 1_500_000])
def test_a_payload_in_pieces_is_put_together(size: int) -> None:
    table = entered(talk(host=host_with(implant=True)))
    seed = int.from_bytes(ping(table)[2][:4], "little")
    for message in client.pieces(content(size), seed):
        assert head1(unframed(table.say(message))[0])[4] == 0x51
    assert [(keep.origin, keep.data) for keep in table.kept] == [("payload", content(size))]
    assert table.room.visit.purse.bytes_taken == 0


def test_a_program_in_a_payload_is_kept_without_what_starts_it() -> None:
    table = entered(talk(host=host_with(implant=True)))
    seed = int.from_bytes(ping(table)[2][:4], "little")
    stub = b"\x31\xc9" * 3000 + b"MZ, not a program"
    for message in client.pieces(stub + program(50_000), seed):
        table.say(message)
    assert [(keep.origin, keep.data) for keep in table.kept] == [("payload", stub), ("upload", program(50_000))]
    assert exploits(table)[-1] == ("doublepulsar", f"execute {len(stub) + 50_000} bytes")
    assert program_in(content(100_000)) == -1


def test_the_later_version_answers_elsewhere() -> None:
    table = entered(talk(host=host_with(implant=True)))
    (answer,) = unframed(table.say(client.pulsar(0xF0)))
    assert head1(answer)[4] == 0x41
    assert answer[22:24] == b"\x11\0"
    (answer,) = unframed(table.say(client.pulsar(0xF2)))
    assert answer[22:24] == b"\x21\0", "numbers that are none"


def test_what_does_not_fit_together_is_told_so() -> None:
    table = entered(talk(host=host_with(implant=True)))
    seed = int.from_bytes(ping(table)[2][:4], "little")
    key = key_of(seed).to_bytes(4, "little")
    most = doublepulsar.PAYLOAD_BYTES_MAX
    cases = (((most, 4, 0), 0x51), ((most + 1, 4, 0), 0x61), ((0, 0, 0), 0x61), ((8, 16, 0), 0x61), ((16, 8, 12), 0x61),
             ((64, 9, 0), 0x61))  # fmt: skip
    for numbers, mid in cases:
        body = xored(struct.pack("<III", *numbers), key) + bytes(8)
        assert ping(table, 0xC8, body)[1] == mid, numbers
    assert ping(table, 0xC8, b"short")[1] == 0x61
    poor = entered(talk(host=host_with(implant=True), bytes_max=5000))
    body = xored(struct.pack("<III", 6000, 4, 0), key) + bytes(4)
    assert ping(poor, 0xC8, body)[1] == 0x71, "no memory"
    for _ in range(doublepulsar.PAYLOADS_MAX):
        assert ping(table, 0xC8, xored(struct.pack("<III", 4, 4, 0), key) + bytes(4))[1] == 0x51
    assert ping(table, 0xC8, xored(struct.pack("<III", 4, 4, 0), key) + bytes(4))[1] == 0x71
    assert len(table.kept) == doublepulsar.PAYLOADS_MAX


# --- SMB 2 ------------------------------------------------------------------------------------------


def somebody(table: Table, user: str = "Administrator", password: str = "123456", share: str = "C$") -> Client2:
    made = Client2(table)
    assert made.enter(user, password) == 0
    assert made.connect(f"\\\\192.0.2.1\\{share}") == 0
    return made


@pytest.mark.parametrize("size", SIZES)
def test_a_file_of_any_size_is_kept_byte_for_byte(size: int) -> None:
    table = talk()
    peer = somebody(table)
    status, file = peer.create("Windows\\x.exe")
    assert status == 0
    data = content(size)
    for at in range(0, size, 65_521):
        assert peer.write(file, data[at : at + 65_521], at) == 0
    assert peer.close(file) == 0
    assert table.kept == [Keep(data, "upload", "C$\\Windows\\x.exe")]
    assert FileRequested("write", "C$\\Windows\\x.exe") in table.facts


@pytest.mark.parametrize("split", [1, 13])
def test_pieces_of_messages_make_no_difference_to_files(split: int) -> None:
    table = talk()
    peer = somebody(table)
    _, file = peer.create("a")
    assert peer.write(file, content(4097), 0, split) == 0
    assert peer.read(file, 10, 4090) == (0, content(4097)[4090:])
    assert peer.read(file, 10, 5000)[0] == 0xC000_0011
    table.end()
    assert table.kept == [Keep(content(4097), "upload", "C$\\a", partial=True)], "nobody said that it is whole"


def test_who_gets_where() -> None:
    for user, password, status in (
        ("Administrator", "wrong", 0xC000_006D), ("guest", "", 0), ("guest", "x", 0xC000_006D),
        ("nobody", "123456", 0xC000_006D),
    ):  # fmt: skip
        peer = Client2(talk())
        assert peer.enter(user, password) == status
    peer = Client2(talk())
    assert peer.enter("guest", "") == 0
    assert peer.connect("\\\\x\\C$") == 0xC000_0022
    assert peer.connect("\\\\x\\nothing") == 0xC000_00CC
    assert peer.connect(f"\\\\x\\{server_of(HOST).share}") == 0
    assert peer.create("..\\..\\a")[0] == 0xC000_0033
    assert peer.create("no\\such\\place")[0] == 0xC000_003A
    assert peer.create("a", disposition=1)[0] == 0xC000_0034
    assert peer.create("A")[0] == 0
    assert peer.create("a", disposition=2)[0] == 0xC000_0035, "capitals make no other name"


def test_an_answer_is_signed_whose_request_is() -> None:
    table = talk()
    peer = Client2(table)
    table.say(client.negotiate2(0x0202, 0x0210))
    status, body = peer.ask(1, client.login2(client.hello())[4 + 64 :])
    assert status == 0xC000_0016
    challenge = body[8:][24:32]
    token = client.proof(challenge, "Administrator", "123456")
    said = table.say(client.login2(token, peer.session))
    (answer,) = unframed(said)
    assert answer[16] & 8
    key = hmac.digest(nt_hash("123456"), "ADMINISTRATORLAB".encode("utf-16-le"), "md5")
    at = token.index(b"\1\1" + bytes(6))
    base = hmac.digest(key, token[at - 16 : at], "md5")
    plain = answer[:SIGNED_UP_TO] + bytes(16) + answer[64:]
    assert signature_of(base, plain) == answer[SIGNED_UP_TO:64]


def test_limits() -> None:
    table = talk()
    peer = somebody(table)
    for number in range(connection.OPENS_MAX):
        assert peer.create(f"f{number}")[0] == 0
    assert peer.create("one-more")[0] == 0xC000_011F
    for _ in range(connection.TREES_MAX - 1):
        assert peer.connect("\\\\x\\C$") == 0
    assert peer.connect("\\\\x\\C$") == 0xC000_009A
    table = talk()
    for _ in range(connection.LOGINS_MAX // 2):
        assert Client2(table).enter("Administrator", "wrong") == 0xC000_006D
    assert Client2(table).ask(1, client.login2(client.hello())[4 + 64 :])[0] == INVALID
    for past in (0, 1):
        table = talk(bytes_max=64 << 20)
        table.say(b"\0" + (room.MESSAGE_BYTES_MAX + past).to_bytes(3, "big"))
        assert bool(table.fault) == bool(past)
    table = talk()
    echo = client.smb2(0x0D, struct.pack("<HH", 4, 0))
    one = echo[4:]
    related = one[:20] + (72).to_bytes(4, "little") + one[24:] + bytes(4)
    for past in (0, 1):
        table = talk()
        table.say(framed(related * (smb2.REQUESTS_MAX - 1 + past) + one))
        assert bool(table.fault) == bool(past)
    for total, status in ((transactions.TOTAL_BYTES_MAX, 0), (transactions.TOTAL_BYTES_MAX + 1, INSUFFICIENT)):
        table = entered(talk())
        shot = client.blue(bytes(total + 100))[0]
        words = bytearray(shot)
        words[4 + 33 + 3 : 4 + 33 + 11] = struct.pack("<II", 30, total - 30)
        assert head1(unframed(table.say(bytes(words)))[0])[1] == status
    table = entered(talk())
    for mid in range(transactions.PENDING_MAX + 1):
        said = table.say(client.transaction(0x32, (1,), b"", b"x", total=100, mid=mid))
        assert head1(unframed(said)[0])[1] == (0 if mid < transactions.PENDING_MAX else INSUFFICIENT)


def test_a_pipe_that_nobody_reads_ends_the_session() -> None:
    table = talk()
    peer = somebody(table, share="IPC$")
    status, pipe = peer.create("srvsvc")
    assert status == 0
    assert peer.create("no-such-pipe")[0] == 0xC000_0034
    call = client.request(15, struct.pack("<II", 0, 1) + struct.pack("<IIIIIII", 1, 1, 0x20000, 0, 0, 0xFFFF_FFFF, 0))
    assert peer.write(pipe, client.bind("4b324fc8-1670-01d3-1278-5a47bf6ee188", 3)) == 0
    body = struct.pack("<HHIQ16sIIHHI", 49, 112, len(call) * 400, 0, pipe, 0, 0, 0, 0, 0) + call * 400
    written = client.smb2(9, body, session=peer.session, tree=peer.tree)
    for _ in range(opens.UNREAD_BYTES_MAX // 100_000):
        table.say(written)
    assert table.fault


def test_whose_conversation_it_is() -> None:
    for first, claim in ((b"\0", Claim.UNSURE), (b"\0\0\0\x85\xffSM", Claim.UNSURE), (b"\0\0\0\x85\xffSMB", Claim.YES),
                         (b"\0\0\0\x85\xfeSMB", Claim.YES), (b"\x81\0\0\x44", Claim.YES), (b"\x81\0\0\x45", Claim.NO),
                         (b"\0\0\0\x85abcd", Claim.NO), (b"GET /", Claim.NO)):  # fmt: skip
        assert Smb.claim(first) is claim, first
