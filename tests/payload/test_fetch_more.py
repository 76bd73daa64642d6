"""Fetching over SMB, rcp and the worms' own ways: against real servers where there are any, and against wrong ones."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from payload.servers import SIZES, Lab, content, free_port, serving, tool, until_it_accepts

LOCAL = "127.0.0.1"
KEY = b"\xd6\x37\x06\x19"
KEY_TEXT = base64.b64encode(KEY).decode()


# --- SMB -------------------------------------------------------------------------------------------------


def files(folder: Path) -> Path:
    (folder / "dir").mkdir(parents=True)
    for size in SIZES:
        (folder / "dir" / str(size)).write_bytes(content(size))
    for path in (folder, folder / "dir"):
        path.chmod(0o755)
    return folder


@asynccontextmanager
async def samba(folder: Path, *, guests: bool) -> AsyncIterator[int]:
    """Run Debian's smbd for one share."""
    smbd, port = tool("smbd", "samba"), free_port()
    state = ("lock directory", "state directory", "cache directory", "pid directory", "private dir", "ncalrpc dir")
    lines = [
        "[global]", f"smb ports = {port}", f"interfaces = {LOCAL}", "bind interfaces only = yes",
        "disable spoolss = yes", "load printers = no", f"map to guest = {'Bad User' if guests else 'Never'}",
        "guest account = nobody", "server min protocol = SMB2_02", "log level = 0", "passdb backend = tdbsam",
        *(f"{name} = {folder / 'state'}" for name in state),
        "[pub]", f"path = {folder / 'www'}", "read only = yes", f"guest ok = {'yes' if guests else 'no'}",
    ]  # fmt: skip
    (folder / "state").mkdir()
    (folder / "smb.conf").write_text("\n".join(lines) + "\n")
    if not guests:
        command = ["smbpasswd", "-c", folder / "smb.conf", "-s", "-a", "root"]
        subprocess.run(command, input=b"s3cret\ns3cret\n", check=True, capture_output=True)
    # A session of its own: when it ends, it ends its whole process group.
    process = subprocess.Popen(
        [smbd, "-F", "--no-process-group", "-s", folder / "smb.conf"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        await until_it_accepts(port)
        yield port
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.skipif(os.geteuid() != 0, reason="smbd wants root")
@pytest.mark.parametrize("guests", [True, False])
async def test_samba_gives_every_byte(guests: bool, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = Path(subprocess.check_output(["mktemp", "-d"], text=True).strip())  # not below a folder closed to others
    folder.chmod(0o755)
    files(folder / "www")
    who = "" if guests else "root:s3cret@"
    lab = Lab(private_to_attacker=False)
    try:
        async with samba(folder, guests=guests) as port:
            for size in SIZES:
                assert await lab.content(f"smb://{who}{LOCAL}:{port}/pub/dir/{size}", "smb") == content(size)
            assert (await lab.fetch(f"smb://{who}{LOCAL}:{port}/pub/nothing")).reason == "SMB: no such file"
            assert (await lab.fetch(f"smb://{who}{LOCAL}:{port}/other/x")).reason == "SMB: no such share"
            assert (await lab.fetch(f"smb://{who}{LOCAL}:{port}/pub/dir")).reason == "SMB: a directory"
            if not guests:
                assert (await lab.fetch(f"smb://root:wrong@{LOCAL}:{port}/pub/dir/1")).reason == "SMB: login failed"
    finally:
        shutil.rmtree(folder)


async def test_impacket_gives_every_byte(tmp_path: Path) -> None:
    pytest.importorskip("impacket")
    www, port, lab = files(tmp_path / "www"), free_port(), Lab()
    process = subprocess.Popen(
        [sys.executable, "-c", _SMBSERVER, str(www), str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        await until_it_accepts(port)
        for size in SIZES[:7]:
            assert await lab.content(f"smb://{LOCAL}:{port}/pub/dir/{size}") == content(size)
    finally:
        process.terminate()
        process.wait(10)


_SMBSERVER = """
import sys
from impacket.smbserver import SimpleSMBServer
server = SimpleSMBServer("127.0.0.1", int(sys.argv[2]))
server.addShare("PUB", sys.argv[1])
server.setSMB2Support(True)
server.start()
"""


# --- rcp -------------------------------------------------------------------------------------------------


def rshd(whole: bytes, *, answer: bytes = b"\0", record: bytes | None = None) -> Callable[..., Awaitable[None]]:
    """Serve one file as rshd and rcp do."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        words = [await reader.readuntil(b"\0") for _ in range(4)]
        assert words == [b"\0", b"joe\0", b"joe\0", b"rcp -f /tmp/x\0"]
        writer.write(answer)
        if answer == b"\0":
            assert await reader.readexactly(1) == b"\0"
            writer.write(b"T1 0 1 0\n")
            assert await reader.readexactly(1) == b"\0"
            writer.write(record if record is not None else b"C0644 %d x\n" % len(whole))
            if await reader.read(1) == b"\0":
                writer.write(whole + b"\0" * (record is None))
                await writer.drain()
                if record is None:
                    assert await reader.read(1) == b"\0"

    return talk


async def test_rcp_gives_every_byte() -> None:
    for size in SIZES:
        async with serving(rshd(content(size))) as port:
            assert await Lab().content(f"rcp://joe@{LOCAL}:{port}//tmp/x", "rcp") == content(size)


@pytest.mark.parametrize(
    ("given", "outcome", "reason"),
    [
        ({"answer": b"\1Permission denied.\n"}, "failed", "rsh: Permission denied."),
        ({"answer": b"hello"}, "failed", "closed early"),
        (
            {"record": b"\1rcp: /tmp/x: No such file or directory\n"},
            "missing",
            "rcp: rcp: /tmp/x: No such file or directory",
        ),
        ({"record": b"C0644 x x\n"}, "failed", "rcp: no size"),
        ({"record": b"D0755 0 x\n"}, "failed", "rcp: nonsense"),
        ({"record": b"C0644 9 x\n"}, "partial", "closed early, 5 bytes short"),
    ],
)
async def test_what_goes_wrong_with_rcp(given: dict[str, bytes], outcome: str, reason: str) -> None:
    async with serving(rshd(b"abcd", **given)) as port:
        result = await Lab(idle_s_max=0.5).fetch(f"rcp://joe@{LOCAL}:{port}//tmp/x")
    assert (result.outcome, result.reason) == (outcome, reason)


# --- link, blink, creceive -------------------------------------------------------------------------------


async def test_csend_and_link_give_every_byte() -> None:
    for size in SIZES:

        async def linkbot(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, size: int = size) -> None:
            writer.write(b"hi?\n")
            assert await reader.readexactly(4) == KEY
            writer.write(content(size))

        async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, size: int = size) -> None:
            writer.write(content(size))

        lab = Lab(ports=())
        async with serving(linkbot) as port, serving(plain) as other:
            assert await lab.content(f"link://{LOCAL}:{port}/{KEY_TEXT}", "link") == content(size)
            assert await lab.content(f"csend://{LOCAL}:{other}/4", "csend") == content(size)


async def bring(port: int, whole: bytes, *, source: str = LOCAL, greets: bool = False) -> bytes:
    """Connect as soon as somebody listens there, and bring a file."""
    for _ in range(2000):
        try:
            reader, writer = await asyncio.open_connection(LOCAL, port, local_addr=(source, 0))
            break
        except OSError:
            await asyncio.sleep(0.01)
    if greets:
        writer.write(b"who?")
        assert await reader.readexactly(4) == KEY
    writer.write(whole)
    try:
        await writer.drain()
        writer.write_eof()
        return await reader.read()
    except OSError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize("scheme", ["creceive", "blink"])
async def test_what_the_attacker_brings_itself(scheme: str) -> None:
    lab = Lab()
    for size in SIZES:
        port = free_port()
        url = f"{scheme}://{LOCAL if size else '0.0.0.0'}:{port}/{KEY_TEXT if scheme == 'blink' else ''}"
        got, _ = await asyncio.gather(
            lab.content(url, "shellcode", LOCAL), bring(port, content(size), greets=scheme == "blink")
        )
        assert got == content(size)


async def test_strangers_bring_nothing() -> None:
    port = free_port()
    fetching = asyncio.create_task(Lab().fetch(f"creceive://{LOCAL}:{port}/", "shellcode", LOCAL))
    assert await bring(port, b"forged", source="127.0.0.9") == b""
    await bring(port, b"true")
    result = await fetching
    assert (result.outcome, result.head, result.peer) == ("ok", b"true", LOCAL)
    port = free_port()
    fetching = asyncio.create_task(Lab().fetch(f"creceive://{LOCAL}:{port}/", "shellcode", LOCAL))
    for _ in range(16):
        await bring(port, b"forged", source="127.0.0.9")
    assert (await fetching).reason == "strangers at the port"


@pytest.mark.parametrize(
    ("url", "settings", "reason"),
    [
        (f"creceive://{LOCAL}:80/", {}, "listening below 1024"),
        (f"creceive://{LOCAL}:5000/", {"listen": False}, "policy: listening"),
        (f"creceive://{LOCAL}:5000/", {"policy": "off"}, "policy"),
        ("creceive://127.0.0.5:5000/", {}, "policy: creceive to another than the attacker"),
        (f"blink://{LOCAL}:5000/AAAA", {}, "key of 3 bytes"),
        (f"blink://{LOCAL}:5000/!", {}, "no key"),
        (f"link://{LOCAL}:25/{KEY_TEXT}", {}, "policy: link port 25"),
        (f"csend://{LOCAL}:25/", {}, "policy: csend port 25"),
        (f"smb://{LOCAL}/share", {}, "no share or no file"),
        (f"rcp://{LOCAL}/", {}, "no file name"),
        ("smb://10.0.0.1/share/x", {"private_to_attacker": False}, "address: private"),
        ("rcp://169.254.169.254/x", {}, "address: link-local or metadata service"),
    ],
)  # fmt: skip
async def test_what_is_refused(url: str, settings: dict[str, object], reason: str) -> None:
    result = await Lab(**settings).fetch(url, "shellcode", LOCAL)
    assert (result.outcome in ("refused", "failed"), result.reason) == (True, reason)


async def test_nobody_comes() -> None:
    result = await Lab(idle_s_max=0.1).fetch(f"creceive://{LOCAL}:{free_port()}/", "shellcode", LOCAL)
    assert (result.outcome, result.reason) == ("failed", "silent for 0.1 s")


async def test_a_port_that_is_taken() -> None:
    with socket.create_server((LOCAL, 0)) as server:
        result = await Lab().fetch(f"creceive://{LOCAL}:{server.getsockname()[1]}/", "shellcode", LOCAL)
    assert (result.outcome, result.reason) == ("failed", "address already in use")
