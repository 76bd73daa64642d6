"""nmap's own probes name the product that each room pretends to be, at its usual port, on an address of its own."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from payload.servers import tool
from sensor.harness import running

ADDRESS = "127.77.0.1"
NAMED = (
    ("adb", "tcp", 5555, r"adb\s+Android Debug Bridge device"),
    ("docker", "tcp", 2375, r"docker\s+Docker (?:remote API )?\d"),
    ("ftp", "tcp", 21, r"ftp\s+(?:vsftpd|ProFTPD|Pure-FTPd|.*BusyBox)"),
    ("imap", "tcp", 143, r"imap\s+(?:Dovecot|Courier) [Ii]mapd"),
    ("kubelet", "tcp", 10250, r"ssl/http\s+Golang net/http server"),
    ("memcached", "tcp", 11211, r"memcached\s+Memcached 1\.[45]"),
    ("pop3", "tcp", 110, r"pop3\s+(?:Dovecot|Courier|UW|Openwall)"),
    ("redis", "tcp", 6379, r"redis\s+Redis key-value store [45]\."),
    ("smtp", "tcp", 25, r"smtp\s+(?:Exim smtpd 4|Postfix smtpd|Sendmail 8)"),
)


@pytest.mark.parametrize(("room", "transport", "port", "named"), NAMED, ids=[f"{row[0]}-{row[1]}" for row in NAMED])
async def test_nmap_names_it(room: str, transport: str, port: int, named: str, tmp_path: Path) -> None:
    nmap = tool("nmap", "nmap")
    async with running(tmp_path, room, transport=transport, addresses=(ADDRESS,), port=port):
        scan = await asyncio.create_subprocess_exec(
            nmap, "-Pn", "-n", "-sV", "-sU" if transport == "udp" else "-sT", "-p", str(port), ADDRESS,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        said = (await scan.communicate())[0].decode()
    assert re.search(named, said), said
    assert "oneypot" not in said
