"""All rows: every way by which a file gets into the collector."""

from __future__ import annotations

from tidy.tree import ROOT
from vectors import databases, files, shells
from vectors.vector import SIZES, Vector

VECTORS: tuple[Vector, ...] = (*shells.rows(), *files.rows(), *databases.rows())
# Rooms that take no file: what they keep of a peer's is words, and those are events.
WITHOUT = {
    "activemq": "its file is fetched, and its commands run in the shell",
    "dns": "questions",
    "ldap": "searches",
    "modbus": "registers",
    "netbios": "questions",
    "ntp": "questions",
    "pop3": "logins",
    "pptp": "logins",
    "s7": "blocks are asked for",
    "sip": "calls",
    "snmp": "questions",
    "socks": "whom it should reach; nothing is relayed",
}


PAGE = ROOT / "docs" / "captures.md"
_HEADS = ("0", "1", "4,095", "4,096", "4,097", "64 KiB", "1.5 MB", "10 MB")


def shown() -> str:
    """Return the table as it stands in the documents."""
    tried = sum(len(row.sizes()) for row in VECTORS)
    lines = [
        f"{len(VECTORS)} ways, of {tried} sizes together:",
        "",
        f"| service | way | {' | '.join(_HEADS)} | broken off | why not |",
        "|---" * (len(_HEADS) + 4) + "|",
    ]
    for row in sorted(VECTORS, key=lambda row: row.room):
        there = row.sizes()
        cells = " | ".join("·" if size in there else "" for size in SIZES)
        way = row.way.replace("|", "\\|").replace("<", "\\<")
        lines.append(f"| `{row.room}` | {way} | {cells} | {row.broken} | {row.why} |")
    return "\n".join(lines) + "\n"


def page(before: str) -> str:
    """Return the page with the table as it is now."""
    head, begins, rest = before.partition(_BEGINS)
    _, ends, tail = rest.partition(_ENDS)
    return head + begins + "\n" + shown() + "\n" + ends + tail


_BEGINS, _ENDS = "<!-- made by `python -m vectors.table` -->\n", "<!-- made to here -->\n"

if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
