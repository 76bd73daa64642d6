"""The words of commands, and messages as FETCH shows them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from eudaemon.protocols._mailbox import Message

WORDS_MAX = 200  # of one command
_WORD = re.compile(rb'"((?:[^"\\]|\\.)*)"|([()])|([^\s()"\[]*\[[^\]]*\](?:<[\d.]*>)?)|([^\s()"]+)')
LITERAL = re.compile(rb"\{(\d{1,10})(\+?)\}$")
_FIELDS = re.compile(rb"HEADER\.FIELDS(?:\.NOT)? \(([^)]*)\)", re.IGNORECASE)
_MACROS = {
    b"ALL": (b"FLAGS", b"INTERNALDATE", b"RFC822.SIZE", b"ENVELOPE"),
    b"FAST": (b"FLAGS", b"INTERNALDATE", b"RFC822.SIZE"),
    b"FULL": (b"FLAGS", b"INTERNALDATE", b"RFC822.SIZE", b"ENVELOPE", b"BODY"),
}


def words_of(text: bytes) -> list[bytes]:
    """Return the words of (a part of) a command: atoms, texts without their quotes, and parentheses."""
    found = []
    for match in _WORD.finditer(text):
        quoted, parenthesis, section, atom = match.groups()
        if quoted is not None:
            found.append(re.sub(rb"\\(.)", rb"\1", quoted, flags=re.DOTALL))
        else:
            found.append(parenthesis or section or atom)
        if len(found) == WORDS_MAX:
            break
    return found


def quoted(text: str) -> bytes:
    """Return a text in quotes."""
    return b'"' + text.replace("\\", "\\\\").replace('"', '\\"').encode("ascii", "replace") + b'"'


def chosen(text: bytes, messages: tuple[Message, ...], *, by_uid: bool) -> list[tuple[int, Message]]:
    """Return the messages that a set such as `1:3,5,7:*` names, each with its number."""
    rows = list(enumerate(messages, 1))
    last = rows[-1][1].uid if by_uid and rows else len(rows)
    found: dict[int, Message] = {}
    for part in text.split(b",")[:WORDS_MAX]:
        first, _, second = part.partition(b":")
        ends = [
            last if end == b"*" else int(end) if end.isdigit() and len(end) < 11 else 0
            for end in (first, second or first)
        ]
        found |= {n: one for n, one in rows if min(ends) <= (one.uid if by_uid else n) <= max(ends)}
    return sorted(found.items())


def items_of(words: list[bytes]) -> list[bytes]:
    """Return what a FETCH asks for, macros resolved."""
    items = [word for word in words if word not in (b"(", b")")]
    return [item for word in items for item in _MACROS.get(word.upper(), (word,))]


def shown(message: Message, item: bytes) -> bytes:
    """Return one item of a message as FETCH answers it; empty for one that is not known."""
    name = item.upper()
    at = datetime.fromtimestamp(message.at_s, UTC)
    if name.startswith((b"BODY[", b"BODY.PEEK[", b"RFC822")) and name != b"RFC822.SIZE":
        label = re.sub(rb"(?i)^BODY\.PEEK", b"BODY", item).partition(b"<")[0]
        return b"%s {%d}\r\n%s" % (label, len(part := _part(message, name)), part)
    simple = {
        b"FLAGS": b"(\\Seen)",
        b"UID": b"%d" % message.uid,
        b"RFC822.SIZE": b"%d" % len(message.content),
        b"INTERNALDATE": f'"{at.day:>2}-{at:%b-%Y %H:%M:%S} +0000"'.encode(),
        b"ENVELOPE": _envelope(message, at),
        b"BODY": _structure(message),
        b"BODYSTRUCTURE": _structure(message),
    }
    return b"%s %s" % (name, simple[name]) if name in simple else b""


def _part(message: Message, name: bytes) -> bytes:
    fields = _FIELDS.search(name)
    if fields:
        wanted = [field.lower() + b":" for field in fields[1].split()]
        lines = [line for line in message.header.split(b"\r\n") if line.lower().startswith(tuple(wanted))]
        return b"".join(line + b"\r\n" for line in lines) + b"\r\n"
    if name == b"RFC822.HEADER" or b"[HEADER" in name:
        return message.header
    if name == b"RFC822.TEXT" or b"[TEXT" in name or b"[1" in name:
        return message.content[len(message.header) :]
    return message.content


def _envelope(message: Message, at: datetime) -> bytes:
    def address(text: str) -> bytes:
        name, _, domain = text.partition("@")
        return b"((NIL NIL %s %s))" % (quoted(name), quoted(domain))

    sender = address(message.sender)
    date = quoted(f"{at:%a}, {at.day} {at:%b %Y %H:%M:%S} +0000")
    identity = quoted(f"<{int(message.at_s)}.{message.uid}@{message.sender.partition('@')[2]}>")
    parts = (date, quoted(message.subject), sender, sender, sender, address(message.recipient), b"NIL", b"NIL", b"NIL")
    return b"(" + b" ".join((*parts, identity)) + b")"


def _structure(message: Message) -> bytes:
    body = message.content[len(message.header) :]
    size, lines = len(body), body.count(b"\n")
    return b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" %d %d)' % (size, lines)
