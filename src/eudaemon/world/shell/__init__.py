"""One POSIX / BusyBox ash engine that executes nothing, for every room that takes commands.

    line --> parser --> syntax tree --> evaluator --> acts (Print, Download, Kept, Pause, Listen)

Owns what commands mean and what they print. Refuses to run, open, connect or wait: files live in the session's overlay
(`world.files`), downloads are wishes that the caller answers, time is handed in. Everything has a limit (`limits`).
"""

from eudaemon.world.shell.acts import Act, Kept, Listen, Pause, Print
from eudaemon.world.shell.engine import Shell

__all__ = ["Act", "Kept", "Listen", "Pause", "Print", "Shell"]
