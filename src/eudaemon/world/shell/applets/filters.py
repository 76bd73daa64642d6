"""."""

from __future__ import annotations
from eudaemon.world.shell.call import Applet

TABLE: dict[str, Applet] = {}
