"""The codec: what goes out comes back; what is no event is refused with the reason."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eudaemon.events import KINDS, CodecError, Endpoint, Event, Fact, IdSource, Unknown, fields_of, from_json, to_json

ID = "0193a5c1-7a10-7000-8000-0123456789ab"
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "str": st.text(max_size=50),
    "str | None": st.none() | st.text(max_size=50),
    "int": st.integers(0, 2**62),
    "float": st.floats(0, 1e9).map(lambda f: round(f, 6)),
    "bool": st.booleans(),
    "tuple[str, ...]": st.lists(st.text(max_size=9), max_size=3).map(tuple),
}
FACTS: st.SearchStrategy[Fact] = st.one_of(
    [st.builds(kind, **{f.name: VALUES[str(f.type)] for f in fields_of(kind)}) for kind in KINDS.values()]
)


@given(fact=FACTS, at_us=st.integers(0, 4_000_000_000_000_000), port=st.integers(0, 65535))
def test_what_goes_out_comes_back(fact: Fact, at_us: int, port: int) -> None:
    event = Event(ID, at_us / 1e6, "lab", fact, ID, Endpoint("2001:db8::7", port), Endpoint("192.0.2.1", 23))
    line = to_json(event)
    assert "\n" not in line
    assert line.isascii()
    back = from_json(line)
    assert back.fact == fact
    assert (back.id, back.sensor, back.session, back.attacker, back.local) == (
        event.id, event.sensor, event.session, event.attacker, event.local,
    )  # fmt: skip
    assert abs(back.at_s - event.at_s) < 2e-6


def test_a_kind_from_the_future_is_kept() -> None:
    line = json.dumps(
        {"v": 1, "id": ID, "time": "2026-11-24T00:00:00Z", "sensor": "x", "kind": "tea.made", "cups": [1]}
    )
    event = from_json(line)
    assert event.fact == Unknown("tea.made", {"cups": [1]})
    assert json.loads(to_json(event))["cups"] == [1]


def test_a_field_from_the_future_is_kept() -> None:
    values = {"v": 1, "id": ID, "time": "2026-11-24T00:00:00Z", "sensor": "x", "kind": "peer.faulted"}
    event = from_json(json.dumps({**values, "room": "telnet", "reason": "r", "mood": "sour"}))
    assert json.loads(to_json(event))["mood"] == "sour"


GOOD = {
    "v": 1,
    "id": ID,
    "time": "2026-11-24T00:00:00Z",
    "sensor": "x",
    "kind": "peer.faulted",
    "room": "a",
    "reason": "b",
}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"v": 2}, "version"),
        ({"id": "x"}, "no UUID"),
        ({"id": ID[:-1] + "g"}, "no UUID"),
        ({"time": "yesterday"}, "no time"),
        ({"time": "2026-11-24T00:00:00"}, "no time zone"),
        ({"sensor": ""}, "sensor"),
        ({"sensor": "s" * 129}, "sensor"),
        ({"kind": None}, "kind"),
        ({"room": 7}, "room has the wrong type"),
        ({"session": "x"}, "no UUID"),
        ({"attacker": {"ip": "1.2.3.4", "port": 65536}}, "attacker"),
        ({"attacker": {"ip": "1.2.3.4", "port": True}}, "attacker"),
        ({"attacker": "1.2.3.4"}, "attacker"),
        ({"kind": "command.entered", "line": "x", "unknown": [1]}, "not a list of text"),
        ({"kind": "login.tried"}, "user is missing"),
    ],
)
def test_what_is_no_event_is_refused(change: dict[str, Any], complaint: str) -> None:
    values = {**GOOD, **change}
    if "kind" in change and change["kind"] != "peer.faulted":
        values = {k: v for k, v in values.items() if k not in ("room", "reason")}
    with pytest.raises(CodecError, match=complaint):
        from_json(json.dumps(values))


@pytest.mark.parametrize("line", ["", "[]", "7", "{", "[" * 100_000, b"\xff\xfe", '{"v":1}'])
def test_what_is_no_json_object_is_refused(line: str | bytes) -> None:
    with pytest.raises(CodecError):
        from_json(line)


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_not_fatal(line: bytes) -> None:
    with pytest.raises(CodecError):
        from_json(line)


def test_ids_increase_even_when_the_clock_steps_back() -> None:
    source = IdSource(lambda n: b"\xff" * n)
    ids = [source.new(1_700_000_000.0 - i / 1000) for i in range(10_000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    assert all(i[14] == "7" and i[19] in "89ab" for i in ids)
