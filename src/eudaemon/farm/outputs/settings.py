"""What can be told to whom: one dataclass for each kind of output, declared as `[outputs.NAME]` with `to = "KIND"`.

What cannot be right is refused here, so that it is named with its line at the start. Secrets are only ever read by
the peer that needs them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from eudaemon.farm.s3 import check_place
from eudaemon.options import Named, option

LINES = ("events", "cowrie", "dionaea", "eve", "ocsf")  # formats of which each record is one line of JSON
FORMATS = (*LINES, "stix", "misp", "samples")
CHANNELS = (
    "dionaea.connections", "dionaea.capture", "dionaea.dcerpcrequests", "mwbinary.dionaea.sensorunique",
    "cowrie.sessions", "kippo.sessions",
)  # fmt: skip

_FORMAT_SAYS = "`events` (ours), `cowrie`, `dionaea`, `eve` or `ocsf`: a line of JSON each; "
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
    format: str = option(
        "events", "What a message is: `events` (ours), `cowrie`, `dionaea`, `eve` or `ocsf`.", among=LINES
    )
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


OUTPUTS = Named("to", {
    "directory": Directory, "s3": Bucket, "http": Post, "hpfeeds": Hpfeeds, "syslog": Syslog, "misp": Misp,
    "urlhaus": Urlhaus, "malwarebazaar": MalwareBazaar, "abuseipdb": AbuseIpdb, "dshield": Dshield,
})  # fmt: skip
