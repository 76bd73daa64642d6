"""A signature from one or several captures of an attack: what of the bytes that took control does not change.

Of several captures those runs of bytes are taken that all have in common, in the same order; of one capture what lies
nearest to the value, for nobody knows yet what changes. Addresses are left out where the machine has drawn them: words
that point to where a program, a library, a heap or a stack lay that time. A signature that would match benign input is
not given out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from eudaemon.evidence.model import Culprit, Evidence, Report, Stream

TOKEN_BYTES_MIN, TOKEN_BYTES_MAX = 6, 64
TOKENS_MAX = 8
SIGNATURE_BYTES_MIN = 8  # in all
DISTINCT_MIN = 4  # different bytes in all: a row of letters A is no signature
CONTEXT_BYTES = 256  # before the bytes that took control, where these alone would not do
REGION_BYTES_MAX = 8 * 1024
PACKET_BYTES = 1400  # a place in the stream beyond that is not said: Suricata counts it in the packet
CAPTURES_MAX = 64
DRAWN_FROM = 0x5000_0000_0000  # above it Linux draws where things lie
_WORD = 8
EPHEMERAL_PORT = 32768  # Linux's first


class RefusedSignature(Exception):  # noqa: N818  # a verdict
    """There is no signature that could be given out, and why."""


@dataclass(frozen=True, slots=True)
class Token:
    """Bytes that all captures have."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Signature:
    """Tokens in their order, without overlaps. `begin` and `end`: between which offsets of the stream the first lies.

    `end` is 0 where that is not known.
    """

    name: str
    tokens: tuple[Token, ...]
    begin: int
    end: int
    transport: str
    port: int  # the server's; 0: any
    to_server: bool
    captures: tuple[str, ...]  # ids

    def matches(self, data: bytes) -> bool:
        """Whether a stream's bytes would be reported."""
        first, *others = self.tokens
        at = data.find(first.data, self.begin, self.end or len(data))
        for token in others:
            if at < 0:
                return False
            at = data.find(token.data, at + len(first.data))
            first = token
        return at >= 0

    @property
    def sha256(self) -> str:
        """What tells it from others."""
        where = f"{self.transport} {self.port} {self.to_server} {self.begin} {self.end}".encode()
        return hashlib.sha256(b"\0".join((where, *(token.data for token in self.tokens)))).hexdigest()


@dataclass(frozen=True, slots=True)
class _Region:
    """The bytes of one capture: those that took control from `at` of its input on, and what came before them."""

    identity: str
    stream: Stream
    input_at: int
    data: bytes  # all that is kept
    at: int
    size: int
    core_at: int  # of the value, in `data`
    drawn: bytes  # for each byte of `data`: 1 where it is part of an address that is another next time

    def text(self, begin: int, end: int, sign: str) -> str:
        """Return bytes as characters, with `sign` for those that are drawn."""
        shown = self.data[begin:end].decode("latin-1")
        return "".join(sign if drawn else one for one, drawn in zip(shown, self.drawn[begin:end], strict=True))


def make(evidence: Sequence[Evidence], benign: Mapping[str, bytes], name: str) -> Signature:
    """Return the narrowest signature that all captures have and no benign stream has. Raises `RefusedSignature`."""
    if not 1 <= len(evidence) <= CAPTURES_MAX:
        raise RefusedSignature(f"{len(evidence)} captures, of 1 to {CAPTURES_MAX} that are possible")
    regions = [_region(one) for one in evidence]
    reasons: list[str] = []
    for context in (0, CONTEXT_BYTES):
        tokens = _tokens(regions, context)
        reason = _too_little(tokens)
        if reason:
            reasons.append(reason)
            continue
        found = _placed(tokens, regions, name)
        missed = [region.identity for region in regions if not found.matches(region.data)]
        if missed:
            raise AssertionError(f"it does not match what it was made from: {missed}")
        hits = [label for label, data in benign.items() if found.matches(data)]
        if not hits:
            return found
        reasons.append(f"benign input would match it, too: {', '.join(hits[:3])}")
    raise RefusedSignature(reasons[-1])


def _region(evidence: Evidence) -> _Region:
    report = evidence.report
    one: Culprit | None = next(iter(report.culprits), None)
    stream = report.stream(one.label) if one else None
    if one is None or stream is None:
        raise RefusedSignature(f"alert {report.id} does not say whose bytes took control")
    data = evidence.files.get(stream.input.file, b"") if stream.input else b""
    at = one.offset - stream.input_at
    if not data or data[at : at + len(one.data)] != one.data:
        raise RefusedSignature(f"the raw input of alert {report.id} is not kept any more")
    # An overflow may be long: what lies nearest to the value counts.
    first = max(at, at + one.core_at + one.core_size - REGION_BYTES_MAX // 2)
    size = min(at + len(one.data) - first, REGION_BYTES_MAX)
    drawn = _drawn(report, data, max(0, first - CONTEXT_BYTES), first + size)
    core_at = at + one.core_at
    # Also where only some of its bytes came in. Of a text the target is where it lies.
    if _is_drawn(report, report.target) and one.role == "value" and report.kind not in ("execute", "format"):
        drawn[core_at : core_at + one.core_size] = b"\1" * one.core_size
    return _Region(report.id, stream, stream.input_at, data, first, size, core_at, bytes(drawn))


def _drawn(report: Report, data: bytes, begin: int, end: int) -> bytearray:
    """Mark the words between two places that point to where something lay by chance."""
    marks = bytearray(len(data))
    for at in range(begin, min(end, len(data)) - _WORD + 1):
        if _is_drawn(report, int.from_bytes(data[at : at + _WORD], "little")):
            marks[at : at + _WORD] = b"\1" * _WORD
    return marks


def _is_drawn(report: Report, address: int) -> bool:
    for area in report.maps:
        if area.begin <= address < area.end:
            return area.begin >= DRAWN_FROM or area.path == "[heap]"
    return False


def _tokens(regions: list[_Region], context: int) -> list[bytes]:
    own = _of_all(regions, [(region.at, region.at + region.size) for region in regions], TOKENS_MAX)
    if not own:  # what came before alone is nobody's attack
        return []
    earlier = _of_all(regions, [(max(0, region.at - context), region.at) for region in regions], TOKENS_MAX - len(own))
    return [*earlier, *own]


def _of_all(regions: list[_Region], spans: list[tuple[int, int]], most: int) -> list[bytes]:
    """Return what can be a token between these places, in order."""
    # A sign for each capture that no other has: what is drawn is common to none.
    signs = (chr(0x100 + number) for number in range(len(regions)))
    parts = [region.text(*span, sign) for region, span, sign in zip(regions, spans, signs, strict=True)]
    found = _common(parts, most) if len(parts) > 1 else _nearest(parts[0], regions[0].core_at - spans[0][0], most)
    return [token[:TOKEN_BYTES_MAX].encode("latin-1") for token in found]


def _nearest(part: str, core_at: int, most: int) -> list[str]:
    """Return the pieces of one capture that are nearest to the value, cut to length on the side that is farther."""
    pieces: list[tuple[int, str]] = []
    at = 0
    for piece in part.split(chr(0x100)):
        is_before = at + len(piece) <= core_at
        skipped = max(0, len(piece) - TOKEN_BYTES_MAX) if is_before else 0
        if not is_before and at < core_at:  # the value is no address, and within
            skipped = max(0, core_at - at - TOKEN_BYTES_MAX // 2)
        if len(piece) - skipped >= TOKEN_BYTES_MIN:
            pieces.append((at + skipped, piece[skipped : skipped + TOKEN_BYTES_MAX]))
        at += len(piece) + 1
    nearest = sorted(pieces, key=lambda placed: abs(placed[0] - core_at))[:most]
    return [piece for _, piece in sorted(nearest)]


def _common(parts: list[str], most: int) -> list[str]:
    """Return runs that all parts have, in the same order: the longest, then what is common before it and behind it."""
    if most <= 0 or min(map(len, parts)) < TOKEN_BYTES_MIN:
        return []
    token = _longest(parts)
    if len(token) < TOKEN_BYTES_MIN:
        return []
    places = [part.find(token) for part in parts]
    left = _common([part[:place] for part, place in zip(parts, places, strict=True)], most - 1)
    right = _common(
        [part[place + len(token) :] for part, place in zip(parts, places, strict=True)], most - 1 - len(left)
    )
    return [*left, token, *right]


def _longest(parts: list[str]) -> str:
    """Return the longest run that all parts have: by its length, halved; all runs of a length are hashed."""
    best = ""
    low, high = 1, min(map(len, parts))
    while low <= high:
        size = (low + high) // 2
        common = set.intersection(*({part[at : at + size] for at in range(len(part) - size + 1)} for part in parts))
        if common:
            best = min(common, key=parts[0].find)
            low = size + 1
        else:
            high = size - 1
    return best


def _too_little(tokens: list[bytes]) -> str:
    if not tokens:
        return "nothing is left of what took control but addresses, and what changes"
    total, distinct = sum(map(len, tokens)), len(set(b"".join(tokens)))
    if total < SIGNATURE_BYTES_MIN:
        return f"only {total} bytes do not change, and {SIGNATURE_BYTES_MIN} are wanted"
    if distinct < DISTINCT_MIN:
        return f"only {distinct} different bytes do not change, and {DISTINCT_MIN} are wanted"
    return ""


def _placed(tokens: list[bytes], regions: list[_Region], name: str) -> Signature:
    """Say where the first token lies, if that is known: from the whole of each stream, within its first packet."""
    begin = end = 0
    transports = {region.stream.transport for region in regions} - {""}
    transport = transports.pop() if len(transports) == 1 else "tcp"
    places = [region.data.find(tokens[0]) for region in regions]
    is_known = transport == "tcp" and all(region.input_at == 0 for region in regions)
    if is_known and max(places) + len(tokens[0]) <= PACKET_BYTES:
        begin = min(places) if len(places) > 1 else 0
        end = max(places) + len(tokens[0])
    port, to_server = _port(regions)
    identities = tuple(region.identity for region in regions)
    return Signature(name, tuple(map(Token, tokens)), begin, end, transport, port, to_server, identities)


def _port(regions: Iterable[_Region]) -> tuple[int, bool]:
    """Return the server's port if all agree, and whether the process that was attacked is the server."""
    ends = {(_number(region.stream.local), _number(region.stream.peer)) for region in regions}
    is_client = all(local >= EPHEMERAL_PORT > peer > 0 for local, peer in ends)
    ports = {peer if is_client else local for local, peer in ends}
    return (ports.pop() if len(ports) == 1 else 0), not is_client


def _number(address: str) -> int:
    port = address.rpartition(":")[2]
    return int(port) if port.isdecimal() else 0
