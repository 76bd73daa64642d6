"""JSON as cowrie's output plug-ins write it, and as what reads cowrie's log expects: cowrie's docs/OUTPUT.rst.

{"eventid":"cowrie.login.success","username":"root","password":"1234","message":"login attempt …",
 "sensor":"lab","timestamp":"2026-11-24T01:53:27.123456Z","src_ip":"203.0.113.9","session":"9f8a7b6c5d4e"}
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from eudaemon.events import Endpoint, Event, Fact, rfc3339
from eudaemon.events import catalogue as facts
from eudaemon.farm.outputs.batch import Batch, Item, Session, compact

SAMPLES = "var/lib/cowrie/downloads"  # where readers of `outfile` look for a sample

Said = tuple[str, str, dict[str, Any]]  # event id, message, own attributes


def make(batch: Batch) -> Iterator[Item]:
    """Say what cowrie has words for."""
    for told in batch.events:
        for record in records(told.event):
            yield Item(compact(record), at_s=told.event.at_s)


def records(event: Event) -> Iterator[dict[str, Any]]:
    """Yield an event as cowrie would log it; nothing, if cowrie knows no such thing."""
    say = SAID.get(type(event.fact))
    if say is None or event.attacker is None or event.local is None:
        return
    for eventid, message, own in say(event.fact, event.attacker, event.local):
        yield {
            "eventid": eventid, **own, "message": message, "sensor": event.sensor, "timestamp": rfc3339(event.at_s),
            "src_ip": event.attacker.ip, "session": session_id(event.session),
        }  # fmt: skip


def session_id(session: str) -> str:
    """Return a session's id as cowrie's are: 12 hexadecimal digits; the random end of ours."""
    return session[-12:]


def session_record(session: Session) -> dict[str, Any]:
    """Return a session as cowrie publishes it on its channel of hpfeeds, when it is over."""
    logins = session.every(facts.LoginTried)
    accepted = [[login.user, login.password] for login in logins if login.accepted]
    entered = session.every(facts.CommandEntered)
    finished = [done.url for done in session.every(facts.DownloadFinished) if done.sha256]
    return {
        "session": session_id(session.id),
        "startTime": rfc3339(session.opened_s),
        "endTime": rfc3339(session.closed_s),
        "peerIP": session.attacker.ip,
        "peerPort": session.attacker.port,
        "hostIP": session.local.ip,
        "hostPort": session.local.port,
        "loggedin": accepted[-1] if accepted else None,
        "credentials": [[login.user, login.password] for login in logins if not login.accepted],
        "commands": [line.line for line in entered],
        "unknownCommands": [name for line in entered for name in line.unknown],
        "urls": list(dict.fromkeys(finished)),
        "version": next((client.version for client in session.every(facts.SshClientIdentified)), None),
        "ttylog": None,
        "hashes": list(session.samples()),
        "protocol": session.room,
    }


def _opened(fact: facts.SessionOpened, src: Endpoint, dst: Endpoint) -> Iterator[Said]:
    own = {"src_port": src.port, "dst_ip": dst.ip, "dst_port": dst.port, "protocol": fact.room}
    yield "cowrie.session.connect", f"New connection: {src.ip}:{src.port} ({dst.ip}:{dst.port})", own


def _closed(fact: facts.SessionClosed, *_: Endpoint) -> Iterator[Said]:
    yield "cowrie.session.closed", f"Connection lost after {fact.duration_s:.1f} seconds", {"duration": fact.duration_s}


def _login(fact: facts.LoginTried, *_: Endpoint) -> Iterator[Said]:
    how, word = ("success", "succeeded") if fact.accepted else ("failed", "failed")
    message = f"login attempt [{fact.user}/{fact.password or ''}] {word}"
    yield f"cowrie.login.{how}", message, {"username": fact.user, "password": fact.password}


def _command(fact: facts.CommandEntered, *_: Endpoint) -> Iterator[Said]:
    yield "cowrie.command.input", f"CMD: {fact.line}", {"input": fact.line}
    for name in fact.unknown:
        yield "cowrie.command.failed", f"Command not found: {name}", {"input": name}


def _client(fact: facts.SshClientIdentified, *_: Endpoint) -> Iterator[Said]:
    yield "cowrie.client.version", f"Remote SSH version: {fact.version}", {"version": fact.version}
    own = {
        "hassh": fact.hassh, "hasshAlgorithms": fact.algorithms,
        "kexAlgs": fact.algorithms.split(";")[0].split(","), "keyAlgs": fact.host_keys.split(","),
    }  # fmt: skip
    yield "cowrie.client.kex", f"SSH client hassh fingerprint: {fact.hassh}", own


def _key(fact: facts.PublicKeyOffered, *_: Endpoint) -> Iterator[Said]:
    own = {"username": fact.user, "fingerprint": fact.fingerprint, "key": fact.key, "type": fact.algorithm}
    yield "cowrie.client.fingerprint", f"public key attempt for user {fact.user}", own


def _forwarding(fact: facts.ForwardingAsked, src: Endpoint, _: Endpoint) -> Iterator[Said]:
    own = {"dst_ip": fact.host, "dst_port": fact.port, "src_port": src.port}
    yield "cowrie.direct-tcpip.request", f"direct-tcp connection request to {fact.host}:{fact.port}", own


def _kept(fact: facts.ArtefactKept, *_: Endpoint) -> Iterator[Said]:
    own = {"outfile": f"{SAMPLES}/{fact.sha256}", "shasum": fact.sha256, "destfile": fact.name}
    if fact.origin == "download":
        message = f"Downloaded URL ({fact.url}) with SHA-256 {fact.sha256}"
        yield "cowrie.session.file_download", message, {"url": fact.url, **own}
    elif fact.origin in ("upload", "script"):
        message = f"Saved file {fact.name} with SHA-256 {fact.sha256}"
        yield "cowrie.session.file_upload", message, {"filename": fact.name, **own}


def _download(fact: facts.DownloadFinished, *_: Endpoint) -> Iterator[Said]:
    if not fact.sha256:
        yield "cowrie.session.file_download.failed", f"Attempt to download {fact.url} failed", {"url": fact.url}


def _challenge(fact: facts.ChallengeAnswered, *_: Endpoint) -> Iterator[Said]:
    own = {"username": fact.user, "password": fact.response, "scheme": fact.scheme}
    yield "cowrie.login.failed", f"login attempt [{fact.user}/{fact.response}] failed", own


def _ntlm(fact: facts.NtlmResponseGiven, *_: Endpoint) -> Iterator[Said]:
    user = f"{fact.domain}\\{fact.user}" if fact.domain else fact.user
    own = {"username": user, "password": fact.response, "scheme": "ntlm", "workstation": fact.workstation}
    yield "cowrie.login.failed", f"login attempt [{user}/{fact.response}] failed", own


def _smb(fact: facts.SmbClientIdentified, *_: Endpoint) -> Iterator[Said]:
    version = "; ".join(filter(None, (fact.system, fact.software, *fact.dialects)))
    yield "cowrie.client.version", f"Remote SMB version: {version}", {"version": version}


def _rdp(fact: facts.RdpClientIdentified, *_: Endpoint) -> Iterator[Said]:
    version = "; ".join(filter(None, (fact.cookie, fact.name, str(fact.build or ""))))
    yield "cowrie.client.version", f"Remote RDP version: {version}", {"version": version}
    width, by, height = fact.size.partition("x")
    if by and width.isdecimal() and height.isdecimal():
        own = {"width": int(width), "height": int(height)}
        yield "cowrie.client.size", f"Terminal Size: {width} {height}", own


# Where a challenge was answered, no password is known: what was given instead stands in its place, as hashcat reads it.
SAID: dict[type[Fact], Callable[[Any, Endpoint, Endpoint], Iterator[Said]]] = {
    facts.SessionOpened: _opened,
    facts.SessionClosed: _closed,
    facts.LoginTried: _login,
    facts.ChallengeAnswered: _challenge,
    facts.NtlmResponseGiven: _ntlm,
    facts.SmbClientIdentified: _smb,
    facts.RdpClientIdentified: _rdp,
    facts.CommandEntered: _command,
    facts.SshClientIdentified: _client,
    facts.PublicKeyOffered: _key,
    facts.ForwardingAsked: _forwarding,
    facts.ArtefactKept: _kept,
    facts.DownloadFinished: _download,
}
