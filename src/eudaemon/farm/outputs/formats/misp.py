"""MISP: an event for each session that brought or tried something; a sighting where MISP has all of it already.

An event bears the attacker's address, each sample (with its bytes as `malware-sample`), and what `SAID` makes of
the session's other facts: attributes and objects. Ids are UUIDv5, so that an event that is sent again is the same.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from eudaemon.events import Fact
from eudaemon.events import catalogue as facts
from eudaemon.farm.outputs.batch import Batch, Item, Session
from eudaemon.farm.outputs.formats.encrypted import zipped
from eudaemon.farm.outputs.formats.sentences import quoted, sentence

OURS = uuid.UUID("0c8b6c1e-52ab-5a0e-8f0e-3f9a4c7d1b62")
SIGHTING = "sighting"  # name of an item that is no event
SAMPLE_BYTES_MAX = 4 * 1024 * 1024  # a larger sample is told of by its hashes alone: encryption would take seconds
SAMPLES_MAX, CREDENTIALS_MAX, COMMANDS_MAX, URLS_MAX = 20, 50, 200, 200  # of one session
SAID_MAX = 100  # of every other kind of event

# Templates of MISP's objects: name -> (uuid, version, meta-category).
TEMPLATES = {
    "file": ("688c46fb-5edb-40a3-8273-1af7923e2215", "25", "file"),
    "credential": ("a27e98c9-9b0e-414c-8076-d201e039ca09", "5", "misc"),
    "command-line": ("88ebe222-d3cc-11e9-875d-7f13f460adaf", "2", "misc"),
    "http-request": ("b4a8d163-8110-4239-bfcf-e08f3a9fdf7b", "4", "network"),
    "email": ("a0c666e0-fc65-4be8-b48f-3423d788b552", "19", "network"),
}
# Type of an attribute -> its category.
_CATEGORIES = {
    "ip-src": "Network activity", "url": "Network activity", "vulnerability": "External analysis", "text": "Other",
    "md5": "Payload delivery", "sha1": "Payload delivery", "sha256": "Payload delivery", "filename": "Payload delivery",
    "malware-sample": "Payload delivery", "size-in-bytes": "Other", "ip-dst": "Network activity",
    "hassh-md5": "Network activity", "ssh-fingerprint": "Network activity", "http-method": "Network activity",
    "uri": "Network activity", "hostname": "Network activity", "user-agent": "Network activity",
    "email-src": "Payload delivery", "email-dst": "Network activity", "email-subject": "Payload delivery",
}  # fmt: skip
_FOR_DETECTION = {"ip-src", "ip-dst", "url", "md5", "sha1", "sha256", "malware-sample"}
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
    kinds = (facts.CommandEntered, facts.ExploitRecognised, facts.DownloadWished, facts.ControlHijacked)
    return bool(session.samples()) or any(isinstance(told.event.fact, kinds) for told in session.told)


def event(session: Session, batch: Batch) -> Object:
    """Return a session's event."""
    attacker = session.attacker.ip
    whence = _attribute(session, "ip-src", attacker, f"attacked {session.room}, port {session.local.port}")
    said = {one["uuid"]: one for one in (whence, *_said(session))}  # each once: MISP takes no attribute twice
    attributes = [one for one in said.values() if "Attribute" not in one]
    objects = [one for one in said.values() if "Attribute" in one]
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
        "Object": [*_files(session, samples, batch), *objects],
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


def _said(session: Session) -> Iterator[Object]:
    """Yield attributes and objects of what was done, each once, and so many of a kind of event at most."""
    for kind, (say, count_max) in SAID.items():
        for fact in list(dict.fromkeys(session.every(kind)))[:count_max]:
            yield from say(session, fact)


def _url(session: Session, fact: facts.DownloadWished) -> Iterator[Object]:
    yield _attribute(session, "url", fact.url, "named by the attacker")


def _served(session: Session, fact: facts.DownloadFinished) -> Iterator[Object]:
    if fact.sha256 and fact.peer:
        yield _attribute(session, "ip-dst", fact.peer, f"served {fact.sha256}")


def _exploit(session: Session, fact: facts.ExploitRecognised) -> Iterator[Object]:
    carried = f": {quoted(fact.command)}" if fact.command else ""
    if re.fullmatch(r"CVE-\d{4}-\d{4,}", fact.reference):
        yield _attribute(session, "vulnerability", fact.reference, fact.name + carried)
    else:
        yield _attribute(session, "text", fact.name, f"exploit {fact.reference}".strip() + carried)


def _credential(session: Session, fact: facts.LoginTried) -> Iterator[Object]:
    fields = [("username", "text", fact.user), ("password", "text", fact.password or ""),
              ("origin", "text", "accepted" if fact.accepted else "refused")]  # fmt: skip
    yield _object(session, "credential", f"{fact.user}\0{fact.password}\0{fact.accepted}", _filled(fields))


def _challenge(session: Session, fact: facts.ChallengeAnswered | facts.NtlmResponseGiven) -> Iterator[Object]:
    """Give what was answered instead of a password, as hashcat and John read it."""
    if isinstance(fact, facts.NtlmResponseGiven):
        user = f"{fact.domain}\\{fact.user}" if fact.domain else fact.user
        scheme, station = "ntlm", fact.workstation
    else:
        user, scheme, station = fact.user, fact.scheme, ""
    fields = [("username", "text", user), ("password", "text", fact.response), ("format", "text", "hashed"),
              ("origin", "text", f"challenge of {scheme}"), ("text", "text", station)]  # fmt: skip
    yield _object(session, "credential", f"{user}\0{scheme}\0{fact.response}", _filled(fields))


def _command(session: Session, fact: facts.CommandEntered) -> Iterator[Object]:
    if fact.line.strip():
        yield _object(session, "command-line", fact.line, [("command_line", "text", fact.line)])


def _request(session: Session, fact: facts.RequestReceived) -> Iterator[Object]:
    fields = [("method", "http-method", fact.method), ("uri", "uri", fact.target), ("host", "hostname", fact.host),
              ("user-agent", "user-agent", fact.user_agent)]  # fmt: skip
    yield _object(session, "http-request", f"{fact.method} {fact.target} {fact.user_agent}", _filled(fields))


def _mail(session: Session, fact: facts.MailReceived) -> Iterator[Object]:
    fields = [("from", "email-src", fact.sender), ("subject", "email-subject", fact.subject)]
    fields += [("to", "email-dst", one) for one in fact.recipients]
    yield _object(session, "email", f"{fact.sender} {fact.recipients} {fact.subject}", _filled(fields))


def _ssh(session: Session, fact: facts.SshClientIdentified) -> Iterator[Object]:
    yield _attribute(session, "hassh-md5", fact.hassh, fact.version)


def _key(session: Session, fact: facts.PublicKeyOffered) -> Iterator[Object]:
    yield _attribute(session, "ssh-fingerprint", fact.fingerprint, f"offered as {fact.user}")


def _sentence(session: Session, fact: Fact) -> Iterator[Object]:
    """Say in words what MISP has no type for."""
    yield _attribute(session, "text", sentence(fact), fact.kind)


def _sample(*_: Any) -> Iterator[Object]:
    return iter(())  # the object `file`, which wants the bytes


# Kind of event -> the attributes and objects that tell it, and how many of that kind are told at most.
SAID: dict[type[Fact], tuple[Callable[[Session, Any], Iterator[Object]], int]] = {
    facts.DownloadWished: (_url, URLS_MAX),
    facts.DownloadFinished: (_served, URLS_MAX),
    facts.ExploitRecognised: (_exploit, SAID_MAX),
    facts.LoginTried: (_credential, CREDENTIALS_MAX),
    facts.ChallengeAnswered: (_challenge, CREDENTIALS_MAX),
    facts.NtlmResponseGiven: (_challenge, CREDENTIALS_MAX),
    facts.CommandEntered: (_command, COMMANDS_MAX),
    facts.RequestReceived: (_request, SAID_MAX),
    facts.MailReceived: (_mail, SAID_MAX),
    facts.SshClientIdentified: (_ssh, SAID_MAX),
    facts.PublicKeyOffered: (_key, SAID_MAX),
    **dict.fromkeys(
        (
            facts.ForwardingAsked, facts.ProxyAsked, facts.SmbClientIdentified, facts.RdpClientIdentified,
            facts.RpcBound, facts.RpcCalled, facts.FileRequested, facts.TlsAccepted, facts.PayloadClassified,
            facts.PeerFaulted, facts.ShellOffered, facts.ControlHijacked,
        ),
        (_sentence, SAID_MAX),
    ),
    facts.ArtefactKept: (_sample, SAMPLES_MAX),
}  # fmt: skip


def _filled(fields: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    return [field for field in fields if field[2].strip()]


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
