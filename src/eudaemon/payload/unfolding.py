"""What a script writes in pieces, put together: constants that are joined, counted, turned round, replaced, packed.

No language is understood. These are forms that say the same in VBScript, JScript, PHP, Python, Perl and PowerShell:

    "ht" & "tp"   'ht' + 'tp'   'ht' . 'tp'                      joined
    Chr(104) & Chr(116)   [char]104   fromCharCode(104,116)      by its number
    Array(15, 19, 19, 23)   @(15,19,19,23)   104~116~116~112     numbers in a row, plain or behind a XOR
    StrReverse("ptth")   '…'[::-1]                               the other way round
    Replace("hXXp", "XX", "tt")   'hXXp'.replace('XX', 'tt')     with something else in it
    str_rot13('uggc://')   gzinflate(…)   unpack u => …          behind an old code

Owns those forms; each step is linear in the text, and the text gets no longer by more than what a replacement adds,
which is bounded. What a decoder of bytes undoes is `wire.decode`'s.
"""

from __future__ import annotations

import binascii
import codecs
import re
from collections.abc import Iterator
from itertools import islice

from eudaemon.payload.shellcode.signatures import keys, xored
from eudaemon.wire import decode

TEXT_BYTES_MAX = 256 * 1024  # of a text that is looked at
ROUNDS_MAX = 16  # of replacements, one in the other
INFLATED_MAX = 8  # stretches of base64 in one text
_MADE_SHARE = 2  # by so many times a text may grow
_NUMBER = rb"(?:0x[0-9A-Fa-f]{1,2}|&[Hh][0-9A-Fa-f]{1,2}|\d{1,3})"
_CHARACTER = rb"(?:\bchr[bw]?\$?\s{0,4}\(\s{0,4}%b\s{0,4}\)|\[char\]\s{0,4}(?:%b\b|\(%b\)))" % (
    _NUMBER,
    _NUMBER,
    _NUMBER,
)
_CHARACTERS = re.compile(rb"(?i)%b(?:\s{0,8}[+&.]\s{0,8}(?:_\r?\n\s{0,8})?%b)*" % (_CHARACTER, _CHARACTER))
_ONE = re.compile(rb"(?i)(?<=[(\] ])%b(?!\w)" % _NUMBER)
# At least so many numbers in a row, between them always the same mark.
_ROW_MIN = 8
_ROW = re.compile(rb"(?<![\w.])%b(?:(\s{0,4}[,;:~|!_ -]\s{0,4})%b(?:\1%b){%d,65536})(?![\w.])"
                  % (_NUMBER, _NUMBER, _NUMBER, _ROW_MIN - 2))  # fmt: skip
_EACH = re.compile(_NUMBER)
_PRINTABLE = bytes((9, 10, 13, *range(32, 127)))
_TEXT = rb"""(?:"[^"\r\n]{0,4096}"|'[^'\r\n]{0,4096}')"""
# One text after the other, so that what is matched always begins where one begins.
_JOINED = re.compile(rb"(?P<first>%b)(?P<others>(?:\s{0,8}[+&.]\s{0,8}(?:_\r?\n\s{0,8})?%b)*)" % (_TEXT, _TEXT))
_TEXTS = re.compile(_TEXT)
_REPLACED = (
    re.compile(rb"""(?i)(?P<text>%b)\s{0,8}\.\s{0,8}replace(?:all)?\s{0,4}\(\s{0,4}(?:(?P<old>%b)|/(?P<form>[^/\r\n]{1,64})/[gi]{0,2})"""
               rb"""\s{0,4},\s{0,4}(?P<new>%b)\s{0,4}\)""" % (_TEXT, _TEXT, _TEXT)),
    re.compile(rb"(?i)(?P<text>%b)\s{0,8}-c?i?replace\s{0,8}(?P<old>%b)\s{0,4},\s{0,4}(?P<new>%b)"
               % (_TEXT, _TEXT, _TEXT)),
    re.compile(rb"(?i)(?<![.\w])replace\s{0,4}\(\s{0,4}(?P<text>%b)\s{0,4},\s{0,4}(?P<old>%b)\s{0,4},\s{0,4}(?P<new>%b)"
               % (_TEXT, _TEXT, _TEXT)),
    re.compile(rb"(?i)\bstr_i?replace\s{0,4}\(\s{0,4}(?P<old>%b)\s{0,4},\s{0,4}(?P<new>%b)\s{0,4},\s{0,4}(?P<text>%b)"
               % (_TEXT, _TEXT, _TEXT)),
)  # fmt: skip
_PLAIN_FORM = re.compile(rb"\A(?:[^\\.*+?^${}()|\[\]]|\\[^\w])+\Z")  # a regular expression that says only itself
_TURNS = re.compile(rb"(?i)strrev|reverse|\[::-1\]|\[-1\.\.-|\| ?rev\b|//:s?ptth|//:ptf")
_TURNED = re.compile(rb"""(["'])([^"'\r\n]{0,65536})\1""")
_TURNED_BYTES_MIN = 8
_ROTATES = re.compile(rb"(?i)rot_?13|uggcf?://|n-za-m")
_INFLATES = re.compile(rb"(?i)inflate|deflate|decompress|-15\b")
_PACKS = re.compile(rb"(?i)unpack\b.{0,8}\bu\b|^begin(?:-base64)? [0-7]{3} ", re.MULTILINE)
_PACKED_LINE = re.compile(rb"(?m)(?:^|\{|['\"<])([!-M][ -`]{4,84})\r?$")


def unfolded(text: bytes) -> Iterator[bytes]:
    """Yield the text with such constants put together, if there are any, and what they are packings of."""
    text = text[:TEXT_BYTES_MAX]
    if b"\0" in text:
        return
    made = _folded(text)
    if made != text:
        yield made
    if _TURNS.search(made):
        yield _TURNED.sub(lambda found: found[0][::-1] if len(found[2]) >= _TURNED_BYTES_MIN else found[0], made)
    if _ROTATES.search(made):
        yield codecs.encode(made.decode("latin-1"), "rot13").encode("latin-1")
    if _INFLATES.search(made):
        for packed in islice(decode.base64_runs(made), INFLATED_MAX):
            found, whole = decode.inflated(packed, TEXT_BYTES_MAX)
            if whole:
                yield found
    if _PACKS.search(made):
        yield b"".join(map(_unpacked, _PACKED_LINE.findall(made)))


def _folded(text: bytes) -> bytes:
    text = _CHARACTERS.sub(lambda found: b'"' + _bytes(_ONE.findall(found[0])) + b'"', text)
    text = _ROW.sub(_counted, text)
    text = _JOINED.sub(_joined, text)
    room = _MADE_SHARE * len(text)
    for form in _REPLACED:
        for _ in range(ROUNDS_MAX):
            made = form.sub(_replaced, text)
            if made == text or len(made) > room:
                break
            text = made
    return text


def _bytes(numbers: list[bytes]) -> bytes:
    """Return the characters of numbers; those over 255 are none of a command's."""
    found = bytearray()
    for number in numbers:
        number = number.lower().replace(b"&h", b"0x")
        value = int(number, 16 if number.startswith(b"0x") else 10)
        found += bytes((value,)) if value < 256 else b"?"
    return bytes(found)


def _counted(found: re.Match[bytes]) -> bytes:
    """Return what a row of numbers says, as it stands or behind a XOR under which a known word shows."""
    data = _bytes(_EACH.findall(found[0]))
    key = next(keys(data), b"")
    if key:
        data = xored(data, key)
    return b'"' + data + b'"' if key or not data.translate(None, _PRINTABLE) else found[0]


def _joined(found: re.Match[bytes]) -> bytes:
    first = found["first"]
    return first[:-1] + b"".join(text[1:-1] for text in _TEXTS.findall(found["others"])) + first[-1:]


def _replaced(found: re.Match[bytes]) -> bytes:
    groups = found.groupdict()
    text, new, old = groups["text"], groups["new"][1:-1], (groups["old"] or b"  ")[1:-1]
    if groups.get("form"):
        if not _PLAIN_FORM.match(groups["form"]):
            return found[0]
        old = groups["form"].replace(b"\\", b"")
    if not old or len(new) > len(old) * _MADE_SHARE + 8:
        return found[0]
    return text[:1] + text[1:-1].replace(old, new) + text[-1:]


def _unpacked(line: bytes) -> bytes:
    """Return a line of uuencode's; nothing if it is none."""
    try:
        return binascii.a2b_uu(line)
    except binascii.Error:
        return b""
