"""Another process's memory: a foreign address is a type, and reads and writes go through `/proc/PID/mem`."""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from pathlib import Path

from eudaemon.possession.errors import PossessionError, Replaced, Vanished
from eudaemon.possession.ptrace import Kernel

PAGE = 4096


class Remote(int):
    """An address in another process: no number to count with here."""

    __slots__ = ()

    def __add__(self, bytes_on: int) -> Remote:
        return Remote(int(self) + bytes_on)

    def __repr__(self) -> str:
        return f"{int(self):#x}"


def up(value: int, to: int = PAGE) -> int:
    """Round up to a multiple of `to`, a power of two."""
    return (value + to - 1) & -to


class Memory:
    """The memory of one process. Writes reach pages that the process itself may not write."""

    def __init__(self, kernel: Kernel, pid: int) -> None:
        self._kernel = kernel
        self._pid = pid
        try:
            self._file = os.open(f"/proc/{pid}/mem", os.O_RDWR | os.O_CLOEXEC)
        except (FileNotFoundError, ProcessLookupError):
            raise Vanished(f"process {pid} has ended") from None
        except PermissionError:
            raise PossessionError(
                f"the memory of process {pid} may not be opened", "run as root, or with the capability CAP_SYS_PTRACE"
            ) from None

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def read(self, address: int, size: int) -> bytes:
        """Return `size` bytes. Raises `PossessionError` where nothing is mapped."""
        try:
            data = os.pread(self._file, size, address)
        except OverflowError:  # an attacker chose it
            raise PossessionError(f"{size} bytes at {address:#x} of process {self._pid}: no such address") from None
        except OSError as error:
            raise PossessionError(f"{size} bytes at {address:#x} of process {self._pid}: {error.strerror}") from None
        if len(data) < size:
            raise self._gone()
        return data

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        """Write all of `data`."""
        self._kernel.before("write", self._pid)
        self._kernel.operations += 1
        try:
            written = os.pwrite(self._file, data, address)
        except OSError as error:
            raise PossessionError(f"{len(data)} bytes to {address:#x} of {self._pid}: {error.strerror}") from None
        if written < len(data):
            raise self._gone()

    def _gone(self) -> Vanished:
        """Say why this memory is nobody's any more: only a process that lives has another."""
        with suppress(OSError):
            if Path(f"/proc/{self._pid}/maps").read_bytes():
                return Replaced(f"process {self._pid} has executed another program")
        return Vanished(f"process {self._pid} has ended")

    def read_word(self, address: int) -> int:
        """Return eight bytes as a number."""
        word: int = struct.unpack("<Q", self.read(address, 8))[0]
        return word
