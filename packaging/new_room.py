"""Begin a new room: `make room NAME=x` copies the template, its tests, and adds the row to the table of rooms.

What comes out is a room that works and passes its tests; then make it the protocol that it is to be.
"""

from __future__ import annotations

import keyword
import re
import sys
from pathlib import Path

_ROW = '        Door("{name}", "eudaemon.protocols.{name}:{title}", speaks_first=True),\n'
_ROWS = re.compile(r'^        Door\("(\w+)", "eudaemon\.protocols\.\1:\w+".*\),\n', re.MULTILINE)


class RefusedError(Exception):
    """A room that cannot be made, and why."""


def new_room(root: Path, name: str) -> list[Path]:
    """Make the room and return the files that are new or changed. `root` is the repository."""
    rooms = root / "src/eudaemon/protocols"
    table = rooms / "__init__.py"
    if not re.fullmatch(r"[a-z][a-z0-9]{0,30}", name) or keyword.iskeyword(name):
        raise RefusedError(f"{name!r} is no name for a room: lower-case letters and digits, a letter first")
    if f'Door("{name}",' in table.read_text() or (rooms / name).exists() or (rooms / f"{name}.py").exists():
        raise RefusedError(f"there is a room {name} already")

    def named(text: str) -> str:
        return text.replace("_template", name).replace("Template", name.title()).replace('"template"', f'"{name}"')

    room, test = rooms / f"{name}.py", root / f"tests/protocols/test_{name}.py"
    room.write_text(named(_opening((rooms / "_template/__init__.py").read_text(), name)))
    test.write_text(named((root / "tests/protocols/test__template.py").read_text().replace("template of a", name)))
    table.write_text(_with_row(table.read_text(), _ROW.format(name=name, title=name.title())))
    return [room, test, table]


def _opening(text: str, name: str) -> str:
    """Replace what the template says of itself."""
    start, end = text.index("The template of a room"), text.index("A room opens with")
    says = f"{name}, begun from the template: POP3 (RFC 1939), as far as trying passwords goes."
    return f"{text[:start]}{says}\n\n{text[end:]}"


def _with_row(text: str, row: str) -> str:
    rows = list(_ROWS.finditer(text))
    ordered = "".join(sorted([found[0] for found in rows] + [row]))
    return text[: rows[0].start()] + ordered + text[rows[-1].end() :]


def main(arguments: list[str]) -> int:
    """Make the room that the arguments name."""
    if len(arguments) != 1:
        print("say: make room NAME=x", file=sys.stderr)
        return 2
    root = Path(__file__).resolve().parents[1]
    try:
        made = new_room(root, arguments[0])
    except RefusedError as error:
        print(f"make room: {error}", file=sys.stderr)
        return 1
    for path in made:
        print(path.relative_to(root))
    print(f'\nIt answers already: try `listen = ["{arguments[0]} tcp 1100"]`; then make it your own.')
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
