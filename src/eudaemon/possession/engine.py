"""The engine at hand: its image, and the contract that was printed when it was built."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from eudaemon.possession.abi import Abi
from eudaemon.possession.errors import PossessionError
from eudaemon.possession.image import SYMBOLS, Image, ImageError, load_image

BUILT = Path(__file__).parent / "seal"  # where `make engine` puts it, and where a wheel has it


@dataclass(frozen=True)
class Engine:
    """What is planted, and how to talk to it."""

    image: Image
    abi: Abi


@lru_cache(maxsize=2)
def load_engine(folder: Path = BUILT) -> Engine:
    """Read `seal.image` and `seal.abi.json` from a folder. Raises `PossessionError` if they are not there."""
    try:
        image, abi = load_image(folder / "seal.image"), Abi.load(folder / "seal.abi.json")
    except FileNotFoundError as error:
        raise PossessionError(
            f"the possession engine is not built ({error.filename})", "in a clone, with Rust installed: make engine"
        ) from None
    if lacking := [name for name in SYMBOLS if name not in image.symbols]:
        raise ImageError(f"the engine's image lacks {', '.join(lacking)}", "build it again: make engine")
    return Engine(image, abi)
