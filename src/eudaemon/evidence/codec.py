"""A report as JSON and back: dataclasses are objects, bytes hexadecimal text, tuples lists."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from typing import Any

from eudaemon.evidence.model import VERSION, Report


class EvidenceError(Exception):
    """A report that cannot be read, or is not there; and what to do about it."""

    def __init__(self, reason: str, do: str = "") -> None:
        super().__init__(f"{reason}; {do}" if do else reason)
        self.reason = reason
        self.do = do


def dumps(report: Report, indent: int | None = 1) -> str:
    """Return a report as JSON, for files and people."""
    return json.dumps(_plain(report), indent=indent)


def loads(text: str | bytes) -> Report:
    """Read a report. Raises `EvidenceError` where it is none, or one of a later version."""
    try:
        document = json.loads(text)
        if document["version"] != VERSION:
            raise EvidenceError(f"the report is of version {document['version']}, this program reads {VERSION}")
        report: Report = _filled(Report, document)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise EvidenceError(f"this is no report of an alert: {error!r}") from None
    return report


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _filled(kind: Any, value: Any) -> Any:
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return typing.cast("Any", kind)(
            **{name: _filled(hint, value[name]) for name, hint in hints.items() if name in value}
        )
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        inner = next(part for part in typing.get_args(kind) if part is not type(None))
        return None if value is None else _filled(inner, value)
    if origin is tuple:
        if not isinstance(value, list):
            raise TypeError(f"a list was expected, not {value!r:.40}")
        return tuple(_filled(typing.get_args(kind)[0], item) for item in value)
    if kind is bytes:
        return bytes.fromhex(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind:
        raise TypeError(f"{kind.__name__} was expected, not {value!r:.40}")
    return value
