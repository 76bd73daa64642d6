"""The victim as one starts it: it serves, is taken over natively by the demo's attack, and goes on serving."""

from __future__ import annotations

import os
import platform
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from eudaemon.demo import victim
from eudaemon.demo.sample import harmless
from eudaemon.demo.victim import BUILT, NAME_BYTES, VictimError, attack, look, payload, shellcode
from payload.servers import free_port

COMMAND = [sys.executable, "-m", "eudaemon", "demo"]
URL = "http://127.0.0.1:9/file"
BODY_BYTES_MAX, HEAD_BYTES_MAX, CHILDREN_MAX = 4096, 2048, 16  # as in victim.c

needs_victim = pytest.mark.skipif(
    platform.machine() != "x86_64" or not BUILT.exists(), reason="needs the victim: make victim (with a C compiler)"
)


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *words], capture_output=True, text=True, timeout=60)


@dataclass(frozen=True)
class Served:
    """The victim, running."""

    port: int
    pid: int

    def ask(self, request: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), 20) as peer:
            peer.sendall(request)
            answer = b""
            while piece := peer.recv(4096):
                answer += piece
            return answer

    def sign(self, name: bytes) -> bytes:
        return self.ask(b"POST /sign HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % len(name) + name)


@pytest.fixture
def served() -> Iterator[Served]:
    port = free_port()
    with subprocess.Popen([*COMMAND, "victim", "--port", str(port)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            heard = [process.stdout.readline() for _ in range(4)]
            assert f"process {process.pid}" in heard[0]
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 20).close()
                    break
                except ConnectionRefusedError:
                    assert process.poll() is None, heard
            yield Served(port, process.pid)
        finally:
            process.kill()


@needs_victim
def test_it_thanks_for_a_name(served: Served) -> None:
    assert b"Thank you, Ada.\n" in served.sign(b"Ada")
    assert b"Thank you, ." in served.ask(b"GET / HTTP/1.0\r\n\r\n")
    assert b"Thank you, ...x." in served.sign(b"<&\0x")
    assert served.ask(b"GET /other HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.0 404")


@needs_victim
def test_it_is_taken_over_and_goes_on(served: Served) -> None:
    done = run("attack", "--port", str(served.port))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the code has run" in done.stdout
    assert "has downloaded its file" in done.stdout
    assert b"Thank you, Ada.\n" in served.sign(b"Ada")
    assert attack("127.0.0.1", served.port, URL).has_run  # nobody is there to download from; it ran all the same


@needs_victim
def test_a_name_that_is_only_too_long_ends_its_own_process(served: Served) -> None:
    name, back = look("127.0.0.1", served.port)
    assert served.sign(b"A" * NAME_BYTES).count(b"A" * NAME_BYTES) == 1
    assert served.sign(b"A" * (back - name + 8)) == b""
    assert b"Thank you, Ada.\n" in served.sign(b"Ada")


@needs_victim
def test_limits(served: Served) -> None:
    """Each is reached, and one goes past it."""
    assert served.ask(b"POST /sign HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % (BODY_BYTES_MAX + 1)).startswith(
        b"HTTP/1.0 413"
    )
    assert served.sign(b"A" * BODY_BYTES_MAX) == b""  # accepted: it is the mistake
    head = b"GET / HTTP/1.0\r\nX: "
    assert b"200 OK" in served.ask(head + b"x" * (HEAD_BYTES_MAX - len(head) - 4) + b"\r\n\r\n")
    assert served.ask(head + b"x" * (HEAD_BYTES_MAX - len(head))).startswith(b"HTTP/1.0 431")


@needs_victim
def test_no_more_children_than_there_may_be(served: Served) -> None:
    """Peers who say nothing take all places; the next one is served when one of them leaves."""
    silent = [socket.create_connection(("127.0.0.1", served.port), 20) for _ in range(CHILDREN_MAX)]
    with socket.create_connection(("127.0.0.1", served.port), 20) as waiting:
        waiting.sendall(b"GET / HTTP/1.0\r\n\r\n")
        waiting.settimeout(0.3)
        with pytest.raises(TimeoutError):
            waiting.recv(1)
        silent.pop().close()
        waiting.settimeout(20)
        assert waiting.recv(4096).startswith(b"HTTP/1.0 200")
    for one in silent:
        one.close()


@needs_victim
def test_it_listens_on_the_loopback_alone_and_not_as_root(served: Served) -> None:
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table][1:]
    listening = [row[1] for row in rows if row[3] == "0A" and row[1].endswith(f":{served.port:04X}")]
    assert listening == [f"0100007F:{served.port:04X}"]
    if os.geteuid() == 0:
        with open(f"/proc/{served.pid}/status") as status:
            ids = next(line for line in status if line.startswith("Uid:")).split()[1:]
        assert ids == [str(victim.NOBODY)] * 4


@pytest.mark.parametrize("what", ["victim", "attack"])
@pytest.mark.parametrize("host", ["192.0.2.1", "0.0.0.0", "somewhere"])
def test_no_other_host(what: str, host: str) -> None:
    done = run(what, "--host", host)
    assert done.returncode == 2
    assert "no loopback address" in done.stdout or "not an address of this machine" in done.stdout


def test_no_other_address_in_python_either() -> None:
    with pytest.raises(ValueError, match="no loopback address"):
        attack("192.0.2.1", 80, URL)


@pytest.mark.parametrize(
    "url", ["http://192.0.2.1/x", "https://127.0.0.1/x", "http://127.0.0.1/x;id", "http://127.0.0.1"]
)
def test_no_other_download(url: str) -> None:
    with pytest.raises(ValueError, match="no plain URL of this machine"):
        shellcode(url)


def test_nobody_there() -> None:
    done = run("attack", "--port", str(free_port()))
    assert done.returncode == 3
    assert "is the victim running?" in done.stdout


def test_another_server_is_no_victim() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with subprocess.Popen([*COMMAND, "attack", "--port", str(port)], stdout=subprocess.PIPE, text=True) as process:
            peer, _ = other.accept()
            with peer:
                peer.sendall(b"HTTP/1.0 200 OK\r\n\r\nhello")
            said, _ = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "something else than the victim" in said


def test_what_a_stopped_attack_would_have_downloaded_is_there_for_the_sensor() -> None:
    """A victim that ends in time, as a possessed one does: its sensor fetches the file after the alert, not before."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with subprocess.Popen([*COMMAND, "attack", "--port", str(port)], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            with other.accept()[0] as peer:
                peer.sendall(b"HTTP/1.0 200 OK\r\n\r\n<!-- debug name=0x1000 back=0x1260 -->")
            with other.accept()[0] as peer, peer.makefile("rb") as request:
                found = re.search(rb"(http://127\.0\.0\.1:[0-9]+/)demo\.elf", request.read(512))
            assert found
            before = [process.stdout.readline() for _ in range(3)]
            with pytest.raises(urllib.error.HTTPError):
                urllib.request.urlopen(found[1].decode() + "other", timeout=20)
            with urllib.request.urlopen(found[0].decode(), timeout=20) as answer:
                assert answer.read() == harmless()
            after, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the code did not run" in before[1]
    assert after == "  it was fetched\n"


def test_the_code_must_have_room() -> None:
    code = bytes(NAME_BYTES)
    with pytest.raises(ValueError, match="there is room for"):
        payload(code, 0x1000, 0x1000 + NAME_BYTES)
    assert len(payload(code, 0x1000, 0x1000 + NAME_BYTES + victim.PUSHED_BYTES)) == NAME_BYTES + 72
    with pytest.raises(VictimError):
        payload(code, 0x1000, 0x1000)
