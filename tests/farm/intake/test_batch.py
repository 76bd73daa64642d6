"""Whatever is uploaded, it is either refused with its line or becomes rows that the engine takes."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eudaemon.events import Unknown, to_json
from eudaemon.events import catalogue as facts
from eudaemon.farm.geo import Place
from eudaemon.farm.intake.batch import BatchError, read_batch
from eudaemon.farm.settings import Intake, StoreSettings
from eudaemon.farm.store import Row
from eudaemon.farm.store.chdb import Chdb
from eudaemon.farm.store.schema import COLUMNS
from farm.farms import NOW_S, body, event

LIMITS = Intake()
GOOD = body([event(facts.LoginTried("root", "x", accepted=True)), event(facts.SessionOpened("tcp", "telnet"))])

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def read(data: bytes) -> list[Row]:
    try:
        return read_batch(data, "lab", NOW_S, LIMITS, lambda ip: Place("NL", 1, "x")).rows
    except BatchError as error:
        refused = error
    assert refused.status in (400, 403, 413)
    assert refused.line >= 1
    assert str(refused)
    return []


def check(rows: list[Row]) -> None:
    for row in rows:
        values = json.loads(row.line() + b",7]")
        assert len(values) == len(COLUMNS)
        assert row.line()[2:38].decode() == values[0]
        json.loads(values[-2])
        json.dumps(row.shown(), allow_nan=False)


@given(st.binary(max_size=500))
def test_random_bytes(data: bytes) -> None:
    check(read(data))


@given(st.data())
def test_a_good_batch_with_a_few_bytes_changed(data: st.DataObject) -> None:
    changed = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 6))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    check(read(bytes(changed)))


@given(st.integers(0, len(GOOD)))
def test_a_good_batch_cut_off_anywhere(length: int) -> None:
    rows = read(GOOD[:length])
    assert len(rows) == (2 if length >= len(GOOD) - 1 else 0)


BLOCKS = itertools.count()
NAMES = ("id", "time", "sensor", "session", "attacker", "local", "kind", "v", "user", "accepted", "new")


@given(st.sampled_from(NAMES), json_values)
def test_any_value_in_any_place(name: str, value: object) -> None:
    line = json.loads(to_json(event(facts.LoginTried("root", "x", accepted=True))))
    line[name] = value
    check(read(body([json.dumps(line)])))


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "1970-01-01T00:00:00Z"])
def test_the_ends_of_time(time: str) -> None:
    line = json.loads(to_json(event(facts.CommandEntered("ls"))))
    rows = read(body([json.dumps({**line, "time": time})]))
    assert len(rows) == 1
    check(rows)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(st.tuples(st.text(max_size=30), st.dictionaries(st.text(max_size=8), json_values, max_size=3)), max_size=5)
)
def test_the_engine_takes_every_row_that_was_acknowledged(
    tmp_path: Path, said: list[tuple[str, dict[str, object]]]
) -> None:
    events = [event(facts.CommandEntered(text)) for text, _ in said]
    events += [
        event(Unknown("new.kind", {k: v for k, v in values.items() if k not in _ENVELOPE})) for _, values in said
    ]
    lines = []
    for one in events:
        lines += [row.line() for row in read(body([to_json(one)]))]
    engine = Chdb(tmp_path / "engine", StoreSettings())
    engine.create()
    try:
        before = engine.query("SELECT count() AS n FROM events", {})[0]["n"]
        engine.insert(next(BLOCKS), lines, again=False)
        assert engine.query("SELECT count() AS n FROM events", {})[0]["n"] == before + len(lines)
    finally:
        engine.close()


_ENVELOPE = {"v", "id", "time", "sensor", "session", "attacker", "local", "kind"}
