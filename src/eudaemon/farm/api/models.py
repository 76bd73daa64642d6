"""What the JSON API answers, as types: the OpenAPI description is made from these.

Everything that an attacker wrote is plain text in JSON; whoever shows it must show it as text.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Time = Annotated[str, Field(description="RFC 3339, UTC", examples=["2026-11-24T01:53:27.123456Z"])]
Sha256 = Annotated[str, Field(description="SHA-256, hexadecimal")]


class Model(BaseModel):
    """What all answers share."""

    model_config = ConfigDict(frozen=True)


class Failure(Model):
    """Why a request was not granted."""

    error: str = Field(description="what is wrong and what to do about it, one sentence or two")


class Health(Model):
    """Whether the farm answers."""

    status: str
    version: str


# --- accounts ------------------------------------------------------------------------------------


class Login(Model):
    """A user name and a password."""

    user: str = Field(max_length=64)
    password: str = Field(max_length=256)


class PasswordChange(Model):
    """The password as it is and as it shall be."""

    current: str = Field(max_length=256)
    new: str = Field(max_length=256)


class Me(Model):
    """Who is logged in."""

    user: str | None


class TokenWish(Model):
    """What a new token is for."""

    name: str = Field(max_length=64)


class TokenShown(Model):
    """A token for scripts. `key` is there only in the answer that creates it."""

    id: int
    name: str
    created: Time
    used: Time | None
    key: str | None = None


# --- overview ------------------------------------------------------------------------------------


class Totals(Model):
    """How many of what there were in the window."""

    attacks: int = Field(description="sessions")
    attackers: int = Field(description="different addresses, to within a percent")
    logins: int
    commands: int
    exploits: int = Field(description="known ones")
    alerts: int = Field(description="attempts to take control of a possessed process, known or not")
    with_sample: int = Field(description="sessions that brought a sample, to within a percent")
    samples: int = Field(description="different samples, to within a percent; raw payloads are none")


class Bucket(Model):
    """What happened in one span of a chart."""

    at_s: int = Field(description="its beginning, seconds since the epoch")
    attacks: int
    with_sample: int = Field(description="how many of the attacks brought a sample")
    logins: int


class Timeline(Model):
    """Attacks over time; spans without any are left out."""

    since: Time
    until: Time
    bucket_s: int
    buckets: list[Bucket]


class Overview(Model):
    """The numbers at the top of the page."""

    totals: Totals
    before: Totals = Field(description="the same for the window of equal length before")
    timeline: Timeline


class Ranked(BaseModel):
    """One entry of a ranking. Besides these it has the ranking's own columns."""

    model_config = ConfigDict(extra="allow", frozen=True)
    count: int
    attackers: int
    first: Time
    last: Time


# --- sessions ------------------------------------------------------------------------------------


class Session(Model):
    """One session in a list, and what happened in it."""

    session: str
    opened: Time
    sensor: str
    room: str
    ip: str
    attacker_port: int
    port: int
    country: str = Field(description="two letters, empty if unknown")
    asn: int
    as_name: str
    logins: int
    credential: str = Field(description="`user / password` that was let in, or empty")
    commands: int
    samples: int = Field(description="different files that it brought; raw payloads are none")
    hijacked: str = Field(description="name of the possessed process that it was about to take control of, or empty")
    exploit: str = Field(description="name of a known exploit in it, or empty")
    reference: str = Field(description="the exploit's CVE or other public reference, or empty")
    request: str = Field(description="method and target of an HTTP request in it, or empty")
    guess: str = Field(description="what the first bytes look like where no room claims them, or empty")
    closed: str = Field(description="why it ended; empty while it lasts")
    duration_s: float | None
    conversation: str = Field(description="SHA-256 of the recording, empty if there is none")


class Sessions(Model):
    """A page of sessions, the newest first."""

    sessions: list[Session]
    next: str | None = Field(description="pass it as `before` to get the following page")


class EventShown(Model):
    """One fact and its envelope."""

    id: str
    time: Time
    sensor: str
    session: str
    kind: str
    ip: str
    attacker_port: int
    port: int
    country: str
    asn: int
    as_name: str
    fields: dict[str, Any] = Field(description="the fact's own fields, see docs/events.md")


class SessionDetail(Model):
    """One session with all its facts in order."""

    session: str
    events: list[EventShown]
    truncated: bool
    conversation: str


class Piece(Model):
    """What one side sent at one moment."""

    ms: int = Field(description="since the session began")
    side: str = Field(description="`attacker` or `host`")
    data: str = Field(description="bytes, base64")


class Conversation(Model):
    """A recorded conversation."""

    sha256: Sha256
    pieces: list[Piece]
    truncated: bool = Field(description="true if only the beginning is here")


class Bytes(Model):
    """Up to 16 bytes in a row."""

    at: str = Field(description="address or offset of the first, hexadecimal")
    data: str = Field(description="hexadecimal")
    marks: str = Field(description="a character a byte: `t` came from outside, `c` took control, a blank neither")
    pointed: bool = Field(description="true if the stack pointer points into it")


class Picture(Model):
    """Bytes of memory or of a stream, and which of them took control."""

    title: str
    says: str
    rows: list[Bytes]
    truncated: bool


class Line(Model):
    """One instruction."""

    at: str
    data: str
    text: str
    here: bool = Field(description="true for the one that would have handed over control")


class Alert(Model):
    """What was about to take control of a possessed process: the report in the parts that a page shows."""

    id: str
    words: str = Field(description="what happened, a sentence")
    answer: str = Field(description="what became of the thread, a sentence")
    facts: list[tuple[str, str]]
    remarks: list[str]
    pictures: list[Picture] = Field(description="whose bytes they were first, then memory")
    code: list[Line] = Field(description="around the instruction")
    injected: list[Line]
    registers: list[tuple[str, str, str]] = Field(
        description="name, value, and the stream that each byte came from, the highest first: `-` none, `*` several"
    )
    maps: list[tuple[str, str, str]] = Field(description="the memory map: addresses, rights, file")
    frames: list[tuple[str, str, str]] = Field(description="call stack, the innermost first: address, place, how found")


# --- addresses -----------------------------------------------------------------------------------


class Address(Model):
    """When one address was where. What it did is for the rankings and the sessions to say, with `network`."""

    ip: str
    sessions: int
    first: Time = Field(description="when its first session began")
    last: Time = Field(description="when its newest session began")
    country: str = Field(description="two letters, empty if unknown")
    asn: int
    as_name: str
    sensors: list[str] = Field(description="20 at most")


class AddressEvents(Model):
    """A page of an address's facts, the newest first."""

    events: list[EventShown]
    next: str | None = Field(description="pass it as `before` to get the following page")


# --- samples -------------------------------------------------------------------------------------


class Sample(Model):
    """One sample in a list."""

    sha256: Sha256
    size: int
    name: str
    url: str
    count: int
    attackers: int
    first: Time
    last: Time
    format: str
    description: str
    rules: list[str]
    fuzzy: str
    does: list[str] = Field(description="what it does, if it is a shellcode: a sentence each")


class Samples(Model):
    """A page of samples."""

    samples: list[Sample]
    next: int | None = Field(description="pass it as `offset` to get the following page")


class Related(Model):
    """Somebody or something that brought a sample."""

    model_config = ConfigDict(extra="allow", frozen=True)


class Relations(Model):
    """What brought a sample, 50 of each at most."""

    attackers: list[dict[str, Any]]
    urls: list[dict[str, Any]]
    sessions: list[dict[str, Any]]


class Judgement(Model):
    """What somebody else said of a sample."""

    by: str = Field(description="who was asked: `virustotal` or `cape`")
    outcome: str = Field(description="`known`, `unknown` or `submitted`")
    label: str
    positives: int = Field(description="how many engines call it malicious")
    engines: int
    score: float = Field(description="a sandbox's score, from 0 to 10")
    link: str
    time: Time


class SampleDetail(Model):
    """All that is known of one sample."""

    sha256: Sha256
    size: int
    kept: bool = Field(description="whether the farm has its bytes")
    md5: str
    sha1: str
    count: int
    attackers: int
    first: Time | None
    last: Time | None
    names: list[str]
    sensors: list[str]
    countries: list[str]
    origins: list[str]
    format: str
    description: str
    rules: list[str]
    fuzzy: str
    does: list[str] = Field(description="what it does, if it is a shellcode: a sentence each")
    judged: list[Judgement] = Field(description="what others say of it, of each what was said last")
    relations: Relations


class HexPage(Model):
    """A part of a sample's bytes."""

    offset: int
    size: int = Field(description="of the whole sample")
    data: str = Field(description="bytes, hexadecimal")


class Found(Model):
    """Printable text in a sample."""

    offset: int
    encoding: str = Field(description="`ascii` or `utf-16le`")
    text: str


class Strings(Model):
    """Printable texts in a sample, in order."""

    strings: list[Found]
    next: int | None = Field(description="pass it as `offset` to get those that follow")


# --- sensors, search -----------------------------------------------------------------------------


class Warned(Model):
    """Something that somebody should look at."""

    severity: str = Field(description="`warning` or `serious`")
    text: str = Field(description="what is wrong and what to do, in plain words")


class SensorShown(Model):
    """One sensor and how it does."""

    name: str
    status: str = Field(description="`well`, `warning`, `silent` or `never`")
    last_seen: Time | None
    warnings: list[Warned]
    health: dict[str, Any]


class Fleet(Model):
    """All sensors, and the farm itself."""

    sensors: list[SensorShown]
    warnings: list[Warned] = Field(description="of the farm itself")
    farm: dict[str, Any]


class SearchResult(Model):
    """What holds the text that was searched for."""

    query: str
    sessions: list[dict[str, Any]] = []
    attackers: list[dict[str, Any]] = []
    samples: list[Sample] = []
    credentials: list[dict[str, Any]] = []
    commands: list[dict[str, Any]] = []
    urls: list[dict[str, Any]] = []
    exploits: list[dict[str, Any]] = []
