"""The notes that ransom leaves in databases: what they say, and what they are called."""

from __future__ import annotations

import re

_LOOKED_CHARS_MAX = 65_536
_NAME_CHARS_MAX = 512
_SAYS = re.compile(r"bitcoin|\bbtc\b|ransom|recover|restore your|your (?:data|db|database)|backed "
                   r"up|pay(?:ment)?\b|\.onion|@\w+\.\w+|wallet",
                   re.IGNORECASE)  # fmt: skip
_CALLED = re.compile(r"read_?_?me|warning|recover|how_?to|hacked|ransom|contact|restore|pwned|delet", re.IGNORECASE)


def is_note(name: str, text: str) -> bool:
    """Say whether a text, left under a name where there was data before, is such a note."""
    return bool(_SAYS.search(text[:_LOOKED_CHARS_MAX])) or (bool(text) and bool(_CALLED.search(name[:_NAME_CHARS_MAX])))
