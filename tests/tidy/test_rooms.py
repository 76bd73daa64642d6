"""The table of rooms and the folder of rooms say the same."""

from __future__ import annotations

from eudaemon.protocols import ROOMS, load
from tidy.tree import SOURCE


def test_the_table_and_the_folder_agree() -> None:
    folder = SOURCE / "protocols"
    there = {p.stem for p in folder.iterdir() if not p.name.startswith("_") and (p.suffix == ".py" or p.is_dir())}
    assert there == set(ROOMS)
    assert list(ROOMS) == sorted(ROOMS)


def test_every_room_loads_and_bears_its_name() -> None:
    for name in ROOMS:
        assert load(name).name == name
