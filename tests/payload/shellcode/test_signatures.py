"""What is told without running anything: every key, every layer, each way to write an address; nothing by chance."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eudaemon.payload.shellcode import signatures as module
from eudaemon.payload.shellcode.behaviour import Connects, Downloads, Executes, Listens
from eudaemon.payload.shellcode.signatures import BYTES_MAX, FOUND_MAX, keys, signatures, xored
from payload.shellcode.assembling import ror13, under_dword_xor, under_xor
from payload.shellcode.shellcodes import HOST, PORT, SHELLCODES, connect_back_cmd

URL = "http://203.0.113.7:8080/bin/a.exe"


@settings(max_examples=200)
@given(key=st.one_of(st.binary(min_size=1, max_size=2), st.binary(min_size=4, max_size=4)).filter(any),
       before=st.binary(max_size=40), after=st.binary(max_size=40))  # fmt: skip
def test_a_url_under_any_key_is_found(key: bytes, before: bytes, after: bytes) -> None:
    data = xored(before + b"\0URLDownloadToFileA\0" + URL.encode() + b"\0" + after, key)
    assert Downloads(URL) in [found.behaviour for found in signatures(data)]


@given(data=st.binary(max_size=300), key=st.binary(min_size=1, max_size=8))
def test_a_key_twice_is_no_key(data: bytes, key: bytes) -> None:
    once = xored(data, key)
    assert once == bytes(byte ^ key[index % len(key)] for index, byte in enumerate(data))
    assert xored(once, key) == data


def test_a_key_is_told_once() -> None:
    assert list(keys(xored(b"..LoadLibraryA..http://x/..cmd.exe", b"\x99"))) == [b"\x99"]


@pytest.mark.parametrize("command", ["cmd /c net user a b /add", "cmd.exe /k whoami", "/bin/sh"])
def test_a_hidden_command_is_found(command: str) -> None:
    data = xored(b"\x90\x90cmd.exe\0GetProcAddress\0/bin/sh\0" + command.encode() + b"\0", b"\x5a")
    assert Executes(command) in [found.behaviour for found in signatures(data)]


_ENCODERS = (
    lambda code: code,
    lambda code: under_xor(code, 0x99),
    lambda code: under_dword_xor(code, b"\1\2\3\4"),
    lambda code: under_xor(under_dword_xor(code, b"\1\2\3\4"), 7),
)


@pytest.mark.parametrize("encode", _ENCODERS)
@pytest.mark.parametrize(("name", "meant"), [
    ("windows connect back, cmd", Connects(HOST, PORT)), ("linux i386 connect back", Connects(HOST, PORT)),
    ("linux i386 second stage", Connects(HOST, PORT))])  # fmt: skip
def test_an_address_that_is_pushed_is_found_behind_loops(encode, name: str, meant: Connects) -> None:  # type: ignore[no-untyped-def]
    assert [found.behaviour for found in signatures(encode(SHELLCODES[name][1]()))] == [meant]


def test_an_address_in_a_register_is_found() -> None:
    assert [found.behaviour for found in signatures(SHELLCODES["linux x86-64 connect back"][1]())] == [
        Connects(HOST, PORT)
    ]


def test_a_door_is_found() -> None:
    code = b"\x66\x68\x11\x5c\x66\x53\x89\xe1\xcd\x80"
    assert [(found.offset, found.behaviour) for found in signatures(code)] == [(0, Listens("0.0.0.0", 4444))]


@pytest.mark.parametrize(("code", "system"), [
    # As Metasploit writes them: mov dword [rsp], sockaddr; mov r12, sockaddr; push sockaddr, mov esi, esp.
    ("99 52 c7 04 24 02 00 11 5c 48 89 e6 6a 10 5a 6a 31 58 0f 05", "linux"),
    ("65 48 8b 52 60 49 bc 02 00 11 5c 00 00 00 00 41 54 49 89 e4", "windows"),
    ("64 8b 50 30 31 db 53 68 02 00 11 5c 89 e6 6a 10 56 57", "windows"),
])  # fmt: skip
def test_doors_of_known_forms_are_found(code: str, system: str) -> None:
    found = signatures(bytes.fromhex(code))
    assert [(one.behaviour, one.system) for one in found] == [(Listens("0.0.0.0", 4444), system)]


def test_hashes_are_those_of_the_functions() -> None:
    """Two that are written down in many places: `LoadLibraryA` by its name, and with kernel32's."""
    assert ror13("LoadLibraryA") == 0xEC0E4E8E
    assert (0xEC0E4E8E).to_bytes(4, "little") in module._hashes()
    assert (0x0726774C).to_bytes(4, "little") in module._hashes()


def test_nothing_is_found_by_chance() -> None:
    rest = random.Random(7)
    assert [signatures(rest.randbytes(2048)) for _ in range(200)] == [[]] * 200


def test_what_is_looked_at_and_what_is_told_are_limits() -> None:
    code = b"\xcd\x80" + b"".join(
        b"\x66\x68" + port.to_bytes(2, "big") + b"\x66\x53" for port in range(1, FOUND_MAX + 2)
    )
    assert len(signatures(code[:-6])) == FOUND_MAX
    assert len(signatures(code)) == FOUND_MAX
    door = b"\x66\x68\x11\x5c\x66\x53"
    assert len(signatures(b"\xcd\x80" + bytes(BYTES_MAX - 2 - len(door)) + door)) == 1
    assert len(signatures(b"\xcd\x80" + bytes(BYTES_MAX - 1 - len(door)) + door)) == 0


def test_layers_are_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    code = under_xor(under_xor(connect_back_cmd(), 1), 2)
    monkeypatch.setattr(module, "LAYERS_MAX", 3)
    assert len(signatures(code)) == 1
    monkeypatch.setattr(module, "LAYERS_MAX", 2)
    assert signatures(code) == []


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=2000))
def test_any_bytes_are_borne(data: bytes) -> None:
    assert len(signatures(data)) <= FOUND_MAX


def test_a_sensor_needs_nothing_but_the_standard_library() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys\nfrom eudaemon.payload.shellcode import signatures, scan, report\n"
         "print([name for name in sys.modules if name.startswith(('unicorn', 'capstone'))])"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "[]\n"
