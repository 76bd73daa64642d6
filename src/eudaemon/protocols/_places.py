"""Where in a request a command may sit, and a look at a request that undoes what hides it. All of it bounded."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import islice
from typing import Any, Protocol

from eudaemon.protocols import _carried as carried
from eudaemon.protocols._http import Request
from eudaemon.wire import decode

LOOKED_BYTES_MAX = 64 * 1024  # of a body: what exploits fill it with is far smaller, what they upload is kept whole
PARAMETERS_MAX = 128  # of the query, and of the form; the last one holds the rest
PARTS_MAX = 32
TAGS_MAX = 256
JSON_VALUES_MAX = 256
VALUES_MAX = 512  # of all kinds that are looked at where no place is known
VALUES_BYTES_MAX = 512 * 1024  # of these together
_ATTRIBUTE = re.compile(rb"=\s*\"([^\"]{4,65536})\"")
_QUOTED = re.compile(rb"[\"']((?:[^\"'\\]|\\.){2,65536})[\"']")
_HARMLESS = re.compile(rb"[\w.,:+/ -]{0,15}")  # too short and plain to hold anything
_NUMBERS = (b"content-length", b"connection", b"date")  # of headers


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a multipart body (RFC 7578)."""

    name: bytes
    filename: bytes | None
    content: bytes
    words: tuple[bytes, ...] = ()  # whatever its disposition says, names included


class Look:
    """One request, decoded as far as somebody asks."""

    def __init__(self, request: Request, body: bytes) -> None:
        self.request = request
        self.body = body
        self.text = body[:LOOKED_BYTES_MAX]
        self.path = _twice(request.path)
        self.place = self.path.lower()  # which rows of tables are for

    @cached_property
    def target(self) -> bytes:
        """The whole target, decoded."""
        return _twice(self.request.target)

    @cached_property
    def query(self) -> bytes:
        """The whole query, decoded as a form."""
        return _twice(self.request.query, plus=True)

    @cached_property
    def parameters(self) -> tuple[tuple[bytes, bytes], ...]:
        """Names and values of query and form, decoded twice, in the order of arrival."""
        pairs = self.request.query.split(b"&", PARAMETERS_MAX)
        if self._boundary is not None:
            found = [(part.name, part.content[:LOOKED_BYTES_MAX]) for part in self.parts if part.filename is None]
        else:
            found = []
            if self._is_form:
                pairs += self.text.split(b"&", PARAMETERS_MAX)
        split = (pair.partition(b"=") for pair in pairs if pair)
        return (*((_twice(name, plus=True), _twice(value, plus=True)) for name, _, value in split), *found)

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The parts of a multipart body."""
        if not self._boundary:
            return ()
        pieces = (b"\r\n" + self.body).split(b"\r\n--" + self._boundary, PARTS_MAX)
        return tuple(_part(piece) for piece in pieces[1:] if not piece.startswith(b"--") and b"\r\n\r\n" in piece)

    @cached_property
    def json(self) -> Any:
        """The body as JSON, None if it is none."""
        return _json(self.text)

    @cached_property
    def everything(self) -> tuple[bytes, ...]:
        """Target, header values and body, each decoded in every way that changes it."""
        plain = (self.target, *(value for _, value in self.request.headers), self.text)
        undone = (decode.backslashes(decode.percent(text)) for text in plain)
        return tuple(dict.fromkeys((*plain, *undone)))

    @cached_property
    def values(self) -> tuple[bytes, ...]:
        """Whatever may hold something: each value of the query, a form, JSON, XML and headers, its wrappings undone."""
        found: dict[bytes, None] = {}
        for text in carried.unwrapped(self._raw_values()):
            if len(found) >= VALUES_MAX:
                break
            found[text] = None
        return tuple(found)

    def _raw_values(self) -> Iterator[bytes]:
        left = VALUES_BYTES_MAX
        for value in self._each_value():
            if not _HARMLESS.fullmatch(value) or b"/" in value:
                left -= len(value)
                if left < 0:
                    return
                yield value

    def _each_value(self) -> Iterator[bytes]:
        for name, value in self.parameters:
            if value.lstrip()[:1] not in (b"{", b"[") or _json(value) is None:
                yield value or name
            yield from (text for _, text in _inside(value))
        yield from (word for part in self.parts for word in part.words)
        text, begins = self.text, self.text.lstrip()[:1]
        if begins in (b"<", b"{", b"["):
            yield from (value for _, value in self.fields)
        elif self._boundary is None and not self._is_form:
            yield text
        for name, value in self.request.headers:
            if name == b"cookie":
                yield from (decode.percent(pair.partition(b"=")[2]) for pair in value.split(b";")[:PARAMETERS_MAX])
            if name not in _NUMBERS:
                yield decode.percent(value)

    @cached_property
    def fields(self) -> tuple[tuple[bytes, bytes], ...]:
        """Names and texts of a body in JSON or XML, wherever they stand in it."""
        return tuple(_inside(self.text))

    @cached_property
    def files(self) -> tuple[bytes, ...]:
        """The beginning of each file that is uploaded, of a form or by PUT."""
        sent = [part.content[:LOOKED_BYTES_MAX] for part in self.parts if part.filename]
        return (*sent, self.text) if self.request.method == "PUT" else tuple(sent)

    @cached_property
    def scripts(self) -> tuple[bytes, ...]:
        """The values that are scripts for a web server."""
        return tuple(value for value in self.values if b"<?" in value or b"<%" in value)

    @cached_property
    def _is_form(self) -> bool:
        return b"=" in self.text[:256] and self.text.lstrip()[:1] not in (b"<", b"{", b"[")  # XML, JSON

    @cached_property
    def _boundary(self) -> bytes | None:
        kind = self.request.header(b"content-type")
        if not kind.lower().startswith(b"multipart/"):
            return None
        return kind.partition(b"boundary=")[2].partition(b";")[0].strip(b' "')[:70]  # RFC 2046 section 5.1.1

    def values_of(self, name: bytes) -> Iterator[bytes]:
        """Yield the values of a parameter; names do not depend on case."""
        return (value for known, value in self.parameters if known.lower() == name.lower())


class Place(Protocol):
    """Somewhere in a request."""

    def values(self, look: Look) -> Iterable[bytes]:
        """Return what stands there, decoded."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the query or of a form, by any of its names."""

    names: tuple[bytes, ...]

    def __init__(self, *names: bytes) -> None:
        object.__setattr__(self, "names", names)

    def values(self, look: Look) -> Iterable[bytes]:
        """Return its values."""
        return (value for name in self.names for value in look.values_of(name))


@dataclass(frozen=True, slots=True)
class AnyParameter:
    """Every parameter's value, but not those that `names`, if given, does not hold."""

    names: frozenset[bytes] = frozenset()

    def values(self, look: Look) -> Iterable[bytes]:
        """Return their values."""
        return (value for name, value in look.parameters if not self.names or name.lower() in self.names)


@dataclass(frozen=True, slots=True)
class Call:
    """A function named by one parameter, its argument by another: `function(argument`."""

    function: Parameter
    argument: Parameter

    def values(self, look: Look) -> Iterable[bytes]:
        """Return the first function with each argument."""
        for function in self.function.values(look):
            return [function + b"(" + argument for argument in self.argument.values(look)]
        return ()


@dataclass(frozen=True, slots=True)
class Header:
    """A header, by its name in lower case."""

    name: bytes

    def values(self, look: Look) -> Iterable[bytes]:
        """Return its values, as they came and decoded."""
        return (decode.percent(value) for name, value in look.request.headers if name == self.name)


@dataclass(frozen=True, slots=True)
class Tag:
    """The content of an XML element, by its local name, wherever it stands."""

    names: tuple[bytes, ...]

    def __init__(self, *names: bytes) -> None:
        object.__setattr__(self, "names", tuple(name.lower() for name in names))

    def values(self, look: Look) -> Iterable[bytes]:
        """Return the first content of each of the names."""
        lower = look.text.lower()
        for name in self.names:
            begins = lower.find(b"<" + name)
            opened = lower.find(b">", begins) + 1
            if begins >= 0 and opened:
                ends = lower.find(b"</", opened)
                yield decode.html_entities(look.text[opened : ends if ends >= 0 else None])


@dataclass(frozen=True, slots=True)
class NamedFor:
    """The values of parameters, fields of JSON and headers whose names hold one of these words."""

    words: re.Pattern[bytes]

    def values(self, look: Look) -> Iterable[bytes]:
        """Return their values."""
        named = (*look.parameters, *look.fields, *look.request.headers)
        return (value for name, value in named if self.words.search(name))


@dataclass(frozen=True, slots=True)
class Json:
    """A value in a JSON body, by the names that lead to it. `*` is every value anywhere."""

    path: tuple[str, ...]

    def __init__(self, *path: str) -> None:
        object.__setattr__(self, "path", path)

    def values(self, look: Look) -> Iterable[bytes]:
        """Return it, if it is text."""
        if self.path == ("*",):
            yield from _json_texts(look.json)
            return
        value = look.json
        for name in self.path:
            value = value.get(name) if isinstance(value, dict) else None
        if isinstance(value, str):
            yield value.encode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole part of the request: an attribute of `Look`."""

    attribute: str

    def values(self, look: Look) -> Iterable[bytes]:
        """Return it."""
        found = getattr(look, self.attribute)
        return found if isinstance(found, tuple) else (found,)


@dataclass(frozen=True, slots=True)
class Headers:
    """Every header's value."""

    def values(self, look: Look) -> Iterable[bytes]:
        """Return them as they came."""
        return (value for _, value in look.request.headers)


PATH, QUERY, BODY, ANYWHERE = Whole("path"), Whole("query"), Whole("text"), Whole("everything")
VALUES, FILES = Whole("values"), Whole("files")
NAMED_FOR_COMMANDS = NamedFor(re.compile(rb"cmd|command|exec|shell|ping|glue|\A(?:run|c|x|do|system)\Z", re.IGNORECASE))


@lru_cache(maxsize=512)
def _pieces(pattern: str) -> tuple[bytes, ...]:
    return tuple(pattern.encode().split(b"*"))


def matches(pattern: str, path: bytes) -> bool:
    """Say whether a path is `pattern`, in which `*` stands for anything."""
    if pattern == "*":
        return True
    first, *middle = _pieces(pattern)
    if not middle:
        return path == first
    *middle, last = middle
    if not path.startswith(first) or not path.endswith(last):
        return False
    at, end = len(first), len(path) - len(last)
    for piece in middle:
        at = path.find(piece, at, end)
        if at < 0:
            return False
        at += len(piece)
    return at <= end


def _twice(data: bytes, *, plus: bool = False) -> bytes:
    """Decode what was encoded once or twice, as CVE-2001-0333 taught attackers to."""
    return decode.percent(decode.percent(data, plus=plus))


def _part(piece: bytes) -> Part:
    head, _, content = piece.partition(b"\r\n\r\n")
    name, filename = b"", None
    words: list[bytes] = []
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-disposition:"):
            for item in line.split(b";")[1:]:
                key, _, value = item.strip().partition(b"=")
                words.append(decode.percent(value.strip(b'"')))
                if key.lower() == b"name":
                    name = value.strip(b'"')
                elif key.lower() == b"filename":
                    filename = value.strip(b'"')
    return Part(name, filename, content, tuple(words))


def _json(text: bytes) -> Any:
    try:
        return json.loads(text.decode("utf-8", "surrogatepass"))  # RFC 8259 §8.1: nothing else is JSON
    except (ValueError, RecursionError):
        return None


def _inside(text: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the names and texts of a value that is JSON or XML itself, or what some product takes for it."""
    begins = text.lstrip()[:1]
    if begins == b"<":
        for piece in text.split(b"<", TAGS_MAX)[1:]:
            tag, _, content = piece.partition(b">")
            yield tag.split(None, 1)[0] if tag.strip() else b"", decode.html_entities(content).strip()
        yield from ((b"", found[1]) for found in islice(_ATTRIBUTE.finditer(text), TAGS_MAX))
        yield from ((b"", piece.partition(b"]]>")[0]) for piece in text.split(b"<![CDATA[", TAGS_MAX)[1:])
    elif begins in (b"{", b"["):
        made = _json(text)
        if made is None:
            yield from ((b"", found[1]) for found in islice(_QUOTED.finditer(text), JSON_VALUES_MAX))
        else:
            yield from _json_fields(made)


def _json_texts(value: Any) -> Iterator[bytes]:
    return (text for _, text in _json_fields(value))


def _json_fields(value: Any) -> Iterator[tuple[bytes, bytes]]:
    waiting: list[tuple[str, Any]] = [("", value)]
    for _ in range(JSON_VALUES_MAX):
        if not waiting:
            return
        name, value = waiting.pop()
        if isinstance(value, str):
            yield name.encode("utf-8", "replace"), value.encode("utf-8", "replace")
        elif isinstance(value, dict):
            waiting += list(value.items())[:JSON_VALUES_MAX]
        elif isinstance(value, list):
            waiting += [(name, each) for each in value[:JSON_VALUES_MAX]]
