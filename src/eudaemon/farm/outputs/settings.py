"""What can be told to whom: one dataclass for each kind of output, declared as `[outputs.NAME]` with `to = "KIND"`.

What cannot be right is refused here, so that it is named with its line at the start. Secrets are only ever read by
the peer that needs them.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import urlsplit

from eudaemon.farm.s3 import check_place
from eudaemon.options import Named, option

RECORDS = ("events", "cowrie", "dionaea", "eve", "ocsf")  # formats of which each record is one line of JSON
LINES = (*RECORDS, "notices", "fail2ban")  # and those of which it is a line of text
FORMATS = (*LINES, "stix", "misp", "samples")
CHANNELS = (
    "dionaea.connections", "dionaea.capture", "dionaea.dcerpcrequests", "mwbinary.dionaea.sensorunique",
    "cowrie.sessions", "kippo.sessions",
)  # fmt: skip

_RECORDS_SAY = "`events` (ours), `cowrie`, `dionaea`, `eve` or `ocsf`"
_FORMAT_SAYS = f"{_RECORDS_SAY}: a line of JSON each; `notices`, `fail2ban`: a line of text; "
SECRET_CHARS_MIN = 4  # a shorter one is in every other word
TEXT, CHAT = "$text", "$chat"  # in a template: where the text goes, and the chat's id
CHATS = ("slack", "discord", "teams", "mattermost", "telegram", "own")
_CA_SAYS = "File with the certificates to trust, PEM; empty trusts the system's."


def _web(value: str) -> None:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{value!r} is no URL of the form https://host/path")
    if "@" in parts.netloc:
        raise ValueError("a secret does not belong into a URL, which is logged; see `authorization`")


def _web_or_none(value: str) -> None:
    if value:
        _web(value)


def _channels(values: tuple[str, ...]) -> None:
    for value in values:
        if value not in CHANNELS:
            raise ValueError(f"there is no channel {value!r}; there are {', '.join(CHANNELS)}")
    if len(set(values)) < max(1, len(values)):
        raise ValueError("at least one channel is needed, and none twice")


def _ident(value: str) -> None:
    if len(value.encode()) > 255:
        raise ValueError("more than 255 bytes")


def _header(value: str) -> None:
    if not re.fullmatch(r"[\x20-\x7e]*", value):
        raise ValueError("not of printable ASCII characters")


def _web_secret(value: str) -> None:
    """Check a URL that is itself a secret, as those of chats are: it is not repeated."""
    parts = urlsplit(value)
    if value and (parts.scheme not in ("http", "https") or not parts.hostname or not value.isascii()):
        raise ValueError("no URL of the form https://host/path")


def _template(value: str) -> None:
    if not value:
        return
    try:
        found = json.loads(value)
    except ValueError as error:
        raise ValueError(f"no JSON: {error}") from None
    if TEXT not in json.dumps(found):
        raise ValueError(f"{TEXT} stands nowhere in it, where the text would go")


def _index(value: str) -> None:
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,254}", value):
        raise ValueError(f"{value!r} is no name of an index: small letters, digits, `.`, `_`, `-`")


def _mailbox(value: str) -> None:
    if value and not re.fullmatch(r"[^@\s<>,]+@[^@\s<>,]+", value):
        raise ValueError(f"{value!r} is no address of mail")


def _mailboxes(values: tuple[str, ...]) -> None:
    for value in values:
        _mailbox(value or "?")


def _needed(settings: Any, *names: str) -> None:
    lacking = [name for name in names if not getattr(settings, name)]
    if lacking:
        raise ValueError(f"says no {' and no '.join(lacking)}")


@dataclass(frozen=True, slots=True)
class Directory:
    """Files in a directory."""

    path: str = option("", "Where; empty is `farm/outputs/NAME` below the data. Made if it is not there.")
    format: str = option("events", _FORMAT_SAYS + "`stix`, `misp`, `samples`: a file each.", among=FORMATS)


@dataclass(frozen=True, slots=True)
class Bucket:
    """Objects in an S3-compatible store."""

    url: str = option("", "The place as s3://bucket/prefix.", check=check_place)
    format: str = option("events", _FORMAT_SAYS + "`stix`, `misp`, `samples`: an object each.", among=FORMATS)
    endpoint: str = option("", "URL of an S3-compatible server other than Amazon's.", check=_web_or_none)
    region: str = option("us-east-1", "The region of the bucket.")
    access_key_id: str = option("", "S3 access key id; empty takes it from the environment.")
    secret_access_key: str = option("", "S3 secret access key; empty takes it from the environment.", secret=True)

    def __post_init__(self) -> None:
        """Refuse what is not whole."""
        _needed(self, "url")


@dataclass(frozen=True, slots=True)
class Post:
    """HTTP requests of method POST."""

    url: str = option("", "Where requests go to.", check=_web_or_none)
    format: str = option("events", _FORMAT_SAYS + "`stix`, `misp`, `samples`: a request each.", among=FORMATS)
    authorization: str = option("", "The header of that name, such as `Bearer …`.", check=_header, secret=True)
    ca_file: str = option("", _CA_SAYS)

    def __post_init__(self) -> None:
        """Refuse what is not whole."""
        _needed(self, "url")


@dataclass(frozen=True, slots=True)
class Hpfeeds:
    """A broker of hpfeeds."""

    host: str = option("", "Name or address of the broker.")
    port: int = option(10000, "The port of the broker.", low=1, high=65535)
    ident: str = option("", "Who we are to it.", check=_ident)
    secret: str = option("", "The secret that goes with it.", secret=True)
    channels: tuple[str, ...] = option(("dionaea.capture",), "What is published.", check=_channels)
    tls: bool = option(False, "Whether the broker speaks TLS.")
    ca_file: str = option("", _CA_SAYS)

    def __post_init__(self) -> None:
        """Refuse what is not whole."""
        _needed(self, "host", "ident", "secret")


@dataclass(frozen=True, slots=True)
class Syslog:
    """A syslog server, RFC 5424."""

    host: str = option("", "Name or address of the server.")
    port: int = option(514, "Its port; over TLS it is mostly 6514.", low=1, high=65535)
    transport: str = option("tcp", "How; TCP and TLS count octets.", among=("udp", "tcp", "tls"))
    format: str = option("events", f"What a message is: {_RECORDS_SAY}, `notices`, `fail2ban`.", among=LINES)
    ca_file: str = option("", _CA_SAYS)

    def __post_init__(self) -> None:
        """Refuse what is not whole."""
        _needed(self, "host")


@dataclass(frozen=True, slots=True)
class Misp:
    """A MISP: an event for each session that brought or tried something, sightings of what it brought before."""

    url: str = option("", "Where it is, as https://misp.example.", check=_web_or_none)
    key: str = option("", "The authentication key of its user.", check=_header, secret=True)
    ca_file: str = option("", _CA_SAYS)

    def __post_init__(self) -> None:
        """Refuse what is not whole."""
        _needed(self, "url", "key")


@dataclass(frozen=True, slots=True)
class Urlhaus:
    """Reports to URLhaus: URLs from which a sensor was served malware."""

    key: str = option("", "The Auth-Key of your abuse.ch account.", check=_header, secret=True)
    anonymous: bool = option(False, "Whether URLhaus keeps your name to itself.")
    url: str = option("https://urlhaus.abuse.ch/api/", "Where requests go to.", check=_web)

    def __post_init__(self) -> None:
        """Refuse what is not whole."""
        _needed(self, "key")


@dataclass(frozen=True, slots=True)
class MalwareBazaar:
    """Reports to MalwareBazaar: programs and scripts that attackers brought."""

    key: str = option("", "The Auth-Key of your abuse.ch account.", check=_header, secret=True)
    anonymous: bool = option(False, "Whether MalwareBazaar keeps your name to itself.")
    url: str = option("https://mb-api.abuse.ch/api/v1/", "Where requests go to.", check=_web)

    def __post_init__(self) -> None:
        """Refuse what is not whole."""
        _needed(self, "key")


@dataclass(frozen=True, slots=True)
class AbuseIpdb:
    """Reports to AbuseIPDB: addresses that attacked over TCP."""

    key: str = option("", "Your key of its API.", check=_header, secret=True)
    url: str = option("https://api.abuseipdb.com/api/v2/report", "Where requests go to.", check=_web)

    def __post_init__(self) -> None:
        """Refuse what is not whole."""
        _needed(self, "key")


@dataclass(frozen=True, slots=True)
class Dshield:
    """Reports to DShield: logins that were tried over TCP."""

    user: str = option("", "Your user id, a number.", check=_header)
    key: str = option("", "Your key of its API.", check=_header, secret=True)
    url: str = option("https://www.dshield.org/submitapi/", "Where requests go to.", check=_web)

    def __post_init__(self) -> None:
        """Refuse what is not whole."""
        _needed(self, "user", "key")


@dataclass(frozen=True, slots=True)
class Splunk:
    """Splunk's HTTP Event Collector."""

    url: str = option("", "Where it is, as https://splunk.example:8088/services/collector/event.", check=_web_or_none)
    token: str = option("", "The token of the input.", check=_header, secret=True)
    index: str = option("", "The index; empty is the token's own.")
    format: str = option("events", f"What an event is: {_RECORDS_SAY}.", among=RECORDS)
    ca_file: str = option("", _CA_SAYS)

    def __post_init__(self) -> None:
        """Refuse what is not whole."""
        _needed(self, "url", "token")


@dataclass(frozen=True, slots=True)
class Elasticsearch:
    """Elasticsearch or OpenSearch: documents in bulk, each once."""

    url: str = option("", "Where it is, as https://elastic.example:9200.", check=_web_or_none)
    index: str = option("eudaemon", "The index or data stream.", check=_index)
    authorization: str = option("", "The header of that name, such as `ApiKey …`.", check=_header, secret=True)
    format: str = option("events", f"What a document is: {_RECORDS_SAY}.", among=RECORDS)
    ca_file: str = option("", _CA_SAYS)

    def __post_init__(self) -> None:
        """Refuse what is not whole."""
        _needed(self, "url")


@dataclass(frozen=True, slots=True)
class Taxii:
    """A collection of a TAXII 2.1 server: STIX objects of each session that did more than knock."""

    url: str = option("", "The collection, as https://taxii.example/api1/collections/ID/.", check=_web_or_none)
    user: str = option("", "User name, if it wants one.", check=_header)
    password: str = option("", "The password that goes with it.", check=_header, secret=True)
    authorization: str = option("", "Instead of both, the header of that name.", check=_header, secret=True)
    ca_file: str = option("", _CA_SAYS)

    def __post_init__(self) -> None:
        """Refuse what is not whole."""
        _needed(self, "url")


@dataclass(frozen=True, slots=True)
class Webhook:
    """Notices in a chat: a line for each session that did more than guess passwords."""

    url: str = option("", "The webhook's URL; for `telegram` as https://api.telegram.org/botTOKEN/sendMessage.",
                      check=_web_secret, secret=True)  # fmt: skip
    shape: str = option("slack", "What it takes; with `own`, what `template` says.", among=CHATS)
    chat: str = option("", "The id of Telegram's chat.")
    template: str = option("", f"JSON of your own, in which {TEXT} stands where the text goes.", check=_template)
    every_s: int = option(60, "What comes within so long is told together, seconds.",
                          low=1, high=86_400)  # fmt: skip
    ca_file: str = option("", _CA_SAYS)

    def __post_init__(self) -> None:
        """Refuse what is not whole."""
        _needed(self, "url")
        if self.shape == "telegram":
            _needed(self, "chat")
        if (self.shape == "own") != bool(self.template):
            raise ValueError("says a template, and not that its shape is `own`, or the other way round")


@dataclass(frozen=True, slots=True)
class Mail:
    """Notices by mail, together."""

    host: str = option("", "Name or address of the mail server.")
    port: int = option(587, "Its port: 587 with `starttls`, 465 with `tls`.", low=1, high=65535)
    security: str = option("starttls", "How the connection is encrypted.", among=("starttls", "tls", "none"))
    user: str = option("", "User name, if it wants one.")
    password: str = option("", "The password that goes with it.", secret=True)
    sender: str = option("", "Whom the mail is from.", check=_mailbox)
    recipients: tuple[str, ...] = option((), "Whom it is to.", check=_mailboxes)
    every_s: int = option(900, "At most one mail in so long; what comes meanwhile is told together, seconds.",
                          low=10, high=86_400)  # fmt: skip
    ca_file: str = option("", _CA_SAYS)

    def __post_init__(self) -> None:
        """Refuse what is not whole."""
        _needed(self, "host", "sender", "recipients")
        if self.password and self.security == "none":
            raise ValueError("has a password, and `security` is none: it would be read by everybody on the way")


@dataclass(frozen=True, slots=True)
class Redis:
    """A Redis, or what speaks like it: published, in a list, or in a stream."""

    host: str = option("", "Name or address of the server.")
    port: int = option(6379, "The port of the server.", low=1, high=65535)
    user: str = option("", "User name; empty is Redis' default one.")
    password: str = option("", "The password, if it wants one.", secret=True)
    how: str = option("publish", "`publish` to a channel, append to a `list`, or add to a `stream`.",
                      among=("publish", "list", "stream"))  # fmt: skip
    key: str = option("eudaemon", "The channel, or the key of the list or stream.")
    kept_max: int = option(100_000, "Of a list or stream, how many it keeps: the oldest go first.", low=1, high=10**9)
    format: str = option("events", f"What a message is: {_RECORDS_SAY}.", among=RECORDS)
    tls: bool = option(False, "Whether it speaks TLS.")
    ca_file: str = option("", _CA_SAYS)

    def __post_init__(self) -> None:
        """Refuse what is not whole."""
        _needed(self, "host", "key")


@dataclass(frozen=True, slots=True)
class VirusTotal:
    """Questions to VirusTotal: what is known there of each sample, by its hash."""

    key: str = option("", "Your key of its API.", check=_header, secret=True)
    submit: bool = option(False, "Whether samples that it does not know are uploaded: everybody there can have them.")
    per_minute: int = option(4, "At most so many questions a minute; a public key has 4.", low=1, high=1_000)
    url: str = option("https://www.virustotal.com/api/v3", "Where requests go to.", check=_web)

    def __post_init__(self) -> None:
        """Refuse what is not whole."""
        _needed(self, "key")


@dataclass(frozen=True, slots=True)
class Cape:
    """Questions to a CAPE sandbox: what it has found of each sample, by its hash."""

    url: str = option("", "Where it is, as https://cape.example.", check=_web_or_none)
    token: str = option("", "The token of its API, if it wants one.", check=_header, secret=True)
    submit: bool = option(False, "Whether samples that it does not know are handed over to be run.")
    ca_file: str = option("", _CA_SAYS)

    def __post_init__(self) -> None:
        """Refuse what is not whole."""
        _needed(self, "url")


OUTPUTS = Named("to", {
    "directory": Directory, "s3": Bucket, "http": Post, "hpfeeds": Hpfeeds, "syslog": Syslog, "misp": Misp,
    "taxii": Taxii, "splunk": Splunk, "elasticsearch": Elasticsearch, "redis": Redis, "webhook": Webhook, "mail": Mail,
    "virustotal": VirusTotal, "cape": Cape,
    "urlhaus": Urlhaus, "malwarebazaar": MalwareBazaar, "abuseipdb": AbuseIpdb, "dshield": Dshield,
})  # fmt: skip


def secrets_of(settings: Any) -> tuple[str, ...]:
    """Return an output's secrets, also as they are said on the wire: what must not be logged, whoever says it."""
    values = [getattr(settings, one.name) for one in fields(settings) if one.metadata["option"].secret]
    found = [*values, *(word for value in values for word in value.split()[1:])]  # what stands behind `Bearer`
    found += [part for value in values if "://" in value for part in urlsplit(value).path.split("/")]
    if (password := getattr(settings, "password", "")) and (user := getattr(settings, "user", "")):
        found += [f"{user}:{password}", f"\0{user}\0{password}"]
    plain = [one for one in found if len(one) >= SECRET_CHARS_MIN]
    return (*plain, *(base64.b64encode(one.encode()).decode("ascii") for one in plain))
