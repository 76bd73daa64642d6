"""Regular expressions of an attacker: POSIX basic and extended, matched by simulating all ways at once.

No backtracking: time is bounded by pattern times text (Thompson 1968), whatever the pattern. What groups held is found
by a second walk through the match (Pike's), in which each state remembers where groups began and ended on the way to
it. A pattern that refers back to its own groups is no regular expression, and is not one here.
"""

from __future__ import annotations

from typing import TypeAlias

PATTERN_BYTES_MAX = 1024
STATES_MAX = 4096
_DEPTH_MAX = 24
_REPEAT_MAX = 64
_ANY = frozenset(range(256))
_CLASSES = {b"alpha": (b"AZ", b"az"), b"digit": (b"09",), b"alnum": (b"AZ", b"az", b"09"), b"upper": (b"AZ",),
            b"lower": (b"az",), b"space": (b"\t\r", b"  "), b"blank": (b"\t\t", b"  "),
            b"xdigit": (b"09", b"AF", b"af"),
            b"punct": (b"!/", b":@", b"[`", b"{~")}  # fmt: skip
_SHORTHANDS = {0x77: b"_09AZaz", 0x73: b" \t\n\r\v\f", 0x64: b"0123456789"}
_START, _END = -1, -2
_GROUPS_MAX = 9
Test: TypeAlias = bytes | int | None  # 256 flags, one a byte value; an anchor or the edge of a group; or a free step
Node: TypeAlias = "tuple[Test, list[int]]"
Edges: TypeAlias = "tuple[int, ...]"  # where group 1 begins and ends, then group 2, and so on; -1 where it does not


class RegularError(Exception):
    """The pattern is wrong."""


class Regular:
    """A compiled pattern. Raises `RegularError` if it is wrong or too big."""

    __slots__ = (
        "_at",
        "_depth",
        "_extended",
        "_final",
        "_first",
        "_fold",
        "_groups",
        "_literal",
        "_pattern",
        "_states",
    )

    def __init__(self, pattern: bytes, *, extended: bool = False, fixed: bool = False, fold: bool = False) -> None:
        if len(pattern) > PATTERN_BYTES_MAX:
            raise RegularError("pattern too long")
        self._pattern = pattern
        self._extended = extended
        self._fold = fold
        self._states: list[Node] = []
        self._groups: dict[int, int] = {}  # their numbers by where they stand in the pattern
        self._at = 0
        self._depth = 0
        plain = fixed or not any(byte in b".[]*^$\\+?(){}|" for byte in pattern)
        self._literal = (pattern.lower() if fold else pattern) if plain else None
        if not plain:
            self._first, ends = self._alternatives()
            if self._at < len(pattern):
                raise RegularError("Unmatched ( or )")
            self._final = self._state(None)
            self._join(ends, self._final)

    def cost(self, line: bytes) -> int:
        """Return about what a search in this line costs, against copying a byte."""
        return len(line) + 8 if self._literal is not None else 8 * (len(line) + 1) * (len(self._states) + 4)

    def search(self, line: bytes, start: int = 0) -> tuple[int, int] | None:
        """Return where the leftmost longest match from `start` on begins and ends, or None."""
        if self._fold:
            line = line.lower()
        if self._literal is not None:
            at = line.find(self._literal, start)
            return None if at < 0 else (at, at + len(self._literal))
        # One set of states for each possible beginning would be quadratic: keep the leftmost beginning per state.
        active: dict[int, int] = {}
        best: tuple[int, int] | None = None
        for at in range(start, len(line) + 1):
            if best is None:
                self._add(active, self._first, at, at, line)
            done = active.get(self._final)
            if done is not None and (best is None or done < best[0] or (done == best[0] and at > best[1])):
                best = (done, at)
            if at == len(line) or (not active and best is not None):
                break
            byte = line[at]
            following: dict[int, int] = {}
            for state, begun in active.items():
                test, onward = self._states[state]
                if isinstance(test, bytes) and test[byte] and (best is None or begun <= best[0]):
                    for target in onward:
                        self._add(following, target, begun, at + 1, line)
            active = following
        return best

    def groups(self, line: bytes, begin: int, end: int) -> list[bytes]:
        """Return the match that `search` found, and behind it what each group held; nothing where it held nothing."""
        match = [line[begin:end]]
        if self._literal is not None or not self._groups:
            return match
        text = line.lower() if self._fold else line
        ways: dict[int, Edges] = {}
        self._follow(ways, self._first, (-1,) * (2 * len(self._groups)), begin, text)
        for at in range(begin, end):
            onward_ways: dict[int, Edges] = {}
            for state, edges in ways.items():
                test, onward = self._states[state]
                if isinstance(test, bytes) and test[text[at]]:
                    for target in onward:
                        self._follow(onward_ways, target, edges, at + 1, text)
            ways = onward_ways
        edges = ways.get(self._final, ())
        return match + [line[edges[at] : edges[at + 1]] if edges[at] >= 0 else b"" for at in range(0, len(edges), 2)]

    def replace(self, line: bytes, replacement: bytes, *, everywhere: bool, nth: int = 1) -> bytes:
        """Return the line with the nth match replaced, or that and all behind it."""
        out = bytearray()
        at, last, count = 0, -1, 0
        while at <= len(line) and (found := self.search(line, at)) is not None:
            begin, end = found
            out += line[at:begin]
            if end > begin or begin != last:  # nothing, right behind a match, is none
                count += 1
                replaced = count == nth or (everywhere and count > nth)
                out += _filled(replacement, self.groups(line, begin, end)) if replaced else line[begin:end]
            if end == begin:
                out += line[end : end + 1]
            at, last = end + (end == begin), end
            if count >= nth and not everywhere:
                break
        return bytes(out + line[at:])

    # --- matching ----------------------------------------------------------------------------------

    def _add(self, active: dict[int, int], state: int, begun: int, at: int, line: bytes) -> None:
        waiting = [state]
        while waiting:
            here = waiting.pop()
            if here in active and active[here] <= begun:
                continue
            test, onward = self._states[here]
            if (test == _START and at) or (test == _END and at < len(line)):
                continue
            active[here] = begun
            if not isinstance(test, bytes):
                waiting += onward

    def _follow(self, ways: dict[int, Edges], state: int, edges: Edges, at: int, line: bytes) -> None:
        """Note all that is reached from a state for free. Who comes first has come by the preferred way."""
        waiting = [(state, edges)]
        while waiting:
            here, edges = waiting.pop()
            test, onward = self._states[here]
            if here in ways or (test == _START and at) or (test == _END and at < len(line)):
                continue
            if isinstance(test, int) and test >= 0:
                edges = (*edges[:test], at, *edges[test + 1 :])
            ways[here] = edges
            if not isinstance(test, bytes):
                waiting += [(target, edges) for target in reversed(onward)]

    # --- building ----------------------------------------------------------------------------------

    def _state(self, test: frozenset[int] | int | None, *onward: int) -> int:
        if len(self._states) >= STATES_MAX:
            raise RegularError("pattern too big")
        flags = bytes(value in test for value in range(256)) if isinstance(test, frozenset) else test
        self._states.append((flags, list(onward)))
        return len(self._states) - 1

    def _join(self, ends: list[int], target: int) -> None:
        for end in ends:
            self._states[end][1].append(target)

    def _meta(self, letter: bytes) -> bool:
        """Say whether `letter` stands here as an operator: plain in extended patterns, escaped in basic ones."""
        mark = letter if self._extended else b"\\" + letter
        return self._pattern.startswith(mark, self._at)

    def _step(self) -> None:
        self._at += 1 if self._extended else 2

    def _alternatives(self) -> tuple[int, list[int]]:
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise RegularError("pattern too deep")
        first, ends = self._sequence()
        while self._meta(b"|"):
            self._step()
            other, more = self._sequence()
            first = self._state(None, first, other)
            ends += more
        self._depth -= 1
        return first, ends

    def _sequence(self) -> tuple[int, list[int]]:
        first = self._state(None)
        ends = [first]
        while self._at < len(self._pattern) and not self._meta(b"|") and not self._meta(b")"):
            start = self._at
            piece, piece_ends = self._atom(at_start=first == ends[0] and len(ends) == 1)
            low, high = self._repetition()
            end = self._at
            copies = max(low, 1 if high is None else high)
            for copy in range(copies):
                if copy:
                    self._at = start
                    piece, piece_ends = self._atom(at_start=False)
                optional = copy >= low
                endless = high is None and copy == copies - 1
                self._join(ends, piece)
                if endless:
                    loop = self._state(None, piece)
                    self._join(piece_ends, loop)
                    piece_ends = [loop]
                ends = [*piece_ends, *ends] if optional else piece_ends
            self._at = end
        return first, ends

    def _repetition(self) -> tuple[int, int | None]:
        """Return least and most; most is None for endless."""
        if self._pattern.startswith(b"*", self._at):
            self._at += 1
            return 0, None
        for letter, bounds in ((b"+", (1, None)), (b"?", (0, 1))):
            if self._meta(letter):
                self._step()
                return bounds
        if self._meta(b"{"):
            self._step()
            end = self._pattern.find(b"}" if self._extended else b"\\}", self._at)
            low, comma, high = self._pattern[self._at : end].partition(b",")
            if end < 0 or not low.isdigit() or (high and not high.isdigit()):
                raise RegularError("Invalid content of \\{\\}")
            self._at = end
            self._step()
            least = min(int(low[:4]), _REPEAT_MAX)
            return least, None if comma and not high else max(least, min(int(high[:4] or low[:4]), _REPEAT_MAX))
        return 1, 1

    def _atom(self, *, at_start: bool) -> tuple[int, list[int]]:
        pattern = self._pattern
        if self._meta(b"("):
            group = self._groups.get(self._at)  # a repeated group is built again, and keeps its number
            if group is None and len(self._groups) < _GROUPS_MAX:
                group = self._groups[self._at] = len(self._groups)
            self._step()
            first, ends = self._alternatives()
            if not self._meta(b")"):
                raise RegularError("Unmatched ( or \\(")
            self._step()
            if group is None:
                return first, ends
            closed = self._state(2 * group + 1)
            self._join(ends, closed)
            return self._state(2 * group, first), [closed]
        byte = pattern[self._at]
        self._at += 1
        test: frozenset[int] | int | None
        if byte == 0x2E:
            test = _ANY
        elif byte == 0x5B:
            test = self._bracket()
        elif byte == 0x5E and (self._extended or at_start):
            test = _START
        elif byte == 0x24 and (self._extended or self._at == len(pattern)):
            test = _END
        elif byte == 0x5C:
            if self._at >= len(pattern):
                raise RegularError("Trailing backslash")
            byte = pattern[self._at]
            self._at += 1
            test = frozenset(_SHORTHANDS[byte]) if byte in _SHORTHANDS else self._folded(frozenset((byte,)))
        else:
            test = self._folded(frozenset((byte,)))
        state = self._state(test)
        return state, [state]

    def _folded(self, members: frozenset[int]) -> frozenset[int]:
        return members | frozenset(bytes(members).lower()) if self._fold else members

    def _bracket(self) -> frozenset[int]:
        pattern = self._pattern
        negated = pattern.startswith(b"^", self._at)
        self._at += negated
        found: set[int] = set()
        first = True
        while True:
            if self._at >= len(pattern):
                raise RegularError("Unmatched [, [^, [:, [., or [=")
            byte = pattern[self._at]
            if byte == 0x5D and not first:
                self._at += 1
                break
            first = False
            if pattern.startswith(b"[:", self._at) and (end := pattern.find(b":]", self._at)) > 0:
                for low, high in _CLASSES.get(pattern[self._at + 2 : end], ()):
                    found.update(range(low, high + 1))
                self._at = end + 2
            elif pattern[self._at + 1 : self._at + 2] == b"-" and pattern[self._at + 2 : self._at + 3] not in (
                b"]",
                b"",
            ):
                found.update(range(byte, pattern[self._at + 2] + 1))
                self._at += 3
            else:
                found.add(byte)
                self._at += 1
        members = self._folded(frozenset(found))
        return _ANY - members if negated else members


def _filled(replacement: bytes, groups: list[bytes]) -> bytes:
    out = bytearray()
    at = 0
    while at < len(replacement):
        byte = replacement[at]
        at += 1
        if byte == 0x26:
            out += groups[0]
        elif byte == 0x5C and at < len(replacement):
            following = replacement[at : at + 1]
            at += 1
            if following.isdigit():
                out += groups[int(following)] if int(following) < len(groups) else b""
            else:
                out += {b"n": b"\n", b"t": b"\t"}.get(following, following)
        else:
            out.append(byte)
    return bytes(out)
