"""The docs that are made from the code are up to date, and what the docs name is there."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import tomllib
from types import ModuleType

import pytest

from eudaemon.cli import COMMANDS
from eudaemon.events import KINDS, fields_of
from eudaemon.farm.outputs.formats import FORMATS
from eudaemon.payload.fetch.policy import SCHEMES
from eudaemon.protocols import ROOMS
from eudaemon.sensor.settings import SensorSettings
from tidy.tree import ROOT, SOURCE, parsed

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def _maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_docs", ROOT / "packaging" / "make_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_events_is_the_catalogue() -> None:
    page = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
    assert page == _maker().events_page(), "docs/events.md is not up to date: make docs"


def test_the_page_of_formats_is_their_tables() -> None:
    page = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    assert page == _maker().formats_page(), "docs/formats.md is not up to date: make docs"


def test_every_fact_and_field_is_described() -> None:
    for kind, fact in KINDS.items():
        assert re.fullmatch(r"[a-z]+\.[a-z]+", kind), kind
        assert (fact.__doc__ or "").strip().endswith("."), kind
        for field in fields_of(fact):
            assert field.metadata.get("says"), f"{kind}.{field.name}"


def test_the_map_shows_every_part_and_what_rooms_share() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    parts = {p.name + "/" if p.is_dir() else p.name for p in SOURCE.iterdir() if not p.name.startswith(("_", "py."))}
    assert sorted(part for part in parts if f"`{part}`" not in page) == []
    for name in re.findall(r"[ `](_[a-z]+)\b", page):
        assert list((SOURCE / "protocols").glob(f"{name}*")), name
    for name in re.findall(r"`([a-z]+/[a-z_/.]+)`", page):
        assert (SOURCE / name).exists() or (ROOT / name).exists() or (ROOT / "native" / "seal" / name).exists(), name


@pytest.mark.parametrize(
    "page", sorted(p.relative_to(ROOT).as_posix() for p in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
)
def test_links_lead_somewhere(page: str) -> None:
    path = ROOT / page
    wrong = []
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:", target) and not (path.parent / target).exists():
            wrong.append(target)
    assert not wrong


@pytest.mark.parametrize("page", ["README.md"])
def test_commands_in_the_readme_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(
        re.findall(r"\beudaemon ([a-z]+)", " ".join(re.findall(r"`[^`]+`|^    .*$|^\$ .*$", text, re.MULTILINE)))
    )
    assert named <= set(COMMANDS) | {"honeynet"}


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [*project["project"]["dependencies"]]
    for group in (*project["project"]["optional-dependencies"].values(), *project["dependency-groups"].values()):
        wanted += [entry for entry in group if isinstance(entry, str)]
    names = {re.split(r"[\[<>=~; ]", entry)[0] for entry in wanted} - {"eudaemon-honeynet"}
    page = (ROOT / "docs" / "decisions" / "dependencies.md").read_text(encoding="utf-8")
    assert {name for name in names if f"**{name}**" not in page} == set()


def test_every_room_can_be_found() -> None:
    """In the README, in the page of rooms, among the ports that are listened to by default, and on the farm's page."""
    readme, rooms = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/rooms.md"))
    listening = " ".join(SensorSettings().listen)
    for name in ROOMS:
        assert f"| {name} |" in readme, name
        assert f"\n## {name}\n" in rooms, name
        assert re.search(rf"\b{name}\b", listening), name
    page = (ROOT / "src/eudaemon/farm/web/js/views/sessions.js").read_text(encoding="utf-8")
    listed = re.search(r"^const ROOMS = (\[.*?\]);", page, re.MULTILINE)
    assert listed is not None
    assert json.loads(listed[1]) == list(ROOMS)


def test_every_decision_is_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = set(re.findall(r"\]\(([a-z-]+\.md)\)", (folder / "README.md").read_text(encoding="utf-8")))
    assert listed == {page.name for page in folder.glob("*.md")} - {"README.md"}


def _capabilities() -> list[list[str]]:
    """Return the rows of docs/features.md as their cells: what it is about, ours, and the others'."""
    page = (ROOT / "docs" / "features.md").read_text(encoding="utf-8")
    rows = [line.strip("|").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row] for row in rows if row[0].strip() != "what"]


def test_whatever_is_said_of_us_beside_others_is_shown_by_tests_that_exist() -> None:
    shown = re.compile(r"\[(test_\w+)\]\(\.\./(tests/[\w/]+\.py)\)")
    for what, ours, *others in _capabilities():
        assert len(others) == 7, what
        assert set(others) <= {"yes", "partly", "no", "not documented"}, what
        says, _, tests = ours.partition(": [")
        assert says, what
        assert shown.fullmatch(f"[{tests}".split(", ")[0]), what
        for name, file in shown.findall(ours):
            functions = [node for node in parsed(ROOT / file).body if isinstance(node, _FUNCTIONS)]
            assert name in {function.name for function in functions}, f"{what}: {file}::{name}"


def test_every_room_scheme_and_format_stands_beside_others() -> None:
    rows = [what for what, *_ in _capabilities()]
    assert [what[1:-1] for what in rows if re.fullmatch(r"`\w+`", what)] == list(ROOMS)
    said = {word for what in rows for word in re.findall(r"\w+", what)}
    assert set(SCHEMES) <= said
    page = (ROOT / "docs" / "features.md").read_text(encoding="utf-8")
    outputs = page.partition("\n## Outputs\n")[2].partition("\n## ")[0].lower()
    assert [name for name in FORMATS if name not in outputs] == []
    assert "\n## Not here\n" in page
