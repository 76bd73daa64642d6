"""Side connections over real sockets: only the peer's own address, only so many, only for so long, never elsewhere."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from eudaemon.payload.fetch.policy import FetchSettings
from eudaemon.sensor import side
from eudaemon.sensor.settings import SensorSettings
from sensor.harness import Running, events, free_port, running
from sensor.test_tls import lenient

LAB = FetchSettings(lab_networks=("127.0.0.0/8",))


async def asked(sensor: Running, order: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, int]:
    """Order a side connection; return the streams and the port that the room names."""
    reader, writer = await sensor.connect()
    writer.write(order)
    return reader, writer, int((await reader.readline()).removeprefix(b"port "))


@pytest.mark.parametrize("order", [b"await", b"tls"])
async def test_the_peer_connects(order: bytes, tmp_path: Path) -> None:
    port = free_port()
    async with running(tmp_path, "sider", passive_ports=str(port)) as sensor:
        control, writer, named = await asked(sensor, order)
        assert named == port
        tls = lenient() if order == b"tls" else None
        reader, data = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
        assert await reader.readexactly(5) == b"hello"
        assert await control.readline() == b"opened\n"
        whole = b"x" * 500_000
        data.write(whole)
        assert await reader.readexactly(len(whole)) == whole
        data.write(b"bye")
        assert await reader.read() == b"bye"
        data.transport.abort()
        for _ in range(100):  # the place is free again, as soon as the peer's leaving is noticed
            writer.write(b"await")
            if await control.readline() == b"port %d\n" % port:
                break
        else:
            raise AssertionError("the place is never free again")
        writer.close()
    (closed,) = events(tmp_path, "session.closed")
    assert closed.fact.bytes_in >= 500_003 + len(order)  # type: ignore[attr-defined]
    assert not events(tmp_path, "sensor.faulted", "peer.faulted")


async def test_nobody_else_is_let_in(tmp_path: Path) -> None:
    port = free_port()
    async with running(tmp_path, "sider", passive_ports=str(port)) as sensor:
        control, writer, _ = await asked(sensor, b"await")
        reader, stranger = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.9", 0))
        assert await reader.read() == b""
        stranger.close()
        reader, data = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.readexactly(5) == b"hello"
        assert await control.readline() == b"opened\n"
        data.close()
        assert await control.readline() == b"closed 1\n"
        writer.close()


async def test_whoever_leaves_the_control_connection_may_still_send(tmp_path: Path) -> None:
    async with running(tmp_path, "sider", passive_ports=str(free_port())) as sensor:
        control, writer, port = await asked(sensor, b"await")
        reader, data = await asyncio.open_connection("127.0.0.1", port)
        await control.readline()
        writer.write_eof()
        assert await control.readline() == b"still here\n"
        data.write(b"more")
        assert await reader.readexactly(9) == b"hellomore"
        data.write_eof()
        assert await control.read() == b"closed 1\n"
        assert await reader.read() == b""
        data.close()
        writer.close()
        (closed,) = await sensor.until("session.closed")
    assert closed.fact.reason == "peer"  # type: ignore[attr-defined]


async def test_places_are_bounded_and_returned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side, "WAIT_S_MAX", 0.5)
    first, second = free_port(), free_port()
    async with running(tmp_path, "sider", passive_ports=f"{first},{second}") as sensor:
        held = [await asked(sensor, b"await") for _ in range(3)]
        assert sorted(port for *_, port in held) == sorted((0, first, second))
        for reader, _, port in held:
            if port:
                assert await reader.readline() == b"closed 0\n"  # nobody came
        *_, port = await asked(sensor, b"await")
        assert port in (first, second)


async def test_an_address_has_only_so_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side, "PER_ADDRESS_MAX", 1)
    async with running(tmp_path, "sider", passive_ports=f"{free_port()},{free_port()}") as sensor:
        assert [bool(port) for *_, port in [await asked(sensor, b"await") for _ in range(2)]] == [True, False]
        reader, writer = await asyncio.open_connection("127.0.0.1", sensor.port, local_addr=("127.0.0.2", 0))
        writer.write(b"await")
        assert await reader.readline() != b"port 0\n"
        writer.close()


@pytest.mark.parametrize(
    ("fetch", "answer"),
    [(LAB, b"opened\n"), (FetchSettings(policy="off"), b"closed 0\n"), (FetchSettings(), b"closed 0\n")],
)
async def test_a_call_is_within_the_policy(fetch: FetchSettings, answer: bytes, tmp_path: Path) -> None:
    called: list[bytes] = []

    async def taken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        called.append(await reader.readexactly(5))
        writer.close()

    server = await asyncio.start_server(taken, "127.0.0.1", 0)
    async with server, running(tmp_path, "sider", fetch=fetch) as sensor:
        reader, writer = await sensor.connect()
        writer.write(b"call %d" % server.sockets[0].getsockname()[1])
        assert await reader.readline() == answer
        if answer == b"opened\n":
            assert await reader.readline() == b"closed 1\n"
        writer.close()
    assert called == [b"hello"] * (answer == b"opened\n")


@pytest.mark.parametrize("port", [0, 22, 1023, 65_536])
async def test_a_call_to_a_service_is_not_made(port: int, tmp_path: Path) -> None:
    async with running(tmp_path, "sider", fetch=LAB) as sensor:
        reader, writer = await sensor.connect()
        writer.write(b"call %d" % port)
        assert await reader.readline() == b"closed 0\n"
        writer.close()


async def test_calls_are_counted(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        fetch = FetchSettings(lab_networks=("127.0.0.0/8",), starts_per_host_minute_max=2)
        async with running(tmp_path, "sider", fetch=fetch) as sensor:
            answers = []
            for _ in range(3):
                reader, writer = await sensor.connect()
                writer.write(b"call %d" % server.getsockname()[1])
                answers.append(await reader.readline())
                writer.close()
    assert answers == [b"opened\n", b"opened\n", b"closed 0\n"]


@pytest.mark.parametrize("ports", ["80", "1023-2000", "x", "", "70000"])
def test_passive_ports_that_cannot_be(ports: str) -> None:
    option = SensorSettings.__dataclass_fields__["passive_ports"].metadata["option"]
    with pytest.raises(ValueError, match=r"port|root"):
        option.check(ports)
