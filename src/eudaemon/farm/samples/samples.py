"""Artefacts: samples and recorded conversations, each once, under its SHA-256, never executable.

    ab/.new-<random>           an upload on its way; hashed while it is written; removed at start if a crash left it
    ab/abcdef…                 the bytes, in a local directory, or as objects in any S3-compatible store
    catalogue.sqlite           what is there: sizes, when, whether it is a sample, and whether it was identified

S3 is reached through obstore. The directory is written by hand (temporary file, fsync, rename, fsync of the directory),
because what is acknowledged must survive a power cut, and obstore's local store does not sync. An upload lies in the
folder it will stay in: Landlock's first version forbids to rename from one folder into another.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

from eudaemon.farm.s3 import open_store
from eudaemon.farm.samples.catalogue import Catalogue
from eudaemon.farm.settings import SampleSettings
from eudaemon.farm.store.queue import DiskFullError

SHA256 = re.compile(r"[0-9a-f]{64}")
_NEW = ".new-"
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class HashError(ValueError):
    """The bytes are not those that their name says."""


class SampleStore:
    """The artefacts below the directory `home`. `disk_free_bytes_min` must stay free on its disk."""

    def __init__(self, home: Path, settings: SampleSettings | None = None, *, disk_free_bytes_min: int = 0) -> None:
        self.settings = settings or SampleSettings()
        self._home = home
        self._disk_free_bytes_min = disk_free_bytes_min
        self._locks = [asyncio.Lock() for _ in range(256)]
        self._objects: _Objects = _Remote(self.settings) if self.settings.url else _Local(home)

    def open(self) -> None:
        """Make what is not there, and remove what a crash left half done. Only one process may have it open."""
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        for number in range(256):
            (self._home / f"{number:02x}").mkdir(mode=0o700, exist_ok=True)
        for left in self._home.glob(f"*/{_NEW}*"):
            left.unlink()
        _sync(self._home)
        self.catalogue = Catalogue(self._home / "catalogue.sqlite")

    def close(self) -> None:
        """Close the catalogue."""
        self.catalogue.close()

    async def size(self, sha256: str) -> int | None:
        """Return how many bytes an artefact has, or None if it is not here."""
        if not SHA256.fullmatch(sha256):
            return None
        return await asyncio.to_thread(self.catalogue.size, sha256)

    async def is_here(self, sha256: str) -> bool:
        """Say whether an artefact is here; somebody is about to name it, so that it is not removed just now."""
        return await asyncio.to_thread(self.catalogue.seen, sha256)

    async def read(self, sha256: str, offset: int, length: int) -> bytes:
        """Return at most `length` bytes from `offset`; fewer at the end. Raises `KeyError` if it is not here."""
        size = await self.size(sha256)
        if size is None:
            raise KeyError(sha256)
        length = min(length, size - offset)
        return await self._objects.read(sha256, offset, length) if length > 0 else b""

    async def keep(self, sha256: str, chunks: AsyncIterator[bytes]) -> bool:
        """Keep an upload; return whether it is new. When this returns, it is durable.

        Raises `HashError` if the bytes are others, and `DiskFullError`; then nothing is kept.
        """
        if not SHA256.fullmatch(sha256):
            raise HashError(f"{sha256[:80]!r} is no SHA-256")
        if shutil.disk_usage(self._home).free < self._disk_free_bytes_min:
            raise DiskFullError(f"less than {self._disk_free_bytes_min} bytes are free")
        path = self._home / sha256[:2] / f"{_NEW}{secrets.token_hex(16)}"
        try:
            return await self._keep(sha256, chunks, path)
        except OSError as error:
            if error.errno in _NO_SPACE:
                raise DiskFullError(str(error.strerror)) from None
            raise
        finally:
            path.unlink(missing_ok=True)

    async def _keep(self, sha256: str, chunks: AsyncIterator[bytes], path: Path) -> bool:
        digest, size = hashlib.sha256(), 0
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "wb") as file:
            async for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                await asyncio.to_thread(file.write, chunk)
            if digest.hexdigest() != sha256:
                raise HashError(f"the bytes have the SHA-256 {digest.hexdigest()}")
            if await self.is_here(sha256):
                return False
            file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())
        async with self._lock(sha256):
            await self._objects.put(sha256, path)
            # Last, so that whatever is in the catalogue is there; a file that a crash left outside is written again.
            await asyncio.to_thread(self.catalogue.add, sha256, size)
        return True

    async def forget_conversations(self, now_s: float) -> int:
        """Remove recorded conversations that are too old and are no samples; return how many."""
        before_s, gone = now_s - self.settings.conversation_days_max * 86_400, 0
        while old := await asyncio.to_thread(self.catalogue.old_conversations, before_s):
            for sha256 in old:
                async with self._lock(sha256):
                    if await asyncio.to_thread(self.catalogue.remove_old, sha256, before_s):
                        await self._objects.delete(sha256)
                        gone += 1
        return gone

    def _lock(self, sha256: str) -> asyncio.Lock:
        """Return the lock that keeps an artefact from being kept and removed at once."""
        return self._locks[int(sha256[:2], 16)]


def _key(sha256: str) -> str:
    return f"{sha256[:2]}/{sha256}"


class _Objects(Protocol):
    """Where the bytes are."""

    async def read(self, sha256: str, offset: int, length: int) -> bytes: ...
    async def put(self, sha256: str, path: Path) -> None: ...
    async def delete(self, sha256: str) -> None: ...


class _Local:
    """A directory."""

    def __init__(self, home: Path) -> None:
        self._home = home

    async def read(self, sha256: str, offset: int, length: int) -> bytes:
        return await asyncio.to_thread(self._read, self._home / _key(sha256), offset, length)

    @staticmethod
    def _read(path: Path, offset: int, length: int) -> bytes:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(length)

    async def put(self, sha256: str, path: Path) -> None:
        await asyncio.to_thread(self._put, self._home / _key(sha256), path)

    @staticmethod
    def _put(target: Path, path: Path) -> None:
        path.rename(target)
        _sync(target.parent)

    async def delete(self, sha256: str) -> None:
        await asyncio.to_thread((self._home / _key(sha256)).unlink, missing_ok=True)


class _Remote:
    """A bucket of an S3-compatible store."""

    def __init__(self, settings: SampleSettings) -> None:
        self._store = open_store(settings, timeout_s=60.0)

    async def read(self, sha256: str, offset: int, length: int) -> bytes:
        import obstore

        return bytes(await obstore.get_range_async(self._store, _key(sha256), start=offset, length=length))

    async def put(self, sha256: str, path: Path) -> None:
        import obstore

        # An object appears whole or not at all; the same bytes again are the same object.
        await obstore.put_async(self._store, _key(sha256), path)

    async def delete(self, sha256: str) -> None:
        import obstore

        await obstore.delete_async(self._store, _key(sha256))


def _sync(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
