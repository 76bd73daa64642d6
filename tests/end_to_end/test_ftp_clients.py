"""Real FTP clients at a whole sensor: curl and lftp, passive and active, plain and in TLS."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from eudaemon.payload.fetch.policy import FetchSettings
from payload.servers import SIZES, content, free_port, tool
from sensor.harness import events, running
from sensor.test_tls import run

FEW = (0, 4097, 65_536)
LAB = FetchSettings(lab_networks=("127.0.0.0/8",))


def kept(home: Path) -> list[tuple[str, int, bool]]:
    found = [event.fact for event in events(home, "artefact.kept")]
    return [(fact.sha256, fact.size, fact.partial) for fact in found]  # type: ignore[attr-defined]


def whole(size: int) -> tuple[str, int, bool]:
    return hashlib.sha256(content(size)).hexdigest(), size, False


@pytest.mark.parametrize(
    "mode",
    [
        (),
        ("--disable-epsv",),
        ("--ftp-port", "127.0.0.1", "--disable-eprt"),
        ("--ftp-port", "127.0.0.1"),
        ("-k", "--ssl-reqd"),
    ],
)
async def test_curl(mode: tuple[str, ...], tmp_path: Path) -> None:
    ports = f"{free_port()},{free_port()},{free_port()}"
    async with running(tmp_path, "ftp", passive_ports=ports, fetch=LAB) as net:
        where = f"ftp://127.0.0.1:{net.port}"
        for size in FEW if mode else SIZES:
            (tmp_path / "up").write_bytes(content(size))
            code, out = await run(
                tool("curl", "curl"), "-sS", *mode, "--max-time", "15", "-T", str(tmp_path / "up"), f"{where}/up"
            )
            assert code == 0, out
        code, out = await run(
            tool("curl", "curl"), "-sS", *mode, "--max-time", "15", f"{where}/etc/passwd", "-Q", "PWD"
        )
        assert (code, out[:5]) == (0, b"root:")
        # Another connection, and what the one before it left: of what is large, its size.
        (tmp_path / "up").write_bytes(content(65_536))
        for command in (("-T", str(tmp_path / "up"), f"{where}/left"), (f"{where}/left",)):
            code, out = await run(tool("curl", "curl"), "-sS", *mode, "--max-time", "15", *command)
            assert code == 0, out
        assert out == content(65_536)
    assert kept(tmp_path) == [whole(size) for size in (*(FEW if mode else SIZES), 65_536)]
    assert bool(events(tmp_path, "tls.accepted")) == ("--ssl-reqd" in mode)
    assert not events(tmp_path, "sensor.faulted", "peer.faulted")


async def test_lftp(tmp_path: Path) -> None:
    lftp = tool("lftp", "lftp")
    (tmp_path / "folder").mkdir()
    for size in (1, 4096, 1_500_000):
        (tmp_path / "folder" / str(size)).write_bytes(content(size))
    async with running(tmp_path, "ftp", passive_ports=",".join(str(free_port()) for _ in range(6))) as net:
        script = (
            "set ssl:verify-certificate no; set net:timeout 10; set net:max-retries 1; mirror -R folder up; cls up; "
            "chmod 755 up/1; mv up/1 up/one; get up/1500000 -o back; rm up/one; ls /; bye"
        )
        code, out = await run(lftp, "-u", "root,root", "-e", f"lcd {tmp_path}; {script}", f"ftp://127.0.0.1:{net.port}")
    assert code == 0, out.decode()
    assert (tmp_path / "back").read_bytes() == content(1_500_000)
    assert sorted(kept(tmp_path)) == sorted(whole(size) for size in (1, 4096, 1_500_000))
    assert not events(tmp_path, "sensor.faulted", "peer.faulted")


async def test_active_mode_is_within_the_policy(tmp_path: Path) -> None:
    async with running(tmp_path, "ftp", fetch=FetchSettings(policy="off")) as net:
        code, out = await run(
            tool("curl", "curl"), "-sS", "--max-time", "10", "--ftp-port", "127.0.0.1", f"ftp://127.0.0.1:{net.port}/"
        )
    assert code == 19, out  # CURLE_FTP_COULDNT_RETR_FILE: the server says 425
    assert not events(tmp_path, "sensor.faulted", "peer.faulted")
