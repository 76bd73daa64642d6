"""Arguments that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path

from eudaemon.app import default_data


def add_place(parser: argparse.ArgumentParser) -> None:
    """Declare `--config` and `--data`."""
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="settings file (default: none, that is, the defaults)"
    )
    parser.add_argument(
        "--data", type=Path, metavar="DIR", default=default_data(), help="where data lies (default: %(default)s)"
    )
