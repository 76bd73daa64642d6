"""The farm as a whole: how it starts, what it needs afterwards, how it stops, and what it says of itself."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx
import pytest

from eudaemon.events import catalogue as facts
from eudaemon.farm import serving
from eudaemon.farm.server import Farm
from eudaemon.farm.serving import ServingError, listen
from farm.farms import Uplink, event, running, settings

IMPORTS = Path(__file__).with_name("imports_child.py")


@pytest.mark.parametrize("uid", ["", "61881"])
def test_it_serves_confined_and_imports_nothing_after_bind(uid: str) -> None:
    """Root is given up after `bind`, and the interpreter's own files may be out of reach from then on."""
    if uid and os.geteuid() != 0:
        pytest.skip("needs root, to give it up")
    with tempfile.TemporaryDirectory(prefix="eudaemon-test-") as place:
        Path(place).chmod(0o755)  # the other user has to pass through
        command = [sys.executable, str(IMPORTS), f"{place}/farm", *filter(None, [uid])]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "served: artefact.kept control.hijacked login.tried sample.identified",
        "late: []",
    ]


async def test_it_says_where_it_listens(tmp_path: Path) -> None:
    farm = Farm(settings(intake={"addresses": ("127.0.0.1", "::1")}), tmp_path)
    farm.prepare()
    page, *intake = farm.bind()
    assert page == f"page http 127.0.0.1:{farm._ports['page']}"
    port = farm._ports["intake"]
    assert intake == [f"intake https 127.0.0.1:{port}", f"intake https [::1]:{port}"]
    assert farm.intake_url == f"https://127.0.0.1:{port}"
    assert farm.page_url == f"http://127.0.0.1:{farm._ports['page']}/"
    for server in farm._serving:
        for bound in server._sockets:
            bound.close()


async def test_a_page_that_others_can_reach_is_served_over_tls(tmp_path: Path) -> None:
    async with running(tmp_path, settings(page={"address": "0.0.0.0", "port": 0})) as farm:
        assert farm.page_url.startswith("https://127.0.0.1:")
        context = ssl.create_default_context(cafile=str(farm.certificate.path))
        context.check_hostname = False
        async with httpx.AsyncClient(verify=context, trust_env=False) as client:
            assert (await client.get(farm.page_url)).status_code == 200


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServingError, match=rf"127\.0\.0\.1:{port}.*another farm"):
            listen(["127.0.0.1"], port)


async def test_the_first_password_is_shown_until_used_and_the_local_sensor_is_admitted_again(tmp_path: Path) -> None:
    farm = Farm(settings(), tmp_path)
    password = farm.prepare()
    assert password
    farm.accounts.login("admin", password, address="192.0.2.1")
    farm.admit("local", "0" * 64)
    beside = Farm(settings(), tmp_path)
    assert beside.prepare() is None
    beside.admit("local", "0" * 64)
    assert beside.fingerprint == farm.fingerprint
    assert [sensor.name for sensor in beside.fleet.sensors()] == ["local"]


async def test_the_command_line_may_look_while_the_farm_runs(tmp_path: Path) -> None:
    async with running(tmp_path) as farm, Uplink(farm) as uplink:
        await uplink.send([])
        farm.fleet.flush()
        beside = Farm(farm.settings, tmp_path)
        assert beside.fleet.sensors()[0].contact_s is not None
        assert beside.fleet.revoke("lab")
        assert (await uplink.send([])).status_code == 401


async def test_it_stops_in_good_order_and_what_was_taken_is_in_the_engine(tmp_path: Path) -> None:
    async with running(tmp_path, settings(store={"load_every_s": 60.0})) as farm, Uplink(farm) as uplink:
        await uplink.send([event(facts.CommandEntered("ls"))])
        assert farm.store.health()["queued_events"] == 1
    async with running(tmp_path) as farm:
        assert farm.store.health()["queued_events"] == 0
        assert await farm.store.query("SELECT command FROM events") == [{"command": "ls"}]


async def test_a_follower_does_not_keep_it_from_stopping(tmp_path: Path) -> None:
    async with running(tmp_path) as farm, Uplink(farm):
        reader, writer = await asyncio.open_connection("127.0.0.1", farm._ports["page"])
        writer.write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        await writer.drain()
    assert await reader.read() == b"" or reader.at_eof()
    writer.close()


async def test_who_never_finishes_a_request_is_hung_up_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "BETWEEN_REQUESTS_S_MAX", 0.3)
    async with running(tmp_path) as farm:
        reader, writer = await asyncio.open_connection("127.0.0.1", farm._ports["page"])
        for piece in b"GET / HTTP/1.1\r\nX: ":
            if reader.at_eof():
                break
            writer.write(bytes([piece]))
            await asyncio.sleep(0.05)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_one_address_cannot_take_all_connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "CONNECTIONS_PER_ADDRESS_MAX", 3)
    async with running(tmp_path) as farm:
        opened = [await asyncio.open_connection("127.0.0.1", farm._ports["page"]) for _ in range(4)]
        assert await asyncio.wait_for(opened[3][0].read(), 5) == b""
        for reader, writer in opened[:3]:
            writer.write(b"GET /nothing HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 ")
        for _, writer in opened:
            writer.close()


async def test_old_things_are_removed(tmp_path: Path) -> None:
    async with running(tmp_path) as farm, Uplink(farm) as uplink:
        events = [event(facts.CommandEntered(f"{n}"), at_s=1_795_000_000.0 - n * 400 * 86_400) for n in range(3)]
        await uplink.send(events)
        await farm.store.settle()
        await farm.remove_old(1_795_487_000.0)
        assert await farm.store.query("SELECT command FROM events") == [{"command": "0"}]
