"""What is loaded when somebody first speaks to Windows: all of it, since files may be out of reach afterwards."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import pkgutil, sys
from importlib import import_module
from eudaemon.world import windows
for module in (*windows.ENGINE, *windows.CODECS): import_module(module)
from eudaemon.world.windows.powershell.members import _ENCODINGS
before = set(sys.modules)
for name in {*_ENCODINGS.values(), "utf-16", "utf-16-le", "utf-16-be"}: "a".encode(name).decode(name)
for module in pkgutil.walk_packages(windows.__path__, windows.__name__ + "."): import_module(module.name)
print(*sorted(set(sys.modules) - before))
"""


def test_the_engine_is_all_that_is_imported() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
