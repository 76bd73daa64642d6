"""Undoing the wrappings that payloads come in: URL, HTML, backslash, base64, hex and `$IFS`. No meaning, only bytes.

Every decoder takes and gives bytes, leaves alone what it cannot read, and never gives more bytes than it was given;
`inflated`, which would, takes a limit. Time and memory are linear in the input. `layers` applies them all, in every
order that changes something, within limits. (urllib.parse and html's table of 2,231 entities are not for routers.)
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Callable, Iterator

_HEX = frozenset(b"0123456789abcdefABCDEF")
_OCTAL = frozenset(b"01234567")
# The entities that stand for what a shell or a URL is made of; HTML 5 section 13.5 has the others.
_ENTITIES = {
    b"amp": b"&", b"lt": b"<", b"gt": b">", b"quot": b'"', b"apos": b"'", b"nbsp": b" ", b"grave": b"`",
    b"dollar": b"$", b"lpar": b"(", b"rpar": b")", b"lbrace": b"{", b"rbrace": b"}", b"lcub": b"{", b"rcub": b"}",
    b"semi": b";", b"colon": b":", b"sol": b"/", b"bsol": b"\\", b"period": b".", b"vert": b"|", b"verbar": b"|",
    b"Tab": b"\t", b"NewLine": b"\n", b"num": b"#", b"percnt": b"%", b"plus": b"+", b"equals": b"=", b"quest": b"?",
}  # fmt: skip
_ENTITY_BYTES_MAX = 10  # `&#1114111;` without its ampersand
# ISO 9899 section 6.4.4.4, JSON (RFC 8259 section 7): `\/` and `\"` are JSON's and PHP's.
_BACKSLASHED = {
    ord("n"): b"\n", ord("r"): b"\r", ord("t"): b"\t", ord("a"): b"\a", ord("b"): b"\b", ord("f"): b"\f",
    ord("v"): b"\v", ord("e"): b"\x1b", ord("\\"): b"\\", ord("/"): b"/", ord('"'): b'"', ord("'"): b"'",
}  # fmt: skip
_BASE64_RUN = re.compile(rb"[A-Za-z0-9+/_-]{8,}")
_HEX_RUN = re.compile(rb"(?:[0-9A-Fa-f]{2}){4,}")
# `$IFS$9`: the ninth positional parameter is empty, and ends the name IFS before a letter.
_IFS = re.compile(rb"\$\{IFS[^}]{0,8}\}|\$IFS(?:\$[0-9@*])?")
# Log4j's lookups. Those without another inside; `${jndi:…}` with the schemes that its JNDI knows.
_LOOKUP = re.compile(rb"\$\{([^${}]{0,2000})\}")
_JNDI = re.compile(
    rb"\Ajndi:/{0,2}(ldaps?|rmi|dns|iiop|corba|nis|nds|https?):/{0,2}([^\s\"'<>\\]{1,1000})\Z", re.IGNORECASE
)
LOOKUPS_NESTED_MAX = 24  # levels of `${…${…}…}`
JNDI_URLS_MAX = 4  # of one text
_BRACES = re.compile(rb"(?<!\$)\{([^{}\s,]{1,4096}(?:,[^{}\s,]{0,65536}){1,16})\}")


def percent(data: bytes, *, plus: bool = False) -> bytes:
    """Decode `%41` (RFC 3986 section 2.1) and IIS's `%u0041`; with `plus` also `+` as a blank, as forms send it."""
    return _rewritten(data.replace(b"+", b" ") if plus else data, b"%", _percent_at)


def html_entities(data: bytes) -> bytes:
    """Decode `&#36;`, `&#x24;` and the named entities that a command or a URL is likely to hold."""
    return _rewritten(data, b"&", _entity_at)


def backslashes(data: bytes) -> bytes:
    r"""Decode `\n`, `\x41`, `\101`, `\u0041`, `\u{41}` and their like. An unknown escape stays as it is."""
    return _rewritten(data, b"\\", _backslash_at)


def ifs(data: bytes) -> bytes:
    """Write `${IFS}`, `$IFS` and `$IFS$9` as the blank they stand for in a shell."""
    return _IFS.sub(b" ", data)


def braces(data: bytes) -> bytes:
    """Write bash's `{echo,text}` as `echo text`: how commands without blanks are given to Java's `Runtime.exec`."""
    return _BRACES.sub(lambda found: found[1].replace(b",", b" "), data)


def base64_text(data: bytes) -> bytes | None:
    """Decode one base64 text (either alphabet, blanks and padding as they may be), or None if it is none."""
    text = data.translate(_TO_STANDARD, b" \t\r\n\v\f").rstrip(b"=")
    if not text or len(text) % 4 == 1:
        return None
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except ValueError:
        return None


def base64_runs(data: bytes, *, run_bytes_min: int = 16, runs_max: int = 64) -> Iterator[bytes]:
    """Yield what the first `runs_max` stretches of at least `run_bytes_min` base64 characters decode to."""
    for found in _BASE64_RUN.finditer(data):
        if len(found[0]) >= run_bytes_min:
            whole = found[0][: len(found[0]) - (len(found[0]) % 4 == 1)]
            decoded = base64_text(whole)
            if decoded:
                yield decoded
                runs_max -= 1
                if not runs_max:
                    return


def hex_runs(data: bytes, *, run_bytes_min: int = 16, runs_max: int = 64) -> Iterator[bytes]:
    """Yield what the first `runs_max` stretches of at least `run_bytes_min` hexadecimal digits decode to."""
    for found in _HEX_RUN.finditer(data):
        if len(found[0]) >= run_bytes_min:
            yield bytes.fromhex(found[0].decode("ascii"))
            runs_max -= 1
            if not runs_max:
                return


def inflated(data: bytes, bytes_max: int) -> tuple[bytes, bool]:
    """Decompress gzip, zlib or bare deflate. Return at most `bytes_max` bytes, and whether that is all of it.

    What is broken or cut off gives what could be read of it, and False.
    """
    found, whole = _inflated(data, zlib.MAX_WBITS | 32, bytes_max)
    # HTTP's "deflate" is zlib by RFC 9110 section 8.4.1.2, and bare by what many send.
    return (found, whole) if found or whole else _inflated(data, -zlib.MAX_WBITS, bytes_max)


_DOTLESS_I = "\u0131".encode()


def lookups(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Resolve Log4j's lookups (CVE-2021-44228), however they are nested: `${${lower:j}ndi:${::-l}dap://h/x}`.

    Return the text, in which `jndi:URL` stands for what is asked of JNDI, and those URLs.
    """
    urls: list[str] = []

    def resolved(lookup: re.Match[bytes]) -> bytes:
        text = lookup[1]
        asked = _JNDI.match(text)
        if asked:
            where = asked[2].lstrip(b".")  # `${hostName}.example.com`, of which the first part is not here
            url = f"{asked[1].decode().lower()}://{where.decode('ascii', 'replace')}"
            if url not in urls and len(urls) < JNDI_URLS_MAX:
                urls.append(url)
            return b"jndi:%s " % url.encode("utf-8")
        name, colon, argument = text.partition(b":")
        if name.lower() in (b"lower", b"upper"):
            if name.lower() == b"lower":
                return argument.lower()
            return argument.upper().replace(_DOTLESS_I, b"I")  # as Java does: that letter passes filters
        if colon and name == b"date":
            return argument.replace(b"'", b"")
        return text.partition(b":-")[2]  # what else there is to look up is not here: the default

    for _ in range(LOOKUPS_NESTED_MAX if b"${" in data else 0):
        made = _LOOKUP.sub(resolved, data)
        if made == data:
            break
        data = made
    return data, tuple(urls)


def layers(
    data: bytes, *, texts_max: int = 24, bytes_max: int = 1024 * 1024, is_meant: Callable[[bytes], bool] = bool
) -> Iterator[bytes]:
    """Yield the data and, breadth first, every different text that undoing its wrappings gives.

    Any long word is base64 or hexadecimal, too: what those give is left out where `is_meant` denies it.
    At most `texts_max` texts are yielded, and no more are made once they are `bytes_max` bytes together.
    """
    waiting, seen, taken = [data], {data}, len(data)
    for _ in range(texts_max):
        if not waiting:
            return
        text = waiting.pop(0)
        yield text
        for decoder in _LAYERS:
            for made in decoder(text):
                if decoder in _GUESSES and not is_meant(made):
                    continue
                if made and made not in seen and taken + len(made) <= bytes_max and len(seen) < texts_max:
                    seen.add(made)
                    waiting.append(made)
                    taken += len(made)


_LAYERS: tuple[Callable[[bytes], Iterator[bytes]], ...] = (
    lambda text: iter((percent(text),)),
    lambda text: iter((html_entities(text),)),
    lambda text: iter((backslashes(text),)),
    lambda text: iter((braces(ifs(text)),)),
    base64_runs,
    hex_runs,
)
_GUESSES = (base64_runs, hex_runs)
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")


def _rewritten(data: bytes, mark: bytes, escape_at: Callable[[bytes, int], tuple[bytes, int] | None]) -> bytes:
    """Replace every escape that begins with `mark`. `escape_at` tells what one stands for, and where it ends."""
    found = data.find(mark)
    if found < 0:
        return data
    out, at = bytearray(), 0
    while found >= 0:
        out += data[at:found]
        read = escape_at(data, found)
        if read is None:
            out += mark
            at = found + 1
        else:
            out += read[0]
            at = read[1]
        found = data.find(mark, at)
    return bytes(out + data[at:])


def _digits(data: bytes, start: int, count_max: int, alphabet: frozenset[int] = _HEX) -> bytes:
    end = start
    while end < start + count_max and end < len(data) and data[end] in alphabet:
        end += 1
    return data[start:end]


def _character(number: int) -> bytes | None:
    """Return a code point as UTF-8, or None if there is none of that number."""
    return None if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF else chr(number).encode()


def _percent_at(data: bytes, at: int) -> tuple[bytes, int] | None:
    if data[at + 1 : at + 2] in (b"u", b"U"):
        digits = _digits(data, at + 2, 4)
        made = _character(int(digits, 16)) if len(digits) == 4 else None
        return None if made is None else (made, at + 6)
    digits = _digits(data, at + 1, 2)
    return (bytes((int(digits, 16),)), at + 3) if len(digits) == 2 else None


def _entity_at(data: bytes, at: int) -> tuple[bytes, int] | None:
    end = data.find(b";", at, at + 1 + _ENTITY_BYTES_MAX)
    if end < 0:
        return None
    name = data[at + 1 : end]
    made: bytes | None
    if name[:2] in (b"#x", b"#X") and len(digits := _digits(data, at + 3, 6)) == len(name) - 2 > 0:
        made = _character(int(digits, 16))
    elif name[:1] == b"#" and name[1:].isdigit():
        made = _character(int(name[1:]))
    else:
        made = _ENTITIES.get(name)
    return None if made is None else (made, end + 1)


def _backslash_at(data: bytes, at: int) -> tuple[bytes, int] | None:
    if at + 1 == len(data):
        return None
    letter = data[at + 1]
    if letter == ord("x"):
        digits = _digits(data, at + 2, 2)
        return (bytes((int(digits, 16),)), at + 2 + len(digits)) if digits else None
    if letter in _OCTAL:
        digits = _digits(data, at + 1, 3, _OCTAL)
        return bytes((int(digits, 8) & 0xFF,)), at + 1 + len(digits)
    if letter == ord("u"):
        curly = data[at + 2 : at + 3] == b"{"
        digits = _digits(data, at + 2 + curly, 6 if curly else 4)
        end = at + 2 + curly + len(digits)
        if not digits or (data[end : end + 1] != b"}" if curly else len(digits) < 4):
            return None
        made = _character(int(digits, 16))
        return None if made is None else (made, end + curly)
    known = _BACKSLASHED.get(letter)
    return None if known is None else (known, at + 2)


def _inflated(data: bytes, window_bits: int, bytes_max: int) -> tuple[bytes, bool]:
    stream = zlib.decompressobj(window_bits)
    try:
        found = stream.decompress(data, bytes_max) if bytes_max else b""
    except zlib.error:
        return b"", False
    return found, stream.eof
