"""STIX 2.1: a bundle for each session that did more than knock. Every id is a UUIDv5, so that the same is the same.

    identity (the sensor) ◄── observed-data ──► network-traffic ──► ipv4-addr / ipv6-addr
          ▲                     ▲      │
          │                   note     └──► url, file, user-account, process, software, email-message
          └──── sighting ───────┴──► indicator (a sample's hash, a URL), vulnerability

What the standard has no observable for stands in the note, a sentence each.

Observables get the ids that section 2.9 of the standard prescribes, other objects those of our own namespace. An
indicator is the same object whichever session shows it, so its `created` is a constant, and `modified` says when it was
seen.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from eudaemon.events import Fact, rfc3339
from eudaemon.events import catalogue as facts
from eudaemon.farm.outputs.batch import Batch, Item, Session
from eudaemon.farm.outputs.formats.sentences import SAID as SENTENCES
from eudaemon.farm.outputs.formats.sentences import sentence

OBSERVABLES = uuid.UUID("00abedb4-aa42-466c-9c01-fed23315a9b7")  # STIX 2.1, section 2.9
OURS = uuid.UUID("5d0b6f5e-6d3c-5d0b-9a53-1f7b1e2c8a44")
CREATED = "2026-01-01T00:00:00.000Z"
INDICATED_MAX = 200  # samples and URLs of one session

SEEN_MAX = 100  # other observables of one session, and sentences of its note

# Which properties make an observable's id.
_CONTRIBUTING = {
    "ipv4-addr": ("value",), "ipv6-addr": ("value",), "url": ("value",), "file": ("hashes",),
    "network-traffic": ("start", "end", "src_ref", "dst_ref", "src_port", "dst_port", "protocols"),
    "user-account": ("account_type", "user_id", "account_login"), "email-addr": ("value",),
    "email-message": ("from_ref", "subject", "body"), "software": ("name", "cpe", "swid", "vendor", "version"),
}  # fmt: skip

Object = dict[str, Any]


def make(batch: Batch) -> Iterator[Item]:
    """Say sessions, each when it is over."""
    for session in batch.sessions:
        if tried_something(session):
            made = bundle(session)
            yield Item(json.dumps(made).encode("ascii"), name=f"{made['id']}.json", key=f"session {session.id}")


def tried_something(session: Session) -> bool:
    """Say whether a session did more than knock."""
    return any(isinstance(told.event.fact, _TRIED) for told in session.told)


def bundle(session: Session) -> Object:
    """Return a session's bundle."""
    identity = {
        **_own("identity", session.sensor, CREATED), "name": session.sensor, "identity_class": "system",
        "description": "a sensor of a honeynet",
    }  # fmt: skip
    seen = {"hashes": list(session.samples()), "urls": [url for url in session.urls() if _is_url(url)]}
    files = [_observable("file", hashes={"SHA-256": sha256}) for sha256 in seen["hashes"][:INDICATED_MAX]]
    urls = [_observable("url", value=url) for url in seen["urls"][:INDICATED_MAX]]
    observables = [*_traffic(session), *files, *urls, *_seen(session)]
    first, last = rfc3339(session.opened_s), rfc3339(session.closed_s)
    observed = {
        **_own("observed-data", session.id, last, identity), "first_observed": first, "last_observed": last,
        "number_observed": 1, "object_refs": [one["id"] for one in observables],
    }  # fmt: skip
    objects = [identity, *observables, observed, *_note(session, identity, observed)]
    names = {kept.sha256: kept.name for kept in session.every(facts.ArtefactKept)}
    for one in (*files, *urls):
        sha256 = one.get("hashes", {}).get("SHA-256", "")
        objects += _indicated(session, one, names.get(sha256, ""), identity, observed)
    for exploit in {exploit.name: exploit for exploit in session.every(facts.ExploitRecognised)}.values():
        vulnerability = _vulnerability(exploit)
        objects += [vulnerability, _sighting(session, vulnerability, exploit.name, identity, observed)]
    return {"type": "bundle", "id": f"bundle--{uuid.uuid5(OURS, f'bundle {session.id}')}", "objects": objects}


def _seen(session: Session) -> list[Object]:
    """Return what was seen besides addresses, samples and URLs, each once."""
    found: dict[str, Object] = {}
    for told in session.told:
        if (say := SAID.get(type(told.event.fact))) is not None:
            for one in say(told.event.fact):
                if len(found) < SEEN_MAX or one["id"] in found:
                    found[one["id"]] = one
    return list(found.values())


def _note(session: Session, identity: Object, observed: Object) -> list[Object]:
    """Return a note with what was done, in the order in which it was; nothing if nothing was."""
    said = list(dict.fromkeys(filter(None, (sentence(told.event.fact) for told in session.told))))
    if not said:
        return []
    if len(said) > SEEN_MAX:
        said[SEEN_MAX:] = [f"… and {len(said) - SEEN_MAX} more"]
    return [{
        **_own("note", session.id, rfc3339(session.closed_s), identity), "content": "\n".join(said),
        "abstract": f"what {session.attacker.ip} did at {session.room}", "object_refs": [observed["id"]],
    }]  # fmt: skip


def _vulnerability(exploit: facts.ExploitRecognised) -> Object:
    known = re.fullmatch(r"CVE-\d{4}-\d{4,}", exploit.reference)
    reference = {"external_references": [{"source_name": "cve", "external_id": exploit.reference}]} if known else {}
    return {
        **_own("vulnerability", exploit.name, CREATED), "name": exploit.reference if known else exploit.name,
        "description": exploit.name, **reference,
    }  # fmt: skip


def _account(user: str) -> Iterator[Object]:
    # Without the password: it is no part of the id, so that of several only one would be kept. The note has them.
    if user:
        yield _observable("user-account", account_login=user)


def _software(name: str, version: str = "") -> Iterator[Object]:
    if name:
        yield _observable("software", name=name, **({"version": version} if version else {}))


def _process(line: str) -> Iterator[Object]:
    # The standard gives a process no id of its own making: version 4, here out of the line, so that it is the same.
    made = uuid.UUID(bytes=hashlib.sha256(line.encode()).digest()[:16], version=4)
    yield {"type": "process", "spec_version": "2.1", "id": f"process--{made}", "command_line": line}


def _mail(fact: facts.MailReceived) -> Iterator[Object]:
    addresses = [_observable("email-addr", value=one) for one in (fact.sender, *fact.recipients) if _is_mailbox(one)]
    yield from addresses
    by_value = {one["value"]: one["id"] for one in addresses}
    to = [by_value[one] for one in fact.recipients if one in by_value]
    about = {"from_ref": by_value.get(fact.sender), "to_refs": to, "subject": fact.subject}
    yield _observable("email-message", is_multipart=False, **{name: value for name, value in about.items() if value})


def _nothing_more(_: Fact) -> Iterator[Object]:
    return iter(())


# Kind of event -> the observables that it is told by, besides its sentence in the note.
SAID: dict[type[Fact], Callable[[Any], Iterator[Object]]] = {
    **dict.fromkeys(SENTENCES, _nothing_more),
    facts.SessionClosed: _nothing_more,  # network-traffic, observed-data: when it ended
    facts.LoginTried: lambda fact: _account(fact.user),
    facts.ChallengeAnswered: lambda fact: _account(fact.user),
    facts.NtlmResponseGiven: lambda fact: _account(f"{fact.domain}\\{fact.user}" if fact.domain else fact.user),
    facts.PublicKeyOffered: lambda fact: _account(fact.user),
    facts.CommandEntered: lambda fact: _process(fact.line) if fact.line else iter(()),
    facts.SshClientIdentified: lambda fact: _software(fact.version),
    facts.SmbClientIdentified: lambda fact: _software(fact.software or fact.system),
    facts.RdpClientIdentified: lambda fact: _software("Remote Desktop client", str(fact.build or "")),
    facts.RequestReceived: lambda fact: _software(fact.user_agent),
    facts.MailReceived: _mail,
}
# Who did none of these only knocked.
_TRIED = (
    facts.LoginTried, facts.ChallengeAnswered, facts.NtlmResponseGiven, facts.PublicKeyOffered, facts.ForwardingAsked,
    facts.ProxyAsked, facts.CommandEntered, facts.MailReceived, facts.ExploitRecognised, facts.ControlHijacked,
    facts.ArtefactKept, facts.DownloadWished,
)  # fmt: skip


def _traffic(session: Session) -> list[Object]:
    attacker, local = (
        _observable("ipv6-addr" if ":" in end.ip else "ipv4-addr", value=end.ip)
        for end in (session.attacker, session.local)
    )
    version = "ipv6" if ":" in session.attacker.ip else "ipv4"
    traffic = _observable(
        "network-traffic", start=_moment(session.opened_s), end=_moment(session.closed_s), src_ref=attacker["id"],
        dst_ref=local["id"], src_port=session.attacker.port, dst_port=session.local.port,
        protocols=[version, session.transport, session.room], is_active=False,
    )  # fmt: skip
    return [attacker, local, traffic] if attacker["id"] != local["id"] else [attacker, traffic]


def _indicated(session: Session, of: Object, name: str, identity: Object, observed: Object) -> list[Object]:
    """Return the indicator of a sample or a URL, and that it was sighted."""
    seen = rfc3339(session.closed_s)
    value = of["value"] if of["type"] == "url" else of["hashes"]["SHA-256"]
    quoted = value.replace("\\", "\\\\").replace("'", "\\'")
    pattern = f"[url:value = '{quoted}']" if of["type"] == "url" else f"[file:hashes.'SHA-256' = '{quoted}']"
    indicator = {
        **_own("indicator", pattern, CREATED, identity=None), "modified": max(seen, CREATED),
        "name": f"{'URL' if of['type'] == 'url' else 'sample'} {value}", "indicator_types": ["malicious-activity"],
        "pattern": pattern, "pattern_type": "stix", "valid_from": seen,
    }  # fmt: skip
    if name:
        indicator["description"] = f"brought as {name}"
    return [indicator, _sighting(session, indicator, pattern, identity, observed)]


def _sighting(session: Session, of: Object, key: str, identity: Object, observed: Object) -> Object:
    seen = rfc3339(session.closed_s)
    return {
        **_own("sighting", f"{session.id} {key}", seen, identity), "sighting_of_ref": of["id"],
        "where_sighted_refs": [identity["id"]], "observed_data_refs": [observed["id"]], "count": 1,
        "first_seen": rfc3339(session.opened_s), "last_seen": seen,
    }  # fmt: skip


def _own(kind: str, key: str, created: str, identity: Mapping[str, Any] | None = None) -> Object:
    made: Object = {
        "type": kind, "spec_version": "2.1", "id": f"{kind}--{uuid.uuid5(OURS, f'{kind} {key}')}",
        "created": created, "modified": created,
    }  # fmt: skip
    return made | ({"created_by_ref": identity["id"]} if identity else {})


def _observable(kind: str, **properties: Any) -> Object:
    contributing = {name: properties[name] for name in _CONTRIBUTING[kind] if name in properties}
    # RFC 8785, as far as text, whole numbers and lists of them need it.
    canonical = json.dumps(contributing, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return {"type": kind, "spec_version": "2.1", "id": f"{kind}--{uuid.uuid5(OBSERVABLES, canonical)}", **properties}


def _is_url(url: str) -> bool:
    return "://" in url and url.isascii() and url.isprintable() and " " not in url


def _is_mailbox(text: str) -> bool:
    return re.fullmatch(r"[!-~]+@[!-~]+", text) is not None


def _moment(at_s: float) -> str:
    """Return a time without the zeros at its end: it goes into an id, and stix2 reckons that id so."""
    return rfc3339(at_s).removesuffix("Z").rstrip("0").removesuffix(".") + "Z"
