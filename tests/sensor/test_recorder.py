"""The recorder by itself: what it holds it takes from the purse and gives back, however the conversation ends."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from eudaemon.sensor.artefacts import BUFFER_BYTES_MAX, ArtefactStore
from eudaemon.sensor.recorder import BLOB_BYTES_MAX, Recorder
from eudaemon.sensor.segments import BLOB
from eudaemon.sensor.settings import Capture, SpoolSettings
from eudaemon.sensor.spool import Spool
from eudaemon.wire import Purse
from eudaemon.wire.conversation import ATTACKER, decode


@pytest.fixture
def store(tmp_path: Path) -> ArtefactStore:
    found = ArtefactStore(tmp_path / "a", Capture(), lambda fact: None)
    found.open()
    return found


def said(recording: bytes) -> bytes:
    return b"".join(utterance.data for utterance in decode(recording))


@pytest.mark.parametrize(
    ("size", "piece"),
    [(1, 1), (BLOB_BYTES_MAX - 7, 10_000), (BLOB_BYTES_MAX - 6, 10_000), (7000, 50), (70_000, 50), (10**6, 10**6)],
)
@pytest.mark.parametrize("memory", [10_000_000, BUFFER_BYTES_MAX + 100])
def test_byte_for_byte_and_nothing_stays_taken(
    size: int, piece: int, memory: int, store: ArtefactStore, tmp_path: Path
) -> None:
    purse = Purse(memory)
    spool = Spool(tmp_path / "s", SpoolSettings(), os.urandom)
    recorder = Recorder(store, purse, 10_000_000)
    data = os.urandom(size)
    for at in range(0, size, piece):
        recorder.note(ATTACKER, at, data[at : at + piece])
    sha256 = recorder.finish(spool)
    assert purse.bytes_taken == 0
    store.settled(store.settle(store.take_pending()))
    records = spool.take_pending()
    recording = records[0][1] if records else store.path(sha256).read_bytes()
    assert said(recording) == data
    assert [kind for kind, _ in records] in ([], [BLOB])


def test_without_memory_nothing_is_recorded_and_nothing_breaks(store: ArtefactStore, tmp_path: Path) -> None:
    purse = Purse(100)
    recorder = Recorder(store, purse, 10_000_000)
    for _ in range(10):
        recorder.note(ATTACKER, 0, b"x" * 60)
    assert recorder.finish(Spool(tmp_path / "s", SpoolSettings(), os.urandom)) == ""
    assert purse.bytes_taken == 0
    assert list(store.folder.iterdir()) == []


def test_a_folder_that_is_gone_costs_the_recording_alone(store: ArtefactStore, tmp_path: Path) -> None:
    store.folder.rmdir()
    purse = Purse(1_000_000)
    recorder = Recorder(store, purse, 10_000_000)
    recorder.note(ATTACKER, 0, b"x" * 60_000)
    assert recorder.finish(Spool(tmp_path / "s", SpoolSettings(), os.urandom)) == ""
    assert purse.bytes_taken == 0
    assert store.stopped == ""
