"""The engines that the tests possess with: the stub, made here from its source, and the real one, where it is built."""

from __future__ import annotations

import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from eudaemon.possession.engine import BUILT, Engine, load_engine
from eudaemon.possession.image import SYMBOLS

ROOT = Path(__file__).resolve().parents[2]
_STUB = Path(__file__).parent / "stub" / "engine.rs"
_LINKING = (
    "-nostartfiles", "-nostdlib", "-static-pie", "-Wl,--no-dynamic-linker", "-Wl,-z,norelro", "-Wl,-z,noseparate-code",
    "-Wl,--build-id=none", "-Wl,-e,seal_wake", "-Wl,--no-undefined",
    *(f"-Wl,-u,{name}" for name in SYMBOLS),  # nothing refers to them, so they would be dropped
)  # fmt: skip


@functools.cache
def stub() -> Engine:
    """Return the stub engine; skip the test where no Rust compiler is."""
    return load_engine(stub_folder())


@functools.cache
def stub_folder() -> Path:
    """Make the stub: its image, and the contract as the crate's own example prints it."""
    if shutil.which("rustc") is None:
        pytest.skip("needs rustc, to make the stub engine")
    folder = Path(tempfile.mkdtemp(prefix="eudaemon-stub-"))
    _rustc("-O", "-C", "panic=abort", "-C", "strip=none", *(f"-Clink-arg={word}" for word in _LINKING),
           "-C", "relocation-model=pie", "-o", str(folder / "seal.image"), str(_STUB))  # fmt: skip
    library = folder / "lib.rs"
    library.write_text(f'#![no_std]\n#[path = "{ROOT}/native/seal/src/abi.rs"]\npub mod abi;\n')
    _rustc("--crate-type", "rlib", "--crate-name", "seal", "-o", str(folder / "libseal.rlib"), str(library))
    _rustc("--extern", f"seal={folder / 'libseal.rlib'}", "-o", str(folder / "abi"),
           str(ROOT / "native" / "seal" / "examples" / "abi.rs"))  # fmt: skip
    printed = subprocess.run([str(folder / "abi")], capture_output=True, text=True, check=True).stdout
    (folder / "seal.abi.json").write_text(printed)
    return folder


def real() -> Engine:
    """Return the engine; skip the test where it is not built."""
    if not (BUILT / "seal.image").exists():
        pytest.skip("needs the engine: make engine (with Rust)")
    return load_engine()


def _rustc(*words: str) -> None:
    subprocess.run(["rustc", "--edition", "2024", *words], check=True, capture_output=True, text=True)


def folder_of(engine: Engine) -> Path:
    """Return where an engine was read from, for another process that has to read it."""
    return BUILT if (BUILT / "seal.image").exists() and engine is load_engine() else stub_folder()
