"""Commands that exploits hide in addresses and headers. Finds them; runs nothing.

RCPT TO:<root+${run{\\x2fbin\\x2fsh\\t-c\\t\\x22id\\x22}}@localhost>     Exim, CVE-2019-10149
MAIL FROM:<;for i in 0 1;do read r;done;sh;exit 0;>                   OpenSMTPD, CVE-2020-7247; the body is the script
Subject: () { :; }; id                                              procmail and qmail with bash, CVE-2014-6271
"""

from __future__ import annotations

import re
from dataclasses import dataclass

COMMANDS_MAX = 16  # of one message
HEADER_BYTES_MAX = 64 * 1024
_RUN = re.compile(rb"\$\{run\{(.{1,4000}?)\}\}", re.DOTALL)
_ESCAPE = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|([0-7]{1,3})|([tnr\\]))")
_PLAIN = {b"t": b"\t", b"n": b"\n", b"r": b"\r", b"\\": b"\\"}
_SENDER = re.compile(rb"<;(.+?);?>")
_READS = re.compile(rb"^\s*(?:for \w+ in [\w ]*|while \S+ *); *do read \w+; *done;", re.IGNORECASE)
_SHELLSHOCK = re.compile(rb"\(\)[ \t]*\{[^{}\r\n]{0,200}\}[ \t]*;?[ \t]*([^\r\n]{1,4000})")


@dataclass(frozen=True, slots=True)
class Attack:
    """One exploit that was used. `with_body`: its command is a shell that reads the message's body."""

    name: str
    reference: str
    command: bytes
    with_body: bool = False


def in_address(address: bytes) -> Attack | None:
    """Return what an address of the envelope would have run."""
    found = _RUN.search(address)
    if found:
        return Attack("exim-run", "CVE-2019-10149", _unescaped(found[1]))
    sender = _SENDER.search(address)
    if sender:
        command = _READS.sub(b"", sender[1])
        reads = re.match(rb"\s*(?:/bin/)?(?:ba|da|a)?sh\s*(?:;|$)", command) is not None
        return Attack("opensmtpd-sender", "CVE-2020-7247", b"" if reads else command, with_body=reads)
    return None


def in_header(message: bytes) -> list[Attack]:
    """Return what the header of a message would have run."""
    header = message[:HEADER_BYTES_MAX].replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    found = [Attack("shellshock", "CVE-2014-6271", match[1]) for match in _SHELLSHOCK.finditer(header)]
    found += [Attack("exim-run", "CVE-2019-10149", _unescaped(match[1])) for match in _RUN.finditer(header)]
    return found[:COMMANDS_MAX]


def body_of(message: bytes) -> bytes:
    """Return the body as a script: what stands behind the first empty line, all if there is none."""
    text = message.replace(b"\r\n", b"\n")
    header, blank, body = text.partition(b"\n\n")
    return body if blank else header


def subject_of(message: bytes) -> bytes:
    """Return the subject as it stands there."""
    found = re.search(rb"(?im)^subject:[ \t]*([^\r\n]*)", message[:HEADER_BYTES_MAX])
    return found[1] if found else b""


def _unescaped(text: bytes) -> bytes:
    return _ESCAPE.sub(_meant, text)


def _meant(found: re.Match[bytes]) -> bytes:
    if found[1]:
        return bytes((int(found[1], 16),))
    return bytes((int(found[2], 8) & 0xFF,)) if found[2] else _PLAIN[found[3]]
