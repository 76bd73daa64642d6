"""Peers with a shape of their own: OASIS' TAXII server, Redis, a mail server, fail2ban; Splunk, Elasticsearch and chats
as mocks, held to what their makers document; and servers that lie, drip or fail."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest

from eudaemon.events import catalogue as facts
from eudaemon.farm.certificate import Certificate, certificate
from eudaemon.farm.outputs import settings as kinds
from eudaemon.farm.outputs.batch import Item
from eudaemon.farm.outputs.formats import FORMATS, notices
from eudaemon.farm.outputs.outputs import make
from eudaemon.farm.outputs.peers import LaterError, Peer, RefusedError, without
from eudaemon.farm.outputs.peers import mail as mail_peer
from eudaemon.farm.outputs.peers import web as web_peer
from eudaemon.farm.outputs.peers.collectors import SHAPES
from eudaemon.farm.settings import StoreSettings
from farm.outputs.listeners import Answers, mail_server, redis, taxii_server, web
from farm.outputs.told import ATTACKER, ELF_SHA256, EXPLOIT, INFECTION, NOW_S, Told
from farm.outputs.told import made as made_up
from tidy.tree import ROOT


def made(settings: Any, home: Path = Path("/nonexistent")) -> Peer:
    return make("it", settings, home, StoreSettings(disk_free_bytes_min=1))[1]


@pytest.fixture(scope="module")
def pinned(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def server() -> Iterator[Answers]:
    with web() as answers:
        yield answers


def infected(*more: Any, **about: Any) -> Told:
    told = Told()
    told.session(*INFECTION, *more, **about)
    return told


# --- TAXII ---------------------------------------------------------------------------------------


def test_oasis_taxii_server_has_what_we_push_and_nothing_twice(tmp_path: Path) -> None:
    (item,) = FORMATS["stix"].make(infected().batch())
    with taxii_server(tmp_path) as real:
        peer = made(kinds.Taxii(real.collection, "eudaemon", "s3cret"))
        said = peer.send([item])
        assert said == f"{len(json.loads(item.data)['objects'])} success, 0 failure, 0 pending"
        assert peer.send([item]).startswith("0 success"), "it has them all"
        there = real.objects()
        assert len({one["id"] for one in there}) == len(json.loads(item.data)["objects"])
        assert {"indicator", "sighting", "note", "file"} <= {one["type"] for one in there}
        with pytest.raises(LaterError, match="401"):
            made(kinds.Taxii(real.collection, "eudaemon", "wrong")).send([item])
        with pytest.raises(LaterError, match="403"):
            made(kinds.Taxii(real.read_only, "eudaemon", "s3cret")).send([item])
    with pytest.raises(LaterError, match="does not answer"):
        peer.send([item])


def test_what_a_taxii_server_says_of_objects(server: Answers) -> None:
    peer = made(kinds.Taxii(f"{server.url}/api1/collections/x", authorization="Bearer t"))
    item = Item(b'{"objects": [{"id": "x"}]}')
    failure = {"status": "complete", "failure_count": 1, "failures": [{"id": "x", "message": "no such type"}]}
    for status, answer, outcome, said in (
        (202, {"status": "pending", "pending_count": 1}, None, "0 success, 0 failure, 1 pending"),
        (202, {**failure, "success_count": 3}, None, "3 success, 1 failure, 0 pending"),
        (202, failure, RefusedError, "no such type"),
        (
            202,
            {"status": "complete", "success_count": 1, "successes": ["x" * 100] * 1000},
            None,
            "1 success, 0 failure, 0 pending",
        ),
        (202, {"hello": "world"}, LaterError, "something else"),
        (200, {"status": "complete"}, LaterError, "something else"),
        (422, {}, RefusedError, "422"),
    ):
        server.answers[:] = [(status, {}, json.dumps(answer))]
        if outcome is None:
            assert peer.send([item]) == said
        else:
            with pytest.raises(outcome, match=said):
                peer.send([item])
    asked = server.asked[0]
    assert (asked.method, asked.path, asked.json) == (
        "POST",
        "/api1/collections/x/objects/",
        {"objects": [{"id": "x"}]},
    )
    assert asked.headers["content-type"] == asked.headers["accept"] == "application/taxii+json;version=2.1"
    assert asked.headers["authorization"] == "Bearer t"


# --- Splunk and Elasticsearch, which cannot be real here -----------------------------------------


def test_splunk_as_its_collector_is_documented(server: Answers) -> None:
    settings = kinds.Splunk(f"{server.url}/services/collector/event", "t0ken", "honeynet", "eve")
    items = list(FORMATS["eve"].make(infected().batch()))
    server.answers[:] = [(200, {}, '{"text":"Success","code":0}')]
    peer = made(settings)
    peer.send(items)
    (asked,) = server.asked
    assert asked.headers["authorization"] == "Splunk t0ken"
    said = [json.loads(line) for line in asked.body.splitlines()]
    assert [one["event"] for one in said] == [json.loads(item.data) for item in items]
    assert {(one["index"], one["source"], one["sourcetype"]) for one in said} == {
        ("honeynet", "eudaemon", "eudaemon:eve")
    }
    assert all(NOW_S <= one["time"] <= NOW_S + 2 for one in said)
    for status, answer, outcome in (
        (400, '{"text":"Invalid data format","code":6}', RefusedError),
        (400, '{"text":"Incorrect index","code":7}', LaterError),  # somebody can make it
        (403, '{"text":"Invalid token","code":4}', LaterError),
        (503, '{"text":"Server is busy","code":9}', LaterError),
        (200, '{"text":"Data channel is missing","code":10}', LaterError),
        (200, "<html>welcome</html>", LaterError),
        (400, "[]", LaterError),
    ):
        server.answers[:] = [(status, {}, answer)]
        with pytest.raises(outcome):
            peer.send(items)


def test_elasticsearch_as_its_bulk_api_is_documented(server: Answers) -> None:
    def answer(*states: int) -> str:
        items = [{"create": {"status": s, **({"error": {"reason": f"r{s}"}} if s > 299 else {})}} for s in states]
        return json.dumps({"errors": any(s > 299 for s in states), "items": items})

    peer = made(kinds.Elasticsearch(server.url + "/", "honeynet-events", "ApiKey k3y"))
    items = list(FORMATS["events"].make(infected().batch()))[:3]
    server.answers[:] = [(200, {}, answer(201, 201, 201))]
    assert peer.send(items) == "3 documents, 0 of them there already"
    (asked,) = server.asked
    assert asked.path.startswith("/_bulk?filter_path=errors,")
    assert asked.headers["authorization"] == "ApiKey k3y"
    assert asked.headers["content-type"] == "application/x-ndjson"
    assert asked.body.endswith(b"\n")
    lines = [json.loads(line) for line in asked.body.splitlines()]
    assert {one["create"]["_index"] for one in lines[::2]} == {"honeynet-events"}
    ids = [one["create"]["_id"] for one in lines[::2]]
    assert len(set(ids)) == 3
    assert [{k: v for k, v in one.items() if k != "@timestamp"} for one in lines[1::2]] == [
        json.loads(item.data) for item in items
    ]
    assert lines[1]["@timestamp"] == lines[1]["time"]
    many = [item for _ in range(167) for item in items][:500]
    long = json.dumps({"items": [{"create": {"status": 400, "error": {"reason": "x" * 1000}}}] * 500})
    server.answers[:] = [(200, {}, long)]
    with pytest.raises(RefusedError, match="400 xxx") as refused:
        peer.send(many)
    assert refused.value.items == peer.items_max == 500
    server.answers[:] = [(200, {}, answer(409, 201, 409))]
    assert peer.send(items) == "3 documents, 2 of them there already", "what is told again has the same id"
    for text, outcome, count in (
        (answer(201, 400, 201), RefusedError, 1), (answer(400, 400, 400), RefusedError, 3),
        (answer(201, 429, 400), LaterError, None), (answer(201, 201), LaterError, None),
        ('{"items": "many"}', LaterError, None), ('{"items": [1, 2, 3]}', LaterError, None), ("", LaterError, None),
    ):  # fmt: skip
        server.answers[:] = [(200, {}, text)]
        with pytest.raises(outcome) as raised:
            peer.send(items)
        assert getattr(raised.value, "items", None) == count


# --- notices, in chats and by mail ---------------------------------------------------------------


def lines_of(told: Told) -> list[Item]:
    return list(FORMATS["notices"].make(told.batch()))


def test_a_notice_is_one_line_and_nothing_in_it_is_a_link() -> None:
    told = infected()
    told.session(*EXPLOIT, room="http", port=80)
    told.session(facts.LoginTried("a", "b", accepted=False))  # guessing alone is no notice
    first, second = lines_of(told)
    assert first.data.decode() == (
        f"2026-11-24T02:23:20Z lab: {ATTACKER} at telnet: logged in as root with xc3511; entered 2 commands; "
        f"wanted hxxp[://]files[.]example/bins/bot.arm7; brought {ELF_SHA256}"
    )
    assert second.data.decode().endswith("at http: used Dasan GPON diag_Form")
    assert first.kept_s == notices.AGAIN_S


def test_an_alert_of_possession_is_one_notice() -> None:
    told = Told()
    told.session(made_up(facts.ControlHijacked), room="possession")
    (item,) = lines_of(told)
    assert "was about to take control of markprocesszq by markhowzq" in item.data.decode()


def test_who_does_the_same_again_is_told_once_an_hour_and_who_does_another_thing_at_once() -> None:
    told = infected()
    told.session(*INFECTION)
    (item,) = lines_of(told)
    told.session(*INFECTION, ip="192.31.196.10")
    told.session(*INFECTION, facts.ExploitRecognised("other"))
    assert len(lines_of(told)) == 3
    told.keys = {item.key}
    assert len(lines_of(told)) == 2


def test_of_many_so_many_lines_are_told_and_how_many_more() -> None:
    def lines(count: int) -> list[Item]:
        told = Told()
        for number in range(count):
            told.session(facts.CommandEntered("x"), ip=f"192.31.196.{number}")
        return lines_of(told)

    assert len(lines(notices.LINES_MAX)) == notices.LINES_MAX
    *_, last = more = lines(notices.LINES_MAX + 2)
    assert len(more) == notices.LINES_MAX + 1
    assert last.data.decode() == "… and 2 more of this kind"
    assert len(last.also) == 2, "what it stands for is not told again"


def test_a_line_has_so_many_characters_and_no_more() -> None:
    told = Told()
    told.session(facts.DownloadWished("http://x/" + "y" * 4000, "wget"), facts.DownloadWished("z" * 4000, "wget"))
    (item,) = lines_of(told)
    assert len(item.data.decode()) == notices.LINE_CHARS_MAX


HOSTILE = '<!channel> @everyone ``` [x](http://evil.example) $text $chat " \\ {'


@pytest.mark.parametrize("shape", SHAPES)
def test_chats_take_what_their_makers_document(shape: str, server: Answers) -> None:
    url = f"{server.url}/hook/T0K3NT0K3NT0"
    peer = made(kinds.Webhook(url, shape, chat="-4711" if shape == "telegram" else ""))
    server.answers[:] = [(200, {}, '{"ok": true}')]
    told = infected(facts.LoginTried(HOSTILE, "x", accepted=True))
    items = lines_of(told)
    assert peer.send(items) == '200 {"ok": true}'
    (asked,) = server.asked
    assert asked.headers["content-type"] == "application/json"
    where = {
        "slack": ("text",), "discord": ("content",), "mattermost": ("text",), "telegram": ("text",),
        "teams": ("attachments", 0, "content", "body", 0, "inlines", 0, "text"),
    }[shape]  # fmt: skip
    text = asked.json
    for step in where:
        text = text[step]
    assert "telnet: logged in as" in text
    assert "hxxp[://]" in text
    assert text.count("```") in (0, 2), "no text of an attacker's ends the block of code"
    assert ("<!channel>" in text) == (shape not in ("slack", "telegram"))
    assert "$text $chat" in text, "the attacker's text is no template"
    if shape == "discord":
        assert asked.json["allowed_mentions"] == {"parse": []}
    if shape == "telegram":
        assert (asked.json["parse_mode"], text[:5], text[-6:]) == ("HTML", "<pre>", "</pre>")
        assert asked.json["chat_id"] == "-4711"
        server.answers[:] = [(200, {}, '{"ok": false, "description": "chat not found"}')]
        with pytest.raises(LaterError, match="chat not found"):
            peer.send(items)
    whole = [Item(("x" * notices.LINE_CHARS_MAX).encode())] * peer.items_max
    server.answers[:] = [(200, {}, '{"ok": true}')]
    peer.send(whole)
    assert len(_deep(server.asked[-1].json, where)) <= SHAPES[shape].chars_max


def _deep(value: Any, where: tuple[Any, ...]) -> str:
    for step in where:
        value = value[step]
    return str(value)


def test_a_template_of_ones_own(server: Answers) -> None:
    peer = made(kinds.Webhook(server.url, "own", template='{"msg": ["now: $text", 1], "room": "a"}'))
    peer.send([Item(b'one "quoted"'), Item(b"two")])
    assert server.asked[0].json == {"msg": ['now: one "quoted"\ntwo', 1], "room": "a"}


@pytest.mark.parametrize("security", ["none", "starttls", "tls"])
def test_a_mail_server_takes_one_mail_for_all(security: str, pinned: Certificate) -> None:
    context = None if security == "none" else pinned.context()
    with mail_server(context, implicit=security == "tls") as real:
        user, password = ("", "") if security == "none" else ("eudaemon", "s3cret")
        settings = kinds.Mail(
            "localhost", real.port, security, user, password, "farm@x.example", ("a@x.example", "b@x.example"),
            ca_file="" if security == "none" else str(pinned.path),
        )  # fmt: skip
        items = [*lines_of(infected()), Item("zwölf\n.\nSubject: x".encode())]
        assert made(settings).send(items) == "taken for 2 of 2 recipients"
        (given,) = real.given
        assert (given.mail_from, given.rcpt_tos) == ("farm@x.example", ["a@x.example", "b@x.example"])
        message = message_from_bytes(given.original_content)
        assert (message["Subject"], message["Auto-Submitted"]) == ("Honeypot: 2 notices", "auto-generated")
        text = message.get_payload(decode=True)
        assert isinstance(text, bytes)
        assert text.decode().replace("\r\n", "\n") == items[0].data.decode() + "\nzwölf\n.\nSubject: x\n"
        made(settings).send(items)
        assert message_from_bytes(real.given[1].original_content)["Message-ID"] == message["Message-ID"]
        if security != "none":
            with pytest.raises(LaterError, match="535"):
                made(replace(settings, password="wrong")).send(items)
            with pytest.raises(LaterError, match="certificate verify failed"):
                made(replace(settings, ca_file="")).send(items)
        real.answers["DATA"] = "554 5.6.0 no such content here"
        with pytest.raises(RefusedError, match=r"554 5\.6\.0 no such content"):
            made(settings).send(items)
        real.answers["DATA"] = "452 4.3.1 come back"
        with pytest.raises(LaterError, match="452"):
            made(settings).send(items)
        real.answers["RCPT"] = "550 5.1.1 nobody"
        with pytest.raises(LaterError, match=r"a@x\.example: 550"):
            made(settings).send(items)
    with pytest.raises(LaterError, match="refused"):
        made(settings).send(items)


# --- Redis ---------------------------------------------------------------------------------------


def test_redis_publishes_and_keeps_so_many(tmp_path: Path) -> None:
    with redis(tmp_path, password="s3cret") as real:
        settings = kinds.Redis("127.0.0.1", real.port, password="s3cret", kept_max=2)
        items = [Item(b'{"a": 1}'), Item(b'{"b": "\r\n$5\r\n"}'), Item(b'{"c": 3}')]
        with real.subscribed("eudaemon") as heard:
            assert made(settings).send(items) == "3 to publish eudaemon"
            assert [heard() for _ in items] == [item.data for item in items]
        peer = made(replace(settings, how="list", key="l"))
        for _ in range(2):
            peer.send(items)
        assert real.client.lrange("l", 0, -1) == [item.data for item in items[1:]]
        made(replace(settings, how="stream", key="s", kept_max=1000)).send(items)
        assert [fields[b"event"] for _, fields in real.client.xrange("s")] == [item.data for item in items]
        with pytest.raises(LaterError, match="WRONGTYPE"):
            made(replace(settings, how="stream", key="l")).send(items)
        with pytest.raises(LaterError, match="NOAUTH"):
            made(replace(settings, password="")).send(items)
        with pytest.raises(LaterError, match="WRONGPASS"):
            made(replace(settings, password="wrong")).send(items)
    with pytest.raises(LaterError, match="connection broke"):
        peer.send(items)
    with pytest.raises(LaterError, match="cannot connect"):
        peer.send(items)


# --- fail2ban ------------------------------------------------------------------------------------


def test_fail2ban_bans_who_attacked_and_nobody_else(tmp_path: Path) -> None:
    program = shutil.which("fail2ban-regex")
    if program is None:
        pytest.skip("needs fail2ban: apt-get install fail2ban")
    told = infected()
    told.session(
        facts.LoginTried("root 203.0.113.7 attacked: login.tried\n", "x", accepted=False), ip="2620:4f:8000::9"
    )
    told.session(*EXPLOIT, room="http", at_first="ssh+http", ip="192.31.196.10")
    told.session(*INFECTION, transport="udp", ip="192.31.196.77")
    told.session(ip="192.31.196.78")  # only knocked
    format_, peer = make("it", kinds.Directory(format="fail2ban"), tmp_path, StoreSettings(disk_free_bytes_min=1))
    batch = told.batch()
    batch.events = [one for one in batch.events if not isinstance(one.event.fact, facts.SessionOpened)]
    lines = [item.data for item in format_.make(batch)]
    assert lines == [item.data for item in format_.make(told.batch())], "sessions that began in an earlier batch, too"
    peer.send([Item(line) for line in lines])
    log = tmp_path / "outputs" / "it" / "attackers.log"
    assert (
        log.read_text().splitlines()[0]
        == f"{'2026-11-24T02:23:20.250000Z'} eudaemon[telnet]: {ATTACKER} attacked: login.tried"
    )
    done = subprocess.run(
        [program, "-o", "<ip>", log, ROOT / "packaging" / "fail2ban" / "eudaemon.conf"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [*[ATTACKER] * 5, "2620:4f:8000::9", "192.31.196.10"]


def test_a_log_that_keeps_its_name_is_begun_anew_when_it_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from eudaemon.farm.outputs.peers import places

    monkeypatch.setattr(places, "FILE_BYTES_MAX", 8)
    peer = made(kinds.Directory(str(tmp_path / "log"), "fail2ban"))
    for text in (b"seven77", b"second", b"third"):
        peer.send([Item(text)])
    assert (tmp_path / "log" / "attackers.log.1").read_bytes() == b"seven77\n"
    assert (tmp_path / "log" / "attackers.log").read_bytes() == b"second\nthird\n"


# --- servers that lie, drip, or tell secrets -----------------------------------------------------


def _dripping(text: bytes, stop: threading.Event) -> int:
    """Serve each connection a byte at a time, for ever; return the port."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with server:
            while not stop.is_set():
                connection, _ = server.accept()
                with connection:
                    try:
                        connection.sendall(text)
                        while not stop.wait(0.01):
                            connection.sendall(b"x")
                    except OSError:
                        continue

    threading.Thread(target=serve, daemon=True).start()
    port: int = server.getsockname()[1]
    return port


def test_who_reads_slowly_is_given_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_peer, "TIMEOUT_S", 0.8)
    monkeypatch.setattr(web_peer, "ANSWER_S_MAX", 0.8)
    monkeypatch.setattr(web_peer, "SENT_BYTES_S_MIN", 100_000)
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_768)
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    size, read = 3_000_000, 0

    def serve() -> None:
        nonlocal read
        connection, _ = listening.accept()
        with connection, listening:
            while not connection.recv(1).startswith(b"\r") or connection.recv(3) != b"\n\r\n":
                pass
            while read < size:
                read += len(connection.recv(100_000))
                time.sleep(0.015)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    peer = made(kinds.Post(f"http://127.0.0.1:{listening.getsockname()[1]}/", "samples"))
    assert peer.send([Item(b"x" * size, "a" * 64)]) == "200 ok"
    thread.join()
    assert read == size


@pytest.mark.parametrize(
    "head", [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n", b"220-"]
)
def test_who_drips_is_hung_up_on(head: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_peer, "ANSWER_S_MAX", 0.2)
    monkeypatch.setattr(mail_peer, "SEND_S_MAX", 0.2)
    stop = threading.Event()
    port = _dripping(head, stop)
    settings = (
        kinds.Mail("127.0.0.1", port, "none", sender="a@b", recipients=("c@d",)) if head == b"220-"
        else kinds.Post(f"http://127.0.0.1:{port}/")
    )  # fmt: skip
    began_s = time.monotonic()
    with pytest.raises(LaterError):
        made(settings).send([Item(b"x")])
    assert time.monotonic() - began_s < 9, "it would be heard for ever"
    stop.set()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"+OK\r\n",
        b"$9999999\r\nx",
        b"-ERR " + b"x" * 5000 + b"\r\n",
        b"+" + b"y" * 2_000_000,
    ],
)
def test_what_does_not_speak_as_redis_does_is_told_again(answer: bytes) -> None:
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = server.accept()
        with connection, server:
            connection.recv(1000)
            try:
                connection.sendall(answer)
            except OSError:
                return

    threading.Thread(target=serve, daemon=True).start()
    with pytest.raises(LaterError) as raised:
        made(kinds.Redis("127.0.0.1", server.getsockname()[1])).send([Item(b"x"), Item(b"y")])
    assert len(str(raised.value)) < 300


def test_a_peer_that_tells_us_our_secret_does_not_have_it_logged() -> None:
    for settings, told in (
        (kinds.Post("http://x/", authorization="Bearer 0penSesame"), "you sent Bearer 0penSesame, 0penSesame"),
        (kinds.Taxii("http://x/", "me", "0penSesame"), "Basic bWU6MHBlblNlc2FtZQ== is wrong"),
        (kinds.Mail("h", user="me", password="0penSesame", sender="a@b", recipients=("c@d",)), "AG1lADBwZW5TZXNhbWU="),
        (kinds.Webhook("https://hooks.example/services/0penSesame"), "no hook /services/0penSesame"),
    ):  # fmt: skip
        said = without(told, kinds.secrets_of(settings))
        assert "0penSesame" not in said
        assert "MHBlblNlc2FtZQ" not in said
        assert "AG1lADBwZW5TZXNhbWU" not in said
        assert "…" in said
        assert "0penSesame" not in repr(settings)
