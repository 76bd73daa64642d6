"""Sessions over real sockets: what is told, stated, recorded and kept, and how each way of ending looks."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import socket
import struct
from pathlib import Path

import pytest

from eudaemon.events import Endpoint
from eudaemon.events import catalogue as facts
from eudaemon.wire.conversation import ATTACKER, HOST, decode
from sensor.harness import blobs, events, running


def the(home: Path, kind: type[facts.Fact]) -> facts.Fact:
    found = [event.fact for event in events(home, kind.kind)]
    assert len(found) == 1, found
    return found[0]


async def test_a_session_from_beginning_to_end(tmp_path: Path) -> None:
    async with running(tmp_path) as sensor:
        assert await sensor.say(b"hello") == b"hello"
    opened, ended, closed = events(tmp_path)[1:-1]
    assert opened.fact == facts.SessionOpened("tcp", "echo")
    assert ended.fact == facts.CommandEntered("ended")
    assert opened.session == closed.session != ""
    assert opened.local == Endpoint("127.0.0.1", sensor.port)
    assert opened.attacker is not None
    assert opened.attacker.ip == "127.0.0.1"
    assert isinstance(closed.fact, facts.SessionClosed)
    assert (closed.fact.reason, closed.fact.bytes_in, closed.fact.bytes_out) == ("peer", 5, 5)
    (conversation,) = blobs(tmp_path)
    assert closed.fact.conversation == hashlib.sha256(conversation).hexdigest()
    assert [(u.side, u.data) for u in decode(conversation)] == [(ATTACKER, b"hello"), (HOST, b"hello")]


async def test_the_sensor_says_that_it_started_and_stopped(tmp_path: Path) -> None:
    async with running(tmp_path) as sensor:
        pass
    started, stopped = events(tmp_path)
    assert isinstance(started.fact, facts.SensorStarted)
    assert started.fact.listening == (f"echo tcp 127.0.0.1:{sensor.port}",)
    assert isinstance(stopped.fact, facts.SensorStopped)


async def test_a_room_that_hangs_up_has_its_last_word_and_no_more(tmp_path: Path) -> None:
    async with running(tmp_path) as sensor:
        reader, writer = await sensor.connect()
        writer.write(b"bye")
        assert await reader.read() == b"bye"
        writer.close()
        await sensor.until("session.closed")
    assert [e.fact.line for e in events(tmp_path, "command.entered")] == ["said after hanging up", "ended"]  # type: ignore[attr-defined]
    assert the(tmp_path, facts.SessionClosed).reason == "room"  # type: ignore[attr-defined]


async def test_our_last_bytes_arrive_although_the_peer_still_sends(tmp_path: Path) -> None:
    """Closing with unread bytes makes the kernel send a reset, which would take our answer with it."""
    async with running(tmp_path) as sensor:
        reader, writer = await sensor.connect()
        writer.write(b"bye" + b"x" * 200_000)
        heard = await reader.read()
        assert heard.startswith(b"bye")
        writer.close()


async def test_a_fault_of_the_peer_is_evidence_and_a_clean_end(tmp_path: Path) -> None:
    async with running(tmp_path) as sensor:
        reader, writer = await sensor.connect()
        writer.write(b"wrong")
        assert await reader.read() == b"wrong"
        writer.close()
    assert the(tmp_path, facts.PeerFaulted) == facts.PeerFaulted("echo", "said something wrong")
    assert the(tmp_path, facts.SessionClosed).reason == "peer fault"  # type: ignore[attr-defined]
    assert len(events(tmp_path, "command.entered")) == 1  # Ended was told once


async def test_a_fault_of_ours_ends_one_session_loudly(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        async with running(tmp_path, "breaker") as sensor:
            assert await sensor.say(b"x") == b"before"
            assert await sensor.say(b"x") == b"before"
            assert sensor.sensor.health()["faults"] == 2
    faulted = events(tmp_path, "sensor.faulted")[0].fact
    assert isinstance(faulted, facts.SensorFaulted)
    assert (faulted.room, faulted.error) == ("breaker", "ZeroDivisionError: our own fault")
    assert "rooms.py" in faulted.where
    assert len(events(tmp_path, "sensor.faulted")) == 2
    assert {e.fact.reason for e in events(tmp_path, "session.closed")} == {"our fault"}  # type: ignore[attr-defined]
    assert "ZeroDivisionError" in caplog.text


async def test_a_reset_in_the_middle(tmp_path: Path) -> None:
    async with running(tmp_path) as sensor:
        _, writer = await sensor.connect()
        writer.write(b"he")
        await writer.drain()
        await sensor.until("session.opened")
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        await sensor.until("session.closed")
    assert the(tmp_path, facts.SessionClosed).reason == "reset"  # type: ignore[attr-defined]


async def test_a_room_that_does_not_mind_the_peer_leaving_is_left(tmp_path: Path) -> None:
    async with running(tmp_path, "deaf") as sensor:
        assert await sensor.say(b"x") == b""
    assert the(tmp_path, facts.SessionClosed).reason == "peer"  # type: ignore[attr-defined]


async def test_a_room_is_woken_at_the_last_time_it_asked_for(tmp_path: Path) -> None:
    async with running(tmp_path, "sleeper") as sensor:
        reader, writer = await sensor.connect()
        assert await reader.read() == b"awake"
        writer.close()


async def test_stopping_ends_what_is_open(tmp_path: Path) -> None:
    async with running(tmp_path) as sensor:
        reader, writer = await sensor.connect()
        writer.write(b"x")
        assert await reader.read(1) == b"x"
    assert await reader.read() == b""
    writer.close()
    assert the(tmp_path, facts.SessionClosed).reason == "stop"  # type: ignore[attr-defined]


async def test_what_is_kept_is_kept_once_and_not_executable(tmp_path: Path) -> None:
    data = bytes(range(256)) * 3
    async with running(tmp_path) as sensor:
        await sensor.say(b"keep " + data)
        await sensor.say(b"keep " + data)
        await sensor.until("artefact.kept", count=2)
    sha256 = hashlib.sha256(data).hexdigest()
    assert [e.fact for e in events(tmp_path, "artefact.kept")] == [
        facts.ArtefactKept(sha256, len(data), "upload", "/tmp/x")
    ] * 2
    (path,) = (tmp_path / "artefacts").iterdir()
    assert path.name == sha256
    assert path.read_bytes() == data
    assert path.stat().st_mode & 0o777 == 0o400


async def test_a_long_conversation_is_an_artefact(tmp_path: Path) -> None:
    said = bytes(range(256)) * 400
    async with running(tmp_path) as sensor:
        assert await sensor.say(said) == said
    (path,) = (tmp_path / "artefacts").iterdir()
    closed = the(tmp_path, facts.SessionClosed)
    assert isinstance(closed, facts.SessionClosed)
    assert closed.conversation == path.name == hashlib.sha256(path.read_bytes()).hexdigest()
    pieces = list(decode(path.read_bytes()))
    for side in (ATTACKER, HOST):
        assert b"".join(u.data for u in pieces if u.side == side) == said
    assert blobs(tmp_path) == []


async def test_a_recording_stops_at_its_limit(tmp_path: Path) -> None:
    async with running(tmp_path, capture_conversation_bytes_max=1000) as sensor:
        assert len(await sensor.say(b"x" * 5000)) == 5000
    (conversation,) = blobs(tmp_path)
    assert sum(len(u.data) for u in decode(conversation)) == 1000


async def test_several_rooms_on_one_port(tmp_path: Path) -> None:
    async with running(tmp_path, "telnet+http") as sensor:
        assert b"HTTP/1." in await sensor.say(b"GET / HTTP/1.0\r\n\r\n")
        reader, writer = await sensor.connect()
        assert b"login:" in await reader.readuntil(b"login:")
        writer.close()
        await sensor.until("session.closed", count=2)
    assert [e.fact.room for e in events(tmp_path, "session.closed")] == ["http", "telnet"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(("addresses", "host"), [(("::1",), "::1"), (("::",), "127.0.0.1"), (("0.0.0.0", "::"), "::1")])
async def test_both_families(tmp_path: Path, addresses: tuple[str, ...], host: str) -> None:
    async with running(tmp_path, addresses=addresses) as sensor:
        assert await sensor.say(b"x", host=host) == b"x"
    opened = events(tmp_path, "session.opened")[0]
    assert opened.attacker is not None
    assert opened.local is not None
    assert (opened.attacker.ip, opened.local.ip) == (host, host)  # never ::ffff:127.0.0.1


async def test_a_crowd_is_served(tmp_path: Path) -> None:
    async with running(
        tmp_path, limits_sessions_per_address_max=1000, limits_starts_per_address_minute_max=10_000
    ) as sensor:
        answers = await asyncio.gather(*(sensor.say(b"%d" % n) for n in range(300)))
        assert answers == [b"%d" % n for n in range(300)]
    assert len(events(tmp_path, "session.closed")) == 300
    assert len({e.id for e in events(tmp_path)}) == len(events(tmp_path))
