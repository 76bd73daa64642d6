"""The one settings file: TOML, read once at start, validated whole, every complaint with its line.

Owns reading, checking and documenting. What may be set is declared by the parts themselves (`eudaemon.options`);
`PARTS` is the table of them. A part that is not installed (a router has no farm) has no section.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, get_args, get_type_hints

from eudaemon.options import Option

PARTS = {
    "general": "eudaemon.app:GeneralSettings",
    "sensor": "eudaemon.sensor.settings:SensorSettings",
    "fetch": "eudaemon.payload.fetch.policy:FetchSettings",
    "farm": "eudaemon.farm.settings:FarmSettings",
    "alerts": "eudaemon.evidence.settings:AlertSettings",
    "watch": "eudaemon.possession.policies:WatchSettings",
}
FILE_BYTES_MAX = 1024 * 1024
TABLES_MAX = 64  # in one list of tables
T = TypeVar("T")
_Wrong: TypeAlias = tuple[tuple[str, ...], str]  # the setting, and what is wrong with it


class SettingsError(Exception):
    """A settings file that cannot be used. Each complaint names file, line and what to do."""

    def __init__(self, *complaints: str) -> None:
        super().__init__(*complaints)
        self.complaints = complaints

    def __str__(self) -> str:
        return "\n".join(self.complaints)


class Document:
    """A settings file as read, with the line of everything in it. No file is a file with nothing in it."""

    def __init__(self, text: str = "", name: str = "settings") -> None:
        self.name = name
        try:
            self.values = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            found = re.search(r"^(.*) \(at line (\d+), column \d+\)$", str(error))
            line, what = (int(found[2]), found[1]) if found else (len(text.splitlines()), str(error))
            raise SettingsError(f"{name}:{line}: no TOML: {what}") from None
        self._lines = dict(_lines(text))

    def part(self, name: str, kind: type[T]) -> T:
        """Return the settings of one part. Raises `SettingsError` with all that is wrong in it."""
        wrong: list[_Wrong] = []
        found = self._section((name,), self.values.get(name, {}), kind, wrong)
        if found is None or wrong:
            raise self._error(wrong)
        return found

    def only(self, *names: str) -> None:
        """Raise `SettingsError` if there are other sections than these."""
        others = [name for name in self.values if name not in names]
        if others:
            raise self._error(
                [((name,), f"there is no section [{name}]; there is {', '.join(names)}") for name in others]
            )

    def check(self) -> None:
        """Validate every part that is installed. Raises `SettingsError` with all that is wrong, in the file's order."""
        wrong: list[_Wrong] = [
            ((name,), f"there is no section [{name}]; there are {', '.join(PARTS)}")
            for name in self.values
            if name not in PARTS
        ]
        for name in PARTS:
            if is_installed(name):
                self._section((name,), self.values.get(name, {}), kind_of(name), wrong)
            elif name in self.values:
                wrong.append(((name,), f"[{name}] is set, but this installation has no {name}"))
        if wrong:
            raise self._error(wrong)

    def _error(self, wrong: list[_Wrong]) -> SettingsError:
        """Return the error for these, each with the line on which the setting (or its section) stands."""
        placed = sorted(((self._line(key), what) for key, what in wrong), key=lambda entry: entry[0])
        return SettingsError(
            *(f"{self.name}:{line}: {what}" if line else f"{self.name}: {what}" for line, what in placed)
        )

    def _line(self, key: tuple[str, ...]) -> int:
        return next((self._lines[key[:n]] for n in range(len(key), 0, -1) if key[:n] in self._lines), 0)

    def _section(self, key: tuple[str, ...], values: object, kind: type[T], wrong: list[_Wrong]) -> T | None:
        """Return a section's settings, or None if something in it is wrong, which is added to `wrong`."""
        if not isinstance(values, dict):
            wrong.append((key, f"{'.'.join(key)} must be a section"))
            return None
        wrong_before = len(wrong)
        declared = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]
        for name in values:
            if name not in declared:
                near = _nearest(name, declared)
                wrong.append(((*key, name), f"there is no setting {'.'.join((*key, name))}{near}"))
        hints = get_type_hints(kind)
        found: dict[str, Any] = {}
        for name, declaration in declared.items():
            if is_dataclass(hints[name]):
                found[name] = self._section((*key, name), values.get(name, {}), hints[name], wrong)
            elif (table := _table_of(hints[name])) is not None:
                found[name] = self._tables((*key, name), values.get(name, []), table, wrong)
            elif name in values:
                try:
                    found[name] = _value(".".join((*key, name)), values[name], hints[name], _option(declaration))
                except ValueError as error:
                    wrong.append(((*key, name), str(error)))
        if len(wrong) > wrong_before:
            return None
        try:
            return kind(**found)
        except ValueError as error:  # what no single setting is to blame for
            wrong.append((key, f"[{'.'.join(key)}] {error}"))
            return None

    def _tables(self, key: tuple[str, ...], values: object, kind: type[T], wrong: list[_Wrong]) -> tuple[T, ...]:
        """Return a list of tables' settings, without those in which something is wrong, which is added to `wrong`."""
        if not isinstance(values, list):
            wrong.append((key, f"{'.'.join(key)} must be a list of tables: [[{'.'.join(key)}]]"))
            return ()
        if len(values) > TABLES_MAX:
            wrong.append((key, f"there are {len(values)} of [[{'.'.join(key)}]]; there may be {TABLES_MAX}"))
        found = (self._section((*key, str(n)), one, kind, wrong) for n, one in enumerate(values[:TABLES_MAX], 1))
        return tuple(one for one in found if one is not None)


def read(path: Path | None) -> Document:
    """Read and validate a settings file; None gives the defaults. Raises `SettingsError`."""
    if path is None:
        return Document()
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
    if len(raw) > FILE_BYTES_MAX:
        raise SettingsError(f"{path}: over {FILE_BYTES_MAX} bytes")
    try:
        document = Document(raw.decode("utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}:{raw[: error.start].count(10) + 1}: no UTF-8") from None
    document.check()
    return document


def is_installed(part: str) -> bool:
    """Say whether a part is there."""
    module = PARTS[part].partition(":")[0]
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def kind_of(part: str) -> type[Any]:
    """Return the dataclass of a part's settings."""
    module, _, name = PARTS[part].partition(":")
    kind: type[Any] = getattr(import_module(module), name)
    return kind


def declared(kind: type[Any], key: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Field[Any], Any]]:
    """Yield every setting below a section as (key, field, type), sections after the settings beside them."""
    hints = get_type_hints(kind)
    sections = []
    for field in fields(kind):
        if is_dataclass(hints[field.name]):
            sections.append((hints[field.name], (*key, field.name)))
        elif (table := _table_of(hints[field.name])) is not None:
            sections.append((table, (*key, f"{field.name}[]")))
        else:
            yield (*key, field.name), field, hints[field.name]
    for section, section_key in sections:
        yield from declared(section, section_key)


def example() -> str:
    """Return a settings file with every setting at its default, commented out, and what each means."""
    out = ["# Eudaemon's settings. Every line here is the default: remove the `#` to change it.", ""]
    last: tuple[str, ...] = ()
    for part in PARTS:
        for key, field, hint in declared(kind_of(part), (part,)):
            if key[:-1] != last:
                last = key[:-1]
                out += ["", _header(last) if last[-1][-1] != "]" else f"# {_header(last)}"]  # none is the default
            known = _option(field)
            mark = "#" if last[-1][-1] != "]" else "#   "
            out += [f"# {known.says}{_bounds(known)}", f"{mark}{key[-1]} = {_toml(field.default, hint)}"]
    return "\n".join(out) + "\n"


def document() -> str:
    """Return docs/settings.md: every setting, its default and what it means."""
    out = [
        "# Settings",
        "",
        "One TOML file, named with `--config`; without one, these defaults hold. It is validated whole at start, and",
        "what is wrong is named with its line. `eudaemon settings` prints a file with every default, and",
        "`eudaemon settings --markdown` makes this page.",
    ]
    last: tuple[str, ...] = ()
    for part in PARTS:
        for key, field, hint in declared(kind_of(part), (part,)):
            if key[:-1] != last:
                last = key[:-1]
                out += ["", f"## {_header(last)}", "", "| setting | default | meaning |", "|---|---|---|"]
            known = _option(field)
            row = [f"`{key[-1]}`", f"`{_toml(field.default, hint)}`", f"{known.says}{_bounds(known)}"]
            out.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
    return "\n".join(out) + "\n"


def _table_of(hint: Any) -> type[Any] | None:
    """Return the dataclass of a list of tables, None for any other type."""
    kind = next(iter(get_args(hint)), None)
    return kind if isinstance(kind, type) and is_dataclass(kind) else None


def _header(key: tuple[str, ...]) -> str:
    """Return a section's header; that of a list's tables, whose key ends with `[]`, has two brackets."""
    name = ".".join(key)
    return f"[[{name.removesuffix('[]')}]]" if name.endswith("[]") else f"[{name}]"


_TYPES = {int: "a whole number", float: "a number", str: "text in quotes", bool: "true or false"}
_HEADER = re.compile(r"^\s*\[\[?\s*([A-Za-z0-9_.\- \"']+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"^\s*([A-Za-z0-9_.\-\"']+)\s*=")


def _lines(text: str) -> Iterator[tuple[tuple[str, ...], int]]:
    """Yield where each key stands; good enough to point at it, as the file has already been read as TOML."""
    section: tuple[str, ...] = ()
    tables: dict[tuple[str, ...], int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            section = tuple(part.strip(" \"'") for part in header[1].split("."))
            if line.lstrip().startswith("[["):  # a table of a list: its number belongs to the key, from 1
                tables[section] = tables.get(section, 0) + 1
                section = (*section, str(tables[section]))
            yield section, number
        elif key := _KEY.match(line):
            yield (*section, *(part.strip("\"'") for part in key[1].split("."))), number


def _value(name: str, value: Any, hint: Any, known: Option) -> Any:
    """Return a setting's value as its type. Raises `ValueError` with what is wrong with it."""
    if hint is float and type(value) is int:
        value = float(value)
    if hint == tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ValueError(f"{name} must be a list of texts")
        value = tuple(value)
    elif type(value) is not hint:
        raise ValueError(f"{name} must be {_TYPES[hint]}, not {value!r}")
    if known.low is not None and value < known.low:
        raise ValueError(f"{name} is {value}; it must be at least {_number(known.low)}")
    if known.high is not None and value > known.high:
        raise ValueError(f"{name} is {value}; it must be at most {_number(known.high)}")
    if known.among and value not in known.among:
        raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(map(repr, known.among))}")
    if known.check is not None:
        try:
            known.check(value)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return value


def _option(field: Field[Any]) -> Option:
    known = field.metadata["option"]
    if not isinstance(known, Option):
        raise TypeError(f"{field.name} is not declared with option()")
    return known


def _nearest(name: str, names: dict[str, Any]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, names, 1)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(names)}"


def _bounds(known: Option) -> str:
    if known.among:
        return f" One of {', '.join(known.among)}."
    low, high = known.low, known.high
    if low is not None and high is not None:
        return f" From {_number(low)} to {_number(high)}."
    if low is not None:
        return f" At least {_number(low)}."
    return "" if high is None else f" At most {_number(high)}."


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"


def _toml(value: Any, hint: Any) -> str:
    import json

    if value is MISSING:
        return "(must be set)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "[" + ", ".join(json.dumps(item, ensure_ascii=False) for item in value) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return f"{float(value):g}" if hint is float else str(value)
