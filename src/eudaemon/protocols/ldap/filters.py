"""Which entries a search's filter means (RFC 4511 section 4.5.1.7), and how it is written (RFC 4515).

Three values: true, false, and undefined (None) where an attribute is unknown or may not be read; only true is a match.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from eudaemon.protocols.ldap.directory import Entry
from eudaemon.wire import PeerError, ber, printable

DEPTH_MAX = 32
ITEMS_MAX = 512  # of one filter
_AND, _OR, _NOT, _EQUALS, _SUBSTRINGS, _AT_LEAST, _AT_MOST, _PRESENT, _ABOUT = (
    0xA0, 0xA1, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0x87, 0xA8,
)  # fmt: skip
_FIRST, _ANY, _LAST = 0x80, 0x81, 0x82
_NUMBERS = frozenset(("uidnumber", "gidnumber"))
_EXACT = frozenset(("homedirectory", "loginshell", "memberuid", "userpassword"))  # RFC 2307: their case matters
# What the schemas know that no entry here has.
_ALSO = frozenset(
    [
        "telephonenumber",
        "mobile",
        "title",
        "displayname",
        "street",
        "l",
        "st",
        "c",
        "employeenumber",
        "jpegphoto",
        "manager",
        "member",
        "uniquemember",
        "seealso",
        "gecos",
        "shadowlastchange",
        "initials",
        "postaladdress",
        "labeleduri",
        "owner",
        "departmentnumber",
        "usercertificate",
        "host",
        "description",
        "facsimiletelephonenumber",
    ]
)
Test: TypeAlias = "Callable[[Entry, frozenset[str]], bool | None]"
_KNOWN = frozenset((
    "objectclass", "o", "dc", "ou", "cn", "sn", "uid", "givenname", "mail", "uidnumber", "gidnumber", "homedirectory",
    "loginshell", "memberuid", "userpassword", "entryuuid", "creatorsname", "createtimestamp", "modifiersname",
    "modifytimestamp", "entrydn", "entrycsn", "structuralobjectclass", "subschemasubentry", *_ALSO,
))  # fmt: skip


class Filter:
    """A filter as it came. `written` is its text; `matches` says whether an entry is meant."""

    def __init__(self, tag: int, content: bytes) -> None:
        self._items = 0
        self.written, self._test = self._read(tag, content, 0)

    def matches(self, entry: Entry, hidden: frozenset[str]) -> bool:
        """Say whether it is true of this entry, of which the attributes in `hidden` may not be read."""
        return self._test(entry, hidden) is True

    def _read(self, tag: int, content: bytes, depth: int) -> tuple[str, Test]:
        self._items += 1
        if depth > DEPTH_MAX or self._items > ITEMS_MAX:
            raise PeerError(f"filter deeper than {DEPTH_MAX} or of more than {ITEMS_MAX} items")
        if tag in (_AND, _OR):
            read = [self._read(*part, depth + 1) for part in ber.elements(content)]
            tests = [test for _, test in read]
            mark, decided = ("&", False) if tag == _AND else ("|", True)
            return f"({mark}{''.join(text for text, _ in read)})", lambda *given: _joined(tests, decided, given)
        if tag == _NOT:
            inner = list(ber.elements(content))
            if len(inner) != 1:
                raise PeerError("a filter's NOT of more or less than one")
            text, test = self._read(*inner[0], depth + 1)
            return f"(!{text})", lambda *given: _opposite(test(*given))
        if tag == _PRESENT:
            name = _name(content)
            return f"({_shown(content)}=*)", lambda *given: _of(given, name, bool)
        parts = list(ber.elements(content))
        if tag == _SUBSTRINGS:
            return _substrings(parts)
        if tag not in (_EQUALS, _AT_LEAST, _AT_MOST, _ABOUT) or len(parts) != 2:
            text = printable(content, 128).replace("(", "\\28").replace(")", "\\29")
            return f"(:={text})", lambda *_: None  # extensible matching: of a rule that nobody knows
        name, wanted = _name(parts[0][1]), parts[1][1]
        mark = {_EQUALS: "=", _AT_LEAST: ">=", _AT_MOST: "<=", _ABOUT: "~="}[tag]
        written = f"({_shown(parts[0][1])}{mark}{_shown(wanted)})"
        if tag in (_EQUALS, _ABOUT):
            return written, lambda *given: _of(given, name, lambda values: _equal(name, wanted) in values)
        if name not in _NUMBERS or not wanted.isdigit() or len(wanted) > 18:
            return written, lambda *_: None
        number = int(wanted)
        if tag == _AT_LEAST:
            return written, lambda *given: _of(
                given, name, lambda values: any(int(value) >= number for value in values)
            )
        return written, lambda *given: _of(given, name, lambda values: any(int(value) <= number for value in values))


def _joined(tests: list[Test], decided: bool, given: tuple[Entry, frozenset[str]]) -> bool | None:
    """Return AND (`decided` by a false) or OR (by a true) of tests."""
    seen = {test(*given) for test in tests}
    if decided in seen:
        return decided
    return None if None in seen else not decided


def _opposite(value: bool | None) -> bool | None:
    return None if value is None else not value


def _of(given: tuple[Entry, frozenset[str]], name: str, test: Callable[[list[bytes]], bool]) -> bool | None:
    entry, hidden = given
    if name not in _KNOWN or name in hidden:
        return None
    values = (value for source in (entry.attributes, entry.operational) for known, found in source.items()
              if known.lower() == name for value in found)  # fmt: skip
    return test([_equal(name, value) for value in values])


def _equal(name: str, value: bytes) -> bytes:
    """Return a value so that equal ones are the same: small letters, single blanks (RFC 4518)."""
    return value if name in _EXACT else b" ".join(value.lower().split())


def _substrings(parts: list[tuple[int, bytes]]) -> tuple[str, Test]:
    if len(parts) != 2:
        raise PeerError("a filter's substrings without their attribute")
    name = _name(parts[0][1])
    pieces = list(ber.elements(parts[1][1]))
    first = b"".join(piece for tag, piece in pieces if tag == _FIRST)
    last = b"".join(piece for tag, piece in pieces if tag == _LAST)
    middle = [piece for tag, piece in pieces if tag == _ANY]
    text = "*".join((_shown(first), *map(_shown, middle), _shown(last)))
    wanted = [_equal(name, piece) if piece.strip() else piece for piece in (first, *middle, last)]

    def fits(value: bytes) -> bool:
        if not value.startswith(wanted[0]):
            return False
        at = len(wanted[0])
        for piece in wanted[1:-1]:
            at = value.find(piece, at)
            if at < 0:
                return False
            at += len(piece)
        return len(value) - at >= len(wanted[-1]) and value.endswith(wanted[-1])

    written = f"({_shown(parts[0][1])}={text})"
    if name in _NUMBERS or name == "objectclass":  # which have no rule for that
        return written, lambda *_: None
    return written, lambda *given: _of(given, name, lambda values: any(map(fits, values)))


def _name(text: bytes) -> str:
    return text.decode("latin-1").lower()


def _shown(text: bytes) -> str:
    """Return a value as filters write it (RFC 4515 section 3)."""
    shown = printable(text, 256).replace("\\", "\\5c")
    return shown.replace("*", "\\2a").replace("(", "\\28").replace(")", "\\29")
