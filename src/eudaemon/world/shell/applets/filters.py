"""`grep`, `sed`, `awk`: the little of them that loaders use.

Patterns are the attacker's, so that no backtracking engine may run them: `regular` matches in time proportional to
pattern times text.
"""

from __future__ import annotations

from eudaemon.world.shell.call import Applet, Call, number, options, text
from eudaemon.world.shell.regular import Regular, RegularError


def grep(call: Call) -> int:
    """Lines that match."""
    given, rest = options(call.args, "efmABC")
    pattern = given.get("e")
    if pattern is None:
        if not rest:
            call.say(
                f"{call.host.busybox_line} multi-call binary.\n\nUsage: grep [-HhnlLoqvsriwFE] PATTERN [FILE]...\n\n"
            )
            return 2
        pattern = rest.pop(0)
    try:
        wanted = Regular(pattern, extended="E" in given or call.name == "egrep",
                         fixed="F" in given or call.name == "fgrep", fold="i" in given)  # fmt: skip
    except RegularError as error:
        return call.error(f"bad regex '{text(pattern)}': {error}", 2)
    limit = number(given["m"]) if "m" in given else -1
    hits = 0
    prefixed = len(rest) > 1 or "H" in given
    for name, data in call.sources(rest):
        found = 0
        for at, line in enumerate(data.removesuffix(b"\n").split(b"\n") if data else (), 1):
            call.shell.budget.work(wanted.cost(line))
            if (wanted.search(line) is None) != ("v" in given):
                continue
            found += 1
            if not given.keys() & {"q", "c", "l"}:
                span = wanted.search(line) if "o" in given else None
                shown = line[span[0] : span[1]] if span else line
                call.out((name + b":" if prefixed else b"") + (b"%d:" % at if "n" in given else b"") + shown + b"\n")
            if found == limit:
                break
        hits += found
        if "c" in given:
            call.out((name + b":" if prefixed else b"") + b"%d\n" % found)
        elif "l" in given and found:
            call.out(name + b"\n")
    return int(hits == 0)


def sed(call: Call) -> int:
    """`s/a/b/flags`, `Np`, `N,Md`, `/re/d`, `/re/p`, `q`; anything else passes the text through."""
    given, rest = options(call.args, "ef")
    script = given.get("e") or (rest.pop(0) if rest else b"")
    try:
        steps = [
            step
            for piece in _pieces(script)
            if (step := _step(piece.strip(), extended=bool(given.keys() & {"r", "E"})))
        ]
    except RegularError as error:
        return call.error(f"bad regex: {error}")
    for name, data in call.sources(rest):
        out = bytearray()
        rows = data.removesuffix(b"\n").split(b"\n") if data else []
        for at, line in enumerate(rows, 1):
            shown = _edited(call, steps, line, at, last=at == len(rows), silent="n" in given)
            out += shown
        if "i" in given and rest:
            call.write(name, bytes(out))
        else:
            call.out(bytes(out))
    return 0


class _Step:
    """One command of a sed script."""

    __slots__ = ("address", "command", "everywhere", "found", "printing", "replacement")

    def __init__(self, address: bytes | Regular, command: bytes) -> None:
        self.address = address
        self.command = command
        self.found: Regular | None = None
        self.replacement = b""
        self.everywhere = False
        self.printing = False

    def applies(self, line: bytes, at: int, *, last: bool) -> bool:
        """Say whether the address selects this line."""
        if isinstance(self.address, Regular):
            return self.address.search(line) is not None
        if not self.address:
            return True
        low, comma, high = self.address.partition(b",")
        first = at if low == b"$" and last else number(low, -1)
        if not comma:
            return at == first
        return first <= at and (high == b"$" or at <= number(high))


def _pieces(script: bytes) -> list[bytes]:
    """Split at `;` and LF outside of `s` commands' parts."""
    pieces: list[bytes] = []
    for piece in script.replace(b"\n", b";").split(b";")[:64]:
        if pieces and pieces[-1].lstrip()[:1] == b"s" and pieces[-1].count(pieces[-1].lstrip()[1:2]) < 3:
            pieces[-1] += b";" + piece
        else:
            pieces.append(piece)
    return pieces


def _step(piece: bytes, *, extended: bool) -> _Step | None:
    address: bytes | Regular = b""
    if piece[:1] == b"/":
        end = piece.find(b"/", 1)
        if end < 0:
            return None
        address, piece = Regular(piece[1:end], extended=extended), piece[end + 1 :]
    else:
        rest = piece.lstrip(b"0123456789,$")
        address, piece = piece[: len(piece) - len(rest)], rest
    piece = piece.lstrip()
    if not piece:
        return None
    step = _Step(address, piece[:1])
    if step.command == b"s" and len(piece) > 3:
        parts = piece[2:].split(piece[1:2])
        if len(parts) < 3:
            return None
        step.found = Regular(parts[0], extended=extended, fold=b"i" in parts[2] or b"I" in parts[2])
        step.replacement = parts[1]
        step.everywhere = b"g" in parts[2]
        step.printing = b"p" in parts[2]
    return step


def _edited(call: Call, steps: list[_Step], line: bytes, at: int, *, last: bool, silent: bool) -> bytes:
    printed = b""
    for step in steps:
        call.shell.budget.work(len(line) + 8)
        if not step.applies(line, at, last=last):
            continue
        match step.command:
            case b"d":
                return printed
            case b"p":
                printed += line + b"\n"
            case b"s" if step.found is not None:
                call.shell.budget.work(step.found.cost(line))
                changed = step.found.replace(line, step.replacement, everywhere=step.everywhere)
                call.shell.budget.work(len(changed))
                if step.printing and changed != line:
                    printed += changed + b"\n"
                line = changed
    return printed if silent else printed + line + b"\n"


def awk(call: Call) -> int:
    """`[/re/] {print $1, $NF, "text"}` with `-F`; any other program prints nothing."""
    given, rest = options(call.args, "Fvf")
    program = rest.pop(0).strip() if rest else b""
    condition: Regular | None = None
    if program[:1] == b"/" and (end := program.find(b"/", 1)) > 0:
        try:
            condition, program = Regular(program[1:end], extended=True), program[end + 1 :].strip()
        except RegularError as error:
            return call.error(f"bad regex: {error}")
    body = program.strip(b"{} \t;")
    if body and not body.startswith(b"print"):
        return 0
    wanted = _printed_terms(body.removeprefix(b"print").strip())
    separator = given.get("F")
    for _, data in call.sources(rest):
        for at, line in enumerate(data.removesuffix(b"\n").split(b"\n") if data else (), 1):
            call.shell.budget.work(len(line) + 8 + (condition.cost(line) if condition else 0))
            if condition is not None and condition.search(line) is None:
                continue
            fields = line.split(separator) if separator else line.split()
            call.out(b"".join(_term(term, line, fields, at) for term in wanted) + b"\n")
    return 0


def _printed_terms(text_: bytes) -> list[bytes]:
    """Split what is printed into terms; a comma becomes a term of one blank in quotes."""
    terms: list[bytes] = []
    at = 0
    while at < len(text_) and len(terms) < 64:
        byte = text_[at : at + 1]
        if byte == b'"':
            end = text_.find(b'"', at + 1)
            end = len(text_) if end < 0 else end
            terms.append(text_[at : end + 1])
            at = end + 1
        elif byte == b",":
            terms.append(b'" "')
            at += 1
        elif byte in b" \t":
            at += 1
        else:
            end = at + 1
            while end < len(text_) and text_[end] not in b' \t,"$':
                end += 1
            terms.append(text_[at:end])
            at = end
    return terms or [b"$0"]


def _term(term: bytes, line: bytes, fields: list[bytes], at: int) -> bytes:
    if term[:1] == b'"':
        return term.strip(b'"').replace(b"\\n", b"\n").replace(b"\\t", b"\t")
    if term == b"NR":
        return b"%d" % at
    if term == b"NF":
        return b"%d" % len(fields)
    if term[:1] == b"$":
        which = len(fields) if term == b"$NF" else number(term[1:], -1)
        return line if which == 0 else fields[which - 1] if 0 < which <= len(fields) else b""
    return term if term.isdigit() else b""


TABLE: dict[str, Applet] = {"grep": grep, "egrep": grep, "fgrep": grep, "sed": sed, "awk": awk}
