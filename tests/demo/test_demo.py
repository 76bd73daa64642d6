"""The demo's attacks go where the sensor that one has by default expects them."""

from __future__ import annotations

from eudaemon.cli.demo import UNEXPECTED_PORT
from eudaemon.sensor.settings import SensorSettings


def test_bytes_that_nobody_expects_go_to_the_room_that_expects_nothing() -> None:
    rooms = [listener.rooms for listener in SensorSettings().listeners if UNEXPECTED_PORT in listener.ports]
    assert rooms == [("catchall",)]
