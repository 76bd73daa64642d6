"""One event is one JSON object on one line; this is the only place that knows how.

    {"v":1,"id":"0193…","time":"2026-11-24T01:53:27.123456Z","sensor":"lab","session":"0193…",
     "attacker":{"ip":"203.0.113.9","port":40226},"local":{"ip":"192.0.2.1","port":23},
     "kind":"login.tried","user":"root","password":"xc3511","accepted":true}

A kind or a field that this version does not know is kept, not dropped.
"""

from __future__ import annotations

import json
from dataclasses import MISSING
from datetime import datetime
from typing import Any

from eudaemon.events.catalogue import KINDS, VERSION, Fact, Unknown, fields_of
from eudaemon.events.envelope import Endpoint, Event, rfc3339

_ENVELOPE = ("v", "id", "time", "sensor", "session", "attacker", "local", "kind")
_SHAPES: dict[str, tuple[type, ...]] = {"str": (str,), "str | None": (str, type(None)), "int": (int,),
                                        "float": (int, float), "bool": (bool,),
                                        "tuple[str, ...]": (list,)}  # fmt: skip
_FIELDS = {kind: tuple((f.name, _SHAPES[str(f.type)], f.default) for f in fields_of(fact))
           for kind, fact in KINDS.items()}  # fmt: skip
_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), check_circular=False).encode


class CodecError(ValueError):
    """A line that is no event. The message says what is wrong with it."""


def to_json(event: Event) -> str:
    """Return the event as one line of ASCII JSON, without a line end."""
    fact = event.fact
    values: dict[str, Any] = {"v": VERSION, "id": event.id, "time": rfc3339(event.at_s), "sensor": event.sensor}
    if event.session:
        values["session"] = event.session
    if event.attacker is not None:
        values["attacker"] = {"ip": event.attacker.ip, "port": event.attacker.port}
    if event.local is not None:
        values["local"] = {"ip": event.local.ip, "port": event.local.port}
    if isinstance(fact, Unknown):
        values["kind"] = fact.name
        values.update(fact.values)
    else:
        values["kind"] = fact.kind
        for name, _, _ in _FIELDS[fact.kind]:
            values[name] = getattr(fact, name)
    return _encode(values)


def from_json(line: str | bytes) -> Event:
    """Read one event.

    Raises `CodecError` if the line is no JSON object, lacks a part of the envelope or a field without
    a default, or has one of the wrong type.
    """
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise CodecError(f"no JSON: {str(error)[:120]}") from None
    if not isinstance(values, dict):
        raise CodecError("no JSON object")
    if values.get("v") != VERSION:
        raise CodecError(f"version {str(values.get('v'))[:20]!r} instead of {VERSION}")
    kind = _text(values, "kind")
    return Event(
        id=_id(_text(values, "id")),
        at_s=_time(_text(values, "time")),
        sensor=_text(values, "sensor"),
        fact=fact_of(kind, values),
        session=_id(values["session"]) if values.get("session") else "",
        attacker=_endpoint(values, "attacker"),
        local=_endpoint(values, "local"),
    )


def fact_of(kind: str, values: dict[str, Any]) -> Fact:
    """Return a fact from its fields; those of the envelope are passed over. Raises `CodecError`."""
    declared = _FIELDS.get(kind)
    extra = {name for name in values if name not in _ENVELOPE}
    if declared is None or extra - {name for name, _, _ in declared}:
        return Unknown(kind, {name: values[name] for name in sorted(extra)})
    found: dict[str, Any] = {}
    for name, shape, default in declared:
        if name in values:
            value = values[name]
            if not isinstance(value, shape) or (isinstance(value, bool) and bool not in shape):
                raise CodecError(f"{kind}: {name} has the wrong type")
            if isinstance(value, list):
                if not all(isinstance(item, str) for item in value):
                    raise CodecError(f"{kind}: {name} is not a list of text")
                value = tuple(value)
            found[name] = value
        elif default is MISSING:
            raise CodecError(f"{kind}: {name} is missing")
    return KINDS[kind](**found)


def _text(values: dict[str, Any], name: str) -> str:
    value = values.get(name)
    if not isinstance(value, str) or not value or len(value) > 128:
        raise CodecError(f"{name} is missing, empty, too long or no text")
    return value


def _id(value: object) -> str:
    if isinstance(value, str) and len(value) == 36 and value.count("-") == 4:
        try:
            if f"{int(value.replace('-', ''), 16):032x}" == value.replace("-", ""):
                return value
        except ValueError:
            pass
    raise CodecError(f"{str(value)[:40]!r} is no UUID")


def _time(value: str) -> float:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise CodecError(f"{value[:40]!r} is no time") from None
    if moment.tzinfo is None:
        raise CodecError(f"{value[:40]!r} has no time zone")
    return moment.timestamp()


def _endpoint(values: dict[str, Any], name: str) -> Endpoint | None:
    value = values.get(name)
    if value is None:
        return None
    if not isinstance(value, dict):
        raise CodecError(f"{name} is no endpoint")
    ip, port = value.get("ip"), value.get("port")
    if not isinstance(ip, str) or not 2 <= len(ip) <= 45 or type(port) is not int or not 0 <= port <= 65535:
        raise CodecError(f"{name} is no endpoint")
    return Endpoint(ip, port)
