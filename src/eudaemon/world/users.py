"""Who gets in: what the field's worms try first, and a share of the rest that is drawn from the seed.

A pair that opened the door once opens it always and for anyone: the scanner that finds a pair and the loader that
uses it come from different addresses. Whoever tries nonsense twice finds that most of it is refused.
"""

from __future__ import annotations

from eudaemon.world.seed import Seed

# The public list of Mirai's scanner and of its successors, as `user:password …`.
_KNOWN = {
    b"root": b"xc3511 vizxv admin 888888 xmhdipc default juantech 123456 54321 root 12345 pass klv1234 Zte521 hi3518 "
    b"jvbzd anko zlxx. 7ujMko0vizxv 7ujMko0admin system ikwb dreambox user realtek 00000000 1111 1234 666666 password "
    b"klv123 hunt5759 cat1029 tsgoingon 20080826 GM8182 antslq gpon zyad1234 oelinux123 cxlinux vertex25ektks123 toor",
    b"admin": b"admin password smcadmin 1111 1111111 1234 12345 54321 123456 7ujMko0admin 1234567890 pass meinsm "
              b"admin1234 "
    b"admin123 ho4uku6at 2601hx samsung",
    b"user": b"user 1234 12345", b"guest": b"guest 12345", b"support": b"support", b"service": b"service",
    b"supervisor": b"supervisor", b"administrator": b"1234", b"Administrator": b"admin", b"666666": b"666666",
    b"888888": b"888888", b"ubnt": b"ubnt", b"tech": b"tech", b"default": b"default antslq OxhlwSG8 tlJwpbo6 S2fGqNFs",
    b"telnetadmin": b"telnetadmin", b"telecomadmin": b"admintelecom", b"e8ehome": b"e8ehome", b"e8telnet": b"e8telnet",
    b"daemon": b"daemon", b"adm": b"", b"pi": b"raspberry",
}  # fmt: skip
_EMPTY_PASSWORD = frozenset((b"root", b"admin", b"guest", b"default"))
_OTHERS_ONE_IN = 4  # of the other passwords for a user that is there
_STRANGERS_ONE_IN = 24  # of those for a user that nobody expects


def accepts(seed: Seed, user: bytes, password: bytes) -> bool:
    """Say whether this user gets in with this password."""
    known = _KNOWN.get(user)
    if not password:
        return user in _EMPTY_PASSWORD
    if known is not None and password in known.split(b" "):
        return True
    purpose = f"login {user.hex()} {password.hex()}"
    return seed.number(purpose, _STRANGERS_ONE_IN if known is None else _OTHERS_ONE_IN) == 0
