"""The demonstration's file is what it says: real machines judge it."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import pytest

from eudaemon.demo.sample import EM_386, EM_X86_64, TEXT, harmless
from eudaemon.payload.identify import identify


@pytest.mark.parametrize(("machine", "bits"), [(EM_X86_64, 64), (EM_386, 32)])
def test_it_says_its_line_and_exits(machine: int, bits: int, tmp_path: Path) -> None:
    if platform.machine() != "x86_64":
        pytest.skip("needs an x86-64 processor to run it")
    path = tmp_path / "sample"
    path.write_bytes(harmless(machine, bits=bits, note="note"))
    path.chmod(0o700)
    done = subprocess.run([path], capture_output=True, timeout=10)
    assert (done.returncode, done.stdout) == (0, TEXT)


@pytest.mark.parametrize(("machine", "bits", "little", "word"), [(40, 32, True, "ARM"), (8, 32, False, "MIPS")])
def test_it_is_identified_for_other_machines(machine: int, bits: int, little: bool, word: str) -> None:
    found = identify(harmless(machine, bits=bits, little=little))
    assert found.format == "elf"
    assert word.lower() in found.description.lower()
