"""The spool: nothing that was fsynced is lost, no number is given twice, whatever happens to the files."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from eudaemon.sensor import segments
from eudaemon.sensor.settings import SpoolSettings
from eudaemon.sensor.spool import REJECTED_BYTES_MAX, Spool

SMALL = SpoolSettings(segment_bytes_max=4096, bytes_max=65_536)


@pytest.fixture
def _quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that read back thousands of times: no power fails here, the test cuts the file itself."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def opened(folder: Path, settings: SpoolSettings = SMALL) -> Spool:
    spool = Spool(folder, settings, os.urandom)
    spool.open()
    return spool


def put(spool: Spool, *lines: bytes) -> None:
    for line in lines:
        spool.append(line)
    commit(spool)


def commit(spool: Spool) -> None:
    spool.written(spool.write(spool.take_pending()))


def waiting(spool: Spool) -> list[tuple[int, bytes]]:
    """Read and acknowledge everything."""
    found: list[tuple[int, bytes]] = []
    while (batch := spool.read(7, 100_000)) is not None:
        found += enumerate(batch.lines, batch.first)
        spool.acknowledge(batch.next, batch)
    return found


def line(number: int) -> bytes:
    return b'{"event":%d,"%s":1}' % (number, b"x" * (number % 50))


def test_what_is_put_in_comes_out_in_order_once(tmp_path: Path) -> None:
    spool = opened(tmp_path / "s")
    for start in range(0, 300, 30):
        put(spool, *(line(n) for n in range(start, start + 30)))
    assert spool.waiting_events == 300
    assert waiting(spool) == [(n, line(n)) for n in range(300)]
    assert spool.waiting_events == 0
    assert waiting(spool) == []
    assert len(list((tmp_path / "s").glob("*.segment"))) == 1  # what is acknowledged is deleted


def test_nothing_is_read_before_it_is_durable(tmp_path: Path) -> None:
    spool = opened(tmp_path / "s")
    spool.append(b"{}")
    assert spool.read(10, 1000) is None
    records = spool.take_pending()
    written = spool.write(records)
    assert spool.read(10, 1000) is None
    spool.written(written)
    assert spool.read(10, 1000) is not None


def test_a_batch_has_its_limits(tmp_path: Path) -> None:
    spool = opened(tmp_path / "s")
    put(spool, *(b"x" * 100 for _ in range(10)))
    assert len(spool.read(3, 10_000).lines) == 3  # type: ignore[union-attr]
    assert len(spool.read(10, 250).lines) == 2  # type: ignore[union-attr]
    assert len(spool.read(10, 1).lines) == 1  # type: ignore[union-attr]  # one always, or nothing would ever move


def test_bytes_travel_with_the_event_that_names_them(tmp_path: Path) -> None:
    spool = opened(tmp_path / "s")
    for number in range(3):
        spool.append_blob(b"conversation %d" % number)
        spool.append(line(number))
    commit(spool)
    batch = spool.read(2, 10_000)
    assert batch is not None
    assert batch.blobs == {hashlib.sha256(b"conversation %d" % n).hexdigest(): b"conversation %d" % n for n in (0, 1)}
    spool.acknowledge(1)  # the farm had the first already: the second's bytes are still found
    batch = spool.read(10, 10_000)
    assert batch is not None
    assert batch.first == 1
    assert list(batch.blobs.values()) == [b"conversation 1", b"conversation 2"]


def test_a_restart_goes_on_where_it_was(tmp_path: Path) -> None:
    spool = opened(tmp_path / "s")
    put(spool, *(line(n) for n in range(10)))
    batch = spool.read(4, 10_000)
    assert batch is not None
    spool.acknowledge(batch.next, batch)
    spool.close()
    again = opened(tmp_path / "s")
    assert again.id == spool.id
    put(again, line(10))
    assert waiting(again) == [(n, line(n)) for n in range(4, 11)]


def test_numbers_go_on_when_all_is_acknowledged_and_gone(tmp_path: Path) -> None:
    for number in range(5):
        spool = opened(tmp_path / "s")
        put(spool, line(number))
        assert waiting(spool) == [(number, line(number))]
        spool.close()
        for path in (tmp_path / "s").glob("*.segment"):
            path.unlink()


@pytest.mark.usefixtures("_quick_disk")
def test_a_cut_anywhere_loses_only_what_is_behind_it(tmp_path: Path) -> None:
    """Power fails: the last segment ends at any byte. All events before it are read; new numbers collide with none."""
    spool = opened(tmp_path / "s")
    put(spool, *(line(n) for n in range(10)))
    put(spool, *(line(n) for n in range(10, 20)))
    spool.close()
    last = max((tmp_path / "s").glob("*.segment"))
    whole = last.read_bytes()
    first = int(last.stem, 16)
    ends = [record.end for record in segments.read(last)]
    assert len(list((tmp_path / "s").glob("*.segment"))) == 1
    for cut in range(len(whole)):
        folder = tmp_path / "cut"
        shutil.copytree(tmp_path / "s", folder)
        (folder / last.name).write_bytes(whole[:cut])
        found = opened(folder)
        put(found, b"new")
        found.close()
        events = waiting(found)
        kept = first + sum(end <= cut for end in ends)
        assert events[:-1] == [(n, line(n)) for n in range(kept)]
        number, text = events[-1]
        assert text == b"new"
        if cut in ends:
            assert number == kept
        shutil.rmtree(folder)


@pytest.mark.usefixtures("_quick_disk")
def test_damage_anywhere_is_noticed_and_nothing_false_is_read(tmp_path: Path) -> None:
    """Any byte of a segment is wrong: what is read is a beginning of what was written; numbers are not reused."""
    spool = opened(tmp_path / "s")
    put(spool, *(line(n) for n in range(20)))
    spool.close()
    (last,) = (tmp_path / "s").glob("*.segment")
    whole = bytearray(last.read_bytes())
    for at in range(len(whole)):
        folder = tmp_path / "bad"
        shutil.copytree(tmp_path / "s", folder)
        bad = whole.copy()
        bad[at] ^= 0x41
        (folder / last.name).write_bytes(bad)
        found = opened(folder)
        put(found, b"new")
        found.close()
        *old, new = waiting(found)
        assert old == [(n, line(n)) for n in range(len(old))]
        assert len(old) < 20
        assert new[1] == b"new"
        if at >= segments.HEADER_BYTES:
            assert new[0] >= 20  # the farm may have seen numbers up to 19
        shutil.rmtree(folder)


@pytest.mark.parametrize("content", [None, b"", b"12", b"7 00000000", b"\xff" * 10, b"x 12345678"])
def test_a_lost_cursor_costs_nothing_but_a_second_delivery(tmp_path: Path, content: bytes | None) -> None:
    spool = opened(tmp_path / "s")
    put(spool, *(line(n) for n in range(10)))
    spool.acknowledge(5)
    spool.close()
    cursor = tmp_path / "s" / "cursor"
    cursor.unlink() if content is None else cursor.write_bytes(content)
    (tmp_path / "s" / "cursor.new").write_bytes(b"never renamed")
    assert waiting(opened(tmp_path / "s")) == [(n, line(n)) for n in range(10)]


def test_what_is_no_segment_is_set_aside(tmp_path: Path) -> None:
    spool = opened(tmp_path / "s")
    put(spool, line(0))
    spool.close()
    other = opened(tmp_path / "other")
    put(other, b"of another spool")
    other.close()
    shutil.copy(tmp_path / "other" / segments.name(0), tmp_path / "s" / segments.name(7))
    (tmp_path / "s" / segments.name(9)).write_bytes(b"")
    assert waiting(opened(tmp_path / "s")) == [(0, line(0))]
    assert len(list((tmp_path / "s").glob("*.damaged"))) == 2


@pytest.mark.usefixtures("_quick_disk")
def test_over_the_quota_the_oldest_goes_first(tmp_path: Path) -> None:
    spool = opened(tmp_path / "s", SpoolSettings(segment_bytes_max=4096, bytes_max=65_536))
    for number in range(2000):
        put(spool, b"%06d" % number + b"x" * 94)
        assert spool.bytes_on_disk <= 65_536 + 200
    dropped = spool.take_dropped()
    events = waiting(spool)
    assert dropped.events == spool.dropped_events == 2000 - len(events) > 1000
    assert [int(text[:6]) for _, text in events] == [n for n, _ in events] == list(range(dropped.events, 2000))
    assert spool.take_dropped().events == 0


@pytest.mark.usefixtures("_quick_disk")
def test_dropping_what_the_farm_has_is_no_loss(tmp_path: Path) -> None:
    spool = opened(tmp_path / "s")
    for number in range(100):
        put(spool, b"%d" % number)
    spool.acknowledge(100)
    for _ in range(1000):
        put(spool, b"x" * 100)
    assert spool.take_dropped().events == 1000 - spool.waiting_events


def test_a_batch_in_hand_while_its_segment_is_dropped(tmp_path: Path) -> None:
    spool = opened(tmp_path / "s")
    put(spool, *(line(n) for n in range(10)))
    batch = spool.read(5, 10_000)
    assert batch is not None
    while (tmp_path / "s" / segments.name(0)).exists():
        put(spool, b"x" * 1000)
    spool.acknowledge(batch.next, batch)
    numbers = [number for number, _ in waiting(spool)]
    assert numbers[0] > 9
    assert numbers == list(range(numbers[0], numbers[-1] + 1))


def test_while_the_disk_takes_nothing_memory_holds_the_newest(tmp_path: Path) -> None:
    spool = opened(tmp_path / "s", SpoolSettings(memory_bytes_max=4096))
    for number in range(100):
        spool.append(b"%03d" % number + b"x" * 97)
    assert spool.pending_bytes <= 4096
    records = spool.take_pending()
    spool.append(b"100")
    spool.put_back(records)  # as when the write failed
    assert spool.pending_bytes <= 4096
    commit(spool)
    texts = [text[:3] for _, text in waiting(spool)]
    assert texts == [b"%03d" % n for n in range(101 - len(texts), 101)]
    assert spool.take_dropped().events == 101 - len(texts)


def test_an_event_that_is_too_long_is_our_own_fault(tmp_path: Path) -> None:
    spool = opened(tmp_path / "s")
    spool.append(b"x" * segments.RECORD_BYTES_MAX)
    with pytest.raises(ValueError, match="a record of 262145 bytes"):
        spool.append(b"x" * (segments.RECORD_BYTES_MAX + 1))


def test_what_is_set_aside_is_bounded(tmp_path: Path) -> None:
    spool = opened(tmp_path / "s")
    for _ in range(3):
        spool.set_aside(b"x" * (REJECTED_BYTES_MAX // 2 - 10))
    assert (tmp_path / "s" / "rejected").stat().st_size <= REJECTED_BYTES_MAX


WRITER = """
import os, sys
from pathlib import Path
from eudaemon.sensor.settings import SpoolSettings
from eudaemon.sensor.spool import Spool
spool = Spool(Path(sys.argv[1]), SpoolSettings(segment_bytes_max=4096), os.urandom)
spool.open()
number = int(sys.argv[2])
while True:
    for _ in range(3):
        spool.append(b"%d" % number)
        number += 1
    spool.written(spool.write(spool.take_pending()))
    print(number, flush=True)      # everything below is durable
"""


def test_kill_9_in_the_middle_loses_nothing_that_was_durable(tmp_path: Path) -> None:
    durable = 0
    for round_ in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "s"), str(durable)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for _ in range(5 + 7 * round_):
            durable = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split("\n")[:-1]  # a line without an end was never whole
        durable = int(rest[-1]) if rest else durable
        process.wait()
        spool = opened(tmp_path / "s")
        texts = [int(text) for _, text in waiting(spool)]
        start = texts[0]
        assert texts == list(range(start, start + len(texts)))
        assert texts[-1] >= durable - 1
        durable = texts[-1] + 1
        spool.close()


def test_a_disk_that_is_an_older_copy_gives_no_number_that_the_farm_knows(tmp_path: Path) -> None:
    spool = opened(tmp_path / "s")
    put(spool, line(0), line(1))
    spool.acknowledge(50)  # the farm has seen 50 events of this spool; here only 2 were ever written
    put(spool, line(2))
    assert waiting(spool) == [(50, line(2))]
    put(spool, line(3))
    spool.close()
    assert waiting(opened(tmp_path / "s")) == [(51, line(3))]


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = opened(tmp_path / "s")
    put(spool, line(0))
    spool.append(line(1))
    records = spool.take_pending()
    for failing in ("fsync", "ftruncate"):  # the second time not even what was written can be cut off again
        with monkeypatch.context() as broken:
            broken.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(5, "Input/output error")))
            if failing == "ftruncate":
                broken.setattr(os, "ftruncate", lambda handle, size: (_ for _ in ()).throw(OSError(30, "Read-only")))
            with pytest.raises(OSError, match="Input/output error"):
                spool.write(records)
            spool.written(None)
    spool.written(spool.write(records))
    # Number 1 may lie in the segment that could not be cut: what was written again has another.
    assert waiting(spool) == [(0, line(0)), (2, line(1))]


def test_a_segment_that_somebody_removed_holds_up_nothing(tmp_path: Path) -> None:
    spool = opened(tmp_path / "s")
    for number in range(40):
        put(spool, b"%03d" % number + b"x" * 397)
    first, *_ = sorted((tmp_path / "s").glob("*.segment"))
    lost = len(list(segments.read(first)))
    first.unlink()
    assert [n for n, _ in waiting(spool)] == list(range(lost, 40))
