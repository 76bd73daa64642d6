"""`eudaemon analyze FILE`: what a file is, what stands in it, and what it would do. Runs and fetches nothing."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from eudaemon.cli import DONE, WRONG_USE
from eudaemon.cli._files import UnreadableError, read
from eudaemon.cli._shellcode import lines as shellcode_lines
from eudaemon.cli._shellcode import shellcode
from eudaemon.payload.extract import extract
from eudaemon.payload.identify import Identity, identify
from eudaemon.payload.strings import strings
from eudaemon.payload.tables import tables
from eudaemon.wire import printable
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed

HELP = """\
Take a file apart by hand: what it is, its hashes, the texts in it that say something, its layers of decoding,
the commands in them, and what those would download. What may be a shellcode (x86, x86-64, ARM, AArch64, MIPS)
runs on an emulated CPU in a pretended Windows or Linux: what it does, what it calls, and a listing. Your machine
runs nothing of it, and nothing is fetched."""

TEXTS_SHOWN_MAX = 60
EXTRACTED_BYTES_MAX = 8 * 1024 * 1024  # a person waits longer than a sensor
LAYER_CHARS_MAX = 2000
TEXT_FORMATS = ("text", "script", "html", "xml")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="a sample, a script, or a request's bytes; - is standard input"
    )
    parser.add_argument("--json", action="store_true", help="for machines: one object")


def run(arguments: argparse.Namespace) -> int:
    """Analyse, and tell."""
    return analyze(arguments.file, as_json=arguments.json)


def analyze(path: Path, *, as_json: bool) -> int:
    """Print what is found in a file; return the exit code: 2 if it cannot be read."""
    try:
        data = read(path)
    except UnreadableError as error:
        print(f"eudaemon: {error}", file=sys.stderr)
        return WRONG_USE
    findings = examine(data)
    if as_json:
        print(json.dumps({"file": str(path), **findings}, indent=1))
    else:
        print("\n".join(_lines(findings)))
    return DONE


def examine(data: bytes) -> dict[str, Any]:
    """Return all that is found in the bytes, as `--json` prints it."""
    identity = identify(data)
    found = extract(data, Host.from_seed(Seed(b"analyze")), bytes_max=EXTRACTED_BYTES_MAX)
    telling: dict[str, None] = {}
    for text in strings(data):
        if text.telling and len(telling) < TEXTS_SHOWN_MAX:
            telling[text.text[:LAYER_CHARS_MAX]] = None
    return {
        "format": identity.format,
        "description": identity.description,
        "size": len(data),
        "md5": hashlib.md5(data, usedforsecurity=False).hexdigest(),
        "sha1": hashlib.sha1(data, usedforsecurity=False).hexdigest(),
        "sha256": hashlib.sha256(data).hexdigest(),
        "fuzzy": _fuzzy(data),
        "rules": _rules(data),
        "downloads": [{"url": d.url, "tool": d.tool, "name": d.name} for d in found.downloads if d.tool != "url"],
        "urls": [d.url for d in found.downloads if d.tool == "url"],
        "private": list(found.private),
        "commands": list(found.commands),
        "layers": list(_layers(found.layers[1:], identity)),
        "strings": list(telling),
        "hidden": [{"key": f"{table.key:#04x}", "texts": list(table.texts)} for table in tables(data)],
        "shellcode": shellcode(data, identity.format),
    }


def _layers(layers: Iterable[bytes], whole: Identity) -> Iterator[str]:
    """Yield what decoding gave: texts, and what other files are. Noise and the whole again are left out."""
    for layer in layers:
        identity = identify(layer)
        if identity.format in TEXT_FORMATS:
            yield printable(layer, LAYER_CHARS_MAX)
        elif identity.format != "data" and identity != whole:
            yield f"({identity.description}, {len(layer)} bytes)"


def _rules(data: bytes) -> list[str] | None:
    """Return the rules that match, or None where YARA-X is not installed."""
    if find_spec("yara_x") is None:
        return None
    from eudaemon.payload.yara import Yara

    return list(Yara().matches(data))


def _fuzzy(data: bytes) -> str:
    if find_spec("ppdeep") is None:
        return ""
    from eudaemon.payload.fuzzy import fuzzy_hash

    return fuzzy_hash(data)


def _lines(findings: dict[str, Any]) -> Iterator[str]:
    yield f"{findings['description']}"
    yield f"  size     {findings['size']} bytes"
    for name in ("md5", "sha1", "sha256"):
        yield f"  {name:<8} {findings[name]}"
    if findings["fuzzy"]:
        yield f"  ssdeep   {findings['fuzzy']}"
    rules = findings["rules"]
    yield f"  rules    {'(YARA-X is not installed)' if rules is None else ', '.join(rules) or 'none match'}"
    downloads = [f"{d['url']}  ({d['tool']}{', as ' + d['name'] if d['name'] else ''})" for d in findings["downloads"]]
    for title, entries in (
        ("would download", downloads),
        ("URLs in it", findings["urls"]),
        ("names a private address", findings["private"]),
        ("commands", findings["commands"]),
        ("decoded", findings["layers"]),
        ("strings that say something", findings["strings"]),
        *((f"strings behind a XOR with {table['key']}", table["texts"]) for table in findings["hidden"]),
    ):
        if entries:
            yield f"{title}:"
            yield from ("  " + printable(entry.encode()).replace("\n", "\n    ") for entry in entries)
    yield from shellcode_lines(findings["shellcode"])
