"""Real mail clients at a whole sensor: swaks, curl, and Python's own, plain, in TLS and with STARTTLS."""

from __future__ import annotations

import asyncio
import hashlib
import imaplib
import poplib
import smtplib
from pathlib import Path
from typing import Any

import pytest

from eudaemon.events.catalogue import ArtefactKept, LoginTried, MailReceived, TlsAccepted
from payload.servers import content, tool
from sensor.harness import events, running
from sensor.test_tls import lenient, run


def facts_of(home: Path, kind: str) -> list[object]:
    assert not events(home, "sensor.faulted", "peer.faulted")
    return [event.fact for event in events(home, kind)]


@pytest.mark.parametrize("mode", ["-tls", "-tlsc", "plain"])
async def test_swaks(mode: str, tmp_path: Path) -> None:
    swaks = tool("swaks", "swaks")
    async with running(tmp_path, "smtp", tls_grace_ms=1000 if mode == "-tlsc" else 30) as net:
        code, out = await run(
            swaks, "--server", f"127.0.0.1:{net.port}", "--from", "a@example.com", "--to", "b@example.net", "--header",
            "Subject: relay test", "--auth", "LOGIN,PLAIN", "--auth-user", "root", "--auth-password", "root",
            *([mode] if mode != "plain" else []),
        )  # fmt: skip
    assert code == 0, out.decode()
    (mail,) = facts_of(tmp_path, "mail.received")
    assert isinstance(mail, MailReceived)
    assert (mail.sender, mail.recipients, mail.relayed) == ("<a@example.com>", ("<b@example.net>",), True)
    assert mail.subject == "relay test"
    assert facts_of(tmp_path, "login.tried") == [LoginTried("root", "root", accepted=True)]
    assert len(facts_of(tmp_path, "tls.accepted")) == (mode != "plain")


def send(port: int, whole: bytes) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
        client.starttls(context=lenient())
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login("admin", "never guessed")  # CRAM-MD5, which it likes best
        client.sendmail("a@example.com", ["b@example.net"] * 3, whole)


async def test_a_program_sends(tmp_path: Path) -> None:
    whole = b"Subject: binary\r\n\r\n" + content(1_500_000).replace(b"\r", b"").replace(b"\n", b"") + b"\r\n.\r\n..\r\n"
    async with running(tmp_path, "smtp") as net:
        await asyncio.get_running_loop().run_in_executor(None, send, net.port, whole)
    (kept,) = facts_of(tmp_path, "artefact.kept")
    assert isinstance(kept, ArtefactKept)
    assert (kept.size, kept.sha256) == (len(whole), hashlib.sha256(whole).hexdigest())
    tried = facts_of(tmp_path, "login.tried")[0]
    assert isinstance(tried, LoginTried)
    assert (tried.user, tried.password[:10]) == ("admin", "$cram_md5$")


def read(pop_port: int, imap_port: int, tls: bool) -> None:
    pop: poplib.POP3
    imap: imaplib.IMAP4
    if tls:
        pop = poplib.POP3_SSL("127.0.0.1", pop_port, context=lenient(), timeout=10)
        imap = imaplib.IMAP4_SSL("127.0.0.1", imap_port, ssl_context=lenient(), timeout=10)
    else:
        pop = poplib.POP3("127.0.0.1", pop_port, timeout=10)
        pop.stls(context=lenient())
        imap = imaplib.IMAP4("127.0.0.1", imap_port, timeout=10)
        imap.starttls(ssl_context=lenient())
    with pytest.raises(poplib.error_proto):
        pop.pass_("too early")
    pop.user("root")
    pop.pass_("root")
    count, size = pop.stat()
    assert len(pop.list()[1]) == len(pop.uidl()[1]) == count  # type: ignore[arg-type]
    lines = [pop.retr(number + 1)[1] for number in range(count)]
    assert sum(len(b"\r\n".join(one)) + 2 for one in lines) == size
    pop.quit()
    with pytest.raises(imaplib.IMAP4.error):
        imap.login("root", "wrong")
    imap.login("root", "root")
    assert imap.list()[0] == "OK"
    assert int(imap.select("INBOX")[1][0]) == count  # type: ignore[arg-type]
    for number in range(1, count + 1):
        _, got = imap.fetch(str(number), "(UID FLAGS ENVELOPE BODYSTRUCTURE BODY.PEEK[])")
        assert isinstance(got[0], tuple)
        assert got[0][1].rstrip(b"\r\n") == b"\r\n".join(lines[number - 1]).rstrip(b"\r\n")
    assert imap.append("INBOX", "", "", content(70_000))[0] == "OK"
    imap.logout()


@pytest.mark.parametrize("tls", [True, False])
async def test_programs_read_mail(tls: bool, tmp_path: Path) -> None:
    (tmp_path / "pop3").mkdir()
    (tmp_path / "imap").mkdir()
    wait: dict[str, Any] = {"tls_grace_ms": 1000 if tls else 30}
    async with running(tmp_path / "pop3", "pop3", **wait) as pop, running(tmp_path / "imap", "imap", **wait) as imap:
        await asyncio.get_running_loop().run_in_executor(None, read, pop.port, imap.port, tls)
    for room in ("pop3", "imap"):
        assert isinstance(facts_of(tmp_path / room, "tls.accepted")[0], TlsAccepted)
        assert facts_of(tmp_path / room, "login.tried")[-1] == LoginTried("root", "root", accepted=True)
    (kept,) = facts_of(tmp_path / "imap", "artefact.kept")
    assert isinstance(kept, ArtefactKept)
    sent = imaplib.MapCRLF.sub(imaplib.CRLF, content(70_000))  # as imaplib does with the ends of lines
    assert kept.sha256 == hashlib.sha256(sent).hexdigest()


@pytest.mark.parametrize("room", ["pop3", "imap"])
async def test_curl_reads_mail(room: str, tmp_path: Path) -> None:
    async with running(tmp_path, room) as net:
        code, out = await run(
            tool("curl", "curl"), "-sk", "--ssl-reqd", "--max-time", "10", f"{room}://root:root@127.0.0.1:{net.port}"
        )
    assert code == 0, out
    assert facts_of(tmp_path, "login.tried") == [LoginTried("root", "root", accepted=True)]
    assert len(facts_of(tmp_path, "tls.accepted")) == 1
