"""nmap's own probes name the product that each room pretends to be, at its usual port, on an address of its own."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

import pytest

from eudaemon.world.host import Host
from eudaemon.world.seed import Seed
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
    ("mongodb", "tcp", 27017, r"mongodb\s+MongoDB [456]\.\d"),
    ("mssql", "tcp", 1433, r"ms-sql-s\s+Microsoft SQL Server 20\d\d"),
    ("mysql", "tcp", 3306, r"mysql\s+MySQL [58]\.\d"),
    ("pop3", "tcp", 110, r"pop3\s+(?:Dovecot|Courier|UW|Openwall)"),
    ("postgres", "tcp", 5432, r"postgresql\s+PostgreSQL DB (?:9\.6|1\d\.)"),
    ("redis", "tcp", 6379, r"redis\s+Redis key-value store [45]\."),
    ("smtp", "tcp", 25, r"smtp\s+(?:Exim smtpd 4|Postfix smtpd|Sendmail 8)"),
)

# All at once, for a port each takes nmap six seconds of listening.
DEVICES = (
    ("dns", "tcp", 53, r"domain\s+(?:dnsmasq|ISC BIND) \d"),
    ("ntp", "udp", 123, r"ntp\s+NTP v4 \(secondary server\)"),
    ("printer", "tcp", 9100, r"hp-pjl\s+(?i:hp) .*LaserJet"),
    ("rdp", "tcp", 3389, r"ms-wbt-server\s+Microsoft Terminal Services"),
    ("rtsp", "tcp", 554, r"rtsp\s+(?:Dahua|H264DVR|Hikvision|HiLinux|VODServer)"),
    ("sip", "tcp", 5060, r"sip\s+Asterisk \d"),
    ("sip", "udp", 5060, r"sip-proxy\s+Asterisk PBX \d"),
    ("vnc", "tcp", 5900, r"vnc\s+VNC \(protocol 3\.8\)"),
)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root listens on such ports, and scans UDP")
async def test_nmap_names_the_devices(tmp_path: Path) -> None:
    nmap = tool("nmap", "nmap")
    listen = tuple(f"{room} {transport} {port}" for room, transport, port, _ in DEVICES)
    ports = ",".join(f"{transport[0].upper()}:{port}" for _, transport, port, _ in DEVICES)
    # One with Network Level Authentication: nmap knows no other.
    seeds = (b"%d" % number for number in range(100))
    draws = ((seed, Host.from_seed(Seed(seed)).seed.child("rdp")) for seed in seeds)
    seed = next(seed for seed, draw in draws if draw.number("network level authentication", 2) == 0)
    async with running(tmp_path, "dns", addresses=("127.77.0.3",), port=53, listen=listen, seed=seed):
        scan = await asyncio.create_subprocess_exec(
            nmap,
            "-Pn",
            "-n",
            "-sV",
            "-sT",
            "-sU",
            "--allports",
            "-p",
            ports,
            "127.77.0.3",
            stdout=asyncio.subprocess.PIPE,
        )
        said = (await scan.communicate())[0].decode()
    for _, transport, port, named in DEVICES:
        assert re.search(rf"^{port}/{transport} +open +{named}", said, re.MULTILINE), said
    assert "oneypot" not in said


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
