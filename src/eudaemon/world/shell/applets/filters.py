"""`grep`. Patterns are the attacker's, so that no backtracking engine may run them: see `regular`."""

from __future__ import annotations

from eudaemon.world.shell.call import Applet, Call, Run, number, options, text
from eudaemon.world.shell.regular import Regular, RegularError


def grep(call: Call) -> Run:
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
    for name, data in (yield from call.sources(rest)):
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


TABLE: dict[str, Applet] = {"grep": grep, "egrep": grep, "fgrep": grep}
