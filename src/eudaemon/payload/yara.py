"""Which of the rules a sample matches. For the farm alone: it needs YARA-X, which no router has.

The project's own rules lie beside this file, in `rules`; an operator may add folders of their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import yara_x

OWN_RULES = Path(__file__).parent / "rules"
SCAN_S_MAX = 20
MATCHES_MAX = 64
RULE_FILE_BYTES_MAX = 16 * 1024 * 1024


class RulesError(Exception):
    """A rule file that cannot be used. The message names the file and what is wrong with it."""


class Yara:
    """Compiled rules. Made once (about a tenth of a second for our own); `matches` may be called from any thread."""

    def __init__(self, folders: Iterable[Path] = ()) -> None:
        compiler = yara_x.Compiler()
        for folder in (OWN_RULES, *folders):
            for path in sorted((*folder.glob("*.yar"), *folder.glob("*.yara"))):
                if path.stat().st_size > RULE_FILE_BYTES_MAX:
                    raise RulesError(f"{path}: over {RULE_FILE_BYTES_MAX} bytes")
                # A name space for each file, so that rules of the same name from elsewhere do not collide.
                compiler.new_namespace(path.stem if folder == OWN_RULES else str(path))
                try:
                    compiler.add_source(path.read_text(encoding="utf-8"), origin=str(path))
                except (yara_x.CompileError, UnicodeDecodeError) as error:
                    raise RulesError(f"{path}: {error}") from None
        self._rules = compiler.build()

    def matches(self, data: bytes, *, scan_s_max: int = SCAN_S_MAX) -> tuple[str, ...]:
        """Return the names of the rules that match, sorted, at most `MATCHES_MAX`; none if it takes too long."""
        scanner = yara_x.Scanner(self._rules)  # one a scan: a scanner is bound to its thread
        scanner.set_timeout(scan_s_max)
        try:
            found = scanner.scan(data).matching_rules
        except yara_x.TimeoutError:
            return ()
        return tuple(sorted({str(rule.identifier) for rule in found}))[:MATCHES_MAX]
