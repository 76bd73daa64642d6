"""What attackers do, a sentence for each kind of event: for notes, notices, comments, where a format has no field.

A sentence quotes attackers' text, made printable and cut; whoever puts it into a mark-up escapes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from eudaemon.events import Fact
from eudaemon.events import catalogue as facts

QUOTED_CHARS_MAX = 200  # of one value of an attacker's


def sentence(fact: Fact) -> str:
    """Return what was done, without a full stop; nothing for what attackers do not do."""
    say = SAID.get(type(fact))
    return say(fact) if say is not None else ""


def quoted(text: str) -> str:
    """Return an attacker's text on one line, printable, cut."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= QUOTED_CHARS_MAX else line[:QUOTED_CHARS_MAX] + "…"


def secret(password: str | None) -> str:
    """Return what is said of a password."""
    return "a password that was not told" if password is None else quoted(password) or "an empty password"


def _login(fact: facts.LoginTried) -> str:
    how = "accepted" if fact.accepted else "refused"
    return f"tried to log in as {quoted(fact.user)} with {secret(fact.password)}: {how}"


def _ntlm(fact: facts.NtlmResponseGiven) -> str:
    who = quoted(f"{fact.domain}\\{fact.user}" if fact.domain else fact.user) or "nobody (a null session)"
    station = f" from {quoted(fact.workstation)}" if fact.workstation else ""
    return f"answered the challenge of NTLM as {who}{station}" + (f": {fact.response}" if fact.response else "")


def _smb(fact: facts.SmbClientIdentified) -> str:
    what = ", ".join(filter(None, (fact.system, fact.software)))
    return f"speaks SMB ({quoted(', '.join(fact.dialects))})" + (f" as {quoted(what)}" if what else "")


def _rdp(fact: facts.RdpClientIdentified) -> str:
    told = (fact.cookie, f"build {fact.build}" if fact.build else "", fact.size, ", ".join(fact.channels))
    return f"speaks Remote Desktop as {quoted(fact.name) or 'nobody'}: {quoted(', '.join(filter(None, told)))}"


def _shell(fact: facts.ShellOffered) -> str:
    where = f" {fact.host} port {fact.port}" if fact.port else ""
    end = f", refused: {fact.refused}" if fact.refused else ""
    return f"sent a shellcode for {fact.system} that opens a shell ({fact.way}{where}){end}"


def _mail(fact: facts.MailReceived) -> str:
    to = f"{quoted(', '.join(fact.recipients))} ({fact.recipients_total})"
    return f"sent mail of {fact.size} bytes from {quoted(fact.sender)} to {to}: {quoted(fact.subject)}"


def _exploit(fact: facts.ExploitRecognised) -> str:
    reference = f" ({quoted(fact.reference)})" if fact.reference else ""
    return f"used {quoted(fact.name)}{reference}" + (f": {quoted(fact.command)}" if fact.command else "")


def _finished(fact: facts.DownloadFinished) -> str:
    came = f": {fact.sha256} from {fact.peer}" if fact.sha256 else f", {quoted(fact.reason)}" if fact.reason else ""
    return f"{quoted(fact.url)} was asked for: {fact.outcome}{came}"


SAID: dict[type[Fact], Callable[[Any], str]] = {
    facts.TlsAccepted: lambda f: f"spoke {f.version} to {quoted(f.server_name) or 'no name'}, JA4 {f.ja4}",
    facts.PeerFaulted: lambda f: f"broke the protocol: {quoted(f.reason)}",
    facts.LoginTried: _login,
    facts.ChallengeAnswered: lambda f: f"answered the challenge of {f.scheme} as {quoted(f.user)}: {f.response}",
    facts.CommandEntered: lambda f: f"entered {quoted(f.line)}",
    facts.SshClientIdentified: lambda f: f"speaks SSH as {quoted(f.version)}, HASSH {f.hassh}",
    facts.PublicKeyOffered: lambda f: f"offered the key {quoted(f.fingerprint)} as {quoted(f.user)}",
    facts.ForwardingAsked: lambda f: f"wanted to be forwarded to {quoted(f.host)} port {f.port}",
    facts.ProxyAsked: lambda f: f"wanted {f.protocol} to relay {quoted(f.action)} to {quoted(f.host)} port {f.port}",
    facts.NtlmResponseGiven: _ntlm,
    facts.SmbClientIdentified: _smb,
    facts.RdpClientIdentified: _rdp,
    facts.RpcBound: lambda f: f"bound the interface {f.name or f.interface}",
    facts.RpcCalled: lambda f: f"called operation {f.number} {f.operation} of {f.interface}".replace("  ", " "),
    facts.FileRequested: lambda f: f"asked to {f.action} the file {quoted(f.path)} {quoted(f.detail)}".rstrip(),
    facts.MailReceived: _mail,
    facts.RequestReceived: lambda f: f"requested {quoted(f.method)} {quoted(f.target)} as {quoted(f.user_agent)}",
    facts.ExploitRecognised: _exploit,
    facts.PayloadClassified: lambda f: f"sent what looks like {quoted(f.guess)}: {f.head}",
    facts.ShellOffered: _shell,
    facts.ControlHijacked: lambda f: f"was about to take control of {quoted(f.process)} by {f.how}: {f.verdict}",
    facts.ArtefactKept: lambda f: f"brought {f.size} bytes ({f.origin}) {quoted(f.name)}, SHA-256 {f.sha256}",
    facts.DownloadWished: lambda f: f"wanted {quoted(f.url)} by {quoted(f.tool)}",
    facts.DownloadFinished: _finished,
}
