"""The report of an alert as the page shows it. A sensor sent it, and an attacker wrote much of it: it is all text."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import islice

from eudaemon.events.envelope import rfc3339
from eudaemon.evidence import words
from eudaemon.evidence.dump import plain, rows
from eudaemon.evidence.model import Instruction, Report, Window
from eudaemon.farm.api import models

ROWS_MAX = 256  # of one picture
PICTURES_MAX = 16
LINES_MAX = 256  # of a listing, and of the call stack
REGISTERS_MAX = 64
AREAS_MAX = 1024  # of the memory map
_LEADING = ("return", "jump", "call", "code")  # kinds that lead somewhere


def alert_shown(report: Report) -> models.Alert:
    """Return what is shown of a report. Raises `ValueError` for times and addresses that cannot be."""
    process = report.process
    place = range(report.place, report.place + 8) if report.place else range(0)
    rsp = next((one.value for one in report.registers if one.name == "rsp"), None)
    facts = [
        ("Alert", report.id),
        ("When", rfc3339(report.at_s)),
        ("Process", f"{process.name}, {process.pid}, thread {process.tid}, user {process.uid}"),
        ("Program", process.exe),
        ("Command", " ".join(process.command)),
        ("Instruction", f"{report.pc:#x}  {report.instruction.text}"),
        ("Would have gone to" if report.kind in _LEADING else "Value", f"{report.target:#x}"),
    ]
    if report.injected:
        facts.append(("Injected code", f"{report.injected.code.size} bytes at {report.injected.address:#x}"))
    return models.Alert(
        id=plain(report.id), words=words.sentence(plain(report.words)), answer=words.sentence(words.answer(report)),
        facts=[(name, plain(text)) for name, text in facts], remarks=[plain(one) for one in report.remarks],
        pictures=list(islice(_pictures(report, place, rsp), PICTURES_MAX)),
        code=_listing(report.code or (report.instruction,), report.pc),
        injected=_listing(report.injected.listing if report.injected else (), report.pc),
        registers=list(_registers(report)),
        maps=[(f"{one.begin:#x}–{one.end:#x}", plain(one.rights), plain(one.path)) for one in report.maps[:AREAS_MAX]],
        frames=[(f"{one.address:#x}", plain(words.place(one)), plain(one.how)) for one in report.frames[:LINES_MAX]],
    )  # fmt: skip


def _registers(report: Report) -> Iterator[tuple[str, str, str]]:
    for one in report.registers[:REGISTERS_MAX]:
        yield plain(one.name), f"{one.value:#018x}", words.labels(one.tags)
    yield "flags", f"{report.rflags:#x}", ""


def _pictures(report: Report, place: Collection[int], rsp: int | None) -> Iterator[models.Picture]:
    for one in report.culprits:
        peer = plain(words.peer(report.stream(one.label)))
        says = words.sentence(plain(words.culprit(report, one)))
        yield _picture(one.lit, f"Input from {peer}", says, one.core, None)
    if report.place_apart:
        yield _picture(report.place_apart, "Memory around the value", "", place, None)
    yield _picture(report.stack, "Stack", "The memory around the stack pointer.", place, rsp)


def _picture(window: Window, title: str, says: str, marked: Collection[int], pointer: int | None) -> models.Picture:
    if window.address < 0:
        raise ValueError(f"{title} begins at {window.address}")
    shown = list(islice(rows(window, marked), ROWS_MAX + 1))
    lines = [
        models.Bytes(at=f"{row.address:#x}", data=row.data.hex(), marks=row.marks,
                     pointed=pointer is not None and row.address <= pointer < row.address + len(row.data))
        for row in shown[:ROWS_MAX]
    ]  # fmt: skip
    return models.Picture(title=title, says=says, rows=lines, truncated=len(shown) > ROWS_MAX)


def _listing(instructions: Iterable[Instruction], here: int) -> list[models.Line]:
    return [
        models.Line(at=f"{one.address:#x}", data=one.data.hex(), text=plain(one.text), here=one.address == here)
        for one in islice(instructions, LINES_MAX)
    ]
