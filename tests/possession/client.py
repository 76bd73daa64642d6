"""Clients that check every byte of every reply. They speak as victims do: `ready`, counts, WRONG …, SOUND.

python client.py http PORT [PATH]     GET /N (PATH: from a folder whose files are named so), keeping connections alive
python client.py redis PORT           SET, GET, INCR, LPUSH, pipelined; values of up to 100 KB
python client.py ftp PORT             one session: downloads and uploads of random bytes, listings
python client.py ssh PORT KEY         one interactive session that is answered, and transfers beside it
python client.py psql PORT DATABASE   one session of psql: arithmetic, rows, transactions
"""

from __future__ import annotations

import ftplib
import hashlib
import http.client
import io
import os
import random
import re
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

SIZES = (0, 1, 100, 1000, 4096, 16384, 100_000)
PATIENCE_S = 60.0
Round = Callable[[], None]


def content(n: int) -> bytes:
    """What `GET /n` answers: byte i is (31n + 7i + i/251) modulo 256."""
    return bytes((n * 31 + i * 7 + i // 251) & 255 for i in range(n))


CONTENTS = {n: content(n) for n in SIZES}


class WrongError(Exception):
    """A reply was not what it must be."""


def hold(what: str, got: object, want: object) -> None:
    """Compare, and say the difference shortly."""
    if got != want:
        raise WrongError(f"{what}: {str(got)[:80]!r}, not {str(want)[:80]!r}")


def http_client(port: int) -> Iterator[Round]:
    """Keep three connections alive; every sixteenth request is one of its own."""
    kept = [http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S) for _ in range(3)]
    dice = random.Random(port)
    turn = 0

    def once() -> None:
        nonlocal turn
        turn += 1
        n = dice.choice(SIZES)
        connection = kept[turn % 3]
        if turn % 16 == 0:
            connection.close()
        connection.request("GET", f"/{n}")
        answer = connection.getresponse()
        body = answer.read()
        hold(f"GET /{n}", (answer.status, len(body)), (200, n))
        hold(f"GET /{n}", hashlib.md5(body).hexdigest(), hashlib.md5(CONTENTS[n]).hexdigest())

    yield once
    for connection in kept:
        connection.close()


def redis_client(port: int) -> Iterator[Round]:
    """Speak RESP; count along."""
    stream = socket.create_connection(("127.0.0.1", port), PATIENCE_S).makefile("rwb")
    dice = random.Random(port)
    counter = 0

    def ask(*words: bytes) -> None:
        stream.write(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))

    def answer() -> bytes:
        line = stream.readline()
        if line[:1] != b"$":
            return line.rstrip(b"\r\n")
        return stream.read(int(line[1:]) + 2)[:-2]

    def once() -> None:
        nonlocal counter
        value, name = dice.randbytes(dice.choice(SIZES)), b"victim:%d" % dice.randrange(50)
        ask(b"SET", name, value)
        ask(b"GET", name)
        ask(b"INCR", b"victim:count")
        ask(b"LPUSH", b"victim:list", value[:100])
        ask(b"LPOP", b"victim:list")
        ask(b"STRLEN", name)
        stream.flush()
        counter += 1
        hold("SET", answer(), b"+OK")
        hold("GET", answer(), value)
        hold("INCR", answer(), b":%d" % counter)
        hold("LPUSH", answer(), b":1")
        hold("LPOP", answer(), value[:100])
        hold("STRLEN", answer(), b":%d" % len(value))

    ask(b"DEL", b"victim:count", b"victim:list")
    stream.flush()
    answer()
    yield once


def ftp_client(port: int) -> Iterator[Round]:
    """One session for all: what goes up comes down again."""
    session = ftplib.FTP()
    session.connect("127.0.0.1", port, PATIENCE_S)
    session.login("anonymous", "a@b")
    dice = random.Random(port)

    def once() -> None:
        data = dice.randbytes(dice.choice((1, 5000, 300_000)))
        session.storbinary("STOR pub/file", io.BytesIO(data))
        got = io.BytesIO()
        session.retrbinary("RETR pub/file", got.write)
        hold("RETR", hashlib.sha256(got.getvalue()).hexdigest(), hashlib.sha256(data).hexdigest())
        hold("SIZE", session.size("pub/file"), len(data))
        hold("NLST", "file" in str(session.nlst("pub")), True)

    yield once
    session.quit()


def ssh_client(port: int, key: str) -> Iterator[Round]:
    """Type into one session; every eighth round a file goes through another."""
    options = ["-i", key, "-p", str(port), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
               "-o", "LogLevel=ERROR", "-o", "BatchMode=yes", "-F", "none"]  # fmt: skip
    shell = subprocess.Popen(
        ["ssh", "-tt", *options, "root@127.0.0.1", "stty -echo; PS1=; exec sh"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert shell.stdin is not None
    assert shell.stdout is not None
    source, sink, turn = shell.stdout, shell.stdin, 0

    def say(line: str, mark: str) -> str:
        sink.write(line.encode() + b"\n")
        sink.flush()
        heard = b""
        while not (found := re.search(mark.encode() + rb"=(\d+)", heard)):
            if not select.select([source], [], [], PATIENCE_S)[0]:
                raise WrongError(f"no answer to {line!r}; heard {heard[-200:]!r}")
            piece = source.read1(4096)
            if not piece:
                raise WrongError(f"the session ended; heard {heard[-200:]!r}")
            heard += piece
        return found[1].decode()

    def once() -> None:
        nonlocal turn
        turn += 1
        hold("typed", say(f"echo m{turn}=$(({turn}*7))", f"m{turn}"), str(turn * 7))
        if turn % 8 == 1:
            data = random.Random(turn).randbytes(200_000)
            done = subprocess.run(
                ["ssh", *options, "root@127.0.0.1", "cat"], input=data, capture_output=True, timeout=PATIENCE_S
            )
            hold("a transfer", hashlib.sha256(done.stdout).hexdigest(), hashlib.sha256(data).hexdigest())

    yield once
    sink.write(b"exit\n")
    sink.flush()
    shell.wait(PATIENCE_S)


def psql_client(port: int, database: str) -> Iterator[Round]:
    """One session: what is put in comes out, and only when it was committed."""
    shell = subprocess.Popen(
        ["psql", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-AtqX", "-v", "ON_ERROR_STOP=1", database],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert shell.stdin is not None
    assert shell.stdout is not None
    source, sink, turn = shell.stdout, shell.stdin, 0

    def ask(statement: str) -> str:
        sink.write(statement + ";\n")
        sink.flush()
        return source.readline().strip()

    def once() -> None:
        nonlocal turn
        turn += 1
        hold(
            "arithmetic",
            ask(f"select {turn} * 7 || '-' || md5('{turn}')"),
            f"{turn * 7}-{hashlib.md5(b'%d' % turn).hexdigest()}",
        )
        hold("rows", ask("select count(*) || ' ' || sum(n) from generate_series(1, 2000) n"), "2000 2001000")
        hold("insert", ask(f"insert into victim values ({turn}, repeat('x', {turn % 3000})) returning n"), str(turn))
        hold(
            "rolled back",
            ask(f"begin; delete from victim; rollback; select count(*) from victim where n <= {turn}"),
            str(turn),
        )
        hold("text", ask(f"select length(t) from victim where n = {turn}"), str(turn % 3000))

    hold(
        "table",
        ask("create table if not exists victim (n int primary key, t text); truncate victim; select 'made'"),
        "made",
    )
    yield once
    sink.close()
    shell.wait(PATIENCE_S)


CLIENTS: dict[str, Callable[..., Iterator[Round]]] = {
    "http": http_client, "redis": redis_client, "ftp": ftp_client, "ssh": ssh_client, "psql": psql_client,
}  # fmt: skip


def main() -> None:
    kind, port, *rest = sys.argv[1:]
    client = CLIENTS[kind](int(port), *rest)
    stopped = threading.Event()

    def listen() -> None:
        while os.read(0, 4096):
            pass
        stopped.set()

    threading.Thread(target=listen, daemon=True).start()
    count, told_s = 0, 0.0
    try:
        for once in client:
            once()
            print("ready", flush=True)
            while not stopped.is_set():
                once()
                count += 1
                if time.monotonic() - told_s > 0.02:
                    told_s = time.monotonic()
                    print(count, flush=True)
    except (WrongError, OSError, EOFError, ValueError, http.client.HTTPException, ftplib.Error) as error:
        print(f"WRONG {kind}: {type(error).__name__} {error}", flush=True)
        sys.exit(1)
    print(f"SOUND {count}", flush=True)


if __name__ == "__main__":
    main()
