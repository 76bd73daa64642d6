"""The general rule: what a request carries that no room knows as an exploit of its own product.

One row for each kind of thing that ordinary clients do not send, with the place to look in and how it is taken out of
there. Commands in another language come before the shell's, whose separators stand in every language; whole command
lines before what is injected into one; what only looks like an attack comes last.
"""

from __future__ import annotations

from dataclasses import dataclass

from eudaemon.protocols import _carried as carried
from eudaemon.protocols import _loot as loot
from eudaemon.protocols._loot import Loot, Taker
from eudaemon.protocols._places import BODY, FILES, NAMED_FOR_COMMANDS, PATH, VALUES, AnyParameter, Look, Place


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of thing, in one kind of place."""

    name: str
    reference: str
    place: Place
    take: Taker
    shows: bool = True  # whether the peer would see what comes of it


_row = Rule
GENERAL = (
    _row("upload-of-script", "CWE-434", FILES, carried.uploaded, shows=False),
    _row("deserialisation", "CWE-502", VALUES, carried.serialised, shows=False),
    _row("deserialisation", "CWE-502", BODY, carried.serialised, shows=False),
    _row("class-loading", "CWE-502", VALUES, carried.named_class, shows=False),
    _row("xml-entity", "CWE-611", VALUES, carried.entity, shows=False),
    _row("xml-entity", "CWE-611", BODY, carried.entity, shows=False),
    _row("xml-entity", "CWE-611", VALUES, carried.entity_file),
    _row("xml-entity", "CWE-611", BODY, carried.entity_file),
    _row("java-injection", "CWE-94", VALUES, carried.java),
    _row("script-injection", "CWE-94", VALUES, carried.called),
    _row("php-injection", "CWE-94", VALUES, carried.php_command),
    _row("shell-parameter", "CWE-78", NAMED_FOR_COMMANDS, loot.spelt_out),
    _row("shell-parameter", "CWE-78", VALUES, loot.unmistakable),
    _row("shell-injection", "CWE-78", VALUES, loot.plausible),
    _row("php-injection", "CWE-94", VALUES, carried.php),
    _row("java-injection", "CWE-94", VALUES, carried.expression),
    _row("path-traversal", "CWE-22", VALUES, carried.climbing),
    _row("path-traversal", "CWE-22", VALUES, carried.file),
    _row("path-traversal", "CWE-22", PATH, carried.file_at_end),
    _row("shell-injection", "CWE-78", PATH, loot.plausible),
    _row("java-injection", "CWE-94", PATH, carried.java),
    _row("script-injection", "CWE-94", FILES, carried.called, shows=False),
    _row("java-injection", "CWE-94", FILES, carried.java, shows=False),
    _row("template-injection", "CWE-1336", VALUES, carried.template),
    _row("file-inclusion", "CWE-98", AnyParameter(), carried.included, shows=False),
)


def suspected(look: Look) -> tuple[Rule, Loot] | None:
    """Return the first row that fits, with its loot; None if an ordinary client might have sent the request."""
    for rule in GENERAL:
        for value in rule.place.values(look):
            taken = rule.take(value)
            if taken:
                return rule, taken
    return None
