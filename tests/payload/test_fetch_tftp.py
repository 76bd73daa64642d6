"""TFTP fetching against tftpd-hpa, and servers that answer from elsewhere, repeat themselves or never end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import subprocess
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

import pytest

from payload.servers import SIZES, Lab, content, free_port, tool

Address = tuple[str, int]


@pytest.fixture
async def tftpd(tmp_path: Path) -> AsyncIterator[int]:
    program = tool("in.tftpd", "tftpd-hpa")
    for size in SIZES:
        (tmp_path / str(size)).write_bytes(content(size))
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    port = free_port(socket.SOCK_DGRAM)
    process = subprocess.Popen(
        [program, "--foreground", "--listen", "--address", f"127.0.0.1:{port}", "--secure", "--user", "root", tmp_path]
    )
    try:
        await asyncio.sleep(0.2)  # nothing of UDP says that it listens; a lost first packet is sent again anyway
        yield port
    finally:
        process.terminate()
        process.wait(10)


async def test_a_real_server_gives_every_byte(tftpd: int) -> None:
    lab = Lab()
    for size in SIZES:
        assert await lab.content(f"tftp://127.0.0.1:{tftpd}/{size}", "tftp") == content(size)
    result = await lab.fetch(f"tftp://127.0.0.1:{tftpd}/nothing", "tftp")
    assert (result.outcome, result.reason) == ("missing", "TFTP error 1")


def data(number: int, block: bytes) -> bytes:
    return struct.pack("!HH", 3, number & 0xFFFF) + block


def error(number: int) -> bytes:
    return struct.pack("!HH", 5, number) + b"no\0"


def oack(**options: int) -> bytes:
    return struct.pack("!H", 6) + b"".join(b"%s\0%d\0" % (k.encode(), v) for k, v in options.items())


class Scripted(asyncio.DatagramProtocol):
    """Answers each packet with what `answer` gives for it, from a port of its own for the transfer."""

    def __init__(self, answer: Callable[[bytes], Iterable[bytes]]) -> None:
        self.answer = answer
        self.heard: list[bytes] = []
        self.tid: asyncio.DatagramTransport | None = None

    def datagram_received(self, packet: bytes, address: Address) -> None:
        self.heard.append(packet)
        for answer in self.answer(packet):
            assert self.tid is not None
            self.tid.sendto(answer, address)


@contextlib.asynccontextmanager
async def scripted(answer: Callable[[bytes], Iterable[bytes]]) -> AsyncIterator[tuple[str, Scripted]]:
    loop, server = asyncio.get_running_loop(), Scripted(answer)
    first, _ = await loop.create_datagram_endpoint(lambda: server, local_addr=("127.0.0.1", 0))
    server.tid, _ = await loop.create_datagram_endpoint(lambda: server, local_addr=("127.0.0.1", 0))
    try:
        yield f"tftp://127.0.0.1:{first.get_extra_info('sockname')[1]}/x", server
    finally:
        first.close()
        server.tid.close()


def file_server(whole: bytes, block_bytes: int = 512, repeat: int = 1) -> Callable[[bytes], Iterable[bytes]]:
    """An old server that knows no options, and sends every block `repeat` times."""

    def answer(packet: bytes) -> Iterable[bytes]:
        number = 0 if packet[:2] == b"\0\1" else struct.unpack("!HH", packet)[1]
        if number * block_bytes <= len(whole):
            yield from [data(number + 1, whole[number * block_bytes : (number + 1) * block_bytes])] * repeat

    return answer


@pytest.mark.parametrize("repeat", [1, 2, 3])
async def test_old_and_stuttering_servers(repeat: int) -> None:
    for size in (0, 1, 511, 512, 513, 5000):
        async with scripted(file_server(content(size), repeat=repeat)) as (url, _):
            assert await Lab().content(url) == content(size)


async def test_the_wish_names_its_options_and_goes_without_where_they_are_refused() -> None:
    def answer(packet: bytes) -> Iterable[bytes]:
        return [error(8)] if b"blksize" in packet else file_server(b"plain")(packet)

    async with scripted(answer) as (url, server):
        assert await Lab().content(url) == b"plain"
    assert server.heard[0] == b"\0\1x\0octet\0blksize\x001428\0tsize\x000\0"
    assert server.heard[1] == b"\0\1x\0octet\0"


async def test_block_numbers_wrap_around() -> None:
    whole = content(8 * 66_000)

    def answer(packet: bytes) -> Iterable[bytes]:
        nonlocal block
        if packet[:2] == b"\0\1":
            return [oack(blksize=8, tsize=len(whole))]
        assert struct.unpack("!HH", packet)[1] == block & 0xFFFF
        block += 1
        return [data(block, whole[(block - 1) * 8 : block * 8])]

    block = 0
    async with scripted(answer) as (url, _):
        assert await Lab().content(url) == whole


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([error(1)], ("missing", "TFTP error 1", b"")),
        ([error(0)], ("failed", "TFTP error 0", b"")),
        ([oack(blksize=65464)], ("failed", "bad block size", b"")),
        ([oack(blksize=0)], ("failed", "bad block size", b"")),
        ([data(1, b"x" * 513)], ("failed", "block of 513 bytes instead of 512", b"")),
        ([data(1, b"x" * 512), error(3)], ("partial", "TFTP error 3", b"x" * 512)),
        ([oack(tsize=100), data(1, b"short")], ("partial", "5 bytes of the 100 announced", b"short")),
        ([data(7, b"out of turn"), b"\0\3", b"junk!", data(1, b"ok")], ("ok", "", b"ok")),
    ],
)
async def test_answers(answers: list[bytes], expected: tuple[str, str, bytes]) -> None:
    async with scripted(lambda packet: answers if packet[:2] == b"\0\1" else ()) as (url, _):
        lab = Lab()
        result = await lab.fetch(url)
    assert (result.outcome, result.reason, lab.kept.get(result.sha256, b"")) == expected


async def test_a_packet_from_another_port_is_not_believed() -> None:
    async with scripted(lambda packet: [data(1, b"x" * 512)] if packet[:2] == b"\0\1" else ()) as (url, server):

        def both(packet: bytes) -> Iterable[bytes]:
            if packet[:2] == b"\0\1":
                return [data(1, b"x" * 512)]
            client = heard_from[0]
            stranger.sendto(data(2, b"forged"), client)
            return [data(2, b"true")]

        heard_from: list[Address] = []
        plain = server.datagram_received

        def noted(packet: bytes, address: Address) -> None:
            heard_from.append(address)
            plain(packet, address)

        server.answer, server.datagram_received = both, noted  # type: ignore[method-assign]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind(("127.0.0.1", 0))
            assert await Lab().content(url) == b"x" * 512 + b"true"
            stranger.setblocking(False)
            with pytest.raises(BlockingIOError):
                stranger.recv(512)


async def test_a_lost_acknowledgement_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eudaemon.payload.fetch.tftp.RETRY_S", 0.05)
    lost = [True, True]

    def answer(packet: bytes) -> Iterable[bytes]:
        return () if lost and lost.pop() else file_server(b"late")(packet)

    async with scripted(answer) as (url, server):
        assert await Lab().content(url) == b"late"
    assert len(server.heard) >= 3


@pytest.mark.parametrize("answers", [[], [data(1, b"x" * 512)], [data(1, b"x" * 512)] * 50, [oack(blksize=512)]])
async def test_a_server_that_gets_nowhere_costs_the_idle_time(answers: list[bytes]) -> None:
    async with scripted(lambda _: answers) as (url, _):
        result = await Lab(idle_s_max=0.2, total_s_max=3).fetch(url)
    assert result.reason == "silent for 0.2 s"
    assert result.outcome == ("partial" if answers and answers[0][1] == 3 else "failed")


async def test_a_file_without_end_costs_the_byte_limit() -> None:
    def answer(packet: bytes) -> Iterable[bytes]:
        return [data(1 if packet[:2] == b"\0\1" else struct.unpack("!HH", packet)[1] + 1, b"z" * 512)]

    async with scripted(answer) as (url, _):
        result = await Lab(bytes_max=100_000).fetch(url)
    assert (result.outcome, result.size, result.reason) == ("partial", 100_000, "more than 100000 bytes")
