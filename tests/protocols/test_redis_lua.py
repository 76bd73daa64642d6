"""Scripts in Redis: what they return, what they may call, what is wrong with them; a real Redis is the judge."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eudaemon.protocols.redis import Redis
from eudaemon.protocols.redis.lua import REPLY_VALUES_MAX, TABLE_MAX, TEXT_BYTES_MAX
from eudaemon.protocols.redis.lua_parser import DEPTH_MAX, TOKENS_MAX
from eudaemon.protocols.redis.scripting import SCRIPTS_MAX
from eudaemon.testing.script import Table, visit
from eudaemon.wire import Purse
from eudaemon.world.shell.limits import STEPS_MAX
from payload.servers import tool
from sensor.harness import free_port


def talk() -> Table:
    return Table(Redis(visit(port=6379, purse=Purse(32 << 20)))).open()


def request(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def run(script: str, *words: bytes, table: Table | None = None) -> bytes:
    return (table or talk()).say(request(b"EVAL", script.encode(), b"1", b"key", *(words or (b"a", b"b"))))


SCRIPTS = (
    "return 1", "return", "", "return nil", "return true", "return false", "return 3.99", "return -3.99", "return 'x'",
    "return KEYS[1]", "return ARGV[2]", "return ARGV[3]", "return {1, 2, nil, 4}", "return {1, {2, 'x'}, true, false}",
    "return {ok = 'fine'}", "return {err = 'ERR wrong'}", "return redis.status_reply('fine')", "return #ARGV",
    "return redis.error_reply('ERR wrong')", "return redis.call('set', KEYS[1], ARGV[1])", "return 0x10 + 1e2",
    "redis.call('set', KEYS[1], 'v') return redis.call('get', KEYS[1])", "return redis.call('get', 'nosuch')",
    "return redis.call('get', 'nosuch') == false", "redis.call('SET', 'n', 41) return redis.call('incr', 'n')",
    "return {redis.call('mset', 'a', 1, 'b', 2), redis.call('mget', 'a', 'b', 'c')}", "return redis.call('ping').ok",
    "return redis.call('echo', 'x' .. 1 .. 2.5)", "return redis.sha1hex('')", "return 'a' .. 1 .. 'b'", "return 10 / 4",
    "return tostring(10 / 4)", "return 2 ^ 3 ^ 2", "return -2 ^ 2", "return 7 % -3", "return 1 .. ''", "return not nil",
    "return 1 == 1 and 'yes' or 'no'", "return nil and 1", "return false or 'x'", "return '10' + 5", "return 'a' < 'b'",
    "return 1 < 2 == true", "local a, b = 1 return b", "local a, b = 1, 2 a, b = b, a return {a, b}",
    "local s = 0 for i = 1, 10 do s = s + i end return s", "for i = 3, 1, -1 do if i == 2 then return i end end",
    "local s = '' for i, v in ipairs(ARGV) do s = s .. i .. v end return s",
    "local n = 0 for k, v in pairs({a = 1, b = 2}) do n = n + v end return n", "while true do break end return 5",
    "local i = 0 repeat i = i + 1 until i == 3 return i", "do local x = 1 end return 2", "return type({})",
    "if KEYS[2] then return 1 elseif ARGV[1] == 'a' then return 2 else return 3 end", "return tonumber('0x10')",
    "return {type(nil), type(1), type('x'), type(true), type(redis.call)}", "return tonumber('ff', 16)",
    "return tostring(nil) .. tostring(true) .. tostring(12)", "return string.sub('abcdef', 2, -2)",
    "return ('x'):rep(3)",
    "return string.upper('abc') .. ('ABC'):lower()", "return string.byte('A')", "return string.char(77, 90)",
    "return string.find('hello', 'll')", "return string.find('a.b', '.', 1, true)", "return #'abc'",
    "return math.floor(-1.5)",
    "return table.concat({1, 'b', 3}, ',')", "local t = {} table.insert(t, 'x') table.insert(t, 1, 'y') return t",
    "local t = {1, 2, 3} return {table.remove(t), #t, table.remove(t, 1), t[1]}", "return [[long\ntext]]",
    "return [==[a]]b]==]", "return 'a\\n\\65\\'b'", "-- a remark\nreturn 1 -- another",
    "--[[ a long\nremark ]] return 1",
    "local t = {a = {b = 7}} t.a.c = 8 return t.a.b + t['a'].c", "return redis.pcall('get') ~= nil",
    "return pairs ~= nil", "return (1 + 2) * 3", "return math.max(1, 9, 3)", "return unpack({5, 6})",
    "return redis.pcall('nosuch').err ~= nil", "return {1, 2, x = 3}", "return 2^53", "return 1e300",
    "local t = {} return t",
    "return redis.call('exists', KEYS[1], 'nosuch')", "return redis.call('type', KEYS[1])",
    "return redis.call('dbsize')",
)  # fmt: skip


async def test_a_real_redis_returns_the_same(tmp_path: Path) -> None:
    port = free_port()
    program = tool("redis-server", "redis-server")
    options = ("--port", str(port), "--bind", "127.0.0.1", "--dir", str(tmp_path), "--save", "")
    judge = await asyncio.create_subprocess_exec(program, *options, stdout=asyncio.subprocess.DEVNULL)
    try:
        async with asyncio.timeout(20):
            while True:
                try:
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                    break
                except ConnectionRefusedError:
                    await asyncio.sleep(0.02)
            table, wrong = talk(), []
            for script in SCRIPTS:
                writer.write(request(b"EVAL", script.encode(), b"1", b"key", b"a", b"b") + request(b"ECHO", b"END"))
                theirs = (await reader.readuntil(b"$3\r\nEND\r\n")).removesuffix(b"$3\r\nEND\r\n")
                ours = run(script, table=table)
                if ours != theirs:
                    wrong.append((script, ours, theirs))
            writer.close()
    finally:
        judge.terminate()
        await judge.wait()
    assert not wrong


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("this is no lua", "Error compiling script (new function): user_script:1: unexpected symbol near 'is'"),
        ("return 1\n)", "Error compiling script (new function): user_script:2: unexpected symbol near ')'"),
        ("local x = 1\nreturn y", "@enable_strict_lua:15: user_script:2: Script attempted to access unexisting global "
         "variable 'y'"),
        ("y = 1", "@enable_strict_lua:15: user_script:1: Script attempted to create global variable 'y'"),
        ("return nil .. 'x'", "@user_script:1: user_script:1: attempt to concatenate a nil value"),
        ("return 1 + {}", "attempt to perform arithmetic on a table value"),
        ("return #1", "attempt to get length of a number"),
        ("return (1).x", "attempt to index a number value"), ("local x return x()", "attempt to call a nil value"),
        ("return 1 < 'x'", "attempt to compare number with string"),
        ("error('mine')", "@user_script:1: user_script:1: mine"),
        ("redis.call('nosuch')", "@user_script:1: @user_script: 1: Unknown Redis command called from Lua script"),
        ("redis.call('get')", "Wrong number of args calling Redis command From Lua script"),
        ("redis.call('config', 'set', 'dir', '/')", "This Redis command is not allowed from scripts"),
        ("redis.call('slaveof', 'a', '1')", "not allowed from scripts"),
        ("redis.call({})", "must be strings or integers"),
        ("redis.call()", "Please specify at least one argument"),
        ("string.x = 1", "Attempt to modify a readonly table"),
        ("redis.call('set', 'k', 'x') redis.call('incr', 'k')", "@user_script:1: ERR value is not an integer"),
        ("local t = {} t[nil] = 1", "table index is nil"), ("return ('x'):rep(1e9)", "not enough memory"),
        ("assert(false, 'no')", "@user_script:1: no"), ("string.sub()", "bad argument #1 (string expected, got nil)"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_as_redis_5_does(script: str, said: str) -> None:
    answer = run(script).decode()
    assert said in answer
    assert answer.startswith("-ERR Error")
    if "running" in answer:
        assert f"(call to f_{hashlib.sha1(script.encode()).hexdigest()}): @" in answer


def test_what_is_not_known_here_gets_nothing() -> None:
    for script in (
        "local function f() end", "return pcall(error)", "return cjson.encode({})", "return string.format('x')",
        "return string.find('x', '%a')", "return tostring({})", "return setmetatable({}, {})",
    ):  # fmt: skip
        assert run(script) == b"$-1\r\n", script


def test_scripts_are_known_by_their_digest() -> None:
    table = talk()
    name = hashlib.sha1(b"return KEYS[1]").hexdigest().encode()
    assert table.say(request(b"EVALSHA", name, b"1", b"k")) == b"-NOSCRIPT No matching script. Please use EVAL.\r\n"
    assert table.say(request(b"SCRIPT", b"LOAD", b"return KEYS[1]")) == b"$40\r\n" + name + b"\r\n"
    assert table.say(request(b"EVALSHA", name.upper(), b"1", b"k")) == b"$1\r\nk\r\n"
    assert table.say(request(b"SCRIPT", b"EXISTS", name, b"x")) == b"*2\r\n:1\r\n:0\r\n"
    assert table.say(request(b"SCRIPT", b"LOAD", b"return )")).startswith(b"-ERR Error compiling script")
    assert run("return 7", table=table) == b":7\r\n"
    assert table.say(request(b"EVALSHA", hashlib.sha1(b"return 7").hexdigest().encode(), b"0")) == b":7\r\n"
    assert table.say(request(b"SCRIPT", b"FLUSH")) == b"+OK\r\n"
    assert table.say(request(b"EVALSHA", name, b"0")).startswith(b"-NOSCRIPT")
    for number in range(SCRIPTS_MAX + 1):
        table.say(request(b"SCRIPT", b"LOAD", b"return %d" % number))
    last = hashlib.sha1(b"return %d" % SCRIPTS_MAX).hexdigest().encode()
    before = hashlib.sha1(b"return %d" % (SCRIPTS_MAX - 1)).hexdigest().encode()
    assert table.say(request(b"SCRIPT", b"EXISTS", last, before)) == b"*2\r\n:0\r\n:1\r\n"
    assert ("script", "script.lua", b"return KEYS[1]") in [(keep.origin, keep.name, keep.data) for keep in table.kept]


@pytest.mark.parametrize("past", [0, 1])
def test_limits(past: int) -> None:
    full = "return {" + "1," * (TABLE_MAX + past) + "}"
    assert run(full).startswith(b"-ERR Error running script" if past else b"*%d\r\n" % TABLE_MAX)
    assert (b"not enough memory" in run(f"return #(('x'):rep({TEXT_BYTES_MAX + past}))")) == bool(past)
    brackets = DEPTH_MAX if past else DEPTH_MAX // 3
    assert run("return " + "(" * brackets + "7" + ")" * brackets) == (b"$-1\r\n" if past else b":7\r\n")
    assert run("return 1" + "+1" * (DEPTH_MAX if past else 20)) == (b"$-1\r\n" if past else b":21\r\n")
    turns = STEPS_MAX if past else 1000
    assert run(f"for i = 1, {turns} do local x = i end return 1").startswith(b"-BUSY" if past else b":1")
    assert run("local x " * (TOKENS_MAX // 2 - 1 + past) + "return 1") == (b"$-1\r\n" if past else b":1\r\n")
    wide = f"local t = {{{'1,' * 140}}} local u = {{}} for i = 1, {140 + 9 * past} do u[i] = t end return u"
    assert 140 * 141 <= REPLY_VALUES_MAX < 141 * 149
    assert (b"reached lua stack limit" in run(wide)) == bool(past)
    deep = "local t = {} " + "t = {t} " * (7 + past) + "return t"
    assert (b"reached lua stack limit" in run(deep)) == bool(past)
    assert b"stack limit" in run("local t = {} t[1] = t t[2] = t return t")


WORDS = st.lists(st.sampled_from(
    b"return local if then else end for do while repeat until in ipairs pairs ( ) { } [ ] = == .. + - * / % ^ # < not "
    b"and or nil true x t t[1] KEYS[1] ARGV redis.call( redis.pcall( 'get' 'set' 'k' 1 2 1e308 -1 , ; string.rep( "
    b"string.sub( string.byte( string.char( table.insert( table.remove( table.concat( tonumber( unpack( math.max( "
    b"math.floor( break function error( [[a]] '\\n' : .".split()),
    max_size=14).map(b" ".join)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(scripts=st.lists(WORDS, max_size=4))
def test_whatever_is_put_together_is_no_fault_of_ours(scripts: list[bytes]) -> None:
    table = talk()
    for script in scripts:
        assert run("local x, t = 1, {} " + script.decode(), table=table)
    table.end()
    table.room.visit.purse.close()
