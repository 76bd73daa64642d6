"""What can be called, in two tables: cmd.exe's own commands, and programs by their names without `.exe`."""

from __future__ import annotations

from eudaemon.world.windows.commands import (
    builtins,
    decoding,
    downloads,
    files,
    filters,
    network,
    registry,
    scripting,
    services,
    starting,
    system,
)

INTERNAL = {**builtins.TABLE, **files.INTERNAL, **starting.INTERNAL}
PROGRAMS = {
    **decoding.TABLE, **downloads.TABLE, **files.PROGRAMS, **filters.TABLE, **network.TABLE, **registry.TABLE,
    **scripting.TABLE, **services.TABLE, **starting.PROGRAMS, **system.TABLE,
}  # fmt: skip
