"""Suricata's EVE, of which its tooling understands this part: `SAID` says which kind of event becomes which record.

The shapes are those of Suricata's etc/schema.json (8.0). A session's records share a `flow_id`, and end with its flow.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Iterator
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
        for at_s, record in records(session):
            yield Item(compact(record), at_s=at_s)


def records(session: Session) -> Iterator[tuple[float, dict[str, Any]]]:
    """Yield a session's records, each with its time; its flow comes last, whatever arrived after its end."""
    told = sorted(session.told, key=lambda one: isinstance(one.event.fact, facts.SessionClosed))
    for one in told:
        for kind, own in _said(one.event.fact, session):
            yield one.event.at_s, _envelope(session, one.event, kind) | own
    if session.closed is None:  # so many facts that its end is not among those that the store returns
        unknown = facts.SessionClosed(session.room, "", 0.0, 0, 0)
        for kind, own in _flow(unknown, session):
            yield session.closed_s, _envelope(session, told[-1].event, kind) | own


def _said(fact: Fact, session: Session) -> Said:
    say = SAID.get(type(fact))
    return iter(()) if say is None else say(fact, session)


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


Said = Iterator[tuple[str, dict[str, Any]]]  # the record's type, and its own part


def _alert(
    name: str, severity: int, category: str, payload: str = "", reference: str = ""
) -> tuple[str, dict[str, Any]]:  # fmt: skip
    """Return an alert; `payload` is the attacker's text, where Suricata's has the packet's."""
    number = SIGNATURES_FROM + zlib.crc32(name.encode()) % SIGNATURES
    signature = f"Eudaemon {name} {reference}".strip()
    alert = {"action": "allowed", "gid": 1, "signature_id": number, "rev": 1, "signature": signature,
             "category": category, "severity": severity}  # fmt: skip
    return "alert", {"alert": alert} | ({"payload_printable": payload} if payload else {})


def _login(fact: facts.LoginTried, _: Session) -> Said:
    how = ("login accepted", 2, _USER) if fact.accepted else ("login refused", 3, _TRIED_USER)
    yield _alert(*how, " ".join((fact.user, *([] if fact.password is None else [fact.password]))))


def _challenge(fact: facts.ChallengeAnswered, _: Session) -> Said:
    yield _alert(f"login answered {fact.scheme}", 3, _TRIED_USER, fact.response)


def _ntlm(fact: facts.NtlmResponseGiven, session: Session) -> Said:
    if session.room == "smb":
        yield "smb", {"smb": {"ntlmssp": {"domain": fact.domain, "user": fact.user, "host": fact.workstation}}}
    yield _alert("login answered ntlm", 3, _TRIED_USER, fact.response or f"{fact.domain}\\{fact.user}")


def _command(fact: facts.CommandEntered, session: Session) -> Said:
    if session.room == "ftp":
        command, space, rest = fact.line.partition(" ")
        yield "ftp", {"ftp": {"command": command} | ({"command_data": rest} if space else {})}
    else:
        yield _alert("command entered", 2, "Executable code was detected", fact.line)


def _exploit(fact: facts.ExploitRecognised, _: Session) -> Said:
    yield _alert(fact.name, 1, _ADMIN, fact.command, fact.reference)


def _key(fact: facts.PublicKeyOffered, _: Session) -> Said:
    yield _alert("key offered", 3, _TRIED_USER, f"{fact.user} {fact.algorithm} {fact.fingerprint}")


def _forwarding(fact: facts.ForwardingAsked, _: Session) -> Said:
    yield _alert("forwarding asked for", 3, "Misc Attack", f"{fact.direction} {fact.host}:{fact.port}")


def _proxied(fact: facts.ProxyAsked, _: Session) -> Said:
    yield _alert("proxy asked", 3, "Misc Attack", f"{fact.protocol} {fact.action} {fact.host}:{fact.port}")


def _wished(fact: facts.DownloadWished, _: Session) -> Said:
    yield _alert("download wished", 1, "A Network Trojan was detected", fact.url)


def _shell(fact: facts.ShellOffered, _: Session) -> Said:
    yield _alert("shellcode", 1, "Executable code was detected", f"{fact.system} {fact.way} {fact.host}:{fact.port}")


def _hijacked(fact: facts.ControlHijacked, _: Session) -> Said:
    yield _alert(f"control hijacked by {fact.how}", 1, "Successful Administrator Privilege Gain", fact.instruction)


def _classified(fact: facts.PayloadClassified, _: Session) -> Said:
    payload = base64.b64encode(bytes.fromhex(fact.head)).decode("ascii")
    kind, own = _alert(f"payload {fact.guess}", 3, "Misc activity")
    yield kind, own | {"payload": payload}


def _faulted(fact: facts.PeerFaulted, session: Session) -> Said:
    yield "anomaly", {"anomaly": {"type": "applayer", "event": fact.reason, "layer": "proto_parser",
                                  "app_proto": session.room}}  # fmt: skip


def _request(fact: facts.RequestReceived, _: Session) -> Said:
    http = {"hostname": fact.host, "url": fact.target, "http_user_agent": fact.user_agent,
            "http_method": fact.method, "protocol": "HTTP/1.1", "length": fact.body_bytes}  # fmt: skip
    yield "http", {"http": http}


def _ssh(fact: facts.SshClientIdentified, _: Session) -> Said:
    version, dash, software = fact.version.removeprefix("SSH-").partition("-")
    client = {"proto_version": version, "software_version": software if dash else "",
              "hassh": {"hash": fact.hassh, "string": fact.algorithms}}  # fmt: skip
    yield "ssh", {"ssh": {"client": client}}


def _tls(fact: facts.TlsAccepted, _: Session) -> Said:
    tls = {"version": fact.version} | ({"sni": fact.server_name} if fact.server_name else {})
    tls |= {"ja4": fact.ja4} if fact.ja4 else {}
    yield "tls", {"tls": tls | ({"ja3": {"hash": fact.ja3}} if fact.ja3 else {})}


def _smb(fact: facts.SmbClientIdentified, _: Session) -> Said:
    smb: dict[str, Any] = {"client_dialects": list(fact.dialects)}
    native = {"native_os": fact.system, "native_lm": fact.software}
    yield "smb", {"smb": smb | ({"request": native} if any(native.values()) else {})}


def _rdp(fact: facts.RdpClientIdentified, _: Session) -> Said:
    if fact.cookie:
        yield "rdp", {"rdp": {"event_type": "initial_request", "cookie": fact.cookie}}
    width, by, height = fact.size.partition("x")
    client: dict[str, Any] = {"client_name": fact.name, "build": str(fact.build), "keyboard_layout": str(fact.keyboard)}
    if by and width.isdecimal() and height.isdecimal():
        client |= {"desktop_width": int(width), "desktop_height": int(height)}
    yield "rdp", {"rdp": {"event_type": "connect_request", "client": client, "channels": list(fact.channels)}}


def _dcerpc(session: Session, endpoint: str, said: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return a record of a remote call: Suricata puts one that comes over a pipe into that of SMB."""
    if session.room == "smb":
        return "smb", {"smb": {"dcerpc": said} | ({"named_pipe": endpoint} if endpoint else {})}
    return "dcerpc", {"dcerpc": said | {"rpc_version": "5.0"}}


def _bound(fact: facts.RpcBound, session: Session) -> Said:
    uuid, _, version = fact.interface.partition(" ")
    said = {"request": "BIND", "interfaces": [{"uuid": uuid, "version": version}]}
    yield _dcerpc(session, fact.endpoint, said)


def _called(fact: facts.RpcCalled, session: Session) -> Said:
    # In SMB's records the number stands by itself, in those of DCE/RPC with what belongs to the request.
    if session.room == "smb":
        said = {"request": "REQUEST", "opnum": fact.number, "req": {"frag_cnt": 1, "stub_data_size": fact.stub_bytes}}
    else:
        said = {"request": "REQUEST", "req": {"opnum": fact.number, "frag_cnt": 1, "stub_data_size": fact.stub_bytes}}
    yield _dcerpc(session, fact.endpoint, said)


def _file(fact: facts.FileRequested, session: Session) -> Said:
    if session.room == "tftp":
        yield "tftp", {"tftp": {"packet": fact.action, "file": fact.path, "mode": "octet"}}
    elif session.room == "smb":
        yield "smb", {"smb": {"filename": fact.path}}
    else:
        yield _alert(f"file {fact.action}", 3, "Misc activity", fact.path)


def _mail(fact: facts.MailReceived, _: Session) -> Said:
    smtp = {"helo": fact.helo, "mail_from": fact.sender, "rcpt_to": list(fact.recipients)}
    email = {"from": fact.sender, "to": list(fact.recipients), "subject": fact.subject}
    yield "smtp", {"smtp": smtp, "email": email}


def _kept(fact: facts.ArtefactKept, _: Session) -> Said:
    if fact.origin in BROUGHT:
        info = {"filename": fact.name or fact.url, "sha256": fact.sha256, "size": fact.size, "stored": True,
                "state": "TRUNCATED" if fact.partial else "CLOSED", "gaps": False, "tx_id": 0}  # fmt: skip
        yield "fileinfo", {"fileinfo": info}


def _flow(closed: facts.SessionClosed, session: Session) -> Said:
    others = [told.event.fact for told in session.told if not isinstance(told.event.fact, facts.SessionClosed)]
    flow = {
        "start": _time(session.opened_s), "end": _time(session.closed_s),
        "age": int(session.closed_s - session.opened_s), "state": "closed", "reason": "shutdown",
        "alerted": any(kind == "alert" for fact in others for kind, _ in _said(fact, session)),
        "bytes_toserver": closed.bytes_in, "bytes_toclient": closed.bytes_out,
    }  # fmt: skip
    yield "flow", {"flow": flow}


# Suricata's classifications, as etc/classification.config describes them.
_ADMIN, _USER = "Attempted Administrator Privilege Gain", "Successful User Privilege Gain"
_TRIED_USER = "Attempted User Privilege Gain"

SAID: dict[type[Fact], Callable[[Any, Session], Said]] = {
    facts.LoginTried: _login,
    facts.ChallengeAnswered: _challenge,
    facts.NtlmResponseGiven: _ntlm,
    facts.CommandEntered: _command,
    facts.ExploitRecognised: _exploit,
    facts.PublicKeyOffered: _key,
    facts.ForwardingAsked: _forwarding,
    facts.ProxyAsked: _proxied,
    facts.DownloadWished: _wished,
    facts.ControlHijacked: _hijacked,
    facts.PayloadClassified: _classified,
    facts.ShellOffered: _shell,
    facts.PeerFaulted: _faulted,
    facts.RequestReceived: _request,
    facts.SshClientIdentified: _ssh,
    facts.TlsAccepted: _tls,
    facts.SmbClientIdentified: _smb,
    facts.RdpClientIdentified: _rdp,
    facts.RpcBound: _bound,
    facts.RpcCalled: _called,
    facts.FileRequested: _file,
    facts.MailReceived: _mail,
    facts.ArtefactKept: _kept,
    facts.SessionClosed: _flow,
}


def _time(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f+0000")
