"""Replication from a real Redis, from masters that send a module instead, and from such as send nonsense."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from payload.servers import SIZES, Lab, Talk, content, free_port, serving, tool, until_it_accepts

ATTACKER = "127.0.0.1"
ID = b"Z" * 40
ZERO = b"0" * 40


@pytest.fixture(params=["no", "yes"], ids=["length", "EOF"])
async def master(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[int]:
    """Yield the port of a real master, which sends its database with its length, or up to a mark."""
    port = free_port()
    process = subprocess.Popen(
        [tool("redis-server", "redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--dir", tmp_path,
         "--save", "", "--repl-diskless-sync", request.param,
         "--repl-diskless-sync-delay", "0", "--rdbcompression", "no"],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        await until_it_accepts(port)
        yield port
    finally:
        process.terminate()
        process.wait(10)


async def test_a_real_master_gives_its_database(master: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", master)
    value = content(300_000)
    writer.write(b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$%d\r\n%s\r\n" % (len(value), value))
    assert await reader.readline() == b"+OK\r\n"
    writer.close()
    database = await Lab().content(f"redis://127.0.0.1:{master}/", "slaveof", ATTACKER)
    assert database.startswith(b"REDIS00")
    assert value in database
    assert database[-9:-8] == b"\xff", "the end of an RDB file, and its checksum"


def rogue(body: bytes, *, first: bytes = b"+PONG\r\n", then: bytes = b"+OK\r\n", pieces: int = 0) -> Talk:
    """Return a master as the exploits have it: `body` follows the request for synchronisation."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said = b""
        while b"PSYNC" not in said:
            said = await reader.readuntil(b"\r\n")
            if b"PING" in said:
                writer.write(first)
            elif b"REPLCONF" in said:
                writer.write(then)
        for at in range(0, len(body), pieces or len(body) or 1):
            writer.write(body[at : at + (pieces or len(body))])
            await writer.drain()
            if pieces:
                await asyncio.sleep(0)

    return talk


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("pieces", [0, 60_001])
async def test_a_module_arrives_byte_for_byte(size: int, pieces: int) -> None:
    module = content(size)
    mark = content(40).hex()[:40].encode()
    for body in (b"$%d\r\n%s\r\n" % (size, module), b"\n\n$EOF:%s\r\n%s%s" % (mark, module, mark)):
        async with serving(rogue(b"+FULLRESYNC " + ID + b" 1\r\n" + body, pieces=pieces)) as port:
            assert await Lab().content(f"redis://127.0.0.1:{port}/", "slaveof", ATTACKER) == module


async def test_the_mark_may_come_in_pieces() -> None:
    body = b"+FULLRESYNC " + ID + b" 1\r\n$EOF:" + ID + b"\r\nabc" + ID[:39] + b"!" + ID
    async with serving(rogue(body, pieces=1)) as port:
        assert await Lab().content(f"redis://127.0.0.1:{port}/", "slaveof", ATTACKER) == b"abc" + ID[:39] + b"!"


@pytest.mark.parametrize(
    ("body", "outcome", "reason", "kept"),
    [
        (b"", "failed", "closed early", b""),
        (b"-ERR no\r\n", "failed", "no full resynchronisation", b""),
        (b"+CONTINUE\r\n", "failed", "no full resynchronisation", b""),
        (b"+FULLRESYNC x 1\r\n$abc\r\n", "failed", "no length of a database", b""),
        (b"+FULLRESYNC x 1\r\n$-1\r\n", "failed", "no length of a database", b""),
        (b"+FULLRESYNC x 1\r\n$99999999999999999999\r\n", "failed", "no length of a database", b""),
        (b"+FULLRESYNC x 1\r\n$10\r\nabc", "partial", "closed early, 7 bytes short", b"abc"),
        (b"+FULLRESYNC x 1\r\n$EOF:short\r\n", "failed", "no mark for the end", b""),
        (b"+FULLRESYNC x 1\r\n$EOF:" + ZERO + b"\r\nabc", "partial", "closed before the mark", b"abc"),
        (b"+" + b"a" * 2000 + b"\r\n", "failed", "reply over 1024 bytes", b""),
        (b"\n" * 5000, "failed", "nothing but empty lines", b""),
    ],
)
async def test_nonsense_ends_it(body: bytes, outcome: str, reason: str, kept: bytes) -> None:
    lab = Lab()
    async with serving(rogue(body)) as port:
        result = await lab.fetch(f"redis://127.0.0.1:{port}/", "slaveof", ATTACKER)
    assert (result.outcome, result.reason) == (outcome, reason)
    assert lab.kept.get(result.sha256, b"") == kept


async def test_the_first_replies_do_not_matter() -> None:
    body = b"$3\r\nabc"
    async with serving(rogue(body, first=b"-NOAUTH no\r\n", then=b"-ERR what\r\n")) as port:
        assert await Lab().content(f"redis://127.0.0.1:{port}/", "slaveof", ATTACKER) == b"abc"


async def test_more_than_the_limit_is_cut_off() -> None:
    async with serving(rogue(b"+FULLRESYNC x 1\r\n$100\r\n" + bytes(100))) as port:
        result = await Lab(bytes_max=99).fetch(f"redis://127.0.0.1:{port}/", "slaveof", ATTACKER)
    assert (result.outcome, result.size, result.reason) == ("partial", 99, "more than 99 bytes")


async def test_nobody_else_is_asked_than_the_attacker() -> None:
    reached: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.append(await reader.read(1))

    async with serving(talk) as port:
        for policy in ("public", "attacker"):
            for attacker in ("198.51.100.7", "127.0.0.2"):
                result = await Lab(policy=policy).fetch(f"redis://127.0.0.1:{port}/", "slaveof", attacker)
                assert result.outcome == "refused"
                assert result.reason.startswith("policy: ")

        async def resolve(_: str) -> list[str]:
            return ["127.0.0.1"]

        result = await Lab(resolve).fetch(f"redis://named.example:{port}/", "slaveof", "198.51.100.7")
        assert result.reason == "policy: redis to another than the attacker"
    assert reached == []
