"""STIX 2.1: a bundle for each session that did more than knock. Every id is a UUIDv5, so that the same is the same.

    identity (the sensor) ◄── observed-data ──► network-traffic ──► ipv4-addr / ipv6-addr, url, file
          ▲                        ▲
          └──── sighting ──────────┴──► indicator (a sample's hash, a URL)

Observables get the ids that section 2.9 of the standard prescribes, other objects those of our own namespace. An
indicator is the same object whichever session shows it, so its `created` is a constant, and `modified` says when it was
seen.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from eudaemon.events import catalogue as facts
from eudaemon.events import rfc3339
from eudaemon.farm.outputs.batch import Batch, Item, Session

OBSERVABLES = uuid.UUID("00abedb4-aa42-466c-9c01-fed23315a9b7")  # STIX 2.1, section 2.9
OURS = uuid.UUID("5d0b6f5e-6d3c-5d0b-9a53-1f7b1e2c8a44")
CREATED = "2026-01-01T00:00:00.000Z"
INDICATED_MAX = 200  # samples and URLs of one session

# Which properties make an observable's id.
_CONTRIBUTING = {
    "ipv4-addr": ("value",), "ipv6-addr": ("value",), "url": ("value",), "file": ("hashes",),
    "network-traffic": ("start", "end", "src_ref", "dst_ref", "src_port", "dst_port", "protocols"),
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
    kinds = (facts.LoginTried, facts.CommandEntered, facts.ExploitRecognised, facts.ArtefactKept, facts.DownloadWished)
    return any(isinstance(told.event.fact, kinds) for told in session.told)


def bundle(session: Session) -> Object:
    """Return a session's bundle."""
    identity = {
        **_own("identity", session.sensor, CREATED), "name": session.sensor, "identity_class": "system",
        "description": "a sensor of a honeynet",
    }  # fmt: skip
    seen = {"hashes": list(session.samples()), "urls": [url for url in session.urls() if _is_url(url)]}
    files = [_observable("file", hashes={"SHA-256": sha256}) for sha256 in seen["hashes"][:INDICATED_MAX]]
    urls = [_observable("url", value=url) for url in seen["urls"][:INDICATED_MAX]]
    observables = [*_traffic(session), *files, *urls]
    first, last = rfc3339(session.opened_s), rfc3339(session.closed_s)
    observed = {
        **_own("observed-data", session.id, last, identity), "first_observed": first, "last_observed": last,
        "number_observed": 1, "object_refs": [one["id"] for one in observables],
    }  # fmt: skip
    objects = [identity, *observables, observed]
    names = {kept.sha256: kept.name for kept in session.every(facts.ArtefactKept)}
    for one in (*files, *urls):
        sha256 = one.get("hashes", {}).get("SHA-256", "")
        objects += _indicated(session, one, names.get(sha256, ""), identity, observed)
    return {"type": "bundle", "id": f"bundle--{uuid.uuid5(OURS, f'bundle {session.id}')}", "objects": objects}


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
    sighting = {
        **_own("sighting", f"{session.id} {pattern}", seen, identity), "sighting_of_ref": indicator["id"],
        "where_sighted_refs": [identity["id"]], "observed_data_refs": [observed["id"]], "count": 1,
        "first_seen": rfc3339(session.opened_s), "last_seen": seen,
    }  # fmt: skip
    return [indicator, sighting]


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


def _moment(at_s: float) -> str:
    """Return a time without the zeros at its end: it goes into an id, and stix2 reckons that id so."""
    return rfc3339(at_s).removesuffix("Z").rstrip("0").removesuffix(".") + "Z"
