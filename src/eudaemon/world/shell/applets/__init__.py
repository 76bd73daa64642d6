"""The applet table: name to function, one file a family. An applet takes a `Call` and returns its exit status.

One that may wish a download, or run commands, is a generator and returns its status at the end. Whether the host has
an applet is the persona's business; builtins are always there.
"""

from __future__ import annotations

from eudaemon.world.shell.applets import (
    android,
    archives,
    awk,
    builtins,
    code,
    downloads,
    files,
    filters,
    listing,
    network,
    output,
    sed,
    starting,
    system,
    texts,
)  # fmt: skip
from eudaemon.world.shell.call import Applet

BUILTINS = builtins.TABLE.keys() | {"echo", "test", "[", "[[", "kill", "history", "sh", "ash", "bash", "busybox"}
APPLETS: dict[str, Applet] = {
    **builtins.TABLE,
    **starting.TABLE,
    **output.TABLE,
    **files.TABLE,
    **archives.TABLE,
    **listing.TABLE,
    **texts.TABLE,
    **filters.TABLE,
    **sed.TABLE,
    **awk.TABLE,
    **downloads.TABLE,
    **network.TABLE,
    **system.TABLE,
    **android.TABLE,
    **code.TABLE,
}
