"""Who may look at the page: users, their sessions, and tokens for scripts.

Owns one SQLite file. Passwords are kept as scrypt hashes, session keys and tokens only as SHA-256 (they are 256 random
bits). Knows nothing of HTTP. Every method is quick but `login` and the setting of passwords, which take scrypt's
time and memory (16 MiB, about 50 ms) on purpose: call those in a thread. One `Accounts` serves many threads.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

NAME_CHARS_MAX = 64
PASSWORD_CHARS_MIN, PASSWORD_CHARS_MAX = 10, 256
SESSION_S_MAX = 7 * 86_400
SESSIONS_MAX = 1_000
TOKENS_MAX = 100
# After so many failures from one address or for one user within the window, logins wait.
FAILURES_MAX, FAILURE_WINDOW_S = 10, 300
_THROTTLED_MAX = 10_000  # how many addresses and users are remembered
_SCRYPT = {"n": 2**14, "r": 8, "p": 1, "dklen": 32}

_SCHEMA = """
CREATE TABLE IF NOT EXISTS users (
    name TEXT PRIMARY KEY, salt BLOB NOT NULL, hash BLOB NOT NULL, created_s REAL NOT NULL,
    settled INTEGER NOT NULL);  -- 0: the password was drawn, and nobody has logged in with it yet
CREATE TABLE IF NOT EXISTS sessions (
    key_hash BLOB PRIMARY KEY, user TEXT NOT NULL REFERENCES users ON DELETE CASCADE, until_s REAL NOT NULL);
CREATE TABLE IF NOT EXISTS tokens (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, key_hash BLOB UNIQUE NOT NULL,
    user TEXT NOT NULL REFERENCES users ON DELETE CASCADE, created_s REAL NOT NULL, used_s REAL);
"""


class AccountError(ValueError):
    """A request that cannot be granted; the message is for the person who asked."""


class TooManyAttemptsError(AccountError):
    """Logins are throttled; `wait_s` says for how long."""

    def __init__(self, wait_s: int) -> None:
        super().__init__(f"Too many failed logins. Wait {wait_s} seconds and try again.")
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class Token:
    """A script's key, without the key."""

    id: int
    name: str
    user: str
    created_s: float
    used_s: float | None


class Accounts:
    """Users, sessions and tokens in the SQLite file at `path`. `clock` gives seconds since the epoch."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: dict[str, list[float]] = {}
        self._db = sqlite3.connect(path, check_same_thread=False)
        self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;" + _SCHEMA)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def first_start(self) -> str | None:
        """Create the user `admin` if there is nobody yet, and return its password, which is kept nowhere.

        As long as nobody has logged in, each start gives a new one: a password that scrolled away is no harm.
        """
        with self._lock:
            if self._db.execute("SELECT 1 FROM users WHERE settled LIMIT 1").fetchone():
                return None
        password = secrets.token_urlsafe(15)
        self.set_password("admin", password)
        with self._lock, self._db:
            self._db.execute("UPDATE users SET settled = 0")
        return password

    def set_password(self, name: str, password: str) -> None:
        """Create a user, or give it another password and end all its sessions."""
        if not name or len(name) > NAME_CHARS_MAX or not name.isprintable():
            raise AccountError(f"A user name has 1 to {NAME_CHARS_MAX} printable characters.")
        if not PASSWORD_CHARS_MIN <= len(password) <= PASSWORD_CHARS_MAX:
            raise AccountError(f"A password has {PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX} characters.")
        salt = secrets.token_bytes(16)
        row = (name, salt, _scrypt(password, salt), self._clock())
        with self._lock, self._db:
            self._db.execute(
                "INSERT INTO users VALUES (?, ?, ?, ?, 1)"
                " ON CONFLICT (name) DO UPDATE SET salt = excluded.salt, hash = excluded.hash, settled = 1",
                row,
            )
            self._db.execute("DELETE FROM sessions WHERE user = ?", (name,))

    def login(self, name: str, password: str, *, address: str) -> str:
        """Return the key of a new session. Raises `AccountError` on a wrong name or password, or if throttled."""
        self._throttle(f"address {address}", f"user {name[:NAME_CHARS_MAX]}")
        if not self._password_fits(name, password):
            self._failed(f"address {address}", f"user {name[:NAME_CHARS_MAX]}")
            raise AccountError("User name or password is wrong.")
        key, now_s = secrets.token_urlsafe(32), self._clock()
        with self._lock, self._db:
            self._failures.pop(f"user {name}", None)
            self._db.execute("UPDATE users SET settled = 1 WHERE name = ? AND NOT settled", (name,))
            self._db.execute("DELETE FROM sessions WHERE until_s < ?", (now_s,))
            self._db.execute("INSERT INTO sessions VALUES (?, ?, ?)", (_digest(key), name, now_s + SESSION_S_MAX))
            self._db.execute(
                "DELETE FROM sessions WHERE key_hash IN"
                " (SELECT key_hash FROM sessions ORDER BY until_s DESC LIMIT -1 OFFSET ?)",
                (SESSIONS_MAX,),
            )
        return key

    def change_password(self, name: str, old: str, new: str, *, address: str) -> None:
        """Replace a user's password after a look at the old one. All of the user's sessions end."""
        self._throttle(f"address {address}", f"user {name}")
        if not self._password_fits(name, old):
            self._failed(f"address {address}", f"user {name}")
            raise AccountError("The current password is wrong.")
        self.set_password(name, new)

    def user_of_session(self, key: str) -> str | None:
        """Return whose session this is, or `None` if there is none or it is over."""
        with self._lock:
            row = self._db.execute("SELECT user, until_s FROM sessions WHERE key_hash = ?", (_digest(key),)).fetchone()
        return row[0] if row and row[1] > self._clock() else None

    def logout(self, key: str) -> None:
        """End a session."""
        with self._lock, self._db:
            self._db.execute("DELETE FROM sessions WHERE key_hash = ?", (_digest(key),))

    def create_token(self, user: str, name: str) -> tuple[Token, str]:
        """Return a new token and its key, which cannot be seen again."""
        if not name.strip() or len(name) > NAME_CHARS_MAX or not name.isprintable():
            raise AccountError(f"A token's name has 1 to {NAME_CHARS_MAX} printable characters.")
        key, now_s = f"eud_{secrets.token_urlsafe(32)}", self._clock()
        with self._lock, self._db:
            if self._db.execute("SELECT count(*) FROM tokens").fetchone()[0] >= TOKENS_MAX:
                raise AccountError(f"There are {TOKENS_MAX} tokens already. Revoke one that is no longer used.")
            row = self._db.execute(
                "INSERT INTO tokens (name, key_hash, user, created_s) VALUES (?, ?, ?, ?)",
                (name, _digest(key), user, now_s),
            )
        return Token(int(row.lastrowid or 0), name, user, now_s, None), key

    def tokens(self, user: str) -> list[Token]:
        """Return a user's tokens, the newest first."""
        with self._lock:
            rows = self._db.execute(
                "SELECT id, name, user, created_s, used_s FROM tokens WHERE user = ? ORDER BY id DESC", (user,)
            ).fetchall()
        return [Token(*row) for row in rows]

    def revoke_token(self, user: str, number: int) -> bool:
        """Make a token worthless. Returns whether the user had it."""
        with self._lock, self._db:
            gone = self._db.execute("DELETE FROM tokens WHERE id = ? AND user = ?", (number, user))
        return gone.rowcount > 0

    def user_of_token(self, key: str) -> str | None:
        """Return whose token this is, or `None`. When it was last used is noted to the minute."""
        now_s = self._clock()
        with self._lock, self._db:
            row = self._db.execute("SELECT id, user, used_s FROM tokens WHERE key_hash = ?", (_digest(key),)).fetchone()
            if row and (row[2] or 0) < now_s - 60:
                self._db.execute("UPDATE tokens SET used_s = ? WHERE id = ?", (now_s, row[0]))
        return row[1] if row else None

    def _password_fits(self, name: str, password: str) -> bool:
        with self._lock:
            row = self._db.execute("SELECT salt, hash FROM users WHERE name = ?", (name,)).fetchone()
        # An unknown name costs the same time, so that names cannot be told apart.
        salt, wanted = row or (b"\0" * 16, b"")
        return hmac.compare_digest(_scrypt(password[:PASSWORD_CHARS_MAX], salt), wanted) and row is not None

    def _throttle(self, *whom: str) -> None:
        now_s = self._clock()
        with self._lock:
            for key in whom:
                recent = [at_s for at_s in self._failures.get(key, ()) if at_s > now_s - FAILURE_WINDOW_S]
                if len(recent) >= FAILURES_MAX:
                    raise TooManyAttemptsError(math.ceil(recent[-FAILURES_MAX] + FAILURE_WINDOW_S - now_s))

    def _failed(self, *whom: str) -> None:
        now_s = self._clock()
        with self._lock:
            for key in whom:
                recent = self._failures.pop(key, [])[-FAILURES_MAX:]
                self._failures[key] = [*recent, now_s]
            while len(self._failures) > _THROTTLED_MAX:
                del self._failures[next(iter(self._failures))]


def _scrypt(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode("utf-8", "surrogatepass"), salt=salt, **_SCRYPT)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
