"""Servers that take events over HTTP in a shape of their own: `Collector` asks, and each row here is one of them.

A row says the request's headers, how items become its body, how many go into one, and what an answer means. What a
server does not answer as its makers document is no answer: it is told again.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from eudaemon.farm.outputs.batch import Item, compact
from eudaemon.farm.outputs.formats.notices import LINE_CHARS_MAX
from eudaemon.farm.outputs.peers import LaterError, RefusedError
from eudaemon.farm.outputs.peers.web import REFUSALS, Answer, Web, judged, strange
from eudaemon.farm.outputs.settings import CHAT, TEXT, Elasticsearch, Splunk, Taxii, Webhook

ANSWER_BYTES_MAX = 4 * 1024 * 1024  # of who says something of each document or object
_JSON, _LINES = "application/json", "application/x-ndjson"
_TAXII = "application/taxii+json;version=2.1"


class Collector:
    """One of them."""

    def __init__(
        self, web: Web, headers: Mapping[str, str], body: Callable[[Sequence[Item]], bytes],
        judge: Callable[[Answer, int], str], *, items_max: int, pause_s: float = 0.0, path: str = "",
    ) -> None:  # fmt: skip
        self._web, self._headers, self._body, self._judge, self._path = web, headers, body, judge, path
        self.items_max, self.pause_s = items_max, pause_s

    def fits(self, _: Item) -> bool:
        """See `Peer`."""
        return True

    def send(self, items: Sequence[Item]) -> str:
        """See `Peer`."""
        return self._judge(self._web.ask(self._body(items), self._headers, self._path), len(items))

    def close(self) -> None:
        """See `Peer`."""
        self._web.close()


# --- Splunk ------------------------------------------------------------------------------------

# https://docs.splunk.com/Documentation/Splunk/latest/Data/TroubleshootHTTPEventCollector: what is wrong with the data.
_SPLUNKS_REFUSALS = (5, 6, 12, 13, 15)


def splunk(settings: Splunk) -> Collector:
    """Return Splunk's HTTP Event Collector."""
    fixed = {"source": "eudaemon", "sourcetype": f"eudaemon:{settings.format}"}
    fixed |= {"index": settings.index} if settings.index else {}

    def body(items: Sequence[Item]) -> bytes:
        return b"\n".join(compact(fixed | {"time": item.at_s, "event": json.loads(item.data)}) for item in items)

    def judge(answer: Answer, _: int) -> str:
        code = answer.json.get("code")
        if answer.status == 200 and code == 0:
            return str(answer)
        if answer.status == 413:
            return judged(answer)
        if answer.status in REFUSALS and code in _SPLUNKS_REFUSALS:
            raise RefusedError(str(answer))
        raise strange(answer)

    headers = {"Content-Type": _JSON, "Authorization": f"Splunk {settings.token}"}
    return Collector(Web(settings.url, settings.ca_file), headers, body, judge, items_max=500)


# --- Elasticsearch -----------------------------------------------------------------------------


def elasticsearch(settings: Elasticsearch) -> Collector:
    """Return Elasticsearch's bulk API. A document's id is its hash, so that what is told again is there already."""

    def body(items: Sequence[Item]) -> bytes:
        lines = []
        for item in items:
            id_ = hashlib.sha256(item.data).hexdigest()[:32]
            time = datetime.fromtimestamp(item.at_s, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
            lines += [compact({"create": {"_index": settings.index, "_id": id_}}),
                      compact({"@timestamp": time, **json.loads(item.data)})]  # fmt: skip
        return b"\n".join(lines) + b"\n"

    def judge(answer: Answer, count: int) -> str:
        if answer.status != 200:
            return judged(answer)
        outcomes = [one.get("create", {}) for one in answer.json.get("items", []) if isinstance(one, dict)]
        states = [one.get("status") for one in outcomes]
        if len(states) != count or not all(isinstance(status, int) for status in states):
            raise strange(answer)
        wrong = [
            one for one, status in zip(outcomes, states, strict=True) if not (200 <= status < 300 or status == 409)
        ]
        if any(one["status"] not in REFUSALS for one in wrong):
            raise LaterError(_said(next(one for one in wrong if one["status"] not in REFUSALS)))
        if wrong:
            raise RefusedError(_said(wrong[0]), len(wrong))
        return f"{count} documents, {states.count(409)} of them there already"

    headers = {"Content-Type": _LINES, "Accept": _JSON}
    headers |= {"Authorization": settings.authorization} if settings.authorization else {}
    told = "filter_path=errors,items.*.status,items.*.error.reason"  # and nothing else of each document
    web = Web(f"{settings.url.rstrip('/')}/_bulk?{told}", settings.ca_file, ANSWER_BYTES_MAX)
    return Collector(web, headers, body, judge, items_max=500)


def _said(outcome: Mapping[str, Any]) -> str:
    error = outcome.get("error")
    return f"{outcome['status']} {error.get('reason', '') if isinstance(error, dict) else ''}".strip()


# --- TAXII -------------------------------------------------------------------------------------


def taxii(settings: Taxii) -> Collector:
    """Return a collection, as section 5.5 of TAXII 2.1 has it."""

    def body(items: Sequence[Item]) -> bytes:
        (item,) = items
        return compact({"objects": json.loads(item.data)["objects"]})

    def judge(answer: Answer, _: int) -> str:
        if answer.status != 202:
            judged(answer)  # which raises for what is no success
            raise strange(answer)
        status = answer.json
        if status.get("status") not in ("complete", "pending"):
            raise strange(answer)
        counts = ", ".join(f"{status.get(f'{name}_count', 0)} {name}" for name in ("success", "failure", "pending"))
        if status.get("failure_count") and not (status.get("success_count") or status.get("pending_count")):
            failures = status.get("failures")
            first = failures[0] if isinstance(failures, list) and failures and isinstance(failures[0], dict) else {}
            # What is told again fails too, at servers that call an object a failure which they have already.
            if not is_there(str(first.get("id", ""))):
                raise RefusedError(f"{counts}: {first.get('message', '')}")
        return counts

    def is_there(id_: str) -> bool:
        if not re.fullmatch(r"[a-z0-9-]{1,128}", id_):
            return False
        found = web.ask(None, headers, f"{web.path}{id_}/", "GET")
        return found.status == 200 and bool(found.json.get("objects"))

    headers = {"Content-Type": _TAXII, "Accept": _TAXII}
    if settings.authorization:
        headers["Authorization"] = settings.authorization
    elif settings.user:
        known = base64.b64encode(f"{settings.user}:{settings.password}".encode()).decode("ascii")
        headers["Authorization"] = f"Basic {known}"
    web = Web(f"{settings.url.rstrip('/')}/objects/", settings.ca_file, ANSWER_BYTES_MAX)
    return Collector(web, headers, body, judge, items_max=1)


# --- chats -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shape:
    """What a chat takes: a template, how many characters of text, and whether `<` and `&` in it are to be escaped."""

    template: Any
    chars_max: int
    escaped: bool = False


# In a block of code nobody is mentioned, and nothing is a link. Slack's mentions are tags, there as well.
_CODE = f"```\n{TEXT}\n```"
SHAPES = {
    "slack": Shape({"text": _CODE, "unfurl_links": False, "unfurl_media": False}, 3_000, escaped=True),
    "discord": Shape({"content": _CODE, "allowed_mentions": {"parse": []}}, 2_000),
    "mattermost": Shape({"text": _CODE}, 4_000),
    "telegram": Shape({"chat_id": CHAT, "text": f"<pre>{TEXT}</pre>", "parse_mode": "HTML"}, 4_096, escaped=True),
    "teams": Shape(
        {"type": "message", "attachments": [
            {"contentType": "application/vnd.microsoft.card.adaptive", "content": {
                "type": "AdaptiveCard", "version": "1.4", "body": [{"type": "RichTextBlock", "inlines": [
                    {"type": "TextRun", "text": TEXT, "fontType": "Monospace"},  # a run of text is no Markdown
                ]}],
            }},
        ]},
        10_000,
    ),
}  # fmt: skip
_OWN_CHARS_MAX = 2_000
_AROUND_CHARS = 100  # of the template about the text


def webhook(settings: Webhook) -> Collector:
    """Return a chat's webhook."""
    shape = SHAPES.get(settings.shape) or Shape(json.loads(settings.template), _OWN_CHARS_MAX)

    def body(items: Sequence[Item]) -> bytes:
        text = "\n".join(item.data.decode() for item in items).replace("`", "'")
        text = html.escape(text, quote=False) if shape.escaped else text
        return compact(_filled(shape.template, {TEXT: text, CHAT: settings.chat}))

    def judge(answer: Answer, _: int) -> str:
        said = judged(answer)
        if settings.shape == "telegram" and answer.json.get("ok") is not True:
            raise strange(answer)
        return said

    items_max = (shape.chars_max - _AROUND_CHARS) // (LINE_CHARS_MAX + 1)
    web = Web(settings.url, settings.ca_file)
    return Collector(web, {"Content-Type": _JSON}, body, judge, items_max=items_max, pause_s=1.0)


def _filled(template: Any, words: Mapping[str, str]) -> Any:
    """Return a template with words in its texts replaced: after it was read, so that no text can change its form."""
    match template:
        case dict():
            return {name: _filled(one, words) for name, one in template.items()}
        case list():
            return [_filled(one, words) for one in template]
        case str():
            for word, text in words.items():
                if word in template:
                    return template.replace(word, text)
    return template
