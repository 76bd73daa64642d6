"""Every question of the page, against answers that were counted in Python."""

from __future__ import annotations

import ipaddress
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from eudaemon.events import Event, IdSource, rfc3339
from eudaemon.events import catalogue as facts
from eudaemon.farm.queries import attacks, samples
from eudaemon.farm.queries.attacks import RANKINGS, SessionFilter, Window
from eudaemon.testing.synthetic import Seen
from farm.made_up import END_S, World, fill, world

END = datetime.fromtimestamp(END_S + 1000, UTC)
ALL = Window(END - timedelta(days=30), END)
DAY = Window.last(timedelta(days=1), now=END)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("farm"), count=6000) as made:
        yield made


def within(full: World, window: Window) -> list[Seen]:
    return [s for s in full.seen if window.since.timestamp() <= s.event.at_s < window.until.timestamp()]


def of(seen: list[Seen], kind: type[facts.Fact]) -> list[Seen]:
    return [s for s in seen if isinstance(s.event.fact, kind)]


def ip(seen: Seen) -> str:
    assert seen.attacker
    return str(ipaddress.ip_address(seen.attacker.ip))


@pytest.mark.parametrize("window", [ALL, DAY])
async def test_totals(full: World, window: Window) -> None:
    seen = within(full, window)
    opened, kept = of(seen, facts.SessionOpened), of(seen, facts.ArtefactKept)
    assert await attacks.totals(full.store, window) == {
        "attacks": len(opened),
        "attackers": len({ip(s) for s in opened}),
        "logins": len(of(seen, facts.LoginTried)),
        "commands": len(of(seen, facts.CommandEntered)),
        "exploits": len(of(seen, facts.ExploitRecognised)),
        "alerts": 0,
        "with_sample": len({s.event.session for s in kept}),
        "samples": len({s.event.fact.sha256 for s in kept}),  # type: ignore[attr-defined]
    }


async def test_over_time(full: World) -> None:
    size = attacks.bucket_s(DAY)
    counted = Counter(int(s.event.at_s) // size * size for s in of(within(full, DAY), facts.SessionOpened))
    rows = await attacks.over_time(full.store, DAY)
    assert {row["at_s"]: row["attacks"] for row in rows if row["attacks"]} == counted
    brought = {s.event.session for s in of(full.seen, facts.ArtefactKept)}
    loaded = [s for s in of(within(full, DAY), facts.SessionOpened) if s.event.session in brought]
    with_sample = Counter(int(s.event.at_s) // size * size for s in loaded)
    assert with_sample
    assert {row["at_s"]: row["with_sample"] for row in rows if row["with_sample"]} == with_sample
    assert [row["at_s"] for row in rows] == sorted(row["at_s"] for row in rows)


@pytest.mark.parametrize(
    ("span", "size"), [(3600, 60), (86_400, 900), (7 * 86_400, 10_800), (365 * 86_400, 604_800), (10**9, 604_800)]
)
def test_a_bar_stands_for_a_sensible_time(span: int, size: int) -> None:
    assert attacks.bucket_s(Window.last(timedelta(seconds=span), now=END)) == size


COUNTED = {
    "countries": (facts.SessionOpened, lambda s: (s.attacker.country,)),
    "networks": (facts.SessionOpened, lambda s: (s.attacker.asn, s.attacker.as_name)),
    "attackers": (facts.SessionOpened, lambda s: (ip(s),)),
    "ports": (facts.SessionOpened, lambda s: (s.event.local.port, s.event.fact.room)),
    "sensors": (facts.SessionOpened, lambda s: (s.event.sensor,)),
    "credentials": (facts.LoginTried, lambda s: (s.event.fact.user, s.event.fact.password)),
    "users": (facts.LoginTried, lambda s: (s.event.fact.user,)),
    "passwords": (facts.LoginTried, lambda s: (s.event.fact.password,)),
    "commands": (facts.CommandEntered, lambda s: (s.event.fact.line,)),
    "exploits": (facts.ExploitRecognised, lambda s: (s.event.fact.name,)),
    "urls": (facts.DownloadWished, lambda s: (s.event.fact.url,)),
    "artefacts": (facts.ArtefactKept, lambda s: (s.event.fact.sha256,)),
}


@pytest.mark.parametrize("network", ["", "100.64.0.0/16"])
@pytest.mark.parametrize("what", RANKINGS)
async def test_every_ranking(full: World, what: str, network: str) -> None:
    kind, key = COUNTED[what]
    counted: Counter[tuple[object, ...]] = Counter()
    addresses, last = defaultdict(set), {}
    wanted = [s for s in of(full.seen, kind) if not network or (s.attacker and s.attacker.ip.startswith("100.64."))]
    assert wanted
    for seen in wanted:
        entry = key(seen)
        counted[entry] += 1
        addresses[entry].add(ip(seen))
        last[entry] = max(last.get(entry, ""), rfc3339(seen.event.at_s))
    rows = await attacks.ranked(full.store, what, ALL, limit=500, network=network)
    columns = list(RANKINGS[what].columns)
    answered = {tuple(row[c] for c in columns): (row["count"], row["attackers"], row["last"]) for row in rows}
    assert len(rows) == min(500, len(counted))
    assert all((counted[k], len(addresses[k]), last[k]) == v for k, v in answered.items())
    assert [row["count"] for row in rows] == sorted(counted.values(), reverse=True)[:500]


async def test_an_attacker_s_place_is_said(full: World) -> None:
    place = {ip(s): (s.attacker.country, s.attacker.as_name) for s in full.seen if s.attacker}
    rows = await attacks.ranked(full.store, "attackers", ALL, limit=50)
    assert [(row["country"], row["as_name"]) for row in rows] == [place[row["ip"]] for row in rows]


async def test_a_ranking_holds_only_what_holds_the_text(full: World) -> None:
    rows = await attacks.ranked(full.store, "credentials", ALL, limit=500, contains="XC35")
    assert rows
    assert {row["password"] for row in rows} == {"xc3511"}


HOSTILE = ["' OR 1=1 --", "\\", "\\'", "%", "{limit:UInt32}", "\0", "\n\t", "\u202e", "𐍈", "x" * 5000]


@pytest.mark.parametrize("text", HOSTILE)
async def test_no_text_reaches_the_engine_as_sql(full: World, text: str) -> None:
    assert await attacks.ranked(full.store, "commands", ALL, contains=text) == []
    assert await attacks.sessions(full.store, SessionFilter(ALL, text=text)) == []
    assert await attacks.sessions(full.store, SessionFilter(ALL, country=text, sensor=text, room=text)) == []
    found = await samples.search(full.store, text, ALL)
    assert not any(found.values())


# --- sessions ------------------------------------------------------------------------------------


def sessions_of(seen: list[Seen]) -> dict[str, list[Seen]]:
    grouped = defaultdict(list)
    for s in seen:
        if s.event.session:
            grouped[s.event.session].append(s)
    return grouped


def used(seen: list[Seen], reference: str) -> bool:
    return any(s.event.fact.reference == reference for s in of(seen, facts.ExploitRecognised))  # type: ignore[attr-defined]


FILTERS = {
    "country": (SessionFilter(ALL, country="cn"), lambda ss: ss[0].attacker.country == "CN"),
    "sensor": (SessionFilter(ALL, sensor="lab"), lambda ss: ss[0].event.sensor == "lab"),
    "room": (SessionFilter(ALL, room="http"), lambda ss: ss[0].event.fact.room == "http"),
    "port": (SessionFilter(ALL, port=2323), lambda ss: ss[0].event.local.port == 2323),
    "asn": (SessionFilter(ALL, asn=64497), lambda ss: ss[0].attacker.asn == 64497),
    "block": (
        SessionFilter(ALL, network="100.64.0.0/24"),
        lambda ss: ipaddress.ip_address(ip(ss[0])) in ipaddress.ip_network("100.64.0.0/24"),
    ),
    "block of IPv6": (SessionFilter(ALL, network="2001:db8::/32"), lambda ss: ":" in ip(ss[0])),
    "address": (SessionFilter(ALL, network="100.64.0.0"), lambda ss: ip(ss[0]) == "100.64.0.0"),
    "sample": (SessionFilter(ALL, with_sample=True), lambda ss: of(ss, facts.ArtefactKept)),
    "login": (
        SessionFilter(ALL, with_login=True),
        lambda ss: any(s.event.fact.accepted for s in of(ss, facts.LoginTried)),
    ),
    "command": (SessionFilter(ALL, with_command=True), lambda ss: of(ss, facts.CommandEntered)),
    "known exploit": (SessionFilter(ALL, with_exploit=True), lambda ss: of(ss, facts.ExploitRecognised)),
    "exploit by name": (SessionFilter(ALL, exploit="Realtek SDK miniigd"), lambda ss: used(ss, "CVE-2014-8361")),
    "exploit by CVE": (SessionFilter(ALL, exploit="cve-2014-8361"), lambda ss: used(ss, "CVE-2014-8361")),
    "exploit in a room": (
        SessionFilter(ALL, exploit="CVE-2014-8361", with_sample=True, port=8443),
        lambda ss: used(ss, "CVE-2014-8361") and of(ss, facts.ArtefactKept) and ss[0].event.local.port == 8443,
    ),
    "text": (
        SessionFilter(ALL, text="taZZ@23495859"),
        lambda ss: any(s.event.fact.password == "taZz@23495859" for s in of(ss, facts.LoginTried)),
    ),
    "all at once": (
        SessionFilter(ALL, country="US", room="telnet", with_sample=True, with_login=True, text="busybox"),
        lambda ss: ss[0].attacker.country == "US" and ss[0].event.fact.room == "telnet" and of(ss, facts.ArtefactKept),
    ),
}


@pytest.mark.parametrize("name", FILTERS)
async def test_every_filter(full: World, name: str) -> None:
    wanted, fits = FILTERS[name]
    grouped = {session: seen for session, seen in sessions_of(full.seen).items() if fits(seen)}
    rows = await attacks.sessions(full.store, wanted, limit=500)
    newest = sorted(grouped, key=lambda s: grouped[s][0].event.at_s, reverse=True)[:500]
    assert newest
    assert [row["session"] for row in rows] == newest


async def test_what_is_said_of_a_session(full: World) -> None:
    grouped = sessions_of(full.seen)
    for row in await attacks.sessions(full.store, SessionFilter(ALL), limit=200):
        seen = grouped[row["session"]]
        closed = [s.event.fact for s in of(seen, facts.SessionClosed)]
        let_in = [s.event.fact for s in of(seen, facts.LoginTried) if s.event.fact.accepted]  # type: ignore[attr-defined]
        assert (row["ip"], row["country"], row["port"]) == (
            ip(seen[0]), seen[0].attacker.country, seen[0].event.local.port  # type: ignore[union-attr]
        )  # fmt: skip
        assert row["logins"] == len(of(seen, facts.LoginTried))
        assert row["commands"] == len(of(seen, facts.CommandEntered))
        assert row["samples"] == len({s.event.fact.sha256 for s in of(seen, facts.ArtefactKept)})  # type: ignore[attr-defined]
        assert row["credential"] == (f"{let_in[0].user} / {let_in[0].password}" if let_in else "")  # type: ignore[attr-defined]
        assert [row["duration_s"]] == [fact.duration_s for fact in closed] or not closed  # type: ignore[attr-defined]
        assert row["closed"] == (closed[0].reason if closed else "")  # type: ignore[attr-defined]


async def test_pages_of_sessions_hold_each_once(full: World) -> None:
    found, before = [], None
    while rows := await attacks.sessions(full.store, SessionFilter(ALL), limit=97, before=before):
        found += [row["session"] for row in rows]
        before = (rows[-1]["opened"], rows[-1]["session"])
    assert len(found) == len(set(found)) == len(of(full.seen, facts.SessionOpened))


async def test_one_session(full: World) -> None:
    session, seen = max(sessions_of(full.seen).items(), key=lambda item: len(item[1]))
    rows = await attacks.session_events(full.store, session)
    assert [row["id"] for row in rows] == [s.event.id for s in seen]
    assert rows[0]["time"] == rfc3339(seen[0].event.at_s)
    assert await attacks.session_events(full.store, "0193f3f3-0000-7000-8000-000000000000") == []


async def test_recent(full: World) -> None:
    newest = sorted((s.event.id for s in full.seen), reverse=True)
    since_30_days = datetime.now(UTC).timestamp() - 30 * 86_400 < END_S
    rows = await attacks.recent(full.store, limit=5)
    assert len(rows) == (5 if since_30_days else 0)
    assert {row["id"] for row in rows} <= set(newest)


# --- samples and search --------------------------------------------------------------------------


async def test_a_process_that_was_taken_over_is_said(full: World) -> None:
    at_s = END_S - 41 * 86_400  # before everything that the other tests count
    ids = IdSource(os.urandom)
    session = ids.new(at_s)
    hijacked = facts.ControlHijacked("return", "nginx", "/usr/sbin/nginx", 4711, "contain", "2026-1")
    told = [facts.SessionOpened("tcp", "possession"), hijacked, facts.SessionClosed("possession", "room", 0, 9, 0)]
    events = [Event(ids.new(at_s), at_s, "lab", fact, session) for fact in told]
    await fill(full.store, [Seen(event, None) for event in events], spool="09" * 16)
    later = Window.last(timedelta(minutes=1), now=datetime.fromtimestamp(at_s + 1, UTC))
    rows = await attacks.sessions(full.store, SessionFilter(later))
    assert [(row["session"], row["hijacked"]) for row in rows] == [(session, "nginx")]
    others = await attacks.sessions(full.store, SessionFilter(ALL), limit=500)
    assert {row["hijacked"] for row in others} == {""}
    assert (await attacks.totals(full.store, later))["alerts"] == 1
    for window, wanted in ((later, [session]), (ALL, [])):
        found = await attacks.sessions(full.store, SessionFilter(window, with_alert=True))
        assert [row["session"] for row in found] == wanted


async def test_of_several_rooms_at_a_port_the_one_that_answered_is_named_and_found(full: World) -> None:
    at_s = END_S - 42 * 86_400  # before everything that the other tests count
    ids = IdSource(os.urandom)
    window = Window.last(timedelta(minutes=1), now=datetime.fromtimestamp(at_s + 10, UTC))
    both, events, session_of = "telnet+tr069", [], {}
    for opened, answered in ((both, "tr069"), (both, "telnet"), ("telnet", "telnet"), (both, "")):
        session = session_of[opened, answered] = ids.new(at_s)
        told = [facts.SessionOpened("tcp", opened)]
        told += [facts.SessionClosed(answered, "peer", 1.0, 9, 0)] if answered else []  # type: ignore[list-item]
        events += [Event(ids.new(at_s + n), at_s + n, "lab", fact, session) for n, fact in enumerate(told)]
    await fill(full.store, [Seen(event, None) for event in events], spool="07" * 16)
    rooms = {row["session"]: row["room"] for row in await attacks.sessions(full.store, SessionFilter(window))}
    assert rooms == {session: answered or opened for (opened, answered), session in session_of.items()}
    for room in ("tr069", "telnet", both):
        found = await attacks.sessions(full.store, SessionFilter(window, room=room))
        assert {row["session"] for row in found} == {
            session for (opened, answered), session in session_of.items() if room in (opened, answered)
        }


async def test_raw_payloads_are_no_samples(full: World) -> None:
    ids, begun_s = IdSource(bytes), END_S - 40 * 86_400  # before everything that the other tests count
    window = Window.last(timedelta(hours=1), now=datetime.fromtimestamp(begun_s + 1800, UTC))
    kept = {"payload": ["a"], "upload": ["b", "c"], "download": ["d", "a"], "script": ["e"]}
    session_of = {origin: ids.new(begun_s) for origin in kept}
    events = [
        Seen(Event(ids.new(begun_s + after_s), begun_s + after_s, "lab", fact, session_of[origin]), None)
        for origin, names in kept.items()
        for after_s, fact in (
            (0, facts.SessionOpened("tcp", "catchall")),
            *((1, facts.ArtefactKept(name * 64, 14, origin)) for name in names),
        )
    ]
    await fill(full.store, events, spool="cd" * 16)

    totals = await attacks.totals(full.store, window)
    assert (totals["attacks"], totals["with_sample"], totals["samples"]) == (4, 3, 5)
    buckets = await attacks.over_time(full.store, window)
    assert [(row["attacks"], row["with_sample"]) for row in buckets] == [(4, 3)]
    brought = {row["session"]: row["samples"] for row in await attacks.sessions(full.store, SessionFilter(window))}
    assert brought == {session_of[o]: 0 if o == "payload" else len(names) for o, names in kept.items()}
    listed = await attacks.sessions(full.store, SessionFilter(window, with_sample=True))
    assert {row["session"] for row in listed} == set(session_of.values()) - {session_of["payload"]}

    for kind, expected in {"files": "abcde", "payloads": "a", "all": "abcde"}.items():
        rows = await samples.samples(full.store, window, kind=kind)
        assert sorted(row["sha256"][0] for row in rows) == list(expected)
    assert [row["count"] for row in await samples.samples(full.store, window, contains="aaaa")] == [1]
    assert [row["count"] for row in await samples.samples(full.store, window, contains="aaaa", kind="all")] == [2]


async def test_attackers_without_a_place_are_ranked_too(full: World) -> None:
    now_s = END_S - 45 * 86_400
    events = [Seen(Event(IdSource(bytes).new(now_s), now_s, "lab", facts.SessionOpened("tcp", "telnet"), "s"), None)]
    await fill(full.store, events, spool="ef" * 16)
    window = Window.last(timedelta(hours=1), now=datetime.fromtimestamp(now_s + 10, UTC))
    assert [(r["country"], r["count"]) for r in await attacks.ranked(full.store, "countries", window)] == [("", 1)]
    assert [(r["asn"], r["count"]) for r in await attacks.ranked(full.store, "networks", window)] == [(0, 1)]


@pytest.mark.parametrize("order", ["last", "first", "count", "size"])
async def test_samples(full: World, order: str) -> None:
    counted: dict[str, list[Seen]] = defaultdict(list)
    for seen in of(full.seen, facts.ArtefactKept):
        counted[seen.event.fact.sha256].append(seen)  # type: ignore[attr-defined]
    rows = await samples.samples(full.store, ALL, order=order, limit=500)
    assert {row["sha256"] for row in rows} == set(counted)
    for row in rows:
        seen = counted[row["sha256"]]
        assert (row["count"], row["attackers"]) == (len(seen), len({ip(s) for s in seen}))
        assert row["first"] == rfc3339(min(s.event.at_s for s in seen))
        assert row["description"].startswith("ELF")
    assert [row[order] for row in rows] == sorted((row[order] for row in rows), reverse=True)
    paged = [await samples.samples(full.store, ALL, order=order, limit=7, offset=o) for o in (0, 7)]
    assert [row["sha256"] for page in paged for row in page] == [row["sha256"] for row in rows[:14]]


async def test_one_sample_and_what_brought_it(full: World) -> None:
    kept = of(full.seen, facts.ArtefactKept)
    (sha256, times), *_ = Counter(s.event.fact.sha256 for s in kept).most_common()  # type: ignore[attr-defined]
    brought = [s for s in kept if s.event.fact.sha256 == sha256]  # type: ignore[attr-defined]
    sample = await samples.sample(full.store, sha256)
    assert sample is not None
    assert (sample["count"], sample["attackers"]) == (times, len({ip(s) for s in brought}))
    relations = await samples.sample_relations(full.store, sha256)
    most = Counter(ip(s) for s in brought)
    assert [r["count"] for r in relations["attackers"]] == sorted(most.values(), reverse=True)[:50]
    assert all(most[r["ip"]] == r["count"] for r in relations["attackers"])
    assert {r["url"] for r in relations["urls"]} == {s.event.fact.url for s in brought}  # type: ignore[attr-defined]
    newest = sorted(brought, key=lambda s: s.event.at_s, reverse=True)
    assert [r["session"] for r in relations["sessions"]] == [s.event.session for s in newest][:50]
    assert await samples.sample(full.store, "0" * 64) is None


async def test_search_finds_by_every_handle(full: World) -> None:
    seen = of(full.seen, facts.ArtefactKept)[0]
    fact = seen.event.fact
    assert isinstance(fact, facts.ArtefactKept)

    async def found(text: str) -> dict[str, list[attacks.Row]]:
        return await samples.search(full.store, text, ALL)

    assert (await found(seen.event.session))["sessions"][0]["session"] == seen.event.session
    assert (await found(ip(seen)))["attackers"][0]["ip"] == ip(seen)
    assert len((await found("100.64.0.0/16"))["attackers"]) == 10
    assert [s["sha256"] for s in (await found(fact.sha256))["samples"]] == [fact.sha256]
    assert [s["sha256"] for s in (await found(fact.sha256[:9]))["samples"]] == [fact.sha256]
    assert (await found("XMHDIPC"))["credentials"][0]["password"] == "xmhdipc"
    assert (await found("/proc/mounts"))["commands"][0]["command"].startswith("cat /proc/mounts")
    assert (await found("198.51.100."))["urls"]
    assert (await found("GPON"))["exploits"][0]["name"] == "Dasan GPON diag_Form"
    assert not any((await found("nothing holds this")).values())
