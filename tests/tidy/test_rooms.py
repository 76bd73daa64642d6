"""The table of rooms and the folder of rooms say the same."""

from __future__ import annotations

import os
import subprocess
import sys

from eudaemon.app import later
from eudaemon.protocols import ROOMS, load
from eudaemon.sensor.settings import SensorSettings
from eudaemon.world.windows import CODECS
from tidy.test_imports import ROOMS_NEED
from tidy.tree import SOURCE

AT_THE_DOOR = {f"eudaemon.protocols.{name}" for name in ("_base", "_door", "_front")}


def test_the_table_and_the_folder_agree() -> None:
    folder = SOURCE / "protocols"
    there = {p.stem for p in folder.iterdir() if not p.name.startswith("_") and (p.suffix == ".py" or p.is_dir())}
    assert there == set(ROOMS)
    assert list(ROOMS) == sorted(ROOMS)


def test_every_room_is_what_its_door_says() -> None:
    for name, door in ROOMS.items():
        room = load(name)
        assert (door.name, door.speaks_first) == (room.name, room.speaks_first), name


def test_every_room_is_tried_before_the_sensor_is_confined() -> None:
    for name, door in ROOMS.items():
        settings = SensorSettings(listen=(f"{name} tcp 1",))
        assert any(door.module in modules for modules in later(settings)), name
    whatever = [module for modules in later(SensorSettings()) for module in modules]
    assert set(CODECS) <= set(whatever), "a codec that cannot be found is a session's end"


IDLE = """
import sys
from pathlib import Path
from eudaemon.sensing import put_off_openssl
put_off_openssl()
from eudaemon import app
from eudaemon.payload.fetch.policy import FetchSettings
from eudaemon.protocols import ROOMS
from eudaemon.sensor.runtime import Sensor
from eudaemon.sensor.settings import SensorSettings
Sensor(SensorSettings(), FetchSettings(), bytes(32), Path("nowhere")).preload()
"""


def lines_of(code: str) -> list[list[str]]:
    """Return the words of each line that an idle sensor prints which then runs this code."""
    env = {**os.environ, "PYTHONPATH": str(SOURCE.parent)}
    done = subprocess.run([sys.executable, "-c", IDLE + code], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    return [line.split() for line in done.stdout.splitlines()]


def test_an_idle_sensor_loads_no_room() -> None:
    """Nor what one needs, nor a shell, nor OpenSSL: all of that comes with the first peer that asks for it."""
    needed, loaded = lines_of(
        "print(*sorted({package for door in ROOMS.values() for package in door.needs}))\nprint(*sys.modules)"
    )
    assert needed == sorted(ROOMS_NEED.values())[:1]
    heavy = ("_hashlib", "hmac", "ssl", "eudaemon.world.shell", "eudaemon.world.windows", *needed)
    assert not {name for name in loaded if name in heavy or name.startswith("eudaemon.protocols.")} - AT_THE_DOOR


def test_an_uplink_brings_openssl_and_nothing_that_it_could_do_without() -> None:
    before, after = lines_of("print(*sys.modules)\nimport eudaemon.sensor.uplink\nprint(*sys.modules)")
    ours = {"eudaemon.payload.fetch.tls", "eudaemon.sensor.client", "eudaemon.sensor.uplink", "eudaemon.wire.tls"}
    assert set(after) - set(before) == {"_ssl", "ssl", *ours}
