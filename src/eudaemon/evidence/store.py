"""The alerts of this machine: a folder for each, `report.json` and the files that it names.

A folder is written under another name and renamed when it is whole; so what is listed is whole, also after a power cut.
Where there are too many, the oldest go.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from eudaemon.evidence.codec import EvidenceError, dumps, loads
from eudaemon.evidence.model import Evidence, Report

REPORT = "report.json"
REPORT_BYTES_MAX = 16 * 1024 * 1024
FILE_BYTES_MAX = 1024 * 1024
_NEW = ".new-"
_ID = re.compile(r"[0-9A-Za-z.-]{1,100}")
_FILE = re.compile(r"[a-z0-9-]{1,40}\.bin")


class Store:
    """A folder of alerts. Several programs may keep and read at a time."""

    def __init__(self, folder: Path, *, count_max: int, bytes_max: int) -> None:
        self.folder = folder
        self._count_max = count_max
        self._bytes_max = bytes_max

    def keep(self, evidence: Evidence) -> int:
        """Keep an alert, and drop the oldest where there are too many; return how many. Raises `OSError`."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = self.folder / f"{_NEW}{os.getpid()}-{evidence.report.id}"
        new.mkdir(mode=0o700)
        try:
            for name, data in evidence.files.items():
                _write(new / name, data)
            _write(new / REPORT, dumps(evidence.report).encode())
            _sync(new)
            new.rename(self.folder / evidence.report.id)
        except OSError:
            shutil.rmtree(new, ignore_errors=True)
            raise
        _sync(self.folder)
        return self._drop(evidence.report.id)

    def ids(self) -> list[str]:
        """Return the ids of all alerts, the newest first."""
        with suppress(FileNotFoundError):
            return sorted((place.name for place in self.folder.iterdir() if _ID.fullmatch(place.name)
                           and not place.name.startswith(".")), reverse=True)  # fmt: skip
        return []

    def find(self, text: str) -> str:
        """Return the id that is meant: it may be shortened at its end, and `last` is the newest."""
        known = self.ids()
        if text == "last" and known:
            return known[0]
        if text in known:
            return text
        found = [name for name in known if text and name.startswith(text)]
        if len(found) == 1:
            return found[0]
        if found:
            raise EvidenceError(f"{len(found)} alerts begin with {text}", "name more of it: eudaemon alert list")
        raise EvidenceError(f"there is no alert {text} in {self.folder}", "eudaemon alert list says which there are")

    def load(self, name: str) -> Evidence:
        """Read an alert by its full id. Raises `EvidenceError`."""
        report = self._report(name)
        files = {}
        for blob in report.blobs():
            if _FILE.fullmatch(blob.file):
                with suppress(OSError):
                    files[blob.file] = _read(self.folder / name / blob.file, FILE_BYTES_MAX)
        return Evidence(report, files)

    def reports(self) -> Iterator[Report | EvidenceError]:
        """Yield every report, the newest first; or why it cannot be read."""
        for name in self.ids():
            try:
                yield self._report(name)
            except EvidenceError as error:
                yield error

    def _report(self, name: str) -> Report:
        try:
            return loads(_read(self.folder / name / REPORT, REPORT_BYTES_MAX))
        except OSError as error:
            raise EvidenceError(f"alert {name} cannot be read: {error.strerror}") from None
        except EvidenceError as error:
            raise EvidenceError(f"alert {name}: {error.reason}") from None

    def _drop(self, kept: str) -> int:
        """Remove the oldest beyond the limits, and what was never finished; the newest always stays."""
        for place in self.folder.glob(f"{_NEW}*"):
            with suppress(OSError):
                pid = place.name.removeprefix(_NEW).partition("-")[0]
                if not Path(f"/proc/{pid}").exists():
                    shutil.rmtree(place, ignore_errors=True)
        total, dropped = 0, 0
        for count, name in enumerate(self.ids(), 1):
            total += _size(self.folder / name)
            if name != kept and (count > self._count_max or total > self._bytes_max):
                shutil.rmtree(self.folder / name, ignore_errors=True)
                dropped += 1
        return dropped


def _write(path: Path, data: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(file)


def _sync(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _read(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise EvidenceError(f"{path} is larger than {most} bytes")
    return data


def _size(folder: Path) -> int:
    with suppress(OSError):
        return sum(place.stat().st_size for place in folder.iterdir())
    return 0
