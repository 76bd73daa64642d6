"""Interpreters of other languages, and `openssl`: of what is given them only what it would fetch, or decode, is done.

`python3 -c`, `perl -e`, `php -r`: the URLs in their code are wished, each once; what they would print nobody knows.
"""

from __future__ import annotations

import binascii
import re

from eudaemon.world.files import FileError
from eudaemon.world.shell.acts import Kept
from eudaemon.world.shell.applets.texts import decoded
from eudaemon.world.shell.call import Applet, Call, Run, cannot_open, options, text

_CODE_BYTES_MAX = 64 * 1024
_URLS_MAX = 8
_URL = re.compile(rb"(?:https?|ftp)://[^\s\"'<>|^`;)\\]{3,2048}")
_ENCODED = re.compile(rb"[A-Za-z0-9+/]{24,}={0,2}")


def interpreter(call: Call) -> Run:
    """Run code: of an argument, of a file, or of standard input."""
    given, rest = options(call.args, "ceErmWX")
    code = next((given[letter] for letter in "ceEr" if given.get(letter)), None)
    kept = code is None
    if code is None:
        try:
            code = yield from call.read(rest[0] if rest else b"-", _CODE_BYTES_MAX)
        except FileError as error:
            return call.error(f"can't open file '{text(rest[0])}': [Errno 2] {error}", 2)
    if kept and code and not rest and call.typed_at:
        yield Kept("stdin", code, "script")
    for url in _urls_in(code[:_CODE_BYTES_MAX]):
        yield from call.shell.download(url, call.name, b"")
    return 0


def _urls_in(code: bytes) -> list[str]:
    """Return the URLs in code, also in what is base64 in it."""
    found = {text(url): None for url in _URL.findall(code)}
    for encoded in _ENCODED.findall(code)[:_URLS_MAX]:
        try:
            inner = binascii.a2b_base64(encoded + b"=" * (-len(encoded) % 4))
        except binascii.Error:
            continue
        found |= {text(url): None for url in _URL.findall(inner)}
    return list(found)[:_URLS_MAX]


def openssl(call: Call) -> Run:
    """`openssl enc -d -base64`, `openssl base64 -d`: what is encoded or enciphered otherwise is not known here."""
    words = set(call.args)
    if call.args[:1] == [b"version"]:
        call.line("OpenSSL 3.0.2 15 Mar 2022 (Library: OpenSSL 3.0.2 15 Mar 2022)")
        return 0
    if not words & {b"base64", b"-base64", b"-a"}:
        return 0
    given = dict(zip(call.args, call.args[1:], strict=False))
    try:
        data = yield from call.read(given.get(b"-in", b"-"))
    except FileError as error:
        return call.error(cannot_open(given[b"-in"], error))
    if b"-d" in words:
        data = decoded(data) or b""
    else:
        encoded = binascii.b2a_base64(data, newline=False)
        wide = len(encoded) or 1 if b"-A" in words else 64
        data = b"".join(encoded[at : at + wide] + b"\n" for at in range(0, len(encoded), wide))
    if b"-out" in given:
        yield from call.shell.keep_before(call.resolve(given[b"-out"]))
        call.write(given[b"-out"], data)
    else:
        call.out(data)
    return 0


TABLE: dict[str, Applet] = {
    "python": interpreter, "python2": interpreter, "python3": interpreter, "perl": interpreter, "php": interpreter,
    "ruby": interpreter, "openssl": openssl,
}  # fmt: skip
