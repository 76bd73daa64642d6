"""The room: one connection to a node.

    search with a script   -->  its command goes to the shell, and what that prints is the script's field
    DELETE, PUT, POST      -->  indices and documents, remembered for the address; a ransom's note is kept
    paths that climb       -->  files of the pretended host (CVE-2015-3337, CVE-2015-5531)

Owns the requests. Searches find everything, whatever they look for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, ClassVar

from eudaemon.events.catalogue import ExploitRecognised, FileRequested
from eudaemon.protocols import _loot as loot
from eudaemon.protocols._base import Keep, Order, Saw, Send, Visit
from eudaemon.protocols._http import Request
from eudaemon.protocols._pages import PageRoom
from eudaemon.protocols._ransom import is_note
from eudaemon.protocols._shell import Captured
from eudaemon.protocols.elasticsearch.cluster import Cluster, Indices, cluster_of, hit, identifier
from eudaemon.protocols.elasticsearch.told import ASKED, TABLES, first_page, pretty, shards, table
from eudaemon.wire import clipped, decode, printable
from eudaemon.world.files import FileError, Files, Fixed
from eudaemon.world.host import Host

BODY_BYTES_MAX = 256 * 1024  # that is read as JSON
SCRIPTS_MAX = 8  # of one request
VALUES_MAX = 1000  # of a body that are looked through for scripts
HITS_MAX = 50
LINES_MAX = 500  # of _bulk
FILE_BYTES_MAX = 64 * 1024
_JSON, _TEXT = "application/json; charset=UTF-8", "text/plain; charset=UTF-8"
_NOTE_CHARS_MAX = 4096
# A script that is more than arithmetic on a document's fields.
_REACHES_OUT = re.compile(rb"java\.|\bimport\b|Runtime|\.class\b|forName|\.execute\b|ProcessBuilder")
_OF_GROOVY = re.compile(rb"\.class\b|forName|\.execute\b")
# What a script gives back that has its command's output read; else it is the process.
_READS = re.compile(rb"getText|\.text\b|InputStream|Scanner|readLine")
_PLUGIN = re.compile(rb"/_(?:plugin/[\w-]{1,64}|site)/(.*\.\..*)", re.DOTALL)
_SNAPSHOT = re.compile(rb"/_snapshot/[^/]{1,255}/[^/]{0,255}?(?:\.\.)?(/\.\./.*)", re.DOTALL)
_SYSTEM = ((rb"os\.name", "Linux"), (rb"user\.name", "root"), (rb"os\.arch", "amd64"), (rb"user\.dir", "/"))


class Elasticsearch(PageRoom):
    """One connection to a node."""

    name: ClassVar[str] = "elasticsearch"
    paths: ClassVar[re.Pattern[bytes]] = re.compile(
        rb"[A-Z]+ /(?:[^ /]*/)?_(?:search|cat|cluster|nodes|stats|all|aliases|mapping|bulk|snapshot|plugin|count)\b"
    )
    order: ClassVar[tuple[str, ...]] = ("*", "Content-Type", "Content-Length")
    error: ClassVar[str] = ""

    __slots__ = ("_made", "_pretty")

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._pretty = False
        self._made = 0  # ids that were given

    @property
    def cluster(self) -> Cluster:
        """Who answers."""
        return cluster_of(self.visit.host)

    @property
    def server(self) -> str:
        """See `PageRoom`; it does not say."""
        return ""

    @property
    def inside(self) -> Host:
        """See `PageRoom`: the container in which the node runs."""
        return self.cluster.inside

    def handle(self, request: Request, at_s: float) -> Iterator[Order]:
        """See `ApiRoom`."""
        path = decode.percent(request.path)
        query = decode.percent(request.query)
        self._pretty = b"pretty" in query
        climbing = _PLUGIN.fullmatch(path) or _SNAPSHOT.fullmatch(path)
        if request.method == "OPTIONS":
            yield from self.answer(request, at_s, 200, b"", _TEXT)
            return
        if climbing:
            yield from self._climbed(request, climbing[1], at_s, plugin=path.startswith((b"/_plugin", b"/_site")))
            return
        parts = [part.decode("utf-8", "replace") for part in path.strip(b"/").split(b"/") if part]
        body, text = _json_of(request)
        if _REACHES_OUT.search(text) and b"script" in text:
            yield from self._scripted(request, parts, body, text, at_s)
        else:
            yield from self._spoken_to(request, parts, body, at_s)

    # --- scripts -------------------------------------------------------------------------------------

    def _scripted(self, request: Request, parts: list[str], body: Any, text: bytes, at_s: float) -> Iterator[Order]:
        """A search, or an update, with scripts that are more than sums: they run, whatever they are for."""
        scripts = list(_scripts(body)) or [("", text.replace(b'\\"', b'"').replace(b"\\n", b"\n"))]
        commands: list[bytes] = []
        for _, script in scripts:
            found = loot.groovy(script)
            command = found.command if found else b""
            commands += [command] if command else []
            name, reference = (
                ("elasticsearch-groovy", "CVE-2015-1427") if _OF_GROOVY.search(script) or b'"groovy"' in text
                else ("elasticsearch-mvel", "CVE-2014-3120")
            )  # fmt: skip
            if command or _REACHES_OUT.search(script):
                yield from self.attacked(name, reference, command or script)
                yield Keep(script, "script", name, request.cut)

        def then(shell: Captured, at_s: float) -> Iterator[Order]:
            yield from self._found_by(request, parts, scripts, shell.printed, at_s)

        if commands:
            yield from self.obey(b"\n".join(commands), then, at_s, holds=True)
        else:
            yield from self._found_by(request, parts, scripts, b"", at_s)

    def _found_by(
        self, request: Request, parts: list[str], scripts: list[tuple[str, bytes]], printed: bytes, at_s: float
    ) -> Iterator[Order]:
        """Answer a search with its scripts' fields."""
        if parts and parts[-1] == "_update":
            name, kind, key = (*parts[:-1], "", "", "")[:3]
            yield from self._told(request, at_s, {"_index": name, "_type": kind, "_id": key, "_version": 2})
            return
        fields = {name: [self._value(script, printed)] for name, script in scripts if name}
        indices = Indices(self.visit)
        names = indices.matching(_pattern(parts))
        hits = indices.hits(names, 0, 1)
        for one in hits:
            one.pop("_source")
            one["fields"] = fields
        yield from self._told(request, at_s, _found(hits, sum(map(indices.count, names)), len(names)))

    def _value(self, script: bytes, printed: bytes) -> Any:
        for name, value in _SYSTEM:
            if re.search(rb"getProperty\(\s*[\"']" + name, script):
                return value
        if _READS.search(script):
            return printed.decode("utf-8", "replace")
        return {} if printed else ""

    # --- what is asked -------------------------------------------------------------------------------

    def _spoken_to(self, request: Request, parts: list[str], body: Any, at_s: float) -> Iterator[Order]:
        indices = Indices(self.visit)
        method, joined = request.method, "/".join(parts)
        reads = method in ("GET", "POST")
        if not parts and method in ("GET", "HEAD"):
            self._pretty = True
            yield from self._told(request, at_s, first_page(self.cluster))
        elif parts and parts[-1] in ("_search", "_count", "_msearch") and reads:
            yield from self._searched(request, parts, body, indices, at_s)
        elif parts[:1] == ["_cat"]:
            yield from self._tabled(request, parts, indices, at_s)
        elif joined in ASKED and method in ("GET", "HEAD"):
            yield from self._told(request, at_s, ASKED[joined](indices, at_s))
        elif len(parts) > 1 and parts[1] in ASKED and method == "GET":
            told = ASKED[parts[1]](indices, at_s)
            yield from self._told(
                request, at_s, {name: told[name] for name in indices.matching(parts[0]) if name in told}
            )
        elif parts and parts[-1] == "_bulk" and method in ("POST", "PUT"):
            yield from self._bulk(request, parts, indices, at_s)
        elif method == "DELETE" and len(parts) == 1:
            yield from self._dropped(request, parts[0], indices, at_s)
        elif method in ("PUT", "POST") and parts and (parts[0].startswith("_") or len(parts) == 1):
            if len(parts) == 1 and not parts[0].startswith("_"):
                indices.make(parts[0])
            yield from self._told(request, at_s, {"acknowledged": True})
        elif len(parts) in (2, 3) and not parts[0].startswith("_"):
            yield from self._document(request, parts, body, indices, at_s)
        elif len(parts) == 1 and not parts[0].startswith("_"):
            yield from self._index(request, parts[0], indices, at_s)
        else:
            yield from self._no_handler(request, at_s)

    def _searched(
        self, request: Request, parts: list[str], body: Any, indices: Indices, at_s: float
    ) -> Iterator[Order]:
        names = indices.matching(_pattern(parts))
        wanted = _pattern(parts)
        if not names and wanted and wanted != "_all" and "*" not in wanted:
            yield from self._missing(request, wanted, at_s)
            return
        total = sum(map(indices.count, names))
        if parts[-1] == "_count":
            yield from self._told(request, at_s, {"count": total, "_shards": shards(len(names))})
            return
        first, size = (_number(request, body, name, otherwise) for name, otherwise in (("from", 0), ("size", 10)))
        found = _found(indices.hits(names, first, min(size, HITS_MAX)), total, len(names))
        yield from self._told(request, at_s, {"responses": [found]} if parts[-1] == "_msearch" else found)

    def _tabled(self, request: Request, parts: list[str], indices: Indices, at_s: float) -> Iterator[Order]:
        rows = TABLES.get(parts[1]) if len(parts) > 1 else None
        if rows is None:
            text = "=^.^=\n" + "".join(f"/_cat/{name}\n" for name in TABLES)
        else:
            text = table(
                rows(indices), headed=request.query.split(b"&")[0].split(b"=")[0] == b"v" or b"&v" in request.query
            )
        yield from self.answer(request, at_s, 200, text.encode(), _TEXT)

    # --- what is changed -----------------------------------------------------------------------------

    def _dropped(self, request: Request, pattern: str, indices: Indices, at_s: float) -> Iterator[Order]:
        gone = indices.drop(pattern)
        if not gone and "*" not in pattern and pattern != "_all":
            yield from self._missing(request, pattern, at_s)
        else:
            yield from self._told(request, at_s, {"acknowledged": True})

    def _document(
        self, request: Request, parts: list[str], body: Any, indices: Indices, at_s: float
    ) -> Iterator[Order]:
        name, kind, key = parts[0], parts[1], parts[2] if len(parts) > 2 else ""
        named = {"_index": name, "_type": kind, "_id": key}
        if request.method in ("PUT", "POST"):
            if not isinstance(body, dict):
                error = "MapperParsingException[failed to parse]; nested: JsonParseException; "
                yield from self._told(request, at_s, {"error": error, "status": 400}, 400)
                return
            named["_id"] = key = key or self._new_id()
            yield from self._written(indices, name, kind, key, body)
            yield from self._told(request, at_s, {**named, "_version": 1, "created": True}, 201)
        elif request.method == "DELETE":
            yield from self._told(request, at_s, {"found": True, **named, "_version": 2})
        elif name not in indices.names:
            yield from self._missing(request, name, at_s)
        else:
            source = indices.find(name, kind, key)
            if source is None:
                yield from self._told(request, at_s, {**named, "found": False}, 404)
            else:
                told = {**hit(name, kind, key, source), "_version": 1, "found": True}
                told.pop("_score")
                yield from self._told(request, at_s, told)

    def _written(self, indices: Indices, name: str, kind: str, key: str, source: Any) -> Iterator[Order]:
        """Write a document; a ransom's note is evidence, and kept whole."""
        texts = [value for value in source.values() if isinstance(value, str)] if isinstance(source, dict) else []
        note = "\n".join(texts)
        if indices.has_dropped and is_note(f"{name} {kind}", note):
            yield Saw(
                ExploitRecognised(
                    "elasticsearch-ransom", "", clipped(printable(note.encode("utf-8", "replace")), _NOTE_CHARS_MAX)
                )
            )
            yield Keep(
                note.encode("utf-8", "replace"), "upload", printable(f"{name}/{kind}".encode("utf-8", "replace"), 256)
            )
        indices.put(name, kind, key, source)

    def _bulk(self, request: Request, parts: list[str], indices: Indices, at_s: float) -> Iterator[Order]:
        """Actions and documents, a line each."""
        items: list[dict[str, Any]] = []
        lines = iter(request.body[:BODY_BYTES_MAX].split(b"\n")[:LINES_MAX])
        for line in lines:
            action = _parsed(line)
            if not isinstance(action, dict) or not action:
                continue
            verb, meta = next(iter(action.items()))
            meta = meta if isinstance(meta, dict) else {}
            name, kind = (str(meta.get(f"_{what}") or (parts[at] if len(parts) > at + 1 else ""))
                          for at, what in enumerate(("index", "type")))  # fmt: skip
            key = str(meta.get("_id") or self._new_id())
            if verb in ("index", "create", "update"):
                yield from self._written(indices, name, kind, key, _parsed(next(lines, b"")))
            items.append({verb: {"_index": name, "_type": kind, "_id": key, "_version": 1, "status": 201}})
        yield from self._told(request, at_s, {"took": 4, "errors": False, "items": items})

    def _index(self, request: Request, name: str, indices: Indices, at_s: float) -> Iterator[Order]:
        there = bool(indices.matching(name))
        if request.method == "HEAD":
            yield from self.answer(request, at_s, 200 if there else 404, b"", _TEXT)
        elif request.method != "GET":
            yield from self._no_handler(request, at_s)
        elif not there:
            yield from self._missing(request, name, at_s)
        else:
            told = ASKED["_mapping"](indices, at_s)
            yield from self._told(request, at_s, {one: {"aliases": {}, **told[one]} for one in indices.matching(name)})

    def _new_id(self) -> str:
        self._made += 1
        return identifier(self.visit.seed, f"document {self._made}")

    # --- files ---------------------------------------------------------------------------------------

    def _climbed(self, request: Request, path: bytes, at_s: float, *, plugin: bool) -> Iterator[Order]:
        """A path that leads out of the folder: of a plugin's pages, or of a repository of snapshots."""
        name, reference = (
            ("elasticsearch-plugin-file", "CVE-2015-3337")
            if plugin
            else ("elasticsearch-snapshot-file", "CVE-2015-5531")
        )
        place = b"/" + b"/".join(part for part in path.split(b"/") if part not in (b"", b".", b".."))
        yield from self.attacked(name, reference, place)
        content = self._content(place, at_s)
        yield Saw(FileRequested("read", printable(place, 1024), done=content is not None))
        if content is None:
            yield from self.answer(request, at_s, 404, b"", _TEXT)
        elif plugin:
            yield from self.answer(request, at_s, 200, content, "application/octet-stream")
        else:  # it is no snapshot, and so it is shown: a number for each byte
            told = ", ".join(str(byte - 256 if byte > 127 else byte) for byte in content)
            error = f"Failed to derive xcontent from (offset=0, length={len(content)}): [{told}]"
            yield from self._told(request, at_s, {"error": f"ElasticsearchParseException[{error}]", "status": 400}, 400)

    def _content(self, path: bytes, at_s: float) -> bytes | None:
        try:
            node = Files(self.inside.tree, self.inside.writable, self.visit.purse).find(path)
        except FileError:
            return None
        if not isinstance(node, Fixed):
            return None
        return (node.content(at_s) if callable(node.content) else node.content)[:FILE_BYTES_MAX]

    # --- answers -------------------------------------------------------------------------------------

    def answer(
        self, request: Request, at_s: float, status: int, body: bytes = b"", content_type: str = _TEXT,
        extra: tuple[tuple[str, str], ...] = (), *, bare: bool = False,
    ) -> Iterator[Order]:  # fmt: skip
        """See `PageRoom`; it answers in the version that it was asked in."""
        for order in super().answer(request, at_s, status, body, content_type, extra, bare=bare):
            if isinstance(order, Send) and request.version < (1, 1):
                yield Send(order.data.replace(b"HTTP/1.1", b"HTTP/1.0", 1))
            else:
                yield order

    def _told(self, request: Request, at_s: float, value: Any, status: int = 200) -> Iterator[Order]:
        text = pretty(value) + "\n" if self._pretty else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        yield from self.answer(request, at_s, status, text.encode("utf-8", "surrogatepass"), _JSON)

    def _missing(self, request: Request, name: str, at_s: float) -> Iterator[Order]:
        error = f"IndexMissingException[[{clipped(name, 255)}] missing]"
        yield from self._told(request, at_s, {"error": error, "status": 404}, 404)

    def _no_handler(self, request: Request, at_s: float) -> Iterator[Order]:
        text = f"No handler found for uri [{printable(request.target, 2048)}] and method [{request.method}]"
        yield from self.answer(request, at_s, 400, text.encode(), _TEXT)


def _pattern(parts: list[str]) -> str:
    return parts[0] if len(parts) > 1 and not parts[0].startswith("_search") else ""


def _found(hits: list[dict[str, Any]], total: int, count: int) -> dict[str, Any]:
    return {"took": 2 + total % 7, "timed_out": False, "_shards": shards(count),
            "hits": {"total": total, "max_score": 1.0 if total else None, "hits": hits}}  # fmt: skip


def _parsed(text: bytes) -> Any:
    """Return JSON as Jackson reads it: also with line ends in its strings. RFC 8259 section 8.1: in UTF-8 alone."""
    try:
        return json.loads(text.decode("utf-8", "surrogatepass"), strict=False)
    except (ValueError, RecursionError):
        return None


def _json_of(request: Request) -> tuple[Any, bytes]:
    """Return a request's JSON and its text, which may stand in the query."""
    text = request.body[:BODY_BYTES_MAX]
    for pair in request.query.split(b"&", 16):
        if pair.startswith(b"source="):
            text = decode.percent(pair[7:], plus=True)
    return _parsed(text), text


def _scripts(body: Any) -> Iterator[tuple[str, bytes]]:
    """Yield the scripts in a body, each with the name of the field that it gives."""
    waiting, found = [("", body)], 0
    for _ in range(VALUES_MAX):
        if not waiting or found >= SCRIPTS_MAX:
            return
        name, value = waiting.pop(0)
        for key, item in value.items() if isinstance(value, dict) else ():
            if key in ("script", "inline", "source") and isinstance(item, str) and found < SCRIPTS_MAX:
                found += 1
                yield name, item.encode("utf-8", "replace")
            else:
                waiting.append((name if key == "script" else key, item))
        if isinstance(value, list):
            waiting += [(name, item) for item in value[:VALUES_MAX]]


def _number(request: Request, body: Any, name: str, otherwise: int) -> int:
    """Return a search's `from` or `size`."""
    asked = body.get(name) if isinstance(body, dict) else None
    for pair in request.query.split(b"&", 16):
        if pair.startswith(name.encode() + b"="):
            digits = pair.partition(b"=")[2]
            asked = int(digits) if digits.isdigit() and len(digits) < 10 else None
    return asked if isinstance(asked, int) and 0 <= asked < 10**9 else otherwise
