"""The report as a page of text. In dumps, bytes in brackets have a tag, or are the culprits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from eudaemon.events.envelope import rfc3339
from eudaemon.evidence import words
from eudaemon.evidence.dump import plain, rows
from eudaemon.evidence.model import Report, Window

_ADDRESS = 14  # digits of an address in a column


def page(report: Report) -> str:
    """Return the page."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    process = report.process
    yield f"ALERT {report.id}"
    who = f"process {process.pid}, thread {process.tid}, user {process.uid}"
    yield f"  {rfc3339(report.at_s)}, {plain(process.name)}: {who}"
    yield f"  {plain(process.exe)}"
    yield f"  {plain(' '.join(process.command))}"
    if process.parent:
        yield f"  forked while it was possessed by process {process.parent}"
    yield ""
    yield words.sentence(report.words)
    if not report.culprits and (origin := words.origin(report)):
        yield f"Its tags say that it came from {origin}."
    yield f"The answer was {report.verdict}: {words.answer(report)}."
    yield from (f"! {plain(remark)}" for remark in report.remarks)
    yield from _section("Whose bytes", _culprits(report))
    yield from _section("Instruction", _code(report))
    yield from _section("Registers, and the stream of each byte (- none)", _registers(report))
    yield from _section("Call stack", _frames(report))
    if report.injected:
        listing = (f"  {one.address:#{_ADDRESS}x}  {one.data.hex():<24} {one.text}" for one in report.injected.listing)
        title = f"Injected code at {report.injected.address:#x}, {report.injected.code.size} bytes"
        yield from _section(f"{title}, SHA-256 {report.injected.code.sha256}", listing)
    if report.place_apart:
        marked = range(report.place, report.place + 8)
        yield from _section(f"Memory around the value at {report.place:#x}", _dump(report.place_apart, marked))
    yield from _section("Stack", _dump(report.stack, range(report.place, report.place + 8)))
    yield from _section("Streams", _streams(report))
    areas = (
        f"  {area.begin:#{_ADDRESS}x}-{area.end:#{_ADDRESS}x} {area.rights} {plain(area.path)}" for area in report.maps
    )
    yield from _section("Memory map", areas)


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    found = list(lines)
    if found:
        yield ""
        yield title
        yield from found


def _culprits(report: Report) -> Iterator[str]:
    for one in report.culprits:
        yield f"  {words.culprit(report, one)}"
        yield from _dump(one.lit, one.core)
        if one.role == "value":
            core = one.data[one.core_at : one.core_at + one.core_size]
            yield f"  the value itself: {len(core)} bytes from offset {one.offset + one.core_at}, {core.hex(' ')}"


def _code(report: Report) -> Iterator[str]:
    for one in report.code or (report.instruction,):
        sign = "→" if one.address == report.pc else " "
        yield f"{sign} {one.address:#{_ADDRESS}x}  {one.data.hex():<24} {one.text}"
    what = "would have gone to" if report.kind in ("return", "jump", "call", "code") else "value"
    yield f"  {what} {report.target:#x}, tags {words.labels(report.tags)}"


def _registers(report: Report) -> Iterator[str]:
    for one in report.registers:
        yield f"  {one.name:<4}{one.value:#018x}  {words.labels(one.tags)}"
    yield f"  flags {report.rflags:#x}"


def _frames(report: Report) -> Iterator[str]:
    for number, one in enumerate(report.frames):
        yield f"  {number:>2}  {one.address:#{_ADDRESS}x}  {plain(words.place(one))}  [{one.how}]"


def _streams(report: Report) -> Iterator[str]:
    for one in report.streams:
        kept = (
            f"{one.input.size} bytes from offset {one.input_at} in {one.input.file}" if one.input else "no input kept"
        )
        to = f" to {one.local}" if one.local else ""
        yield f"  {one.label}: {one.kind} from {words.peer(one)}{to}, {one.received} bytes received; {kept}"


def _dump(window: Window, marked: range = range(0)) -> Iterator[str]:
    for row in rows(window, marked):
        yield f"  {row.address:#{_ADDRESS}x} {row.text()}"
