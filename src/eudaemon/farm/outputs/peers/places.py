"""Where files are put: a directory, or an S3-compatible store."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from eudaemon.farm.outputs.batch import Format, Item
from eudaemon.farm.outputs.peers import TIMEOUT_S, LaterError, clipped_answer
from eudaemon.farm.outputs.peers.stream import told
from eudaemon.farm.outputs.settings import Bucket
from eudaemon.farm.s3 import open_store

_NEW = ".new-"
_LINES_MODE, _FILE_MODE = 0o640, 0o440  # who may enter the directory decides; the farm's umask would let in nobody else
FILE_BYTES_MAX = 16 * 1024 * 1024  # of a file whose name stays; what is older is kept once more, as NAME.1
_TAIL_BYTES = 16 * 1024 * 1024  # longer than any line


class Folder:
    """A directory. Lines go into a file a day, or one that stays; each other item is a file, whole or not at all."""

    pause_s = 0.0

    def __init__(self, path: Path, format_: Format, disk_free_bytes_min: int) -> None:
        self._path, self._format, self._disk_free_bytes_min = path, format_, disk_free_bytes_min
        self.items_max = 1_000_000 if format_.lines else 1

    def fits(self, _: Item) -> bool:
        """See `Peer`."""
        return True

    def send(self, items: Sequence[Item]) -> str:
        """See `Peer`."""
        try:
            if shutil.disk_usage(self._path).free < self._disk_free_bytes_min:
                raise LaterError(f"less than {self._disk_free_bytes_min} bytes are free in {self._path}")
            if self._format.lines:
                return self._append(b"".join(item.data + b"\n" for item in items))
            return " ".join(self._write(item) for item in items)
        except OSError as error:
            raise LaterError(f"{self._path}: {told(error)}") from None

    def close(self) -> None:
        """See `Peer`."""

    def _append(self, data: bytes) -> str:
        path = self._path / time.strftime(self._format.file, time.gmtime())
        if "%" not in self._format.file and path.exists() and path.stat().st_size >= FILE_BYTES_MAX:
            path.rename(path.with_name(f"{path.name}.1"))
        with _to_append(path) as file:
            os.fchmod(file.fileno(), _LINES_MODE)
            end = _mended(file)
            try:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                file.truncate(end)  # a full disk
                raise
        return f"{len(data)} bytes in {path}"

    def _write(self, item: Item) -> str:
        path = self._path / item.name
        if not path.exists():
            new = self._path / f"{_NEW}{secrets.token_hex(8)}"
            try:
                with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "wb") as file:
                    os.fchmod(file.fileno(), _FILE_MODE)
                    _give_away(file.fileno(), self._path)
                    file.write(item.data)
                    file.flush()
                    os.fsync(file.fileno())
                new.rename(path)
            finally:
                new.unlink(missing_ok=True)
            folder = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        return f"{len(item.data)} bytes in {path}"


def remove_half_written(path: Path) -> None:
    """Remove from a directory what a crash left half written. Nobody may be writing there."""
    for left in path.glob(f"{_NEW}*"):
        left.unlink()


def _to_append(path: Path) -> BinaryIO:
    """Open a file of lines, or make it. No link is followed: the directory may be the farm's, and who tries it root."""
    flags = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        made = os.open(path, flags | os.O_CREAT | os.O_EXCL, _LINES_MODE)
    except FileExistsError:
        return os.fdopen(os.open(path, flags), "a+b")
    _give_away(made, path.parent)
    return os.fdopen(made, "a+b")


def _give_away(made: int, directory: Path) -> None:
    """Give what root has made to whom the directory belongs, who has to go on with it: `eudaemon output test`."""
    if os.geteuid() == 0:
        owner = directory.stat()
        os.fchown(made, owner.st_uid, owner.st_gid)


def _mended(file: BinaryIO) -> int:
    """Remove a line that a crash cut short, which is written again, whole. Return the file's size."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - 1))
    if end and file.read(1) != b"\n":
        file.seek(max(0, end - _TAIL_BYTES))
        tail = file.read()
        end += tail.rfind(b"\n") + 1 - len(tail)
        file.truncate(end)
    return end


class Objects:
    """A bucket. Lines that are sent together are an object, named by their hash, so that a repetition is the same."""

    pause_s = 0.0

    def __init__(self, settings: Bucket, format_: Format, name: str) -> None:
        self._store = open_store(settings, timeout_s=TIMEOUT_S, retries_max=0)
        self._format, self._name = format_, name
        self.items_max = 1_000_000 if format_.lines else 1

    def fits(self, _: Item) -> bool:
        """See `Peer`."""
        return True

    def send(self, items: Sequence[Item]) -> str:
        """See `Peer`."""
        import obstore
        from obstore.exceptions import BaseError

        if self._format.lines:
            data = b"".join(item.data + b"\n" for item in items)
            day = time.strftime("%Y-%m-%d", time.gmtime())
            key = f"{self._name}/{day}/{hashlib.sha256(data).hexdigest()[:32]}{Path(self._format.file).suffix}"
        else:
            (item,) = items
            data, key = item.data, f"{self._name}/{item.name}"
        try:
            obstore.put(self._store, key, data)
        except (BaseError, OSError) as error:
            raise LaterError(clipped_answer(str(error))) from None
        return f"{len(data)} bytes in {key}"

    def close(self) -> None:
        """See `Peer`."""
