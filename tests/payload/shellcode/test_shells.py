"""Which shells signatures show: for every code of the tests that opens one, and for which system it is."""

from __future__ import annotations

import pytest

from eudaemon.payload.shellcode.behaviour import Connects, Downloads, Listens
from eudaemon.payload.shellcode.examine import examine
from eudaemon.payload.shellcode.shells import BIND, CONNECT, HERE, SHELLS_MAX, Shell, shells
from eudaemon.payload.shellcode.signatures import signatures
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed
from payload.shellcode.assembling import assemble, under_dword_xor, under_xor
from payload.shellcode.shellcodes import HOST, PORT, SHELLCODES


def shown(code: bytes) -> tuple[Shell, ...]:
    return shells((found.behaviour, found.system) for found in signatures(code))


EXECVE_X64 = """
    xor rsi, rsi; push rsi
    movabs rdi, 0x68732f2f6e69622f
    push rdi; push rsp; pop rdi
    mov al, 59; cdq
    syscall
"""


@pytest.mark.parametrize("encode", [lambda code: code, lambda code: under_xor(code, 0x99),
                                    lambda code: under_dword_xor(code, b"\x7a\x11\x9c\x53")])  # fmt: skip
@pytest.mark.parametrize("name", [name for name, (cpu, *_) in SHELLCODES.items() if cpu.startswith("x86")])
def test_what_opens_a_shell_shows_it(name: str, encode) -> None:  # type: ignore[no-untyped-def]
    _, code, does = SHELLCODES[name]
    system = name.split()[0].rstrip(",")
    meant = [Shell(BIND, system, d.host, d.port) for d in does if isinstance(d, Listens)]
    meant += [Shell(CONNECT, system, d.host, d.port) for d in does if isinstance(d, Connects)]
    found = list(shown(encode(code())))
    assert found == meant or (found == [] and name == "linux x86-64 connect back" and encode(b"A") != b"A")


def test_a_shell_without_an_address_is_for_the_connection() -> None:
    assert shown(assemble("x86-64", EXECVE_X64)) == (Shell(HERE, "linux"),)
    assert [Shell(BIND, "windows").room, Shell(BIND, "linux").room] == ["cmd", "sh"]


def test_texts_and_programs_have_none() -> None:
    assert shown(b"#!/bin/sh\nexec /bin//sh -i\n") == ()
    others = (
        (Downloads("http://203.0.113.7/"), "linux"),
        (Connects(HOST, PORT, "udp"), "linux"),
        (Connects(HOST, PORT), ""),
    )
    assert shells(others) == ()


def test_each_counts_once_and_their_number_is_bounded() -> None:
    found = [(Listens("0.0.0.0", 1 + number // 2), "linux") for number in range(2 * SHELLS_MAX + 2)]
    assert [shell.port for shell in shells(found)] == list(range(1, SHELLS_MAX + 1))


@pytest.mark.parametrize("name", SHELLCODES)
def test_what_runs_tells_it_of_every_cpu(name: str) -> None:
    cpu, code, does = SHELLCODES[name]
    system = name.split()[0].rstrip(",")
    meant = [Shell(BIND, system, d.host, d.port) for d in does if isinstance(d, Listens)]
    meant += [Shell(CONNECT, system, d.host, d.port) for d in does if isinstance(d, Connects)]
    found = examine(code(), Host.from_seed(Seed(b"x")), architectures=(cpu,))
    assert list(found.shells) == meant
    assert [Shell.from_json(one) for one in found.as_json()["shells"]] == meant


@pytest.mark.parametrize("other", [
    None, {}, [], {"way": "bind"}, {"way": "x", "system": "linux", "host": "", "port": 1},
    {"way": "bind", "system": "beos", "host": "", "port": 1}, {"way": "bind", "system": "linux", "host": 1, "port": 1},
    {"way": "bind", "system": "linux", "host": "", "port": 65536}, {"way": "bind", "system": [], "host": "", "port": 1},
    {"way": "bind", "system": "linux", "host": "", "port": True}])  # fmt: skip
def test_what_is_none_is_not_read(other: object) -> None:
    with pytest.raises(ValueError, match="no shell"):
        Shell.from_json(other)
    assert Shell.from_json(Shell(BIND, "linux", "0.0.0.0", 65535).as_json()).port == 65535
