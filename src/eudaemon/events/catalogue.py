"""The catalogue of facts. A fact is past tense: something that was seen, never an order.

One class is one kind. `kind` is its name on the wire and never changes its meaning; fields are only added,
with a default, so that an old line still reads. Attackers' text is `str` in which bytes that are no UTF-8
stand as `\\xNN`; whatever must be byte-exact is an artefact, named by its SHA-256.
The line after each field is its description in docs/events.md.
"""

from __future__ import annotations

import typing
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, ClassVar

VERSION = 1  # of the envelope; goes up only when an old reader could misread a new line


class Fact:
    """What all facts share: a `kind`. Subclasses are frozen dataclasses."""

    __slots__ = ()
    kind: ClassVar[str]


def said(description: str, default: Any = MISSING) -> Any:
    """Declare a field of a fact: its description for docs/events.md, and its default."""
    return field(default=default, metadata={"says": description})


@dataclass(frozen=True, slots=True)
class Unknown(Fact):
    """A fact of a kind that this version does not know: kept, stored and shown as it came."""

    kind: ClassVar[str] = ""
    name: str
    values: dict[str, Any]


# --- the sensor about itself -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SensorStarted(Fact):
    """A sensor started and listens."""

    kind: ClassVar[str] = "sensor.started"
    version: str = said("version of the software")
    listening: tuple[str, ...] = said("what listens where, as `room transport address:port`")


@dataclass(frozen=True, slots=True)
class SensorStopped(Fact):
    """A sensor stopped in good order."""

    kind: ClassVar[str] = "sensor.stopped"
    uptime_s: float = said("how long it ran, seconds")


@dataclass(frozen=True, slots=True)
class SensorFaulted(Fact):
    """A fault of ours ended one session. The peer is not to blame; please report it."""

    kind: ClassVar[str] = "sensor.faulted"
    room: str = said("the room in which it happened")
    error: str = said("the exception, one line")
    where: str = said("file, line and function, innermost last", "")


@dataclass(frozen=True, slots=True)
class CaptureStopped(Fact):
    """Artefacts and conversations are no longer kept, because the disk or the quota is full. Sessions go on."""

    kind: ClassVar[str] = "capture.stopped"
    reason: str = said("why, in words")


@dataclass(frozen=True, slots=True)
class CaptureResumed(Fact):
    """There is room again; artefacts are kept again."""

    kind: ClassVar[str] = "capture.resumed"
    missed: int = said("how many artefacts were not kept meanwhile")


@dataclass(frozen=True, slots=True)
class SpoolDropped(Fact):
    """The spool's quota was reached while the farm was away: the oldest events were dropped."""

    kind: ClassVar[str] = "spool.dropped"
    events: int = said("how many events")
    bytes: int = said("how many bytes")


# --- sessions ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SessionOpened(Fact):
    """A peer connected, or sent its first datagram."""

    kind: ClassVar[str] = "session.opened"
    transport: str = said("`tcp` or `udp`")
    room: str = said("the room that answers at first")
    follows: str = said("the session whose shellcode opened this one, empty for all others", "")


@dataclass(frozen=True, slots=True)
class SessionClosed(Fact):
    """A session ended."""

    kind: ClassVar[str] = "session.closed"
    room: str = said("the room that answered last")
    reason: str = said("`peer`, `room`, `idle`, `time`, `bytes`, `peer fault`, `our fault`, `reset` or `stop`")
    duration_s: float = said("how long it lasted, seconds")
    bytes_in: int = said("bytes received")
    bytes_out: int = said("bytes sent")
    conversation: str = said("SHA-256 of the recorded conversation, empty if none was kept", "")


@dataclass(frozen=True, slots=True)
class SessionsRefused(Fact):
    """Connections that were closed at once, because a limit was reached. One fact for many."""

    kind: ClassVar[str] = "session.refused"
    limit: str = said("the limit's name in the settings")
    count: int = said("how many connections since the last such fact")


@dataclass(frozen=True, slots=True)
class PeerFaulted(Fact):
    """The peer broke its protocol or went past a limit. Evidence, and the end of its session."""

    kind: ClassVar[str] = "peer.faulted"
    room: str = said("the room that noticed")
    reason: str = said("what it did, in words")


@dataclass(frozen=True, slots=True)
class TlsAccepted(Fact):
    """The peer opened with TLS, on whatever port, and the handshake was carried through."""

    kind: ClassVar[str] = "tls.accepted"
    version: str = said("TLS version")
    cipher: str = said("cipher suite")
    server_name: str = said("the name the peer asked for (SNI)", "")
    ja4: str = said("JA4 fingerprint of the ClientHello", "")
    ja3: str = said("JA3 fingerprint of the ClientHello, which older tools know", "")


# --- what attackers do -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LoginTried(Fact):
    """Somebody tried a user name and a password."""

    kind: ClassVar[str] = "login.tried"
    user: str = said("user name")
    password: str | None = said("password; null where none was said, or the answer to a challenge does not tell it")
    accepted: bool = said("whether the pretended host let them in")


@dataclass(frozen=True, slots=True)
class ChallengeAnswered(Fact):
    """Somebody answered a login's challenge, in which no password is said. Whoever cracks it knows the password."""

    kind: ClassVar[str] = "login.answered"
    user: str = said("user name, empty where there is none")
    scheme: str = said("`sip`, `rtsp`, `snmp` or `vnc`")
    response: str = said(
        "challenge and response in the form that John, and for `sip` and `snmp` hashcat (11400, 25000), read"
    )


@dataclass(frozen=True, slots=True)
class CommandEntered(Fact):
    """A line was given to the pretended shell, or a command to another service that takes them. None was executed."""

    kind: ClassVar[str] = "command.entered"
    line: str = said("the line or command as given, cut at the limit")
    unknown: tuple[str, ...] = said("names of commands in it that the pretended shell does not know", ())


@dataclass(frozen=True, slots=True)
class SshClientIdentified(Fact):
    """An SSH client said which software it is, and what it can."""

    kind: ClassVar[str] = "ssh.client"
    version: str = said("its identification, `SSH-2.0-…`")
    hassh: str = said("HASSH fingerprint: MD5 of `algorithms`, hexadecimal")
    algorithms: str = said("its lists of key exchange, ciphers, MACs and compression, cut at the limit")
    host_keys: str = said("its list of host key algorithms, cut at the limit", "")


@dataclass(frozen=True, slots=True)
class PublicKeyOffered(Fact):
    """Somebody tried to log in with a public key, and was refused."""

    kind: ClassVar[str] = "ssh.key"
    user: str = said("user name")
    algorithm: str = said("algorithm of the signature that was offered")
    fingerprint: str = said("SHA-256 fingerprint, as OpenSSH writes it")
    key: str = said("the key, base64 as in `authorized_keys`; empty if it is too long", "")


@dataclass(frozen=True, slots=True)
class ForwardingAsked(Fact):
    """Somebody wanted to be connected elsewhere through the host, or from elsewhere. It was refused."""

    kind: ClassVar[str] = "ssh.forwarding"
    direction: str = said("`direct-tcpip` (to there), `tcpip-forward` (from there), or another kind as asked for")
    host: str = said("name or address")
    port: int = said("port")


@dataclass(frozen=True, slots=True)
class ProxyAsked(Fact):
    """Somebody took the host for a proxy, and wanted to be connected elsewhere through it. Nothing was relayed."""

    kind: ClassVar[str] = "proxy.asked"
    protocol: str = said("`http`, `socks4`, `socks4a` or `socks5`")
    action: str = said("the request's method, or `connect`, `bind` or `associate` of SOCKS")
    host: str = said("name or address of whom it was to reach")
    port: int = said("port")


@dataclass(frozen=True, slots=True)
class NtlmResponseGiven(Fact):
    """Somebody answered a challenge of NTLM, which Windows' services log people in with."""

    kind: ClassVar[str] = "ntlm.response"
    user: str = said("user name")
    domain: str = said("domain or computer that is to know the user")
    workstation: str = said("the client's own name, as it says it")
    response: str = said("challenge and response in hashcat's form; empty for a null session", "")
    version: str = said(
        "which kind of response: `NTLMv2` (hashcat's mode 5600), `NTLMv1` or `NTLMv1-SSP` (5500), `LM` (John's netlm); "
        "empty for a null session", "",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class SmbClientIdentified(Fact):
    """An SMB client said what it can, and perhaps what it is."""

    kind: ClassVar[str] = "smb.client"
    dialects: tuple[str, ...] = said("the dialects it offered, in its order")
    system: str = said("its operating system, as SMB 1 clients say it", "")
    software: str = said("its LAN manager, as SMB 1 clients say it", "")


@dataclass(frozen=True, slots=True)
class RdpClientIdentified(Fact):
    """A client of Remote Desktop said what it is."""

    kind: ClassVar[str] = "rdp.client"
    name: str = said("the client computer's name, as it says it")
    cookie: str = said("the cookie of its request, as `mstshash=user`", "")
    build: int = said("build of its software", 0)
    keyboard: int = said("its keyboard layout, as Windows numbers them", 0)
    size: str = said("the desktop that it wants, as `1024x768`", "")
    channels: tuple[str, ...] = said("the virtual channels that it asks for", ())
    encryption_bits: int = said("bits of Remote Desktop's own encryption, 0 where TLS or nothing stands for it", 0)


@dataclass(frozen=True, slots=True)
class RpcBound(Fact):
    """A DCE/RPC client asked for an interface."""

    kind: ClassVar[str] = "rpc.bound"
    interface: str = said("UUID and version of the interface")
    name: str = said("its name, empty if it is none that we know", "")
    endpoint: str = said("the pipe or port", "")


@dataclass(frozen=True, slots=True)
class RpcCalled(Fact):
    """A DCE/RPC client called an operation."""

    kind: ClassVar[str] = "rpc.called"
    interface: str = said("the interface's name, or its UUID and version")
    number: int = said("number of the operation")
    operation: str = said("its name, empty if it is none that we know", "")
    stub_bytes: int = said("size of its arguments in bytes", 0)
    endpoint: str = said("the pipe or port", "")


@dataclass(frozen=True, slots=True)
class FileRequested(Fact):
    """Something was done to a file of the pretended host, over SFTP, SCP, SMB, FTP or TFTP."""

    kind: ClassVar[str] = "file.requested"
    action: str = said("`read`, `write`, `list`, `remove`, `make`, `rename`, `link` or `change`")
    path: str = said("which file or directory")
    detail: str = said("the new name, the link's target or the new mode", "")
    done: bool = said("whether it could be done", True)


@dataclass(frozen=True, slots=True)
class MailReceived(Fact):
    """A message was given to the pretended mail server. It went nowhere."""

    kind: ClassVar[str] = "mail.received"
    sender: str = said("the envelope's sender")
    recipients: tuple[str, ...] = said("the envelope's recipients, the first of them")
    recipients_total: int = said("how many recipients")
    relayed: bool = said("whether it was for somebody elsewhere, whom a relay would have sent it on to")
    size: int = said("its size in bytes")
    subject: str = said("its subject as it stands there, cut at the limit", "")
    helo: str = said("the name by which the client introduced itself", "")


@dataclass(frozen=True, slots=True)
class RequestReceived(Fact):
    """An HTTP request was received."""

    kind: ClassVar[str] = "http.request"
    method: str = said("method")
    target: str = said("request target, cut at the limit")
    host: str = said("Host header", "")
    user_agent: str = said("User-Agent header", "")
    body_bytes: int = said("size of the body in bytes", 0)


@dataclass(frozen=True, slots=True)
class ExploitRecognised(Fact):
    """A known exploit was used."""

    kind: ClassVar[str] = "exploit.recognised"
    name: str = said("its name in our table")
    reference: str = said("CVE or other public reference", "")
    command: str = said("the command it carries, cut at the limit", "")


@dataclass(frozen=True, slots=True)
class PayloadClassified(Fact):
    """First bytes on a port where no room claims them, and what they look like."""

    kind: ClassVar[str] = "payload.classified"
    guess: str = said("the protocol or kind they look like, or `unknown`")
    head: str = said("the first 64 bytes, hexadecimal")


@dataclass(frozen=True, slots=True)
class ShellOffered(Fact):
    """A shellcode would open a shell for its sender, who is let in to a pretended one, or called back by it."""

    kind: ClassVar[str] = "shell.offered"
    way: str = said("`bind` (at a port), `connect` (a call to the attacker) or `here` (on the same connection)")
    system: str = said("what the shellcode is for: `windows` or `linux`")
    host: str = said("the address to bind, or to connect to", "")
    port: int = said("the port of that", 0)
    refused: str = said("why nobody was let in, or called; empty if somebody is, or was", "")


# --- what they do to possessed processes --------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ControlHijacked(Fact):
    """Input was about to take control of a possessed process, and its thread stood still before it happened."""

    kind: ClassVar[str] = "control.hijacked"
    how: str = said("`return`, `jump`, `call`, `code`, `execute`, `call number`, `rights`, `format` or `store`")
    process: str = said("the process's name")
    program: str = said("path of its program")
    pid: int = said("its number")
    verdict: str = said("what became of it: `observe`, `contain`, `kill` or `release`")
    alert: str = said("the alert's id on that machine, as `eudaemon alert show` takes it")
    instruction: str = said("the instruction that would have handed over control", "")
    source: str = said("where the input came from: `inet`, `unix`, `stdin` or `file`; empty if that is not known", "")
    offset: int = said("offset in the stream of the first byte that took control", 0)
    size: int = said("how many bytes they are", 0)
    culprit: str = said("SHA-256 of these bytes", "")
    code: str = said("SHA-256 of the injected code, an artefact; empty if there is none", "")
    input: str = said("SHA-256 of the stream's input as far as it was kept, an artefact", "")
    report: str = said("SHA-256 of the alert's report, kept as long as recorded conversations; empty if it was not", "")


# --- what they bring ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ArtefactKept(Fact):
    """Bytes were kept, once, under their SHA-256. The same bytes again are this fact again, and no second file."""

    kind: ClassVar[str] = "artefact.kept"
    sha256: str = said("SHA-256, hexadecimal")
    size: int = said("size in bytes")
    origin: str = said("`upload` (sent in the session), `download` (fetched), `payload` (raw bytes) or `script`")
    name: str = said("path or name the attacker gave it", "")
    url: str = said("where it was fetched from", "")
    partial: bool = said("true if it is known to be incomplete", False)


@dataclass(frozen=True, slots=True)
class DownloadWished(Fact):
    """The attack tried to make the host download something."""

    kind: ClassVar[str] = "download.wished"
    url: str = said("what from where")
    tool: str = said("the command or protocol used")


@dataclass(frozen=True, slots=True)
class DownloadFinished(Fact):
    """A download that an attack wished for was carried out, or was not, and why."""

    kind: ClassVar[str] = "download.finished"
    url: str = said("what from where")
    outcome: str = said("`ok`, `partial`, `missing`, `failed` or `refused`")
    reason: str = said("why it is not `ok`", "")
    sha256: str = said("SHA-256 of what arrived, empty if nothing did", "")
    size: int = said("bytes that arrived", 0)
    peer: str = said("the address that answered", "")
    duration_s: float = said("how long it took, seconds", 0.0)


@dataclass(frozen=True, slots=True)
class SampleIdentified(Fact):
    """The farm looked at an artefact's bytes and says what they are."""

    kind: ClassVar[str] = "sample.identified"
    sha256: str = said("SHA-256, hexadecimal")
    size: int = said("size in bytes")
    format: str = said("`elf`, `pe`, `script`, `text`, `html`, `archive`, … or `data`")
    description: str = said("one line for people: format, word size, byte order, machine, linkage")
    rules: tuple[str, ...] = said("names of the YARA rules that match", ())
    fuzzy: str = said("ssdeep fuzzy hash", "")
    does: tuple[str, ...] = said("what it does, if it is a shellcode: a sentence each, as the emulation saw it", ())


@dataclass(frozen=True, slots=True)
class SampleJudged(Fact):
    """Somebody else was asked, by its hash, what a sample is: VirusTotal or a sandbox."""

    kind: ClassVar[str] = "sample.judged"
    sha256: str = said("SHA-256, hexadecimal")
    by: str = said("who was asked: `virustotal` or `cape`")
    outcome: str = said("`known`, `unknown`, or `submitted`: it was unknown there, and was handed over")
    label: str = said("what they call it, its family for instance; empty if they have no name for it", "")
    positives: int = said("how many engines call it malicious", 0)
    engines: int = said("how many engines looked at it", 0)
    score: float = said("a sandbox's score, from 0 to 10", 0.0)
    link: str = said("where more is said of it", "")


KINDS: dict[str, type[Fact]] = {
    fact.kind: fact
    for fact in (
        SensorStarted, SensorStopped, SensorFaulted, CaptureStopped, CaptureResumed, SpoolDropped,
        SessionOpened, SessionClosed, SessionsRefused, PeerFaulted, TlsAccepted,
        LoginTried, ChallengeAnswered, CommandEntered, SshClientIdentified, PublicKeyOffered, ForwardingAsked,
        FileRequested, RequestReceived, ExploitRecognised, PayloadClassified, ShellOffered,
        NtlmResponseGiven, SmbClientIdentified, RdpClientIdentified, RpcBound, RpcCalled, MailReceived, ProxyAsked,
        ControlHijacked,
        ArtefactKept, DownloadWished, DownloadFinished, SampleIdentified, SampleJudged,
    )
}  # fmt: skip


def fields_of(kind: type[Fact]) -> tuple[Field[Any], ...]:
    """Return the fields of a kind, in the order in which they were declared."""
    return fields(typing.cast("Any", kind))
