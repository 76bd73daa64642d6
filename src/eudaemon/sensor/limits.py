"""Who may still come in. Knows addresses and numbers; closes nothing itself.

An IPv4 address counts for itself, an IPv6 address for its /64, which is what one subscriber has.
"""

from __future__ import annotations

import socket
from collections import OrderedDict

from eudaemon.sensor.settings import Limits

_MINUTE_S = 60.0


def plain_ip(ip: str) -> str:
    """Return an address as events state it: no zone, and IPv4 not mapped into IPv6."""
    if ":" not in ip:
        return ip
    ip = ip.partition("%")[0]
    return ip[7:] if ip.startswith("::ffff:") and "." in ip else ip


def subscriber(ip: str) -> bytes:
    """Return what an address counts as: 4 bytes for IPv4, the first 8 of IPv6."""
    return socket.inet_pton(socket.AF_INET6, ip)[:8] if ":" in ip else socket.inet_aton(ip)


class _Account:
    """One subscriber's sessions at once, and a bucket of starts that fills again at an even pace."""

    __slots__ = ("at_s", "left", "sessions")

    def __init__(self, left: float, at_s: float) -> None:
        self.sessions = 0
        self.left = left
        self.at_s = at_s


class Doorkeeper:
    """Counts sessions. `enter` says which limit forbids one, `leave` must follow each that was let in."""

    __slots__ = ("_accounts", "_limits", "_refused", "_sessions_max", "_what", "sessions")

    def __init__(self, limits: Limits, what: str = "sessions_max") -> None:
        self._limits = limits
        self._what = what  # the setting that limits how many there may be at once
        self._sessions_max: int = getattr(limits, what)
        self._accounts: OrderedDict[bytes, _Account] = OrderedDict()
        self._refused: dict[str, int] = {}
        self.sessions = 0

    def enter(self, key: bytes, now_s: float) -> bool:
        """Let a subscriber's new session in. False, and counted, where a limit forbids it."""
        limits = self._limits
        if self.sessions >= self._sessions_max:
            return self.refuse(self._what)
        account = self._accounts.get(key)
        if account is None:
            if len(self._accounts) >= limits.addresses_max and not self._forget_one():
                return self.refuse("addresses_max")
            account = self._accounts[key] = _Account(limits.starts_per_address_minute_max, now_s)
        else:
            self._accounts.move_to_end(key)
        if account.sessions >= limits.sessions_per_address_max:
            return self.refuse("sessions_per_address_max")
        most = limits.starts_per_address_minute_max
        account.left = min(most, account.left + (now_s - account.at_s) * most / _MINUTE_S)
        account.at_s = now_s
        if account.left < 1:
            return self.refuse("starts_per_address_minute_max")
        account.left -= 1
        account.sessions += 1
        self.sessions += 1
        return True

    def leave(self, key: bytes) -> None:
        """A session that was let in is over."""
        self._accounts[key].sessions -= 1
        self.sessions -= 1

    def refuse(self, limit: str) -> bool:
        """Count a session that is not let in because of this limit. Always False."""
        self._refused[limit] = self._refused.get(limit, 0) + 1
        return False

    def take_refused(self) -> dict[str, int]:
        """Return how many were refused by which limit since this was last asked."""
        refused, self._refused = self._refused, {}
        return refused

    def _forget_one(self) -> bool:
        """Forget the account that was quiet for longest, of a few; those with sessions stay."""
        for _ in range(min(64, len(self._accounts))):
            key, account = next(iter(self._accounts.items()))
            if not account.sessions:
                del self._accounts[key]
                return True
            self._accounts.move_to_end(key)
        return False
