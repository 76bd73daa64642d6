"""Fixtures for the farm's tests."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Give a directory on a file system of one megabyte, or of as many as the test says."""
    size_kib = 1024 * getattr(request, "param", 1)
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small file system")
    path = tmp_path / "small"
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_kib}k", "tmpfs", str(path)])
    if mounted.returncode != 0:
        pytest.skip("needs leave to mount a tmpfs")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)
