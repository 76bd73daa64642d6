"""curl and kubectl at a whole sensor: the kubelet in TLS, as worms and administrators reach it."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from payload.servers import tool
from sensor.harness import events, running


async def said(*command: str) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
    )
    async with asyncio.timeout(30):
        return (await process.communicate())[0]


async def test_a_worm_with_curl(tmp_path: Path) -> None:
    curl = tool("curl", "curl")
    async with running(tmp_path, "kubelet") as net:
        base = f"https://127.0.0.1:{net.port}"
        pod = json.loads(await said(curl, "-sk", f"{base}/runningpods/"))["items"][0]
        place = "/".join((pod["metadata"]["namespace"], pod["metadata"]["name"], pod["spec"]["containers"][0]["name"]))
        assert await said(curl, "-sk", "-X", "POST", f"{base}/run/{place}", "-d", "cmd=id -u") == b"0\n"
    assert [event.fact.name for event in events(tmp_path, "exploit.recognised")] == ["kubelet-run"]  # type: ignore[attr-defined]
    assert [event.fact.line for event in events(tmp_path, "command.entered")] == ["id -u"]  # type: ignore[attr-defined]
    assert not events(tmp_path, "sensor.faulted", "peer.faulted")


async def test_an_administrator_with_kubectl(tmp_path: Path) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("needs kubectl: apt-get install kubernetes-client; curl is tested all the same")
    async with running(tmp_path, "kubelet") as net:
        server = f"--server=https://127.0.0.1:{net.port}"
        answer = await said(kubectl, server, "--insecure-skip-tls-verify", "--token=x", "get", "--raw", "/pods")
        assert json.loads(answer)["kind"] == "PodList"
    assert not events(tmp_path, "sensor.faulted", "peer.faulted")
