"""Requests are read in any pieces; every limit and one past it; what could be smuggled is refused."""
# ruff: noqa: E501 -- a request is a line

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eudaemon.protocols._base import Claim
from eudaemon.protocols._http import BadRequestError, HttpLimits, Request, RequestReader, looks_like_http
from eudaemon.protocols.http import Http
from eudaemon.wire import Purse

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


def test_what_waits_behind_an_answer_is_held_to_its_limit() -> None:
    for past in (0, 1):
        reader = RequestReader(Purse(10_000), SMALL)
        reader.feed(b"a" * (SMALL.unread_bytes_max + past))
        if past:
            with pytest.raises(BadRequestError, match="unread"):
                reader.held_back()
        else:
            reader.held_back()


def test_an_absolute_target_has_a_path() -> None:
    for target, path, query in (
        (b"http://a/b?c=d", b"/b", b"c=d"), (b"http://a", b"/", b""), (b"/x?http://a/b", b"/x", b"http://a/b"),
        (b"a:443", b"a:443", b""),
    ):  # fmt: skip
        request = Request("GET", target, (1, 1), ())
        assert (request.path, request.query) == (path, query)
