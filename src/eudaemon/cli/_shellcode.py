"""What `eudaemon analyze` says of a shellcode: the examination in a process of its own, and its findings in lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from eudaemon.wire import printable

CALLS_SHOWN_MAX = 200


def shellcode(data: bytes, format_: str) -> dict[str, Any]:
    """Return `Findings.as_json`, or `fault` where the examination came to no end; nothing for what cannot be code."""
    from eudaemon.payload.shellcode.apart import ApartError, examine_apart
    from eudaemon.payload.shellcode.examine import FORMATS

    if format_ not in FORMATS:
        return {}
    try:
        return examine_apart(data, listing=True)
    except ApartError as error:
        return {"fault": str(error)}


def lines(found: dict[str, Any]) -> Iterator[str]:
    """Yield what people read; nothing if it is no shellcode."""
    if "fault" in found:
        yield f"shellcode: the examination did not come to an end: {found['fault']}"
    report = found.get("report")
    if report:
        where = f" of the {report['layer']}. decoding" if report["layer"] else ""
        yield f"shellcode: {report['architecture']}, from byte {report['offset']}{where}; {report['ended']}"
        yield from _entries("does", [b["says"] for b in report["behaviours"]])
        calls = [f"{call['at']:08x}  {_call(call)}" for call in report["calls"]]
        more = [f"… and {len(calls) - CALLS_SHOWN_MAX} more"] if len(calls) > CALLS_SHOWN_MAX else []
        yield from _entries("calls", calls[:CALLS_SHOWN_MAX] + more)
        yield from _entries("listing", report["listing"])
    signatures = found.get("signatures", ())
    if signatures:
        emulated = "" if found["emulated"] else " (unicorn is not installed: nothing was emulated)"
        yield f"shellcode signatures{emulated}:"
        yield from (
            f"  {s['offset']:#06x}  {printable(s['behaviour']['says'].encode())}  ({s['name']})" for s in signatures
        )
    wished = [f"{d['url']}  ({d['tool']})" for d in found.get("downloads", ())]
    yield from _entries("would download, as machine code", wished)


def _call(call: dict[str, Any]) -> str:
    return f"{call['name']}({', '.join(call['arguments'])}) = {call['result']:#x}"


def _entries(title: str, entries: Sequence[str]) -> Iterator[str]:
    if entries:
        yield f"{title}:"
        yield from ("  " + printable(entry.encode("utf-8", "replace")).replace("\n", "\\n") for entry in entries)
