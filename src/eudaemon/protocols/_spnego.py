"""SPNEGO around NTLM (RFC 4178, MS-SPNG): what a server offers, and how its tokens are wrapped.

    NegTokenInit   60 | OID of SPNEGO | a0 | 30 | a0: mechanisms | a2: token | a3: check or hints
    NegTokenResp   a1 | 30 | a0: state | a1: mechanism | a2: token | a3: check

The check is a signature over the client's list of mechanisms, so that nobody takes one from it. Clients that sign give
one and want one.
"""

from __future__ import annotations

from eudaemon.wire import PeerError
from eudaemon.wire.ber import ENUMERATED, OCTETS, SEQUENCE, elements, encoded

_OID_SPNEGO = bytes.fromhex("06062b0601050502")
_OID_NTLMSSP = bytes.fromhex("060a2b06010401823702020a")
_GENERAL_STRING = 0x1B
_INIT, _RESPONSE = 0xA0, 0xA1
_STATE, _MECHANISM, _TOKEN, _CHECK = 0xA0, 0xA1, 0xA2, 0xA3
_MECHANISMS = 0xA0
_COMPLETED, _INCOMPLETE = b"\0", b"\1"
# What NegTokenInit2 says for who gives no hints (MS-SPNG 2.2.1).
_NO_HINTS = b"not_defined_in_RFC4178@please_ignore"


def offer() -> bytes:
    """Return what a server says first of how it wants to be talked to: NTLM."""
    hints = encoded(_CHECK, encoded(SEQUENCE, encoded(0xA0, encoded(_GENERAL_STRING, _NO_HINTS))))
    init = encoded(_INIT, encoded(SEQUENCE, encoded(_MECHANISMS, encoded(SEQUENCE, _OID_NTLMSSP)), hints))
    return encoded(0x60, _OID_SPNEGO, init)


def incomplete(token: bytes) -> bytes:
    """Return a token of NTLM, or none, as a server wraps it that wants to hear more."""
    body = encoded(_STATE, encoded(ENUMERATED, _INCOMPLETE)) + encoded(_MECHANISM, _OID_NTLMSSP)
    if token:
        body += encoded(_TOKEN, encoded(OCTETS, token))
    return encoded(_RESPONSE, encoded(SEQUENCE, body))


def complete(check: bytes) -> bytes:
    """Return what a server says that has heard enough; `check` is its signature, or empty."""
    body = encoded(_STATE, encoded(ENUMERATED, _COMPLETED))
    if check:
        body += encoded(_CHECK, encoded(OCTETS, check))
    return encoded(_RESPONSE, encoded(SEQUENCE, body))


def mechanisms_in(token: bytes) -> bytes:
    """Return the list of mechanisms of a client's first token, as it stands there; empty if none does."""
    try:
        ((outer, content),) = elements(token)
        parts = dict(elements(content)) if outer == 0x60 else {}
        ((_, body),) = elements(parts.get(_INIT, b""))
        return dict(elements(body)).get(_MECHANISMS, b"")
    except (PeerError, ValueError):
        return b""


def wants_check(token: bytes) -> bool:
    """Say whether a client's token has a signature over the list of mechanisms."""
    try:
        ((outer, content),) = elements(token)
        ((_, body),) = elements(content)
        return outer == _RESPONSE and _CHECK in dict(elements(body))
    except (PeerError, ValueError):
        return False
