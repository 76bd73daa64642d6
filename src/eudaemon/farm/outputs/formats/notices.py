"""Notices for people: a line for each session that did more than guess passwords, and for each alert of possession.

One address that does the same at the same room again is told once an hour, however often it comes; of what is told
together only the first lines stand by themselves. A line is plain text without anything that a chat would make a link
of, and nothing in it is the attacker's but what is quoted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from eudaemon.events import Event, Fact, rfc3339
from eudaemon.events import catalogue as facts
from eudaemon.farm.outputs.batch import Batch, Item, Session
from eudaemon.farm.outputs.formats.misp import did_something
from eudaemon.farm.outputs.formats.sentences import quoted, secret, sentence

LINE_CHARS_MAX = 300
LINES_MAX = 20  # of those that are told together
AGAIN_S = 3600.0


def make(batch: Batch) -> Iterator[Item]:
    """Give the lines, and how many more there would be."""
    lines: dict[str, Item] = {}
    for told in batch.events:
        if isinstance(told.event.fact, facts.ControlHijacked):
            key = f"alert {told.event.fact.alert}"
            lines[key] = Item(_line(told.event, sentence(told.event.fact)), key=key)
    for session in batch.sessions:
        if did_something(session) and not session.every(facts.ControlHijacked):
            key = f"notice {session.attacker.ip} {session.room} {' '.join(_deeds(session))}"
            if key not in lines and not batch.source.was_told(key, AGAIN_S):
                lines[key] = Item(_line(session.told[0].event, _did(session)), key=key, kept_s=AGAIN_S)
    items = list(lines.values())
    yield from items[:LINES_MAX]
    if rest := items[LINES_MAX:]:
        more = f"… and {len(rest)} more of this kind"
        yield Item(more.encode(), also=tuple(item.key for item in rest))


def _deeds(session: Session) -> list[str]:
    """Return which kinds of things were done: who does another is told of again."""
    kinds = {told.event.fact.kind for told in session.told if isinstance(told.event.fact, _DEEDS)}
    return sorted(kinds | {exploit.name for exploit in session.every(facts.ExploitRecognised)})


def _did(session: Session) -> str:
    said: list[str] = []
    if accepted := [login for login in session.every(facts.LoginTried) if login.accepted]:
        said.append(f"logged in as {quoted(accepted[-1].user)} with {secret(accepted[-1].password)}")
    said += [f"used {name}" for name in dict.fromkeys(fact.name for fact in session.every(facts.ExploitRecognised))]
    if commands := session.every(facts.CommandEntered):
        said.append(f"entered {len(commands)} commands")
    said += [f"wanted {quoted(url)}" for url in session.urls()[:2]]
    said += [f"brought {sha256}" for sha256 in list(session.samples())[:2]]
    return f"{session.room}: {'; '.join(said)}"


def _line(event: Event, did: str) -> bytes:
    who = event.attacker.ip if event.attacker else "somebody"
    text = f"{rfc3339(event.at_s)[:19]}Z {event.sensor}: {who} at {did}"
    # A link that somebody clicks, or a preview that a chat fetches, would tell the attacker.
    text = re.sub(r"(?i)\b(https?|ftp|tftp)://([^/\s]*)", _blunted, text)
    return (text if len(text) <= LINE_CHARS_MAX else text[: LINE_CHARS_MAX - 1] + "…").encode()


def _blunted(url: re.Match[str]) -> str:
    """Return a URL's beginning as analysts write it to each other: hxxp[://]host[.]example."""
    return f"{url[1].replace('t', 'x')}[://]{url[2].replace('.', '[.]')}"


_DEEDS: tuple[type[Fact], ...] = (
    facts.LoginTried, facts.CommandEntered, facts.DownloadWished, facts.ArtefactKept,
)  # fmt: skip
