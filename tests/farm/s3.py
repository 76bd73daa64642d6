"""A real S3-compatible server on loopback: moto's."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

START_S_MAX = 30.0


@contextmanager
def s3_server(bucket: str) -> Iterator[str]:
    """Run a server with an empty bucket; yield its URL."""
    if importlib.util.find_spec("moto") is None:
        pytest.skip("needs moto: pip install 'moto[server]'")
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        port = chosen.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        until_s = time.monotonic() + START_S_MAX
        while True:
            try:
                httpx.put(f"{url}/{bucket}", trust_env=False).raise_for_status()
                break
            except httpx.TransportError:
                assert server.poll() is None, "moto ended"
                assert time.monotonic() < until_s, "moto does not answer"
                time.sleep(0.1)
        yield url
    finally:
        server.kill()
        server.wait()
