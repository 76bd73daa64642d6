"""What nmap's version detection takes each room for, all of them at their usual ports on one address of the loopback.

    python bench/scan.py                     as a storage box (about five minutes; needs root, and nmap)
    python bench/scan.py --persona NAME      as somebody else; `eudaemon persona list` names them

The catch-all is open among them, where nmap is to find nothing that it could name. It ends with status 1 if nmap speaks
of a honeypot, or finds a TCP port closed.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys

from sensor_process import sensor

ADDRESS = "127.77.0.9"
SILENT = "unknown: it did not answer"  # over UDP
TCP = {
    "activemq": 61616, "adb": 5555, "backdoor": 27347, "catchall": 18545, "cmd": 4444, "distcc": 3632, "dns": 53,
    "docker": 2375, "elasticsearch": 9200, "epmap": 135, "ftp": 21, "git": 9418, "http": 80, "imap": 143, "ipp": 631,
    "java": 1099, "jdwp": 5005, "jenkins": 8082, "kubelet": 10250, "ldap": 389, "memcached": 11211, "modbus": 502,
    "mongodb": 27017, "mqtt": 1883, "mssql": 1433, "mysql": 3306, "pop3": 110, "postgres": 5432, "pptp": 1723,
    "printer": 9100, "proxy": 3128, "rdp": 3389, "redis": 6379, "rocketmq": 10911, "rtsp": 554, "s7": 102, "sh": 1524,
    "sip": 5060, "smartinstall": 4786, "smb": 445, "smtp": 25, "snmp": 161, "socks": 1080, "ssh": 22, "telnet": 23,
    "tr069": 7547, "upnp": 49152, "vnc": 5900, "yarn": 8088,
}  # fmt: skip
UDP = {
    "catchall": 9034, "dns": 53, "ipp": 631, "ldap": 389, "memcached": 11211, "netbios": 137, "ntp": 123, "sip": 5060,
    "snmp": 161, "tftp": 69, "upnp": 1900,
}  # fmt: skip
OPEN = [(room, "tcp", port) for room, port in TCP.items()] + [(room, "udp", port) for room, port in UDP.items()]


def scan(persona: str) -> tuple[dict[tuple[str, str, int], str], str]:
    """Return what nmap names by room and port, empty for a port that is not open, and all that it says."""
    ports = ",".join(f"{transport[0].upper()}:{port}" for _, transport, port in OPEN)
    with sensor([f"{room} {transport} {port}" for room, transport, port in OPEN], persona=persona, address=ADDRESS):
        # Without --allports nmap leaves printers in peace.
        said = subprocess.run(
            ["nmap", "-Pn", "-n", "-sT", "-sU", "-sV", "--allports", "-p", ports, ADDRESS],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
    found = {
        (transport, int(port)): SILENT if state != "open" else " ".join(what.split())
        for port, transport, state, what in re.findall(r"^(\d+)/(tcp|udp) +(open\S*) +(.+)$", said, re.MULTILINE)
    }
    return {row: found.get(row[1:], "") for row in OPEN}, said


def is_sure(what: str) -> bool:
    """Say whether this is a product, or at least a protocol that was answered."""
    return bool(what) and "?" not in what and "unknown" not in what and "tcpwrapped" not in what


def main() -> int:
    """Scan, and print a line for each room."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--persona", default="storage")
    named, said = scan(parser.parse_args().persona)
    for (room, transport, port), what in named.items():
        print(f"{room:<13} {transport} {port:>5}  {what or 'not open'}")
    is_told = "honeypot" in said.lower()
    for transport in ("tcp", "udp"):
        rows = [what for (_, over, _), what in named.items() if over == transport]
        print(f"{sum(map(is_sure, rows))} of {len(rows)} named over {transport.upper()}")
    print(f"a honeypot is {'' if is_told else 'not '}spoken of")
    return int(is_told or not all(what for (_, transport, _), what in named.items() if transport == "tcp"))


if __name__ == "__main__":
    sys.exit(main())
