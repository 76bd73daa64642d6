"""Which kinds of events a format says nothing of, and why: `LEFT_OUT` is the table.

Every kind of the catalogue is either in a format's own table `SAID` or here; a test wants it so, so that a new kind is
forgotten by none.
"""

from __future__ import annotations

from eudaemon.events import Fact
from eudaemon.events import catalogue as facts

_OF_OURS: dict[type[Fact], str] = {
    facts.SensorStarted: "of the sensor, not of an attacker",
    facts.SensorStopped: "of the sensor, not of an attacker",
    facts.SensorFaulted: "a fault of ours",
    facts.CaptureStopped: "of the sensor's disk",
    facts.CaptureResumed: "of the sensor's disk",
    facts.SpoolDropped: "of the sensor's disk",
    facts.SessionsRefused: "has no attacker: one event for many connections",
}
_OF_THE_FARM: dict[type[Fact], str] = {
    facts.SampleIdentified: "belongs to no session: the farm says it of a sample",
    facts.SampleJudged: "belongs to no session: what others say of a sample they say to everybody",
}

LEFT_OUT: dict[str, dict[type[Fact], str]] = {
    "cowrie": {
        **_OF_OURS,
        **_OF_THE_FARM,
        facts.PeerFaulted: "cowrie has no such event; the session's end follows",
        facts.TlsAccepted: "cowrie speaks no TLS",
        facts.FileRequested: "cowrie says what is uploaded and downloaded, which artefact.kept is",
        facts.RequestReceived: "cowrie has no web server",
        facts.ExploitRecognised: "cowrie knows no exploits; the commands they carry are command.entered",
        facts.PayloadClassified: "cowrie answers SSH and telnet alone",
        facts.ProxyAsked: "cowrie is a proxy for SSH's clients alone",
        facts.ShellOffered: "cowrie has no shellcodes; what is typed at such a shell is its session's command.entered",
        facts.RpcBound: "cowrie has no Windows",
        facts.RpcCalled: "cowrie has no Windows",
        facts.MailReceived: "cowrie has no mail server",
        facts.ControlHijacked: "cowrie has no real programs",
        facts.DownloadWished: "cowrie says it when it is carried out: download.finished, artefact.kept",
    },
    "dionaea": {
        **_OF_OURS,
        **_OF_THE_FARM,
        **dict.fromkeys(
            (
                facts.SessionClosed, facts.PeerFaulted, facts.TlsAccepted, facts.SshClientIdentified,
                facts.PublicKeyOffered, facts.ForwardingAsked, facts.ProxyAsked, facts.FileRequested,
                facts.RequestReceived, facts.ExploitRecognised, facts.PayloadClassified, facts.SmbClientIdentified,
                facts.RdpClientIdentified, facts.ShellOffered, facts.MailReceived, facts.ControlHijacked,
                facts.DownloadWished, facts.DownloadFinished,
            ),
            "log_json has connection, credentials, FTP's commands and p0f, and nothing else",
        ),
        facts.RpcBound: "published on the channel dionaea.dcerpcrequests",
        facts.RpcCalled: "published on the channel dionaea.dcerpcrequests",
        facts.ArtefactKept: "published on the channel dionaea.capture",
    },
    "eve": {
        **_OF_OURS,
        **_OF_THE_FARM,
        facts.SessionOpened: "is the start of the session's flow",
        facts.DownloadFinished: "what came is in fileinfo, by artefact.kept",
    },
    "stix": {
        **_OF_OURS,
        **_OF_THE_FARM,
        facts.SessionOpened: "is the start of the network-traffic",
    },
    "misp": {
        **_OF_OURS,
        **_OF_THE_FARM,
        facts.SessionOpened: "is the event's date",
        facts.SessionClosed: "is the event's timestamp",
    },
    "ocsf": {**_OF_OURS},
}  # fmt: skip
