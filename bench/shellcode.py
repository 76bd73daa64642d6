"""How many of libemu's known shellcodes are understood, and how long each takes.

    python bench/shellcode.py --libemu PATH     a checkout of github.com/buffer/libemu, or its tools/sctest/tests.c

Nothing of libemu is in this repository: its list is read as text, and none of it is built. Those that it holds to test
its own hooks (`crash in …`) are not counted. A code is understood if its purpose is told: where it connects or listens,
what it downloads, executes, receives or sends.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import time
from pathlib import Path

from eudaemon.payload.shellcode.apart import examine_apart
from eudaemon.payload.shellcode.behaviour import is_understood
from eudaemon.payload.shellcode.emulation.trial import emulate
from eudaemon.payload.shellcode.signatures import signatures

ROUNDS = 5
AIM_MS = 50
_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_ENTRY = re.compile(r'\.instr\s*=\s*"((?:[^"\\]|\\.)*)"\s*,\s*\.code\s*=\s*((?:\s*"(?:[^"\\]|\\.)*")+)')
_LITERAL = re.compile(r'"((?:[^"\\]|\\.)*)"')


def shellcodes(path: Path) -> list[tuple[str, bytes]]:
    """Return name and bytes of each code in libemu's list."""
    source = path if path.is_file() else path / "tools" / "sctest" / "tests.c"
    # URLs in names hold `//`: only comments that are no part of a text are taken out.
    text = re.sub(r'"(?:[^"\\]|\\.)*"|' + _COMMENT.pattern, lambda m: m[0] if m[0][0] == '"' else " ",
                  source.read_text(encoding="latin-1"), flags=re.DOTALL)  # fmt: skip
    found = []
    for entry in _ENTRY.finditer(text):
        code = "".join(_LITERAL.findall(entry[2])).encode("latin-1").decode("unicode_escape").encode("latin-1")
        if code and not entry[1].startswith("crash in"):
            found.append((entry[1], code))
    return found


def main() -> int:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--libemu", type=Path, required=True, help="a checkout of libemu, or its tests.c")
    arguments = parser.parse_args()
    try:
        codes = shellcodes(arguments.libemu)
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    emulate(b"\x90" * 64)  # what is made once
    understood, medians, processor, told = 0, [], [], 0
    for name, code in codes:
        taken_ms, used_ms = [], []
        for _ in range(ROUNDS):
            began_s, used_s = time.perf_counter(), time.process_time()
            report = emulate(code)
            taken_ms.append((time.perf_counter() - began_s) * 1000)
            used_ms.append((time.process_time() - used_s) * 1000)
        is_known = report is not None and report.understood
        understood += is_known
        medians.append(statistics.median(taken_ms))
        processor.append(statistics.median(used_ms))
        told += is_understood(signature.behaviour for signature in signatures(code))
        does = "; ".join(str(behaviour)[:70] for behaviour in report.behaviours) if report else ""
        verdict = "understood" if is_known else "-"
        print(f"{medians[-1]:8.1f} ms {processor[-1]:8.1f} ms  {verdict:<10}  {name[:52]:<52}  {does[:150]}")
    print(f"\nunderstood: {understood} of {len(codes)}")
    for what, values in (("time that passed", medians), ("processor time", processor)):
        middle, over = statistics.median(values), sum(value > AIM_MS for value in values)
        print(f"{what}, each the median of {ROUNDS}: {middle:.1f} ms in the middle; {over} over {AIM_MS} ms")
    print(f"told by signatures alone, without emulation: {told} of {len(codes)}")
    began_s = time.perf_counter()
    for _, code in codes:
        examine_apart(code)
    each_s = (time.perf_counter() - began_s) / len(codes)
    print(f"as the farm does it, each in a process of its own: {each_s:.2f} s a code")
    return 0


if __name__ == "__main__":
    sys.exit(main())
