"""Where downloads may go: which addresses, resolved how often, and on whose behalf."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eudaemon.payload.fetch import service
from eudaemon.payload.fetch.outcome import Failed, Refused
from eudaemon.payload.fetch.policy import SCHEMES, FetchSettings, forbidden, is_own
from eudaemon.payload.fetch.target import aim
from eudaemon.payload.url import parse
from payload.servers import ATTACKER, Lab, saying, serving, tool

PUBLIC = FetchSettings()
STRANGER, STRANGER_6 = "8.8.8.8", "2620:fe::fe"


def resolver(*answers: Sequence[str]) -> tuple[Callable[[str], Awaitable[Sequence[str]]], list[str]]:
    """Return a resolver that gives these answers one after the other, and the list of what it was asked."""
    left, asked = list(answers), []

    async def resolve(host: str) -> Sequence[str]:
        asked.append(host)
        answer = left.pop(0) if len(left) > 1 else left[0]
        if not answer:
            raise OSError("no such host")
        return answer

    return resolve, asked


@pytest.mark.parametrize("ip", [STRANGER, STRANGER_6, "1.1.1.1", "100.63.255.255", "172.32.0.1", "64:ff9b::808:808",
                                "2002:808:808::1", "::ffff:8.8.8.8", "223.255.255.255"])  # fmt: skip
def test_public_addresses_are_allowed(ip: str) -> None:
    assert forbidden(ip, ATTACKER, PUBLIC) == ""


@pytest.mark.parametrize(
    "ip",
    ["0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.9.9.9",
     "168.63.129.16", "169.254.169.254", "169.254.0.1", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1",
     "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1",
     "239.255.255.250", "240.0.0.1", "255.255.255.255",
     "::", "::1", "::127.0.0.1", "::8.8.8.8", "fe80::1", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "100::1",
     "2001::1", "2001:db8::1", "2001:10::1", "2001:2::1", "3fff::1", "64:ff9b:1::1", "5f00::1",
     "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
     "2002:7f00:1::1", "2002:a00:1::1", "2002:c0a8:101::"],
)  # fmt: skip
@pytest.mark.parametrize("policy", ["public", "attacker"])
def test_what_is_not_plainly_public_never_is(ip: str, policy: str) -> None:
    assert forbidden(ip, ip, FetchSettings(policy=policy)).startswith("address: ")


def test_policies() -> None:
    assert forbidden(STRANGER, STRANGER, FetchSettings(policy="off")) == "policy"
    only_attacker = FetchSettings(policy="attacker")
    assert forbidden(STRANGER, "1.1.1.1", only_attacker) == "policy: not the attacker's address"
    assert forbidden(STRANGER, STRANGER, only_attacker) == ""
    assert forbidden(f"::ffff:{STRANGER}", STRANGER, only_attacker) == ""
    assert forbidden("10.1.2.3", "1.1.1.1", FetchSettings(policy="off", lab_networks=("10.0.0.0/8",))) == "policy"
    assert forbidden("10.1.2.3", "1.1.1.1", FetchSettings(lab_networks=("10.0.0.0/8",))) == ""
    assert forbidden("11.1.2.3", "1.1.1.1", FetchSettings(own_networks=("11.1.0.0/16",))) == "address: own"
    assert forbidden("2620:fe::9", "1.1.1.1", FetchSettings(own_networks=("2620:fe::/48",))) == "address: own"


@pytest.mark.parametrize("url", ["nc://8.8.8.8:25/", "tcp://8.8.8.8:22/", "tcp://8.8.8.8:6379/", "nc://8.8.8.8:27017/"])
async def test_a_bare_connection_goes_only_where_loaders_wait(url: str) -> None:
    resolve, asked = resolver([STRANGER])
    wish = parse(url)
    with pytest.raises(Refused, match=f"^policy: {wish.scheme} port {wish.port}$"):
        await aim(wish, ATTACKER, PUBLIC, resolve)
    assert asked == []  # not even its name is asked for
    assert (await aim(parse("nc://8.8.8.8:8080/"), ATTACKER, PUBLIC, resolve)).addresses == (STRANGER,)
    assert (await aim(parse("http://8.8.8.8:25/"), ATTACKER, PUBLIC, resolve)).addresses == (STRANGER,)


async def test_ports_can_be_set_for_every_scheme_also_behind_a_redirect() -> None:
    async with serving(saying(b"moved there")) as hidden:
        moved = f"HTTP/1.0 302 Found\r\nLocation: http://127.0.0.1:{hidden}/x\r\n\r\n".encode()
        async with serving(saying(moved)) as port:
            lab = Lab(ports=(f"http,https {port}", "tftp 69"))
            result = await lab.fetch(f"http://127.0.0.1:{port}/x")
            assert (result.outcome, result.reason) == ("refused", f"policy: http port {hidden}")
            assert (await lab.fetch("tftp://127.0.0.1:70/x")).reason == "policy: tftp port 70"


def test_the_schemes_whose_ports_can_be_set_are_those_that_are_fetched() -> None:
    assert set(SCHEMES) == set(service.SCHEMES)


@given(st.ip_addresses().map(str))
def test_every_address_is_judged(ip: str) -> None:
    assert forbidden(ip, ATTACKER, FetchSettings(policy="off")) == "policy"
    assert isinstance(forbidden(ip, ATTACKER, PUBLIC), str)


def test_own_addresses_are_known_whatever_they_are() -> None:
    """In a network of its own: an alias, an AnyIP prefix, and a stranger behind a route."""
    program = """
import subprocess
from eudaemon.payload.fetch.policy import FetchSettings, forbidden, is_own
for command in ("link set lo up", "address add 45.9.8.7/32 dev lo", "route add local 45.10.0.0/16 dev lo",
                "link add dmy0 type bridge", "link set dmy0 up", "address add 45.11.0.1/24 dev dmy0",
                "-6 address add 2620:fe::1/64 dev dmy0 nodad"):
    subprocess.run(["ip", *command.split()], check=True)
for own in ("127.0.0.1", "45.9.8.7", "45.10.200.3", "45.11.0.1", "::1", "2620:fe::1"):
    assert is_own(own), own
for stranger in ("45.11.0.2", "2620:fe::2", "9.9.9.9"):
    assert not is_own(stranger), stranger
assert forbidden("45.10.200.3", "1.1.1.1", FetchSettings()) == "address: own"
print("good")
"""
    tool("ip", "iproute2")
    command = [tool("unshare", "util-linux"), "--net", sys.executable, "-c", program]
    if subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode:
        pytest.skip("needs root, for a network namespace")
    ran = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2] / "src")
    assert ran.stdout == "good\n", ran.stderr
    assert is_own("127.0.0.1")


async def test_a_name_is_resolved_once_and_pinned() -> None:
    """The name server says loopback from the second question on (DNS rebinding): nobody asks a second time."""
    resolve, asked = resolver(["127.0.0.2"], ["127.0.0.1"])
    async with serving(saying(b"HTTP/1.1 200 OK\r\n\r\nsample"), "127.0.0.2") as port:
        lab = Lab(resolve, lab_networks=("127.0.0.2/32",))
        assert await lab.content(f"http://cdn.example:{port}/x") == b"sample"
    assert asked == ["cdn.example"]


async def test_of_several_addresses_only_allowed_ones_are_asked() -> None:
    resolve, _ = resolver(["127.0.0.1", "169.254.169.254", "127.0.0.2"])
    async with serving(saying(b"HTTP/1.1 200 OK\r\n\r\nsample"), "127.0.0.2") as port:
        result = await Lab(resolve, lab_networks=("127.0.0.2/32",)).fetch(f"http://cdn.example:{port}/x")
    assert (result.outcome, result.peer) == ("ok", "127.0.0.2")


async def test_the_next_address_is_tried_when_one_does_not_accept() -> None:
    resolve, _ = resolver(["127.0.0.3", "127.0.0.2"])
    async with serving(saying(b"HTTP/1.1 200 OK\r\n\r\nsample"), "127.0.0.2") as port:
        result = await Lab(resolve).fetch(f"http://cdn.example:{port}/x")
    assert (result.outcome, result.peer) == ("ok", "127.0.0.2")


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("localhost", "address: loopback"),
        ("127.1", "address: loopback"),
        ("0x7f000001", "address: loopback"),
        ("017700000001", "address: loopback"),
        ("2852039166", "address: link-local or metadata service"),
        ("0", "address: this network"),
        ("[::ffff:169.254.169.254]", "address: link-local or metadata service"),
        ("[64:ff9b::a9fe:a9fe]", "address: link-local or metadata service"),
        ("[fd00:ec2::254]", "address: not global"),
    ],
)
async def test_no_spelling_of_an_address_gets_through(host: str, reason: str) -> None:
    for scheme in ("http", "https", "ftp", "tftp", "nc"):
        result = await Lab(lab_networks=()).fetch(f"{scheme}://{host}:4444/x")
        assert (result.outcome, result.reason) == ("refused", reason)


async def test_a_private_address_means_the_attackers_own() -> None:
    resolve, asked = resolver([STRANGER])
    target = await aim(parse("http://192.168.0.4:8080/x"), STRANGER, PUBLIC, resolve)
    assert (str(target.url), target.addresses) == (f"http://{STRANGER}:8080/x", (STRANGER,))
    assert asked == [STRANGER]
    resolve, _ = resolver(["192.168.0.4"])
    with pytest.raises(Refused, match="private"):
        await aim(parse("http://192.168.0.4/x"), STRANGER, FetchSettings(private_to_attacker=False), resolve)
    with pytest.raises(Refused, match="private"):  # a name that means a private address is no bot behind NAT
        await aim(parse("http://rebound.example/x"), STRANGER, PUBLIC, resolver(["10.0.0.1"])[0])


async def test_names_that_lead_nowhere() -> None:
    with pytest.raises(Failed, match="not found"):
        await aim(parse("http://nowhere.example/"), ATTACKER, PUBLIC, resolver([])[0])
    with pytest.raises(Failed, match="not found"):
        await aim(parse("http://odd.example/"), ATTACKER, PUBLIC, resolver(["no address"])[0])
    with pytest.raises(Refused, match="no port"):
        await aim(parse("nc://8.8.8.8/"), ATTACKER, PUBLIC, resolver([STRANGER])[0])

    async def never(_: str) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    with pytest.raises(Failed, match="no answer"):
        await aim(parse("http://slow.example/"), ATTACKER, FetchSettings(connect_s_max=0.05), never)
