"""A report is shown whatever a sensor has written into it, and no more of it than a page can bear."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eudaemon.evidence.model import Window
from eudaemon.evidence.words import labels
from eudaemon.farm.api import alerts
from eudaemon.farm.api.alerts import alert_shown
from evidence.reports import evidence

REPORT = evidence().report
CULPRIT = REPORT.culprits[0]


def test_whose_bytes_and_where() -> None:
    shown = alert_shown(REPORT)
    first = shown.pictures[0]
    assert first.title.startswith("Input from 192.0.2.7:4444")
    assert sum(row.marks.count("c") for row in first.rows) == CULPRIT.core_size
    assert bytes.fromhex("".join(row.data for row in first.rows)) == CULPRIT.around.data
    assert [line.text for line in shown.code if line.here] == ["ret"]
    assert "\x1b" not in shown.model_dump_json().encode().decode("unicode_escape")


def test_registers_and_the_memory_map_are_those_of_the_report() -> None:
    shown = alert_shown(REPORT)
    values = [(name, int(value, 16), tags) for name, value, tags in shown.registers]
    wanted = [(one.name, one.value, labels(one.tags)) for one in REPORT.registers]
    assert values == [*wanted, ("flags", REPORT.rflags, "")]
    assert [rights for _, rights, _ in shown.maps] == [one.rights for one in REPORT.maps]
    assert shown.maps[0][0] == f"{REPORT.maps[0].begin:#x}–{REPORT.maps[0].end:#x}"
    hostile = replace(REPORT, maps=(replace(REPORT.maps[0], path="\x1b[2J\u202e"),))
    assert alert_shown(hostile).maps[0][2] == "\\x1b[2J\\u202e"


def test_limits() -> None:
    def picture(rows: int) -> tuple[int, bool]:
        window = Window(0x1000, bytes(16 * rows))
        found = alert_shown(replace(REPORT, culprits=(), place=0, place_window=None, stack=window)).pictures[-1]
        return len(found.rows), found.truncated

    assert picture(alerts.ROWS_MAX) == (alerts.ROWS_MAX, False)
    assert picture(alerts.ROWS_MAX + 1) == (alerts.ROWS_MAX, True)
    assert len(alert_shown(replace(REPORT, culprits=(CULPRIT,) * 20)).pictures) == alerts.PICTURES_MAX
    many = replace(REPORT, code=REPORT.code[:1] * 300, frames=REPORT.frames[:1] * 300)
    assert (len(alert_shown(many).code), len(alert_shown(many).frames)) == (alerts.LINES_MAX, alerts.LINES_MAX)
    for more in (0, 1):
        areas = REPORT.maps[:1] * (alerts.AREAS_MAX + more)
        registers = REPORT.registers[:1] * (alerts.REGISTERS_MAX + more)
        shown = alert_shown(replace(REPORT, maps=areas, registers=registers))
        assert (len(shown.maps), len(shown.registers)) == (alerts.AREAS_MAX, alerts.REGISTERS_MAX + 1)


@pytest.mark.parametrize("offset", [-1, 0, 2**70, -(2**70)])
def test_a_culprit_beside_its_window_costs_nothing(offset: int) -> None:
    shown = alert_shown(replace(REPORT, culprits=(replace(CULPRIT, offset=offset),)))
    assert len(shown.pictures[0].rows) < alerts.ROWS_MAX


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(ValueError, match="begins at -1"):
        alert_shown(replace(REPORT, stack=Window(-1, b"x")))
    with pytest.raises((ValueError, OverflowError)):
        alert_shown(replace(REPORT, at_s=1e300))
