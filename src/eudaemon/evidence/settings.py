"""The settings of the store of alerts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from eudaemon.options import option


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """Where the alerts of possessed processes lie on this machine, and how many."""

    folder: str = option("", "Folder of the alerts; empty for `alerts` where all data lies.")
    count_max: int = option(1000, "Alerts that are kept; the oldest are dropped first.", low=1)
    bytes_max: int = option(512 * 1024 * 1024, "Bytes that they take on the disk.", low=1024 * 1024)

    def place(self, data: Path) -> Path:
        """Return the folder, where `data` is that of all data."""
        return Path(self.folder) if self.folder else data / "alerts"
