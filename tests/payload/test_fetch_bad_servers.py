"""Every way of fetching against every server that lies or hangs: it ends, within its limits; what came is kept and,
where it is known not to be all, called partial.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ssl
import struct
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from eudaemon.payload.fetch.service import SCHEMES, FetchResult
from payload.bad_servers import (
    CONTENT,
    FAULTS,
    HALF,
    LOCAL,
    NONSENSE,
    SERVERS,
    Body,
    Proxy,
    Server,
    calling,
    faulty,
    port_to_call,
)
from payload.servers import Lab, certificate, content, free_port, serving, until_it_accepts
from payload.test_fetch_more import _SMBSERVER
from payload.test_fetch_ssh import sshd  # noqa: F401 - a fixture
from payload.test_fetch_tftp import data, error, file_server, oack, scripted

SLOW = tuple(fault for fault in FAULTS if fault in ("mute", "drips") or fault.startswith("hangs"))  # all at once
LIMITS = {"idle_s_max": 0.4, "connect_s_max": 0.4, "total_s_max": 1.2, "bytes_max": 150_000}


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    key, cert = certificate(tmp_path_factory.mktemp("tls"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


async def fetched(server: Server, fault: str, tls: ssl.SSLContext) -> tuple[FetchResult, bytes]:
    """Fetch from a server with this fault; return what came of it and what was kept."""
    lab = Lab(**LIMITS, ports=(), ftp_active=True)
    talk = faulty(server.serve, Body(server.content, fault))
    if server.calls:
        port = port_to_call()
        caller = asyncio.create_task(calling(port, talk))
        result = await lab.fetch(server.url.replace("PORT", str(port)), "shellcode", LOCAL)
        caller.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await caller
    else:
        async with serving(talk, tls=tls if server.tls else None) as port:
            result = await lab.fetch(server.url.replace("PORT", str(port)), "wget", LOCAL)
    assert result.sha256 in ("", hashlib.sha256(lab.kept.get(result.sha256, b"")).hexdigest())
    assert len(lab.kept) == bool(result.sha256)
    return result, lab.kept.get(result.sha256, b"")


def judge(server: Server, fault: str, result: FetchResult, kept: bytes) -> None:
    """Hold a result against what the fault and the protocol's own means let one know."""
    where = f"{server}, {fault}: {result.outcome} {result.reason}, {len(kept)} bytes"
    assert result.size == len(kept) <= LIMITS["bytes_max"], where
    assert (result.outcome == "ok") is (not result.reason), where
    if fault == "none":
        assert (result.outcome, kept) == ("ok", server.kept), where
    elif fault == "endless" and not server.encoded:
        assert (result.outcome, kept) == ("partial", (CONTENT * 3)[: len(kept)]), where
        assert len(kept) == LIMITS["bytes_max"], where
    elif fault == "nonsense":
        assert NONSENSE.startswith(kept), where  # who knows what a bare connection, or HTTP without a head, means
    else:
        assert server.kept.startswith(kept), where
        assert (result.outcome in ("ok", "partial")) is bool(kept), where
    if server.encoded:
        assert server.in_parts or kept in (b"", server.kept), where
        assert fault != "reset" or result.outcome != "ok", where
    elif fault in ("hangs after the first byte", "drips", "reset"):
        assert kept, where
        assert result.outcome == "partial", where
    elif fault in ("cut", "less than announced"):
        wanted = "partial" if server.announces else "ok"
        assert (result.outcome, len(kept)) == (wanted, HALF if fault == "cut" else len(CONTENT)), where
    elif fault == "more than announced" and server.announces:
        assert len(kept) >= HALF, where


@pytest.mark.parametrize("faults", [SLOW, *((fault,) for fault in FAULTS if fault not in SLOW)], ids=", ".join)
async def test_a_bad_server(faults: tuple[str, ...], tls: ssl.SSLContext) -> None:
    tried = [(server, fault) for server in SERVERS for fault in faults]
    found = await asyncio.gather(*(fetched(server, fault, tls) for server, fault in tried))
    for (server, fault), (result, kept) in zip(tried, found, strict=True):
        judge(server, fault, result, kept)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_circle_of_redirects(scheme: str, tls: ssl.SSLContext) -> None:
    """Each leads to another place of the same server, so that no memory of what was asked ends it."""
    asked = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: /%d\r\nContent-Length: 9\r\n\r\ngo there!" % asked)
        await writer.drain()

    async with serving(talk, tls=tls if scheme == "https" else None) as port:
        lab = Lab(**LIMITS, ports=())
        result = await lab.fetch(f"{scheme}://{LOCAL}:{port}/")
    assert (result.outcome, lab.kept) == ("failed", {}), result
    assert asked == lab.fetcher.settings.redirects_max + 1


# --- TFTP, which is datagrams -----------------------------------------------------------------------------


def _tftp(fault: str) -> object:
    good = file_server(CONTENT)

    def answer(packet: bytes) -> Iterable[bytes]:
        asked = packet[:2] == b"\0\1"
        number = 0 if asked else struct.unpack("!HH", packet[:4])[1]
        match fault:
            case "mute":
                return ()
            case "nonsense":
                return (b"\xff\xfe\0nonsense",)
            case "hangs after the first byte" if number:  # after the first block
                return ()
            case "cut" if number == 50:
                return (error(0),)
            case "less than announced" if asked:
                return (oack(tsize=2 * len(CONTENT)),)
            case "more than announced" if asked:
                return (oack(tsize=HALF),)
            case "endless":
                return (data(number + 1, CONTENT[:512]),)
        return good(packet)

    return answer


OF_DATAGRAMS = {
    "none": ("ok", len(CONTENT)), "mute": ("failed", 0), "nonsense": ("failed", 0),
    "hangs after the first byte": ("partial", 512), "cut": ("partial", 50 * 512),
    "less than announced": ("partial", len(CONTENT)), "more than announced": ("partial", len(CONTENT)),
    "endless": ("partial", LIMITS["bytes_max"]),
}  # fmt: skip


async def test_a_bad_server_of_datagrams() -> None:
    async def tried(fault: str) -> tuple[str, int]:
        async with scripted(_tftp(fault)) as (url, _):  # type: ignore[arg-type]
            lab = Lab(**LIMITS)
            result = await lab.fetch(url, "tftp")
        kept = lab.kept.get(result.sha256, b"")
        assert CONTENT.startswith(kept) or kept == (CONTENT[:512] * 999)[: len(kept)]
        return result.outcome, result.size

    found = await asyncio.gather(*map(tried, OF_DATAGRAMS))
    assert dict(zip(OF_DATAGRAMS, found, strict=True)) == OF_DATAGRAMS


# --- real servers behind a bad network --------------------------------------------------------------------

BROKEN = [
    ("hangs", 0), ("hangs", 1), ("hangs", 150_000), ("cut", 0), ("cut", 150_000), ("reset", 150_000),
    ("drips", 150_000),
]  # fmt: skip


async def behind(port: int, url: str, fault: str, after_bytes: int, whole: bytes) -> None:
    proxy, lab = Proxy(port, fault, after_bytes), Lab(idle_s_max=2.0, total_s_max=5.0)
    async with serving(proxy.talk) as ours:
        result = await lab.fetch(url.replace("PORT", str(ours)), "scp")
    kept = lab.kept.get(result.sha256, b"")
    where = f"{url} {fault} after {after_bytes}: {result}"
    assert whole.startswith(kept), where
    assert result.outcome == ("partial" if after_bytes > 1 else "failed"), where
    assert result.reason, where
    assert bool(kept) is (after_bytes > 1), where


@pytest.mark.soak
async def test_ssh_over_a_bad_network(sshd: str) -> None:  # noqa: F811
    place, _, folder = sshd.partition("/")
    whole = content(1_500_000)
    for scheme in ("scp", "sftp"):
        url = f"{scheme}://root:s3cret@127.0.0.1:PORT/{folder}/1500000"
        await asyncio.gather(*(behind(int(place.split(":")[1]), url, *how, whole) for how in BROKEN))


@pytest.mark.soak
async def test_smb_over_a_bad_network(tmp_path: Path) -> None:
    pytest.importorskip("impacket")
    whole, port = content(1_500_000), free_port()
    (tmp_path / "x").write_bytes(whole)
    process = subprocess.Popen([sys.executable, "-c", _SMBSERVER, str(tmp_path), str(port)],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        await until_it_accepts(port)
        await asyncio.gather(*(behind(port, "smb://127.0.0.1:PORT/pub/x", *how, whole) for how in BROKEN))
    finally:
        process.terminate()
        process.wait(10)


def test_every_scheme_is_tried() -> None:
    tried = {server.url.partition(":")[0] for server in SERVERS}
    assert tried | {"tftp", "scp", "sftp", "smb"} == SCHEMES.keys()
