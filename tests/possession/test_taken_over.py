"""Real attacks on possessed victims: the report says which bytes of which connection, and the answer is heeded."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from eudaemon.evidence import benign, text
from eudaemon.evidence.codec import dumps, loads
from eudaemon.evidence.model import Evidence
from eudaemon.evidence.signature import make
from eudaemon.possession import Possession, possess
from eudaemon.possession.status import status_of
from possession.alarms import ENGINE, why_not
from possession.assault import WAYS, Assailed, Conversation, assailed
from possession.attacks import ATTACKS, BY_NAME, HIJACK, Attack
from possession.victims import missing

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())
Taken = tuple[Assailed, Possession, Conversation, bytes]
WAIT_S = 30.0
HEADER_BYTES = 4  # of each message: its length, and a slot


@contextmanager
def taken(name: str, way: str = "tcp", on_alert: str = "kill") -> Iterator[Taken]:
    """Possess a victim, talk to it harmlessly; yield it, what to say next, and what it has been sent so far."""
    attack = BY_NAME[name]
    if reason := missing(attack.victim):
        pytest.skip(reason)
    with assailed(attack.victim, WAYS[way]) as victim:
        source = WAYS[way].source.format(place=victim.folder)
        with possess(victim.pid, taint=source, on_alert=on_alert) as possession:
            talk = victim.conversation()
            sent = b""
            for harmless in attack.benign:
                talk.ask(harmless)
                sent += len(harmless).to_bytes(2, "little") + bytes(2) + harmless
            yield victim, possession, talk, sent


def attacked(attack: Attack, victim: Assailed, possession: Possession, talk: Conversation) -> tuple[Evidence, bytes]:
    """Attack; return the evidence, and what was sent for it."""
    payload = attack.payload(victim.at)
    talk.send(payload)
    return next(possession.alerts(within_s=WAIT_S)), payload


@pytest.mark.parametrize("way", ["tcp", "tcp-fork", "tcp-threads", "stdin", "pair"])
def test_the_report_says_which_bytes_of_which_connection(way: str) -> None:
    with taken("return-memcpy", way) as (victim, possession, talk, before):
        evidence, payload = attacked(BY_NAME["return-memcpy"], victim, possession, talk)
        report = evidence.report
        (culprit,) = report.culprits
        begin = len(before) + HEADER_BYTES
        assert (report.kind, culprit.role) == ("return", "value")
        assert (culprit.offset, culprit.data) == (begin, payload)
        assert culprit.is_certain
        core = culprit.data[culprit.core_at : culprit.core_at + culprit.core_size]
        assert int.from_bytes(core, "little") == report.target == victim.at["hijacked"]
        stream = report.stream(culprit.label)
        assert stream is not None
        assert stream.input is not None
        assert evidence.files[stream.input.file] == before + len(payload).to_bytes(2, "little") + bytes(2) + payload
        assert stream.kind == {"stdin": "stdin", "pair": "unix"}.get(way, "inet")
        assert stream.transport == ("tcp" if stream.kind == "inet" else "")
        if stream.kind == "inet":
            assert stream.local == f"127.0.0.1:{victim.port}"
            assert stream.peer.startswith("127.0.0.1:")
        assert report.instruction.text == "ret"
        assert report.frames[0].symbol.startswith("remember")
        assert (report.process.pid == victim.pid) is (way != "tcp-fork")
        assert {register.tags for register in report.registers if register.name == "rbp"} == {
            bytes([1 << culprit.label]) * 8
        }


@pytest.mark.parametrize("name", [attack.name for attack in ATTACKS if attack.kinds])
def test_whatever_takes_control_is_found_in_what_was_sent(name: str) -> None:
    way = BY_NAME[name].ways[0]
    with taken(name, way) as (victim, possession, talk, before):
        evidence, payload = attacked(BY_NAME[name], victim, possession, talk)
    culprits = evidence.report.culprits
    assert culprits
    if way != "file":
        sent = before + len(payload).to_bytes(2, "little") + bytes(2) + payload
        for culprit in culprits:
            assert sent[culprit.offset :].startswith(culprit.data)
            assert culprit.offset + culprit.core_at >= len(before)
    assert loads(dumps(evidence.report)) == evidence.report
    assert f"from offset {culprits[0].offset} of what came" in text.page(evidence.report)


def test_injected_code_is_kept_and_disassembled() -> None:
    with taken("code-stack") as (victim, possession, talk, before):
        evidence, _ = attacked(BY_NAME["code-stack"], victim, possession, talk)
    report = evidence.report
    assert report.kind == "code"
    assert report.injected is not None
    assert evidence.files[report.injected.code.file] == HIJACK
    assert [one.text for one in report.injected.listing][:2] == ["mov eax, 1", "mov edi, 2"]
    assert report.culprits[0].role == "code"
    assert report.culprits[0].offset == len(before) + HEADER_BYTES


def test_what_a_computed_value_comes_from_is_found_where_a_register_points() -> None:
    """longjmp of libc makes the address out of what lies in the buffer."""
    with taken("longjmp-libc") as (victim, possession, talk, before):
        evidence, payload = attacked(BY_NAME["longjmp-libc"], victim, possession, talk)
    (culprit,) = evidence.report.culprits
    assert culprit.role == "rdi"
    assert culprit.data in payload
    assert culprit.offset == len(before) + HEADER_BYTES + payload.index(culprit.data)


def test_contained_threads_end_and_the_others_go_on() -> None:
    with taken("return-memcpy", "tcp-threads", "contain") as (victim, possession, talk, _):
        attacked(BY_NAME["return-memcpy"], victim, possession, talk)
        for _ in range(3):  # in threads that get what the contained one had
            victim.conversation().ask(b"still there")
        assert not victim.is_hijacked(0.1)
        assert list(possession.alerts(within_s=0.1)) == []


def test_who_is_observed_is_taken_over() -> None:
    with taken("return-memcpy", on_alert="observe") as (victim, possession, talk, _):
        attacked(BY_NAME["return-memcpy"], victim, possession, talk)
        assert victim.is_hijacked(WAIT_S)


def test_who_is_killed_is_gone() -> None:
    with taken("return-memcpy", on_alert="kill") as (victim, possession, talk, _):
        attacked(BY_NAME["return-memcpy"], victim, possession, talk)
        assert victim.status() == -signal.SIGKILL
        assert not victim.is_hijacked(0)


def test_who_is_released_goes_on_natively() -> None:
    from eudaemon.possession.engine import load_engine

    with taken("return-memcpy", "tcp-threads", "release") as (victim, possession, talk, _):
        talk.send(BY_NAME["return-memcpy"].payload(victim.at))
        assert [one.report.verdict for one in possession.alerts(within_s=WAIT_S)] == ["release"]
        assert status_of(victim.pid, load_engine(ENGINE).abi) is None
        victim.conversation().ask(b"natively")
        assert not victim.is_hijacked(0.1)


@pytest.mark.parametrize("name", ["code-stack", "chain", "injected", "pointer-heap"])
def test_a_signature_recognises_the_next_run_of_the_attack(name: str) -> None:
    """Addresses differ from run to run, and stand all over the attack; what is between them does not."""
    captures, streams = [], []
    for _ in range(3):
        with taken(name) as (victim, possession, talk, _):
            evidence, _ = attacked(BY_NAME[name], victim, possession, talk)
            captures.append(evidence)
            streams.append(evidence.files["input-0.bin"])
    for count in (1, 2):
        made = make(captures[:count], benign.built_in(), "test")
        assert made.matches(streams[2])


def test_the_command_tells_of_a_real_attack(tmp_path: Path) -> None:
    attack = BY_NAME["return-memcpy"]
    if reason := missing(attack.victim):
        pytest.skip(reason)
    place = ["--data", str(tmp_path)]
    eudaemon = [sys.executable, "-m", "eudaemon"]
    with assailed(attack.victim, WAYS["tcp"]) as victim:
        words = ["possess", str(victim.pid), "--taint", "inet", "--on-alert", "kill", *place]
        with subprocess.Popen([*eudaemon, *words], stdout=subprocess.PIPE, text=True) as command:
            assert command.stdout is not None
            assert "possessed" in command.stdout.readline()
            victim.conversation().send(attack.payload(victim.at))
            said, _ = command.communicate(timeout=60)
            assert command.returncode == 4
    assert f"{victim.pid}: ALERT:" in said
    assert f"the value is {len(attack.payload(victim.at))} bytes from offset 4 of what came from 127.0.0.1:" in said
    assert "the process has been ended" in said
    shown = subprocess.run([*eudaemon, "alert", "show", "last", "--json", *place], capture_output=True, check=True)
    assert json.loads(shown.stdout)["process"]["pid"] == victim.pid
    assert not os.path.exists(f"/proc/{victim.pid}/exe")
