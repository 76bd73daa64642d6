"""TLS without sockets, our server's against our client's: a whole conversation, in any pieces."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from eudaemon.payload.fetch.tls import unjudging
from eudaemon.sensor.certificate import kept
from eudaemon.wire import PeerError
from eudaemon.wire.tls import PIECE_BYTES, Layer
from eudaemon.world.seed import Seed


@pytest.fixture
def ends(tmp_path: Path) -> tuple[Layer, Layer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(kept(tmp_path / "c.pem", Seed(b"wire"), "wire"))
    return Layer(unjudging()), Layer(context, server_side=True)


def carry(data: bytes, to: Layer, step: int) -> tuple[bytes, bytes]:
    meant, answer = b"", b""
    for at in range(0, len(data), step):
        plain, more = to.received(data[at : at + step])
        meant, answer = meant + plain, answer + more
    return meant, answer


@pytest.mark.parametrize("step", [1, 100, 100_000])
def test_what_one_says_is_what_the_other_hears(step: int, ends: tuple[Layer, Layer]) -> None:
    client, server = ends
    meant, said = client.received(b"")
    at, other = server, client
    while said:
        meant, said = carry(said, at, step)
        assert meant == b""
        at, other = other, at
    assert client.is_accepted
    assert server.is_accepted
    assert client.version == server.version == "TLSv1.3"
    assert client.cipher == server.cipher != ""
    assert client.certificate
    assert server.certificate == b""
    long = bytes(range(256)) * 300
    assert carry(client.wrap(long), server, step) == (long, b"")
    assert carry(server.wrap(long) + server.wrap(b"!"), client, step) == (long + b"!", b"")
    assert not client.is_over
    assert carry(server.wrap(b"last") + server.closing(), client, step) == (b"last", b"")
    assert client.is_over
    assert not server.is_over


def test_what_is_long_goes_through_openssl_in_pieces(ends: tuple[Layer, Layer]) -> None:
    """Whose buffers keep the size of the most that was ever in them, for as long as a session is held."""
    client, server = ends
    said = client.received(b"")[1]
    for at in (server, client, server):
        said = at.received(said)[1]
    wrapped, sizes = server.wrap(bytes(10 * PIECE_BYTES + 1)), []
    while wrapped:
        size = int.from_bytes(wrapped[3:5], "big")  # RFC 8446 section 5.1
        sizes.append(size)
        wrapped = wrapped[5 + size :]
    overhead = sizes[0] - PIECE_BYTES
    assert 0 < overhead < 64
    assert sizes == [PIECE_BYTES + overhead] * 10 + [1 + overhead]
    assert server.wrap(b"") == b""


@pytest.mark.parametrize("number", [0, 1])
def test_rubbish_is_the_peer_s_fault(number: int, ends: tuple[Layer, Layer]) -> None:
    ends[0].received(b"")
    with pytest.raises(PeerError, match=r"^TLS handshake: [a-z ]+$"):
        ends[number].received(b"HTTP/1.1 400 Bad Request\r\n\r\n")
