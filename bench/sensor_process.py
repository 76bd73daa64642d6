"""A sensor to be measured, in a process of its own, and what can be seen of it from outside."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from eudaemon.sensor.certificate import kept
from eudaemon.world.seed import Seed

HERE = Path(__file__).resolve().parent
# What is measured is the same host each time: its web server keeps connections, its desktop asks for no NLA.
SEED = b"bench 1"


@contextmanager
def sensor(
    listen: list[str],
    python: str = sys.executable,
    *,
    more: str = "",
    persona: str = "",
    address: str = "127.0.0.1",
    log: Path | None = None,
    **limits: int,
) -> Iterator[tuple[int, float]]:
    """Run a sensor; yield (process id, seconds until it listened). `more` are whole sections of its settings."""
    with tempfile.TemporaryDirectory(prefix="eudaemon-") as place:
        Path(place).chmod(0o755)  # as root, the sensor becomes somebody else
        home = Path(place, "data", "sensor")
        home.mkdir(parents=True)
        home.joinpath("seed").write_bytes(SEED)
        config = Path(place, "eudaemon.toml")
        wanted = {"sessions_max": 20_000, "sessions_per_address_max": 20_000,
                  "starts_per_address_minute_max": 1_000_000, **limits}  # fmt: skip
        config.write_text(
            f"[general]\nlog_level = 'warning'\n[sensor]\naddresses = ['{address}']\nlisten = {json.dumps(listen)}\n"
            f"persona = '{persona}'\n"
            "[sensor.limits]\n" + "".join(f"{name} = {value}\n" for name, value in wanted.items()) + more
        )
        port = int(listen[0].split(" ")[2].split(",")[0].split("-")[0])
        began_s = time.monotonic()
        process = subprocess.Popen(
            [python, "-m", "eudaemon", "sensor", "--config", config, "--data", Path(place, "data")],
            env={**os.environ, "PYTHONPATH": str(HERE.parent / "src")},
            stderr=log.open("ab") if log is not None else None,
        )
        try:
            while not listens(port):
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


def processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def listens(port: int) -> bool:
    """Say whether somebody listens there, without a connection: the first peer of a room loads it."""
    return re.search(rf":{port:04X} [0-9A-F:]+ 0A ", Path("/proc/net/tcp").read_text()) is not None


def free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def free_run(count: int) -> int:
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
