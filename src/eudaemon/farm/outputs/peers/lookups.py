"""Who is asked what a sample is: VirusTotal, and a CAPE sandbox. The answer is a fact, which the farm states.

They are told the hash; the bytes only if the settings say so and they do not know it. What is not answered as their
makers document it, or of another file than was asked for, is no answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from eudaemon.events.catalogue import SampleJudged
from eudaemon.farm.outputs.batch import Item
from eudaemon.farm.outputs.peers import LaterError, clipped_answer
from eudaemon.farm.outputs.peers.web import Answer, Web, form, judged, strange
from eudaemon.farm.outputs.settings import Cape, VirusTotal

ANSWER_BYTES_MAX = 4 * 1024 * 1024  # VirusTotal says each engine's opinion
SUBMITTED_BYTES_MAX = 32 * 1024 * 1024  # what VirusTotal takes in one request; a larger sample is only asked for
LABEL_CHARS_MAX = 200
_JSON = {"Accept": "application/json"}


class _Oracle:
    """What they have in common: one sample at a time, by name its SHA-256; with bytes if it may be handed over."""

    items_max = 1
    by = ""  # what the fact says of who was asked

    def __init__(self, url: str, headers: Mapping[str, str], pause_s: float, ca_file: str = "") -> None:
        self._web = Web(url, ca_file, ANSWER_BYTES_MAX)
        self._root = self._web.path.rstrip("/")
        self._headers, self.pause_s = {**_JSON, **headers}, pause_s
        self._learnt: list[SampleJudged] = []

    def fits(self, _: Item) -> bool:
        """See `Peer`."""
        return True

    def send(self, items: Sequence[Item]) -> str:
        """See `Peer`."""
        (item,) = items
        self._learnt = []
        fact = self._known(item.name)
        if fact is None and 0 < len(item.data) <= SUBMITTED_BYTES_MAX:
            fact = self._submitted(item)
        self._learnt = [fact or SampleJudged(item.name, self.by, "unknown")]
        return f"{item.name}: {self._learnt[0].outcome} {self._learnt[0].label}".rstrip()

    def learnt(self) -> Sequence[SampleJudged]:
        """See `Teacher`."""
        found, self._learnt = self._learnt, []
        return found

    def probe(self) -> str:
        """Ask for a sample that nobody has."""
        return f"answers; a sample that nobody has is {'known' if self._known('0' * 64) else 'unknown'} to it"

    def close(self) -> None:
        """See `Peer`."""
        self._web.close()

    def _known(self, sha256: str) -> SampleJudged | None:
        """Ask by the hash alone; return nothing if it is not known there."""
        raise NotImplementedError

    def _submitted(self, item: Item) -> SampleJudged:
        """Hand a sample over."""
        raise NotImplementedError

    def _get(self, path: str) -> Answer:
        return self._web.ask(None, self._headers, self._root + path, "GET")

    def _hand_over(self, path: str, item: Item) -> Answer:
        body, media = form(("file", item.name, "application/octet-stream", item.data))
        return self._web.ask(body, {**self._headers, "Content-Type": media}, self._root + path)


class VirusTotalService(_Oracle):
    """VirusTotal, version 3 of its API. https://docs.virustotal.com/reference/file-info"""

    by = "virustotal"

    def __init__(self, settings: VirusTotal) -> None:
        super().__init__(settings.url, {"x-apikey": settings.key}, 60.0 / settings.per_minute)

    def _known(self, sha256: str) -> SampleJudged | None:
        answer = self._get(f"/files/{sha256}")
        if answer.status == 404 and _at(answer.json, "error", "code") == "NotFoundError":
            return None
        judged(answer, ())
        stats = _at(answer.json, "data", "attributes", "last_analysis_stats")
        if not isinstance(stats, dict) or _at(answer.json, "data", "id") != sha256:
            raise strange(answer)
        counts = {name: count for name, count in stats.items() if isinstance(count, int)}
        label = _at(answer.json, "data", "attributes", "popular_threat_classification", "suggested_threat_label")
        looked = sum(counts.get(name, 0) for name in ("malicious", "suspicious", "undetected", "harmless"))
        return SampleJudged(
            sha256, self.by, "known", _label(label), counts.get("malicious", 0), looked, link=self._link(sha256)
        )

    def _submitted(self, item: Item) -> SampleJudged:
        answer = self._hand_over("/files", item)
        judged(answer, ())
        if _at(answer.json, "data", "type") != "analysis":
            raise strange(answer)
        return SampleJudged(item.name, self.by, "submitted", link=self._link(item.name))

    def _link(self, sha256: str) -> str:
        return f"https://www.virustotal.com/gui/file/{sha256}"


class CapeSandbox(_Oracle):
    """A CAPE sandbox, version 2 of its API. https://capev2.readthedocs.io/en/latest/usage/api.html"""

    by = "cape"

    def __init__(self, settings: Cape) -> None:
        token = {"Authorization": f"Token {settings.token}"} if settings.token else {}
        super().__init__(settings.url, token, 1.0, settings.ca_file)
        self._url = settings.url.rstrip("/")

    def _known(self, sha256: str) -> SampleJudged | None:
        tasks = self._data(self._get(f"/apiv2/tasks/search/sha256/{sha256}/"), list)
        states = {
            one["id"]: one.get("status") for one in tasks if isinstance(one, dict) and isinstance(one.get("id"), int)
        }
        if not states:
            return None
        done = [number for number, status in states.items() if status == "reported"]
        if not done:
            return SampleJudged(sha256, self.by, "submitted", link=self._link(max(states)))
        number = max(done)
        task = self._data(self._get(f"/apiv2/tasks/view/{number}/"), dict)
        families = task.get("detections")
        names = [one.get("family") for one in families if isinstance(one, dict)] if isinstance(families, list) else []
        score = task.get("malscore")
        return SampleJudged(
            sha256, self.by, "known", _label(", ".join(str(name) for name in names if name) or families),
            score=min(10.0, max(0.0, float(score))) if isinstance(score, int | float) else 0.0, link=self._link(number),
        )  # fmt: skip

    def _submitted(self, item: Item) -> SampleJudged:
        data = self._data(self._hand_over("/apiv2/tasks/create/file/", item), dict)
        ids = data.get("task_ids")
        if not isinstance(ids, list) or not ids or not isinstance(ids[0], int):
            raise LaterError(f"CAPE made no task: {clipped_answer(json.dumps(data))}")
        return SampleJudged(item.name, self.by, "submitted", link=self._link(ids[0]))

    def _data(self, answer: Answer, kind: type[Any]) -> Any:
        """Return what stands under `data`. Errors have the status 200, too."""
        judged(answer, ())
        found = answer.json
        if found.get("error"):
            raise LaterError(f"CAPE says: {clipped_answer(str(found.get('error_value') or found['error']))}")
        if not isinstance(found.get("data"), kind):
            raise strange(answer)
        return found["data"]

    def _link(self, task: int) -> str:
        return f"{self._url}/analysis/{task}/"


def _at(value: Any, *path: str) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _label(value: Any) -> str:
    return clipped_answer(value)[:LABEL_CHARS_MAX] if isinstance(value, str) else ""
