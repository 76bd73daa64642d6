"""A real LDAP server (OpenLDAP's slapd) with Java's schema (RFC 2713), for whoever asks one, or is held against it."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

from payload.servers import free_port, tool, until_it_accepts

CONFIGURATION = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/nis.schema
include /etc/ldap/schema/java.schema
modulepath /usr/lib/ldap
moduleload back_mdb
database mdb
suffix "{suffix}"
rootdn "cn=admin,{suffix}"
directory {folder}
access to attrs=userPassword by self write by anonymous auth by * none
access to * by * read
"""
ROOT = "dn: dc=lab\nobjectClass: dcObject\nobjectClass: organization\ndc: lab\no: lab\n\n"


@contextlib.asynccontextmanager
async def slapd(place: Path, entries: str, suffix: str = "dc=lab") -> AsyncIterator[int]:
    """Run a directory of these entries, as LDIF; yield its port."""
    program, port = tool("slapd", "slapd"), free_port()
    folder = place / "slapd"
    folder.mkdir()
    (place / "slapd.conf").write_text(CONFIGURATION.format(folder=folder, suffix=suffix))
    (place / "entries.ldif").write_text(entries)
    adder = [program, "-T", "add", "-f", place / "slapd.conf", "-l", place / "entries.ldif"]
    subprocess.run(adder, check=True, capture_output=True)
    log = (place / "slapd.log").open("wb")
    process = subprocess.Popen(
        [program, "-f", place / "slapd.conf", "-h", f"ldap://127.0.0.1:{port}/", "-d", "0"], stderr=log
    )
    try:
        await until_it_accepts(port)
        yield port
    finally:
        process.kill()
        process.wait()
        log.close()
