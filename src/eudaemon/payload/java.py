"""What Java brings along: the texts in a class, and what a JNDI reference says that it is loaded from.

    javaCodeBase: http://h/     javaFactory: Exploit            RFC 2713, in LDIF
    … t <size> Exploit t <size> http://h/ …                     javax.naming.Reference, serialised

Owns those texts, and the URL that a class loader would ask for; loads nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

CLASSES_MAX = 8  # of one text
_NAME = rb"[\w$./-]{1,256}"
_LDIF = re.compile(rb"(?im)^(javaCodeBase|javaFactory|javaClassName): *([^\r\n]{1,2048})$")
_STRING = re.compile(rb"t([\x00-\x07][\x00-\xff])", re.DOTALL)  # TC_STRING (Java Object Serialization, 6.4.2), to 2 KiB
_SCHEMES = (b"http://", b"https://", b"ftp://")
_CLASS = b"\xca\xfe\xba\xbe"
CONSTANTS_MAX = 65535
_UTF8 = 1
# Of each other constant, how many bytes follow its tag (Java Virtual Machine Specification, section 4.4).
_CONSTANT_BYTES = {3: 4, 4: 4, 5: 8, 6: 8, 7: 2, 8: 2, 9: 4, 10: 4, 11: 4, 12: 4, 15: 3, 16: 2, 17: 4, 18: 4, 19: 2,
                   20: 2}  # fmt: skip


def constants(data: bytes) -> bytes:
    """Return the texts of a class's constant pool, a line each; nothing if it is no class.

    Their lengths stand before them, and a length that is a letter would become a part of its text.
    """
    if not data.startswith(_CLASS) or int.from_bytes(data[6:8], "big") < 45:
        return b""
    found: list[bytes] = []
    at = 10
    for _ in range(min(CONSTANTS_MAX, int.from_bytes(data[8:10], "big"))):
        tag = data[at] if at < len(data) else 0
        if tag == _UTF8:
            size = int.from_bytes(data[at + 1 : at + 3], "big")
            found.append(data[at + 3 : at + 3 + size])
            at += 3 + size
        elif tag in _CONSTANT_BYTES:
            at += 1 + _CONSTANT_BYTES[tag]
        else:
            break  # the pool is over: a long has two places in it, so its count is no more than a limit
    return b"\n".join(found)


def classes(text: bytes) -> Iterator[str]:
    """Yield the URLs of the classes that this text has a JVM load, at most `CLASSES_MAX`, none twice."""
    found: dict[str, None] = {}
    for base, name in (*_entries(text), *_references(text)):
        for codebase in base.split()[:CLASSES_MAX]:  # a code base is a list, divided by blanks
            if codebase.lower().startswith(_SCHEMES):
                found.setdefault(_url(codebase, name))
    yield from list(found)[:CLASSES_MAX]


def _entries(text: bytes) -> Iterator[tuple[bytes, bytes]]:
    said = {name.lower(): value.strip() for name, value in _LDIF.findall(text)}
    factory = said.get(b"javafactory") or said.get(b"javaclassname", b"")
    if b"javacodebase" in said and factory:
        yield said[b"javacodebase"], factory


def _references(text: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield what stands before a URL: of the fields of a Reference, `classFactoryLocation` follows `classFactory`."""
    if b"\xac\xed\x00\x05" not in text:
        return
    before, end = b"", -1
    at = 0
    while (found := _STRING.search(text, at)) is not None:
        start = found.end()
        size = int.from_bytes(found[1], "big")
        value = text[start : start + size]
        if len(value) < size or not value.isascii():
            at = found.start() + 1
            continue
        if value.startswith(_SCHEMES) and end == found.start() and re.fullmatch(_NAME, before):
            yield value, before
        before = value
        at = end = start + size


def _url(codebase: bytes, name: bytes) -> str:
    """Return where a class loader looks: in a directory by the class's name; an archive it takes whole."""
    base = codebase.partition(b"#")[0].decode("latin-1")
    if base.endswith("/"):
        return f"{base}{name.decode('latin-1').removesuffix('.class').replace('.', '/')}.class"
    return base
