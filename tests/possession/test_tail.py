"""A log is followed through all that happens to logs, and what is no line of Suricata's does no harm."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from eudaemon.possession.eve import Eve
from eudaemon.possession.tail import LINE_BYTES_MAX, READ_BYTES_MAX, Tail


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "eve.json"
    path.write_text("old\n")
    return path


@pytest.fixture
def tail(log: Path) -> Iterator[Tail]:
    made = Tail(log)
    yield made
    made.close()


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def test_what_is_appended_is_told_once_and_whole(log: Path, tail: Tail) -> None:
    assert list(tail.lines()) == []  # what was there before is not new
    append(log, b"one\ntw")
    assert list(tail.lines()) == [b"one"]
    append(log, b"o")
    assert list(tail.lines()) == []
    append(log, b"\n\nthree\n")
    assert list(tail.lines()) == [b"two", b"", b"three"]


def test_it_begins_in_the_middle_of_a_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"the end of this line is not yet wri")
    tail = Tail(path)
    append(path, b"tten\nwhole\n")
    assert list(tail.lines()) == [b"whole"]
    tail.close()


def test_rotation(log: Path, tail: Tail) -> None:
    """The writer goes on in the old file until it is told; then both are read to the end, in order."""
    with log.open("ab") as writer:
        log.rename(log.with_suffix(".1"))
        assert list(tail.lines()) == []
        writer.write(b"late\n")
        writer.flush()
        assert list(tail.lines()) == [b"late"]
        writer.write(b"later\ncut o")
    log.write_text("new\n")
    assert list(tail.lines()) == [b"later", b"new"]
    append(log, b"newer\n")
    assert list(tail.lines()) == [b"newer"]


def test_truncation(log: Path, tail: Tail) -> None:
    append(log, b"one\ncut")
    assert list(tail.lines()) == [b"one"]
    os.truncate(log, 0)
    append(log, b"two\n")
    assert list(tail.lines()) == [b"two"]


def test_it_comes_later_goes_and_comes_again(tmp_path: Path) -> None:
    path = tmp_path / "log"
    tail = Tail(path)
    assert not tail.is_open
    assert list(tail.lines()) == []
    path.write_text("one\n")
    assert list(tail.lines()) == [b"one"]
    path.unlink()
    assert list(tail.lines()) == []
    path.write_text("two\n")
    assert list(tail.lines()) == [b"two"]
    tail.close()


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log")
    tail = Tail(tmp_path / "log")
    assert not tail.is_open
    assert list(tail.lines()) == []


def test_a_line_that_is_too_long_is_left_out(log: Path, tail: Tail) -> None:
    longest = b"a" * LINE_BYTES_MAX
    append(log, longest + b"\nshort\n" + longest + b"b\nafter\n")
    looks = [list(tail.lines()) for _ in range(4)]
    assert [line for look in looks for line in look] == [longest, b"short", b"after"]
    assert tail.long_lines == 1


def test_one_look_reads_no_more_than_it_may(log: Path, tail: Tail) -> None:
    lines = READ_BYTES_MAX // 1024 + 1
    append(log, (b"x" * 1023 + b"\n") * lines)
    assert len(list(tail.lines())) == lines - 1
    assert len(list(tail.lines())) == 1


def alert(**more: object) -> dict[str, object]:
    return {
        "timestamp": "2026-11-26T10:30:00.000001+0000", "flow_id": 1, "event_type": "alert", "src_ip": "192.0.2.7",
        "src_port": 40000, "dest_ip": "198.51.100.1", "dest_port": 80, "proto": "TCP",
        "alert": {"action": "allowed", "gid": 1, "signature_id": 2018358, "rev": 10, "signature": "ET EXPLOIT a thing",
                  "category": "", "severity": 2},
        **more,
    }  # fmt: skip


def test_alerts_are_read_and_all_else_is_not(log: Path) -> None:
    eve = Eve(log)
    about_it = {"event_type": "stats", "stats": {"detect": {"alert": 3}}}
    for event in (alert(), about_it, alert(proto="ICMP"), alert(dest_ip="::ffff:198.51.100.1", proto="UDP")):
        append(log, json.dumps(event).encode() + b"\n")
    first, second = eve.alerts()
    assert (str(first.ends[0][0]), first.ends[0][1], first.severity) == ("192.0.2.7", 40000, 2)
    assert (first.transport, second.transport, second.ends) == ("tcp", "udp", first.ends)
    assert eve.left_out == 0
    assert first.fits("", 2)
    assert first.fits("ET EXPLOIT*", 255)
    assert first.fits("2018358", 255)
    assert not first.fits("", 1)
    assert not first.fits("ET SCAN*", 255)
    assert not first.fits("2018359", 255)


@pytest.mark.parametrize("line", [
    b'{"alert"', b'["alert"]', b'"alert"', b"\xff\"alert\"", b"[" * 100_000 + b'"alert"',
    json.dumps(alert(alert="x")).encode(), json.dumps(alert(src_ip="x")).encode(),
    json.dumps(alert(src_port="80")).encode(), json.dumps(alert(alert={"signature": "s", "severity": "x"})).encode(),
])  # fmt: skip
def test_what_is_no_alert_is_counted(log: Path, line: bytes) -> None:
    eve = Eve(log)
    append(log, line + b"\n" + json.dumps(alert()).encode() + b"\n")
    assert len(list(eve.alerts())) == 1
    assert eve.left_out == 1
