"""Small programs that loaders upload by `echo`: they fetch the real sample over HTTP, and say so in their bytes.

    GET /bins/mirai.arm7 HTTP/1.0       the request stands there as text
    198.51.100.7                        the address as text, or as the four bytes of a `sockaddr_in`, in one piece or,
                                        on machines that load constants by halves (MIPS, PowerPC), in two

Nothing is executed, and no address is guessed: one that does not stand in the program is not asked.
"""

from __future__ import annotations

import re

DROPPER_BYTES_MAX = 16 * 1024  # what is bigger is the sample itself
_REQUEST = re.compile(rb"GET (/[\x21-\x7e]{0,255}) HTTP/1\.[01]")
_ADDRESS = re.compile(rb"(?<![0-9.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![0-9.])")
_HALVES_APART_BYTES_MAX = 12  # up to two instructions between the two that load the halves


def wished(program: bytes, peer: str) -> str | None:
    """Return the URL that a dropper would fetch, None if it names none.

    `peer` is the attacker's address; as bytes only this one is looked for.
    """
    request = _REQUEST.search(program) if len(program) <= DROPPER_BYTES_MAX else None
    if request is None:
        return None
    host = _named(program) or (peer if _holds(program, peer) else "")
    return f"http://{host}{request.group(1).decode('ascii')}" if host else None


def _named(program: bytes) -> str:
    for found in _ADDRESS.finditer(program):
        octets = [int(part) for part in found.group().split(b".")]
        if max(octets) < 256 and octets[0] not in (0, 127, 255):
            return found.group().decode("ascii")
    return ""


def _holds(program: bytes, peer: str) -> bool:
    parts = peer.split(".")
    if len(parts) != 4 or not all(part.isdecimal() and int(part) < 256 for part in parts):
        return False
    address = bytes(map(int, parts))
    # As it stands in memory, or as a constant of the other byte order.
    for whole in (address, address[::-1]):
        if whole in program:
            return True
        at = program.find(whole[:2])
        while at >= 0:
            if whole[2:] in program[at + 2 : at + 4 + _HALVES_APART_BYTES_MAX]:
                return True
            at = program.find(whole[:2], at + 1)
    return False
