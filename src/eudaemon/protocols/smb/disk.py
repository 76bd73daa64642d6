"""The disk behind the shares: C:, in the file system that all rooms share, found without regard to capitals.

\\\\HOST\\ADMIN$ is C:\\Windows      \\\\HOST\\C$ is C:\\      \\\\HOST\\Users is C:\\Users
"""

from __future__ import annotations

from functools import lru_cache

from eudaemon.protocols._windows import Windows
from eudaemon.protocols.smb.status import OBJECT_NAME_INVALID, OBJECT_PATH_NOT_FOUND, NtError
from eudaemon.world.files import LEVELS_MAX, Directory, Files, Fixed, Node, Written

CLUSTER_BYTES = 4096
_FORBIDDEN = frozenset('<>:"|')
_FOLDERS = (
    "PerfLogs/Admin", "Program Files/Common Files", "Program Files/Internet Explorer",
    "Program Files (x86)/Common Files",
    "ProgramData/Microsoft", "Users/Public/Documents", "Users/Public/Desktop", "Users/Administrator/Desktop",
    "Windows/System32/drivers/etc", "Windows/System32/Tasks", "Windows/System32/config", "Windows/SysWOW64",
    "Windows/Temp", "Windows/inf", "Windows/Fonts", "Windows/Tasks", "Windows/debug", "Windows/Help",
)  # fmt: skip
_HOSTS = (
    b"# Copyright (c) 1993-2009 Microsoft Corp.\r\n#\r\n# localhost name resolution is handled within DNS itself.\r\n"
)
_WIN_INI = b"; for 16-bit app support\r\n[fonts]\r\n[extensions]\r\n[mci extensions]\r\n[files]\r\n[Mail]\r\nMAPI=1\r\n"
_TEXTS = {"Windows/win.ini": _WIN_INI, "Windows/System32/drivers/etc/hosts": _HOSTS}
_INSTALLED_S = 1_356_998_400  # 2013-01-01


@lru_cache(maxsize=16)
def drive(windows: Windows) -> Directory:
    """Return the root of C:."""
    installed_s = float(_INSTALLED_S + windows.seed.number("installed", 1000 * 86_400))
    root = Directory(0o777, installed_s)
    for path in (*_FOLDERS, windows.share):
        node = root
        for name in path.encode().split(b"/"):
            below = node.names.setdefault(name, Directory(0o777, installed_s))
            node = below if isinstance(below, Directory) else node
    for path, text in _TEXTS.items():
        *folders, name = path.encode().split(b"/")
        node = root
        for folder in folders:
            below = node.names[folder]
            node = below if isinstance(below, Directory) else node
        node.names[name] = Fixed(text, 0o644, installed_s)
    return root


class Disk:
    """One session's view of the disk."""

    __slots__ = ("files",)

    def __init__(self, files: Files) -> None:
        self.files = files

    def find(self, root: bytes, name: str) -> bytes:
        """Return the path of a name under a share's root, as it is written if it is there.

        Raises `NtError`, also if the directory in which it would stand is not there.
        """
        parts = [part for part in name.replace("/", "\\").split("\\") if part not in ("", ".")]
        if len(parts) > LEVELS_MAX or any(part == ".." or _FORBIDDEN.intersection(part) for part in parts):
            raise NtError(OBJECT_NAME_INVALID)
        path = root
        for number, part in enumerate(parts):
            encoded = part.encode("utf-8", "replace")
            there = self.named(path, encoded)
            if there is None and number < len(parts) - 1:
                raise NtError(OBJECT_PATH_NOT_FOUND)
            path = path.rstrip(b"/") + b"/" + (there or encoded)
        return path

    def named(self, folder: bytes, name: bytes) -> bytes | None:
        """Return how a name is written in a folder, None if it is not there."""
        node = self.files.find(folder, follow=False)
        if not isinstance(node, Directory):
            return None
        if self.files.find(folder.rstrip(b"/") + b"/" + name, follow=False) is not None:
            return name
        sought = name.lower()
        return next((there for there in self.files.names(folder) if there.lower() == sought), None)


def size_of(node: Node) -> int:
    """Return a file's size in bytes."""
    if isinstance(node, Written):
        return len(node.data) + node.missing
    return len(node.content) if isinstance(node, Fixed) and isinstance(node.content, bytes) else 0


def content_of(node: Node, at: int, count: int) -> bytes:
    """Return a part of what a file holds."""
    if isinstance(node, Written):
        return bytes(node.data[at : at + count])
    return node.content[at : at + count] if isinstance(node, Fixed) and isinstance(node.content, bytes) else b""
