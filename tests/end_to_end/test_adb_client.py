"""The real `adb` at a whole sensor: connect, push, pull, shells, install."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from eudaemon.world.host import Host
from payload.servers import SIZES, content, free_port, tool
from protocols.adb_client import HOSTS
from sensor.harness import events, running

HOW_LONG_S_MAX = 60.0
Ask = Callable[..., Coroutine[None, None, tuple[int, bytes]]]


@asynccontextmanager
async def adb(home: Path, port: int) -> AsyncIterator[Ask]:
    """An adb of one's own, with its own server, connected to that port."""
    program, server = tool("adb", "adb"), str(free_port())
    home.mkdir()

    async def ask(*arguments: str, given: bytes = b"") -> tuple[int, bytes]:
        process = await asyncio.create_subprocess_exec(
            program, "-P", server, *arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT, env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
        )  # fmt: skip
        async with asyncio.timeout(HOW_LONG_S_MAX):
            said, _ = await process.communicate(given)
        assert process.returncode is not None
        return process.returncode, said

    try:
        await ask("start-server")
        status, said = await ask("connect", f"127.0.0.1:{port}")
        assert (status, said.startswith(b"connected to")) == (0, True), said
        yield lambda *arguments, given=b"": ask("-s", f"127.0.0.1:{port}", *arguments, given=given)
    finally:
        await ask("kill-server")


@pytest.mark.parametrize("version", sorted(HOSTS))
async def test_a_person_with_adb(version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Host, "from_seed", classmethod(lambda *_, **__: HOSTS[version]))
    (tmp_path / "f").write_bytes(content(70_000))
    (tmp_path / "x.apk").write_bytes(b"PK\x03\x04" + content(300_000))
    async with running(tmp_path, "adb") as net, adb(tmp_path / "adb", net.port) as ask:
        is_new = version in ("7.1.2", "9")  # commands have a pipe instead of a terminal, and tell their status
        end = b"\n" if is_new else b"\r\n"
        assert await ask("shell", "getprop", "ro.build.version.release") == (0, version.encode() + end)
        assert (await ask("shell", "exit 3"))[0] == (3 if is_new else 0)
        assert (await ask("push", str(tmp_path / "f"), "/data/local/tmp/f"))[0] == 0
        assert (await ask("pull", "/data/local/tmp/f", str(tmp_path / "back")))[0] == 0
        assert (tmp_path / "back").read_bytes() == content(70_000)
        assert (await ask("exec-out", "cat", "/data/local/tmp/f")) == (0, content(70_000))
        status, said = await ask("install", str(tmp_path / "x.apk"))
        assert (status, b"Success" in said) == (0, True), said
        said = (await ask("shell", given=b"cd /data/local/tmp\necho it is $((40+2))\nexit\n"))[1]
        assert b"it is 42" in said
        assert (await ask("exec-in", "cat > /data/local/tmp/g", given=content(5000)))[0] == 0
        assert (await ask("shell", "wc -c < /data/local/tmp/g"))[1].strip() == b"5000"
        assert b"denied" not in (await ask("root"))[1]
        assert b"local" in (await ask("ls", "/data"))[1]
    lines = [event.fact.line for event in events(tmp_path, "command.entered")]  # type: ignore[attr-defined]
    assert "push /data/local/tmp/f" in lines
    assert "echo it is $((40+2))" in lines
    names = {event.fact.name for event in events(tmp_path, "artefact.kept")}  # type: ignore[attr-defined]
    assert {"/data/local/tmp/f", "/data/local/tmp/g"} < names
    hashes = {event.fact.sha256 for event in events(tmp_path, "artefact.kept")}  # type: ignore[attr-defined]
    assert hashlib.sha256((tmp_path / "x.apk").read_bytes()).hexdigest() in hashes
    assert not events(tmp_path, "sensor.faulted", "peer.faulted")


async def test_pushes_of_every_size_arrive_byte_for_byte(tmp_path: Path) -> None:
    async with running(tmp_path, "adb") as net, adb(tmp_path / "adb", net.port) as ask:
        for size in SIZES:
            (tmp_path / "f").write_bytes(content(size))
            status, said = await ask("push", str(tmp_path / "f"), f"/data/local/tmp/{size}")
            assert status == 0, said
        await net.until("artefact.kept", count=len(SIZES))
    kept = {event.fact.name: event.fact for event in events(tmp_path, "artefact.kept")}  # type: ignore[attr-defined]
    for size in SIZES:
        fact = kept[f"/data/local/tmp/{size}"]
        assert (fact.size, fact.partial) == (size, False)  # type: ignore[attr-defined]
        assert fact.sha256 == hashlib.sha256(content(size)).hexdigest()  # type: ignore[attr-defined]
        assert (tmp_path / "artefacts" / fact.sha256).read_bytes() == content(size)  # type: ignore[attr-defined]
