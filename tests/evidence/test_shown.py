"""A report as people read it, and how it is kept."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from eudaemon.evidence import codec, html, text
from eudaemon.evidence.codec import EvidenceError
from eudaemon.evidence.dump import rows
from eudaemon.evidence.model import Evidence, Report, Window
from eudaemon.evidence.store import Store
from evidence.reports import HOSTILE, evidence

VOID = {"meta"}


class Reader(HTMLParser):
    """Reads a page: every element is closed, and none is what the page may not have."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.attributes: set[str] = set()
        self.words = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes |= {name for name, _ in attributes}
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes |= {name for name, _ in attributes}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def test_the_page_needs_nothing_and_lets_nothing_in() -> None:
    page = html.page(evidence().report)
    reader = Reader()
    reader.feed(page)
    assert not reader.open
    assert not reader.seen & {"script", "img", "link", "iframe", "object", "a", "form"}
    assert not reader.attributes & {"src", "href", "style", "onclick", "onload"}
    assert "url(" not in page
    assert "default-src 'none'" in page
    assert "prefers-color-scheme: dark" in page
    assert HOSTILE not in page
    assert "<script>" in reader.words  # as text
    assert 'class="cell culprit"' in page


def test_the_text_says_whose_bytes_they_are() -> None:
    page = text.page(evidence().report)
    assert "from offset 105 of what came from 192.0.2.7:4444" in page
    assert "the value itself: 8 bytes from offset 177" in page
    assert "\x1b" not in page
    assert all(line.isprintable() for line in page.splitlines())


def test_marked_bytes_stand_in_brackets() -> None:
    (row,) = rows(Window(0x1000, b"ABCDEFGH", bytes(8)), range(0x1002, 0x1004))
    assert row.text().startswith(" 41 42[43 44]45 46 47 48 ")
    first, second = rows(Window(0x100E, b"ABCD", b"\0\1\1\0"))
    assert (first.text().split()[:2], second.address, second.marks) == (["41[42]", "AB"], 0x1010, "t ")


def test_json_comes_back_as_it_was() -> None:
    report = evidence().report
    assert codec.loads(codec.dumps(report)) == report


@pytest.mark.parametrize("wrong", ["", "[]", "{}", "null", '{"version": 1}', "[" * 100_000])
def test_what_is_no_report_is_said_to_be_none(wrong: str) -> None:
    with pytest.raises(EvidenceError):
        codec.loads(wrong)


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Report)])
def test_a_field_of_another_type_is_refused(field: str) -> None:
    document = json.loads(codec.dumps(evidence().report))
    document[field] = {"surprise": 1}
    with pytest.raises(EvidenceError):
        codec.loads(json.dumps(document))


def numbered(number: int) -> Evidence:
    one = evidence()
    return Evidence(dataclasses.replace(one.report, id=f"2026-{number:03}"), one.files)


def test_the_oldest_are_dropped(tmp_path: Path) -> None:
    store = Store(tmp_path / "alerts", count_max=3, bytes_max=1 << 30)
    assert [store.keep(numbered(number)) for number in range(5)] == [0, 0, 0, 1, 1]
    assert store.ids() == ["2026-004", "2026-003", "2026-002"]
    assert store.load("2026-003") == numbered(3)


def test_the_bytes_are_limited_and_the_newest_stays(tmp_path: Path) -> None:
    store = Store(tmp_path / "alerts", count_max=100, bytes_max=1)
    assert [store.keep(numbered(number)) for number in range(3)] == [0, 1, 1]
    assert store.ids() == ["2026-002"]


def test_a_broken_one_is_named_and_the_others_are_shown(tmp_path: Path) -> None:
    store = Store(tmp_path / "alerts", count_max=9, bytes_max=1 << 30)
    for number in range(2):
        store.keep(numbered(number))
    (tmp_path / "alerts" / "2026-000" / "report.json").write_text("{")
    good, broken = store.reports()
    assert isinstance(good, Report)
    assert isinstance(broken, EvidenceError)
    assert "2026-000" in broken.reason


def test_what_was_never_finished_is_not_listed_and_goes(tmp_path: Path) -> None:
    store = Store(tmp_path / "alerts", count_max=9, bytes_max=1 << 30)
    (tmp_path / "alerts" / ".new-4194304-x").mkdir(parents=True)
    assert store.ids() == []
    store.keep(numbered(1))
    assert [place.name for place in (tmp_path / "alerts").iterdir()] == ["2026-001"]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "eudaemon", "alert", *words], capture_output=True, text=True)


def test_alerts_as_one_types_it(tmp_path: Path) -> None:
    place = ["--data", str(tmp_path)]
    assert run("list", *place).returncode == 1
    store = Store(tmp_path / "alerts", count_max=9, bytes_max=1 << 30)
    for number in range(2):
        store.keep(numbered(number))
    lines = run("list", *place).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["2026-000", "2026-001"]
    assert json.loads(run("list", "--json", *place).stdout.splitlines()[0])["id"] == "2026-000"
    shown = run("show", "last", *place).stdout
    assert shown.startswith("ALERT 2026-001\n")
    assert f"Files: {tmp_path}/alerts/2026-001\n  → eudaemon analyze {tmp_path}/alerts/2026-001/code.bin\n" in shown
    analyze = shown.splitlines()[-1].split()[2:]
    assert subprocess.run([sys.executable, "-m", "eudaemon", *analyze], capture_output=True).returncode == 0
    assert codec.loads(run("show", "2026-000", "--json", *place).stdout) == numbered(0).report
    assert run("show", "2026-001", "--html", str(tmp_path / "a.html"), *place).returncode == 0
    assert (tmp_path / "a.html").read_text() == html.page(numbered(1).report)
    vague, none = run("show", "2026", *place), run("show", "2027", *place)
    assert (vague.returncode, none.returncode) == (3, 3)
    assert "2 alerts begin with 2026" in vague.stderr
    assert "there is no alert 2027" in none.stderr
