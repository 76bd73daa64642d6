"""The report as one HTML file that needs nothing else: no script, no font, no picture from anywhere.

All that comes from the process or its peer is escaped, and a policy in the file forbids everything but its style.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path

from eudaemon.events.envelope import rfc3339
from eudaemon.evidence import words
from eudaemon.evidence.dump import plain
from eudaemon.evidence.model import Instruction, Report
from eudaemon.evidence.picture import picture

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = Path(__file__).parent / "report.css"


def page(report: Report) -> str:
    """Return the file's text."""
    title = f"{plain(report.process.name)}: {report.words}"
    body = "\n".join(_body(report))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE.read_text()}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _body(report: Report) -> Iterator[str]:
    process = report.process
    yield f"<h1>{escape(plain(process.name))}: {escape(report.words)}</h1>"
    yield f'<p class="what">{escape(words.sentence(words.answer(report)))}</p>'
    if not report.culprits and (origin := words.origin(report)):
        yield f"<p>Its tags say that it came from {escape(origin)}.</p>"
    yield from (f'<p class="remark">{escape(plain(remark))}</p>' for remark in report.remarks)
    facts = [
        ("alert", report.id),
        ("when", rfc3339(report.at_s)),
        ("process", f"{process.pid}, thread {process.tid}, user {process.uid}"),
        ("program", process.exe),
        ("command", " ".join(process.command)),
        ("instruction", f"{report.pc:#x}  {report.instruction.text}"),
        ("would have gone to" if report.kind in ("return", "jump", "call", "code") else "value", f"{report.target:#x}"),
    ]
    yield _table(facts)
    yield from _culprits(report)
    yield "<h2>Stack</h2>"
    marked = range(report.place, report.place + 8) if report.place else range(0)
    rsp = next((one.value for one in report.registers if one.name == "rsp"), None)
    yield _scroll(picture(report.stack, "The stack around the stack pointer", marked, rsp))
    yield '<p class="key"><span class="t">from outside</span><span class="c">took control</span></p>'
    if report.place_apart:
        yield "<h2>Memory around the value</h2>"
        yield _scroll(picture(report.place_apart, "Memory around the value", marked, report.place))
    if report.injected:
        yield f"<h2>Injected code, {report.injected.code.size} bytes</h2>"
        yield f'<p class="faint">SHA-256 <code>{escape(report.injected.code.sha256)}</code></p>'
        yield _listing(report.injected.listing, report.pc)
    yield "<h2>Code around the instruction</h2>"
    yield _listing(report.code or (report.instruction,), report.pc)
    yield "<h2>Call stack</h2>"
    yield _table((f"{one.address:#x}", words.place(one), one.how) for one in report.frames)
    yield "<h2>Registers</h2>"
    yield _table((one.name, f"{one.value:#018x}", words.labels(one.tags)) for one in report.registers)
    yield "<h2>Streams</h2>"
    yield _table(
        (str(one.label), one.kind, words.peer(one), one.local, f"{one.received} bytes") for one in report.streams
    )
    yield "<h2>Memory map</h2>"
    yield _table((f"{one.begin:#x}-{one.end:#x}", one.rights, one.path) for one in report.maps)


def _culprits(report: Report) -> Iterator[str]:
    for one in report.culprits:
        yield f"<h2>Input from {escape(words.peer(report.stream(one.label)))}</h2>"
        yield f"<p>{escape(words.sentence(words.culprit(report, one)))}</p>"
        yield _scroll(picture(one.lit, "The input, by its offset in the stream; lit is what took control", one.core))


def _listing(instructions: Iterable[Instruction], here: int) -> str:
    lines = []
    for one in instructions:
        sign = ' class="here"' if one.address == here else ""
        lines.append(
            f"<tr{sign}><td>{one.address:#x}</td><td>{one.data.hex()}</td><td>{escape(plain(one.text))}</td></tr>"
        )
    return _scroll(f"<table>{''.join(lines)}</table>")


def _table(lines: Iterable[tuple[str, ...]]) -> str:
    rows = ("<tr>" + "".join(f"<td>{escape(plain(cell))}</td>" for cell in line) + "</tr>" for line in lines)
    return _scroll(f"<table>{''.join(rows)}</table>")


def _scroll(text: str) -> str:
    return f'<div class="scroll">{text}</div>'
