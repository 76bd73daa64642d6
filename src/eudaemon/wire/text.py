"""Attackers' bytes as text that can be stored and shown."""

from __future__ import annotations


def printable(data: bytes, chars_max: int = 4096) -> str:
    """Return bytes as text: UTF-8 where it is, `\\xNN` where it is not and for control characters but TAB and LF."""
    text = data[: chars_max * 4].decode("utf-8", "backslashreplace")
    if not text.isprintable():
        text = "".join(c if c.isprintable() or c in "\t\n" else f"\\x{ord(c):02x}" if ord(c) < 256
                       else f"\\u{ord(c):04x}" for c in text)  # fmt: skip
    return clipped(text, chars_max)


def clipped(text: str, chars_max: int) -> str:
    """Return the text cut at `chars_max` characters, the last one `…` where something was cut."""
    return text if len(text) <= chars_max else text[: chars_max - 1] + "…"
