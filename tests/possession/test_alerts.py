"""From an alert to its report, and back to the thread that waits. The engine's side is a mock (`filling`)."""

from __future__ import annotations

import os
import random
import struct
import time
from pathlib import Path

import pytest

from eudaemon.evidence import html, text
from eudaemon.evidence.codec import dumps, loads
from eudaemon.evidence.model import Evidence
from eudaemon.possession import Possession, Taint, possess
from eudaemon.possession.engine import Engine
from eudaemon.possession.listening import COLLECTED_MAX, Listener
from eudaemon.possession.status import status_of
from possession.ctl import Victim, Victims
from possession.filling import Filled, registers_of

SENT = bytes(random.Random(7).randrange(33, 127) for _ in range(200))
VALUE_AT = 72  # of what was sent, where the return address would lie


def served(victims: Victims, started: list[Victim], sent: bytes = SENT) -> tuple[Victim, int]:
    """Start a victim that keeps what it is told on its stack; return it and where."""
    victim = victims.start("ctl_served")
    started.append(victim)
    assert victim.process.stdin is not None
    victim.process.stdin.write(sent)
    _, address, count = victim.line().split()
    assert int(count) == len(sent)
    return victim, int(address, 16)


def raised(possession: Possession, filled: Filled, buffer: int, **values: int) -> Evidence:
    """Raise an alert as if the victim were about to return into what it was sent; return the report."""
    (target,) = struct.unpack_from("<Q", SENT, VALUE_AT)
    tags = int.from_bytes(b"\4" * 8, "little")
    place = buffer + VALUE_AT
    fields = {"target": target, "place": place, "tags": tags, "pc": registers_of(filled.pid).rip, **values}
    filled.alert("RETURN", registers=registers_of(filled.pid), register_tags={"rax": b"\4\4\0\0\0\0\0\0"}, **fields)
    return next(possession.alerts(within_s=30))


def test_a_tag_that_may_be_anothers_is_said(victims: Victims, started: list[Victim], stub: Engine) -> None:
    """4 GiB away from what the process was told there is nothing of its own, but the shadow is the same."""
    victim, buffer = served(victims, started)
    with possess(victim.pid, taint="inet,stdin", on_alert="observe", engine=stub) as possession:
        filled = Filled.of(victim.pid, stub.abi)
        for serial, (place, is_said) in enumerate(((buffer, False), (buffer + (1 << 32), True)), 1):
            remarks = raised(possession, filled, place, serial=serial).report.remarks
            said = f"the tag may be that of {buffer + VALUE_AT:#x}"
            assert any(remark.startswith(said) for remark in remarks) == is_said


def test_the_bytes_are_found_in_their_connection(victims: Victims, started: list[Victim], stub: Engine) -> None:
    victim, buffer = served(victims, started)
    with possess(victim.pid, taint="inet,stdin", on_alert="observe", engine=stub) as possession:
        filled = Filled.of(victim.pid, stub.abi)
        before = b"HELLO of another kind" * 9
        filled.stream(0, b"nothing of it here")
        filled.stream(2, before + SENT + b"and more", received=100_000, peer="192.0.2.7:4444")
        evidence = raised(possession, filled, buffer)
        assert filled.verdict() == stub.abi["verdict::OBSERVE"]
    report = evidence.report
    assert (report.kind, report.verdict, report.in_time) == ("return", "observe", True)
    (culprit,) = report.culprits
    begin = 100_000 - len(SENT) - len("and more")
    assert (culprit.role, culprit.label, culprit.offset, culprit.data) == ("value", 2, begin, SENT)
    assert (culprit.address, culprit.core_at, culprit.core_size) == (buffer, VALUE_AT, 8)
    assert culprit.is_certain
    stream = report.stream(2)
    assert stream is not None
    assert (stream.peer, stream.local, stream.received) == ("192.0.2.7:4444", "10.0.0.1:80", 100_000)
    assert stream.input is not None
    assert evidence.files[stream.input.file].endswith(SENT + b"and more")
    assert (report.process.pid, report.process.name, report.process.uid) == (victim.pid, "ctl_served", os.getuid())
    assert report.process.exe == str(Path(f"/proc/{victim.pid}/exe").readlink())
    rax = next(register for register in report.registers if register.name == "rax")
    assert rax.tags == b"\4\4\0\0\0\0\0\0"
    assert loads(dumps(report)) == report


@pytest.mark.parametrize("verdict", ["observe", "contain", "kill"])
def test_the_policy_is_in_the_mailbox_and_answers(
    victims: Victims, started: list[Victim], stub: Engine, verdict: str
) -> None:
    victim, buffer = served(victims, started)
    with possess(victim.pid, taint="unix,inet", on_alert=verdict, engine=stub) as possession:
        filled = Filled.of(victim.pid, stub.abi)
        wanted = stub.abi[f"verdict::{verdict.upper()}"]
        assert filled.mailbox.get("mode", "sources", "on_alert", "store_alerts") == (
            stub.abi["mode::TAINT"], stub.abi["source::INET"] | stub.abi["source::UNIX"], wanted, 0
        )  # fmt: skip
        assert filled.mailbox.one("patience_ms") > 0
        assert raised(possession, filled, buffer).report.verdict == verdict
        assert filled.verdict() == wanted
        assert Taint.in_mailbox(filled.mailbox) == Taint(("inet", "unix"), (), verdict)


def test_release_lets_the_process_go(victims: Victims, started: list[Victim], stub: Engine) -> None:
    victim, buffer = served(victims, started)
    possession = possess(victim.pid, taint="inet", on_alert="release", engine=stub)
    filled = Filled.of(victim.pid, stub.abi)
    (target,) = struct.unpack_from("<Q", SENT, VALUE_AT)
    filled.alert("JUMP", target=target, place=buffer + VALUE_AT, tags=1)
    assert [evidence.report.kind for evidence in possession.alerts(within_s=30)] == ["jump"]
    assert status_of(victim.pid, stub.abi) is None
    assert possession.released_ns


def test_who_has_not_waited_is_reported_and_not_answered(victims: Victims, started: list[Victim], stub: Engine) -> None:
    victim, _ = served(victims, started)
    with possess(victim.pid, taint="inet", engine=stub) as possession:
        filled = Filled.of(victim.pid, stub.abi)
        filled.alert("CALL", target=1, tags=1, state=stub.abi["verdict::CONTAIN"])
        report = next(possession.alerts(within_s=30)).report
        assert not report.in_time
        assert filled.verdict() == 0


def test_a_place_that_is_taken_again_is_another_alert(victims: Victims, started: list[Victim], stub: Engine) -> None:
    victim, _ = served(victims, started)
    most = stub.abi["ALERTS_MAX"]
    with possess(victim.pid, taint="inet", engine=stub), Listener(victim.pid, stub.abi) as listener:
        filled = Filled.of(victim.pid, stub.abi)
        for serial in range(1, most + 2):
            filled.alert("CALL", serial=serial, target=serial, tags=1)
            assert [evidence.report.target for evidence in listener.poll()] == [serial]
        assert list(listener.poll()) == []
        filled.mailbox.set("alerts_missed", 3)
        assert list(listener.poll()) == []
        assert listener.remarks == [f"process {victim.pid}: 3 alerts found no place any more"]


def test_an_alert_that_is_counted_before_it_is_there_is_not_lost(
    victims: Victims, started: list[Victim], stub: Engine
) -> None:
    victim, _ = served(victims, started)
    with possess(victim.pid, taint="inet", engine=stub), Listener(victim.pid, stub.abi) as listener:
        filled = Filled.of(victim.pid, stub.abi)
        filled.mailbox.set("alert_count", 1)
        filled.alert("CALL", serial=2, target=2, tags=1)
        assert [evidence.report.target for evidence in listener.poll()] == [2]
        filled.alert("CALL", serial=1, target=1, tags=1)
        assert [evidence.report.target for evidence in listener.poll()] == [1]
        assert list(listener.poll()) == []


def test_the_call_stack_has_names(victims: Victims, started: list[Victim], stub: Engine) -> None:
    victim, buffer = served(victims, started)
    with possess(victim.pid, taint="inet", on_alert="observe", engine=stub) as possession:
        report = raised(possession, Filled.of(victim.pid, stub.abi), buffer).report
    names = [frame.symbol.partition("+")[0] for frame in report.frames]
    begin = names.index("take_in")
    assert names[begin : begin + 4] == ["take_in", "serve_one", "serve", "main"]
    assert {frame.how for frame in report.frames[1 : begin + 4]} == {"cfi"}
    assert "_start" in names[begin + 4 :]
    assert report.frames[0].module.startswith("/")
    assert "libc" in report.frames[0].module
    assert report.instruction.text
    at = [one.address for one in report.code].index(report.pc)
    assert report.code[at - 1].text == "syscall"


def test_under_seccomp_the_engine_tells_no_time(victims: Victims, started: list[Victim], stub: Engine) -> None:
    victim, _ = served(victims, started)
    with possess(victim.pid, taint="inet", engine=stub), Listener(victim.pid, stub.abi) as listener:
        filled = Filled.of(victim.pid, stub.abi)
        before_s = time.time()
        filled.alert("CALL", target=1, tags=1, at_ns=0)
        (evidence,) = listener.poll()
        assert before_s <= evidence.report.at_s <= time.time()


def test_what_was_told_is_not_told_again(victims: Victims, started: list[Victim], stub: Engine) -> None:
    victim, _ = served(victims, started)
    with possess(victim.pid, taint="inet", engine=stub) as possession:
        filled = Filled.of(victim.pid, stub.abi)
        for serial in (1, 2):
            filled.alert("CALL", serial=serial, target=serial, tags=1)
            assert next(possession.alerts(within_s=30)).report.target == serial
        assert list(possession.alerts(within_s=0)) == []


def test_a_mailbox_may_say_what_it_likes(victims: Victims, started: list[Victim], stub: Engine) -> None:
    """It lies in the process's own memory, and whoever takes over writes there."""
    victim, buffer = served(victims, started)
    dice = random.Random(3)
    awkward = [0, 1, buffer, 2**31, 2**63 - 1, 2**63, 2**64 - 1, registers_of(victim.pid).rip]
    with possess(victim.pid, taint="inet", engine=stub), Listener(victim.pid, stub.abi) as listener:
        filled = Filled.of(victim.pid, stub.abi)
        for serial in range(1, 101):
            for name in ("input", "shadow_offset", "stream_count"):
                filled.mailbox.set(name, dice.choice(awkward))
            for name in ("streams", "files"):
                field = filled.mailbox.record[name]
                filled.mailbox.memory.write(filled.mailbox.address + field.offset, dice.randbytes(field.size))
            record, at = stub.abi.records["Alert"], filled.address_of(serial % stub.abi["ALERTS_MAX"])
            raw = bytearray(dice.randbytes(record.size))
            chosen = {name: dice.choice(awkward) for name in ("pc", "target", "place", "at_ns")}
            record.pack(raw, serial=serial, state=0, **chosen)
            filled.mailbox.memory.write(at, raw)
            filled.mailbox.set("alert_count", serial)
            (evidence,) = listener.poll()
            assert loads(dumps(evidence.report)) == evidence.report
            text.page(evidence.report)
            html.page(evidence.report)
        filled.mailbox.set("alert_count", 2**64 - 1)
        filled.mailbox.set("mapping_count", 2**32 - 1)
        assert list(listener.poll()) == []
        filled.mailbox.set("shadow_offset", 0)
        filled.mailbox.set("mapping_count", 1)


def test_so_many_reports_and_no_more(victims: Victims, started: list[Victim], stub: Engine) -> None:
    victim, _ = served(victims, started)
    with possess(victim.pid, taint="inet", engine=stub), Listener(victim.pid, stub.abi) as listener:
        filled = Filled.of(victim.pid, stub.abi)
        for serial in range(1, COLLECTED_MAX + 3):
            filled.alert("CALL", serial=serial, target=serial, tags=1)
            assert len(list(listener.poll())) == (serial <= COLLECTED_MAX)
        place = (COLLECTED_MAX + 1) % stub.abi["ALERTS_MAX"]
        assert filled.verdict(place) == stub.abi["verdict::CONTAIN"]  # answered all the same
    assert listener.remarks == [f"process {victim.pid}: of more than {COLLECTED_MAX} alerts no reports are made"]


def test_an_alert_at_the_last_moment_is_not_lost(victims: Victims, started: list[Victim], stub: Engine) -> None:
    victim, _ = served(victims, started)
    possession = possess(victim.pid, taint="inet", engine=stub)
    with possession.listener() as listener:
        assert list(listener.poll()) == []
        Filled.of(victim.pid, stub.abi).alert("CALL", target=7, tags=1)
        seen: list[Evidence] = []
        possession.last_look = lambda: seen.extend(listener.poll())
        possession.release()
    assert [evidence.report.target for evidence in seen] == [7]
    assert status_of(victim.pid, stub.abi) is None
