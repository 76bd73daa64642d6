"""The mailbox that somebody finds who gets in: empty, or with a few messages of the device's own.

It is drawn, and never changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from eudaemon.world.host import Host

MESSAGES_MAX = 6
_DAY_S = 86_400
_SUBJECTS = (
    ("Daily report", "All services are running.\nNo events were logged.\n"),
    ("Backup finished", "The configuration was saved to /mnt/backup.\nErrors: 0\n"),
    ("Firmware check", "A new version is available. Please log in to the administration page to install it.\n"),
    ("Login from a new address", "Somebody logged in as admin.\nIf this was not you, change the password.\n"),
    ("Disk usage", "Filesystem usage is at {percent} %.\n"),
    ("cron <root@{host}>", "run-parts: /etc/cron.daily/logrotate exited with return code 1\n"),
)


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `uid` and `at_s` are its own in every session."""

    uid: int
    at_s: float
    content: bytes  # lines end with CR LF
    subject: str
    sender: str
    recipient: str

    @property
    def header(self) -> bytes:
        """The header, with the empty line that ends it."""
        return self.content.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


def mailbox(host: Host, user: bytes, at_s: float) -> tuple[Message, ...]:
    """Return what lies in a user's mailbox: half of them are empty."""
    seed = host.seed.child(f"mailbox {user.hex()}")
    count = seed.number("count", 2 * MESSAGES_MAX) - MESSAGES_MAX
    newest_s = (at_s // _DAY_S - 1) * _DAY_S
    found = []
    for index in range(max(0, count)):
        subject, text = seed.choice(f"subject {index}", _SUBJECTS)
        sent_s = newest_s - (count - index) * 3 * _DAY_S + seed.number(f"second {index}", _DAY_S)
        found.append(_message(host, user, sent_s, subject, text, 11 + index, seed.number(f"percent {index}", 60)))
    return tuple(found)


def _message(host: Host, user: bytes, at_s: float, subject: str, text: str, uid: int, percent: int) -> Message:
    name = host.name.lower()
    sender, recipient = f"root@{name}", f"{user.partition(b'@')[0].decode('ascii', 'replace')}@{name}"
    recipient = "".join(c for c in recipient if c.isalnum() or c in "@.-_")
    at = datetime.fromtimestamp(at_s, UTC)
    date = f"{at:%a}, {at.day} {at:%b %Y %H:%M:%S} +0000"
    header = (
        f"Return-Path: <{sender}>\nReceived: by {name} (Postfix, from userid 0)\n"
        f"\tid {int(at_s) & 0xFFFFFFFF:08X}; {date}\n"
        f"From: {sender}\nTo: {recipient}\nSubject: {subject}\nDate: {date}\n"
        f"Message-Id: <{int(at_s)}.{uid}@{name}>\n\n"
    )
    whole = (header + text).format(host=name, percent=30 + percent).replace("\n", "\r\n").encode()
    return Message(uid, at_s, whole, subject.format(host=name), sender, recipient)
