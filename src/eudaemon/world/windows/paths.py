r"""Paths as Windows has them, over `world.files`: drive letters, backslashes, names whose case is kept, not looked at.

`C:\Windows` stands in the tree as `/C/Windows`. A name is looked for as it was written, and then without its case.
"""

from __future__ import annotations

import re

from eudaemon.wire import printable
from eudaemon.world.files import Directory, FileError, Files, Node
from eudaemon.world.windows.tree import SYSTEM32

NO_FILE = "The system cannot find the file specified."
NO_PATH = "The system cannot find the path specified."
NO_DRIVE = "The system cannot find the drive specified."
BAD_NAME = "The filename, directory name, or volume label syntax is incorrect."
DENIED = "Access is denied."
_WORDS = {
    "No such file or directory": NO_FILE, "Not a directory": NO_PATH, "File name too long": BAD_NAME,
    "No space left on device": "There is not enough space on the disk.", "Is a directory": DENIED,
    "Read-only file system": DENIED, "Permission denied": DENIED, "Directory not empty": "The directory is not empty.",
}  # fmt: skip
# The disk as a share of the machine itself, which remote tools have their output written to.
_OWN_SHARE = re.compile(r"\\\\(?:127\.0\.0\.1|\.|[\w-]{1,15})\\(c|admin)\$(?:\\|$)", re.IGNORECASE)
_FORBIDDEN = frozenset('<>"|?*:')
_DEVICES = frozenset(("nul", "con", "aux", "prn", "com1", "lpt1"))


def words_of(error: FileError) -> str:
    """Return Windows' words for what went wrong."""
    return _WORDS.get(str(error), str(error))


def shown(path: bytes) -> str:
    r"""Return `/C/Windows` as `C:\Windows`, one character a byte."""
    drive, _, rest = path.decode("latin-1").strip("/").partition("/")
    return f"{drive}:\\" + rest.replace("/", "\\")


def shown_for_people(path: bytes) -> str:
    """Return the same as text that can be stored and shown."""
    return printable(shown(path).encode("latin-1"), 1024)


def device(path: str) -> str:
    """Return the name of the device that a path means, such as `nul`, or nothing."""
    name = path.strip(' "').replace("/", "\\").rpartition("\\")[2].partition(".")[0].rstrip(" :").lower()
    return name if name in _DEVICES else ""


class Drives:
    """One session's files, by the names that Windows gives them. Errors are `FileError`, in the words of Windows."""

    __slots__ = ("files",)

    def __init__(self, files: Files) -> None:
        self.files = files

    def locate(self, path: str, cwd: bytes) -> bytes:
        """Return the resolved path in `files`. Its last part need not exist."""
        path = path.replace('"', "").replace("/", "\\").rstrip(" ")
        for prefix in ("\\\\?\\", "\\\\.\\"):
            path = path.removeprefix(prefix)
        if not path:
            raise FileError(NO_FILE)
        if path.startswith("\\\\"):
            own = _OWN_SHARE.match(path)
            if own is None:
                raise FileError("The network path was not found.")
            path = ("C:\\Windows\\" if own[1].lower() == "admin" else "C:\\") + path[own.end() :]
        at = cwd
        if path[1:2] == ":":
            if path[0].upper() != "C":
                raise FileError(NO_DRIVE)
            path = path[2:]
            at = b"/C" if path.startswith("\\") or cwd[:2] != b"/C" else cwd
        elif path.startswith("\\"):
            at = cwd[:2]
        try:
            return self._walk([part for part in path.split("\\") if part not in ("", ".")], at)
        except FileError as error:
            raise FileError(words_of(error)) from None

    def _walk(self, parts: list[str], at: bytes) -> bytes:
        for index, part in enumerate(parts):
            part = part.rstrip(". ") if part != ".." else part
            if part == "..":
                at = at.rpartition(b"/")[0] or at
                continue
            if not part or not _FORBIDDEN.isdisjoint(part):
                raise FileError(BAD_NAME)
            at = self._below(at, part)
            if index + 1 < len(parts) and not isinstance(self.files.find(at), Directory):
                raise FileError(NO_PATH)
        return self.files.resolve(at)

    def _below(self, directory: bytes, name: str) -> bytes:
        """Return where a name stands in a directory: as it is written, else without its case, else as its 8.3 name."""
        exact = directory + b"/" + name.encode("latin-1", "replace")
        if self.files.find(exact) is not None:
            return exact
        wanted = name.encode("latin-1", "replace").lower()
        try:
            names = self.files.names(directory)
        except FileError:
            return exact
        for there in names:
            if there.lower() == wanted:
                return directory + b"/" + there
        short, tilde, number = wanted.partition(b"~")
        if tilde and number[:1].isdigit():
            like = [there for there in names if there.lower().replace(b" ", b"").startswith(short)]
            which = int(number[:1]) - 1
            if 0 <= which < len(like):
                return directory + b"/" + like[which]
        if directory == b"/C/Windows" and wanted == b"sysnative":
            return SYSTEM32.encode()
        return exact

    def find(self, path: str, cwd: bytes) -> Node | None:
        """Return what stands there, or None."""
        try:
            return self.files.find(self.locate(path, cwd))
        except FileError:
            return None

    def get(self, path: str, cwd: bytes) -> Node:
        """Return what stands there."""
        node = self.files.find(self.locate(path, cwd))
        if node is None:
            raise FileError(NO_FILE)
        return node
