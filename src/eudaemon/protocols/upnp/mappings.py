"""The ports that an address has the gateway forward: remembered for its next call, never forwarded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from eudaemon.protocols._base import Visit
from eudaemon.protocols._soap import Call

MAPPINGS_MAX = 32  # of one address
_MEMORY = "upnp"
_FIELDS = (
    "NewRemoteHost", "NewExternalPort", "NewProtocol", "NewInternalPort", "NewInternalClient",
    "NewPortMappingDescription", "NewLeaseDuration",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mapping:
    """One forwarded port, as its seven values in the order of `_FIELDS`."""

    values: tuple[str, ...]

    @property
    def key(self) -> tuple[str, str]:
        """What no two have: external port and protocol."""
        return self.values[1], self.values[2].upper()

    @property
    def client(self) -> str:
        """Whom it leads to."""
        return self.values[4]

    def told(self) -> dict[str, str]:
        """Return it as GetGenericPortMappingEntry does."""
        return {**dict(zip(_FIELDS, self.values, strict=True)), "NewEnabled": "1"}


class Mappings:
    """What one address has set up so far."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        text = visit.memory.recall(_MEMORY, visit.attacker.ip).decode("utf-8", "replace")
        rows = [tuple(line.split("\t")) for line in text.split("\n")]
        self._known = {one.key: one for one in (Mapping(row) for row in rows if len(row) == len(_FIELDS))}

    def __iter__(self) -> Iterator[Mapping]:
        return iter(self._known.values())

    def find(self, call: Call) -> Mapping | None:
        """Return the mapping that a call names."""
        return self._known.get((call.value("NewExternalPort"), call.value("NewProtocol").upper()))

    def add(self, call: Call) -> Mapping | None:
        """Note a mapping; None if there are too many."""
        values = (" ".join(call.value(name).split()) for name in _FIELDS)
        mapping = Mapping(tuple(values))
        if mapping.key not in self._known and len(self._known) >= MAPPINGS_MAX:
            return None
        self._known[mapping.key] = mapping
        self._remember()
        return mapping

    def drop(self, call: Call) -> bool:
        """Forget a mapping; say whether there was one."""
        found = self.find(call)
        if found is None:
            return False
        del self._known[found.key]
        self._remember()
        return True

    def _remember(self) -> None:
        text = "\n".join("\t".join(one.values) for one in self)
        self._visit.memory.remember(_MEMORY, self._visit.attacker.ip, text.encode("utf-8", "replace"))
