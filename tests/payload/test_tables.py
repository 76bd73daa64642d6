"""What stands behind a XOR in a program that a compiler made, as such programs are made."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eudaemon.payload import tables as module
from eudaemon.payload.tables import Table, tables

TEXTS = (
    "cnc.example.com",
    "report.example.com",
    "listening tun0",
    "/bin/busybox MIRAI",
    "MIRAI: applet not found",
    "shell",
)


def literal(text: str, key: int) -> str:
    return '"' + "".join(f"\\x{byte ^ key:02x}" for byte in text.encode() + b"\0") + '"'


@pytest.mark.parametrize("key", [0x22, 0x54, 0xDE ^ 0xDE ^ 0xFB ^ 0xAF])
def test_a_programs_table_is_read(key: int, tmp_path: Path) -> None:
    source, program = tmp_path / "it.c", tmp_path / "it"
    entries = ", ".join(literal(text, key) for text in TEXTS)
    source.write_text(f"""
        #include <stdio.h>
        static const char *volatile table[] = {{{entries}}};
        int main(void) {{ printf("%s /bin/busybox \\"said\\"", table[1]); return 0; }}
    """)
    subprocess.run(["gcc", "-Os", "-s", "-o", program, source], check=True)
    (table,) = tables(program.read_bytes())
    assert table.key == key
    assert set(TEXTS) <= set(table.texts)


def hidden(texts: list[bytes], key: int) -> bytes:
    return b"".join(bytes(byte ^ key for byte in text + b"\0") + b"\0" for text in texts)


def test_one_word_is_no_table_and_plain_words_are_none() -> None:
    assert tables(hidden([b"/bin/busybox", b"cnc.example.com"], 0x22)) == []
    assert tables(hidden([b"/bin/busybox", b"listening tun0", b"cnc.example.com"], 0)) == []
    assert tables(b"/BIN/BUSYBOX ENABLE SYSTEM LISTENING TUN0") == []
    assert tables(b"") == []


def test_so_many_texts_keys_and_bytes_and_no_more() -> None:
    words = [b"/bin/busybox", b"listening tun0"]
    many = [b"text %d" % number for number in range(module.TEXTS_MAX + 1 - len(words))]
    (table,) = tables(hidden([*words, *many], 0x22))
    assert table.texts[-1] == f"text {len(many) - 2}"
    keys = range(1, module.KEYS_MAX + 2)
    assert len(tables(b"".join(hidden(words, 0x40 + key) for key in keys))) == module.KEYS_MAX
    before = bytes(module.BYTES_MAX - len(hidden(words, 0x22)))
    assert tables(before + hidden(words, 0x22)) == [Table(0x22, tuple(word.decode() for word in words))]
    assert tables(before + bytes(3) + hidden(words, 0x22)) == []


@given(st.binary(max_size=300))
def test_noise_has_no_table(noise: bytes) -> None:
    assert tables(noise) == []
