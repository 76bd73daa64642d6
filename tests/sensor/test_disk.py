"""A disk that is full, a quota that is reached: captures stop and say so, nothing kept is harmed, all goes on after."""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from eudaemon.events import Fact
from eudaemon.events import catalogue as facts
from eudaemon.payload.fetch.transfer import NoRoomError
from eudaemon.sensor.artefacts import BUFFER_BYTES_MAX, ArtefactStore, Sink
from eudaemon.sensor.settings import Capture
from sensor.harness import Running, events, running

KIB, MIB = 1024, 1024 * 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small tmpfs")
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def fill(place: Path, leave: int = 0) -> Path:
    path = place / "ballast"
    with path.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            pass
    if leave:
        os.truncate(path, max(0, path.stat().st_size - leave))
    return path


async def test_a_full_disk(small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with running(small_disk, capture_disk_free_bytes_min=MIB) as sensor:
        await sensor.say(b"keep before")
        await sensor.until("session.closed")
        ballast = fill(small_disk, leave=512 * KIB)
        await asyncio.sleep(1.1)  # the disk is asked once in a second
        assert await sensor.say(b"keep " + b"x" * 2000) == b"keep " + b"x" * 2000
        assert sensor.sensor.health()["capture"] == f"less than {MIB} bytes are free on the disk"
        fill(small_disk)  # now not even the spool has room
        for number in range(20):
            await sensor.say(b"%d" % number * 100)
        async with asyncio.timeout(5):
            while sensor.sensor.health()["spool"] == "ok":
                await sensor.say(b"y" * 1000)
        assert sensor.sensor.health()["spool"] == "no space left on device"
        ballast.unlink()
        async with asyncio.timeout(5):
            while sensor.sensor.health()["capture"] != "ok" or sensor.sensor.health()["spool"] != "ok":
                await asyncio.sleep(0.01)
        await sensor.say(b"keep after")
        await sensor.until("capture.resumed")
    stopped = events(small_disk, "capture.stopped")
    assert [e.fact for e in stopped] == [facts.CaptureStopped(f"less than {MIB} bytes are free on the disk")]
    assert events(small_disk, "capture.resumed")[0].fact == facts.CaptureResumed(1)
    assert len(events(small_disk, "session.opened")) == len(events(small_disk, "session.closed")) >= 23
    assert sorted(p.read_bytes() for p in (small_disk / "artefacts").iterdir()) == [b"after", b"before"]
    assert "captures stop" in caplog.text
    assert "the disk takes nothing" in caplog.text
    assert "the disk takes events again" in caplog.text


async def test_a_start_on_a_full_disk_serves(small_disk: Path) -> None:
    ballast = fill(small_disk, leave=64 * KIB)
    async with running(small_disk, capture_disk_free_bytes_min=MIB) as sensor:
        assert await sensor.say(b"keep x") == b"keep x"
        ballast.unlink()
        await sensor.until("capture.resumed")


def store(folder: Path, **settings: int) -> tuple[ArtefactStore, list[Fact]]:
    stated: list[Fact] = []
    found = ArtefactStore(folder, Capture(disk_free_bytes_min=0, **settings), stated.append)
    found.open()
    return found, stated


def settle(found: ArtefactStore) -> None:
    found.settled(found.settle(found.take_pending()))


@pytest.mark.parametrize(
    "size", [0, 1, 4095, 4096, 4097, BUFFER_BYTES_MAX, BUFFER_BYTES_MAX + 1, 64 * KIB, 1_500_000, 10 * MIB]
)
@pytest.mark.parametrize("chunk", [1021, 65_536])
def test_every_size_byte_for_byte(size: int, chunk: int, tmp_path: Path) -> None:
    found, _ = store(tmp_path / "a")
    data = os.urandom(size)
    sink = Sink(found)
    for at in range(0, size, chunk):
        sink.write(data[at : at + chunk])
    sha256 = hashlib.sha256(data).hexdigest()
    assert sink.commit() == (sha256, size)
    assert found.has(sha256)
    settle(found)
    assert [p.name for p in (tmp_path / "a").iterdir()] == [sha256]
    assert found.path(sha256).read_bytes() == data
    assert (found.bytes_kept, found.files_kept) == (size, 1)


def test_the_same_bytes_are_one_file_at_every_stage(tmp_path: Path) -> None:
    found, _ = store(tmp_path / "a")
    sinks = [Sink(found) for _ in range(3)]
    for sink in sinks:
        sink.write(b"same" * 10_000)
    sinks[0].commit()
    sinks[1].commit()
    settle(found)
    sinks[2].commit()
    assert found.keep(b"same" * 10_000) == sinks[0].commit()[0]
    settle(found)
    assert len(list((tmp_path / "a").iterdir())) == 1
    assert (found.bytes_kept, found.files_kept) == (40_000, 1)


def test_what_was_never_finished_is_gone_after_a_restart(tmp_path: Path) -> None:
    found, _ = store(tmp_path / "a")
    found.keep(b"kept")
    settle(found)
    Sink(found).write(b"x" * 50_000)
    found.keep(b"committed, but the power failed before it was durable")
    assert len(list((tmp_path / "a").iterdir())) == 3
    again, _ = store(tmp_path / "a")
    assert [p.read_bytes() for p in (tmp_path / "a").iterdir()] == [b"kept"]
    assert (again.bytes_kept, again.files_kept) == (4, 1)


def test_an_artefact_given_up_leaves_nothing(tmp_path: Path) -> None:
    found, _ = store(tmp_path / "a")
    sink = Sink(found)
    sink.write(b"x" * 50_000)
    sink.abort()
    assert list((tmp_path / "a").iterdir()) == []
    assert found.bytes_kept == 0


@pytest.mark.parametrize(
    ("quota", "value"), [("artefacts_bytes_max", 100_000), ("artefacts_max", 2)], ids=["bytes", "files"]
)
def test_a_quota_reached_and_gone_past(quota: str, value: int, tmp_path: Path) -> None:
    found, stated = store(tmp_path / "a", **{quota: value})
    first, second = found.keep(b"a" * 50_000), found.keep(b"b" * 50_000)
    settle(found)
    assert first
    assert second
    assert found.keep(b"c") == ""
    assert found.keep(b"d") == ""
    assert len(stated) == 1
    assert isinstance(stated[0], facts.CaptureStopped)
    assert str(value) in found.stopped
    assert found.keep(b"a" * 50_000) == first  # it is there: nothing new is needed
    assert len(list((tmp_path / "a").iterdir())) == 2
    found.look()
    assert len(stated) == 1
    found.remove(first)
    found.look()
    assert stated[1:] == [facts.CaptureResumed(2)]
    assert found.keep(b"c") != ""


def test_an_artefact_over_the_limit_is_refused(tmp_path: Path) -> None:
    found, stated = store(tmp_path / "a", artefact_bytes_max=1000)
    sink = Sink(found)
    sink.write(b"x" * 1000)
    with pytest.raises(NoRoomError, match="larger than 1000 bytes"):
        sink.write(b"x")
    sink.abort()
    assert stated == []


async def test_tls_needs_no_room_for_its_certificate_when_the_disk_is_full(small_disk: Path) -> None:
    async with running(small_disk) as sensor:
        fill(small_disk)
        assert await says_by_tls(sensor, b"bye") == b"bye"
    assert not events(small_disk, "sensor.faulted")


async def test_a_disk_that_is_full_at_the_start_costs_tls_until_there_is_room(
    small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(small_disk, tls=False):
        pass  # a spool with its id is there, a certificate is not
    ballast = fill(small_disk)
    async with running(small_disk) as sensor:
        assert "no certificate: [Errno 28] No space left on device" in caplog.text
        hello = b"\x16\x03\x01\x00\x05\x01\0\0\x01\0"
        assert await sensor.say(hello) == hello  # what is no TLS is the room's
        ballast.unlink()
        assert await says_by_tls(sensor, b"bye") == b"bye"
        await sensor.until("session.closed", count=2)
    assert not events(small_disk, "sensor.faulted")


async def says_by_tls(sensor: Running, data: bytes) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", sensor.port, ssl=context)
    writer.write(data)
    answer = await reader.read()
    writer.close()
    return answer
