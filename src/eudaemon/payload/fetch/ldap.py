"""Fetching as Java's JNDI asks LDAP for an object (RFC 4511, RFC 2713): what Log4Shell makes a server do.

    BindRequest (anonymous)   SearchRequest base=path, scope=base   -->   SearchResultEntry, SearchResultDone

What comes of it is the serialised object that the entry holds (`javaSerializedData`), or else the entry itself as LDIF
(RFC 2849): it names the class and its code base, and `payload.java` reads from it what is to be fetched next.
"""

from __future__ import annotations

import asyncio

from eudaemon.payload.fetch.outcome import Failed, Missing
from eudaemon.payload.fetch.target import Request, connect, hang_up, in_tls
from eudaemon.payload.fetch.transfer import Transfer
from eudaemon.payload.url import unquoted
from eudaemon.wire import PeerError, ber

MESSAGE_BYTES_MAX = 2 * 1024 * 1024  # which are held, and more than once: an entry is no place for a program
MESSAGES_MAX = 64
VALUES_MAX = 1024  # of one entry
_BIND, _BOUND, _SEARCH, _ENTRY, _DONE, _REFERRED = 0x60, 0x61, 0x63, 0x64, 0x65, 0x73  # RFC 4511 section 4
_SIMPLE, _PRESENT, _CONTROLS = 0x80, 0x87, 0xA0
_MANAGE_REFERRALS = b"2.16.840.1.113730.3.4.2"  # RFC 3296; JNDI asks for it always
_SUCCESS, _NO_SUCH_OBJECT, _REFERRAL = 0, 32, 10
Entry = list[tuple[bytes, bytes]]  # attribute and value, in the order of arrival


async def fetch(request: Request, transfer: Transfer) -> None:
    """Get the object that the URL names. Raises `NotFetched`, `OSError`, or `NoRoomError` from the sink."""
    target = await request.aim(request.url)
    url = target.url
    name = unquoted(url.path.partition("?")[0][1:]).encode("latin-1")
    reader, writer, transfer.peer = await connect(target, transfer.settings)
    try:
        if url.scheme == "ldaps":
            reader, writer = await in_tls(writer, url.host, transfer.settings)
        writer.write(_message(1, ber.encoded(_BIND, ber.number(3), ber.encoded(ber.OCTETS), ber.encoded(_SIMPLE))))
        _check(await _answer(reader, transfer, 1), _BOUND)
        writer.write(_message(2, _search(name), _controls()))
        entry = await _entry(reader, transfer)
    except PeerError as error:
        raise Failed(f"LDAP: {error}") from None
    finally:
        hang_up(writer)
    if not entry:
        raise Missing("LDAP: no entry")
    serialised = next((value for kind, value in entry if _bare(kind) == b"javaserializeddata"), None)
    transfer.take(serialised if serialised is not None else _ldif(name, entry))


async def _entry(reader: asyncio.StreamReader, transfer: Transfer) -> Entry:
    entry: Entry = []
    for _ in range(MESSAGES_MAX):
        kind, content = await _answer(reader, transfer, 2)
        if kind == _ENTRY:
            entry += _attributes(content)
            if len(entry) > VALUES_MAX:
                raise Failed(f"LDAP: more than {VALUES_MAX} values")
        elif kind != _REFERRED:  # where else one may ask; JNDI does so only where it was told to
            _check((kind, content), _DONE, has_entry=bool(entry))
            return entry
    raise Failed(f"LDAP: more than {MESSAGES_MAX} messages")


async def _answer(reader: asyncio.StreamReader, transfer: Transfer, number: int) -> tuple[int, bytes]:
    """Return the operation of the next message that answers ours, and its content."""
    for _ in range(MESSAGES_MAX):
        head = await transfer.heard(reader.readexactly(2))
        if head[1] & 0x80:
            head += await transfer.heard(reader.readexactly(head[1] & 0x7F))
        size = ber.size(head)
        if head[0] != ber.SEQUENCE or size is None:
            raise Failed("LDAP: no message")
        if size > MESSAGE_BYTES_MAX:
            raise Failed(f"LDAP: a message over {MESSAGE_BYTES_MAX} bytes")
        parts = list(ber.elements(await transfer.heard(reader.readexactly(size - len(head)))))
        if len(parts) < 2 or parts[0][0] != ber.INTEGER:
            raise Failed("LDAP: no message")
        if ber.integer(parts[0][1]) == number:
            return parts[1]
    raise Failed(f"LDAP: more than {MESSAGES_MAX} messages")


def _check(answer: tuple[int, bytes], kind: int, *, has_entry: bool = False) -> None:
    """Raise what an LDAPResult means, unless it is of this kind and a success."""
    if answer[0] != kind:
        raise Failed("LDAP: not the answer that was asked for")
    parts = list(ber.elements(answer[1]))
    code = ber.integer(parts[0][1]) if parts else _SUCCESS
    if code == _NO_SUCH_OBJECT:
        raise Missing("LDAP: no such object")
    if code == _REFERRAL and not has_entry:
        raise Failed("LDAP: a referral")
    if code != _SUCCESS and not has_entry:
        raise Failed(f"LDAP: result {code}")


def _attributes(content: bytes) -> Entry:
    found: Entry = []
    parts = list(ber.elements(content))
    for _, attribute in ber.elements(parts[1][1] if len(parts) > 1 else b""):
        pair = list(ber.elements(attribute))
        if len(pair) == 2:
            found += [(pair[0][1], value) for _, value in ber.elements(pair[1][1])]
    return found


def _bare(kind: bytes) -> bytes:
    """Return an attribute's name without its options, in lower case (RFC 4512 section 2.5)."""
    return kind.partition(b";")[0].lower()


def _ldif(name: bytes, entry: Entry) -> bytes:
    """Return an entry as text (RFC 2849): what is no plain text in base64."""
    lines = [b"dn: " + name if _is_plain(name) else b"dn:: " + _base64(name)]
    lines += [kind + (b": " + value if _is_plain(value) else b":: " + _base64(value)) for kind, value in entry]
    return b"\n".join((*lines, b""))


def _is_plain(value: bytes) -> bool:
    return value.isascii() and value.decode("ascii").isprintable() and value[:1] not in (b" ", b":", b"<")


def _base64(value: bytes) -> bytes:
    from base64 import b64encode

    return b64encode(value)


def _search(name: bytes) -> bytes:
    """Return JNDI's search: this very object, aliases resolved, all of its attributes."""
    return ber.encoded(
        _SEARCH, ber.encoded(ber.OCTETS, name), ber.number(0, ber.ENUMERATED), ber.number(3, ber.ENUMERATED),
        ber.number(0), ber.number(0), ber.encoded(ber.BOOLEAN, b"\0"), ber.encoded(_PRESENT, b"objectClass"),
        ber.encoded(ber.SEQUENCE),
    )  # fmt: skip


def _controls() -> bytes:
    return ber.encoded(_CONTROLS, ber.encoded(ber.SEQUENCE, ber.encoded(ber.OCTETS, _MANAGE_REFERRALS)))


def _message(number: int, *parts: bytes) -> bytes:
    return ber.encoded(ber.SEQUENCE, ber.number(number), *parts)
