"""The demonstration as one plays it: its victim possessed, its attack caught, and a visitor served afterwards."""

from __future__ import annotations

import platform
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from eudaemon.demo.victim import BUILT, WORD, attack
from payload.servers import free_port
from possession.alarms import watched, why_not

pytestmark = [
    pytest.mark.skipif(bool(why_not()), reason=why_not()),
    pytest.mark.skipif(
        platform.machine() != "x86_64" or not BUILT.exists(), reason="needs the victim: make victim (with a C compiler)"
    ),
]
COMMAND = [sys.executable, "-m", "eudaemon"]
URL = "http://127.0.0.1:9/file"
PATIENCE_S = 30.0


@pytest.fixture
def victim() -> Iterator[tuple[int, int]]:
    """Return pid and port."""
    port = free_port()
    with subprocess.Popen([*COMMAND, "demo", "victim", "--port", str(port)], stdout=subprocess.DEVNULL) as process:
        try:
            end_s = time.monotonic() + PATIENCE_S
            while not accepts(port):
                assert process.poll() is None
                assert time.monotonic() < end_s
                time.sleep(0.02)
            yield process.pid, port
        finally:
            process.kill()


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), PATIENCE_S).close()
    except ConnectionRefusedError:
        return False
    return True


def visit(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as peer:
        peer.sendall(b"POST /sign HTTP/1.0\r\nContent-Length: 3\r\n\r\nAda")
        return peer.recv(4096)


def test_the_attack_is_caught_and_visitors_are_served(victim: tuple[int, int]) -> None:
    pid, port = victim
    with watched(pid, "inet") as watch:
        assert b"Thank you, Ada." in visit(port)
        assert watch.kinds() == []
        outcome = attack("127.0.0.1", port, URL)
        assert not outcome.has_run
        assert watch.first(PATIENCE_S) == "return"
        (report,) = watch.reports
        assert report.injected is not None
        assert [area for area in report.maps if "w" in area.rights and "x" in area.rights and not area.path] == []
        scanned = [frame for frame in report.frames if frame.how == "scan"]
        assert all(frame.address % 0x1000 for frame in scanned)  # nothing calls from before a module's code
        assert WORD in report.injected.begin.data or report.injected.listing
        assert any(outcome.code[:16] in culprit.data for culprit in report.culprits)
        assert b"Thank you, Ada." in visit(port)
        assert watch.kinds() == ["return"]
    assert b"Thank you, Ada." in visit(port)
    assert attack("127.0.0.1", port, URL).has_run  # natively again: nothing protects it any more


def test_as_commands(victim: tuple[int, int], tmp_path: Path) -> None:
    pid, port = victim
    line = [*COMMAND, "possess", str(pid), "--taint", "inet", "--data", str(tmp_path)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as possessing:
        assert possessing.stdout
        assert "possessed" in possessing.stdout.readline()
        attacked = subprocess.run(
            [*COMMAND, "demo", "attack", "--port", str(port), "--url", URL],
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert attacked.returncode == 1, attacked.stdout
        assert "did not run" in attacked.stdout
        assert b"Thank you, Ada." in visit(port)
        possessing.terminate()
        said, _ = possessing.communicate(timeout=60)
    assert possessing.returncode == 4, said
    shown = subprocess.run(
        [*COMMAND, "alert", "show", "last", "--data", str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert "return to an address that came from outside" in shown.stdout, shown.stdout + shown.stderr
    assert "127.0.0.1" in shown.stdout
