"""What nmap's version detection takes each room for, all of them at their usual ports on one address of the loopback.

    python bench/scan.py                     as a storage box (about three minutes; needs root, and nmap)
    python bench/scan.py --persona NAME      as somebody else; `eudaemon persona list` names them

It ends with status 1 if nmap speaks of a honeypot, or finds a port closed.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys

from sensor_process import sensor

ADDRESS = "127.77.0.9"
PORTS = {
    "activemq": 61616, "adb": 5555, "backdoor": 27347, "catchall": 9200, "dns": 53, "docker": 2375, "epmap": 135,
    "ftp": 21, "http": 80, "imap": 143, "jenkins": 8082, "kubelet": 10250, "ldap": 389, "memcached": 11211,
    "mongodb": 27017, "mqtt": 1883, "mssql": 1433, "mysql": 3306, "pop3": 110, "postgres": 5432, "printer": 9100,
    "rdp": 3389, "redis": 6379, "rtsp": 554, "sip": 5060, "smb": 445, "smtp": 25, "ssh": 22, "telnet": 23,
    "tr069": 7547, "upnp": 49152, "vnc": 5900, "yarn": 8088,
}  # fmt: skip


def scan(persona: str) -> tuple[dict[str, str], str]:
    """Return what nmap names by room, empty for a port that is not open, and all that it says."""
    ports = ",".join(map(str, PORTS.values()))
    with sensor([f"{room} tcp {port}" for room, port in PORTS.items()], persona=persona, address=ADDRESS):
        # Without --allports nmap leaves printers in peace.
        said = subprocess.run(
            ["nmap", "-Pn", "-n", "-sT", "-sV", "--allports", "-p", ports, ADDRESS],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
    found = {int(port): what for port, what in re.findall(r"^(\d+)/tcp +open +(.+)$", said, re.MULTILINE)}
    return {room: " ".join(found.get(port, "").split()) for room, port in PORTS.items()}, said


def main() -> int:
    """Scan, and print a line for each room."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--persona", default="storage")
    named, said = scan(parser.parse_args().persona)
    for room, what in named.items():
        print(f"{room:<10} {PORTS[room]:>5}  {what or 'not open'}")
    sure = sum(bool(what) and "?" not in what and "unknown" not in what for what in named.values())
    is_told = "honeypot" in said.lower()
    print(f"{sure} of {len(named)} named; a honeypot is {'' if is_told else 'not '}spoken of")
    return int(is_told or not all(named.values()))


if __name__ == "__main__":
    sys.exit(main())
