"""What the engine and this package agree on, read from `seal.abi.json`, which the crate's `examples/abi.rs` prints.

So that each fact is written down once, in `native/seal/src/abi.rs`; here stand only the names that are used.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VERSION = 5  # of the contract that this package speaks
_FORMATS = {1: "B", 4: "I", 8: "Q"}


@dataclass(frozen=True, slots=True)
class Field:
    """Where a field of a record lies, and how long it is."""

    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Record:
    """A `repr(C)` record: its length, and its fields."""

    size: int
    fields: Mapping[str, Field]

    def __getitem__(self, name: str) -> Field:
        return self.fields[name]

    def pack(self, into: bytearray, at: int = 0, **values: int) -> None:
        """Write numbers into the record that begins at byte `at` of a buffer."""
        for name, value in values.items():
            field = self.fields[name]
            struct.pack_into("<" + _FORMATS[field.size], into, at + field.offset, value)

    def unpack(self, data: bytes, *names: str, at: int = 0) -> tuple[int, ...]:
        """Read numbers out of the record that begins at byte `at`."""
        return tuple(
            struct.unpack_from("<" + _FORMATS[self.fields[name].size], data, at + self.fields[name].offset)[0]
            for name in names
        )


class AbiError(Exception):
    """The engine at hand speaks another contract than this package."""


class Abi:
    """Constants by name (`mode::NONE`) and records by name (`Context`)."""

    def __init__(self, document: Mapping[str, Mapping[str, Any]]) -> None:
        self.constants: dict[str, int] = {name: int(value) for name, value in document["constants"].items()}
        self.records = {name: _record(entry) for name, entry in document["records"].items()}
        if self["VERSION"] != VERSION:
            raise AbiError(f"the engine speaks version {self['VERSION']} of the contract, this package {VERSION}")

    @staticmethod
    def load(path: Path) -> Abi:
        """Read the file."""
        return Abi(json.loads(path.read_text(encoding="utf-8")))

    def __getitem__(self, name: str) -> int:
        return self.constants[name]

    def name_of(self, group: str, value: int) -> str:
        """Return the name of a constant in a group, in lower case: `name_of("mode", 1)` is `shadow`."""
        for name, known in self.constants.items():
            if known == value and name.startswith(group + "::"):
                return name.removeprefix(group + "::").lower().replace("_", " ")
        return str(value)


def _record(entry: Any) -> Record:
    return Record(entry["bytes"], {name: Field(*place) for name, place in entry["fields"].items()})
