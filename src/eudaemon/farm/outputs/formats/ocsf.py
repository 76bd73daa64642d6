"""OCSF 1.8: an event of the Open Cybersecurity Schema Framework for each of ours, in the class that `SAID` says.

What was only done is an activity of the network, the system or an account; what is an attack by itself (an exploit, a
file that was brought, a download) is a detection finding. OCSF has no place for a password and much else: all fields of
our event are in `unmapped`, as docs/events.md has them. https://schema.ocsf.io/1.8.0/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from eudaemon import __version__
from eudaemon.events import Endpoint, Fact, fields_of
from eudaemon.events import catalogue as facts
from eudaemon.farm.outputs.batch import BROUGHT, Batch, Item, Told, compact
from eudaemon.farm.outputs.formats.sentences import sentence

VERSION = "1.8.0"
# Classes, their category in the thousands.
PROCESS, FILE, FINDING, AUTHENTICATION = 1007, 1001, 2004, 3002
NETWORK, HTTP, RDP, SMB, SSH, EMAIL = 4001, 4002, 4005, 4006, 4007, 4009
INFORMATIONAL, LOW, MEDIUM, HIGH, CRITICAL = 1, 2, 3, 4, 5
OTHER = 99

Own = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """How a kind of event is told: class, activity in it, severity, and what belongs to the class."""

    class_uid: int
    activity_id: int | Callable[[Any], int]
    severity_id: int
    own: Callable[[Any, Told], Own]


def make(batch: Batch) -> Iterator[Item]:
    """Say what attackers do, and what the farm finds of samples."""
    for told in batch.events:
        if (made := record(told)) is not None:
            yield Item(compact(made), at_s=told.event.at_s)


def record(told: Told) -> Own | None:
    """Return an event as OCSF has it, if it has a place there."""
    event, row = told.event, SAID.get(type(told.event.fact))
    if row is None or (event.attacker is None and row.class_uid != FINDING):
        return None
    activity_id = row.activity_id if isinstance(row.activity_id, int) else row.activity_id(event.fact)
    made: Own = {
        "activity_id": activity_id,
        "category_uid": row.class_uid // 1000,
        "class_uid": row.class_uid,
        "type_uid": row.class_uid * 100 + activity_id,
        "severity_id": row.severity_id,
        "time": int(event.at_s * 1000),
        "metadata": {
            "version": VERSION, "uid": event.id, "log_name": event.fact.kind,
            "product": {"name": "Eudaemon", "vendor_name": "Eudaemon", "version": __version__},
        },
        "message": sentence(event.fact) or event.fact.kind,
        "unmapped": {"kind": event.fact.kind, "sensor": event.sensor, "session": event.session, **_fields(event.fact)},
    }  # fmt: skip
    if event.session:
        made["metadata"]["correlation_uid"] = event.session
    if row.class_uid in (PROCESS, FILE):
        # Neither class has an attacker's address: who acts is the session.
        made["actor"] = {"session": {"uid": event.session, "is_remote": True}, "app_name": event.sensor}
        made["device"] = _device(told)
    elif row.class_uid != FINDING:
        made |= _endpoints(told)
    return made | row.own(event.fact, told)


def _fields(fact: Fact) -> Own:
    return {field.name: getattr(fact, field.name) for field in fields_of(type(fact))}


def _endpoints(told: Told) -> Own:
    ends: Own = {}
    if told.event.attacker is not None:
        source = _endpoint(told.event.attacker)
        if told.country:
            source["location"] = {"country": told.country}
        if told.asn:
            source["autonomous_system"] = {"number": told.asn, "name": told.as_name}
        ends["src_endpoint"] = source
    if told.event.local is not None:
        ends["dst_endpoint"] = _endpoint(told.event.local) | {"name": told.event.sensor}
    return ends


def _endpoint(end: Endpoint) -> Own:
    return {"ip": end.ip.partition("%")[0], "port": end.port}


def _device(told: Told) -> Own:
    address = {"ip": told.event.local.ip.partition("%")[0]} if told.event.local else {}
    return {"name": told.event.sensor, "type_id": 0, **address}


# --- what belongs to the classes ---------------------------------------------------------------


def _opened(fact: facts.SessionOpened, _: Told) -> Own:
    return {"connection_info": {"direction_id": 1, "protocol_name": fact.transport}, "app_name": fact.room}


def _closed(fact: facts.SessionClosed, _: Told) -> Own:
    traffic = {"bytes_in": fact.bytes_in, "bytes_out": fact.bytes_out, "bytes": fact.bytes_in + fact.bytes_out}
    return {"app_name": fact.room, "duration": int(fact.duration_s * 1000), "traffic": traffic}


def _faulted(fact: facts.PeerFaulted, _: Told) -> Own:
    return {"app_name": fact.room, "status_id": 2, "status_detail": fact.reason}


def _tls(fact: facts.TlsAccepted, _: Told) -> Own:
    tls = {"version": fact.version, "cipher": fact.cipher} | ({"sni": fact.server_name} if fact.server_name else {})
    return {"tls": tls} | ({"ja4_fingerprint_list": [{"type_id": 1, "value": fact.ja4}]} if fact.ja4 else {})


def _login(fact: facts.LoginTried, _: Told) -> Own:
    return {"user": {"name": fact.user}, "is_remote": True, "status_id": 1 if fact.accepted else 2}


def _challenge(fact: facts.ChallengeAnswered, _: Told) -> Own:
    protocol = {"auth_protocol_id": OTHER, "auth_protocol": "VNC"} if fact.scheme == "vnc" else {"auth_protocol_id": 3}
    return {"user": {"name": fact.user}, "is_remote": True, "status_id": 0, **protocol}


def _ntlm(fact: facts.NtlmResponseGiven, told: Told) -> Own:
    source = _endpoints(told)["src_endpoint"] | ({"name": fact.workstation} if fact.workstation else {})
    user = {"name": fact.user} | ({"domain": fact.domain} if fact.domain else {})
    return {"user": user, "is_remote": True, "status_id": 0, "auth_protocol_id": 1, "src_endpoint": source}


def _key(fact: facts.PublicKeyOffered, _: Told) -> Own:
    how = {"auth_protocol_id": OTHER, "auth_protocol": "publickey"}
    return {"user": {"name": fact.user}, "is_remote": True, "status_id": 2, **how}


def _ssh(fact: facts.SshClientIdentified, _: Told) -> Own:
    fingerprint = {"algorithm_id": 1, "value": fact.hassh}  # HASSH is an MD5
    return {"protocol_ver": fact.version, "client_hassh": {"algorithm": fact.algorithms, "fingerprint": fingerprint}}


def _smb(fact: facts.SmbClientIdentified, _: Told) -> Own:
    return {"client_dialects": list(fact.dialects)}


def _rdp(fact: facts.RdpClientIdentified, told: Told) -> Own:
    source = _endpoints(told)["src_endpoint"] | ({"name": fact.name} if fact.name else {})
    own: Own = {"src_endpoint": source, "keyboard_info": {"keyboard_layout": str(fact.keyboard)}}
    return own | ({"identifier_cookie": fact.cookie} if fact.cookie else {})


_METHODS = {"CONNECT": 1, "DELETE": 2, "GET": 3, "HEAD": 4, "OPTIONS": 5, "POST": 6, "PUT": 7, "TRACE": 8, "PATCH": 9}


def _request(fact: facts.RequestReceived, _: Told) -> Own:
    url = {"path": fact.target} | ({"hostname": fact.host} if _HOST.fullmatch(fact.host) else {})
    method = {"http_method": fact.method} if fact.method in _METHODS else {}
    return {"http_request": {"url": url, "user_agent": fact.user_agent, "body_length": fact.body_bytes, **method}}


def _mail(fact: facts.MailReceived, _: Told) -> Own:
    mail: Own = {"subject": fact.subject, "size": fact.size}
    mail["to"] = [one for one in fact.recipients if _MAILBOX.fullmatch(one)]
    mail |= {"from": fact.sender} if _MAILBOX.fullmatch(fact.sender) else {}
    return {"email": mail, "direction_id": 1} | ({"smtp_hello": fact.helo} if fact.helo else {})


def _command(fact: facts.CommandEntered, told: Told) -> Own:
    return {"process": {"cmd_line": fact.line, "uid": told.event.id}}


_ACTIONS = {"read": 2, "write": 1, "make": 1, "remove": 4, "rename": 5, "change": 6}


def _file(fact: facts.FileRequested, _: Told) -> Own:
    name = fact.path.replace("\\", "/").rstrip("/").rpartition("/")[2] or fact.path
    file = {"name": name, "path": fact.path, "type_id": 2 if fact.action in ("list", "make") else 0}
    return {"file": file, "status_id": 1 if fact.done else 2}


def _finding(told: Told, title: str, kind: str, **evidence: Any) -> Own:
    info = {"uid": told.event.id, "title": title, "types": [kind], "desc": sentence(told.event.fact)}
    seen = _endpoints(told) | evidence
    return {"finding_info": info} | ({"evidences": [seen]} if seen else {})


def _exploit(fact: facts.ExploitRecognised, told: Told) -> Own:
    evidence = {"data": {"command": fact.command}} if fact.command else {}
    found = _finding(told, fact.name, "exploit", **evidence)
    known = re.fullmatch(r"CVE-\d{4}-\d{4,}", fact.reference)
    return found | ({"vulnerabilities": [{"cve": {"uid": fact.reference}}]} if known else {})


def _hijacked(fact: facts.ControlHijacked, told: Told) -> Own:
    process = {"name": fact.process, "pid": fact.pid, "path": fact.program}
    return _finding(told, f"control of {fact.process} hijacked by {fact.how}", "control hijacked", process=process)


def _shell(fact: facts.ShellOffered, told: Told) -> Own:
    return _finding(told, f"shellcode for {fact.system}: {fact.way} {fact.host} {fact.port}", "shellcode")


def _sample(sha256: str, size: int, name: str) -> Own:
    hashes = [{"algorithm_id": 3, "value": sha256}]
    file = {"name": name.replace("\\", "/").rpartition("/")[2] or sha256, "type_id": 1, "hashes": hashes}
    return file | ({"size": size} if size else {})


def _kept(fact: facts.ArtefactKept, told: Told) -> Own:
    url = {"url": {"url_string": fact.url}} if fact.url else {}
    kind = "malware" if fact.origin in BROUGHT else fact.origin
    return _finding(told, f"{fact.origin} kept", kind, file=_sample(fact.sha256, fact.size, fact.name), **url)


def _wished(fact: facts.DownloadWished, told: Told) -> Own:
    return _finding(told, "download wished", "download", url={"url_string": fact.url})


def _finished(fact: facts.DownloadFinished, told: Told) -> Own:
    file = {"file": _sample(fact.sha256, fact.size, fact.url)} if fact.sha256 else {}
    return _finding(told, f"download {fact.outcome}", "download", url={"url_string": fact.url}, **file)


def _identified(fact: facts.SampleIdentified, told: Told) -> Own:
    return _finding(told, fact.description, "sample identified", file=_sample(fact.sha256, fact.size, ""))


def _judged(fact: facts.SampleJudged, told: Told) -> Own:
    title = fact.label or f"{fact.outcome} to {fact.by}"
    found = _finding(told, title, "sample judged", file=_sample(fact.sha256, 0, ""))
    if not fact.label:
        return found
    return found | {"malware": [{"name": fact.label, "provider": fact.by, "classification_ids": [0]}]}


def _nothing_more(*_: Any) -> Own:
    return {}


_HOST = re.compile(r"[0-9A-Za-z.-]{1,253}")
_MAILBOX = re.compile(r"[0-9A-Za-z._%+-]{1,64}@[0-9A-Za-z.-]{1,253}\.[A-Za-z]{2,}")

SAID: dict[type[Fact], Row] = {
    facts.SessionOpened: Row(NETWORK, 1, INFORMATIONAL, _opened),
    facts.SessionClosed: Row(NETWORK, 2, INFORMATIONAL, _closed),
    facts.PeerFaulted: Row(NETWORK, 4, LOW, _faulted),
    facts.TlsAccepted: Row(NETWORK, 6, INFORMATIONAL, _tls),
    facts.PayloadClassified: Row(NETWORK, 6, LOW, _nothing_more),
    facts.ProxyAsked: Row(NETWORK, 6, MEDIUM, _nothing_more),
    facts.RpcBound: Row(NETWORK, 6, LOW, _nothing_more),
    facts.RpcCalled: Row(NETWORK, 6, LOW, _nothing_more),
    facts.LoginTried: Row(AUTHENTICATION, 1, MEDIUM, _login),
    facts.ChallengeAnswered: Row(AUTHENTICATION, 1, MEDIUM, _challenge),
    facts.NtlmResponseGiven: Row(AUTHENTICATION, 1, MEDIUM, _ntlm),
    facts.PublicKeyOffered: Row(AUTHENTICATION, 1, MEDIUM, _key),
    facts.SshClientIdentified: Row(SSH, 1, INFORMATIONAL, _ssh),
    facts.ForwardingAsked: Row(SSH, 5, MEDIUM, _nothing_more),
    facts.SmbClientIdentified: Row(SMB, OTHER, INFORMATIONAL, _smb),
    facts.RdpClientIdentified: Row(RDP, 1, INFORMATIONAL, _rdp),
    facts.RequestReceived: Row(HTTP, lambda fact: _METHODS.get(fact.method, OTHER), LOW, _request),
    facts.MailReceived: Row(EMAIL, 2, MEDIUM, _mail),
    facts.CommandEntered: Row(PROCESS, 1, MEDIUM, _command),
    facts.FileRequested: Row(FILE, lambda fact: _ACTIONS.get(fact.action, OTHER), LOW, _file),
    facts.ExploitRecognised: Row(FINDING, 1, HIGH, _exploit),
    facts.ShellOffered: Row(FINDING, 1, HIGH, _shell),
    facts.ControlHijacked: Row(FINDING, 1, CRITICAL, _hijacked),
    facts.ArtefactKept: Row(FINDING, 1, HIGH, _kept),
    facts.DownloadWished: Row(FINDING, 1, HIGH, _wished),
    facts.DownloadFinished: Row(FINDING, 1, MEDIUM, _finished),
    facts.SampleIdentified: Row(FINDING, 1, MEDIUM, _identified),
    facts.SampleJudged: Row(FINDING, 1, MEDIUM, _judged),
}
