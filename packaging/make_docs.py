"""Make the pages that are made from the code: docs/settings.md, events.md and formats.md. A test holds them to it."""

from __future__ import annotations

from pathlib import Path

from eudaemon import settings
from eudaemon.events import KINDS, fields_of
from eudaemon.farm.outputs.formats.left_out import LEFT_OUT

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
            shape = str(field.type).replace("tuple[str, ...]", "list of str").replace(" | None", " or null")
            out.append(f"| `{field.name}` | {shape} | {field.metadata['says']} |")
    return "\n".join(out) + "\n"


def formats_page() -> str:
    """Return docs/formats.md: which format tells of which kind of event, and why another does not."""
    out = [
        "# Which event is told by which format",
        "",
        "What the farm [hands on](how-to/outputs.md) in others' words is what they have a place for; `events` has all.",
        "This page is made from the formats' tables (`make docs`); a dash is a kind that is left out.",
        "",
        f"| kind | {' | '.join(LEFT_OUT)} |",
        f"|---|{'---|' * len(LEFT_OUT)}",
    ]
    for kind, fact in KINDS.items():
        cells = ("–" if fact in left_out else "yes" for left_out in LEFT_OUT.values())
        out.append(f"| [`{kind}`](events.md#{kind.replace('.', '')}) | {' | '.join(cells)} |")
    for name, left_out in LEFT_OUT.items():
        out += ["", f"## What {name} leaves out, and why", ""]
        by_reason: dict[str, list[str]] = {}
        for fact, reason in left_out.items():
            by_reason.setdefault(reason, []).append(f"`{fact.kind}`")
        out += [f"- {', '.join(kinds)}: {reason}" for reason, kinds in by_reason.items()]
    return "\n".join(out) + "\n"


def _summary(fact: type) -> str:
    return " ".join((fact.__doc__ or "").split())


if __name__ == "__main__":
    (DOCS / "settings.md").write_text(settings.document(), encoding="utf-8")
    (DOCS / "events.md").write_text(events_page(), encoding="utf-8")
    (DOCS / "formats.md").write_text(formats_page(), encoding="utf-8")
