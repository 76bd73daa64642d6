"""What dionaea says: a record for each connection (its log_json), and what it publishes over hpfeeds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from eudaemon.events import Event, Fact
from eudaemon.events import catalogue as facts
from eudaemon.farm.outputs.batch import BROUGHT, Batch, Item, Session, compact

# What dionaea calls its services, where the names differ; readers filter by them.
PROTOCOLS = {
    "smb": "smbd", "ftp": "ftpd", "http": "httpd", "mssql": "mssqld", "mysql": "mysqld", "tftp": "TftpServerHandler",
    "epmap": "epmapper", "mqtt": "mqttd", "mongodb": "mongod", "upnp": "upnpd", "sip": "SipSession",
}  # fmt: skip
SAMPLE_BYTES_MAX = 64 * 1024 * 1024  # a larger sample has no MD5 and SHA-512 here


def make(batch: Batch) -> Iterator[Item]:
    """Say each connection when it is over."""
    for session in batch.sessions:
        yield Item(compact(_record(session)), at_s=session.closed_s)


Record = dict[str, Any]


def _record(session: Session) -> Record:
    record: Record = {}
    for told in session.told:
        if (add := SAID.get(type(told.event.fact))) is not None:
            add(record, session, told.event.fact)
    return record


def _opened(record: Record, session: Session, _: facts.SessionOpened) -> None:
    record |= {
        "connection": {"protocol": protocol(session.room), "transport": session.transport, "type": "accept"},
        "dst_ip": session.local.ip,
        "dst_port": session.local.port,
        "src_hostname": "",
        "src_ip": session.attacker.ip,
        "src_port": session.attacker.port,
        # Without a time zone, in UTC, as dionaea has it.
        "timestamp": datetime.fromtimestamp(session.opened_s, UTC).replace(tzinfo=None).isoformat(),
    }


def _credential(record: Record, user: str, password: str | None) -> None:
    record.setdefault("credentials", []).append({"password": password, "username": user})


def _login(record: Record, _: Session, fact: facts.LoginTried) -> None:
    _credential(record, fact.user, fact.password)


def _challenge(record: Record, _: Session, fact: facts.ChallengeAnswered | facts.NtlmResponseGiven) -> None:
    """Put what was given instead of a password into its place, as dionaea does for MySQL."""
    _credential(record, fact.user, fact.response)


def _command(record: Record, session: Session, fact: facts.CommandEntered) -> None:
    if session.room == "ftp":
        first, *rest = fact.line.split() or [""]
        record.setdefault("ftp", {"commands": []})["commands"].append({"command": first, "arguments": rest})


SAID: dict[type[Fact], Callable[[Record, Session, Any], None]] = {
    facts.SessionOpened: _opened,
    facts.LoginTried: _login,
    facts.ChallengeAnswered: _challenge,
    facts.NtlmResponseGiven: _challenge,
    facts.CommandEntered: _command,
}


def protocol(room: str) -> str:
    """Return what dionaea calls a service."""
    return PROTOCOLS.get(room, room)


def connections(batch: Batch) -> Iterator[dict[str, Any]]:
    """Yield what dionaea publishes on `dionaea.connections`."""
    for told in batch.events:
        event = told.event
        if isinstance(event.fact, facts.SessionOpened) and event.attacker and event.local:
            udp = event.fact.transport == "udp"
            yield {
                "connection_type": "connect" if udp else "accept", "connection_transport": event.fact.transport,
                "connection_protocol": protocol(event.fact.room), "remote_host": event.attacker.ip,
                "remote_port": event.attacker.port, "remote_hostname": "", "local_host": event.local.ip,
                "local_port": event.local.port,
            }  # fmt: skip


def captures(batch: Batch) -> Iterator[dict[str, Any]]:
    """Yield what dionaea publishes on `dionaea.capture`: its ports are text."""
    for event, kept in brought(batch):
        data = batch.source.sample(kept.sha256, SAMPLE_BYTES_MAX)
        if data is not None and event.attacker and event.local:
            moment = datetime.fromtimestamp(event.at_s, UTC)
            yield {
                "time": moment.strftime("%Y-%m-%d %H:%M:%S.%f UTC +0000"), "saddr": event.attacker.ip,
                "sport": str(event.attacker.port), "daddr": event.local.ip, "dport": str(event.local.port),
                "md5": hashlib.md5(data, usedforsecurity=False).hexdigest(),
                "sha512": hashlib.sha512(data).hexdigest(), "url": kept.url,
            }  # fmt: skip


def remote_calls(batch: Batch) -> Iterator[dict[str, Any]]:
    """Yield what dionaea publishes on `dionaea.dcerpcrequests`: which operation of which interface was called."""
    for session in batch.sessions:
        # A call bears the interface's name, if it has one; its UUID and version stand where the peer asked for it.
        uuids = {bound.name or bound.interface: bound.interface for bound in session.every(facts.RpcBound)}
        for call in session.every(facts.RpcCalled):
            yield {
                "uuid": uuids.get(call.interface, call.interface).split(" ")[0], "opnum": call.number,
                "saddr": session.attacker.ip, "sport": str(session.attacker.port), "daddr": session.local.ip,
                "dport": str(session.local.port),
            }  # fmt: skip


def brought(batch: Batch) -> Iterator[tuple[Event, facts.ArtefactKept]]:
    """Yield what attackers brought whole, with the event that says so."""
    for told in batch.events:
        fact = told.event.fact
        if isinstance(fact, facts.ArtefactKept) and fact.origin in BROUGHT and not fact.partial:
            yield told.event, fact
