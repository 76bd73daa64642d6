"""The table of rooms and the folder of rooms say the same."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module

from eudaemon.app import later
from eudaemon.protocols import ROOMS, load
from eudaemon.sensor.settings import SensorSettings
from eudaemon.world.windows import CODECS
from tidy.test_imports import ROOMS_NEED
from tidy.tree import SOURCE


def test_the_table_and_the_folder_agree() -> None:
    folder = SOURCE / "protocols"
    there = {p.stem for p in folder.iterdir() if not p.name.startswith("_") and (p.suffix == ".py" or p.is_dir())}
    assert there == set(ROOMS)
    assert list(ROOMS) == sorted(ROOMS)


def test_every_room_loads_and_bears_its_name() -> None:
    for name in ROOMS:
        assert load(name).name == name


def test_what_a_room_loads_later_is_tried_before_the_sensor_is_confined() -> None:
    found = 0
    for name, place in ROOMS.items():
        module = getattr(import_module(place.partition(":")[0]), "LATER", "")
        if module:
            settings = SensorSettings(listen=(f"{name} tcp 1",))
            assert any(module in modules for modules in later(settings)), name
            found += 1
    assert found >= 2
    assert CODECS in set(later(SensorSettings())), "a codec that cannot be found is a session's end"


def test_a_room_that_needs_more_says_so_and_does_not_load_it() -> None:
    """A sensor that nobody speaks SSH with does without the library."""
    code = (
        "import sys; from eudaemon.protocols import ROOMS, load; rooms = [load(name) for name in ROOMS];"
        "needed = {package for room in rooms for package in room.needs};"
        "print(*needed); sys.exit(any(package in sys.modules for package in needed))"
    )
    env = {**os.environ, "PYTHONPATH": str(SOURCE.parent)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == set(ROOMS_NEED.values())
