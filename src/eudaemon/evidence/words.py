"""What is said of an alert in sentences, wherever it is shown."""

from __future__ import annotations

from eudaemon.evidence.model import Culprit, Frame, Report, Stream, labels_of

ANSWERS = {
    "observe": "it went on, as it was told to",
    "contain": "the thread has been ended",
    "kill": "the process has been ended",
    "release": "the thread has been ended, the process let go",
}
_ROLES = {"value": "the value is", "code": "the code is"}
_LATE = " (by the engine, for nobody had answered in time)"


def sentence(text: str) -> str:
    """Return it with a capital and a full stop."""
    return f"{text[:1].upper()}{text[1:]}."


def answer(report: Report) -> str:
    """Return what became of the thread."""
    return ANSWERS.get(report.verdict, report.verdict) + ("" if report.in_time else _LATE)


def culprit(report: Report, one: Culprit) -> str:
    """Return whose bytes they are."""
    what = _ROLES.get(one.role, f"the value is computed; where {one.role} points stand")
    count = f"{len(one.data)} bytes" if len(one.data) != 1 else "one byte"
    source = report.stream(one.label)
    return f"{what} {count} from offset {one.offset} of what came from {peer(source)} ({one.certainty})"


def peer(stream: Stream | None) -> str:
    """Return where a stream comes from."""
    if stream is None:
        return "an unknown stream"
    if stream.peer:
        return stream.peer
    named = {"stdin": "standard input", "file": f"a file (descriptor {stream.descriptor}, inode {stream.inode})"}
    return named.get(stream.kind, f"descriptor {stream.descriptor}")


def origin(report: Report) -> str:
    """Return where the value came from, as its tags say; "" where they do not."""
    named = [peer(report.stream(label)) for label in labels_of(report.tags)]
    return " and ".join(dict.fromkeys(named))


def place(frame: Frame) -> str:
    """Return where a frame is."""
    if not frame.module:
        return "in no code"
    return f"{frame.symbol or '?'} in {frame.module or '(no file)'}+{frame.offset:#x}"


def labels(tags: bytes) -> str:
    """Return tags as text, the highest byte first: the number of the stream, `-` for none, `*` for several."""
    signs = []
    for tag in reversed(tags):
        bits = [str(bit) for bit in range(8) if tag >> bit & 1]
        signs.append("-" if not bits else bits[0] if len(bits) == 1 else "*")
    return "".join(signs)
