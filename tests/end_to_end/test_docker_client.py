"""Docker's own clients at a whole sensor: the command line, where it is installed, and the Python package."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import shutil
import tarfile
from pathlib import Path

import docker
import pytest

from payload.servers import content
from sensor.harness import Running, events, running


async def cli(net: Running, folder: Path, *words: str, given: bytes = b"") -> tuple[int, bytes, bytes]:
    """Return the status of `docker …`, and what it printed to its outputs."""
    program = shutil.which("docker")
    if program is None:
        pytest.skip("needs docker's command line; the Python package is tested all the same")
    process = await asyncio.create_subprocess_exec(
        program, "-H", f"tcp://127.0.0.1:{net.port}", *words, stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={"DOCKER_CONFIG": str(folder), "PATH": "/usr/bin:/bin", "DOCKER_BUILDKIT": "0"},
    )  # fmt: skip
    async with asyncio.timeout(30):
        out, err = await process.communicate(given)
    assert process.returncode is not None
    return process.returncode, out, err


async def test_a_person_with_the_command_line(tmp_path: Path) -> None:
    async with running(tmp_path, "docker") as net:

        async def ask(*words: str, given: bytes = b"") -> tuple[int, bytes]:
            status, out, _ = await cli(net, tmp_path / "config", *words, given=given)
            return status, out

        assert (await ask("version"))[0] == (await ask("info"))[0] == 0
        status, listed = await ask("ps", "--format", "{{json .}}")
        assert status == 0
        assert json.loads(listed.splitlines()[0])["State"] == "running"
        status, out = await ask("run", "--rm", "alpine", "sh", "-c", "echo it is $((40+2)); exit 3")
        assert (status, out) == (3, b"it is 42\n")
        assert (await ask("run", "-d", "--name", "x", "-v", "/:/mnt", "--privileged", "alpine", "sh"))[0] == 0
        assert await ask("exec", "x", "sh", "-c", "echo y; exit 4") == (4, b"y\n")
        assert await ask("run", "-i", "alpine", "sh", given=b"echo piped\nid -u\n") == (0, b"piped\n0\n")
        (tmp_path / "bot").write_bytes(content(100_000))
        assert (await ask("cp", str(tmp_path / "bot"), "x:/tmp/bot"))[0] == 0
        (tmp_path / "context").mkdir()
        (tmp_path / "context" / "Dockerfile").write_text("FROM alpine\nRUN echo built > /made && cat /made\n")
        status, out = await ask("build", str(tmp_path / "context"))
        assert (status, b"Successfully built" in out) == (0, True), out
        assert (await ask("logs", "x"))[0] == (await ask("rm", "-f", "x"))[0] == (await ask("images"))[0] == 0
    lines = [event.fact.line for event in events(tmp_path, "command.entered")]  # type: ignore[attr-defined]
    assert "docker run --privileged -v /:/mnt alpine sh" in lines
    assert "sh -c 'echo it is $((40+2)); exit 3'" in lines
    assert "echo piped" in lines
    hashes = {event.fact.sha256 for event in events(tmp_path, "artefact.kept")}  # type: ignore[attr-defined]
    assert hashlib.sha256(content(100_000)).hexdigest() in hashes
    assert not events(tmp_path, "sensor.faulted", "peer.faulted")


def a_program(port: int) -> None:
    """What a worm written in Python does."""
    client = docker.DockerClient(base_url=f"tcp://127.0.0.1:{port}", timeout=20)
    assert client.ping()
    assert client.version()["Os"] == "linux"
    client.images.pull("alpine", tag="latest")
    assert client.containers.run("alpine", ["sh", "-c", "id -u; cat /etc/os-release"], remove=True).startswith(
        b"0\nNAME="
    )
    container = client.containers.run("alpine", "sh", detach=True, privileged=True, volumes=["/:/mnt"], tty=True)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        entry = tarfile.TarInfo("bot")
        entry.size = 10_000_000
        tar.addfile(entry, io.BytesIO(content(10_000_000)))
    assert container.put_archive("/tmp", out.getvalue())
    assert container.exec_run(["sh", "-c", "head -c 4 /tmp/bot | wc -c; exit 5"]) == (5, b"4\n")
    container.stop()
    container.remove(force=True)
    client.close()


async def test_a_program_with_the_python_package(tmp_path: Path) -> None:
    async with running(tmp_path, "docker") as net:
        await asyncio.get_running_loop().run_in_executor(None, a_program, net.port)
    kept = [event.fact for event in events(tmp_path, "artefact.kept")]
    assert [(fact.name, fact.size) for fact in kept] == [("/tmp/bot", 10_000_000)]  # type: ignore[attr-defined]
    assert kept[0].sha256 == hashlib.sha256(content(10_000_000)).hexdigest()  # type: ignore[attr-defined]
    assert not events(tmp_path, "sensor.faulted", "peer.faulted")
