"""URLs as attackers write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eudaemon.payload.fetch.agents import request
from eudaemon.payload.url import URL_CHARS_MAX, Url, parse
from eudaemon.protocols.ipp import message as ipp
from eudaemon.world.seed import Seed


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://h/x?a=b#c", Url("http", "h", 80, "/x?a=b")),
        ("HTTP://H.Example:8080", Url("http", "h.example", 8080, "/")),
        (r"http:\/\/h\/x", Url("http", "h", 80, "/x")),
        (r"http:/\/h/x", Url("http", "h", 80, "/x")),
        (r"http:\\h\x", Url("http", "h", 80, "/x")),
        ("http://[2620:FE::1]:81/x", Url("http", "2620:fe::1", 81, "/x")),
        ("http://h?q", Url("http", "h", 80, "/?q")),
        ("ftp://u:p%40ss@h/x", Url("ftp", "h", 21, "/x", "u", "p@ss")),
        ("ftp://u@h:2121/x", Url("ftp", "h", 2121, "/x", "u")),
        ("tftp://h/a b\nc", Url("tftp", "h", 69, "/a%20b%0Ac")),
        ("http://h/ä", Url("http", "h", 80, "/%C3%A4")),
        ("nc://h:99", Url("nc", "h", 99, "/")),
        ("nc://h", Url("nc", "h", 0, "/")),
    ],
)
def test_reading(text: str, url: Url) -> None:
    assert parse(text) == url
    assert parse(str(url)) == url


@pytest.mark.parametrize(
    "text",
    ["", "x", "http", "http:", "http:/", "http://", "http:///x", "://h", "ht tp://h", "http://h:0/", "http://h:65536/",
     "http://h:x/", "http://h:٣/", "http://[::1/", "http://[]/", "http://[h]/", "http://a b/", "http://é/", "http://$h/",
     "http://" + "h" * 254 + "/", "http://h/" + "x" * URL_CHARS_MAX],
)  # fmt: skip
def test_what_no_client_could_ask_for(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse(text)


@pytest.mark.parametrize(
    ("reference", "url"),
    [("/y", "http://h:8/y"), ("y", "http://h:8/a/y"), ("?q", "http://h:8/a/b?q"), ("//o/y", "http://o/y"),
     ("https://o/y?u=http://z", "https://o/y?u=http://z"), ("", "http://h:8/a/"), (" /y ", "http://h:8/y"),
     ("y?u=http://z", "http://h:8/a/y?u=http://z")],
)  # fmt: skip
def test_references(reference: str, url: str) -> None:
    assert str(parse("http://h:8/a/b?c=/d").joined(reference)) == url


@given(st.text(max_size=60), st.sampled_from(["", "http://", "ftp://u:", "http://h/", "http://h:", "ftp://a@"]))
def test_reading_again_what_was_written_changes_nothing(text: str, start: str) -> None:
    try:
        url = parse(start + text)
    except ValueError:
        return
    assert parse(str(url)) == url
    # Nothing that could end a request line gets through, wherever it stood.
    for line in request("wget", url, Seed(b"x")).split(b"\r\n"):
        assert not set(line) & set(b"\r\n\0")
    assert request("wget", url, Seed(b"x")).count(b"\r\n") == 5 + bool(url.user)


def test_tools_introduce_themselves_as_themselves() -> None:
    url = parse("http://u:p@h:81/x")
    assert request("ftpget", url, Seed(b"x")) == (
        b"GET /x HTTP/1.1\r\nHost: h:81\r\nAuthorization: Basic dTpw\r\nUser-Agent: Wget\r\nConnection: close\r\n\r\n"
    )
    agents = {request("curl", url, Seed(bytes((n,)))).split(b"User-Agent: ")[1].split(b"\r\n")[0] for n in range(40)}
    assert len(agents) > 1
    assert all(agent.startswith(b"curl/") for agent in agents)
    assert request("curl", url, Seed(b"x")) == request("curl", url, Seed(b"x"))
    assert b"User-Agent: Java/" in request("class loading", url, Seed(b"x"))


def test_a_printer_is_asked_what_it_is() -> None:
    url = parse("http://198.51.100.7:12345/printers/x")
    head, _, body = request("cups-browsed", url, Seed(b"x")).partition(b"\r\n\r\n")
    assert head.startswith(b"POST /printers/x HTTP/1.1\r\nContent-Length: %d\r\n" % len(body))
    asked = ipp.read(body)
    assert (asked.operation, asked.text(b"printer-uri")) == (0x000B, b"ipp://198.51.100.7:12345/printers/x")
