"""The sensor's speed and memory, beside its peers' in the same run.

    python bench/sensor.py                    all of it (about three minutes)
    python bench/sensor.py --only logins      telnet logins a second, ours and cowrie's in turn
    python bench/sensor.py --only ssh         SSH logins a second with one command each, ours and cowrie's in turn
    python bench/sensor.py --only smb         SMB logins a second with a pipe and a file each, ours and impacket's
    python bench/sensor.py --only idle        start, and memory with 20 ports open and nobody there

Ratios matter, not the numbers: machines differ, and differ from hour to hour. What sessions cost that are held open is
measured by bench/held.py.
"""

from __future__ import annotations

import argparse
import json
import re
import socket
import ssl
import statistics
import subprocess
import sys
import time
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import ssh_load
from cowrie_peer import cowrie
from eudaemon.protocols import ROOMS
from impacket_peer import impacket
from sensor_process import HERE, busy_farm, free_ports, free_run, memory, memory_kib, processor_s, sensor

PORTS_OPEN = 20
ROUNDS = 3
LOGIN_S = 6.0
# Ours holds each greeting back for a moment (`tls_grace_ms`): with 256 that keeps neither server waiting, with 24 ours.
LOGINS_AT_ONCE = (256, 24)
SMB_AT_ONCE = (24, 2)  # impacket has a thread for each: it is at its best with 2, and with 64 some runs stall


def idle() -> None:
    """Start time and memory with 20 ports open, for each Python at hand; and what the first use of TLS adds."""
    first = free_run(PORTS_OPEN)
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
        with busy_farm() as uplink, sensor(listen, python, more=uplink) as (pid, _):
            time.sleep(2)
            print(f"   with an uplink   {memory(pid)}")
        every_room = [f"{name} tcp {first + number}" for number, name in enumerate(ROOMS)]
        with sensor(every_room, python) as (pid, _):
            time.sleep(2)
            print(f"   with every room  {memory(pid)}, on {len(ROOMS)} ports")


def logins() -> None:
    """Telnet logins a second, ours and cowrie's in turn; the ratio pair by pair."""
    _beside("telnet", cowrie())


def ssh() -> None:
    """SSH logins a second, with one command each. Both servers have a key for Ed25519, and are asked for the same."""
    _beside("ssh", cowrie("ssh"), persona="storage")


def smb() -> None:
    """SMB logins a second, with a pipe and a file each. dionaea's last release does not install from its package."""
    _beside("smb", impacket(), name="impacket", at_once=SMB_AT_ONCE)


def _beside(
    service: str,
    peer: AbstractContextManager[tuple[int, int]],
    *,
    name: str = "cowrie",
    persona: str = "",
    at_once: tuple[int, ...] = LOGINS_AT_ONCE,
) -> None:
    """Print rates, and the processor time that a session took: of that, what else runs takes nothing away."""
    port, program = free_ports(1)[0], f"{service}_load.py"
    with sensor([f"{service} tcp {port}"], persona=persona) as (pid, _), peer as (peer_port, peer_pid):
        idle_kib = memory_kib(pid), memory_kib(peer_pid)
        for count in at_once:
            pairs = [
                (_measured(program, port, pid, count), _measured(program, peer_port, peer_pid, count))
                for _ in range(ROUNDS + 1)
            ][1:]  # the first round warms up
            ratios = [ours[0] / theirs[0] for ours, theirs in pairs]
            rates, costs = ([statistics.median(side[what] for side in sides) for sides in zip(*pairs, strict=True)]
                            for what in (0, 1))  # fmt: skip
            print(f"{service} logins, {count:3} at once   ours {rates[0]:7.0f}/s   {name} {rates[1]:7.0f}/s   "
                  f"ratio {statistics.median(ratios):.1f} (from {min(ratios):.1f} to {max(ratios):.1f})   "
                  f"processor ours {costs[0]:.2f} ms   {name} {costs[1]:.2f} ms", flush=True)  # fmt: skip
        print(f"memory before      ours {idle_kib[0] / 1024:7.1f} MiB   {name} {idle_kib[1] / 1024:5.1f} MiB")


def _measured(program: str, port: int, pid: int, at_once: int) -> tuple[float, float]:
    """Return sessions a second, and milliseconds of processor time a session."""
    before_s = processor_s(pid)
    done = subprocess.run(
        [sys.executable, HERE / program, "127.0.0.1", str(port), "--seconds", str(LOGIN_S),
         "--at-once", str(at_once)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    counts = json.loads(done.stdout)
    if counts["failed"] > counts["sessions"] / 100 or not counts["sessions"]:
        raise SystemExit(f"port {port}: {counts}")
    return counts["sessions"] / counts["seconds"], 1000 * (processor_s(pid) - before_s) / counts["sessions"]


def _speak_tls(port: int) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), 10) as peer, context.wrap_socket(peer):
        pass


def main() -> None:
    """Run what is asked for."""
    parts = {"idle": idle, "logins": logins, "ssh": ssh, "smb": smb}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=parts)
    chosen = parser.parse_args().only
    for name, part in parts.items():
        if chosen in (None, name):
            part()


if __name__ == "__main__":
    main()
