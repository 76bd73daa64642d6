"""The sensor's speed and memory, beside cowrie's in the same run.

    python bench/sensor.py                    all of it (about three minutes)
    python bench/sensor.py --only logins      telnet logins a second, ours and cowrie's in turn
    python bench/sensor.py --only ssh         SSH logins a second with one command each, ours and cowrie's in turn
    python bench/sensor.py --only idle        start, and memory with 20 ports open and nobody there
    python bench/sensor.py --only held        memory for each of 5,000 sessions that are held open

Ratios matter, not the numbers: machines differ, and differ from hour to hour.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import resource
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import ssh_load
from cowrie_peer import cowrie
from eudaemon.protocols import ROOMS
from eudaemon.sensor.certificate import kept
from eudaemon.world.seed import Seed

HERE = Path(__file__).resolve().parent
PORTS_OPEN = 20
HELD = 5_000
ROUNDS = 3
LOGIN_S = 6.0
# Ours holds each greeting back for a moment (`tls_grace_ms`): with 256 that keeps neither server waiting, with 24 ours.
LOGINS_AT_ONCE = (256, 24)


@contextmanager
def sensor(
    listen: list[str], python: str = sys.executable, *, uplink: str = "", persona: str = "", **limits: int
) -> Iterator[tuple[int, float]]:
    """Run a sensor; yield (process id, seconds until it listened). `uplink` is that section of its settings."""
    with tempfile.TemporaryDirectory(prefix="eudaemon-") as place:
        Path(place).chmod(0o755)  # as root, the sensor becomes somebody else
        config = Path(place, "eudaemon.toml")
        wanted = {"sessions_max": 20_000, "sessions_per_address_max": 20_000,
                  "starts_per_address_minute_max": 1_000_000, **limits}  # fmt: skip
        config.write_text(
            f"[general]\nlog_level = 'warning'\n[sensor]\naddresses = ['127.0.0.1']\nlisten = {json.dumps(listen)}\n"
            f"persona = '{persona}'\n"
            "[sensor.limits]\n" + "".join(f"{name} = {value}\n" for name, value in wanted.items()) + uplink
        )
        port = int(listen[0].split(" ")[2].split(",")[0].split("-")[0])
        began_s = time.monotonic()
        process = subprocess.Popen(
            [python, "-m", "eudaemon", "sensor", "--config", config, "--data", Path(place, "data")],
            env={**os.environ, "PYTHONPATH": str(HERE.parent / "src")},
        )
        try:
            while not _listens(port):
                if process.poll() is not None:
                    raise SystemExit("the sensor did not start; its words are above")
                time.sleep(0.005)
            yield process.pid, time.monotonic() - began_s
        finally:
            process.terminate()
            process.wait(30)


@contextmanager
def busy_farm() -> Iterator[str]:
    """Be a farm that takes connections and says `later` to everything; yield how a sensor is told of it."""
    with tempfile.TemporaryDirectory() as place, socket.create_server(("127.0.0.1", 0)) as listener:
        path = kept(Path(place, "farm.pem"), Seed(b"bench"), "farm")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        der = ssl.PEM_cert_to_DER_cert("-----BEGIN CERTIFICATE" + path.read_text().split("-----BEGIN CERTIFICATE")[1])

        def serve() -> None:
            with suppress(OSError):  # the listener is closed, and with it the farm
                while True:
                    with context.wrap_socket(listener.accept()[0], server_side=True) as peer, suppress(OSError):
                        while peer.recv(65_536):
                            peer.sendall(b"HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n")

        threading.Thread(target=serve, daemon=True).start()
        yield (
            f"[sensor.uplink]\nurl = 'https://127.0.0.1:{listener.getsockname()[1]}'\nsecret = 'x'\n"
            f"fingerprint = '{hashlib.sha256(der).hexdigest()}'\n"
        )


def memory_kib(pid: int) -> int:
    """Return a process's resident memory in KiB."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) if found else 0


def memory(pid: int) -> str:
    """Say a process's resident memory, and how much of it no other process could share."""
    own = re.findall(r"Private_Dirty:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text())
    return f"{memory_kib(pid) / 1024:6.1f} MiB resident ({int(own[0]) / 1024:.1f} its own)"


def idle() -> None:
    """Start time and memory with 20 ports open, for each Python at hand; and what the first use of TLS adds."""
    first = _free_run(PORTS_OPEN)
    ports = f"{first + 2}-{first + PORTS_OPEN - 1}"
    listen = [f"telnet tcp {first}", f"ssh tcp {first + 1}", f"catchall tcp {ports}"]
    for python in dict.fromkeys((sys.executable, "/usr/bin/python3")):
        if not Path(python).exists():
            continue
        bare = subprocess.run(
            [python, "-c", "import asyncio,os;print(open('/proc/self/status').read())"], capture_output=True, text=True
        ).stdout
        alone = int(re.findall(r"VmRSS:\s+(\d+)", bare)[0])
        with sensor(listen, python) as (pid, start_s):
            time.sleep(2)
            print(f"idle, {PORTS_OPEN} ports   {memory(pid)}, up after {start_s:.2f} s"
                  f"   ({python}; `import asyncio` alone: {alone / 1024:.1f} MiB)")  # fmt: skip
            _speak_tls(first + 2)
            print(f"   after a TLS peer {memory(pid)}")
        with sensor(listen, python) as (pid, _), suppress(ConnectionRefusedError):  # without `cryptography`
            time.sleep(2)
            ssh_load.log_in(("127.0.0.1", first + 1), {"user": b"root", "password": b"xc3511"}, ("", 0)).close()
            print(f"   after an SSH peer {memory(pid)}")
        with busy_farm() as uplink, sensor(listen, python, uplink=uplink) as (pid, _):
            time.sleep(2)
            print(f"   with an uplink   {memory(pid)}")
        every_room = [f"{name} tcp {first + number}" for number, name in enumerate(ROOMS)]
        with sensor(every_room, python) as (pid, _):
            time.sleep(2)
            print(f"   with every room  {memory(pid)}, on {len(ROOMS)} ports")


def held() -> None:
    """Memory for each session held open, logged in and silent."""
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (HELD + 1000, max(HELD + 1000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    )
    _held("telnet", _log_in)
    _held("ssh", ssh_load.log_in)


def _held(service: str, log_in: Callable[[tuple[str, int], dict[str, bytes], tuple[str, int]], socket.socket]) -> None:
    address = ("127.0.0.1", _free_ports(1)[0])
    words = {"user": b"root", "password": b"xc3511"}
    with sensor([f"{service} tcp {address[1]}"]) as (pid, _):
        log_in(address, words, ("127.0.9.9", 0)).close()  # what the first one loads is not this one's
        time.sleep(0.5)
        before = memory_kib(pid)
        # Many loopback addresses, as many attackers would have.
        peers = [log_in(address, words, (f"127.0.{1 + number // 250}.{1 + number % 250}", 0)) for number in range(HELD)]
        time.sleep(1)
        each = (memory_kib(pid) - before) * 1024 / HELD
        print(f"held, {HELD} {service:<6} sessions  {each / 1000:6.2f} KB each, logged in "
              f"({memory_kib(pid) / 1024:.0f} MiB in all)", flush=True)  # fmt: skip
        for peer in peers:
            peer.close()


def logins() -> None:
    """Telnet logins a second, ours and cowrie's in turn; the ratio pair by pair."""
    _beside("telnet", "telnet_load.py")


def ssh() -> None:
    """SSH logins a second, with one command each. Both servers have a key for Ed25519, and are asked for the same."""
    _beside("ssh", "ssh_load.py", persona="storage")


def _beside(service: str, program: str, persona: str = "") -> None:
    """Print rates, and the processor time that a session took: of that, what else runs takes nothing away."""
    port = _free_ports(1)[0]
    ours_runs = sensor([f"{service} tcp {port}"], persona=persona)
    with ours_runs as (pid, _), cowrie(service) as (cowrie_port, cowrie_pid):
        idle_kib = memory_kib(pid), memory_kib(cowrie_pid)
        for at_once in LOGINS_AT_ONCE:
            pairs = [
                (_measured(program, port, pid, at_once), _measured(program, cowrie_port, cowrie_pid, at_once))
                for _ in range(ROUNDS + 1)
            ][1:]  # the first round warms up
            ratios = [ours[0] / theirs[0] for ours, theirs in pairs]
            rates, costs = ([statistics.median(side[what] for side in sides) for sides in zip(*pairs, strict=True)]
                            for what in (0, 1))  # fmt: skip
            print(f"{service} logins, {at_once:3} at once   ours {rates[0]:7.0f}/s   cowrie {rates[1]:7.0f}/s   "
                  f"ratio {statistics.median(ratios):.1f} (from {min(ratios):.1f} to {max(ratios):.1f})   "
                  f"processor ours {costs[0]:.2f} ms   cowrie {costs[1]:.2f} ms", flush=True)  # fmt: skip
        print(f"memory before      ours {idle_kib[0] / 1024:7.1f} MiB   cowrie {idle_kib[1] / 1024:5.1f} MiB")


def _measured(program: str, port: int, pid: int, at_once: int) -> tuple[float, float]:
    """Return sessions a second, and milliseconds of processor time a session."""
    before_s = _processor_s(pid)
    done = subprocess.run(
        [sys.executable, HERE / program, "127.0.0.1", str(port), "--seconds", str(LOGIN_S),
         "--at-once", str(at_once)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    counts = json.loads(done.stdout)
    if counts["failed"] > counts["sessions"] / 100 or not counts["sessions"]:
        raise SystemExit(f"port {port}: {counts}")
    return counts["sessions"] / counts["seconds"], 1000 * (_processor_s(pid) - before_s) / counts["sessions"]


def _processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _log_in(address: tuple[str, int], words: dict[str, bytes], source: tuple[str, int]) -> socket.socket:
    peer = socket.create_connection(address, 10, source)
    for mark, word in ((b"ogin:", words["user"] + b"\r\n"), (b"assword:", words["password"] + b"\r\n"), (b"#", b"")):
        heard = b""
        while mark not in heard:
            piece = peer.recv(4096)
            if not piece:
                raise SystemExit("a held session was closed")
            heard += piece
        peer.sendall(word)
    return peer


def _speak_tls(port: int) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), 10) as peer, context.wrap_socket(peer):
        pass


def _listens(port: int) -> bool:
    """Say whether somebody listens there, without a connection: the first peer of a room loads it."""
    return re.search(rf":{port:04X} [0-9A-F:]+ 0A ", Path("/proc/net/tcp").read_text()) is not None


def _free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def _free_run(count: int) -> int:
    """Return the first of so many free ports in a row, below those that the system itself gives out meanwhile."""
    for first in range(20_000, 30_000, count):
        with ExitStack() as held:
            try:
                for port in range(first, first + count):
                    held.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue
            return first
    raise SystemExit(f"there are no {count} free ports in a row")


def main() -> None:
    """Run what is asked for."""
    parts = {"idle": idle, "held": held, "logins": logins, "ssh": ssh}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=parts)
    chosen = parser.parse_args().only
    for name, part in parts.items():
        if chosen in (None, name):
            part()


if __name__ == "__main__":
    main()
