"""Saying what bytes are, from their headers alone: fast, bounded, standard library. Believes nothing it reads.

A header may be cut off or made up; what cannot be read is left out of the description, never an error.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from eudaemon.payload.headers import describe_elf, describe_macho, describe_pe
from eudaemon.payload.scripts import language_of

HEAD_BYTES_MAX = 4096  # of text that is looked at to tell scripts, HTML and plain text apart
_ZIP_NAMES_BYTES_MAX = 1024 * 1024  # of a ZIP that is searched for the names that make it an APK or a JAR


@dataclass(frozen=True, slots=True)
class Identity:
    """`format` is one word (as in `SampleIdentified`), `description` one line for people."""

    format: str
    description: str


# First bytes, format, description. The longer before the shorter where one begins with the other.
_MAGIC = (
    (b"\x1f\x8b", "archive", "gzip compressed data"),
    (b"BZh", "archive", "bzip2 compressed data"),
    (b"\xfd7zXZ\0", "archive", "XZ compressed data"),
    (b"\x28\xb5\x2f\xfd", "archive", "Zstandard compressed data"),
    (b"7z\xbc\xaf\x27\x1c", "archive", "7-zip archive"),
    (b"Rar!\x1a\x07", "archive", "RAR archive"),
    (b"!<arch>\ndebian", "archive", "Debian package"),
    (b"!<arch>\n", "archive", "ar archive"),
    (b"\xed\xab\xee\xdb", "archive", "RPM package"),
    (b"MSCF\0\0\0\0", "archive", "Windows cabinet"),
    (b"\x1f\x9d", "archive", "compress'd data"),
    (b"\x04\x22\x4d\x18", "archive", "LZ4 compressed data"),
    (b"\x5d\0\0\x80\0", "archive", "LZMA compressed data"),
    (b"070701", "archive", "cpio archive"),
    (b"\x27\x05\x19\x56", "data", "U-Boot image"),
    (b"ITSF\x03\0\0\0", "document", "compiled HTML help"),
    (b"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d", "document", "OneNote document"),
    (b"#@~^", "script", "Windows script, encoded"),
    (b"<%@", "script", "server page (JSP or ASP.NET)"),
    (b"hsqs", "archive", "SquashFS file system, little-endian"),
    (b"sqsh", "archive", "SquashFS file system, big-endian"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "document", "OLE compound file (old Office document or MSI)"),
    (b"%PDF-", "document", "PDF document"),
    (b"{\\rtf", "document", "RTF document"),
    (b"\x4c\0\0\0\x01\x14\x02\0", "shortcut", "Windows shortcut"),
    (b"\x89PNG\r\n\x1a\n", "image", "PNG image"),
    (b"\xff\xd8\xff", "image", "JPEG image"),
    (b"GIF8", "image", "GIF image"),
    (b"\x1bLua", "bytecode", "Lua bytecode"),
    (b"\0asm", "bytecode", "WebAssembly module"),
    (b"\xac\xed\0\x05", "data", "serialised Java objects"),
    (b"REDIS", "data", "Redis database dump"),
    (b"dn: ", "text", "LDAP entry (LDIF)"),
    (b"EUDCONV1", "conversation", "recorded conversation"),
    (b"-----BEGIN ", "key", "PEM key or certificate"),
    (b"ssh-rsa ", "key", "OpenSSH public key"),
    (b"ssh-ed25519 ", "key", "OpenSSH public key"),
    (b"ecdsa-sha2-", "key", "OpenSSH public key"),
)
_INTERPRETERS = (("python", "Python"), ("perl", "Perl"), ("php", "PHP"), ("ruby", "Ruby"), ("node", "JavaScript"),
                 ("lua", "Lua"), ("bash", "Bash"), ("sh", "POSIX shell"))  # fmt: skip


def identify(data: bytes) -> Identity:
    """Say what a file is. The first megabyte is enough; all of it is better for ZIP archives and packers' marks."""
    if not data:
        return Identity("empty", "empty file")
    for recognise in _RECOGNISERS:
        found = recognise(data)
        if found is not None:
            return found
    return Identity("data", "data")


def _elf(data: bytes) -> Identity | None:
    return Identity("elf", describe_elf(data)) if data[:4] == b"\x7fELF" else None


def _pe(data: bytes) -> Identity | None:
    return Identity("pe", describe_pe(data)) if data[:2] == b"MZ" else None


def _macho_or_class(data: bytes) -> Identity | None:
    if data[:4] == b"\xca\xfe\xba\xbe":
        # Java and Apple chose the same magic. A universal binary counts its few architectures where a class file
        # has its version, which was never under 43.
        version = struct.unpack(">I", data[4:8])[0] & 0xFFFF if len(data) >= 8 else 0
        if version >= 43:
            return Identity("class", f"Java class file, version {version} (Java {version - 44})")
        return Identity("macho", f"Mach-O universal binary, {version} architectures")
    described = describe_macho(data)
    return Identity("macho", described) if described else None


def _dex(data: bytes) -> Identity | None:
    if data[:4] == b"dex\n" and data[7:8] == b"\0" and data[4:7].isdigit():
        return Identity("dex", f"Android Dalvik executable, version {data[4:7].decode('ascii')}")
    return None


def _zip(data: bytes) -> Identity | None:
    if data[:4] not in (b"PK\x03\x04", b"PK\x05\x06"):
        return None
    # The directory at the end names all files; a truncated archive still has the names before each of them.
    names = data[:_ZIP_NAMES_BYTES_MAX] + data[-_ZIP_NAMES_BYTES_MAX:]
    if b"AndroidManifest.xml" in names:
        return Identity("apk", "Android package")
    if b"META-INF/MANIFEST.MF" in names:
        return Identity("archive", "Java archive (JAR)")
    if b"[Content_Types].xml" in names:
        return Identity("document", "Office document (OOXML)" + (", with macros" if b"vbaProject.bin" in names else ""))
    return Identity("archive", "ZIP archive")


def _magic(data: bytes) -> Identity | None:
    for magic, kind, description in _MAGIC:
        if data.startswith(magic):
            return Identity(kind, description)
    if data[257:262] == b"ustar":
        return Identity("archive", "tar archive")
    if data[0x8001:0x8006] == b"CD001":
        return Identity("archive", "ISO 9660 image")
    return None


def _script(data: bytes) -> Identity | None:
    if data[:2] != b"#!":
        return None
    words = data[2:256].partition(b"\n")[0].split() or [b""]
    name = words[0].rpartition(b"/")[2]
    if name == b"env" and len(words) > 1:
        name = words[1]
    text = name.decode("ascii", "replace")
    language = next((shown for mark, shown in _INTERPRETERS if mark in text), text[:32] or "unknown interpreter")
    return Identity("script", f"{language} script")


def _text(data: bytes) -> Identity | None:
    head = data[:HEAD_BYTES_MAX]
    coding = "ASCII text"
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        head = head.decode("utf-16", "replace").encode("utf-8", "replace")
        coding = "UTF-16 text"
    elif b"\0" in head or sum(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in head) > len(head) // 32:
        return None
    elif not head.isascii():
        try:
            head[: head.rfind(b"\n") if b"\n" in head else len(head)].decode("utf-8")
        except UnicodeDecodeError:
            return None
        coding = "UTF-8 text"
    lower = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if lower.startswith((b"<!doctype html", b"<html", b"<head", b"<body", b"<script", b"<title", b"<h1")):
        return Identity("html", "HTML document")
    if lower.startswith(b"<?xml"):
        return Identity("xml", "XML document")
    language = language_of(lower)
    return Identity("script", f"{language} script") if language else Identity("text", coding)


_RECOGNISERS: tuple[Callable[[bytes], Identity | None], ...] = (
    _elf, _pe, _macho_or_class, _dex, _zip, _magic, _script, _text,
)  # fmt: skip
