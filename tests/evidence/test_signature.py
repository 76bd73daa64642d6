"""Signatures from captures: what they match, what they do not, and when none is given."""

from __future__ import annotations

import dataclasses
import random
import re
import runpy
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import yara_x

from eudaemon.evidence import benign, rules
from eudaemon.evidence.model import Area, Blob, Evidence
from eudaemon.evidence.signature import (
    CAPTURES_MAX,
    PACKET_BYTES,
    TOKEN_BYTES_MAX,
    RefusedSignature,
    Signature,
    make,
)
from eudaemon.evidence.store import Store
from evidence.reports import evidence

ROOT = Path(__file__).resolve().parents[2]
BENIGN = benign.built_in()
NOTHING: dict[str, bytes] = {}
SEVEN = b"\1\2\3\4\5\6\7"
HEAD = b"PUT /upload/report HTTP/1.1\r\nHost: "
SLED = b"\x90\x90\x31\xc0\x48\xbb\xd1\x9d\x96\x91\xd0\x8c\x97\xff\x48\xf7\xdb\x53"


def capture(sent: bytes, core: bytes, *, at: int | None = None, size: int | None = None, number: int = 1,
            input_at: int = 0, local: str = "10.0.0.1:80", peer: str = "192.0.2.7:4444",
            transport: str = "tcp") -> Evidence:  # fmt: skip
    """Return evidence in which `sent[at : at + size]` took control, `core` in it being the value."""
    first = sent.index(core) if at is None else at
    data = sent[first : first + (len(core) if size is None else size)]
    report = evidence().report
    (one,), (stream,) = report.culprits, report.streams
    one = dataclasses.replace(one, offset=input_at + first, data=data, core_at=data.index(core), core_size=len(core))
    stream = dataclasses.replace(
        stream, local=local, peer=peer, transport=transport, received=input_at + len(sent), input_at=input_at,
        input=Blob("input-0.bin", len(sent), ""),
    )  # fmt: skip
    report = dataclasses.replace(report, id=f"2026-{number:03}", culprits=(one,), streams=(stream,))
    return Evidence(report, {"input-0.bin": sent})


def attack(number: int, **more: str) -> Evidence:
    """Return a capture of one attack: host, filling and address change, what lies behind them does not."""
    dice = random.Random(number)
    filling = bytes(dice.randrange(33, 127) for _ in range(100))
    address = bytes(dice.randrange(256) for _ in range(6)) + b"\0\0"
    sent = HEAD + b"198.51.100.%d\r\n\r\n" % (100 + number) + filling + address + SLED + filling[::-1]
    at = sent.index(filling)
    return capture(sent, address, at=at, size=len(filling) + len(address) + len(SLED), number=number, **more)


def raw(one: Evidence) -> bytes:
    return one.files["input-0.bin"]


def test_what_does_not_change_is_the_signature() -> None:
    made = make([attack(1), attack(2), attack(3)], BENIGN, "test")
    assert [token.data for token in made.tokens] == [b"\0\0" + SLED]
    begin = raw(attack(1)).index(b"\0\0" + SLED)
    assert (made.begin, made.end, made.port, made.to_server) == (begin, begin + len(SLED) + 2, 80, True)
    assert made.captures == ("2026-001", "2026-002", "2026-003")
    assert made.matches(raw(attack(99)))


def test_what_came_before_helps_where_the_bytes_themselves_do_not() -> None:
    def one(number: int) -> Evidence:
        address = bytes(random.Random(number).randrange(1, 256) for _ in range(8))
        return capture(b"CMD " + b"\7\6\5\4\3\2\1" + b"A" * 80 + address, address, at=11, size=88, number=number)

    made = make([one(1), one(2)], BENIGN, "test")
    assert [token.data for token in made.tokens] == [b"CMD \7\6\5\4\3\2\1", b"A" * TOKEN_BYTES_MAX]
    assert made.matches(raw(one(3)))


def test_what_came_before_alone_is_nobodys_attack() -> None:
    def one(number: int) -> Evidence:
        address = random.Random(number).randbytes(8)
        return capture(b"a friendly greeting that everybody sends " + address, address, number=number)

    with pytest.raises(RefusedSignature, match="nothing is left of what took control"):
        make([one(1), one(2)], NOTHING, "x")


def test_of_one_capture_the_bytes_around_the_value_are_taken() -> None:
    one = attack(1)
    made = make([one], BENIGN, "test")
    core = one.report.culprits[0].data[100:108]
    assert core in made.tokens[0].data
    assert len(made.tokens[0].data) <= TOKEN_BYTES_MAX
    assert made.begin == 0
    assert made.matches(raw(one))


PROGRAM, LIBRARY, HEAP = 0x5581_0000_0000, 0x7F31_0000_0000, 0x9C_0000


@pytest.mark.parametrize("count", [1, 2])
def test_drawn_addresses_are_left_out(count: int) -> None:
    """Also where two captures agree on some of their bytes by chance."""

    def one(number: int) -> Evidence:
        drawn = [base + 0x1000 * number + 0x123 for base in (PROGRAM, LIBRARY, HEAP)]
        words = [struct.pack("<Q", address) for address in (*drawn, 0x40_1000)]
        sent = b"before it".join(words) + b"and behind"
        made = capture(sent, words[0], at=0, size=len(sent), number=number)
        areas = [(PROGRAM, "/bin/x"), (LIBRARY, "/lib/y"), (HEAP, "[heap]"), (0x40_0000, "/bin/fixed")]
        maps = tuple(Area(begin, begin + 0x10_0000, "rw-p", path) for begin, path in areas)
        return Evidence(dataclasses.replace(made.report, maps=maps, target=drawn[0]), made.files)

    made = make([one(number) for number in range(count)], NOTHING, "x")
    fixed = struct.pack("<Q", 0x40_1000)
    tokens = [token.data for token in made.tokens]
    assert tokens == [b"before it", b"before it", b"before it" + fixed + b"and behind"]
    assert made.matches(raw(one(77)))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_yara_rule_matches_where_the_signature_does(count: int) -> None:
    captures = [attack(number) for number in range(count)]
    made = make(captures, BENIGN, "GET; DROP { rule }")
    compiled = yara_x.compile(rules.yara(made))
    streams = [*(raw(attack(number)) for number in range(8)), *BENIGN.values(), b"", SLED, b"x" * 3000 + b"\0\0" + SLED]
    for data in streams:
        assert bool(compiled.scan(data).matching_rules) == made.matches(data)


def read_suricata(rule: str) -> Signature:
    """Read a rule as Suricata would: https://docs.suricata.io/en/latest/rules/payload-keywords.html."""
    head, body = re.fullmatch(r"alert (tcp|udp any|tcp any .*?|udp .*?)? ?(.*?)\((.*)\)", rule).groups()[1:]  # type: ignore[union-attr]
    assert head
    options = [option.strip() for option in body.split(";") if option.strip()]
    contents, begin, depth = [], 0, 0
    for option in options:
        key, _, value = option.partition(":")
        if key == "content":
            contents.append(bytes.fromhex(re.fullmatch(r'"\|([0-9a-f ]+)\|"', value)[1]))  # type: ignore[index]
        elif key == "offset":
            begin = int(value)
        elif key == "depth":
            depth = int(value)
        elif key == "distance":
            assert (len(contents) > 1, value) == (True, "0")
        else:
            assert key in ("msg", "flow", "classtype", "metadata", "sid", "rev"), key
    from eudaemon.evidence.signature import Token

    end = begin + depth if depth else 0
    return Signature("", tuple(map(Token, contents)), begin, end, "tcp", 0, True, ())


def test_the_suricata_rule_says_the_same() -> None:
    made = make([attack(1), attack(2)], BENIGN, 'name"; drop')
    rule = rules.suricata(made)
    assert rule.startswith('alert tcp any any -> any 80 (msg:"name__ drop"; flow:established,to_server; content:"|')
    assert re.search(r"; sid:1\d{6}; rev:1;\)$", rule)
    again = read_suricata(rule)
    assert (again.tokens, again.begin, again.end) == (made.tokens, made.begin, made.end)


def test_a_client_is_attacked_by_its_server() -> None:
    made = make([attack(n, local="10.0.0.9:51324", peer="192.0.2.7:8080") for n in (1, 2)], NOTHING, "x")
    assert (made.port, made.to_server) == (8080, False)
    assert "alert tcp any 8080 -> any any" in rules.suricata(made)
    assert "flow:established,to_client" in rules.suricata(made)


def test_datagrams_have_no_place_in_a_stream() -> None:
    made = make([attack(n, transport="udp", local="10.0.0.1:53") for n in (1, 2)], NOTHING, "x")
    assert (made.transport, made.end) == ("udp", 0)
    rule = rules.suricata(made)
    assert rule.startswith("alert udp any any -> any 53 (msg:")
    other = rules.suricata(make([attack(1), attack(2)], NOTHING, "x"))
    assert re.findall(r"sid:\d+", rule) != re.findall(r"sid:\d+", other)  # Suricata takes each number once


def test_a_place_that_is_not_known_is_not_said() -> None:
    def later(number: int) -> Evidence:
        one = attack(number)
        return capture(raw(one), one.report.culprits[0].data, number=number, input_at=70_000)

    assert make([later(1), later(2)], NOTHING, "x").end == 0
    for filling, known in ((PACKET_BYTES - len(SLED) - 9, True), (PACKET_BYTES, False)):
        far = [capture(bytes([n]) * filling + b"%08d" % n + SLED, SLED, number=n) for n in (1, 2)]
        assert bool(make(far, NOTHING, "x").end) is known


def test_benign_input_refuses_it() -> None:
    common = [capture(BENIGN[name], b"HTTP/1.1\r\nHost: 127.0.0.1", number=n)
              for n, name in enumerate(name for name in BENIGN if name.startswith("curl -s http"))]  # fmt: skip
    with pytest.raises(RefusedSignature, match="benign input would match it, too: curl"):
        make(common, BENIGN, "x")
    with pytest.raises(RefusedSignature, match="mine"):
        make([attack(1), attack(2)], {"mine": raw(attack(7))}, "x")


@pytest.mark.parametrize(
    ("captures", "says"),
    [
        ([], "0 captures"),
        ([attack(1)] * (CAPTURES_MAX + 1), "65 captures, of 1 to 64"),
        ([capture(b"A" * 200, b"AAAAAAAA", size=100)], "only 1 different bytes"),
        ([capture(b"\1\2\3\4\5\6\7\x08", b"\1\2\3\4\5\6\7\x08"), capture(b"\x08\7\6\5\4\3\2\1", b"\x08\7\6\5\4\3\2\1")],
         "nothing is left"),
        ([capture(b"..\1\2\3\4\5\6\7__", SEVEN), capture(b"--\1\2\3\4\5\6\7++", SEVEN)], "only 7 bytes"),
        ([Evidence(dataclasses.replace(evidence().report, culprits=()), {})], "does not say whose bytes"),
        ([Evidence(evidence().report, {})], "is not kept any more"),
    ],
)  # fmt: skip
def test_it_is_said_why_there_is_none(captures: list[Evidence], says: str) -> None:
    with pytest.raises(RefusedSignature, match=says):
        make(captures, NOTHING, "x")


def test_large_captures_end_in_time() -> None:
    """What a peer may make of it at worst: as much as is kept, all alike."""
    many = [capture(b"AB" * 32768, b"BABABABA", at=1, size=65535, number=n) for n in range(CAPTURES_MAX)]
    with pytest.raises(RefusedSignature, match="only 2 different bytes"):
        make(many, NOTHING, "x")


def test_signature_as_one_types_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "alerts", count_max=9, bytes_max=1 << 30)
    for number in (1, 2):
        store.keep(attack(number))

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "eudaemon", "alert", "signature", "--data", str(tmp_path), *words]
        return subprocess.run(command, capture_output=True, text=True)

    both = run("2026-001", "last")
    assert both.returncode == 0, both.stderr
    assert "from 2 captures; none of" in both.stdout
    assert 'msg:"eudaemon name' in both.stdout
    yara_x.compile(both.stdout[both.stdout.index("// from") :])
    assert run("2026-001", "2026-002", "--suricata").stdout.splitlines()[1].startswith("alert tcp")
    assert "try it on another" in run("2026-001", "--yara").stdout
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "stream").write_bytes(raw(attack(9)))
    refused = run("2026-001", "2026-002", "--benign", str(tmp_path / "mine"))
    assert refused.returncode == 3
    assert f"benign input would match it, too: {tmp_path}/mine/stream" in refused.stderr
    assert run("2026-001", "--benign", str(tmp_path / "nothing")).returncode == 3


def test_what_real_clients_say_is_in_the_corpus_and_matches_no_signature() -> None:
    """The clients are run anew: what they say now is no attack either."""
    recorder = runpy.run_path(str(ROOT / "packaging" / "make_benign.py"))
    made = [make([attack(1), attack(2)], BENIGN, "x"), make([attack(5)], BENIGN, "x")]
    heard = 0
    for command, greeting, answers in recorder["CLIENTS"]:
        if shutil.which(command[0]) is None or command[0] not in ("curl", "wget", "redis-cli"):
            continue
        said = recorder["record"](command, greeting, answers)
        assert said, command
        assert not any(one.matches(said) for one in made)
        heard += 1
    if not heard:
        pytest.skip("needs curl, wget or redis-cli")
    assert len(BENIGN) >= 15
    assert all(BENIGN.values())
