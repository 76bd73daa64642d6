"""What published detectors of honeypots ask, and what they take for one: none of it is said here.

Each row is a fact with its source: nuclei's templates tagged `honeypot` (projectdiscovery/nuclei-templates,
`network/honeypot` and `http/honeypot`), honeydet's `signatures.yaml` (referefref/honeydet), and nmap's own matches with
that word in `nmap-service-probes`. A detector sends its steps one after the other and looks at all that comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from sensor.harness import Running, events, free_port, running

QUIET_S = 0.05  # so long nothing comes: then it has said what it has to
ANSWER_S_MAX = 30.0  # of a machine that has much else to do


@dataclass(frozen=True, slots=True)
class Detector:
    """What it takes for which honeypot: steps to send, what must not be in the answers, and what must be."""

    honeypot: str
    room: str
    steps: Sequence[bytes]
    gives_away: bytes = b"(?!)"  # a regular expression
    needs: bytes = b""
    waits: bool = True  # whether something is to be answered at all


def get(path: str, host: str = "Host: x\r\n") -> bytes:
    return f"GET {path} HTTP/1.0\r\n{host}\r\n".encode()


CNXN = bytes.fromhex("434e584e0100000100001000 07000000 32020000 bcb1a7b1") + b"host::\0"
OPEN = bytes.fromhex("4f50454e6b000000000000000a0000009d030000b0afbab1") + b"shell:pwd\0"
BUILD_INFO = bytes.fromhex(
    "3b0000003c300000ffffffffd40700000000000061646d696e2e24636d640000000000ffffffff14000000106275696c64696e666f0001"
    "00000000"
)
NEGOTIATE = bytes.fromhex(
    "00000045ff534d4272000000000801c8000000000000000000000000ffff0100ffff0000002200024e54204c4d20302e31320002534d42"
    "20322e3030320002534d4220322e3f3f3f00"
)
COTP = bytes.fromhex("0300001611e00000000400c1020100c2020102c0010a")

DETECTORS = (
    # nuclei
    Detector("adbhoney", "adb", [CNXN], rb"device::http://ro\.product\.name =starltexx|SM-G960F"),
    Detector("adbhoney's shell", "adb", [CNXN, OPEN], bytes.fromhex("57525445020000006b00000000000000")),
    Detector("conpot", "s7", [COTP], re.escape(bytes.fromhex("030000130ed00000000000c1020000c2020000"))),
    Detector("snap7", "s7", [COTP], rb"6ES7 315-2EH14-0AB0 .{60}Boot Loader"),
    Detector("cowrie", "ssh", [b"SSH-1337-OpenSSH_9.0\r\n"], rb"Protocol major versions differ\.|bad version 1337"),
    Detector("dionaea's FTP", "ftp", [b"USER root\r\n", b"PASS \r\n"], rb"500 Syntax error: PASS requires an argument"),
    Detector("dionaea's MongoDB", "mongodb", [BUILD_INFO], needs=rb"version"),
    Detector("dionaea's MQTT", "mqtt", [bytes.fromhex("101000044d5154540502003c032100140000")], rb"^\x20\x02\x00\x00"),
    Detector("dionaea's MySQL", "mysql", [], rb"(?s)5\.7\.16.*aaaaaaaa"),
    Detector("dionaea's SMB", "smb", [NEGOTIATE], bytes.fromhex("6538547e6c42")),
    Detector("dionaea's HTTP", "http", [b"AAAA / HTTP/1.1\r\nHost: x\r\n\r\n"], rb'xml version="1.0" encoding="ascii"'),
    Detector("snare", "http", [b"GET / HTTP/1337\r\nHost: x\r\n\r\n"], rb"Bad status line|aiohttp"),
    Detector("mailoney", "smtp", [b"HELP\r\n"], rb'502 Error: command "HELP" not implemented|cmomand'),
    Detector("a Redis", "redis", [b"QUIT"], rb"unknown command `QUIT`", waits=False),
    Detector("elasticpot", "elasticsearch", [get("/_cluster/settings")], rb"index_not_found_exception", rb"persistent"),
    Detector("citrix", "http", [get("/")], rb"<title>Citrix Login</title>"),
    Detector("an ASA", "http", [get("/+CSCOE+/logon.html?fcadbadd=1")], rb"font-weight: bold; cursor: pointer;"),
    Detector("T-Pot", "http", [get("/")], rb"T-Pot"),
    # honeydet
    Detector("cowrie again", "ssh", [b"SSH-1111-OpenSSH_9.0\r\n"], rb"bad version 1111"),
    Detector("FTPHoney", "ftp", [b"."], rb"^220 \(vsFTPd 3\.0\.3\)\r\n.+220 \(vsFTPd", waits=False),
    Detector("Twisted's FTP", "ftp", [], rb"220 Twisted"),
    Detector("BearFTP", "ftp", [b"overflow" * 30 + b"\r\n"], rb"Input line is too long; login aborted\."),
    Detector("OpenCanary's Redis", "redis", [b"[[,[[\r\n"], rb"-ERR unknown command '\[\[,\[\["),
    Detector("beehive's Redis", "redis", [b"DBSIZE\r\n"], rb"-ERR unknown command ''"),
    Detector("an Elasticpot", "elasticsearch", [get("/api/search")], rb'"resource\.id":"test"'),
    Detector("OWA", "http", [get("/owa/auth/logon.aspx")], rb"webmail\.vfmc"),
    Detector("phpMyAdmin", "http", [get("/login.php")], rb"phpmyadmin login attempt on|0x42-0839475"),
    Detector("conpot's web", "http", [get("/")], rb"Overview - Siemens, SIMATIC, S7-200"),
    Detector("glastopf", "http", [get("/")], rb'id="comment" rows="4" columns="300"'),
    Detector("oh-my-honeypot", "http", [get("/invalid.htm")], rb"PHP/4\.1\.0|Content-Length: 767\r"),
    Detector("wordpot", "http", [get("/wp-content/plugins/x/recent-backups")], rb"root:x:0:0"),
    Detector("wordpot's thumbs", "http", [get("/wp-content/themes/x/timthumbzz.php")], rb"no image specified"),
    Detector("mailoney's quote", "smtp", [b'"\r\n'], rb"not implementedd"),
    Detector("Mail::SMTP::Honeypot", "smtp", [b"DATA\r\n"], rb"421 Service not available"),
    Detector("Spamhole", "smtp", [b"starttls\r\n"], rb"Nope we use cleartext|unimplemented \(#5\.5\.1\)"),
    Detector("Qeeqbox' printer", "printer", [b"@PJL INFO ID\r\n"], rb"Brother HL-L2360"),
    Detector("Qeeqbox' memcached", "memcached", [b"stats\r\n"], rb"version 1\.5\.6\b"),
    Detector("Qeeqbox' Elasticsearch", "elasticsearch", [get("/"), get("/_nodes")], rb"045dffec8b60|R&DBackup"),
    Detector("Qeeqbox' IMAP", "imap", [], rb"Microsoft Exchange Server 2003 IMAP4rev1"),
    Detector("HoneyGrove's POP3", "pop3", [b"USER test\r\n"], rb"\+OK Please enter password"),
    Detector("HoneyGrove's Modbus", "modbus", [bytes.fromhex("000100000006010300000001")],
             re.escape(bytes.fromhex("0001000000050103020011"))),
    # nmap
    Detector("Nepenthes' FTP", "ftp", [], rb"freeFTPd 1\.0---warFTPd 1\.65"),
    Detector("dionaea's greeting", "ftp", [], rb"220 Welcome to the ftp service\r\n"),
    Detector("Kojoney", "ssh", [], rb"^SSH-2\.0-Twisted"),
    Detector("cowrie's telnet", "telnet", [], rb"^\xff\xfd\x1f(?!\xff)"),
    Detector("dionaea's options", "http", [b"OPTIONS / HTTP/1.0\r\n\r\n"],
             rb"Allow: OPTIONS, GET, HEAD, POST\r\nContent-Length: 0"),
    Detector("honeyd's cmd.exe", "cmd", [], rb"Windows XP \[Version [\d.]+\]\n\(C\)"),
)  # fmt: skip
SPEAK_FIRST = frozenset(("cmd", "ftp", "imap", "mysql", "pop3", "smtp", "ssh", "telnet"))


async def heard(reader: asyncio.StreamReader, *, waits: bool) -> bytes:
    said = b""
    with contextlib.suppress(TimeoutError, ConnectionError):
        while piece := await asyncio.wait_for(reader.read(65_536), QUIET_S if said or not waits else ANSWER_S_MAX):
            said += piece
    return said


async def asked(net: Running, port: int, detector: Detector) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    said = await heard(reader, waits=True) if detector.room in SPEAK_FIRST else b""
    for step in detector.steps:
        with contextlib.suppress(ConnectionError):
            writer.write(step)
            await writer.drain()
        said += await heard(reader, waits=detector.waits)
    writer.close()
    return said


@pytest.mark.parametrize("seed", [b"one installation", b"and another"])
async def test_no_detector_knows_us(seed: bytes, tmp_path: Path) -> None:
    ports = {room: free_port() for room in dict.fromkeys(detector.room for detector in DETECTORS)}
    listen = tuple(f"{room} tcp {port}" for room, port in ports.items())
    async with running(tmp_path, listen=listen, seed=seed) as net:
        answers = await asyncio.gather(*(asked(net, ports[detector.room], detector) for detector in DETECTORS))
    for detector, said in zip(DETECTORS, answers, strict=True):
        assert not re.search(detector.gives_away, said), (detector, said)
        assert detector.needs in said, (detector, said)
        assert said or not detector.waits, detector
    assert not events(tmp_path, "sensor.faulted")
