"""Who gets in: what the field's worms try first, and a share of the rest that is drawn from the seed.

Only who stands in /etc/passwd gets in, and all of those are root by another name, as such devices have it: a visitor
who compares finds no user too many. A pair that opened the door once opens it always and for anyone: the scanner that
finds a pair and the loader that uses it come from different addresses. One address gets in with one of them only: see
`protocols/_accounts.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

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
    b"pi": b"raspberry",
}  # fmt: skip
_EMPTY_PASSWORD = frozenset((b"root", b"admin", b"guest", b"default"))
_EVERYWHERE = (b"root", b"admin", b"support", b"user", b"guest", b"default")
_ELSEWHERE_ONE_IN = 4  # devices that have a user of the list besides those that all have
_OTHERS_ONE_IN = 12  # of the other passwords for a user that is there


def users(seed: Seed) -> tuple[bytes, ...]:
    """Return the users that may log in, root first."""
    return (
        *_EVERYWHERE,
        *(
            name
            for name in _KNOWN
            if name not in _EVERYWHERE and seed.number(f"user {name.hex()}", _ELSEWHERE_ONE_IN) == 0
        ),
    )


def guesses(user: bytes) -> Iterator[bytes]:
    """Yield the passwords that worms try, for who sees only what a password makes of a challenge."""
    yield from (
        b"",
        b"password",
        b"123456",
        b"1234",
        user,
        user + user,
        b"password1",
        b"a123456",
        b"secret",
        b"changeme",
    )
    yield from dict.fromkeys(b" ".join(_KNOWN.values()).split(b" "))


def accepts(seed: Seed, user: bytes, password: bytes) -> bool:
    """Say whether this user, one that is there, gets in with this password."""
    if not password:
        return user in _EMPTY_PASSWORD
    if password in _KNOWN.get(user, b"").split(b" "):
        return True
    return seed.number(f"login {user.hex()} {password.hex()}", _OTHERS_ONE_IN) == 0


def known_passwords(user: bytes) -> list[bytes]:
    """Return the passwords that worms try for this user."""
    return _KNOWN.get(user, b"").split()
