"""Real TFTP clients at a whole sensor: Debian's, and curl."""

from __future__ import annotations

import hashlib
from pathlib import Path

from payload.servers import SIZES, content, tool
from sensor.harness import events, running
from sensor.test_tls import run


async def test_files_are_put(tmp_path: Path) -> None:
    tftp, curl = tool("tftp", "tftp-hpa"), tool("curl", "curl")
    async with running(tmp_path, "tftp", transport="udp") as net:
        for size in SIZES:
            (tmp_path / "bot").write_bytes(content(size))
            small = size < 5000
            command = (
                (tftp, "-m", "binary", "127.0.0.1", str(net.port), "-c", "put", str(tmp_path / "bot"), f"bot{size}")
                if small
                else (curl, "-sS", "--max-time", "20", "--tftp-blksize", "1428", "-T", str(tmp_path / "bot"),
                      f"tftp://127.0.0.1:{net.port}/bot{size}")
            )  # fmt: skip
            code, out = await run(*command)
            assert (code, out) == (0, b""), out
        code, out = await run(tftp, "-m", "binary", "127.0.0.1", str(net.port), "-c", "get", "/etc/passwd", "/dev/null")
        assert b"Access violatio" in out
    kept = [event.fact for event in events(tmp_path, "artefact.kept")]
    assert [(fact.name, fact.sha256, fact.partial) for fact in kept] == [  # type: ignore[attr-defined]
        (f"bot{size}", hashlib.sha256(content(size)).hexdigest(), False) for size in SIZES
    ]
    closed = [event.fact for event in events(tmp_path, "session.closed")]
    assert all(fact.bytes_out <= fact.bytes_in for fact in closed)  # type: ignore[attr-defined]
    assert not events(tmp_path, "sensor.faulted", "peer.faulted")
