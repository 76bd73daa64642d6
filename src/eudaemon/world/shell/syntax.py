"""The shell's syntax tree: what the parser builds and the evaluator walks. POSIX.1 XCU 2.9, 2.10."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

# --- words ---------------------------------------------------------------------------------------


@dataclass(slots=True)
class Text:
    """Bytes as written. If quoted, they are neither split nor a pattern."""

    value: bytes
    quoted: bool


@dataclass(slots=True)
class Parameter:
    """`$name`, or `${name<op>word}`; `op` is empty, `len`, or as written (`:-`, `##`, `:`, `//` …)."""

    name: bytes
    op: bytes
    words: tuple[Word, ...]
    quoted: bool
    subscript: bytes = b""  # of an array, as written
    indirect: bool = False  # `${!name}`: of whom it names, or the keys of an array


@dataclass(slots=True)
class Substitution:
    """`$(…)` or backticks."""

    body: tuple[AndOr, ...]
    quoted: bool


@dataclass(slots=True)
class Arithmetic:
    """`$((…))`; the expression is text in which parameters are still to be expanded."""

    expression: Word
    quoted: bool


@dataclass(slots=True)
class Process:
    """`<(…)`: a file in which stands what the commands print."""

    body: tuple[AndOr, ...]
    quoted: bool = True


Part: TypeAlias = Text | Parameter | Substitution | Arithmetic | Process


@dataclass(slots=True)
class Word:
    """One word. `plain` is its value if nothing in it needs expansion, else None."""

    parts: tuple[Part, ...]
    plain: bytes | None

    @property
    def literal(self) -> bytes:
        """The value if the word is one unquoted text, as reserved words must be; else empty."""
        if len(self.parts) == 1:
            part = self.parts[0]
            if isinstance(part, Text) and not part.quoted:
                return part.value
        return b""


# --- commands ------------------------------------------------------------------------------------


@dataclass(slots=True)
class Redirect:
    """`fd op target`. For a here-document `op` is `<<` and the target is its body."""

    fd: int
    op: bytes
    target: Word


@dataclass(slots=True)
class Assignment:
    """`name=value`, `name+=value`, `name[subscript]=value`, `name=(values)`."""

    name: bytes
    value: Word | list[Word]
    subscript: bytes = b""
    appends: bool = False


@dataclass(slots=True)
class Simple:
    """Assignments, words, redirections."""

    assignments: list[Assignment]
    words: list[Word]
    redirects: list[Redirect]


@dataclass(slots=True)
class Group:
    """`{ …; }`, or with `subshell` `( … )`."""

    body: tuple[AndOr, ...]
    subshell: bool
    redirects: list[Redirect] = field(default_factory=list)


@dataclass(slots=True)
class If:
    """Pairs of condition and body, and the body of `else`."""

    arms: list[tuple[tuple[AndOr, ...], tuple[AndOr, ...]]]
    otherwise: tuple[AndOr, ...]
    redirects: list[Redirect] = field(default_factory=list)


@dataclass(slots=True)
class For:
    """`for name in words; do body; done`; without `in`, `words` is None: the positional parameters.

    With `counts` it is bash's `for ((first; while; step))`.
    """

    name: bytes
    words: list[Word] | None
    body: tuple[AndOr, ...]
    redirects: list[Redirect] = field(default_factory=list)
    counts: tuple[Word, Word, Word] | None = None


@dataclass(slots=True)
class While:
    """`while` or, if `until`, `until`."""

    condition: tuple[AndOr, ...]
    body: tuple[AndOr, ...]
    until: bool
    redirects: list[Redirect] = field(default_factory=list)


@dataclass(slots=True)
class Case:
    """`case word in pattern|pattern) body;; … esac`."""

    word: Word
    arms: list[tuple[list[Word], tuple[AndOr, ...]]]
    redirects: list[Redirect] = field(default_factory=list)


@dataclass(slots=True)
class Function:
    """`name() body`: defines, does not call. `size` is that of its text in bytes."""

    name: bytes
    body: Command
    size: int
    redirects: list[Redirect] = field(default_factory=list)


Command: TypeAlias = Simple | Group | If | For | While | Case | Function


@dataclass(slots=True)
class Pipeline:
    """Commands joined by `|`; with `negated` the status is turned round."""

    commands: list[Command]
    negated: bool


@dataclass(slots=True)
class AndOr:
    """Pipelines joined by `&&` and `||`: pairs of the joint before it (empty for the first) and the pipeline."""

    pipelines: list[tuple[bytes, Pipeline]]
    background: bool
