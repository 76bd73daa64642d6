"""How a client gets to where it waits in each room: logged in where there is a login, answered where there is none.

    with enter("mysql", ("127.0.0.1", 3306)) as sock: ...

The words are those of the rooms' tests. `ENTRIES` has a row for each room that is measured.
"""

from __future__ import annotations

import socket
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path.insert(0, str(TESTS))

import smb_load  # noqa: E402
import ssh_load  # noqa: E402
from protocols import mongo_client, mssql_client, mysql_client, postgres_client, rdp_client, smb_client  # noqa: E402
from protocols.adb_client import CONNECT, frame  # noqa: E402
from telnet_load import WORDS  # noqa: E402

ANSWER_S_MAX = 30.0
ANYWHERE = ("", 0)
CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
CONTEXT.check_hostname, CONTEXT.verify_mode = False, ssl.CERT_NONE
GET = b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n"

Address: TypeAlias = "tuple[str, int]"
Entry: TypeAlias = "Callable[[Address, Address], socket.socket]"  # to where, and from where


class ClosedError(Exception):
    """The sensor hung up, or let nobody in."""


class Peer:
    """A client's end of a connection."""

    def __init__(self, address: Address, source: Address) -> None:
        self.socket = socket.create_connection(address, ANSWER_S_MAX, source)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def hear(self, mark: bytes = b"") -> bytes:
        """Return what comes until `mark` is in it, or what comes first. Raises `ClosedError`."""
        heard = b""
        while not heard or mark not in heard:
            piece = self.socket.recv(65_536)
            if not piece:
                raise ClosedError(f"it hung up after {heard[-80:]!r} while {mark!r} was waited for")
            heard += piece
        return heard

    def ask(self, said: bytes, mark: bytes = b"") -> bytes:
        """Say something and return the answer."""
        self.socket.sendall(said)
        return self.hear(mark)


def asks(*steps: tuple[bytes, bytes] | bytes, greeted: bytes | None = None) -> Entry:
    """Return an entry that asks one thing after the other, each with what its answer has in it."""

    def entry(address: Address, source: Address) -> socket.socket:
        peer = Peer(address, source)
        if greeted is not None:
            peer.hear(greeted)
        for step in steps:
            peer.ask(*(step if isinstance(step, tuple) else (step,)))
        return peer.socket

    return entry


def says(said: bytes) -> Entry:
    """Return an entry that is answered nothing."""

    def entry(address: Address, source: Address) -> socket.socket:
        peer = Peer(address, source)
        peer.socket.sendall(said)
        return peer.socket

    return entry


def driven(kind: Callable[[Address, dict[str, bytes], float, Address], ssh_load.Session | smb_load.Session],
           words: dict[str, bytes]) -> Entry:  # fmt: skip
    """Return an entry by a load program's session, up to where it is in."""

    def entry(address: Address, source: Address) -> socket.socket:
        session = kind(address, words, 0.0, source)
        session.socket.setblocking(True)
        session.socket.settimeout(ANSWER_S_MAX)
        while not session.is_in:
            if session.hear():
                raise ClosedError("a login failed")
        return session.socket

    return entry


def mysql(address: Address, source: Address) -> socket.socket:
    """Log in to MySQL, whose greeting has a salt."""
    peer = Peer(address, source)
    peer.ask(mysql_client.login(peer.hear(b"native_password\0")), b"\0\0\x02\0\0\0\x02\0\0\0")
    return peer.socket


def kubelet(address: Address, source: Address) -> socket.socket:
    """Ask for the pods, in TLS: a kubelet knows nothing else at its own port."""
    peer = Peer(address, source)
    peer.socket = CONTEXT.wrap_socket(peer.socket)
    peer.ask(GET.replace(b"/ ", b"/pods ", 1), b"HTTP/1.1 ")
    return peer.socket


def vnc(address: Address, source: Address) -> socket.socket:
    """Agree on a version, and choose what is offered first: there one waits for a challenge or for a screen."""
    peer = Peer(address, source)
    peer.hear(b"\n")
    peer.ask(peer.ask(b"RFB 003.008\n")[1:2])
    return peer.socket


ENTRIES: dict[str, Entry] = {
    "activemq": asks(greeted=b""),
    "adb": asks((CONNECT, b"CNXN"), (frame(b"OPEN", 1, 0, b"shell:\0"), b"OKAY")),
    "backdoor": says(b"PW"),
    "catchall": says(b"hello\r\n"),
    "dns": asks(b"\0\x1e\0\x06\x01\0\0\x01\0\0\0\0\0\0\x07version\x04bind\0\0\x10\0\x03"),
    "docker": asks((GET.replace(b"/ ", b"/version ", 1), b"ApiVersion")),
    "epmap": asks(smb_client.BIND_ALIVE),
    "ftp": asks((b"USER root\r\n", b"331"), (b"PASS root\r\n", b"230"), greeted=b"220"),
    "http": asks(GET),
    "imap": asks((b"1 LOGIN root root\r\n", b"1 OK"), (b"2 SELECT INBOX\r\n", b"2 OK"), greeted=b"* OK"),
    "jenkins": asks(GET),
    "kubelet": kubelet,
    "ldap": asks(b"\x30\x0c\2\1\1\x60\x07\2\1\3\4\0\x80\0"),
    "memcached": asks((b"version\r\n", b"VERSION")),
    "mongodb": asks(mongo_client.msg({"hello": 1})),
    "mqtt": asks(b"\x10\x10\0\x04MQTT\x04\x02\0\x1e\0\x04nmap", b"\x82\x06\0\x01\0\x01#\0"),
    "mssql": asks(mssql_client.packets(0x12, mssql_client.PRELOGIN), mssql_client.login()),
    "mysql": mysql,
    "pop3": asks((b"USER root\r\n", b"+OK"), (b"PASS root\r\n", b"+OK"), greeted=b"+OK"),
    "postgres": asks((postgres_client.started(), b"R"), (postgres_client.message(b"p", b"postgres\0"), b"Z\0\0\0\5")),
    "printer": asks(b"\x1b%-12345X@PJL INFO ID\r\n"),
    "rdp": asks(
        rdp_client.request(b"mstshash=a", None),
        rdp_client.connect("rdpdr"),
        rdp_client.ERECT + rdp_client.ATTACH,
        rdp_client.join(1003),
    ),
    "redis": asks(b"*1\r\n$4\r\nINFO\r\n"),
    "rtsp": asks((b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n", b"RTSP/1.0")),
    "sip": asks((b"OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/TCP a\r\nCSeq: 1 OPTIONS\r\n\r\n", b"SIP/2.0")),
    "smb": driven(smb_load.Session, smb_load.WORDS),
    "smtp": asks((b"EHLO a\r\n", b"250 "), greeted=b"220"),
    "ssh": driven(ssh_load.Session, WORDS),
    "telnet": asks((WORDS["user"] + b"\r\n", b"assword:"), (WORDS["password"] + b"\r\n", b"#"), greeted=b"ogin:"),
    "tr069": asks(GET),
    "upnp": asks((GET.replace(b"/ ", b"/picsdesc.xml ", 1), b"HTTP/1.")),
    "vnc": vnc,
    "yarn": asks(GET),
}


def enter(room: str, address: Address, source: Address = ANYWHERE) -> socket.socket:
    """Come in, and stay. Raises `ClosedError` or `OSError`."""
    return ENTRIES[room](address, source)
