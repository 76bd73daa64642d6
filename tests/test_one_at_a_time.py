"""A part's data belongs to one process: a second one is refused, and harms nothing."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from eudaemon import app
from eudaemon.supervisor import PartError
from payload.servers import free_port

UP = "sensor: up after"


def command(place: Path) -> list[str]:
    settings = place / "sensor.toml"
    settings.write_text(f"[sensor]\naddresses = ['127.0.0.1']\nlisten = ['telnet tcp {free_port()}']\n")
    return [sys.executable, "-m", "eudaemon", "sensor", "--config", str(settings), "--data", str(place / "data")]


@contextlib.contextmanager
def sensor(place: Path) -> Iterator[subprocess.Popen[str]]:
    place.chmod(0o755)
    for above in place.parents:
        if above.stat().st_uid == os.geteuid() and above != Path("/"):
            above.chmod(above.stat().st_mode | 0o011)
    process = subprocess.Popen(command(place), stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        said = ""
        while UP not in said:
            line = process.stderr.readline()
            assert line, said
            said += line
        yield process
    finally:
        process.kill()
        process.communicate(timeout=20)


def segments(spool: Path) -> set[tuple[str, int]]:
    return {(path.name, path.stat().st_ino) for path in spool.glob("*.segment")}


def test_a_second_sensor_is_refused_and_the_next_one_after_a_kill_is_not(tmp_path: Path) -> None:
    with sensor(tmp_path) as first:
        spool = tmp_path / "data" / "sensor" / "spool"
        while not (before := segments(spool)):  # its first event is made durable just after it is up
            assert first.poll() is None
            time.sleep(0.05)
        second = subprocess.run(command(tmp_path), capture_output=True, text=True, timeout=60)
        assert second.returncode == 3
        assert f"in use by another sensor, process {first.pid}" in second.stderr
        assert "--data" in second.stderr
        assert "Traceback" not in second.stderr
        assert first.poll() is None
        assert segments(spool) == before
    with sensor(tmp_path) as next_one:
        assert (tmp_path / "data" / "sensor" / "lock").read_text() == f"{next_one.pid}\n"


@pytest.mark.parametrize("name", ["sensor", "farm"])
def test_a_home_is_held_once_and_free_again_when_it_is_given_back(name: str, tmp_path: Path) -> None:
    home = app.folder(tmp_path / name)
    with app.hold(home), pytest.raises(PartError, match=f"in use by another {name}, process {os.getpid()}"):
        app.hold(home)
    app.hold(home).close()


def test_who_may_wait_gets_a_home_when_it_is_given_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = app.folder(tmp_path / "farm")
    first = app.hold(home)
    monkeypatch.setattr(app.time, "sleep", lambda _: first.close())
    app.hold(home, wait_s=60).close()
    assert f"process {os.getpid()} still has {home}; waiting for it to end, at most 60 s" in caplog.text


def test_who_waits_for_nothing_is_refused_in_the_end(tmp_path: Path) -> None:
    home = app.folder(tmp_path / "farm")
    with app.hold(home), pytest.raises(PartError, match="in use by another farm"):
        app.hold(home, wait_s=0.2)


def test_a_home_that_cannot_be_held_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    with pytest.raises(PartError, match="--data names another place"):
        app.hold(tmp_path)
