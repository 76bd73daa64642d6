"""Make the pages that are made from the code: docs/settings.md and docs/events.md. A test holds them to it."""

from __future__ import annotations

from pathlib import Path

from eudaemon import settings
from eudaemon.events import KINDS, fields_of

DOCS = Path(__file__).resolve().parents[1] / "docs"


def events_page() -> str:
    """Return docs/events.md: every kind of event, its meaning and its fields."""
    out = [
        "# Events",
        "",
        "Everything that any part of the honeynet states, it states as one of these facts: one JSON object on a line.",
        "This page is made from the catalogue (`make docs`).",
        "",
        "Every event has `v` (version of the envelope, 1), `id` (UUIDv7: sorting by it is sorting by time), `time`",
        "(RFC 3339, UTC), `sensor`, and, where it belongs to a conversation, `session`, `attacker` and `local`",
        "(`ip` and `port`). Then `kind`, and the kind's own fields. Attackers' text is UTF-8; bytes that are none",
        "stand as `\\xNN`. What must be byte-exact is an artefact, named by its SHA-256. Readers keep what they do not",
        "know.",
        "",
        "| kind | meaning |",
        "|---|---|",
    ]
    out += [f"| [`{kind}`](#{kind.replace('.', '')}) | {_summary(fact)} |" for kind, fact in KINDS.items()]
    for kind, fact in KINDS.items():
        out += ["", f"## {kind}", "", _summary(fact), "", "| field | type | meaning |", "|---|---|---|"]
        for field in fields_of(fact):
            shape = str(field.type).replace("tuple[str, ...]", "list of str")
            out.append(f"| `{field.name}` | {shape} | {field.metadata['says']} |")
    return "\n".join(out) + "\n"


def _summary(fact: type) -> str:
    return " ".join((fact.__doc__ or "").split())


if __name__ == "__main__":
    (DOCS / "settings.md").write_text(settings.document(), encoding="utf-8")
    (DOCS / "events.md").write_text(events_page(), encoding="utf-8")
