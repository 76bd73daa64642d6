"""A signature from one or several captures of an attack: what of the bytes that took control does not change.

Of several captures those runs of bytes are taken that all have in common, in the same order; of one capture the bytes
around the value, for nobody knows yet which of them change. A signature that would match benign input is not given out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from eudaemon.evidence.model import Culprit, Evidence, Stream

TOKEN_BYTES_MIN, TOKEN_BYTES_MAX = 4, 64
TOKENS_MAX = 8
SIGNATURE_BYTES_MIN = 8  # in all
DISTINCT_MIN = 4  # different bytes in all: a row of letters A is no signature
CONTEXT_BYTES = 256  # before the bytes that took control, where these alone would not do
REGION_BYTES_MAX = 8 * 1024
PACKET_BYTES = 1400  # a place in the stream beyond that is not said: Suricata counts it in the packet
CAPTURES_MAX = 64
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
        return hashlib.sha256(b"\0".join(token.data for token in self.tokens)).hexdigest()


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
    core_size: int


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
    return _Region(report.id, stream, stream.input_at, data, first, size, at + one.core_at, one.core_size)


def _tokens(regions: list[_Region], context: int) -> list[bytes]:
    if len(regions) == 1:
        (region,) = regions
        begin = max(region.at, region.core_at - TOKEN_BYTES_MAX // 2)
        end = min(region.at + region.size, begin + TOKEN_BYTES_MAX)
        pieces = [region.data[begin:end]]
        if context and region.at:
            pieces.insert(0, region.data[max(0, region.at - context) : region.at][:TOKEN_BYTES_MAX])
        return [piece for piece in pieces if len(piece) >= TOKEN_BYTES_MIN]
    parts = [region.data[max(0, region.at - context) : region.at + region.size] for region in regions]
    return [token[:TOKEN_BYTES_MAX] for token in _common(parts, TOKENS_MAX)]


def _common(parts: list[bytes], most: int) -> list[bytes]:
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


def _longest(parts: list[bytes]) -> bytes:
    """Return the longest run that all parts have: by its length, halved; all runs of a length are hashed."""
    best = b""
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
        return "the captures have nothing in common that took control"
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
