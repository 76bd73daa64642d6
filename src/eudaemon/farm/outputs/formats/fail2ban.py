"""A line for each thing that an address did, for fail2ban and whatever else bans addresses by a log.

    2026-11-24T02:23:20.000000Z eudaemon[telnet]: 192.31.196.9 attacked: login.tried

Only sessions over TCP: whoever sends a datagram with your name server's address would have that banned. And nothing of
an attacker's own words, which could name somebody else. Told at once, so that a session that still goes on is cut off.
"""

from __future__ import annotations

from collections.abc import Iterator

from eudaemon.events import catalogue as facts
from eudaemon.events import rfc3339
from eudaemon.farm.outputs.batch import Batch, Item

ATTACKS = (
    facts.LoginTried, facts.ChallengeAnswered, facts.NtlmResponseGiven, facts.PublicKeyOffered, facts.CommandEntered,
    facts.ForwardingAsked, facts.ProxyAsked, facts.ExploitRecognised, facts.MailReceived, facts.DownloadWished,
    facts.ControlHijacked,
)  # fmt: skip


def make(batch: Batch) -> Iterator[Item]:
    """Give a line for each attack of this batch."""
    attacks = [told.event for told in batch.events if isinstance(told.event.fact, ATTACKS) and told.event.session]
    opened = {}
    for told in batch.events:
        if isinstance(told.event.fact, facts.SessionOpened):
            opened[told.event.session] = told.event.fact
    for session in batch.sessions_of(event.session for event in attacks if event.session not in opened):
        opened[session.id] = session.every(facts.SessionOpened)[0]
    for event in attacks:
        begun = opened.get(event.session)
        if event.attacker is not None and begun is not None and begun.transport == "tcp":
            ip = event.attacker.ip.partition("%")[0]
            line = f"{rfc3339(event.at_s)} eudaemon[{begun.room}]: {ip} attacked: {event.fact.kind}"
            yield Item(line.encode("ascii"), at_s=event.at_s)
