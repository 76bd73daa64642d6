"""`eudaemon alert`: what took control of possessed processes on this machine, and signatures of it."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from eudaemon.cli import DONE, FAILED, FOUND
from eudaemon.cli._alerts import add_store, store_of
from eudaemon.cli._possession import say
from eudaemon.events.envelope import rfc3339
from eudaemon.evidence import benign, html, rules, signature, text, words
from eudaemon.evidence.codec import EvidenceError, dumps
from eudaemon.evidence.dump import plain
from eudaemon.evidence.model import Report

HELP = """\
Look at alerts: what was about to take control of a process that `eudaemon possess --taint` had possessed.

  eudaemon alert list                              all, the newest last
  eudaemon alert show last                         the newest, as a page of text
  eudaemon alert show 20261126T1030 --html a.html  one (its id may be shortened), as a page for a browser
  eudaemon alert signature ID ID                   rules that recognise the attack, for Suricata and YARA

Whose bytes they were, from which offset of which connection; the instruction, registers and memory with the tags of
each byte; the call stack; the injected code. `show` ends with where the files beside the report lie.

A signature is made of what does not change from capture to capture; one capture will do, more are better. It is tried
against what common clients send, and against your own recorded streams (`--benign`): one that would match is refused.

The exit code of `list` is 1 if there are none; 3 where an alert cannot be read, or no
signature can be given."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verbs."""
    verbs = parser.add_subparsers(metavar="VERB", dest="verb", required=True)
    listing = verbs.add_parser("list", help="all alerts of this machine, the newest last")
    show = verbs.add_parser("show", help="one alert: as text, as JSON, or as a page for a browser")
    show.add_argument("id", metavar="ID", help="as `list` prints it, or its beginning, or `last`")
    form = show.add_mutually_exclusive_group()
    form.add_argument("--html", type=Path, metavar="FILE", help="write a page for a browser to this file")
    for verb in (listing, show):
        (form if verb is show else verb).add_argument("--json", action="store_true", help="for machines")
        add_store(verb)
    signing = verbs.add_parser("signature", help="rules for Suricata and YARA, from one alert or several of one attack")
    signing.add_argument("ids", nargs="+", metavar="ID", help="alerts of the same attack")
    signing.add_argument("--suricata", action="store_true", help="only the rule for Suricata")
    signing.add_argument("--yara", action="store_true", help="only the rule for YARA")
    signing.add_argument(
        "--benign", type=Path, action="append", default=[], metavar="PATH",
        help="a recorded stream that must not match, or a folder of such",
    )  # fmt: skip
    signing.add_argument("--name", default="", help="what the rules are called (default: from the program's name)")
    add_store(signing)
    signing.set_defaults(verb_run=_signature)
    listing.set_defaults(verb_run=_list)
    show.set_defaults(verb_run=_show)


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says."""
    try:
        code: int = arguments.verb_run(arguments)
    except EvidenceError as error:
        say(f"eudaemon: {error.reason}", sys.stderr)
        if error.do:
            say(f"  → {error.do}", sys.stderr)
        return FAILED
    return code


def _list(arguments: argparse.Namespace) -> int:
    store = store_of(arguments)
    all_of_them = list(store.reports())
    if not all_of_them:
        say(f"there are no alerts in {store.folder}", sys.stderr)
        return FOUND
    code = DONE
    for found in reversed(all_of_them):
        if isinstance(found, EvidenceError):
            say(f"eudaemon: {found.reason}", sys.stderr)
            code = FAILED
        elif not say(json.dumps(_brief(found)) if arguments.json else _line(found)):
            return FAILED
    return code


def _brief(report: Report) -> dict[str, object]:
    culprits = [
        {"role": one.role, "peer": words.peer(report.stream(one.label)), "offset": one.offset, "bytes": len(one.data)}
        for one in report.culprits
    ]
    return {
        "id": report.id, "time": rfc3339(report.at_s), "pid": report.process.pid, "name": report.process.name,
        "kind": report.kind, "verdict": report.verdict, "in_time": report.in_time, "culprits": culprits,
    }  # fmt: skip


def _line(report: Report) -> str:
    peers = ", ".join(dict.fromkeys(words.peer(report.stream(one.label)) for one in report.culprits))
    peers = peers or words.origin(report) or "unknown"
    return f"{report.id}  {plain(report.process.name)}  {report.kind}  from {peers}  {report.verdict}"


def _show(arguments: argparse.Namespace) -> int:
    store = store_of(arguments)
    name = store.find(arguments.id)
    evidence = store.load(name)
    if arguments.html:
        try:
            _write(arguments.html, html.page(evidence.report))
        except OSError as error:
            raise EvidenceError(f"{arguments.html} cannot be written: {error.strerror}") from None
        return DONE
    if arguments.json:
        return DONE if say(dumps(evidence.report)) else FAILED
    lines = [text.page(evidence.report), f"Files: {store.folder / name}"]
    if injected := evidence.report.injected:
        lines.append(f"  → eudaemon analyze {store.folder / name / injected.code.file}")
    return DONE if say("\n".join(lines)) else FAILED


def _signature(arguments: argparse.Namespace) -> int:
    store = store_of(arguments)
    found = [store.load(store.find(text)) for text in dict.fromkeys(arguments.ids)]
    tried = {**benign.built_in(), **benign.read(arguments.benign)}
    name = arguments.name or f"eudaemon {found[0].report.process.name} {found[0].report.kind}"
    try:
        made = signature.make(found, tried, name)
    except signature.RefusedSignature as error:
        raise EvidenceError(str(error), "name more captures of the same attack" if len(found) == 1 else "") from None
    notes = [f"from {len(found)} capture{'s' if found[1:] else ''}; none of {len(tried)} benign streams matches"]
    if not found[1:]:
        notes.append("of one capture nobody knows what changes from attack to attack: try it on another")
    lines = []
    if arguments.suricata or not arguments.yara:
        lines += [*(f"# {note}" for note in notes), rules.suricata(made)]
    if arguments.yara or not arguments.suricata:
        lines += [*(f"// {note}" for note in notes), rules.yara(made)]
    return DONE if say("\n".join(lines)) else FAILED


def _write(path: Path, page: str) -> None:
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        new.write_text(page, encoding="utf-8", errors="backslashreplace")
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
