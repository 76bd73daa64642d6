"""Ports that others have: passed over, summed up in one line a reason, and refused when none is left."""

from __future__ import annotations

import socket

import pytest

from eudaemon.sensor.binding import LISTED_MAX, BindError, bind
from eudaemon.sensor.settings import SensorSettings
from payload.servers import free_port


def settings(*ports: int, offset: int = 0) -> SensorSettings:
    listen = f"telnet tcp {','.join(map(str, ports))}"
    return SensorSettings(listen=(listen,), addresses=("127.0.0.1",), port_offset=offset)


def test_taken_ports_are_summed_up(caplog: pytest.LogCaptureFixture) -> None:
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(LISTED_MAX + 2)]
    ports = [sock.getsockname()[1] for sock in taken]
    try:
        for sock, _ in bind(settings(free_port(), *ports)):
            sock.close()
        (record,) = caplog.records
        assert "address already in use" in record.getMessage()
        assert f"tcp {ports[0]}, tcp {ports[1]}" in record.getMessage()
        assert record.getMessage().endswith(" and 2 more")
        caplog.clear()
        with pytest.raises(BindError, match=f"nothing can be listened on: address already in use: tcp {ports[0]}, "):
            bind(settings(*ports))
        assert not caplog.records
    finally:
        for sock in taken:
            sock.close()


def test_a_port_that_an_offset_leads_beyond_the_last_one_stays() -> None:
    moved = settings(23, offset=10_000)
    assert [moved.bound(port) for port in (23, 55_535, 55_536, 61_616)] == [10_023, 65_535, 55_536, 61_616]
