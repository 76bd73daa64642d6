"""The journal: marks, blocks, its limit, and a full disk."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from eudaemon.farm.store.queue import SPOOLS_MAX, Accepted, Batch, Block, DiskFullError, Queue, QueueFullError

SPOOL = "0" * 32


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    return Queue(tmp_path / "queue.sqlite", 10_000)


def batch(first: int, *lines: bytes, spool: str = SPOOL, sensor: str = "lab") -> Batch:
    return Batch(sensor, spool, first, lines)


def test_what_was_taken_is_not_taken_again(queue: Queue) -> None:
    assert queue.append([batch(0, b"a", b"b")]) == [Accepted(2, 2, 0)]
    assert queue.append([batch(0, b"a", b"b")]) == [Accepted(2, 0, 2)]
    assert queue.append([batch(1, b"b", b"c")]) == [Accepted(3, 1, 1)]
    assert queue.append([batch(0, b"a")]) == [Accepted(3, 0, 1)]
    assert queue.seal(100) == Block(0, [b"a", b"b", b"c"], again=False)


def test_a_gap_is_what_the_spool_had_dropped(queue: Queue) -> None:
    assert queue.append([batch(0, b"a"), batch(7, b"h")]) == [Accepted(1, 1, 0), Accepted(8, 1, 0)]
    assert queue.mark("lab", SPOOL) == 8


def test_spools_and_sensors_do_not_mix(queue: Queue) -> None:
    queue.append([batch(0, b"a"), batch(0, b"b", spool="1" * 32), batch(0, b"c", sensor="other")])
    block = queue.seal(100)
    assert block is not None
    assert block.lines == [b"a", b"b", b"c"]


def test_a_heartbeat_moves_nothing(queue: Queue) -> None:
    assert queue.append([batch(5)]) == [Accepted(5, 0, 0)]
    assert queue.seal(100) is None


def test_a_block_keeps_its_content_until_it_is_forgotten(queue: Queue, tmp_path: Path) -> None:
    queue.append([batch(0, b"a", b"b"), batch(2, b"c"), batch(3, b"d")])
    first = queue.seal(3)
    assert first == Block(0, [b"a", b"b", b"c"], again=False)
    queue.append([batch(4, b"e")])
    assert queue.seal(3) == Block(0, [b"a", b"b", b"c"], again=True)
    queue.close()

    again = Queue(tmp_path / "queue.sqlite", 10_000)
    assert again.waiting == (5, 6)
    assert again.seal(1) == Block(0, [b"a", b"b", b"c"], again=True)
    again.forget(first)
    assert again.seal(10) == Block(1, [b"d", b"e"], again=False)
    again.forget(Block(1, [], again=False))
    assert again.waiting == (0, 0)
    assert again.seal(10) is None


def test_a_batch_larger_than_a_block_is_a_block_of_its_own(queue: Queue) -> None:
    queue.append([batch(0, b"a", b"b", b"c"), batch(3, b"d")])
    block = queue.seal(2)
    assert block is not None
    assert block.lines == [b"a", b"b", b"c"]


def test_the_queue_is_bounded_and_one_byte_past_is_refused_whole(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "queue.sqlite", 20)
    queue.append([batch(0, b"x" * 9), batch(1, b"y" * 9)])
    assert queue.waiting == (2, 18)
    with pytest.raises(QueueFullError):
        queue.append([batch(2, b"z" * 2)])
    assert queue.append([batch(2, b"z")]) == [Accepted(3, 1, 0)]
    block = queue.seal(100)
    assert block is not None
    queue.forget(block)
    assert queue.append([batch(3, b"x" * 19)]) == [Accepted(4, 1, 0)]


def test_old_spools_of_a_sensor_are_forgotten_and_the_latest_is_not(queue: Queue) -> None:
    for number in range(SPOOLS_MAX + 1):
        queue.append([batch(0, b"a", spool=f"{number:032x}")])
    assert queue.mark("lab", f"{0:032x}") == 0
    assert queue.mark("lab", f"{1:032x}") == 1
    assert queue.mark("lab", f"{SPOOLS_MAX:032x}") == 1


def test_a_full_disk_takes_nothing_and_harms_nothing(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "queue.sqlite", 10_000_000)
    queue.append([batch(0, b"kept")])
    pages = queue._db.execute("PRAGMA page_count").fetchone()[0]
    queue._db.execute(f"PRAGMA max_page_count = {pages + 2}")  # SQLite's own way to say that there is no more room
    with pytest.raises(DiskFullError):
        queue.append([batch(1, b"x" * 100_000)])
    assert queue.mark("lab", SPOOL) == 1
    assert queue.waiting == (1, 4)
    queue.close()
    assert sqlite3.connect(tmp_path / "queue.sqlite").execute("PRAGMA integrity_check").fetchone() == ("ok",)
