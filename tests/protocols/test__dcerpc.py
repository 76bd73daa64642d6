"""DCE/RPC, at TCP 135 and as pipes use it: what is bound and called, what is kept of it and answered, the limits."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable

import pytest

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised, RpcBound, RpcCalled
from eudaemon.protocols._base import Claim, Keep, Order, Saw, Send
from eudaemon.protocols._dcerpc import Association, RpcHost, association, host, interfaces
from eudaemon.protocols._dcerpc.ndr import STRING_CHARS_MAX, Reader, Writer
from eudaemon.protocols._dcerpc.services import policy as policies
from eudaemon.protocols._dcerpc.services import registry, scheduler, service_control, spooler
from eudaemon.protocols._ntlm import Identity
from eudaemon.protocols._windows import server_of
from eudaemon.protocols.epmap import Epmap
from eudaemon.testing.script import Table, visit
from eudaemon.wire import PeerError, Purse
from eudaemon.world.host import Host
from eudaemon.world.memory import Memory
from eudaemon.world.seed import Seed
from payload.servers import content
from protocols.smb_client import BIND_ALIVE, NDR, bind, pdu, request, uuid

HOST = Host.from_seed(Seed(b"test"))
DENIED, UNKNOWN_OPERATION, BAD_STUB, BAD_HANDLE = 5, 0x1C01_0002, 0x6F7, 6
LSARPC, SVCCTL, SRVSVC, SPOOLSS = (next(key for key, row in interfaces._ROWS.items() if row[0] == name) for name in
                           ("lsarpc", "svcctl", "srvsvc", "spoolss"))  # fmt: skip


class Pipe:
    """One association, and what came of it."""

    def __init__(self, interface: str, *, administers: bool = True, bytes_max: int = 32 << 20) -> None:
        given = visit(host=HOST, purse=Purse(bytes_max))
        self.ran: list[str] = []
        self.host = RpcHost(given, server_of(HOST), self.run)
        self.host.identity = Identity("Administrator", "x", accepted=True, administers=administers, key=bytes(16))
        self.association = Association(self.host, "\\PIPE\\test")
        self.orders: list[Order] = []
        version = int(interfaces._ROWS[interface][1].partition(".")[0])
        assert self.say(bind(interface, version))[2] == association.BIND_ACK

    def run(self, command: str, at_s: float) -> Iterable[Order]:
        self.ran.append(command)
        return iter(())

    def say(self, data: bytes) -> bytes:
        found = list(self.association.receive(data, 1_700_000_000.0))
        self.orders += found
        return b"".join(order.data for order in found if isinstance(order, Send))

    def call(self, number: int, stub: bytes, fragment: int = 0) -> bytes | int:
        """Return the answer's stub, or the status of a fault."""
        answer = self.say(request(number, stub, fragment=fragment))
        assert answer, "everything is answered"
        if answer[2] == association.FAULT:
            return int.from_bytes(answer[24:28], "little")
        return answer[24:]

    @property
    def facts(self) -> list[object]:
        return [order.fact for order in self.orders if isinstance(order, Saw)]

    @property
    def kept(self) -> list[Keep]:
        return [order for order in self.orders if isinstance(order, Keep)]

    @property
    def exploits(self) -> list[tuple[str, str, str]]:
        return [(f.name, f.reference, f.command) for f in self.facts if isinstance(f, ExploitRecognised)]


def wide(text: str) -> bytes:
    """A string that stands where it is, aligned for what follows."""
    return Writer().wide(text).align().data


def pointed(text: str) -> bytes:
    return b"\1\0\2\0" + wide(text)


# --- PDUs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", [0, 1])
def test_who_is_there(split: int) -> None:
    table = Table(Epmap(visit(host=HOST, port=135))).open()
    answer = table.say(BIND_ALIVE, split)
    assert answer[2] == association.BIND_ACK
    assert NDR in answer
    answer = table.say(request(5, b""), split)
    assert answer[2] == association.RESPONSE
    server = server_of(HOST)
    for text in (server.name, server.machine.address):
        assert (text + "\0").encode("utf-16-le") in answer
    assert table.facts == [
        RpcBound("99fcfec4-5260-101b-bbcb-00aa0021347a 0.0", "IObjectExporter", "135"),
        RpcCalled("IObjectExporter", 5, "ServerAlive2", 0, "135"),
    ]


def test_what_another_protocol_says_is_answered_as_windows_does() -> None:
    """As nmap's table has it: probe SMBProgNeg, `Microsoft Windows RPC`."""
    table = Table(Epmap(visit(host=HOST, port=135))).open()
    answer = table.say(b"\0\0\0\xa4\xffSMBr\0\0\0\0\x08\x01\x40" + bytes(152))
    assert re.fullmatch(rb"\x05\0\r\x03\x10\0\0\0\x18\0\0\0....\x04\0\x01\x05\0...", answer, re.DOTALL)
    assert table.over
    assert table.say(b"more") == b""


def test_numbers_in_the_other_byte_order() -> None:
    table = Table(Epmap(visit(host=HOST, port=135))).open()
    swapped = struct.pack(">IHH", 0x99FCFEC4, 0x5260, 0x101B) + bytes.fromhex("bbcb00aa0021347a") + bytes(4)
    syntax = struct.pack(">IHH", 0x8A885D04, 0x1CEB, 0x11C9) + bytes.fromhex("9fe808002b104860") + b"\0\0\0\2"
    body = struct.pack(">HHIBBHHBB", 4280, 4280, 0, 1, 0, 0, 0, 1, 0) + swapped + syntax
    assert table.say(pdu(11, body, is_little=False))[2] == association.BIND_ACK
    assert table.say(pdu(0, struct.pack(">IHH", 0, 0, 5), is_little=False))[2] == association.RESPONSE


def test_what_is_not_there_is_refused() -> None:
    table = Table(Epmap(visit(host=HOST, port=135))).open()
    for interface, version, syntax, result in (
        ("01234567-0123-0123-0123-0123456789ab", 1, NDR, (2, 1)),
        ("99fcfec4-5260-101b-bbcb-00aa0021347a", 3, NDR, (2, 1)),
        ("99fcfec4-5260-101b-bbcb-00aa0021347a", 0, uuid("71710533-beba-4937-8319-b5dbef9ccc36") + b"\1\0\0\0", (0, 0)),
        ("99fcfec4-5260-101b-bbcb-00aa0021347a", 0, bytes(20), (2, 2)),
        ("99fcfec4-5260-101b-bbcb-00aa0021347a", 0, uuid("6cb71c2c-9812-4540-0300-000000000000") + b"\1\0\0\0", (3, 3)),
    ):
        answer = table.say(bind(interface, version, syntax=syntax))
        assert struct.unpack_from("<HH", answer, len(answer) - 24) == result, interface
    answer = table.say(request(5, bytes(association.KEPT_BYTES_MIN)))
    assert answer[2] == association.FAULT
    assert [keep.data for keep in table.kept] == [bytes(association.KEPT_BYTES_MIN)], "a call to nothing is kept, too"


def test_the_mapper_tells_all_it_has_in_pieces() -> None:
    pipe = Pipe("e1af8308-5d1f-11c9-91a4-08002b14a0fa")
    handle, total, calls = bytes(20), 0, 0
    while True:
        answer = pipe.call(2, struct.pack("<IIII", 0, 0, 0, 1) + handle + struct.pack("<I", 4))
        assert isinstance(answer, bytes)
        handle, told = answer[:20], int.from_bytes(answer[20:24], "little")
        total, calls = total + told, calls + 1
        if not any(handle):
            break
        assert told == 4
    assert (total, calls) == (15, 4)


def test_limits_of_an_association() -> None:
    pipe = Pipe(SRVSVC)
    for _ in range(association.CONTEXTS_MAX - 1):
        pipe.say(bind(SRVSVC, 3))
    with pytest.raises(PeerError):
        pipe.say(bind(SRVSVC, 3))
    pipe = Pipe(SRVSVC)
    for _ in range(association.CALLS_MAX):
        pipe.association._calls += 1
    with pytest.raises(PeerError):
        pipe.say(request(28, bytes(4)))
    pipe = Pipe(SRVSVC)
    assert pipe.call(99, bytes(association.STUB_BYTES_MAX), fragment=60_000) == UNKNOWN_OPERATION
    with pytest.raises(PeerError):
        pipe.call(99, bytes(association.STUB_BYTES_MAX + 1), fragment=60_000)
    pipe = Pipe(SRVSVC, bytes_max=10_000)
    with pytest.raises(PeerError):
        pipe.call(99, bytes(20_000), fragment=4_000)
    for body in (b"", pdu(0, b"")[:16], b"\5\0\0\3\x10\0\0\0\1\0\0\0\0\0\0\0"):
        if body:
            with pytest.raises(PeerError):
                Pipe(SRVSVC).say(body)
    pipe = Pipe(SRVSVC)
    for number in range(host.KEPT_MAX + 2):
        pipe.call(99, content(600) + bytes((number,)))
    assert len(pipe.kept) == host.KEPT_MAX


def test_a_string_that_is_too_long() -> None:
    whole = struct.pack("<III", STRING_CHARS_MAX, 0, STRING_CHARS_MAX) + b"a\0" * STRING_CHARS_MAX
    assert Reader(whole).wide() == "a" * STRING_CHARS_MAX
    with pytest.raises(PeerError):
        Reader(struct.pack("<III", 0, 0, STRING_CHARS_MAX + 1) + b"a\0" * (STRING_CHARS_MAX + 1)).wide()


def test_whose_conversation_it_is() -> None:
    for first, claim in (
        (b"\5", Claim.UNSURE), (b"\5\0", Claim.UNSURE), (b"\5\0\x0b", Claim.YES), (b"\5\1\0", Claim.NO),
        (b"GET", Claim.NO),
    ):  # fmt: skip
        assert Epmap.claim(first) is claim, first


# --- exploits ---------------------------------------------------------------------------------------

EXPLOITED = [
    (key, number, operation)
    for key, row in interfaces._ROWS.items()
    for number, operation in (interfaces.interface(key, int(row[1][0])) or pytest.fail(key)).operations.items()
    if operation.exploit
]


NAMES = [f"{row[2].exploit}-{row[1]}" for row in EXPLOITED]


@pytest.mark.parametrize(("interface", "number", "operation"), EXPLOITED, ids=NAMES)
def test_an_exploit_is_recognised_by_its_operation_and_size(
    interface: str, number: int, operation: interfaces.Operation
) -> None:
    stub = content(operation.bytes_min or 16)
    pipe = Pipe(interface)
    pipe.call(number, stub, fragment=100)
    assert [(name, reference) for name, reference, _ in pipe.exploits] == [(operation.exploit, operation.reference)]
    assert re.fullmatch(r"CVE-\d{4}-\d{4,5}|MS-RPRN", operation.reference)
    if operation.bytes_min:
        assert pipe.kept[0].data == stub
        assert pipe.kept[0].origin == "payload"
        shorter = Pipe(interface)
        shorter.call(number, stub[:-1])
        assert not shorter.exploits


def test_paths_in_an_exploit_are_told() -> None:
    pipe = Pipe("c681d488-d850-11d0-8c52-00c04fd90f7e")
    assert pipe.call(0, wide("\\\\198.51.100.7\\share\\x") + bytes(4)) == DENIED
    assert pipe.exploits == [("petitpotam", "CVE-2021-36942", "\\\\198.51.100.7\\share\\x")]
    pipe = Pipe(SPOOLSS)
    driver = bytes(16) + wide("Printer") + wide("\\\\198.51.100.7\\a\\evil.dll")
    assert pipe.call(89, driver) == bytes(4)
    assert pipe.exploits[0][0] == "printnightmare"
    assert "\\\\198.51.100.7\\a\\evil.dll" in pipe.exploits[0][2]


def test_a_path_that_climbs_too_far_is_made_whole() -> None:
    pipe = Pipe(SRVSVC)
    climbs = "\\A\\..\\..\\" + "x" * 300
    answer = pipe.call(31, bytes(4) + wide(climbs) + struct.pack("<I", 1000) + wide("") + struct.pack("<II", 0, 0))
    assert isinstance(answer, bytes)
    assert ("\\" + "x" * 300).encode("utf-16-le") in answer
    assert pipe.exploits[0][:2] == ("ms08-067", "CVE-2008-4250")
    answer = pipe.call(32, bytes(4) + wide("\\a") + wide("\\A") + struct.pack("<II", 0, 0))
    assert answer == bytes(4)


def test_a_document_that_becomes_a_file_is_kept() -> None:
    pipe = Pipe(SPOOLSS)
    opened = pipe.call(69, pointed("\\\\x\\Printer") + bytes(4))
    assert isinstance(opened, bytes)
    handle = opened[:20]
    info = (
        struct.pack("<IIIIII", 1, 1, 0x20000, 0x20004, 0x20008, 0) + wide("job") + wide("C:\\Windows\\System32\\x.exe")
    )
    assert isinstance(pipe.call(17, handle + info), bytes)
    for start in range(0, 10_000, 4000):
        part = content(10_000)[start : start + 4000]
        assert pipe.call(19, handle + struct.pack("<I", len(part)) + part + bytes(-len(part) % 4))[
            -8:-4
        ] == struct.pack(  # type: ignore[index]
            "<I", len(part)
        )
    assert pipe.call(29, handle) == bytes(24)
    assert pipe.kept == [Keep(content(10_000), "upload", "C:\\Windows\\System32\\x.exe")]
    assert ("ms10-061", "CVE-2010-2729", "C:\\Windows\\System32\\x.exe") in pipe.exploits
    assert pipe.call(19, handle + struct.pack("<I", 0)) == BAD_HANDLE
    pipe = Pipe(SPOOLSS, bytes_max=spooler.DOCUMENT_BYTES_MAX * 2)
    handle = pipe.call(69, pointed("x"))[:20]  # type: ignore[index]
    piece = struct.pack("<I", 2**20) + bytes(2**20)
    for _ in range(spooler.DOCUMENT_BYTES_MAX // 2**20):
        assert isinstance(pipe.call(19, handle + piece, fragment=60_000), bytes)
    assert pipe.call(19, handle + struct.pack("<I", 1) + b"x") == host.NOT_ENOUGH_MEMORY
    pipe.orders += list(pipe.host.ended())
    pipe.association.forget()
    assert pipe.host.visit.purse.bytes_taken == 0
    assert len(pipe.kept[0].data) == spooler.DOCUMENT_BYTES_MAX


# --- services and tasks -----------------------------------------------------------------------------


def manager(pipe: Pipe) -> bytes:
    opened = pipe.call(15, pointed("x") + bytes(4) + struct.pack("<I", 0xF003F))
    assert isinstance(opened, bytes)
    return opened[:20]


def creation(handle: bytes, name: str, path: str) -> bytes:
    numbers = struct.pack("<IIII", 0xF01FF, 0x10, 3, 0)
    return handle + wide(name) + pointed(name) + numbers + wide(path) + bytes(32)


def test_a_service_is_a_command() -> None:
    pipe = Pipe(SVCCTL)
    handle = manager(pipe)
    assert pipe.call(16, handle + wide("evil") + bytes(4)) == bytes(20) + struct.pack("<I", 1060)
    made = pipe.call(12, creation(handle, "evil", "%COMSPEC% /c whoami"))
    assert isinstance(made, bytes)
    assert made[24:] == bytes(4)
    service = made[4:24]
    assert CommandEntered("sc create evil binPath= %COMSPEC% /c whoami") in pipe.facts
    assert pipe.ran == []
    assert pipe.call(19, service + bytes(8)) == struct.pack("<I", 1053), "a shell never says that it has started"
    assert pipe.ran == ["%COMSPEC% /c whoami"]
    assert pipe.call(12, creation(handle, "EVIL", "x"))[24:] == struct.pack("<I", 1073)  # type: ignore[index]
    assert pipe.call(2, service) == bytes(4)
    assert pipe.call(0, service) == bytes(24)
    assert pipe.call(19, service + bytes(8)) == BAD_HANDLE
    assert pipe.call(12, b"short") == BAD_STUB
    made = pipe.call(12, creation(handle, "other", "C:\\x.exe -s"))
    assert pipe.call(19, made[4:24] + bytes(8)) == bytes(4)  # type: ignore[index]
    changed = pipe.call(11, made[4:24] + struct.pack("<III", 0, 0, 0) + pointed("cmd /c ver"))  # type: ignore[index]
    assert changed == bytes(8)
    pipe.call(19, made[4:24] + bytes(8))  # type: ignore[index]
    assert pipe.ran[1:] == ["C:\\x.exe -s", "cmd /c ver"]


def test_only_who_administers_makes_services_and_tasks() -> None:
    pipe = Pipe(SVCCTL, administers=False)
    assert pipe.call(15, bytes(8) + bytes(4)) == bytes(20) + struct.pack("<I", DENIED)
    task = Pipe("86d35949-83c9-4044-b424-db363231fd0c", administers=False)
    assert task.call(1, pointed("\\a") + wide("<Command>x</Command>")) == DENIED


def test_limits_of_services() -> None:
    pipe = Pipe(SVCCTL)
    handle = manager(pipe)
    for number in range(service_control.SERVICES_MAX):
        assert pipe.call(12, creation(handle, f"s{number}", "x"))[24:] == bytes(4)  # type: ignore[index]
    assert pipe.call(12, creation(handle, "one more", "x"))[24:] == struct.pack("<I", 8)  # type: ignore[index]
    for _ in range(host.HANDLES_MAX - service_control.SERVICES_MAX - 1):
        manager(pipe)
    assert pipe.call(15, bytes(12)) == host.NOT_ENOUGH_MEMORY


def test_a_task_is_a_command() -> None:
    pipe = Pipe("86d35949-83c9-4044-b424-db363231fd0c")
    task = "<Task><Command>cmd.exe</Command><Arguments>/c a &amp;&amp; b &gt; c</Arguments></Task>"
    assert isinstance(pipe.call(1, pointed("\\a") + wide(task) + bytes(32)), bytes)
    assert pipe.ran == ["cmd.exe /c a && b > c"]
    pipe.call(1, pointed("\\a") + wide("<Command>x</Command>" * (scheduler.COMMANDS_MAX + 1)) + bytes(32))
    assert len(pipe.ran) == 1 + scheduler.COMMANDS_MAX
    old = Pipe("1ff70682-0a51-30e8-076d-740be8cee98b")
    assert isinstance(old.call(0, pointed("x") + bytes(12) + pointed("cmd /c z")), bytes)
    assert old.ran == ["cmd /c z"]


WINREG = "338cd001-2244-31f1-aaaa-900038001003"
HIVE = bytes(4) + struct.pack("<I", 0x0200_0000)


def test_the_registry_is_for_who_administers() -> None:
    assert Pipe(WINREG, administers=False).call(2, HIVE) == bytes(20) + struct.pack("<I", 5)


def test_a_value_that_hides_a_program_is_kept() -> None:
    pipe = Pipe(WINREG)
    answer = pipe.call(2, HIVE)
    assert isinstance(answer, bytes)
    data = b"MZ" + bytes(registry.KEPT_BYTES_MIN - 2)
    for given in (data[:-1], data):
        name = struct.pack("<HH", 8, 8) + pointed("abc")
        value = struct.pack("<II", 3, len(given)) + given + bytes(-len(given) % 4) + struct.pack("<I", len(given))
        assert pipe.call(22, answer[:20] + name + value) == bytes(4)
    (kept,) = pipe.kept
    assert (kept.data, kept.name) == (data, "HKEY_LOCAL_MACHINE\\abc")


def test_the_next_connection_finds_the_services_and_values_that_one_made() -> None:
    memory = Memory()
    first, second = (RpcHost(visit(host=HOST, memory=memory), server_of(HOST)) for _ in range(2))
    first.make_service("Evil", "x.exe")
    second.make_service("Other", "y.exe")
    key = "HKEY_LOCAL_MACHINE\\SOFTWARE\\Évil"
    assert first.write_value(key, "a", (1, b"b\0\0\0"))
    assert first.write_value(key, "a", (3, b"c"))
    assert first.write_value(key, "gone", (3, b"c"))
    first.forget_value(key, "gone")
    third = RpcHost(visit(host=HOST, memory=memory), server_of(HOST))
    assert [(one.name, one.path) for one in third.services.values()] == [("Evil", "x.exe"), ("Other", "y.exe")]
    assert third.registry.values(key) == {"a": (3, b"c")}
    third.drop_service("EVIL")
    assert list(RpcHost(visit(host=HOST, memory=memory), server_of(HOST)).services) == ["other"]
    assert not RpcHost(visit(host=HOST), server_of(HOST)).services


def test_the_registry_of_a_workstation_is_there_once_its_service_runs() -> None:
    pipe = Pipe(SVCCTL)
    host = pipe.host
    assert host.is_running("RemoteRegistry") is host.windows.is_server
    host.switched["RemoteRegistry"] = False
    found = pipe.call(16, manager(pipe) + Writer().wide("remoteregistry").align().data + bytes(4))
    assert isinstance(found, bytes)
    service = found[:20]
    for number, more, code in ((19, bytes(8), 0), (19, bytes(8), 1056), (1, b"\1\0\0\0", 0), (1, b"\1\0\0\0", 1062)):
        answer = pipe.call(number, service + more)
        assert isinstance(answer, bytes)
        assert int.from_bytes(answer[-4:], "little") == code
        assert host.is_running("RemoteRegistry") is (number == 19)


def sids(count: int) -> bytes:
    """So many SIDs that nobody has, as LsarLookupSids is asked: they stand behind their pointers."""
    one = Writer().long(1).put(b"\1\1\0\0\0\0\0\5").long(18).data
    return Writer().long(count).pointer().long(count, *range(1, count + 1)).put(one * count).data


def test_so_many_sids_are_looked_up_at_once_and_no_more() -> None:
    pipe = Pipe(LSARPC)
    answer = pipe.call(44, bytes(8))
    assert isinstance(answer, bytes)
    policy, most = answer[:20], policies.SIDS_MAX
    assert pipe.call(15, bytes(20) + sids(1), 4152) == BAD_HANDLE
    found = pipe.call(15, policy + sids(most), 4152)
    assert isinstance(found, bytes)
    assert pipe.call(15, policy + sids(most + 1), 4152) == BAD_STUB
    assert pipe.call(15, policy + sids(2)[:-1]) == BAD_STUB
    assert pipe.call(7, policy + b"\x63\0")[-4:] == b"\x0d\0\0\xc0"  # type: ignore[index]
    assert pipe.call(0, policy) == bytes(24)
    assert pipe.call(7, policy + b"\5\0") == BAD_HANDLE
