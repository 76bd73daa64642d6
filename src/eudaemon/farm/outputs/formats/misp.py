"""MISP: an event for each session that brought or tried something; a sighting where MISP has all of it already.

An event bears the attacker's address, the URLs and exploits, and objects: each sample (with its bytes as
`malware-sample`), the credentials, and the commands. Ids are UUIDv5, so that an event that is sent again is the same.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from eudaemon.events import catalogue as facts
from eudaemon.farm.outputs.batch import Batch, Item, Session
from eudaemon.farm.outputs.formats.encrypted import zipped

OURS = uuid.UUID("0c8b6c1e-52ab-5a0e-8f0e-3f9a4c7d1b62")
SIGHTING = "sighting"  # name of an item that is no event
SAMPLE_BYTES_MAX = 4 * 1024 * 1024  # a larger sample is told of by its hashes alone: encryption would take seconds
SAMPLES_MAX, CREDENTIALS_MAX, COMMANDS_MAX, URLS_MAX = 20, 50, 200, 200  # of one session

# Templates of MISP's objects: name -> (uuid, version, meta-category).
TEMPLATES = {
    "file": ("688c46fb-5edb-40a3-8273-1af7923e2215", "25", "file"),
    "credential": ("a27e98c9-9b0e-414c-8076-d201e039ca09", "5", "misc"),
    "command-line": ("88ebe222-d3cc-11e9-875d-7f13f460adaf", "2", "misc"),
}
# Type of an attribute -> its category.
_CATEGORIES = {
    "ip-src": "Network activity", "url": "Network activity", "vulnerability": "External analysis", "text": "Other",
    "md5": "Payload delivery", "sha1": "Payload delivery", "sha256": "Payload delivery", "filename": "Payload delivery",
    "malware-sample": "Payload delivery", "size-in-bytes": "Other",
}  # fmt: skip
_FOR_DETECTION = {"ip-src", "url", "md5", "sha1", "sha256", "malware-sample"}
Object = dict[str, Any]


def make(batch: Batch) -> Iterator[Item]:
    """Give an event for each session that brought or tried something: files as MISP's feeds have them."""
    for session in batch.sessions:
        if did_something(session):
            made = event(session, batch)
            yield Item(_text({"Event": made}), name=f"{made['uuid']}.json", key=f"session {session.id}")


def make_with_sightings(batch: Batch) -> Iterator[Item]:
    """Give events, and instead of one that would only repeat samples and URLs, a sighting of these."""
    told_now: set[str] = set()
    for session in batch.sessions:
        if not did_something(session):
            continue
        key = f"session {session.id}"
        values = [*session.samples(), *session.urls()]
        brought = {f"seen {value}" for value in values}
        if brought and all(one in told_now or batch.source.was_told(one) for one in brought):
            sighting = {"values": values, "timestamp": int(session.closed_s), "source": session.sensor, "type": "0"}
            yield Item(_text(sighting), name=SIGHTING, key=key)
        else:
            yield Item(_text({"Event": event(session, batch)}), key=key, also=tuple(sorted(brought)))
            told_now |= brought


def did_something(session: Session) -> bool:
    """Say whether a session brought or tried something. Guessing passwords alone is no event in MISP."""
    kinds = (facts.CommandEntered, facts.ExploitRecognised, facts.DownloadWished)
    return bool(session.samples()) or any(isinstance(told.event.fact, kinds) for told in session.told)


def event(session: Session, batch: Batch) -> Object:
    """Return a session's event."""
    exploits = list(dict.fromkeys(session.every(facts.ExploitRecognised)))
    attacker = session.attacker.ip
    attributes = [_attribute(session, "ip-src", attacker, f"attacked {session.room}, port {session.local.port}")]
    attributes += [_attribute(session, "url", url, "named by the attacker") for url in session.urls()[:URLS_MAX]]
    attributes += [
        _attribute(session, "vulnerability", exploit.reference, exploit.name)
        if re.fullmatch(r"CVE-\d{4}-\d{4,}", exploit.reference)
        else _attribute(session, "text", exploit.name, f"exploit {exploit.reference}".strip())
        for exploit in exploits
    ]
    samples = list(session.samples().values())
    brought = f", {len(samples)} samples" if len(samples) > 1 else ", 1 sample" if samples else ""
    return {
        "uuid": _id("event", session.id),
        "info": f"Honeypot {session.sensor}: {session.room} session of {attacker}{brought}",
        "date": datetime.fromtimestamp(session.opened_s, UTC).strftime("%Y-%m-%d"),
        "timestamp": str(int(session.closed_s)),
        "threat_level_id": "2" if samples else "3",  # medium, low
        "analysis": "2",  # completed: nothing follows
        "distribution": "0",  # your organisation only; whoever wants to share does so in MISP
        "published": False,
        "Attribute": attributes,
        "Object": [*_files(session, samples, batch), *_credentials(session), *_commands(session)],
    }


def _files(session: Session, samples: list[facts.ArtefactKept], batch: Batch) -> Iterator[Object]:
    for kept in samples[:SAMPLES_MAX]:
        data = batch.source.sample(kept.sha256, SAMPLE_BYTES_MAX)
        name = re.sub(r"[^\x21-\x7e]|[|/]", "_", kept.name.rpartition("/")[2])[:128] or kept.sha256
        fields = [("filename", "filename", name), ("sha256", "sha256", kept.sha256),
                  ("size-in-bytes", "size-in-bytes", str(kept.size))]  # fmt: skip
        more = []
        if data is not None:
            md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
            sha1 = hashlib.sha1(data, usedforsecurity=False).hexdigest()
            fields += [("md5", "md5", md5), ("sha1", "sha1", sha1)]
            # MISP wants two files in it: the sample under its MD5, and its name.
            archive = zipped({md5: data, f"{md5}.filename.txt": name.encode("ascii")})
            sample = _attribute(session, "malware-sample", f"{name}|{md5}", "")
            more = [{**sample, "object_relation": "malware-sample", "data": base64.b64encode(archive).decode()}]
        yield _object(session, "file", kept.sha256, fields, more, comment=kept.url or kept.origin)


def _credentials(session: Session) -> Iterator[Object]:
    for login in list(dict.fromkeys(session.every(facts.LoginTried)))[:CREDENTIALS_MAX]:
        fields = [("username", "text", login.user), ("password", "text", login.password),
                  ("origin", "text", "accepted" if login.accepted else "refused")]  # fmt: skip
        fields = [field for field in fields if field[2]]
        yield _object(session, "credential", f"{login.user}\0{login.password}\0{login.accepted}", fields)


def _commands(session: Session) -> Iterator[Object]:
    for line in list(dict.fromkeys(fact.line for fact in session.every(facts.CommandEntered)))[:COMMANDS_MAX]:
        if line.strip():
            yield _object(session, "command-line", line, [("value", "text", line)])


def _object(
    session: Session, template: str, key: str, fields: list[tuple[str, str, str]], more: list[Object] | None = None,
    *, comment: str = "",
) -> Object:  # fmt: skip
    template_uuid, version, category = TEMPLATES[template]
    made = _id(template, f"{session.id} {key}")
    attributes = [
        {**_attribute(session, kind, value, "", within=made, relation=relation), "object_relation": relation}
        for relation, kind, value in fields
    ]
    return {
        "name": template, "template_uuid": template_uuid, "template_version": version, "meta-category": category,
        "uuid": made, "comment": comment, "Attribute": [*attributes, *(more or [])],
    }  # fmt: skip


def _attribute(
    session: Session, kind: str, value: str, comment: str, *, within: str = "", relation: str = ""
) -> Object:
    return {
        "uuid": _id("attribute", f"{session.id} {within} {relation} {kind} {value}"), "type": kind,
        "category": _CATEGORIES[kind], "value": value, "to_ids": kind in _FOR_DETECTION, "comment": comment,
        "disable_correlation": kind in ("text", "size-in-bytes"),
    }  # fmt: skip


def _id(kind: str, key: str) -> str:
    return str(uuid.uuid5(OURS, f"{kind} {key}"))


def _text(value: Object) -> bytes:
    return json.dumps(value).encode("ascii")
