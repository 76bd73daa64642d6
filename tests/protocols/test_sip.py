"""SIP: what strangers are answered over UDP and TCP, what a digest tells, and who dials out."""

from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eudaemon.events.catalogue import ChallengeAnswered, CommandEntered, ExploitRecognised, LoginTried
from eudaemon.protocols._base import Claim
from eudaemon.protocols._digest import BODY_BYTES_MAX, HEAD_BYTES_MAX, HEADERS_MAX, Login, login_of
from eudaemon.protocols.sip import NUMBERS_MAX, REQUESTS_MAX, Sip, is_extension, password_of
from eudaemon.testing.script import Table, visit
from eudaemon.wire import Purse
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed

HOST = Host.from_seed(Seed(b"test"))
EXTENSION = next(number for number in range(10_000) if is_extension(HOST.seed.child("sip"), b"%d" % number))
PASSWORD = password_of(HOST.seed.child("sip"), b"%d" % EXTENSION).decode()


def request(method: str, to: str, more: str = "", number: int = 1) -> bytes:
    return (
        f"{method} sip:{to}@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7:5071;branch=z9hG4bK-{number};rport\r\n"
        f"Max-Forwards: 70\r\nTo: <sip:{to}@192.0.2.1>\r\nFrom: <sip:100@192.0.2.1>;tag=3031\r\n"
        f"User-Agent: friendly-scanner\r\nCall-ID: 81247\r\nContact: sip:100@198.51.100.7:5071\r\n"
        f"CSeq: {number} {method}\r\nAccept: application/sdp\r\n{more}Content-Length: 0\r\n\r\n"
    ).encode()


def authorised(method: str, to: str, user: str, password: str, challenge: bytes) -> bytes:
    nonce = re.search(rb'nonce="(\w+)"', challenge)
    assert nonce
    given = {b"realm": b"asterisk", b"uri": b"sip:192.0.2.1", b"nonce": nonce[1]}
    response = Login(user.encode(), None, given).digest(method.encode(), password.encode()).decode()
    line = (
        f'Authorization: Digest username="{user}", realm="asterisk", nonce="{nonce[1].decode()}", '
        f'uri="sip:192.0.2.1", response="{response}", algorithm=MD5\r\n'
    )
    return request(method, to, line, 2)


def talk(transport: str = "udp") -> Table:
    return Table(Sip(visit(host=HOST, transport=transport, port=5060, purse=Purse(32 << 20)))).open()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_scanner_finds_it(transport: str) -> None:
    table = talk(transport)
    asked = request("OPTIONS", "100")
    said = table.say(asked)
    assert said.startswith(
        b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 198.51.100.7:5071;branch=z9hG4bK-1;received=198.51.100.7;"
    )
    assert b"\r\nServer: Asterisk PBX " in said
    assert transport == "tcp" or len(said) <= len(asked)
    assert CommandEntered("OPTIONS sip:100@192.0.2.1 (friendly-scanner)") in table.facts


@pytest.mark.parametrize(("password", "found"), [(PASSWORD, PASSWORD), ("Tr0ub4dor&3", None)])
def test_a_digest_is_evidence(password: str, found: str | None) -> None:
    table = talk()
    challenge = table.say(request("REGISTER", str(EXTENSION)))
    assert challenge.startswith(b"SIP/2.0 401 Unauthorized\r\n")
    said = table.say(authorised("REGISTER", str(EXTENSION), str(EXTENSION), password, challenge))
    assert said.startswith(b"SIP/2.0 200 OK\r\n" if found else b"SIP/2.0 403 Forbidden\r\n")
    assert LoginTried(str(EXTENSION), found, accepted=bool(found)) in table.facts
    (answered,) = (fact for fact in table.facts if isinstance(fact, ChallengeAnswered))
    fields = answered.response.split("*")
    assert fields[:10] == ["$sip$", "192.0.2.1", "198.51.100.7", str(EXTENSION), "asterisk", "REGISTER", "sip",
                           "192.0.2.1", "", fields[9]]  # fmt: skip
    first = hashlib.md5(f"{EXTENSION}:asterisk:{password}".encode()).hexdigest()
    second = hashlib.md5(b"REGISTER:sip:192.0.2.1").hexdigest()
    assert fields[14] == hashlib.md5(f"{first}:{fields[9]}:{second}".encode()).hexdigest()


def test_hashcats_own_example() -> None:
    """hashcat.net/wiki/doku.php?id=example_hashes, mode 11400, whose password is `hashcat`."""
    login = Login(b"", None, {b"uri": b"737232616:1215344588738747:8867133055", b"nonce": b"65600"})
    assert login.digest(b"342210558720", b"hashcat") == b"e9980869221f9d1182c83b0d5e56a7db"


def test_the_example_of_the_standard() -> None:
    """RFC 2617 section 3.5, with quality of protection."""
    login = login_of(
        b'Digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
        b'uri="/dir/index.html", qop=auth, nc=00000001, cnonce="0a4f113b", response="6629fae49393a05397450978507c4ef1"'
    )
    assert login is not None
    assert login.found(b"GET", b"/", [b"no", b"Circle Of Life"]) == b"Circle Of Life"
    other = Login(b"Mufasa", None, {**login.parameters, b"uri": b"/elsewhere"})
    assert other.found(b"GET", b"/dir/index.html", [b"Circle Of Life"]) == b"Circle Of Life", "as Hydra reckons"
    assert "*/dir/index.html**dcd98b7102dd2f0e8b11d0f600bfb0c093*0a4f113b*" in login.crackable(b"GET", "a", "b")


def test_who_dials_out() -> None:
    table = talk("tcp")
    challenge = table.say(request("INVITE", "9011442031234567"))
    assert challenge.startswith(b"SIP/2.0 401 ")
    assert ExploitRecognised("sip-toll-fraud", "", "9011442031234567") in table.facts
    said = table.say(authorised("INVITE", "9011442031234567", str(EXTENSION), PASSWORD, challenge))
    assert re.findall(rb"^SIP/2\.0 (\d+)", said, re.MULTILINE) == [b"100", b"183"]
    before = len(table.sent)
    table.wait(30)
    assert table.sent[before:].startswith(b"SIP/2.0 503 ")
    assert len([fact for fact in table.facts if isinstance(fact, ExploitRecognised)]) == 1, "stated once"
    table.say(request("INVITE", "101"))
    assert len([fact for fact in table.facts if isinstance(fact, ExploitRecognised)]) == 1, "an extension is no number"


def test_a_call_is_cancelled() -> None:
    table = talk("tcp")
    challenge = table.say(request("INVITE", "100"))
    table.say(authorised("INVITE", "100", str(EXTENSION), PASSWORD, challenge))
    said = table.say(request("CANCEL", "100"))
    assert said.startswith(b"SIP/2.0 200 OK")
    assert b"SIP/2.0 487 " in said
    assert table.say(request("BYE", "100")).startswith(b"SIP/2.0 481 ")
    assert table.say(request("ACK", "100")) == b""
    assert table.say(request("PRACK", "100")).startswith(b"SIP/2.0 405 ")


PIECES = [request("OPTIONS", "100"), request("REGISTER", "1"), request("INVITE", "00442031234567"), b"\r\n\r\n", b"\0"]


@given(st.lists(st.sampled_from(PIECES) | st.sampled_from(PIECES).map(lambda whole: whole[:200]), max_size=9))
def test_no_peer_is_sent_more_than_it_sent(datagrams: list[bytes]) -> None:
    table = talk()
    for data in datagrams:
        table.say(data)
    assert len(table.sent) <= sum(map(len, datagrams))


def test_limits() -> None:
    for past in (0, 1):
        table = talk("tcp")
        for _ in range(REQUESTS_MAX + past):
            table.say(b"ACK sip:a SIP/2.0\r\n\r\n")
        assert bool(table.fault) == bool(past)
        table = talk("tcp")
        table.say(b"x" * (HEAD_BYTES_MAX + past))
        assert bool(table.fault) == bool(past)
        table = talk("tcp")
        table.say(b"ACK sip:a SIP/2.0\r\nContent-Length: %d\r\n\r\n" % (BODY_BYTES_MAX + past))
        assert bool(table.fault) == bool(past)
        table = talk("tcp")
        table.say(b"ACK sip:a SIP/2.0\r\n" + b"a: b\r\n" * (HEADERS_MAX + past) + b"\r\n")
        assert bool(table.fault) == bool(past)
    table = talk("tcp")
    for number in range(NUMBERS_MAX + 1):
        table.say(request("INVITE", f"004420312{number:05}"))
    assert len([fact for fact in table.facts if isinstance(fact, ExploitRecognised)]) == NUMBERS_MAX


def test_whose_conversation_it_is() -> None:
    for first, claim in ((b"OPT", Claim.UNSURE), (b"OPTIONS sip:a", Claim.YES), (b"OPTIONS rtsp://a", Claim.NO),
                         (b"OPTIONS s", Claim.UNSURE), (b"GET / HTTP/1.0", Claim.NO)):  # fmt: skip
        assert Sip.claim(first) is claim, first
