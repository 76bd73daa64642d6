"""`eudaemon replay FILE…`: recorded attacks through the rooms, without a network, and what was understood of them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from eudaemon.cli import DONE, FOUND, WRONG_USE
from eudaemon.cli._files import UnreadableError
from eudaemon.cli._recordings import recordings
from eudaemon.cli._script import Script
from eudaemon.cli._stage import Played, play
from eudaemon.protocols import ROOMS
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed

HELP = """\
Play recorded attacks through the rooms, without a network, and print what was understood of them and what was not.

FILE may be captured packets (pcap or pcapng), a recorded conversation (EUDCONV1), a log of cowrie's JSON lines, a shell
script, or the raw bytes that an attacker sent; `-` is standard input. Of a capture each conversation is played, the
side that called being the attacker; what could not be read of it is said on standard error.
The exit code is 0 if all was understood, 1 if something was not, 2 if a file cannot be read."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="what to play")
    parser.add_argument(
        "--room", choices=sorted((*ROOMS, Script.name)), default="", help="play to this room, whatever it looks like"
    )
    parser.add_argument("--json", action="store_true", help="for machines: an object a conversation, one a line")


def run(arguments: argparse.Namespace) -> int:
    """Play, and tell."""
    return replay(arguments.files, as_json=arguments.json, room=arguments.room)


def replay(paths: Sequence[Path], *, as_json: bool, room: str = "") -> int:
    """Play the files and print what was understood; return the exit code. A file that cannot be read stops no other."""
    host = Host.from_seed(Seed(b"replay"))
    code = DONE
    for path in paths:
        try:
            for recording in recordings(path, host):
                played = play(recording, host, room)
                code = max(code, FOUND if played.not_understood else DONE)
                print(json.dumps(_values(played)) if as_json else "\n".join(_lines(played)))
        except UnreadableError as error:
            print(f"eudaemon: {error}", file=sys.stderr)
            code = WRONG_USE
    return code


def _values(played: Played) -> dict[str, Any]:
    return {
        "name": played.recording.name,
        "room": played.room,
        "facts": [{"kind": fact.kind, **_fields(fact)} for fact in played.facts],
        "wishes": [{"url": wish.url, "tool": wish.tool, "name": wish.name} for wish in played.wishes],
        "artefacts": played.artefacts,
        "not_understood": played.not_understood,
    }


def _fields(fact: Any) -> dict[str, Any]:
    return asdict(fact)


def _lines(played: Played) -> Iterator[str]:
    yield f"{played.recording.name}: {played.room}"
    for fact in played.facts:
        yield f"  {fact.kind:<20} " + " ".join(f"{name}={value!r}" for name, value in _fields(fact).items())
    yield from _table("wish", (f"{wish.url} ({wish.tool})" for wish in played.wishes))
    yield from _table("artefact", (f"{a['origin']} {a['name']!r} {a['size']} {a['sha256']}" for a in played.artefacts))
    yield from _table("not understood", played.not_understood)


def _table(title: str, entries: Iterable[str]) -> Iterator[str]:
    return (f"  {title:<20} {entry}" for entry in entries)
