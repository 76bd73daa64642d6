"""Suricata's EVE, of which its tooling understands this part: alert, http, ssh, tls, fileinfo and flow.

The shapes are those of Suricata's etc/schema.json (8.0). A session's records share a `flow_id`, and end with its flow.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from eudaemon.events import Event, Fact
from eudaemon.events import catalogue as facts
from eudaemon.farm.outputs.batch import BROUGHT, Batch, Item, Session, compact

# Suricata leaves the numbers from 1,000,000 to 1,999,999 to local rules.
SIGNATURES_FROM, SIGNATURES = 1_000_000, 1_000_000
_FLOW_BITS = 52  # a number that JSON readers in JavaScript hold exactly


def make(batch: Batch) -> Iterator[Item]:
    """Say sessions, each when it is over."""
    for session in batch.sessions:
        for record in records(session):
            yield Item(compact(record))


def records(session: Session) -> Iterator[dict[str, Any]]:
    """Yield a session's records."""
    for told in session.told:
        if (said := _said(told.event.fact)) is not None:
            kind, own = said
            yield _envelope(session, told.event, kind) | own
    yield _envelope(session, session.told[-1].event, "flow") | {"flow": _flow(session)}


def _envelope(session: Session, event: Event, kind: str) -> dict[str, Any]:
    return {
        "timestamp": _time(session.closed_s if kind == "flow" else event.at_s),
        "flow_id": int(session.id.replace("-", ""), 16) & (1 << _FLOW_BITS) - 1,
        "host": session.sensor,
        "event_type": kind,
        "src_ip": session.attacker.ip,
        "src_port": session.attacker.port,
        "dest_ip": session.local.ip,
        "dest_port": session.local.port,
        "ip_v": 6 if ":" in session.attacker.ip else 4,
        "proto": session.transport.upper(),
        "app_proto": session.room,
    }


def _flow(session: Session) -> dict[str, Any]:
    flow = {
        "start": _time(session.opened_s), "end": _time(session.closed_s),
        "age": int(session.closed_s - session.opened_s), "state": "closed", "reason": "shutdown",
        "alerted": bool(session.every(facts.ExploitRecognised)),
    }  # fmt: skip
    if (closed := session.closed) is not None:
        flow |= {"bytes_toserver": closed.bytes_in, "bytes_toclient": closed.bytes_out}
    return flow


def _said(fact: Fact) -> tuple[str, dict[str, Any]] | None:
    match fact:
        case facts.ExploitRecognised():
            number = SIGNATURES_FROM + zlib.crc32(fact.name.encode()) % SIGNATURES
            signature = f"Eudaemon {fact.name} {fact.reference}".strip()
            alert = {"action": "allowed", "gid": 1, "signature_id": number, "rev": 1, "signature": signature,
                     "category": "Attempted Administrator Privilege Gain", "severity": 1}  # fmt: skip
            return "alert", {"alert": alert}
        case facts.RequestReceived():
            http = {"hostname": fact.host, "url": fact.target, "http_user_agent": fact.user_agent,
                    "http_method": fact.method, "protocol": "HTTP/1.1", "length": fact.body_bytes}  # fmt: skip
            return "http", {"http": http}
        case facts.SshClientIdentified():
            version, _, software = fact.version.removeprefix("SSH-").partition("-")
            client = {"proto_version": version, "software_version": software,
                      "hassh": {"hash": fact.hassh, "string": fact.algorithms}}  # fmt: skip
            return "ssh", {"ssh": {"client": client}}
        case facts.TlsAccepted():
            tls = {"version": fact.version} | ({"sni": fact.server_name} if fact.server_name else {})
            tls |= {"ja4": fact.ja4} if fact.ja4 else {}
            return "tls", {"tls": tls | ({"ja3": {"hash": fact.ja3}} if fact.ja3 else {})}
        case facts.ArtefactKept() if fact.origin in BROUGHT:
            info = {"filename": fact.name or fact.url, "sha256": fact.sha256, "size": fact.size, "stored": True,
                    "state": "TRUNCATED" if fact.partial else "CLOSED", "gaps": False, "tx_id": 0}  # fmt: skip
            return "fileinfo", {"fileinfo": info}
        case _:
            return None


def _time(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f+0000")
