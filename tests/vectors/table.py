"""All rows: every way by which a file gets into the collector."""

from __future__ import annotations

from vectors import databases, files, shells
from vectors.vector import SIZES, Vector

VECTORS: tuple[Vector, ...] = (*shells.rows(), *files.rows(), *databases.rows())
# Rooms that take no file: what they keep of a peer's is words, and those are events.
WITHOUT = {
    "activemq": "its file is fetched, and its commands run in the shell",
    "dns": "questions",
    "ldap": "searches",
    "ntp": "questions",
    "pop3": "logins",
    "sip": "calls",
}


def shown() -> str:
    """Return the table as it stands in the documents."""
    heads = ["0", "1", "4,095", "4,096", "4,097", "64 KiB", "1.5 MB", "10 MB"]
    lines = ["| service | way | " + " | ".join(heads) + " | broken off | why |", "|---" * (len(heads) + 4) + "|"]
    for row in sorted(VECTORS, key=lambda row: row.room):
        there = row.sizes()
        cells = ["·" if size in there else "–" for size in SIZES]
        way = row.way.replace("|", "\\|")
        lines.append(f"| `{row.room}` | {way} | {' | '.join(cells)} | {row.broken} | {row.why} |")
    return "\n".join(lines) + "\n"
