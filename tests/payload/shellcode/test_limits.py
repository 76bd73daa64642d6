"""Whatever the bytes are, an examination ends within its limits; each limit is reached, and gone one past."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eudaemon.payload.shellcode.emulation import machine
from eudaemon.payload.shellcode.emulation.cpu import CPUS
from eudaemon.payload.shellcode.emulation.limits import Limits
from eudaemon.payload.shellcode.emulation.listing import Listing
from eudaemon.payload.shellcode.emulation.trial import emulate, run
from eudaemon.payload.shellcode.emulation.windows.functions import exports
from eudaemon.payload.shellcode.examine import examine
from eudaemon.payload.shellcode.report import Report
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed
from payload.shellcode.assembling import assemble, windows32
from payload.shellcode.shellcodes import SHELLCODES, connect_back_cmd

SMALL = Limits(seconds_max=20.0, starts_max=24, instructions_max=20_000, instructions_all_max=200_000,
               first_look_instructions_max=5_000, calls_max=40)  # fmt: skip
FAR_S = 30.0


def once(code: bytes, limits: Limits = SMALL, cpu: str = "x86", start: int = 0) -> Report:
    return run(code, CPUS[cpu], start, limits, time.monotonic() + FAR_S, pointing=True)


def loops(calls: str, count: int) -> bytes:
    """Return Linux code that makes system calls so many times, then leaves."""
    return assemble("x86", f"mov edi, {count}\n1: {calls}\ndec edi\njnz 1b\nxor eax, eax\ninc eax\nint 0x80\n")


# mov eax, 20 (getpid); int 0x80, from many places
GETPID = "push 20\npop eax\nint 0x80\n"


@pytest.mark.parametrize("cpu", CPUS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.binary(max_size=600), start=st.integers(0, 64))
def test_any_bytes_end(cpu: str, data: bytes, start: int) -> None:
    report = once(data, cpu=cpu, start=min(start, len(data)))
    assert report.ended
    assert report.instructions <= SMALL.instructions_max
    assert len(report.calls) <= SMALL.calls_max
    assert len(report.behaviours) <= SMALL.behaviours_max


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_change_of_a_shellcode_ends(data: st.DataObject) -> None:
    """Codes that get far, with some bytes changed: arguments become wild, and the functions see them."""
    architecture, make, _ = SHELLCODES[data.draw(st.sampled_from(sorted(SHELLCODES)))]
    code = bytearray(make())
    for _ in range(data.draw(st.integers(1, 6))):
        code[data.draw(st.integers(0, len(code) - 1))] = data.draw(st.integers(0, 255))
    report = once(bytes(code), replace(SMALL, first_look_instructions_max=20_000), architecture)
    assert report.ended
    assert Report.from_json(report.as_json()) == report


_WILD = st.sampled_from([0, 1, 3, 0xFFFF_FFFF, 0x7FFF_FFFF, 0x8000_0000, 0x40_2000, 0x12_F000])
_NAMES = sorted(function.name for function in exports()["kernel32.dll"])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(numbers=st.lists(_WILD, max_size=12), name=st.sampled_from(_NAMES))
def test_functions_bear_any_arguments(numbers: list[int], name: str) -> None:
    report = once(windows32("\n".join(f"push {number}" for number in numbers) + f"\napi {name}\nint3"), Limits())
    assert name in [call.name for call in report.calls]
    assert report.ended


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(number=st.integers(0, 400), values=st.lists(_WILD, min_size=5, max_size=5))
def test_system_calls_bear_any_arguments(number: int, values: list[int]) -> None:
    registers = zip(("ebx", "ecx", "edx", "esi", "edi"), values, strict=True)
    moves = "\n".join(f"mov {register}, {value}" for register, value in registers)
    report = once(assemble("x86", f"{moves}\nmov eax, {number}\nint 0x80\nint3\n"), Limits())
    assert report.ended


@pytest.mark.parametrize(
    "code",
    [
        b"\xeb\xfe",  # jmp to itself
        assemble("x86", "1: inc dword ptr [esp]\njmp 1b"),
        # Writes over itself, for ever: each turn is translated anew.
        assemble("x86", "call 1f\n1: pop esi\n2: inc byte ptr [esi+4]\nnop\njmp 2b"),
        assemble("x86", "mov ecx, -1\nmov edi, esp\nrep stosb"),
        assemble("x86", "call 1f\n1: pop edi\nmov ecx, -1\n2: rep stosb\njmp 2b"),
    ],
    ids=["jump", "memory", "self-modifying", "rep over the end", "rep over itself"],
)
def test_what_never_ends_is_ended(code: bytes) -> None:
    assert emulate(code, limits=SMALL) is None
    assert once(code).instructions <= SMALL.first_look_instructions_max


def test_time_is_a_limit() -> None:
    limits = Limits(first_look_instructions_max=10**12, instructions_max=10**12)
    report = run(b"\xeb\xfe", CPUS["x86"], 0, limits, time.monotonic() + 0.2, pointing=True)
    assert report.ended == "limit: time"


def test_instructions_are_a_limit_and_fewer_before_the_first_call() -> None:
    assert once(b"\xeb\xfe").ended == "limit: 5000 instructions"
    assert once(loops(GETPID, 1)[:-5] + b"\xeb\xfe").ended == "limit: 20000 instructions"


def test_starts_are_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    count = 0

    def counted(*given: object, **more: object) -> Report:
        nonlocal count
        count += 1
        return run(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr("eudaemon.payload.shellcode.emulation.trial.run", counted)
    emulate(b"\xe8\0\0\0\0\xcc" * 60, limits=SMALL)  # many places that may be starts, none of which is one
    assert count == SMALL.starts_max


def test_calls_are_a_limit() -> None:
    assert [len(once(getpids(count)).calls) for count in (39, 40, 41)] == [40, 40, 40]
    assert once(getpids(38)).ended == "exits (exit)"
    assert once(getpids(40)).ended == "limit: 40 calls"


def getpids(count: int) -> bytes:
    return assemble("x86", GETPID * count + "xor eax, eax\ninc eax\nint 0x80\n")


def test_the_same_call_over_and_over_is_a_limit() -> None:
    limits = replace(SMALL, calls_max=1000, same_call_max=10)
    assert once(loops(GETPID, 9), limits).ended == "exits (exit)"
    assert once(loops(GETPID, 10), limits).ended == "getpid again and again"


def test_memory_is_a_limit() -> None:
    def results(size: int, count: int) -> list[int]:
        code = windows32(f"push 0x40; push 0x1000; push {size}; push 0\napi VirtualAlloc\n" * count)
        limits = replace(Limits(), allocation_bytes_max=0x10000, memory_bytes_max=0x24000)
        return [call.result for call in once(code, limits).calls]

    assert all(results(0x10000, 2))
    assert results(0x10001, 1) == [0]  # more at once than may be
    assert [bool(result) for result in results(0x10000, 3)] == [True, True, False]  # more together than may be
    assert [bool(result) for result in results(0xFFFF_FFFF, 1)] == [False]


def test_threads_are_a_limit() -> None:
    body = "call 1f\nint3\n1: pop esi\n" + "push 0; push 0; push 0; push esi; push 0; push 0\napi CreateThread\n" * 7
    report = once(windows32(body + "push 0\napi ExitProcess"), replace(Limits(), threads_max=3))
    assert len([call for call in report.calls if call.name == "CreateThread"]) == 7
    assert report.ended.startswith("trap")  # the last of three threads that ran

    # A thread that makes threads comes to an end, too.
    endless = (
        "call 1f\n2: push 0; push 0; push 0; push ecx; push 0; push 0\napi CreateThread\nret 4\n1: pop ecx\njmp 2b\n"
    )
    assert once(windows32(endless), Limits(calls_max=50)).ended


def test_what_a_connection_brings_is_a_limit() -> None:
    code = SHELLCODES["windows file transfer"][1]()
    for received_max, pieces in ((0x200, 1), (0x201, 2)):
        calls = once(code, replace(Limits(), received_bytes_max=received_max)).calls
        assert len([call for call in calls if call.name == "recv" and call.result]) == pieces


def test_behaviours_are_a_limit() -> None:
    chmod = "".join(f"push {0x30303030 + number}\nmov ebx, esp\npush 15\npop eax\nint 0x80\n" for number in range(6))
    code = assemble("x86", "push 0\n" + chmod + "push 1\npop eax\nint 0x80\n")
    assert len(once(code, replace(SMALL, behaviours_max=6)).behaviours) == 6
    assert len(once(code, replace(SMALL, behaviours_max=5)).behaviours) == 5


def test_faults_that_a_handler_catches_are_a_limit() -> None:
    """A handler that lets the fault happen again, for ever."""
    code = windows32("""
        call 1f
        xor eax, eax
        ret
    1:  xor ecx, ecx
        push fs:[ecx]
        mov fs:[ecx], esp
        mov eax, [ecx]
    """)
    report = once(code, replace(Limits(), faults_max=5))
    assert report.ended.startswith("fault at")


def test_the_listing_is_a_limit() -> None:
    code = b"\x90" * 20 + b"\xcc"
    for lines_max, shown in ((21, 21), (20, 21), (5, 6)):  # one line says that there was more
        kept = Listing(CPUS["x86"], lines_max)
        run(code, CPUS["x86"], 0, SMALL, time.monotonic() + FAR_S, pointing=True, listing=kept)
        lines = list(kept.lines([]))
        assert len(lines) == shown
        assert kept.cut == (lines_max < 21)


def test_only_so_much_is_put_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eudaemon.payload.shellcode.examine.CODE_BYTES_MAX", len(connect_back_cmd()))
    host = Host.from_seed(Seed(b"test"))
    assert examine(connect_back_cmd() + bytes(5000), host).behaviours == SHELLCODES["windows connect back, cmd"][2]
    monkeypatch.setattr("eudaemon.payload.shellcode.examine.CODE_BYTES_MAX", 60)
    assert examine(connect_back_cmd() + bytes(5000), host).report is None


def test_nothing_of_ours_lies_where_the_code_may_look() -> None:
    """What is mapped is the code, the stack, the pretended modules: nothing else, and no two of them overlap."""
    made = machine.Machine(CPUS["x86"], b"\x90", Limits(), time.monotonic() + 1)
    regions = sorted((begin, end) for begin, end, _ in made.engine.mem_regions())
    assert all(one[1] < other[0] for one, other in pairwise(regions))
    assert made.read(0, 16) == b""
    assert made.read(machine.BASE - machine.MARGIN_BYTES - 1, 1) == b""
    made.close()
