"""What is reported to services against abuse: little, certain, and nothing that says where the sensor is.

Only sessions over TCP: the sender of a datagram may be anybody. Only what was done; never of private addresses.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from eudaemon.events import catalogue as facts
from eudaemon.events import rfc3339
from eudaemon.farm.outputs.batch import Batch, Format, Item, Session, compact
from eudaemon.payload.identify import identify

MALWARE = ("elf", "pe", "script")  # formats of what is called malware when an attacker brings it
SAMPLE_BYTES_MAX = 32 * 1024 * 1024
ADDRESS_S = 15 * 60  # AbuseIPDB takes one report of an address in so long
TAG = "eudaemon"


def urlhaus(batch: Batch) -> Iterator[Item]:
    """Give URLs from which a sensor was served a program or script."""
    for session in _certain(batch):
        for done in session.every(facts.DownloadFinished):
            if done.outcome == "ok" and done.sha256 and _is_reachable(done.url) and _is_malware(batch, done.sha256):
                about = {"url": done.url, "threat": "malware_download", "tags": [TAG, session.room]}
                yield Item(compact(about), key=f"url {done.url}")


def malwarebazaar(batch: Batch) -> Iterator[Item]:
    """Give programs and scripts; the item's body is their bytes, its name what is said of them."""
    for session in _certain(batch):
        for kept in session.samples().values():
            if _is_malware(batch, kept.sha256):
                about: dict[str, Any] = {"tags": [TAG, session.room], "delivery_method": "other"}
                if kept.url and _is_reachable(kept.url):
                    about["references"] = {"links": [kept.url]}
                yield Item(name=json.dumps(about), key=f"sample {kept.sha256}", sample=kept.sha256)


def abuseipdb(batch: Batch) -> Iterator[Item]:
    """Give one report for an attacker's address."""
    by_address: dict[str, list[Session]] = {}
    for session in _certain(batch):
        by_address.setdefault(session.attacker.ip, []).append(session)
    for ip, sessions in by_address.items():
        said, categories = _abuse(sessions)
        if categories:
            last = max(sessions, key=lambda session: session.closed_s)
            about = {
                "ip": ip, "categories": ",".join(map(str, sorted(categories))), "comment": said,
                "timestamp": rfc3339(last.closed_s),
            }  # fmt: skip
            yield Item(compact(about), key=f"address {ip}", kept_s=ADDRESS_S)


def dshield(batch: Batch) -> Iterator[Item]:
    """Give logins that were tried, as cowrie reports them to DShield."""
    for session in _certain(batch):
        client = next(iter(session.every(facts.SshClientIdentified)), None)
        command = ""
        for number, told in enumerate(session.told):
            fact = told.event.fact
            if isinstance(fact, facts.CommandEntered):
                command = fact.line
            elif isinstance(fact, facts.LoginTried) and fact.password is not None:
                about = {
                    "timestamp": int(told.event.at_s), "source_ip": session.attacker.ip, "user": fact.user,
                    "password": fact.password, "lastcommand": command, "hassh": client.hassh if client else "",
                    "banner": client.version if client else "",
                }  # fmt: skip
                yield Item(compact(about), key=f"login {session.id} {number}")


REPORTS = {
    name: Format(make, "application/json", whole=True)
    for name, make in (
        ("urlhaus", urlhaus), ("malwarebazaar", malwarebazaar), ("abuseipdb", abuseipdb), ("dshield", dshield),
    )
}  # fmt: skip


def _abuse(sessions: list[Session]) -> tuple[str, set[int]]:
    """Return what an address did, in words without a secret, and AbuseIPDB's categories of it."""
    categories: set[int] = set()
    counts = dict.fromkeys(("login attempts", "commands", "exploits", "files brought"), 0)
    for session in sessions:
        logins, exploits = session.every(facts.LoginTried), session.every(facts.ExploitRecognised)
        commands, samples = session.every(facts.CommandEntered), session.samples()
        found = (len(logins), len(commands), len(exploits), len(samples))
        counts = {name: count + more for (name, count), more in zip(counts.items(), found, strict=True)}
        categories |= {18} if logins else set()  # brute force
        categories |= {15} if commands or exploits or samples else set()  # hacking
        categories |= {21} if session.room == "http" and exploits else set()  # attack on web applications
        if categories:
            categories |= _SERVICES.get(session.room, set())
    rooms = ", ".join(sorted({session.room for session in sessions}))
    did = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    return f"Honeypot ({rooms}): {did}", categories


# Rooms that have a category of their own at AbuseIPDB: SSH; things of the Internet.
_SERVICES = {"ssh": {22}, "telnet": {23}, "adb": {23}, "ftp": {5}}


def _certain(batch: Batch) -> Iterator[Session]:
    for session in batch.sessions:
        if session.transport == "tcp" and _is_public(session.attacker.ip):
            yield session


def _is_public(ip: str) -> bool:
    return ipaddress.ip_address(ip.partition("%")[0]).is_global


def _is_reachable(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    if parts.scheme not in ("http", "https", "ftp") or not host:
        return False
    try:
        return _is_public(host)
    except ValueError:
        return "." in host


def _is_malware(batch: Batch, sha256: str) -> bool:
    data = batch.source.sample(sha256, SAMPLE_BYTES_MAX)
    return data is not None and identify(data).format in MALWARE
