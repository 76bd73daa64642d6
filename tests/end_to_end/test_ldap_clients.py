"""OpenLDAP's own tools at the directory, and OpenLDAP's own server, holding the same entries, as the judge of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from eudaemon.protocols.ldap.directory import directory_of
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed
from payload.directory import slapd
from payload.servers import tool
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
)


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
