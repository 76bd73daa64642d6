"""Whom a pretended database lets in: its administrator, with what the field's bots try, and a share of the rest.

A pair that opened the door once opens it always and for anyone: the scanner that finds a pair and the loader that uses
it come from different addresses. Where only a digest of the password comes, what is not in the list stays unknown.
"""

from __future__ import annotations

from collections.abc import Callable

from eudaemon.world.seed import Seed

# What the dictionaries of brute-force tools against databases begin with.
WORDS = (
    b"root sa admin administrator postgres mysql oracle sql sqlserver mssql database db test guest user password "
    b"passwd pass password1 password123 Password1 P@ssw0rd P@ssword p@ssw0rd passw0rd Passw0rd 1 12 123 1234 12345 "
    b"123456 1234567 12345678 123456789 1234567890 0 000000 00000000 111111 11111111 112233 121212 123123 123321 "
    b"123qwe 1q2w3e 1q2w3e4r 1q2w3e4r5t 1qaz2wsx 1qaz@WSX 654321 666666 888888 88888888 987654321 qwerty qwe123 "
    b"qweasd qazwsx abc123 abc asdf admin123 Admin123 Admin@123 admin888 admin@123 root123 root1234 root@123 "
    b"rootroot toor sa123 sa123456 sasa Sa123456 sql123 sql2005 sql2008 sqlpassword server Server letmein welcome "
    b"changeme secret system manager master default postgres123 postgresql pgsql mysql123 test123 docker linux "
    b"windows company web www data backup monitor zabbix aa123456 a123456 5201314 qwer1234 asd123 !QAZ2wsx "
    b"1234qwer superman dragon iloveyou"
)
_OTHERS_ONE_IN = 12  # of the other passwords of an administrator


def accepts(seed: Seed, administrators: tuple[bytes, ...], user: bytes, password: bytes) -> bool:
    """Say whether this user gets in with this password."""
    if user.lower() not in administrators:
        return False
    if not password or password in WORDS.split() or password.lower() == user.lower():
        return True
    return seed.number(f"database login {user.lower().hex()} {password.hex()}", _OTHERS_ONE_IN) == 0


def guessed(user: bytes, fits: Callable[[bytes], bool]) -> bytes | None:
    """Return the listed password that fits a digest, None if none does."""
    return next((word for word in (b"", user, *WORDS.split()) if fits(word)), None)
