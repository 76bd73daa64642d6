"""A camera over RTSP: who is let in to which stream, and what a login tells."""

from __future__ import annotations

import base64
import re

import pytest

from eudaemon.events.catalogue import ChallengeAnswered, CommandEntered, ExploitRecognised, LoginTried
from eudaemon.protocols._base import Claim
from eudaemon.protocols._digest import Login
from eudaemon.protocols.rtsp import AUTHORIZATION_BYTES_MAX, INTERLEAVED_MAX, MAKES, REQUESTS_MAX, Rtsp
from eudaemon.testing.script import Table, visit
from eudaemon.wire import Purse
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed


def host_of(make: int) -> Host:
    """A host whose camera is of that make."""
    hosts = (Host.from_seed(Seed(b"%d" % number)) for number in range(1000))
    return next(host for host in hosts if host.seed.child("rtsp").choice("make", MAKES) is MAKES[make])


HOSTS = [host_of(make) for make in range(len(MAKES))]
PATHS = ["/11", "/user=x&channel=1", "/Streaming/Channels/101", "/cam/realmonitor?channel=1&subtype=0"]


def talk(make: int = 0) -> Table:
    return Table(Rtsp(visit(host=HOSTS[make], port=554, purse=Purse(32 << 20)))).open()


def request(method: str, path: str = "/", more: str = "") -> bytes:
    return f"{method} rtsp://192.0.2.1:554{path} RTSP/1.0\r\nCSeq: 3\r\nUser-Agent: Lavf58\r\n{more}\r\n".encode()


def basic(user: str, password: str) -> str:
    return "Authorization: Basic " + base64.b64encode(f"{user}:{password}".encode()).decode() + "\r\n"


@pytest.mark.parametrize("split", [0, 1])
@pytest.mark.parametrize("make", range(len(MAKES)))
def test_the_way_to_the_stream(make: int, split: int) -> None:
    table = talk(make)
    path = PATHS[make]
    assert table.say(request("DESCRIBE", path), split).startswith(b"RTSP/1.0 401 Unauthorized\r\nCSeq: 3\r\nWWW-")
    said = table.say(request("DESCRIBE", path, basic("admin", "admin")), split)
    assert said.startswith(b"RTSP/1.0 200 OK\r\nCSeq: 3\r\n")
    head, _, body = said.partition(b"\r\n\r\n")
    assert b"Content-Length: %d" % len(body) in head
    assert b"a=rtpmap:96 H264/90000" in body
    assert b"404" in table.say(request("DESCRIBE", "/nothing", basic("admin", "admin")), split)
    login = basic("admin", "admin")
    said = table.say(request("SETUP", path, login + "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"), split)
    assert b"Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n" in said
    session = re.search(rb"Session: (\d+)", said)
    assert session
    assert session[1] in table.say(request("PLAY", path, login), split)
    assert table.say(b"$\0\0\4abcd", split) == b""
    assert b"200 OK" in table.say(request("TEARDOWN", path, login), split)
    assert table.over
    assert [fact for fact in table.facts if isinstance(fact, LoginTried)] == [
        LoginTried("admin", "admin", accepted=True)
    ]
    assert CommandEntered(f"DESCRIBE rtsp://192.0.2.1:554{path} (Lavf58)") in table.facts


def test_the_header_that_hydra_writes_is_read() -> None:
    """Version 9.4, in its module for RTSP, sends a colon too many."""
    table = talk(next(make for make in range(len(MAKES)) if "Basic" in talk(make).say(request("DESCRIBE")).decode()))
    told = basic("admin", "admin").replace(": ", ": : ")
    assert table.say(request("DESCRIBE", "/nothing", told)).startswith(b"RTSP/1.0 404")
    assert table.facts[-1] == LoginTried("admin", "admin", accepted=True)


@pytest.mark.parametrize(("password", "found"), [("12345", "12345"), ("Tr0ub4dor&3", None)])
def test_a_digest_is_evidence(password: str, found: str | None) -> None:
    table = talk()
    challenge = table.say(request("DESCRIBE"))
    nonce = re.search(rb'nonce="(\w{32})"', challenge)
    assert nonce
    uri = b"rtsp://192.0.2.1:554/"
    given = {b"realm": HOSTS[0].name.encode(), b"uri": uri, b"nonce": nonce[1]}
    response = Login(b"admin", None, given).digest(b"DESCRIBE", password.encode()).decode()
    login = f'Authorization: Digest username="admin", realm="{HOSTS[0].name}", nonce="{nonce[1].decode()}", '
    said = table.say(request("DESCRIBE", "/", login + f'uri="{uri.decode()}", response="{response}"\r\n'))
    assert said.startswith(b"RTSP/1.0 200" if found else b"RTSP/1.0 401")
    assert LoginTried("admin", found, accepted=bool(found)) in table.facts
    (answered,) = (fact for fact in table.facts if isinstance(fact, ChallengeAnswered))
    assert answered.response == (
        f"$sip$*192.0.2.1*198.51.100.7*admin*{HOSTS[0].name}*DESCRIBE*rtsp*//192.0.2.1:554/**"
        f"{nonce[1].decode()}****MD5*{response}"
    )


@pytest.mark.parametrize(
    "target", ["rtsp://admin:666666@192.0.2.1/", "rtsp://192.0.2.1/user=admin&password=666666&channel=1&stream=0.sdp"]
)
def test_a_login_in_the_address(target: str) -> None:
    table = talk(1)
    table.say(f"DESCRIBE {target} RTSP/1.0\r\nCSeq: 1\r\n\r\n".encode())
    assert [(fact.user, fact.password) for fact in table.facts if isinstance(fact, LoginTried)] == [("admin", "666666")]


def test_what_is_interleaved_hides_no_request() -> None:
    table = talk()
    assert table.say(b"$\0\x03\xe8" + bytes(900)) == b""
    assert table.say(bytes(100) + request("OPTIONS")).startswith(b"RTSP/1.0 200 OK")


def test_what_is_not_asked_well() -> None:
    table = talk()
    assert b"405" in table.say(request("HACK"))
    assert table.say(b"OPTIONS / RTSP/1.0\r\n\r\n").startswith(b"RTSP/1.0 200 OK\r\nServer: HiIpcam/")
    assert table.say(request("PLAY", "/", basic("admin", "admin"))).startswith(b"RTSP/1.0 454")
    assert table.say(request("SETUP", "/", basic("admin", "admin"))).startswith(b"RTSP/1.0 461")
    assert table.say(b"GET / HTTP/1.1\r\n\r\n").startswith(b"RTSP/1.0 400")
    assert table.over


def test_limits() -> None:
    for past in (0, 1):
        table = talk()
        for _ in range(REQUESTS_MAX + past):
            table.say(b"OPTIONS / RTSP/1.0\r\n\r\n")
        assert bool(table.fault) == bool(past)
        table = talk()
        table.say(b"$\0\0\0" * (INTERLEAVED_MAX + past))
        assert bool(table.fault) == bool(past)
        table = talk()
        table.say(request("DESCRIBE", "/", "Authorization: " + "x" * (AUTHORIZATION_BYTES_MAX + past) + "\r\n"))
        assert any(isinstance(fact, ExploitRecognised) for fact in table.facts) == bool(past)
        assert len(table.kept) == past


def test_whose_conversation_it_is() -> None:
    for first, claim in ((b"OPT", Claim.UNSURE), (b"OPTIONS rtsp://a", Claim.YES), (b"OPTIONS / RTSP/", Claim.YES),
                         (b"OPTIONS sip:a", Claim.NO), (b"GET / HTTP/1.0", Claim.NO)):  # fmt: skip
        assert Rtsp.claim(first) is claim, first
