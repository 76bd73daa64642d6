"""LDAP: who binds, what is searched for, and what of it a real client gets is in tests/end_to_end."""

from __future__ import annotations

import pytest

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised, LoginTried
from eudaemon.protocols._base import Claim
from eudaemon.protocols.ldap import Ldap
from eudaemon.protocols.ldap.directory import directory_of
from eudaemon.protocols.ldap.filters import DEPTH_MAX, ITEMS_MAX, Filter
from eudaemon.protocols.ldap.room import ATTRIBUTES_MAX, DATAGRAMS_MAX, MESSAGE_BYTES_MAX, MESSAGES_MAX
from eudaemon.testing.script import Table, visit
from eudaemon.wire import PeerError, ber
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed

HOST = Host.from_seed(Seed(b"test"))
DIRECTORY = directory_of(HOST)
PRESENT = ber.encoded(0x87, b"objectClass")


def message(kind: int, *parts: bytes, number: int = 1) -> bytes:
    return ber.encoded(ber.SEQUENCE, ber.number(number), ber.encoded(kind, *parts))


def octets(text: bytes | str) -> bytes:
    return ber.encoded(ber.OCTETS, text.encode() if isinstance(text, str) else text)


def bind(dn: str = "", password: bytes = b"", version: int = 3) -> bytes:
    return message(0x60, ber.number(version), octets(dn), ber.encoded(0x80, password))


def sasl(mechanism: bytes, given: bytes = b"") -> bytes:
    return message(0x60, ber.number(3), octets(""), ber.encoded(0xA3, octets(mechanism), octets(given)))


def search(base: str, scope: int = 2, filter_: bytes = PRESENT, names: tuple[bytes, ...] = (), size: int = 0) -> bytes:
    return message(
        0x63, octets(base), ber.number(scope, ber.ENUMERATED), ber.number(0, ber.ENUMERATED), ber.number(size),
        ber.number(0), ber.encoded(ber.BOOLEAN, b"\0"), filter_, ber.encoded(ber.SEQUENCE, *map(octets, names)),
    )  # fmt: skip


def talk() -> Table:
    return Table(Ldap(visit(host=HOST, port=389))).open()


def answers(sent: bytes) -> list[tuple[int, bytes]]:
    """Return operation and content of each message."""
    return [list(ber.elements(content))[1] for _, content in ber.elements(sent)]


def result(sent: bytes) -> tuple[int, int, bytes]:
    """Return the last operation, its result and what it says."""
    kind, content = answers(sent)[-1]
    code, _, said = list(ber.elements(content))[:3]
    return kind, ber.integer(code[1]), said[1]


def test_binds() -> None:
    table = talk()
    person = next(dn for dn in DIRECTORY.entries if dn.startswith("uid="))
    assert result(table.say(bind())) == (0x61, 0, b"")
    assert result(table.say(bind("cn=nobody", b"x"))) == (0x61, 49, b"")
    assert result(table.say(bind(person))) == (0x61, 53, b"unauthenticated bind (DN with no password) disallowed")
    assert result(table.say(bind("cn=a", b"x", version=2)))[1] == 2
    assert result(table.say(sasl(b"PLAIN", b"\0anna\0geheim")))[1] == 7
    assert result(table.say(sasl(b"GSS-SPNEGO", b"NTLMSSP\0")))[1] == 7
    assert [fact for fact in table.facts if isinstance(fact, LoginTried)] == [
        LoginTried("cn=nobody", "x", accepted=False), LoginTried("cn=a", "x", accepted=False),
        LoginTried("anna", "geheim", accepted=False),
    ]  # fmt: skip
    assert CommandEntered("bind  SASL GSS-SPNEGO NTLMSSP\\x00") in table.facts


def test_nmap_names_it() -> None:
    """nmap's probe LDAPBindReq, and what its table says of OpenLDAP 2.2 and later; to run it takes eleven seconds."""
    said = talk().say(b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x02\x04\0\x80\0")
    assert said == b"0E\x02\x01\x01a@\n\x01\x02\x04\0\x049historical protocol version requested, use LDAPv3 instead"


def get_in(table: Table) -> None:
    for number in range(500):
        if result(table.say(bind(DIRECTORY.admin, b"%d" % number)))[1] == 0:
            assert LoginTried(DIRECTORY.admin, str(number), accepted=True) in table.facts
            return
    raise AssertionError("nobody gets in")


def test_the_administrator_sees_hashes_and_changes_nothing() -> None:
    table = talk()
    assert b"{SSHA}" not in table.say(search(DIRECTORY.suffix))
    change = message(0x4A, b"cn=x")
    assert result(table.say(message(0x68, octets("cn=x"), ber.encoded(0x30)))) == (
        0x69, 8, b"modifications require authentication")  # fmt: skip
    get_in(table)
    assert table.say(search(DIRECTORY.suffix)).count(b"{SSHA}") > 5
    assert result(table.say(change))[:2] == (0x6B, 53)
    whoami = table.say(message(0x77, ber.encoded(0x80, b"1.3.6.1.4.1.4203.1.11.3")))
    assert b"dn:" + DIRECTORY.admin.encode() in whoami
    assert result(table.say(message(0x77, ber.encoded(0x80, b"1.3.6.1.4.1.1466.20037")))) == (
        0x78, 2, b"unsupported extended operation")  # fmt: skip
    lines = [fact.line for fact in table.facts if isinstance(fact, CommandEntered)]
    assert lines[1] == "add cn=x"
    assert "delete cn=x" in lines


@pytest.mark.parametrize("split", [0, 1])
def test_searches(split: int) -> None:
    table = talk()
    root = table.say(search("", 0, names=(b"+",)), split)
    assert answers(root)[0][0] == 0x64
    assert DIRECTORY.suffix.encode() in root
    assert result(table.say(search("dc=nowhere"), split))[1] == 32
    below = table.say(search("ou=x," + DIRECTORY.suffix), split)
    assert result(below)[1] == 32
    assert DIRECTORY.suffix.encode() in below, "the name of what is there"
    one = answers(table.say(search(DIRECTORY.suffix, 1), split))
    assert [kind for kind, _ in one] == [0x64] * 3 + [0x65]
    assert result(table.say(search(DIRECTORY.suffix, 2, size=2), split))[1] == 4
    assert result(table.say(search(DIRECTORY.suffix, 3), split))[1] == 2
    lines = [fact.line for fact in table.facts if isinstance(fact, CommandEntered)]
    assert lines[0] == 'search base="" scope=base filter=(objectClass=*) +'
    assert lines[1] == 'search base="dc=nowhere" scope=sub filter=(objectClass=*)'
    table.say(message(0x50, b"\1") + message(0x42))
    assert table.over


@pytest.mark.parametrize("value", [b"", b"\x30\0", b"\x30\3\2\1\1", b"\x30\5\2\1\xff\4\0"])
def test_what_is_no_page(value: bytes) -> None:
    page = ber.encoded(0x30, octets(b"1.2.840.113556.1.4.319"), octets(value))
    ((_, content),) = ber.elements(search(DIRECTORY.suffix))
    table = talk()
    table.say(ber.encoded(0x30, content, ber.encoded(0xA0, page)))
    assert table.fault or result(table.sent)[1] == 0


def test_compare() -> None:
    table = talk()
    name = DIRECTORY.suffix

    def compared(dn: str, kind: str, value: str) -> int:
        return result(table.say(message(0x6E, octets(dn), ber.encoded(0x30, octets(kind), octets(value)))))[1]

    dc = name.partition(",")[0][3:]
    assert compared(name, "DC", dc.upper()) == 6
    assert compared(name, "dc", "x") == 5
    assert compared(name, "sn", "x") == 16
    assert compared("dc=x", "sn", "x") == 32
    assert compared(DIRECTORY.admin, "userPassword", "x") == 16


@pytest.mark.parametrize(
    "data",
    [b"GET / HTTP/1.0\r\n\r\n", b"\x30\x80\0\0", b"\x30\x03\x02\x01\x01", b"\x30\x05\x02\x01\x01\x55\x00",
     bind()[:-4] + b"\xff" * 4, message(0x63, octets("x")), message(0x60), message(0x63),
     search("", filter_=ber.encoded(0xA2)), search("", filter_=ber.encoded(0xA4, octets("a")))],
)  # fmt: skip
def test_what_is_no_ldap_ends_it(data: bytes) -> None:
    table = talk()
    table.say(data)
    assert table.fault


def nested(depth: int) -> bytes:
    inner = PRESENT
    for _ in range(depth):
        inner = ber.encoded(0xA2, inner)
    return inner


def test_limits() -> None:
    assert result(talk().say(search("", 0, nested(DEPTH_MAX))))[1] == 0
    table = talk()
    table.say(search("", 0, nested(DEPTH_MAX + 1)))
    assert table.fault.startswith("filter deeper than")
    ((tag, content),) = ber.elements(ber.encoded(0xA0, *[PRESENT] * (ITEMS_MAX - 1)))
    assert Filter(tag, content).matches(DIRECTORY.root, frozenset())
    with pytest.raises(PeerError):
        Filter(tag, content + PRESENT)
    table = talk()
    table.say(bind() * MESSAGES_MAX)
    assert not table.over
    table.say(bind())
    assert table.fault == f"more than {MESSAGES_MAX} messages in one session"
    table = talk()
    largest = bind("", b"x" * (MESSAGE_BYTES_MAX - 23))
    assert len(largest) == MESSAGE_BYTES_MAX
    table.say(largest)
    assert not table.fault
    table.say(b"\x30\x84" + (MESSAGE_BYTES_MAX - 5).to_bytes(4, "big"))
    assert table.fault == f"a message over {MESSAGE_BYTES_MAX} bytes"
    table = talk()
    names = (*(b"a%d" % number for number in range(ATTRIBUTES_MAX)), b"dc")
    assert b"\x04\x02dc" in table.say(search(DIRECTORY.suffix, 0, names=names[1:]))
    assert b"\x04\x02dc" not in table.say(search(DIRECTORY.suffix, 0, names=names))


def test_no_two_installations_are_alike() -> None:
    found = [directory_of(Host.from_seed(Seed(b"%d" % number))) for number in range(24)]
    assert len({directory.ldif() for directory in found}) == 24
    assert len({directory.suffix for directory in found}) > 12


def test_whose_first_bytes_they_are() -> None:
    for data in (bind(), search("dc=a,dc=b"), b"\x30\x84\0\0\0\x10\x02\x01\x01\x60\x84"):
        assert Ldap.claim(data) is Claim.YES
        for end in range(1, 7):
            assert Ldap.claim(data[:end]) is not Claim.NO
    assert Ldap.claim(b"0 is a digit") is Claim.NO
    assert Ldap.claim(b"GET / HTTP/1.0\r\n") is Claim.NO


# --- StartTLS -------------------------------------------------------------------------------------------


def extended(name: bytes, number: int = 1) -> bytes:
    return message(0x77, ber.encoded(0x80, name), number=number)


START_TLS = b"1.3.6.1.4.1.1466.20037"


@pytest.mark.parametrize("split", [0, 1])
def test_tls_begins_behind_the_answer(split: int) -> None:
    table = Table(Ldap(visit(host=HOST, can_tls=True))).open()
    assert START_TLS in table.say(search("", scope=0, names=(b"+",)))
    assert result(table.say(extended(START_TLS), split)) == (0x78, 0, b"")
    assert table.secured
    assert result(table.say(extended(START_TLS), split)) == (0x78, 1, b"TLS already started")
    assert result(table.say(bind(), split))[:2] == (0x61, 0)


def test_what_came_in_plain_behind_the_request_is_forgotten() -> None:
    table = Table(Ldap(visit(host=HOST, can_tls=True))).open()
    assert len(answers(table.say(extended(START_TLS) + bind(DIRECTORY.admin, b"x") + bind()[:5]))) == 1
    assert not [fact for fact in table.facts if isinstance(fact, LoginTried)]
    assert result(table.say(bind()))[:2] == (0x61, 0)


def test_a_sensor_without_tls_says_so() -> None:
    assert START_TLS not in talk().say(search("", scope=0, names=(b"+",)))
    assert result(talk().say(extended(START_TLS))) == (0x78, 2, b"unsupported extended operation")


# --- datagrams ------------------------------------------------------------------------------------------


def datagrams() -> Table:
    return Table(Ldap(visit(host=HOST, transport="udp", port=389))).open()


def flooding() -> bytes:
    return search("", scope=0)


def test_no_datagram_is_answered_with_a_larger_one() -> None:
    table = datagrams()
    answer = table.say(flooding())
    assert (result(answer), len(answer) <= len(flooding())) == ((0x65, 70, b""), True)
    assert (
        ExploitRecognised("cldap-amplification", "", 'search base="" scope=base filter=(objectClass=*)') in table.facts
    )
    domain = ber.encoded(0xA3, octets(b"DnsDomain"), octets(b"example.net"))
    ping = search("", scope=0, filter_=ber.encoded(0xA0, domain), names=(b"Netlogon",))
    assert result(table.say(ping)) == (0x65, 0, b""), "no domain controller"
    assert len([fact for fact in table.facts if isinstance(fact, ExploitRecognised)]) == 1


def test_a_datagram_that_fits_its_answer_gets_it() -> None:
    table = datagrams()
    padded = search("", scope=0, names=(b"supportedLDAPVersion", b"x" * 80))
    (kind, entry), (_, done) = answers(table.say(padded))
    assert (kind, done[2:3]) == (0x64, b"\0")
    assert octets("supportedLDAPVersion") + ber.encoded(ber.SET, octets("3")) in entry
    ((_, content),) = ber.elements(flooding())
    old = ber.encoded(ber.SEQUENCE, ber.number(9), octets("cn=me"), content[3:])
    assert result(table.say(old))[:2] == (0x65, 70), "version 2 says who asks"


def test_datagrams_stand_each_for_itself() -> None:
    table = datagrams()
    whole = search("", scope=0)
    assert table.say(whole[:20]) == b""
    assert table.say(whole[20:]) == b""
    assert table.fault == "no LDAP message"
    table = datagrams()
    for _ in range(DATAGRAMS_MAX):
        assert table.say(message(0x42)) == b"", "nothing is hung up"
        assert table.say(whole[:9]) == b""
    assert table.say(whole) == b""
    table = datagrams()
    for _ in range(DATAGRAMS_MAX):
        assert table.say(whole)
    assert table.say(whole) == b""
