"""Arguments that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path

from eudaemon.app import default_data


def add_place(parser: argparse.ArgumentParser, *, again: bool = False) -> None:
    """Declare `--config` and `--data`. `again`: they may also stand before the verb, and hold if they do."""
    unsaid: object = argparse.SUPPRESS
    parser.add_argument(
        "--config", type=Path, metavar="FILE", default=unsaid if again else None,
        help="settings file (default: none, that is, the defaults)",
    )  # fmt: skip
    place = default_data()
    parser.add_argument(
        "--data", type=Path, metavar="DIR", default=unsaid if again else place,
        help=f"where data lies (default: {place})",
    )  # fmt: skip
