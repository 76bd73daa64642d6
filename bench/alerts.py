"""How long it takes from the instant at which a thread stands before a hijacked transfer to its report on disk.

    python bench/alerts.py [--rounds 10]

Real attacks (tests/possession/attacks.py) on possessed victims; a listener as `eudaemon possess --taint` has it, which
looks every 5 ms. The engine's own clock says when the thread stopped (`Alert::at_ns`). Needs root, gcc and the engine.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

from eudaemon.evidence.store import Store
from eudaemon.possession import possess
from eudaemon.possession.listening import POLL_S

HERE = Path(__file__).resolve().parent
ATTACKS = ("return-memcpy", "pointer-heap", "code-stack", "execute")
WAIT_S = 20.0


def once(name: str, store: Store) -> tuple[float, float]:
    """Return the milliseconds from the stop to the verdict's report in memory, and to that on disk."""
    from possession.assault import WAYS, assailed
    from possession.attacks import BY_NAME

    attack = BY_NAME[name]
    with (
        assailed(attack.victim, WAYS["tcp"]) as victim,
        possess(victim.pid, taint="inet", on_alert="kill") as possession,
        possession.listener() as listener,
    ):
        talk = victim.conversation()
        talk.ask(attack.benign[0])
        talk.send(attack.payload(victim.at))
        until_s = time.monotonic() + WAIT_S
        while time.monotonic() < until_s:
            for evidence in listener.poll():
                made_s = time.time()
                store.keep(evidence)
                began_s = evidence.report.at_s
                return (made_s - began_s) * 1000, (time.time() - began_s) * 1000
            time.sleep(POLL_S)
    raise SystemExit(f"{name}: no alert within {WAIT_S} s")


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    # Not this folder: `possession` is the tests' there.
    sys.path[:] = [str(HERE.parent / "tests"), *(place for place in sys.path if Path(place) != HERE)]
    print("| attack | report made, ms (median) | on disk, ms (median) | worst |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder), count_max=1000, bytes_max=1 << 30)
        for name in ATTACKS:
            made, kept = zip(*(once(name, store) for _ in range(rounds)), strict=True)
            print(f"| {name} | {statistics.median(made):.1f} | {statistics.median(kept):.1f} | {max(kept):.1f} |")


if __name__ == "__main__":
    main()
