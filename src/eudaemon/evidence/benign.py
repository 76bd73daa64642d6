"""What signatures are tried against: recorded input that nobody would call an attack.

`benign.json` lies beside this file: what real clients said to a server that answers next to nothing
(`packaging/make_benign.py` records it). An operator adds streams of his own: files, or folders of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from eudaemon.evidence.codec import EvidenceError

STREAM_BYTES_MAX = 64 * 1024 * 1024
STREAMS_MAX = 10_000


def built_in() -> dict[str, bytes]:
    """Return the streams that come with the program, by the client's command line."""
    text = (Path(__file__).parent / "benign.json").read_text(encoding="ascii")
    return {client: bytes.fromhex(said) for client, said in json.loads(text).items()}


def read(paths: Iterable[Path]) -> dict[str, bytes]:
    """Return files' contents, by path; of a folder, all files below it. Raises `EvidenceError`."""
    found: dict[str, bytes] = {}
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else (path,):
            if file.is_dir():
                continue
            try:
                with file.open("rb") as stream:
                    data = stream.read(STREAM_BYTES_MAX + 1)
            except OSError as error:
                raise EvidenceError(f"{file} cannot be read: {error.strerror}") from None
            if len(data) > STREAM_BYTES_MAX or len(found) == STREAMS_MAX:
                most = f"{STREAM_BYTES_MAX} bytes in a stream, {STREAMS_MAX} streams"
                raise EvidenceError(f"{file} is too much: {most} at most", "name less of it")
            found[str(file)] = data
    return found
