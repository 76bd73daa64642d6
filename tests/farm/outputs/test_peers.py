"""Each peer as it is: hpfeeds' own broker, rsyslogd, an S3 server, web servers; and services against abuse as mocks.

The services cannot be real here, so that what they are asked is compared to the letter with what their docs say.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from eudaemon.farm.certificate import Certificate, certificate
from eudaemon.farm.outputs import settings as kinds
from eudaemon.farm.outputs.batch import Item
from eudaemon.farm.outputs.formats import FORMATS
from eudaemon.farm.outputs.formats.reports import REPORTS
from eudaemon.farm.outputs.outputs import OutputError, make
from eudaemon.farm.outputs.peers import LaterError, Peer, RefusedError
from eudaemon.farm.outputs.peers.hpfeeds import BODY_BYTES_MAX
from eudaemon.farm.outputs.peers.services import authorization
from eudaemon.farm.outputs.peers.syslog import DATAGRAM_BYTES_MAX
from eudaemon.farm.outputs.peers.web import RETRY_S_MAX, retry_s
from eudaemon.farm.outputs.trial import tried
from eudaemon.farm.settings import StoreSettings
from farm.outputs.listeners import Answers, broker, in_front, rsyslog, web
from farm.outputs.told import ATTACKER, ELF, ELF_SHA256, EXPLOIT, INFECTION, NOW_S, URL, Told
from farm.s3 import s3_server


def made(settings: Any, home: Path = Path("/nonexistent")) -> Peer:
    return make("it", settings, home, StoreSettings(disk_free_bytes_min=1))[1]


@pytest.fixture(scope="module")
def pinned(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def server() -> Iterator[Answers]:
    with web() as answers:
        yield answers


# --- hpfeeds -------------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", [False, True])
async def test_hpfeeds_own_broker_hands_on_what_we_publish(tls: bool, pinned: Certificate) -> None:
    async with broker(["dionaea.capture", "mw"]) as real, in_front(real.port, pinned.context()) as tls_port:
        peer = made(
            kinds.Hpfeeds("localhost", tls_port, "eudaemon", "s3cret", tls=True, ca_file=str(pinned.path)) if tls
            else kinds.Hpfeeds("127.0.0.1", real.port, "eudaemon", "s3cret")
        )  # fmt: skip
        whole = b"x" * (BODY_BYTES_MAX - 2 - len(b"eudaemon") - len(b"mw"))
        assert peer.fits(Item(whole, "mw"))
        assert not peer.fits(Item(whole + b"x", "mw")), "a mebibyte is the most that a broker takes"
        await asyncio.to_thread(peer.send, [Item(b'{"a":1}', "dionaea.capture"), Item(whole, "mw")])
        assert await real.next() == ("dionaea.capture", b'{"a":1}')
        assert await real.next() == ("mw", whole)
        await asyncio.to_thread(peer.send, [Item(b"again", "mw")])
        assert await real.next() == ("mw", b"again")
        peer.close()


async def test_what_the_broker_refuses_waits_with_its_reason(pinned: Certificate) -> None:
    async with broker(["mw"]) as real:
        for settings, channel, reason in (
            (kinds.Hpfeeds("127.0.0.1", real.port, "eudaemon", "wrong"), "mw", "Authentication failed for eudaemon"),
            (kinds.Hpfeeds("127.0.0.1", real.port, "eudaemon", "s3cret"), "other", "Authkey not allowed to pub here"),
        ):
            peer = made(settings)
            with pytest.raises(LaterError, match=reason):
                await asyncio.to_thread(peer.send, [Item(b"x", channel)])
            peer.close()
        port = real.port
    with pytest.raises(LaterError, match="cannot connect"):
        await asyncio.to_thread(made(kinds.Hpfeeds("127.0.0.1", port, "eudaemon", "s3cret")).send, [Item(b"x", "mw")])


async def test_after_a_broker_was_away_the_next_batch_goes_over_a_new_connection() -> None:
    async with broker(["mw"]) as real:
        peer = made(kinds.Hpfeeds("127.0.0.1", real.port, "eudaemon", "s3cret"))
        await asyncio.to_thread(peer.send, [Item(b"1", "mw")])
        assert await real.next() == ("mw", b"1")
    async with broker(["mw"], port=real.port) as real:
        await asyncio.to_thread(peer.send, [Item(b"2", "mw")])
        assert await real.next() == ("mw", b"2")
    peer.close()


# --- syslog --------------------------------------------------------------------------------------


def test_rsyslogd_understands_all_three_transports(tmp_path: Path, pinned: Certificate) -> None:
    told = Told()
    told.session(*INFECTION)
    items = list(FORMATS["events"].make(told.batch()))
    with rsyslog(tmp_path, pinned) as real:
        for count, (transport, host, port) in enumerate(
            (("tcp", "127.0.0.1", real.tcp), ("tls", "localhost", real.tls), ("udp", "127.0.0.1", real.udp)), 1
        ):
            ca_file = str(pinned.path) if transport == "tls" else ""
            peer = made(kinds.Syslog(host, port, transport, ca_file=ca_file))
            peer.send(items[:2])
            peer.send(items[2:])
            lines = real.lines(len(items) * count)[len(items) * (count - 1) :]
            parts = [line.split(" ", 5) for line in lines]
            assert {tuple(part[:4]) for part in parts} == {("133", "1", "eudaemon", "events")}
            assert sorted(part[5].encode() for part in parts) == sorted(item.data for item in items)
            peer.close()
    fitting = DATAGRAM_BYTES_MAX - 1000
    assert peer.fits(Item(b"x" * fitting))
    assert not peer.fits(Item(b"x" * DATAGRAM_BYTES_MAX))
    with pytest.raises(LaterError, match="cannot connect"):
        made(kinds.Syslog("127.0.0.1", real.tcp)).send(items)


# --- places --------------------------------------------------------------------------------------


def test_a_directory_has_a_file_of_lines_a_day_and_mends_what_a_crash_cut_short(tmp_path: Path) -> None:
    peer = made(kinds.Directory(), tmp_path)
    peer.send([Item(b"1"), Item(b"2")])
    (path,) = (tmp_path / "outputs" / "it").iterdir()
    with path.open("ab") as file:
        file.write(b"cut sho")
    peer.send([Item(b"3")])
    assert path.read_bytes() == b"1\n2\n3\n"
    assert path.stat().st_mode & 0o777 == 0o640
    path.write_bytes(b"cut")
    peer.send([Item(b"4")])
    assert path.read_bytes() == b"4\n"
    other = path.rename(tmp_path / "other")
    path.symlink_to(other)
    with pytest.raises(LaterError, match="symbolic links"):  # who put it there may not be who writes
        peer.send([Item(b"5")])
    assert other.read_bytes() == b"4\n"


def test_a_directory_has_a_file_for_each_sample_which_is_not_executable(tmp_path: Path) -> None:
    peer = made(kinds.Directory(str(tmp_path / "a" / "b"), "samples"))
    assert peer.items_max == 1
    for _ in range(2):
        peer.send([Item(ELF, ELF_SHA256)])
    (path,) = (tmp_path / "a" / "b").iterdir()
    assert path.read_bytes() == ELF
    assert path.stat().st_mode & 0o777 == 0o440


@pytest.mark.parametrize("small_disk", [1], indirect=True)
@pytest.mark.parametrize("format_", ["events", "samples"])
def test_a_full_disk_waits_and_leaves_nothing_half(small_disk: Path, format_: str) -> None:
    peer = made(kinds.Directory(str(small_disk / "out"), format_))
    with pytest.raises(LaterError, match="No space left"):
        peer.send([Item(b"x" * 2**21, "a" * 64)])
    peer.send([Item(b"small", "a" * 64)])
    (path,) = (small_disk / "out").iterdir()
    assert path.read_bytes() in (b"small", b"small\n")
    tight = make("it", kinds.Directory(str(small_disk / "out")), small_disk, StoreSettings())[1]
    with pytest.raises(LaterError, match="bytes are free"):
        tight.send([Item(b"x")])


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"output it: .*/file/below: Not a directory"):
        made(kinds.Directory(str(tmp_path / "file" / "below")))
    with pytest.raises(OutputError, match=r"output it: /no/such\.pem: No such file"):
        made(kinds.Syslog("h", transport="tls", ca_file="/no/such.pem"))


def test_objects_lie_in_s3_and_a_repetition_is_the_same_object(tmp_path: Path) -> None:
    import obstore

    with s3_server("out") as url:
        settings = {"endpoint": url, "access_key_id": "a", "secret_access_key": "b"}
        lines = made(kinds.Bucket("s3://out/honeynet", **settings))
        for _ in range(2):
            said = lines.send([Item(b"1"), Item(b"2")])
        samples = made(kinds.Bucket("s3://out/honeynet", "samples", **settings))
        samples.send([Item(ELF, ELF_SHA256)])
        store = lines._store  # type: ignore[attr-defined]
        keys = [one["path"] for chunk in obstore.list(store) for one in chunk]
        assert len(keys) == 2
        assert said == f"4 bytes in {keys[0]}"
        assert bytes(obstore.get(store, keys[0]).bytes()) == b"1\n2\n"
        assert keys[1] == f"it/{ELF_SHA256}"
        assert bytes(obstore.get(store, keys[1]).bytes()) == ELF
        with pytest.raises(LaterError, match="not found"):
            made(kinds.Bucket("s3://nothere/x", **settings)).send([Item(b"1")])


# --- HTTP ----------------------------------------------------------------------------------------


def test_lines_are_posted_together_and_files_one_by_one(server: Answers) -> None:
    lines = made(kinds.Post(f"{server.url}/in?x=1", authorization="Bearer t"))
    assert lines.send([Item(b'{"a":1}'), Item(b'{"b":2}')]) == "200 {}"
    (asked,) = server.asked
    assert (asked.method, asked.path, asked.body) == ("POST", "/in?x=1", b'{"a":1}\n{"b":2}\n')
    assert asked.headers["authorization"] == "Bearer t"
    assert asked.headers["content-type"] == "application/x-ndjson"
    samples = made(kinds.Post(server.url, "samples"))
    assert samples.items_max == 1
    samples.send([Item(ELF, ELF_SHA256)])
    assert server.asked[1].body == ELF
    assert server.asked[1].headers["content-disposition"] == f'attachment; filename="{ELF_SHA256}"'
    assert "authorization" not in server.asked[1].headers


@pytest.mark.parametrize(
    ("status", "headers", "outcome", "after_s"),
    [
        (204, {}, None, None), (400, {}, RefusedError, None), (413, {}, RefusedError, None),
        (422, {}, RefusedError, None), (401, {}, LaterError, None), (403, {}, LaterError, None),
        (404, {}, LaterError, None), (302, {"Location": "http://127.0.0.1:1/"}, LaterError, None),
        (429, {"Retry-After": "7"}, LaterError, 7.0), (503, {"Retry-After": "99999999"}, LaterError, RETRY_S_MAX),
        (500, {"Retry-After": "soon"}, LaterError, None),
    ],
)  # fmt: skip
def test_what_an_answer_means(
    server: Answers, status: int, headers: dict[str, str], outcome: type[Exception] | None, after_s: float | None
) -> None:
    server.answers[:] = [(status, headers, "" if status == 204 else "because\n of this")]
    peer = made(kinds.Post(server.url))
    if outcome is None:
        assert peer.send([Item(b"x")]) == "204"
        return
    with pytest.raises(outcome, match=rf"^{status} because of this$") as raised:
        peer.send([Item(b"x")])
    if isinstance(raised.value, LaterError):
        assert raised.value.after_s == after_s
    assert len(server.asked) == 1


def test_retry_after_may_be_a_date() -> None:
    assert retry_s("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    wait_s = retry_s(time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 100)))
    assert wait_s is not None
    assert 50 < wait_s <= 100


def test_a_server_must_be_the_one_that_is_trusted(pinned: Certificate) -> None:
    with web(pinned) as server:
        assert made(kinds.Post(server.url, ca_file=str(pinned.path))).send([Item(b"x")]) == "200 {}"
        with pytest.raises(LaterError, match="certificate verify failed"):
            made(kinds.Post(server.url)).send([Item(b"x")])


def test_a_long_answer_is_cut(server: Answers) -> None:
    server.answers[:] = [(500, {}, "\x1b[31m" + "x" * 200_000)]
    with pytest.raises(LaterError) as raised:
        made(kinds.Post(server.url)).send([Item(b"x")])
    assert len(str(raised.value)) < 220
    assert "\x1b" not in str(raised.value)


# --- MISP, and services against abuse ------------------------------------------------------------


def test_misp(server: Answers) -> None:
    told = Told()
    told.session(*INFECTION)
    told.session(*INFECTION)
    format_, peer = make("it", kinds.Misp(f"{server.url}/misp/", "k3y"), Path(), StoreSettings())
    for item in format_.make(told.batch()):
        peer.send([item])
    event, sighting = server.asked
    assert [asked.path for asked in server.asked] == ["/misp/events/add", "/misp/sightings/add"]
    assert event.headers["authorization"] == "k3y"
    assert event.json["Event"]["info"].startswith("Honeypot lab")
    assert sighting.json["values"] == [ELF_SHA256, URL]
    server.answers[:] = [(404, {}, '{"name":"Event already exists, if you would like to edit it, use the url"}')]
    assert peer.send([Item(b"{}")]).startswith("404")
    server.answers[:] = [(403, {}, '{"message":"Could not add the Sighting. Reason: No valid attributes found"}')]
    with pytest.raises(RefusedError):
        peer.send([Item(b"{}", "sighting")])
    server.answers[:] = [(403, {}, '{"message":"Authentication failed"}')]
    with pytest.raises(LaterError, match="Authentication failed"):
        peer.send([Item(b"{}")])


def reported(name: str, told: Told) -> list[Item]:
    return list(REPORTS[name].make(told.batch()))


def test_urlhaus(server: Answers) -> None:
    told = Told()
    told.session(*INFECTION)
    peer = made(kinds.Urlhaus("k3y", anonymous=True, url=f"{server.url}/api/"))
    peer.send(reported("urlhaus", told))
    (asked,) = server.asked
    assert (asked.method, asked.path, asked.headers["auth-key"]) == ("POST", "/api/", "k3y")
    assert asked.json == {
        "token": "k3y", "anonymous": "1",
        "submission": [{"url": URL, "threat": "malware_download", "tags": ["eudaemon", "telnet"]}],
    }  # fmt: skip


def test_malwarebazaar(server: Answers) -> None:
    told = Told()
    told.session(*INFECTION)
    (item,) = reported("malwarebazaar", told)
    assert item.key == f"sample {ELF_SHA256}"
    peer = made(kinds.MalwareBazaar("k3y", url=f"{server.url}/api/v1/"))
    item = Item(ELF, item.name, sample=item.sample)
    for status, outcome in (
        ("inserted", None), ("file_already_known", None), ("unknown_auth_key", LaterError),
        ("file_expected", RefusedError),
    ):  # fmt: skip
        server.answers[:] = [(200, {}, json.dumps({"query_status": status}))]
        if outcome is None:
            assert status in peer.send([item])
        else:
            with pytest.raises(outcome, match=status):
                peer.send([item])
    asked = server.asked[0]
    assert (asked.path, asked.headers["auth-key"]) == ("/api/v1/", "k3y")
    said = message_from_bytes(b"Content-Type: " + asked.headers["content-type"].encode() + b"\r\n\r\n" + asked.body)
    about, file = said.get_payload()  # type: ignore[misc]
    assert about.get_param("name", header="content-disposition") == "json_data"
    assert json.loads(about.get_payload()) == {
        "anonymous": 0, "delivery_method": "other", "tags": ["eudaemon", "telnet"], "references": {"links": [URL]},
    }  # fmt: skip
    assert file.get_param("name", header="content-disposition") == "file"
    assert file.get_filename() == ELF_SHA256
    assert file.get_payload(decode=True) == ELF


def test_abuseipdb(server: Answers) -> None:
    told = Told()
    told.session(*INFECTION)
    told.session(*EXPLOIT, room="http", port=80)
    (item,) = reported("abuseipdb", told)
    assert (item.key, item.kept_s) == (f"address {ATTACKER}", 900)
    peer = made(kinds.AbuseIpdb("k3y", f"{server.url}/api/v2/report"))
    peer.send([item])
    (asked,) = server.asked
    assert (asked.path, asked.headers["key"]) == ("/api/v2/report", "k3y")
    assert parse_qs(asked.body.decode()) == {
        "ip": [ATTACKER], "categories": ["15,18,21,23"], "timestamp": ["2026-11-24T02:23:22.000000Z"],
        "comment": ["Honeypot (http, telnet): 2 login attempts, 2 commands, 1 exploits, 1 files brought"],
    }  # fmt: skip
    assert b"192.0.2.1" not in asked.body, "a report does not say where the sensor is"
    server.answers[:] = [(403, {}, "You can only report the same IP address once in 15 minutes.")]
    with pytest.raises(RefusedError):
        peer.send([item])
    server.answers[:] = [(429, {"Retry-After": "86000"}, "Daily rate limit of 1000 requests exceeded")]
    with pytest.raises(LaterError) as raised:
        peer.send([item])
    assert raised.value.after_s == 86000


def test_dshield(server: Answers) -> None:
    # Reckoned by another implementation.
    known = "ISC-HMAC-SHA256 Credentials=1y5abGdvi8l691fBHtBjHicFThimxHSvZq4JN4Fagz0= Userid=12345 Nonce=ADOUf58prEY="
    assert authorization("12345", "secretkey", "ADOUf58prEY=") == known
    told = Told()
    told.session(*INFECTION)
    items = reported("dshield", told)
    assert len({item.key for item in items}) == 2
    peer = made(kinds.Dshield("12345", "secretkey", f"{server.url}/submitapi/"))
    peer.send(items)
    (asked,) = server.asked
    proof = asked.headers["x-isc-authorization"]
    assert proof == authorization("12345", "secretkey", proof.rpartition("Nonce=")[2])
    assert asked.headers["x-isc-logtype"] == "cowrie"
    log = {"timestamp": int(NOW_S), "source_ip": ATTACKER, "user": "root", "lastcommand": "", "hassh": "", "banner": ""}
    assert asked.json == {
        "type": "cowrie", "authheader": proof, "logs": [{**log, "password": "1234"}, {**log, "password": "xc3511"}],
    }  # fmt: skip
    server.answers[:] = [(200, {}, "ERROR: no authinfo")]
    with pytest.raises(LaterError, match="no authinfo"):
        peer.send(items)


def test_nobody_is_accused_who_may_not_be_meant() -> None:
    for session in ({"transport": "udp"}, {"ip": "10.0.0.9"}, {"ip": "127.0.0.1"}, {"ip": "fd00::1"}):
        told = Told()
        told.session(*INFECTION, **session)  # type: ignore[arg-type]
        assert [reported(name, told) for name in REPORTS] == [[]] * 4
    told = Told()
    told.samples[ELF_SHA256] = b"<html>not found</html>"
    told.session(*INFECTION)
    told.session()
    assert [reported(name, told) for name in ("urlhaus", "malwarebazaar")] == [[], []]
    assert len(reported("abuseipdb", told)) == 1


def test_services_are_asked_and_told_nothing_when_they_are_tried(server: Answers) -> None:
    for settings in (
        kinds.Urlhaus("k", url=server.url), kinds.MalwareBazaar("k", url=server.url),
        kinds.AbuseIpdb("k", f"{server.url}/api/v2/report"), kinds.Dshield("1", "k", server.url),
    ):  # fmt: skip
        format_, peer = make("it", settings, Path(), StoreSettings())
        assert tried(format_, peer) == ["200 {}"]
    urlhaus, bazaar, abuseipdb, dshield = server.asked
    assert urlhaus.json["submission"] == []
    assert parse_qs(bazaar.body.decode())["query"] == ["get_info"]
    assert (abuseipdb.method, abuseipdb.path) == ("GET", "/api/v2/check?ipAddress=127.0.0.1")
    assert dshield.json["logs"] == []
