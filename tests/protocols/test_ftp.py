"""FTP: the dialogue, transfers of every size either way, what a client cannot make it do, and its limits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from eudaemon.events import Endpoint
from eudaemon.events.catalogue import ExploitRecognised, FileRequested, LoginTried
from eudaemon.protocols._base import CallSide, Claim
from eudaemon.protocols.ftp import Ftp, products, room, transfer
from eudaemon.testing.script import SIDE_PORT, Table, visit
from eudaemon.wire import Purse
from eudaemon.world.host import Host
from eudaemon.world.memory import Memory
from eudaemon.world.seed import Seed
from payload.servers import SIZES, content

PASV = b"227 Entering Passive Mode (192,0,2,1,%d,%d).\r\n" % divmod(SIDE_PORT, 256)
DONE = b"226 Transfer complete.\r\n"


def host_with(product: products.Product) -> Host:
    hosts = (Host.from_seed(Seed(b"ftp %d" % n)) for n in range(100))
    return next(host for host in hosts if products.Server(host, "192.0.2.1").product is product)


VSFTPD, PROFTPD = host_with(products._VSFTPD), host_with(products._PROFTPD)


def talk(host: Host = VSFTPD, *, bytes_max: int = 32 << 20, logged_in: bool = True) -> Table:
    table = Table(Ftp(visit(host=host, port=21, can_tls=True, purse=Purse(bytes_max)))).open()
    if logged_in:
        table.say(b"USER anonymous\r\nPASS mozilla@example.com\r\n")
    table.sent = b""
    return table


@pytest.mark.parametrize("split", [0, 1])
def test_logins(split: int) -> None:
    table = talk(logged_in=False)
    said = table.say(
        b"PWD\r\nPASS x\r\nUSER root\r\nPASS never\r\nPASS never\r\nUSER root\r\nPASS root\r\nPWD\r\nQUIT\r\n", split
    )
    assert said.split(b"\r\n") == [
        b"530 Please login with USER and PASS.", b"503 Login with USER first.", b"331 Please specify the password.",
        b"530 Login incorrect.", b"503 Login with USER first.", b"331 Please specify the password.",
        b"230 Login successful.", b'257 "/" is the current directory', b"221 Goodbye.", b"",
    ]  # fmt: skip
    tried = [fact for fact in table.facts if isinstance(fact, LoginTried)]
    assert tried == [LoginTried("root", "never", accepted=False), LoginTried("root", "root", accepted=True)]
    assert table.over


@pytest.mark.parametrize("product", [products._VSFTPD, products._PROFTPD, products._PURE, products._BUSYBOX])
def test_every_product_has_its_words(product: products.Product) -> None:
    table = Table(Ftp(visit(host=host_with(product)))).open()
    table.say(b"USER a\r\nPASS b\r\nPWD\r\nUSER ftp\r\nPASS b\r\nFOO\r\nSYST\r\nFEAT\r\nHELP\r\nSTAT\r\nQUIT\r\n")
    assert b"{" not in table.sent
    assert table.over


@pytest.mark.parametrize("size", SIZES)
def test_a_file_of_any_size_goes_both_ways_byte_for_byte(size: int) -> None:
    table = talk()
    assert table.say(b"TYPE I\r\nPASV\r\nSTOR x.bin\r\n") == b"200 TYPE OK.\r\n" + PASV
    table.join_side()
    assert table.sent.endswith(b"150 Ok to send data.\r\n")
    table.say_side(content(size), split=65_521)
    table.end_side()
    assert table.sent.endswith(DONE)
    assert [(keep.data, keep.origin, keep.name, keep.partial) for keep in table.kept] == [
        (content(size), "upload", "/x.bin", False)
    ]
    assert table.say(b"SIZE x.bin\r\n") == b"213 %d\r\n" % size
    assert table.say(b"EPSV\r\n") == b"229 Entering Extended Passive Mode (|||%d|).\r\n" % SIDE_PORT
    table.say(b"RETR x.bin\r\n")
    table.join_side()
    assert table.side_sent == content(size)
    assert table.sent.endswith(DONE)
    assert FileRequested("read", "/x.bin") in table.facts


def test_an_upload_that_breaks_off_is_kept_as_a_part() -> None:
    for how in ("reset", "end", "abort"):
        table = talk()
        table.say(b"PASV\r\nSTOR x\r\n")
        table.join_side()
        table.say_side(b"half")
        if how == "reset":
            table.end_side(clean=False)
            assert table.sent.endswith(b"426 Failure reading network stream.\r\n")
        elif how == "abort":
            assert table.say(b"\xff\xf4\xff\xf2ABOR\r\nNOOP\r\n").endswith(b"226 ABOR successful.\r\n200 NOOP OK.\r\n")
        table.end()
        assert [(keep.data, keep.partial) for keep in table.kept] == [(b"half", True)]


def test_appending_going_on_and_names_of_the_servers_choice() -> None:
    table = talk()
    for command, data in ((b"STOR x", b"one"), (b"APPE x", b"two"), (b"REST 1\r\nSTOR x", b"NE"), (b"STOU", b"other")):
        table.say(b"PASV\r\n" + command + b"\r\n")
        table.join_side()
        table.say_side(data)
        table.end_side()
    assert [keep.data for keep in table.kept] == [b"one", b"onetwo", b"oNEtwo", b"other"]
    assert table.kept[-1].name.startswith("/ftp.")
    table.say(b"PASV\r\nREST 2\r\nRETR x\r\n")
    table.join_side()
    assert table.side_sent == b"Etwo"


def test_whoever_sends_before_being_asked_is_heard() -> None:
    table = talk()
    table.say(b"PASV\r\n")
    table.join_side()
    table.say_side(b"early")
    table.end_side()
    table.say(b"STOR x\r\n")
    assert table.sent.endswith(b"150 Ok to send data.\r\n" + DONE)
    assert [keep.data for keep in table.kept] == [b"early"]
    table.say(b"PASV\r\n")
    table.join_side()
    table.say_side(b"x" * transfer.EARLY_BYTES_MAX)
    assert not table.fault
    table.say_side(b"x")
    assert "before it says" in table.fault


def test_commands_wait_for_the_end_of_a_transfer() -> None:
    table = talk()
    table.say(b"PASV\r\nSTOR x\r\nSIZE x\r\n")
    table.join_side()
    table.say_side(b"12345")
    assert b"213" not in table.sent
    table.end_side()
    assert table.sent.endswith(DONE + b"213 5\r\n")
    table.say(b"PASV\r\nSTOR x\r\n")
    table.say(b"N" * room.WAITING_BYTES_MAX)
    assert not table.fault
    table.say(b"N")
    assert "during a transfer" in table.fault


def test_directories() -> None:
    table = talk()
    said = table.say(
        b"MKD up\r\nCWD up\r\nMKD a\r\nRMD a\r\nRMD a\r\nCWD /bin\r\nCDUP\r\nCWD nowhere\r\nRNFR up\r\nRNTO down\r\n"
        b"RNTO b\r\n"
        b"DELE down\r\nDELE /bin/busybox\r\nSIZE /bin/busybox\r\nMDTM /etc/passwd\r\nMLST /etc/passwd\r\n"
    ).split(b"\r\n")
    assert [line[:3] for line in said] == [
        b"257", b"250", b"257", b"250", b"550", b"250", b"250", b"550", b"350", b"250", b"503", b"550", b"250", b"550",
        b"213", b"250", b" ty", b"250", b"",
    ]  # fmt: skip
    for command in (b"LIST -la /etc", b"NLST /etc", b"MLSD /etc"):
        table.side_sent = b""
        table.say(b"PASV\r\n" + command + b"\r\n")
        table.join_side()
        assert b"passwd\r\n" in table.side_sent
    assert table.say(b"STAT /etc/passwd\r\n").startswith(b"213-Status follows:\r\n-rw")
    assert table.say(b"PASV\r\nLIST /nowhere\r\n") == PASV + b"550 No such file or directory.\r\n"
    assert table.say(b"LIST\r\n" * 1) == b""  # the side connection of before still serves
    table.join_side()
    assert table.sent.endswith(DONE)
    assert table.say(b"LIST\r\n") == b"425 Use PORT or PASV first.\r\n"


def test_active_mode_goes_to_the_client_alone() -> None:
    table = talk()
    assert table.say(b"PORT 198,51,100,7,195,80\r\n").startswith(b"200")
    assert table.side is None  # until there is something to transfer
    table.say(b"LIST\r\n")
    assert table.side == CallSide(195 * 256 + 80)
    table.join_side()
    assert table.sent.endswith(DONE)
    assert table.say(b"EPRT |1|198.51.100.7|5000|\r\nSTOR x\r\n").startswith(b"200")
    assert table.side == CallSide(5000)
    table.end_side(clean=False)
    assert table.sent.endswith(b"425 Failed to establish connection.\r\n")
    for bad in (b"PORT 203,0,113,9,195,80", b"EPRT |1|203.0.113.9|5000|", b"PORT 198,51,100,7,3,255",
                b"EPRT |2|2001:db8::1|5000|", b"EPRT |1|198.51.100.7|22|", b"PORT 198,51,100,7,999,1"):  # fmt: skip
        assert table.say(bad + b"\r\n").startswith(b"500 Illegal"), bad
    for bad in (b"PORT 1,2,3", b"EPRT |1|x|2|", b"PORT"):
        assert table.say(bad + b"\r\n").startswith(b"501"), bad
    found = [fact.name for fact in table.facts if isinstance(fact, ExploitRecognised)]
    assert found == ["ftp-bounce"] * 3


def test_tls_for_both_connections() -> None:
    table = talk(logged_in=False)
    assert table.say(b"PBSZ 0\r\nAUTH KRB\r\nAUTH TLS\r\nUSER injected\r\n") == (
        b"503 Bad sequence of commands.\r\n504 Unknown AUTH type.\r\n234 Proceed with negotiation.\r\n"
    )
    assert table.secured
    table.say(b"USER ftp\r\nPASS a\r\nPBSZ 0\r\nPROT P\r\nPASV\r\n")
    assert table.sent.endswith(b"200 PROT now P.\r\n" + PASV)
    assert table.side is not None
    assert table.side.tls
    assert table.say(b"PROT S\r\nAUTH TLS\r\n") == b"536 PROT not supported.\r\n504 Unknown AUTH type.\r\n"


def test_what_proftpd_lets_everybody_copy() -> None:
    table = talk(PROFTPD, logged_in=False)
    assert table.say(b"SITE CPFR /etc/passwd\r\nSITE CPTO /tmp/x\r\n").split(b"\r\n")[1] == b"250 Copy successful"
    assert [fact.reference for fact in table.facts if isinstance(fact, ExploitRecognised)] == ["CVE-2015-3306"] * 2
    assert talk(VSFTPD, logged_in=False).say(b"SITE CPFR /etc/passwd\r\n").startswith(b"530")
    assert talk().say(b"SITE CHMOD 755 /etc/passwd\r\nSITE FOO\r\n").startswith(b"200")
    table = talk(logged_in=False)
    table.say(b"USER a:)\r\n")
    assert [fact.reference for fact in table.facts if isinstance(fact, ExploitRecognised)] == ["CVE-2011-2523"]


def test_limits() -> None:
    table = talk(logged_in=False)
    table.say(b"USER a\r\nPASS b\r\n" * room.LOGINS_MAX)
    assert not table.fault
    table.say(b"USER a\r\nPASS b\r\n")
    assert "logins" in table.fault
    table = talk(bytes_max=10_000)
    table.say(b"PASV\r\nSTOR x\r\n")
    table.join_side()
    table.say_side(b"x" * 8000)
    table.say_side(b"x" * 8000)
    assert table.sent.endswith(b"452 Insufficient storage space.\r\n")
    assert [(len(keep.data), keep.partial) for keep in table.kept] == [(8000, True)]


def test_claims() -> None:
    assert Ftp.claim(b"AUTH TLS\r\n") is Claim.YES
    assert Ftp.claim(b"USER a") is Ftp.claim(b"US") is Claim.UNSURE
    assert Ftp.claim(b"GET / HTTP/1.1") is Claim.NO


def test_the_next_connection_finds_what_one_left() -> None:
    """Uploaded, renamed, and a folder made: for the same address, and not for others."""
    memory = Memory()

    def connected(**more: Any) -> Table:
        given = replace(visit(host=VSFTPD, port=21, memory=memory), **more)
        table = Table(Ftp(given)).open()
        table.say(b"USER anonymous\r\nPASS x\r\n")
        return table

    first = connected()
    first.say(b"MKD /tmp/d\r\nPASV\r\nSTOR /tmp/d/a\r\n")
    first.join_side()
    first.say_side(b"abcd")
    first.end_side()
    second = connected()  # while the first is still there
    assert b"213 4\r\n" in second.say(b"SIZE /tmp/d/a\r\n")
    second.say(b"RNFR /tmp/d/a\r\nRNTO /tmp/b\r\n")
    third = connected()
    assert third.say(b"SIZE /tmp/d/a\r\n").startswith(b"550")
    assert third.say(b"SIZE /tmp/b\r\n") == b"213 4\r\n"
    other = connected(attacker=Endpoint("198.51.100.8", 1))
    assert other.say(b"SIZE /tmp/b\r\n").startswith(b"550")


def test_what_broke_off_is_there_as_far_as_it_came() -> None:
    memory = Memory()
    first = Table(Ftp(visit(host=VSFTPD, port=21, memory=memory))).open()
    first.say(b"USER anonymous\r\nPASS x\r\nPASV\r\nSTOR /tmp/a\r\n")
    first.join_side()
    first.say_side(b"abc")
    first.end()
    second = Table(Ftp(visit(host=VSFTPD, port=21, memory=memory))).open()
    assert second.say(b"USER anonymous\r\nPASS x\r\nSIZE /tmp/a\r\n").endswith(b"213 3\r\n")
