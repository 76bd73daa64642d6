"""The JSON API: who gets in, what it answers, and how it refuses."""

from __future__ import annotations

import asyncio
import base64
import csv
import hashlib
import io
import json
import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

import httpx
import pytest

from eudaemon.cli._capture import Capture
from eudaemon.cli._streams import Streams
from eudaemon.events import catalogue as facts
from eudaemon.farm.api import conversations
from eudaemon.farm.api.guard import BODY_BYTES_MAX, OPEN
from eudaemon.farm.store.engine import QueryTooLargeError
from eudaemon.testing.synthetic import Synthetic
from eudaemon.wire import conversation
from farm.made_up import END_S, PASSWORD, World, bytes_of_sample, stored, world

BASE = "http://127.0.0.1:8600"
UNTIL = {"until": datetime.fromtimestamp(END_S + 1000, UTC).isoformat(), "span": "30d"}


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("farm"), count=2000) as made:
        yield made


@pytest.fixture(scope="module")
def key(full: World) -> str:
    return full.accounts.create_token("admin", "tests")[1]


def client_of(full: World, **headers: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=full.app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url=BASE, headers=headers)


@pytest.fixture
async def anybody(full: World) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(full) as client:
        yield client


@pytest.fixture
async def script(full: World, key: str) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(full, Authorization=f"Bearer {key}") as client:
        yield client


def sha256_of(number: int) -> str:
    return hashlib.sha256(b"synthetic sample %d" % number).hexdigest()


def session_with(full: World, kind: type[facts.Fact]) -> str:
    return next(s.event.session for s in full.seen if isinstance(s.event.fact, kind))


async def described(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.get("/api/openapi.json")
    found: dict[str, Any] = answer.json()
    return found


# --- who gets in ---------------------------------------------------------------------------------


async def test_every_endpoint_but_login_and_health_needs_a_login(
    anybody: httpx.AsyncClient, script: httpx.AsyncClient
) -> None:
    paths = (await described(script))["paths"]
    assert len(paths) > 15
    for path, methods in paths.items():
        for method in methods:
            answer = await anybody.request(method, re.sub(r"{\w+}", "1", path))
            wanted = {"/api/login": 422, "/api/health": 200, "/api/me": 200}.get(path, 401)
            assert answer.status_code == wanted, (method, path)
            if wanted == 401:
                assert "Log in" in answer.json()["error"]
    assert set(paths) >= OPEN
    assert (await anybody.get("/api/me")).json() == {"user": None}
    for path in ("/api/openapi.json", "/api/nothing", "/api"):
        assert (await anybody.get(path)).status_code == 401


async def test_login_and_logout(anybody: httpx.AsyncClient) -> None:
    wrong = await anybody.post("/api/login", json={"user": "admin", "password": "wrong"})
    assert (wrong.status_code, wrong.json()) == (401, {"error": "User name or password is wrong."})
    right = await anybody.post("/api/login", json={"user": "admin", "password": PASSWORD})
    cookie = right.headers["set-cookie"].lower()
    assert all(part in cookie for part in ("httponly", "samesite=strict", "path=/", "max-age="))
    assert (await anybody.get("/api/me")).json() == {"user": "admin"}
    stolen = dict(anybody.cookies)
    assert (await anybody.post("/api/logout")).status_code == 204
    anybody.cookies.update(stolen)
    assert (await anybody.get("/api/tokens")).status_code == 401


async def test_password_and_tokens(full: World) -> None:
    full.accounts.set_password("somebody", "a first password")
    async with client_of(full) as client:
        await client.post("/api/login", json={"user": "somebody", "password": "a first password"})
        made = await client.post("/api/tokens", json={"name": "mine"})
        assert made.status_code == 201
        assert (await client.get("/api/tokens")).json()[0]["key"] is None
        async with client_of(full, Authorization=f"Bearer {made.json()['key']}") as other:
            assert (await other.get("/api/me")).json() == {"user": "somebody"}
        assert (await client.delete(f"/api/tokens/{made.json()['id']}")).status_code == 204
        assert (await client.delete(f"/api/tokens/{made.json()['id']}")).status_code == 404
        short = await client.put("/api/me/password", json={"current": "a first password", "new": "short"})
        assert (short.status_code, "10 to 256" in short.json()["error"]) == (422, True)
        changed = await client.put("/api/me/password", json={"current": "a first password", "new": "a second one"})
        assert changed.status_code == 204
        assert (await client.get("/api/tokens")).status_code == 401


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "", "127.0.0.1.evil.example", "[::1", "farm.example@evil.example:80"],
)
async def test_a_name_that_the_page_is_not_served_under_is_refused(anybody: httpx.AsyncClient, host: str) -> None:
    for path in ("/", "/api/health", "/js/app.js"):
        assert (await anybody.get(path, headers={"Host": host})).status_code == 421


@pytest.mark.parametrize(
    "host", ["localhost:8600", "127.0.0.1", "192.0.2.7:8600", "[2001:db8::1]:8600", "FARM.example", "farm.example."]
)
async def test_its_own_names_and_plain_addresses_are_served(anybody: httpx.AsyncClient, host: str) -> None:
    assert (await anybody.get("/api/health", headers={"Host": host})).json()["status"] == "ok"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": BASE}, {"Origin": "http://127.0.0.1:9999"},
    ],
)  # fmt: skip
async def test_another_site_cannot_change_anything(anybody: httpx.AsyncClient, headers: dict[str, str]) -> None:
    body = {"user": "admin", "password": PASSWORD}
    assert (await anybody.post("/api/login", json=body, headers=headers)).status_code == 403
    assert (await anybody.post("/api/login", json=body, headers={"Origin": BASE})).status_code == 200


async def test_bodies_are_json_and_bounded(anybody: httpx.AsyncClient) -> None:
    form = await anybody.post("/api/login", data={"user": "admin", "password": PASSWORD})
    assert form.status_code == 415
    large = await anybody.post("/api/login", json={"user": "x" * BODY_BYTES_MAX, "password": ""})
    assert large.status_code == 413

    async def endless() -> AsyncIterator[bytes]:
        yield b"{"

    chunked = await anybody.post("/api/login", content=endless(), headers={"Content-Type": "application/json"})
    assert chunked.status_code == 413


async def test_every_answer_has_the_strict_headers(anybody: httpx.AsyncClient, script: httpx.AsyncClient) -> None:
    for client, path in (
        (anybody, "/"),
        (anybody, "/js/app.js"),
        (anybody, "/api/tokens"),
        (script, "/api/recent"),
        (anybody, "/no.such"),
    ):
        headers = (await client.get(path)).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'self';")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers.get("cache-control", "no-cache") == ("no-store" if "/api/" in path else "no-cache")


# --- how it refuses ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/api/sessions?limit=0", "limit"), ("/api/sessions?limit=501", "limit"), ("/api/sessions?limit=x", "limit"),
        ("/api/sessions?network=300.1.2.3", "block"), ("/api/ranked/urls?network=300.1.2.3", "block"),
        ("/api/sessions?network=' OR 1=1", "block"),
        ("/api/sessions?country=DEU", "country"), ("/api/sessions?country='--", "country"),
        ("/api/sessions?port=65536", "port"), ("/api/sessions?asn=-1", "asn"), ("/api/sessions?span=2h", "span"),
        ("/api/sessions?since=yesterday", "since"), ("/api/sessions?since=2026-11-24&until=2026-11-23", "since"),
        ("/api/sessions?before=x~y", "before"), ("/api/sessions?before=2026-13-40T00:00:00.000000Z~0", "before"),
        ("/api/sessions?text=" + "x" * 201, "text"), ("/api/sessions/1", "session"), ("/api/samples/XYZ", "sha256"),
        ("/api/samples?order=name", "order"), ("/api/samples?offset=-1", "offset"), ("/api/ranked/tables", "what"),
        ("/api/search", "q"), ("/api/search?q=", "q"), ("/api/export/sessions?format=exe", "format"),
        ("/api/samples/" + "0" * 64 + "/hex?length=65537", "length"),
        ("/api/samples/" + "0" * 64 + "/hex?offset=-1", "offset"),
    ],
)  # fmt: skip
async def test_wrong_arguments_are_refused_in_words(script: httpx.AsyncClient, path: str, word: str) -> None:
    answer = await script.get(path)
    assert answer.status_code == 422
    assert list(answer.json()) == ["error"]
    assert word in answer.json()["error"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/nothing", "/api/sessions/01a20b44-533f-7000-8936-87014eb6128b", "/api/samples/" + "0" * 64,
        "/api/sessions/ffffffff-ffff-ffff-ffff-ffffffffffff", "/api/sessions/00000000-0000-0000-0000-000000000000",
        "/api/samples/" + "0" * 64 + "/hex", "/api/samples/" + "0" * 64 + "/strings",
        "/api/samples/" + "0" * 64 + "/download", "/api/sessions/01a20b44-533f-7000-8936-87014eb6128b/conversation",
        "/api/sessions/01a20b44-533f-7000-8936-87014eb6128b/pcapng",
    ],
)  # fmt: skip
async def test_what_is_not_there_is_404_in_words(script: httpx.AsyncClient, path: str) -> None:
    answer = await script.get(path)
    assert answer.status_code == 404
    assert answer.json()["error"].startswith(("There is no", "The farm does not have", "No recording"))


@pytest.mark.parametrize(
    "text", ["' OR '1'='1", "\\", "{text:String}", "%00", "\x00", "\u202e", "); DROP TABLE events; --", "<script>"]
)
async def test_injection_finds_nothing_and_harms_nothing(script: httpx.AsyncClient, text: str) -> None:
    for path, name in (
        ("sessions", "text"),
        ("sessions", "sensor"),
        ("sessions", "room"),
        ("samples", "contains"),
        ("ranked/commands", "contains"),
        ("search", "q"),
    ):
        answer = await script.get(f"/api/{path}", params={name: text, "span": "all"})
        assert answer.status_code == 200, answer.text
        found = answer.json()
        rows = found if isinstance(found, list) else [r for v in found.values() if isinstance(v, list) for r in v]
        assert rows == []
    assert (await script.get("/api/overview", params={"span": "all"})).json()["totals"]["attacks"] > 0


# --- what it answers -----------------------------------------------------------------------------


async def test_overview_and_rankings(full: World, script: httpx.AsyncClient) -> None:
    overview = (await script.get("/api/overview", params=UNTIL)).json()
    opened = [s for s in full.seen if isinstance(s.event.fact, facts.SessionOpened)]
    assert overview["totals"]["attacks"] == len(opened)
    assert overview["before"]["attacks"] == 0
    assert sum(bucket["attacks"] for bucket in overview["timeline"]["buckets"]) == len(opened)
    countries = (await script.get("/api/ranked/countries", params={**UNTIL, "limit": 3})).json()
    assert [set(row) for row in countries] == [{"country", "count", "attackers", "first", "last"}] * 3


async def test_sessions_by_pages_and_as_files(full: World, script: httpx.AsyncClient) -> None:
    found: list[dict[str, Any]] = []
    before = ""
    while before is not None:
        page = (await script.get("/api/sessions", params={**UNTIL, "limit": 150, "before": before})).json()
        found += page["sessions"]
        before = page["next"]
    opened = {s.event.session for s in full.seen if isinstance(s.event.fact, facts.SessionOpened)}
    assert len(found) == len(opened)
    assert {row["session"] for row in found} == opened
    lines = (await script.get("/api/export/sessions", params={**UNTIL, "format": "json"})).text.splitlines()
    assert [json.loads(line) for line in lines] == found
    answer = await script.get("/api/export/sessions", params={**UNTIL, "country": "CN"})
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert "attachment" in answer.headers["content-disposition"]
    assert [row["session"] for row in rows] == [row["session"] for row in found if row["country"] == "CN"]


def test_no_cell_of_a_spreadsheet_is_a_formula() -> None:
    from eudaemon.farm.api.sessions import _cell

    assert _cell("=HYPERLINK(1)") == "'=HYPERLINK(1)"
    assert [_cell(v) for v in ("+1", "-1", "@x", "\tx", "plain", 3, None)] == [
        "'+1",
        "'-1",
        "'@x",
        "'\tx",
        "plain",
        3,
        "",
    ]


async def test_one_session_and_its_recording(
    full: World, script: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = session_with(full, facts.CommandEntered)
    seen = [s for s in full.seen if s.event.session == session]
    answer = (await script.get(f"/api/sessions/{session}")).json()
    assert [event["id"] for event in answer["events"]] == [s.event.id for s in seen]
    entered = next(event for event in answer["events"] if event["kind"] == "command.entered")
    assert entered["fields"]["line"] == next(
        s.event.fact.line for s in seen if isinstance(s.event.fact, facts.CommandEntered)
    )
    talk = (await script.get(f"/api/sessions/{session}/conversation")).json()
    recorded = list(conversation.decode(full.kept.data[talk["sha256"]]))
    assert [(p["ms"], p["side"] == "host", base64.b64decode(p["data"])) for p in talk["pieces"]] == [
        (u.ms, u.side == conversation.HOST, u.data) for u in recorded
    ]
    assert not talk["truncated"]
    for most in (len(recorded), len(recorded) - 1):
        monkeypatch.setattr(conversations, "PIECES_MAX", most)
        cut = (await script.get(f"/api/sessions/{session}/conversation")).json()
        assert (cut["pieces"], cut["truncated"]) == (talk["pieces"][:most], most < len(recorded))


async def test_a_recording_as_captured_packets(
    full: World, script: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = session_with(full, facts.CommandEntered)
    opened = next(s.event for s in full.seen if s.event.session == session)
    sha256 = (await script.get(f"/api/sessions/{session}")).json()["conversation"]
    recorded = list(conversation.decode(full.kept.data[sha256]))
    answer = await script.get(f"/api/sessions/{session}/pcapng")
    assert answer.headers["content-disposition"] == f'attachment; filename="{session}.pcapng"'
    assert b"sequence numbers are not" in answer.content
    (read,) = Streams().read(Capture(answer.content).ip())
    assert (read.attacker, read.local) == tuple(
        (str(ip_address(e.ip)), e.port) for e in (opened.attacker, opened.local)
    )  # type: ignore[union-attr]
    said = [(u.ms, u.data) for u in recorded if u.side == conversation.ATTACKER]
    assert [data for _, data in read.pieces] == [data for _, data in said]
    assert [at_s for at_s, _ in read.pieces] == pytest.approx([opened.at_s + ms / 1000 for ms, _ in said], abs=1e-5)
    for name, most in (("CAPTURE_BYTES_MAX", len(full.kept.data[sha256])), ("PIECES_MAX", len(recorded))):
        with monkeypatch.context() as patched:
            patched.setattr(conversations, name, most)
            assert (await script.get(f"/api/sessions/{session}/pcapng")).content == answer.content
            patched.setattr(conversations, name, most - 1)
            cut = (await script.get(f"/api/sessions/{session}/pcapng")).content
            assert b"Only the beginning is here." in cut
            assert len(cut) < len(answer.content)


async def test_a_recording_that_is_none_is_said_to_be_none(full: World, script: httpx.AsyncClient) -> None:
    session = session_with(full, facts.RequestReceived)
    sha256 = (await script.get(f"/api/sessions/{session}")).json()["conversation"]
    whole = full.kept.data[sha256]
    try:
        full.kept.data[sha256] = b"no recording"
        for form in ("conversation", "pcapng"):
            answer = await script.get(f"/api/sessions/{session}/{form}")
            assert (answer.status_code, "cannot be read" in answer.json()["error"]) == (404, True)
        full.kept.data[sha256] = whole[:-1]  # torn: what is there is shown
        for form in ("conversation", "pcapng"):
            assert (await script.get(f"/api/sessions/{session}/{form}")).status_code == 200
    finally:
        full.kept.data[sha256] = whole


async def test_a_sample_in_every_form(full: World, script: httpx.AsyncClient) -> None:
    listed = (await script.get("/api/samples", params={**UNTIL, "order": "count", "limit": 2})).json()
    assert listed["next"] == 2
    sha256 = listed["samples"][0]["sha256"]
    data = full.kept.data[sha256]
    sample = (await script.get(f"/api/samples/{sha256}")).json()
    assert (sample["kept"], sample["size"]) == (True, len(data))
    assert sample["md5"] == hashlib.md5(data).hexdigest()
    assert sample["sha1"] == hashlib.sha1(data).hexdigest()
    assert sample["count"] == listed["samples"][0]["count"]
    assert sample["relations"]["sessions"]
    page = (await script.get(f"/api/samples/{sha256}/hex", params={"offset": 16, "length": 32})).json()
    assert (bytes.fromhex(page["data"]), page["size"]) == (data[16:48], len(data))
    past = (await script.get(f"/api/samples/{sha256}/hex", params={"offset": len(data)})).json()
    assert past["data"] == ""
    saved = await script.get(f"/api/samples/{sha256}/download")
    assert saved.content == data
    assert saved.headers["content-type"] == "application/octet-stream"
    assert saved.headers["content-disposition"] == f'attachment; filename="{sha256}.malware"'
    assert saved.headers["x-content-type-options"] == "nosniff"


async def test_strings_by_pages(script: httpx.AsyncClient) -> None:
    data, sha256 = bytes_of_sample(3), sha256_of(3)
    found, offset = [], 0
    while offset is not None:
        page = (await script.get(f"/api/samples/{sha256}/strings", params={"offset": offset, "limit": 2})).json()
        found += page["strings"]
        offset = page["next"]
    assert [f["text"] for f in found[:4]] == [
        "/bin/busybox MIRAI", "POST /cdn-cgi/ HTTP/1.1", "<script>alert(1)</script>", "wide text",
    ]  # fmt: skip
    for f in found:
        raw = f["text"].encode("utf-16le" if f["encoding"] == "utf-16le" else "ascii")
        assert data[f["offset"] :].startswith(raw)


async def test_search(full: World, script: httpx.AsyncClient) -> None:
    found = (await script.get("/api/search", params={**UNTIL, "q": sha256_of(0)[:12]})).json()
    assert [s["sha256"] for s in found["samples"]] == [sha256_of(0)]


async def test_sensors(full: World, script: httpx.AsyncClient) -> None:
    warning = {"severity": "serious", "text": "The disk is full."}
    full.fleet = {
        "sensors": [{"name": "lab", "status": "warning", "last_seen": None, "warnings": [warning], "health": {"x": 1}}],
        "warnings": [], "farm": {"version": "0"},
    }  # fmt: skip
    assert (await script.get("/api/sensors")).json() == full.fleet


async def test_the_live_feed(full: World, key: str) -> None:
    """Straight against ASGI: a client that goes away ends the stream, and is forgotten."""
    sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    gone = asyncio.Event()
    asked = False

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if not asked:
            asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {key}".encode())]
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "path": "/api/live",
             "raw_path": b"/api/live", "query_string": b"", "root_path": "", "scheme": "http", "headers": headers,
             "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80)}  # fmt: skip
    stream = asyncio.create_task(full.app(scope, receive, sent.put))  # type: ignore[arg-type]
    start = await asyncio.wait_for(sent.get(), 5)
    assert start["status"] == 200
    assert (b"content-type", b"text/event-stream; charset=utf-8") in start["headers"]
    assert b"retry" in (await asyncio.wait_for(sent.get(), 5))["body"]
    row = stored(next(iter(Synthetic(end_s=END_S).events(1)))).shown()
    row["fields"] = {"line": "\n\nevent: forged\ndata: x\n\n \u202e"}
    for queue in full.hub.queues:
        queue.put_nowait(row)
    message = (await asyncio.wait_for(sent.get(), 5))["body"].decode()
    assert message.startswith("event: event\ndata: {")
    assert message.count("\n") == 3
    assert json.loads(message.split("data: ", 1)[1]) == row
    gone.set()
    await asyncio.wait_for(stream, 5)
    assert not full.hub.queues
    assert not full.parts.followers


async def test_live_feeds_are_bounded(full: World, script: httpx.AsyncClient) -> None:
    full.parts.followers.update(range(full.parts.live_max))
    try:
        answer = await script.get("/api/live")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
    finally:
        full.parts.followers.clear()


# --- the page's files ----------------------------------------------------------------------------


async def test_the_page_is_served_at_every_place_of_it(anybody: httpx.AsyncClient) -> None:
    page = (await anybody.get("/")).text
    for path in (
        "/addresses/198.51.100.7",
        "/addresses/2001:db8::1",
        "/sessions",
        "/sessions/01a20b44-533f-7000-8936-87014eb6128b",
        "/search?q=x",
        "/login",
    ):
        assert (await anybody.get(path)).text == page
    for path in ("/no.such", "/js/nothing.js", "/..%2f..%2fapi.py", "/../api.py", "/vendor/MANIFEST.md"):
        assert (await anybody.get(path)).status_code == 404
    first = await anybody.get("/js/app.js")
    assert first.headers["content-type"].startswith("text/javascript")
    again = await anybody.get("/js/app.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_a_question_that_takes_too_long_is_said_to_do_so(
    full: World, script: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def query(*_: object) -> list[dict[str, Any]]:
        raise QueryTooLargeError("Code: 159.")

    monkeypatch.setattr(full.store, "query", query)
    answer = await script.get("/api/overview")
    assert (answer.status_code, "shorter span" in answer.json()["error"]) == (503, True)


async def test_a_fault_of_ours_is_500_and_tells_nothing(full: World, script: httpx.AsyncClient) -> None:
    async def broken() -> dict[str, Any]:
        raise RuntimeError("the secret inside")

    whole = full._fleet
    object.__setattr__(full.parts, "fleet", broken)
    try:
        answer = await script.get("/api/sensors")
        assert (answer.status_code, answer.json()) == (
            500,
            {"error": "The farm failed at this request; its log says why."},
        )
        assert answer.headers["content-security-policy"]
    finally:
        object.__setattr__(full.parts, "fleet", whole)
