"""One installation's node and its indices, drawn; and what one address has dropped and written, remembered for it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from eudaemon.protocols._base import Visit
from eudaemon.world.container import container_of
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed

INDICES_MAX = 32  # that an address makes and that are remembered
DOCUMENTS_MAX = 24  # of one address, of all indices together
DOCUMENT_CHARS_MAX = 1500
BRACKETS_MAX = 64  # in a document that is remembered
NAME_CHARS_MAX = 64
SHARDS = 5
_MEMORY = "elasticsearch"


@dataclass(frozen=True, slots=True)
class Release:
    """One version, as it names itself."""

    number: str
    build: str
    built: str
    lucene: str
    names_cluster: bool  # whether the first page tells the cluster's name


# Those in which a search's script runs programs: MVEL until 1.1, Groovy's box with a hole until 1.4.2.
RELEASES = (
    Release("1.1.0", "2181e113dea80b4a9e31e58e9686658a2d46e363", "2014-03-25T15:59:51Z", "4.7", False),
    Release("1.1.1", "f1585f096d3f3985e73456debdc1a0745f512bbc", "2014-04-16T14:27:12Z", "4.7", False),
    Release("1.3.4", "a70f3ccb52200f8f2c87e9c370c6597448eb3e45", "2014-09-30T09:07:17Z", "4.9", False),
    Release("1.4.1", "89d3241d670db65f994242c8e8383b169779e2d4", "2014-11-26T15:49:29Z", "4.10.2", True),
    Release("1.4.2", "927caff6f05403e936c20bf4529f144f0c89fd8c", "2014-12-16T14:11:12Z", "4.10.2", True),
)  # fmt: skip
# A node that is given no name takes one of Marvel's.
_NAMES = ("Northstar", "Bobster", "Scarlet Beetle", "Silvermane", "Master Khan", "Jack Power", "Phoenix", "Techno",
          "Darkhawk", "Gargouille", "Wolfsbane", "Tyrannus", "Vishanti", "Black Talon", "Ultragirl", "Sagittarius",
          "Fury", "Mop Man", "Iron Man", "Logan", "Jumbo Carnation", "D-Man", "Scarlet Spider")  # fmt: skip
_FIRST = ("Anna", "Ben", "Carla", "David", "Elena", "Frank", "Grace", "Hugo", "Irene", "James", "Karin", "Luis")
_LAST = ("Meyer", "Smith", "Rossi", "Dubois", "Novak", "Silva", "Jansen", "Kowalski", "Brown", "Lopez", "Weber")
_CITIES = ("Hamburg", "Leeds", "Turin", "Lyon", "Brno", "Porto", "Utrecht", "Gdansk", "Austin", "Valencia")
_GOODS = ("cable", "lamp", "chair", "filter", "adapter", "bracket", "kettle", "jacket", "bottle", "router")
_STATES = ("paid", "shipped", "open", "returned")
# Index, type, and the values of each field: a choice, or a number below.
_KINDS: tuple[tuple[str, str, dict[str, tuple[str, ...] | int]], ...] = (
    ("customers", "customer", {"firstname": _FIRST, "lastname": _LAST, "city": _CITIES, "orders": 40}),
    ("users", "user", {"firstname": _FIRST, "lastname": _LAST, "active": 2, "logins": 900}),
    ("orders", "order", {"customer": 90_000, "item": _GOODS, "status": _STATES, "cents": 40_000}),
    ("products", "product", {"title": _GOODS, "stock": 400, "cents": 40_000}),
    ("shop", "article", {"title": _GOODS, "city": _CITIES, "cents": 40_000}),
    ("accounts", "account", {"firstname": _FIRST, "lastname": _LAST, "balance": 50_000, "city": _CITIES}),
)


@dataclass(frozen=True, slots=True)
class Index:
    """One index that was there before anybody came."""

    name: str
    kind: str
    fields: dict[str, tuple[str, ...] | int]
    count: int
    seed: Seed

    def document(self, number: int) -> dict[str, Any]:
        """Return one of its documents."""
        found: dict[str, Any] = {}
        for name, values in self.fields.items():
            purpose = f"{number} {name}"
            found[name] = (
                self.seed.number(purpose, values) if isinstance(values, int) else self.seed.choice(purpose, values)
            )
        return found


@dataclass(frozen=True, slots=True)
class Cluster:
    """One sensor's node."""

    release: Release
    name: str
    node: str  # its id
    inside: Host
    indices: tuple[Index, ...]


@lru_cache(maxsize=8)
def cluster_of(host: Host) -> Cluster:
    """Return the node of this host."""
    seed = host.seed.child("elasticsearch")
    first = seed.number("first index", len(_KINDS))
    chosen = [_KINDS[(first + step) % len(_KINDS)] for step in (0, 1 + seed.number("second index", len(_KINDS) - 1))]
    indices = tuple(
        Index(name, kind, values, 800 + seed.number(f"count {name}", 90_000), seed.child(name))
        for name, kind, values in sorted(chosen, key=lambda one: one[0])
    )
    release = seed.choice("release", RELEASES)
    inside = container_of(host, "elasticsearch", "java")
    return Cluster(release, seed.choice("name", _NAMES), identifier(seed, "node"), inside, indices)


def identifier(seed: Seed, purpose: str) -> str:
    """Return an id of 22 characters, as documents and nodes have them."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return "".join(letters[byte & 63] for byte in seed.bytes(purpose, 22))


class Indices:
    """The indices as one address sees them."""

    __slots__ = ("_gone", "_made", "_visit", "cluster")

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self.cluster = cluster_of(visit.host)
        known = json.loads(visit.memory.recall(_MEMORY, visit.attacker.ip) or b"{}")
        self._gone: list[str] = known.get("gone", [])
        self._made: dict[str, dict[str, Any]] = known.get("made", {})  # by index, then by `type/id`

    @property
    def has_dropped(self) -> bool:
        """Whether this address has dropped what was there."""
        return bool(self._gone)

    @property
    def names(self) -> list[str]:
        """All there are."""
        return sorted({*self._made, *(one.name for one in self.cluster.indices if one.name not in self._gone)})

    def matching(self, pattern: str) -> list[str]:
        """Return those that `a,b*` or `_all` means."""
        patterns = ["*"] if pattern in ("", "_all") else pattern.split(",")[:INDICES_MAX]
        return [name for name in self.names if any(_means(one, name) for one in patterns)]

    def own(self, name: str) -> Index | None:
        """Return the index of this name that was there before, if it still is."""
        return next((one for one in self.cluster.indices if one.name == name and name not in self._gone), None)

    def count(self, name: str) -> int:
        """Return how many documents are in an index."""
        own = self.own(name)
        return len(self._made.get(name, {})) + (own.count if own else 0)

    def kinds(self, name: str) -> dict[str, dict[str, Any]]:
        """Return an index's types, and of each a document that has its fields."""
        own = self.own(name)
        found = {own.kind: own.document(0)} if own else {}
        for key, source in self._made.get(name, {}).items():
            found.setdefault(key.partition("/")[0], source if isinstance(source, dict) else {})
        return found

    def hits(self, names: list[str], first: int, size: int) -> list[dict[str, Any]]:
        """Return documents of these indices, as a search that wants all finds them."""
        found: list[dict[str, Any]] = []
        for name in names:
            made = [(*key.split("/", 1), source) for key, source in self._made.get(name, {}).items()]
            own = self.own(name)
            total = self.count(name)
            for number in range(first, min(total, first + size - len(found))):
                if number < len(made):
                    kind, number_or_id, source = made[number]
                elif own:
                    at = number - len(made)
                    kind, number_or_id, source = own.kind, str(at + 1), own.document(at)
                found.append(hit(name, kind, number_or_id, source))
            first = max(0, first - total)
        return found

    def find(self, name: str, kind: str, key: str) -> Any:
        """Return a document, None if it is not there."""
        for known, source in self._made.get(name, {}).items():
            if known == f"{kind}/{key}" or (kind == "_all" and known.endswith(f"/{key}")):
                return source
        own = self.own(name)
        if own and kind in (own.kind, "_all") and key.isascii() and key.isdecimal() and len(key) < 9:
            return own.document(int(key) - 1) if 1 <= int(key) <= own.count else None
        return None

    def make(self, name: str) -> None:
        """Make an index."""
        if name in self._made or (len(self._made) < INDICES_MAX and 0 < len(name) <= NAME_CHARS_MAX):
            self._made.setdefault(name, {})
            self._write()

    def put(self, name: str, kind: str, key: str, source: Any) -> None:
        """Write a document; what is too large, and one too many, is not there afterwards."""
        self.make(name)
        try:
            text = json.dumps(source)
        except RecursionError:
            return
        total = sum(map(len, self._made.values()))
        fits = len(text) <= DOCUMENT_CHARS_MAX and text.count("[") + text.count("{") <= BRACKETS_MAX
        if name in self._made and fits and total < DOCUMENTS_MAX and len(kind + key) <= NAME_CHARS_MAX:
            self._made[name][f"{kind}/{key}"] = source
            self._write()

    def drop(self, pattern: str) -> list[str]:
        """Drop indices; return which."""
        gone = self.matching(pattern)
        for name in gone:
            self._made.pop(name, None)
            if self.own(name):
                self._gone.append(name)
        if gone:
            self._write()
        return gone

    def _write(self) -> None:
        known = {"gone": self._gone, "made": self._made}
        self._visit.memory.remember(_MEMORY, self._visit.attacker.ip, json.dumps(known).encode())


def hit(name: str, kind: str, key: str, source: Any) -> dict[str, Any]:
    """Return a document as a search tells it."""
    return {"_index": name, "_type": kind, "_id": key, "_score": 1.0, "_source": source}


def _means(pattern: str, name: str) -> bool:
    """Whether a pattern with a `*` in it, or none, means this index."""
    first, star, rest = pattern.partition("*")
    return name.startswith(first) and name.endswith(rest.rpartition("*")[2]) if star else name == pattern
