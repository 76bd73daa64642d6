"""Mutated conversations for every room, the shells, SQL and the extraction of payloads, for as long as it is told.

    python bench/fuzz.py --seconds 300                    all targets in turn
    python bench/fuzz.py --seconds 60 --only smb,sql      some of them; --list names them
    python bench/fuzz.py --only smb --seed 7 --at 4711    one execution again, as a finding names it; the same as long
                                                          as the tests have the same strings

An execution is one conversation, some lines or a payload, made of what the tests say (rooms' openings, the words of
`test_every_room`, and every string of the tests near the target), mutated, and cut into pieces. Wrong is any exception
but the peer's fault; a purse overdrawn, or not empty afterwards; an answer over UDP that is larger than its question;
and an execution that takes over 5 s of processor time. It ends with status 1 if anything was wrong.
"""

from __future__ import annotations

import argparse
import ast
import random
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path.insert(0, str(TESTS))

from eudaemon.payload.extract import extract  # noqa: E402
from eudaemon.protocols._base import HalfClosed  # noqa: E402
from eudaemon.testing.script import Table  # noqa: E402
from eudaemon.wire import PeerError, Purse  # noqa: E402
from protocols import mssql_client, mysql_client, postgres_client  # noqa: E402
from protocols.test_every_room import HOST, OPENINGS, SERVED, WORDS, talk  # noqa: E402
from world.shell import told as posix  # noqa: E402
from world.windows import told as windows  # noqa: E402

EXECUTION_S_MAX = 5.0
PIECES_MAX = 16
PIECE_BYTES_MAX = 65_536
HELD_BYTES_MAX = 512 * 1024
SHOWN_MAX = 20  # findings, each kind once
_NUMBERS = (b"\0", b"\xff", b"\x7f", b"\x80", b"\0\0", b"\xff\xff", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"0",
            b"-1", b"65536", b"4294967296", b"99999999999999999999")  # fmt: skip


class WrongError(Exception):
    """A limit that was broken."""


@dataclass
class Target:
    """Something to be fuzzed. `run` makes one execution from a source of chance."""

    name: str
    run: Callable[[random.Random], None]
    executions: int = 0
    spent_s: float = 0.0
    longest_s: float = 0.0
    longest_at: int = 0
    wrong: Counter[str] = field(default_factory=Counter)


# --- what is said --------------------------------------------------------------------------------


def strings(*folders: str, bytes_max: int = 2000) -> list[bytes]:
    """Return every string in the tests of these folders, each once."""
    found: dict[bytes, None] = {}
    for path in sorted(path for folder in folders for path in TESTS.glob(folder)):
        for node in ast.walk(ast.parse(path.read_text())):
            value = node.value if isinstance(node, ast.Constant) else None
            if isinstance(value, str):
                value = value.encode("utf-8", "surrogatepass")
            if isinstance(value, bytes) and 0 < len(value) <= bytes_max:
                found[value] = None
    return list(found)


def mutated(data: bytes, words: list[bytes], chance: random.Random) -> bytes:
    """Return the bytes with up to eight changes."""
    made = bytearray(data)
    for _ in range(chance.choice((0, 1, 1, 2, 3, 8))):
        at = chance.randrange(len(made) + 1)
        end = min(len(made), at + chance.choice((1, 1, 2, 4, 16, 256)))
        match chance.randrange(8):
            case 0 if at < len(made):
                made[at] ^= 1 << chance.randrange(8)
            case 1 if at < len(made):
                made[at] = chance.randrange(256)
            case 2:
                del made[at:end]
            case 3:
                made[at:at] = made[at:end] * chance.choice((1, 2, 7, 300))
            case 4:
                made[at:end] = chance.choice(_NUMBERS)
            case 5:
                made[at:at] = chance.choice(words)
            case 6:
                made[at:] = chance.choice(words)[chance.randrange(8) :]
            case _:
                made[at:at] = chance.randbytes(chance.choice((1, 4, 40)))
    return bytes(made[:PIECE_BYTES_MAX])


# --- the targets ---------------------------------------------------------------------------------


def room(name: str, transport: str, words: list[bytes]) -> Callable[[random.Random], None]:
    """Return how a room is spoken to: its opening up to some stage, then whatever chance says."""
    opening = OPENINGS.get(name, ())

    def run(chance: random.Random) -> None:
        table = talk(name, transport=transport, can_tls=chance.random() < 0.5)
        stage = chance.randrange(len(opening) + 1)
        starts = [chance.choice((opening or words, words)) for _ in range(chance.randrange(1, PIECES_MAX))]
        pieces = [*opening[:stage], *(mutated(chance.choice(start), words, chance) for start in starts)]
        if chance.random() < 0.2:
            pieces = [mutated(piece, words, chance) for piece in pieces]
        heard = 0
        for piece in pieces:
            table.say(piece, chance.choice((0, 0, 0, 1, 7)) if transport == "tcp" else 0)
            heard += len(piece)
            _anything(table, chance)
            if transport == "udp" and len(table.sent) > heard:
                raise WrongError(f"{len(table.sent)} bytes answered to {heard}")
        _finish(table)

    return run


def _anything(table: Table, chance: random.Random) -> None:
    """Let happen what may happen between two pieces."""
    dice = chance.random()
    if dice < 0.1:
        table.wait(chance.choice((0.1, 5, 120)))
    elif dice < 0.2 and table.wishes and not table.over:
        table.answer(chance.choice(("ok", "failed", "partial", "refused")), chance.randbytes(40))
    elif dice < 0.3 and table.side is not None:
        table.join_side()
        table.say_side(chance.randbytes(chance.choice((1, 300))))
        table.end_side(clean=chance.random() < 0.5)
    elif dice < 0.32 and not table.over:
        table.tell(HalfClosed(table.at_s))


def _finish(table: Table) -> None:
    """End the session as the driver does; then nothing may be owed."""
    purse = table.room.visit.purse
    _in_bounds(purse)
    table.end()
    _in_bounds(purse)
    purse.close()
    if purse.bytes_taken:
        raise WrongError(f"{purse.bytes_taken} bytes are still held by a closed purse")


def _in_bounds(purse: Purse) -> None:
    if not 0 <= purse.bytes_taken <= purse.bytes_max:
        raise WrongError(f"{purse.bytes_taken} of {purse.bytes_max} bytes are held")


def sql(name: str, words: list[bytes]) -> Callable[[random.Random], None]:
    """Return how a database that let its client in is asked."""

    def run(chance: random.Random) -> None:
        table = talk(name)
        if name == "mysql":
            table.say(mysql_client.login(table.sent))
        else:
            table.say(postgres_client.login() if name == "postgres" else mssql_client.login())
        for _ in range(chance.randrange(1, 6)):
            asked = mutated(chance.choice(words), words, chance)
            match name:
                case "mysql":
                    table.say(mysql_client.query(asked))
                case "postgres":
                    table.say(postgres_client.query(asked.replace(b"\0", b"")))
                case _:
                    table.say(mssql_client.batch(asked.decode("latin-1").encode()))
            _anything(table, chance)
        _finish(table)

    return run


def shell(make: Callable[[], posix.Told | windows.Told], words: list[bytes]) -> Callable[[random.Random], None]:
    """Return how a shell is given lines."""

    def run(chance: random.Random) -> None:
        told = make()
        for _ in range(chance.randrange(1, 6)):
            told.run(mutated(chance.choice(words), words, chance).replace(b"\n", b";"))
            _in_bounds(told.purse)
        told.finish()
        _in_bounds(told.purse)

    return run


def targets() -> Iterator[Target]:
    """Yield all that is fuzzed."""
    for name, transport in SERVED:
        own = WORDS + strings(f"protocols/test_{name}*.py", f"protocols/{name}_client.py")
        yield Target(name if transport == "tcp" else f"{name}/udp", room(name, transport, own))
    for name in ("mysql", "postgres", "mssql"):
        yield Target(f"sql/{name}", sql(name, strings(f"protocols/test_{name}.py", "protocols/test__sql.py")))
    lines = strings("world/shell/*.py", "payload/test_extract.py")
    yield Target("shell", shell(lambda: posix.Told(bytes_max=HELD_BYTES_MAX), lines))
    dos = strings("world/windows/*.py", "protocols/test__command_prompt.py")
    yield Target("cmd", shell(lambda: windows.Told(bytes_max=HELD_BYTES_MAX), dos))
    scripts = [b"powershell -c " + line for line in strings("world/windows/test_powershell.py")]
    yield Target("powershell", shell(lambda: windows.Told(bytes_max=HELD_BYTES_MAX), scripts))
    payloads = strings("payload/test_extract.py", "payload/test_identify.py", "world/windows/*.py", bytes_max=20_000)

    def take_apart(chance: random.Random) -> None:
        extract(mutated(chance.choice(payloads), payloads, chance), HOST, "198.51.100.7")

    yield Target("extract", take_apart)


# --- the run -------------------------------------------------------------------------------------


def execute(target: Target, seed: int, number: int) -> str:
    """Make one execution; return what was wrong, empty if nothing was."""
    began_s = time.process_time()
    wrong = ""
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, EXECUTION_S_MAX)
        target.run(random.Random(f"{seed} {target.name} {number}"))
    except PeerError:  # a shell's, which its room would have told
        pass
    except WrongError as error:
        wrong = str(error)
    except Exception as error:  # noqa: BLE001 - it is what we look for
        frames = reversed(traceback.extract_tb(error.__traceback__)[-4:])
        places = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)
        wrong = f"{type(error).__name__}: {str(error)[:200]}  at {places}"
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    took_s = time.process_time() - began_s
    target.executions += 1
    target.spent_s += took_s
    if took_s > target.longest_s:
        target.longest_s, target.longest_at = took_s, number
    return wrong


def _too_long(*_: object) -> None:
    raise WrongError(f"it takes over {EXECUTION_S_MAX} s of processor time")


def main() -> int:
    """Fuzz, and say how often and what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--only", default="", help="names of targets, with commas between")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--at", type=int, help="this execution alone, and what it raises")
    parser.add_argument("--list", action="store_true", help="name the targets")
    asked = parser.parse_args()
    names = set(filter(None, asked.only.split(",")))
    chosen = [target for target in targets() if not names or target.name in names]
    if asked.list:
        print(*(target.name for target in chosen))
        return 0
    if not chosen:
        parser.error("there is no such target; --list names them")
    if asked.at is not None:
        chosen[0].run(random.Random(f"{asked.seed} {chosen[0].name} {asked.at}"))
        return 0
    signal.signal(signal.SIGVTALRM, _too_long)
    until_s, began_s = time.monotonic() + asked.seconds, time.monotonic()
    found = 0
    for number in count():
        if time.monotonic() > until_s:
            break
        for target in chosen:
            wrong = execute(target, asked.seed, number)
            kind = wrong.partition("  at ")[2] or wrong.partition(" ")[0]
            if wrong and not target.wrong[kind]:
                found += 1
                if found <= SHOWN_MAX:
                    print(f"{target.name} --seed {asked.seed} --at {number}: {wrong}", flush=True)
            if wrong:
                target.wrong[kind] += 1
    print(f"{sum(target.executions for target in chosen):,} executions of {len(chosen)} targets in "
          f"{time.monotonic() - began_s:.0f} s, seed {asked.seed}: {found} kinds of findings")  # fmt: skip
    slow = sorted(chosen, key=lambda target: -target.longest_s)[:5]
    print(
        "longest: " + ", ".join(f"{target.name} {target.longest_s:.2f} s (--at {target.longest_at})" for target in slow)
    )
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main())
